/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * All sessions of one user: to list them, and to end them. The list leads to most of them at once;
 * a store may have dropped it, so where one can, the whole store is looked through as well. An end
 * that could not reach all is an outage, and never a success.
 *
 * Whoever has logged in before this began is ended: his entry is there, or his record is found. Of
 * one who is logging in meanwhile, who has entered himself and has not stored his session yet, the
 * entry stays, so that he is found the next time.
 */

#include "session.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "record.h"

#define TAG_DIGITS (BS_TAG_SIZE - 1)

/** Whose sessions: this name's, or those of the owner of this one. APR_NOTFOUND: it has none. */
static apr_status_t choose_name(bs_session_t *s, const char *name, bsession_bytes_t *chosen)
{
    apr_status_t status = bs_session_load(s);

    if (s->outage) {
        return s->outage;
    }
    if (!name) {
        if (s->state != BS_PRESENT) {
            return status == APR_SUCCESS ? APR_NOTFOUND : status;
        }
        *chosen = s->meta.owner;
        return chosen->len ? APR_SUCCESS : APR_NOTFOUND;
    }
    chosen->data = name;
    chosen->len = strlen(name);
    return bs_owner_valid(name, chosen->len) ? APR_SUCCESS : APR_EINVAL;
}

static int is_current(const bs_session_t *s, const bsession_key_t *key)
{
    return s->state == BS_PRESENT && memcmp(s->key.bytes, key->bytes, sizeof key->bytes) == 0;
}

/* ---- listing ---- */

static apr_status_t show(const bs_session_t *s, const bs_owned_list_t *list,
                         const apr_status_t *statuses, const bs_seen_t *seen,
                         bsession_each_user_t *each, void *baton)
{
    int i;

    for (i = 0; i < list->count; i++) {
        if (statuses[i] == APR_SUCCESS) {
            bsession_of_user_t shown = { .created = seen[i].created, .expires = seen[i].expires };
            char tag[BS_TAG_SIZE];

            bs_key_tag(&list->list[i].key, tag);
            shown.tag = tag;
            shown.since = list->list[i].since;
            shown.current = is_current(s, &list->list[i].key);
            if (!each(baton, &shown)) {
                break;
            }
        }
        else if (statuses[i] != APR_NOTFOUND) {
            return statuses[i];
        }
    }
    return APR_SUCCESS;
}

apr_status_t bs_session_list_user(bs_session_t *s, const char *name, bsession_each_user_t *each,
                                  void *baton)
{
    bsession_bytes_t chosen;
    bs_owned_list_t list;
    bs_user_call_t call;
    apr_status_t status = choose_name(s, name, &chosen);

    if (status != APR_SUCCESS) {
        return status;
    }
    status = bs_session_begin_user(&call, s, &chosen, 0);
    if (status == APR_SUCCESS) {
        status = bs_users_list(&call.user, &list);
    }
    if (status == APR_SUCCESS) {
        apr_size_t count = (apr_size_t)list.count + 1;
        apr_status_t *statuses = apr_pcalloc(call.scratch, count * sizeof *statuses);
        bs_seen_t *seen = apr_pcalloc(call.scratch, count * sizeof *seen);

        bs_session_look(&call, &list, statuses, seen);
        status = show(s, &list, statuses, seen, each, baton);
    }
    bs_session_end_user(&call);
    return status;
}

/* ---- looking through a store ---- */

typedef struct {
    const bs_session_t     *s;
    const bsession_bytes_t *name;
    const bs_which_t       *which;
    apr_array_header_t     *keys;       /* of bsession_key_t: found in this slice */
} search_t;

static apr_status_t visit(void *baton, const bsession_key_t *key, const bsession_record_t *record)
{
    search_t *search = baton;

    if (bs_which_is(search->which, key)
        && bs_session_is_of(search->s, record, search->name, NULL)) {
        APR_ARRAY_PUSH(search->keys, bsession_key_t) = *key;
    }
    return APR_SUCCESS;
}

static apr_status_t end_found(const bs_user_call_t *call, const search_t *search, int *ended)
{
    apr_status_t status = APR_SUCCESS;
    int i;

    for (i = 0; i < search->keys->nelts && status == APR_SUCCESS; i++) {
        status = call->user.end(call->user.baton, &APR_ARRAY_IDX(search->keys, i, bsession_key_t));
        if (status == APR_SUCCESS) {
            ++*ended;
        }
        else if (status == APR_NOTFOUND) {
            status = APR_SUCCESS;
        }
    }
    return status;
}

static apr_status_t end_in_store(const bs_user_call_t *call, bs_store_t *store, search_t *search,
                                 int *ended)
{
    bs_caller_t caller = call->user.caller;
    bsession_cursor_t cursor = { .done = 0 };
    apr_status_t status = bs_store_can_scan(store, &caller);

    if (status != APR_SUCCESS) {
        return status;
    }
    caller.seal = search->s->terms.seal;        /* these are sessions, and no lists */
    apr_pool_create(&caller.pool, call->scratch);
    while (status == APR_SUCCESS && !cursor.done) {
        search->keys = apr_array_make(caller.pool, 8, sizeof(bsession_key_t));
        status = bs_store_scan(store, &caller, 's', &cursor, visit, search);
        if (status == APR_SUCCESS) {
            status = end_found(call, search, ended);
        }
        apr_pool_clear(caller.pool);
    }
    return status;
}

/* ---- ending ---- */

/** Where a store cannot be looked through, the lists were all there is: `listed` says what of
 *  them. */
static apr_status_t end_unlisted(const bs_user_call_t *call, search_t *search, apr_status_t listed,
                                 int *ended)
{
    bs_store_t *const stores[] = { call->user.older, call->user.store };
    apr_status_t status = APR_SUCCESS;
    int i;

    for (i = 0; i < 2 && status == APR_SUCCESS; i++) {
        status = stores[i] ? end_in_store(call, stores[i], search, ended) : APR_SUCCESS;
        if (status == APR_ENOTIMPL) {
            status = listed;
        }
    }
    return status;
}

static apr_status_t end_all(bs_session_t *s, const bsession_bytes_t *name, const bs_which_t *which,
                            int *ended)
{
    search_t search = { s, name, which, NULL };
    bs_user_call_t call;
    apr_status_t status = bs_session_begin_user(&call, s, name, 0);

    if (status == APR_SUCCESS) {
        status = bs_users_end(&call.user, which, ended);
    }
    if (status == APR_SUCCESS || status == BSESSION_ECORRUPT) {
        status = which->tag && *ended ? APR_SUCCESS : end_unlisted(&call, &search, status, ended);
    }
    bs_session_end_user(&call);
    return status;
}

static int parse_tag(unsigned char bytes[TAG_DIGITS / 2], const char *tag)
{
    int i;

    if (!tag || strlen(tag) != TAG_DIGITS) {       /* of a form that lacks the field, too */
        return 0;
    }
    for (i = 0; i < TAG_DIGITS / 2; i++) {
        int high = bs_hex_digit(tag[2 * i]), low = bs_hex_digit(tag[2 * i + 1]);

        if (high < 0 || low < 0) {
            return 0;
        }
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return 1;
}

/** What this request would store would be refused, but the visitor is to be told. */
static apr_status_t end_current(bs_session_t *s, const bsession_bytes_t *name,
                                const bs_which_t *which)
{
    apr_status_t status;

    if (s->state != BS_PRESENT || !bs_which_is(which, &s->key)
        || !bs_same_bytes(&s->meta.owner, name)) {
        return APR_SUCCESS;
    }
    status = bs_session_end(s);
    s->rotating = s->prolonging = s->naming = 0;
    bs_session_tell(s);
    return status;
}

static apr_status_t end_user(bs_session_t *s, const char *name, const bs_which_t *which)
{
    bsession_bytes_t chosen;
    int ended = 0;
    apr_status_t status = choose_name(s, name, &chosen);

    if (status == APR_SUCCESS) {
        chosen.data = apr_pstrmemdup(s->pool, chosen.data, chosen.len);
        status = end_all(s, &chosen, which, &ended);
    }
    if (status == APR_SUCCESS) {
        status = end_current(s, &chosen, which);
    }
    if (status != APR_SUCCESS && status != APR_NOTFOUND) {
        return status;
    }
    return status == APR_SUCCESS && which->tag && !ended ? APR_NOTFOUND : status;
}

apr_status_t bs_session_revoke(bs_session_t *s, const char *name, const char *tag)
{
    unsigned char bytes[TAG_DIGITS / 2];
    bs_which_t which = { .tag = bytes };

    return parse_tag(bytes, tag) ? end_user(s, name, &which) : APR_EINVAL;
}

apr_status_t bs_session_revoke_user(bs_session_t *s, const char *name)
{
    bs_which_t which = { NULL, NULL };

    return end_user(s, name, &which);
}

apr_status_t bs_session_revoke_others(bs_session_t *s)
{
    bs_which_t which = { .but = &s->key };

    return end_user(s, NULL, &which);
}
