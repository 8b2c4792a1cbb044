/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Whose a session is: its record's meta says so, and nothing else does; the list of users.h only
 * leads to it. Somebody is named by set_user, or by the key that BSessionUser names; either way the
 * owner changes with a save that also replaces the token, and with that key.
 *
 * The entry comes before the save, and leaves after it. So a session that was ever acknowledged to
 * be somebody's is in his list; what a store has dropped of lists comes back when the sessions are
 * prolonged, each once in PERIOD of its life.
 */

#include "session.h"

#include <string.h>

#include <apr_strings.h>

#include "log.h"
#include "mod_bsession.h"
#include "record.h"

#define PERIOD apr_time_from_sec(3600)
#define LONG   apr_time_from_sec((apr_time_t)400 * 24 * 3600)
/* Loaded at once, of a user's sessions. */
#define GLANCE 32

static const bsession_bytes_t nobody = { "", 0 };

int bs_same_bytes(const bsession_bytes_t *one, const bsession_bytes_t *other)
{
    return one->len == other->len
           && (one->len == 0 || memcmp(one->data, other->data, one->len) == 0);
}

/* ---- who it is, and is to be ---- */

static bsession_bytes_t value_of(const bsession_fields_t *fields, const char *key)
{
    apr_size_t len = strlen(key);
    int i;

    for (i = 0; i < fields->count; i++) {
        if (fields->list[i].name.len == len && memcmp(fields->list[i].name.data, key, len) == 0) {
            return fields->list[i].value;
        }
    }
    return nobody;
}

static bsession_bytes_t stored_owner(const bs_session_t *s)
{
    return s->state == BS_PRESENT ? s->meta.owner : nobody;
}

bsession_bytes_t bs_session_next_owner(const bs_session_t *s)
{
    if (s->naming) {
        return s->named;
    }
    if (s->terms.user.key && s->table.nchanges) {
        bsession_bytes_t now = value_of(&s->table.fields, s->terms.user.key);
        bsession_bytes_t before = s->state == BS_PRESENT
                                ? value_of(&s->record.fields, s->terms.user.key) : nobody;

        if (!bs_same_bytes(&now, &before)) {    /* at a place that does not name owners it may be
                                                   any */
            return bs_owner_valid(now.data, now.len) ? now : nobody;
        }
    }
    return stored_owner(s);
}

int bs_session_changes_owner(const bs_session_t *s)
{
    bsession_bytes_t before, next;

    if (!s->naming && !s->terms.user.key) {
        return 0;
    }
    before = stored_owner(s);
    next = bs_session_next_owner(s);
    return !bs_same_bytes(&before, &next);
}

const char *bs_session_owner(bs_session_t *s)
{
    bsession_bytes_t owner;

    if (bs_session_load(s) != APR_SUCCESS) {
        return NULL;
    }
    owner = bs_session_next_owner(s);
    return owner.len ? apr_pstrmemdup(s->pool, owner.data, owner.len) : NULL;
}

apr_status_t bs_session_set_owner(bs_session_t *s, const char *name)
{
    bsession_bytes_t owner = { name, name ? strlen(name) : 0 }, now;
    apr_status_t status = bs_session_may_change(s);

    if (owner.len && !bs_owner_valid(name, owner.len)) {
        return APR_EINVAL;
    }
    if (status == BSESSION_ELATE && !owner.len) {
        return APR_SUCCESS;             /* no session, no owner */
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    now = bs_session_next_owner(s);
    if (bs_same_bytes(&owner, &now)) {
        return APR_SUCCESS;
    }
    if (s->headers_gone) {
        return BSESSION_ELATE;
    }
    s->named = owner.len ? (bsession_bytes_t){ apr_pstrdup(s->pool, name), owner.len } : nobody;
    s->naming = 1;
    return APR_SUCCESS;
}

apr_status_t bs_session_may_put(const bs_session_t *s, const char *key, const void *value,
                                apr_size_t len)
{
    bsession_bytes_t wanted = { value, len }, now;

    if (strcmp(key, s->terms.user.key) != 0) {
        return APR_SUCCESS;
    }
    if (len && !bs_owner_valid(value, len)) {
        return APR_EINVAL;
    }
    now = value_of(&s->table.fields, key);
    return s->headers_gone && !bs_same_bytes(&wanted, &now) ? BSESSION_ELATE : APR_SUCCESS;
}

apr_status_t bs_session_may_drop(const bs_session_t *s)
{
    return s->headers_gone && value_of(&s->table.fields, s->terms.user.key).len ? BSESSION_ELATE
                                                                               : APR_SUCCESS;
}

/* ---- whether a session is somebody's ---- */

/* What the functions of users.h ask about. */
typedef struct {
    bs_session_t           *s;
    const bsession_bytes_t *name;
    bs_caller_t             caller;     /* its pool is cleared now and then */
    bs_seen_t              *seen;       /* of each that was looked at, or NULL */
    int                     itself;     /* the session of this request was ended */
} gaze_t;

int bs_session_is_of(const bs_session_t *s, const bsession_record_t *record,
                     const bsession_bytes_t *name, bs_seen_t *seen)
{
    bs_meta_t meta;

    if (bs_meta_read(&meta, &record->meta) != APR_SUCCESS
        || memcmp(meta.realm, s->terms.realm, BS_REALM_SIZE) != 0
        || !bs_same_bytes(&meta.owner, name)) {
        return 0;
    }
    if (seen) {
        seen->created = meta.created;
        seen->expires = record->expires;
    }
    return 1;
}

static apr_status_t judge(const gaze_t *gaze, apr_status_t status, const bsession_record_t *record,
                          int at)
{
    if (status == APR_SUCCESS
        && !bs_session_is_of(gaze->s, record, gaze->name, gaze->seen ? &gaze->seen[at] : NULL)) {
        return APR_NOTFOUND;
    }
    return status == BSESSION_ECORRUPT ? APR_NOTFOUND : status;
}

static void look_at_some(const gaze_t *gaze, const bs_owned_t *list, int from, int count,
                         apr_status_t *statuses)
{
    const bs_terms_t *terms = &gaze->s->terms;
    bsession_record_t records[GLANCE];
    bsession_key_t keys[GLANCE] = { { 0 } };
    int i;

    for (i = 0; i < count; i++) {
        keys[i] = list[from + i].key;
    }
    bs_store_load_many(terms->store, &gaze->caller, keys, count, records, statuses + from);
    for (i = 0; i < count; i++) {
        apr_status_t *status = &statuses[from + i];

        *status = judge(gaze, *status, &records[i], from + i);
        if (*status == APR_NOTFOUND && terms->older) {
            *status = bs_store_load(terms->older, &gaze->caller, &keys[i], &records[i]);
            *status = judge(gaze, *status, &records[i], from + i);
        }
    }
}

static void look(void *baton, const bs_owned_t *list, int count, apr_status_t *statuses)
{
    gaze_t *gaze = baton;
    int from, some;

    for (from = 0; from < count; from += some) {
        some = count - from < GLANCE ? count - from : GLANCE;
        look_at_some(gaze, list, from, some, statuses);
        apr_pool_clear(gaze->caller.pool);
    }
}

/** At the revision at which it was this user's. */
static apr_status_t end_in(gaze_t *gaze, bs_store_t *store, const bsession_key_t *key)
{
    apr_time_t deadline = apr_time_now() + store->timeout;
    bsession_record_t record;
    apr_status_t status;
    int tries;

    for (tries = 0; ; tries++) {
        status = bs_store_load(store, &gaze->caller, key, &record);
        if (status != APR_SUCCESS || !bs_session_is_of(gaze->s, &record, gaze->name, NULL)) {
            return status == APR_SUCCESS || status == BSESSION_ECORRUPT ? APR_NOTFOUND : status;
        }
        status = bs_store_remove(store, &gaze->caller, key, record.revision);
        if (status != APR_EMISMATCH) {
            return status;
        }
        if (apr_time_now() >= deadline) {
            return APR_TIMEUP;
        }
        bs_store_pause(tries, deadline);
    }
}

/** In the older store first, as every end: see session_move.c. */
static apr_status_t end(void *baton, const bsession_key_t *key)
{
    gaze_t *gaze = baton;
    bs_session_t *s = gaze->s;
    apr_status_t older = APR_NOTFOUND, status;

    if (s->terms.older) {
        older = end_in(gaze, s->terms.older, key);
    }
    status = older == APR_SUCCESS || older == APR_NOTFOUND ? end_in(gaze, s->terms.store, key)
                                                           : older;
    apr_pool_clear(gaze->caller.pool);
    if (status == APR_NOTFOUND) {
        status = older;
    }
    if (status == APR_SUCCESS) {
        bs_store_count(s->terms.store, BS_DESTROYED);
        gaze->itself |= memcmp(key->bytes, s->key.bytes, sizeof key->bytes) == 0;
    }
    return status;
}

/* ---- the list ---- */

apr_status_t bs_session_begin_user(bs_user_call_t *call, bs_session_t *s,
                                   const bsession_bytes_t *name, apr_time_t deadline)
{
    bs_caller_t caller = bs_session_caller(s, deadline);
    gaze_t *gaze;

    apr_pool_create(&call->scratch, s->pool);
    gaze = apr_pcalloc(call->scratch, sizeof *gaze);
    gaze->s = s;
    gaze->name = name;
    gaze->caller = caller;
    gaze->caller.flags |= BSESSION_DURABLE;
    apr_pool_create(&gaze->caller.pool, call->scratch);
    memset(&call->user, 0, sizeof call->user);
    call->user.store = s->terms.store;
    call->user.older = s->terms.older;
    call->user.caller = caller;
    call->user.caller.pool = call->scratch;
    call->user.caller.seal = NULL;      /* a list holds nothing but keys of records */
    call->user.look = look;
    call->user.end = end;
    call->user.baton = gaze;
    return bs_user_name(&call->user, &s->terms, name);
}

void bs_session_end_user(bs_user_call_t *call)
{
    apr_pool_destroy(call->scratch);
}

void bs_session_look(bs_user_call_t *call, const bs_owned_list_t *list, apr_status_t *statuses,
                     bs_seen_t *seen)
{
    gaze_t *gaze = call->user.baton;

    gaze->seen = seen;
    look(gaze, list->list, list->count, statuses);
    gaze->seen = NULL;
}

static apr_interval_time_t period(const bs_session_t *s)
{
    return s->terms.idle > PERIOD ? s->terms.idle : PERIOD;
}

static apr_time_t periods_until(const bs_session_t *s, const bs_meta_t *meta, apr_time_t end)
{
    return (end - meta->created) / period(s);
}

/** Without an absolute time-out it is moved on whenever the entry is made again, with a period to
 *  spare. */
static apr_time_t listed_until(const bs_session_t *s, const bs_meta_t *meta, apr_time_t end)
{
    if (s->terms.absolute) {
        return meta->created + s->terms.absolute;
    }
    return end ? meta->created + (periods_until(s, meta, end) + 2) * period(s)
               : apr_time_now() + LONG;
}

static bs_owned_t entry_of(const bs_session_t *s, const bs_meta_t *meta, apr_time_t end)
{
    bs_owned_t entry = { .key = s->key, .since = meta->created };

    if (end == BSESSION_KEEP) {
        end = s->record.expires;
    }
    entry.until = listed_until(s, meta, end);
    return entry;
}

/** Where a limit says evict, room is made once the session is stored. */
static int most_others(const bs_user_rule_t *rule)
{
    return rule->evict ? 0 : rule->max;
}

/** A damaged list is made anew; what no store of ours wrote is left alone. */
static void tell_of_another(const bs_session_t *s, const bs_user_t *user)
{
    char text[BSESSION_KEY_TEXT_SIZE];

    bs_log(s->where, BS_LOG_ERROR, "store %s: what lies under the key %s%s is no list of a user's "
           "sessions, and cannot be replaced: he cannot log in until it is removed", user->store->name,
           bs_key_text(&user->places[0].key, text),
           user->nplaces > 1 ? ", or that of an older secret or store," : "");
}

apr_status_t bs_session_enter(bs_session_t *s, const bs_meta_t *meta, apr_time_t end, int login,
                              apr_time_t deadline)
{
    bs_owned_t entry = entry_of(s, meta, end);
    bs_user_call_t call;
    apr_status_t status = bs_session_begin_user(&call, s, &meta->owner, deadline);

    if (status == APR_SUCCESS && login) {
        entry.by = deadline + BS_LOGIN_MARGIN;
        if (!s->entered) {
            s->entered = apr_palloc(s->pool, sizeof *s->entered);
        }
        status = bs_users_enter(&call.user, &entry, most_others(&s->terms.user), s->entered);
    }
    else if (status == APR_SUCCESS) {
        status = bs_users_assert(&call.user, &entry);
    }
    if (status == BSESSION_ECORRUPT) {
        tell_of_another(s, &call.user);
    }
    bs_session_end_user(&call);
    return status;
}

void bs_session_withdraw(bs_session_t *s, const bsession_bytes_t *name, apr_time_t deadline)
{
    bs_user_call_t call;

    if (bs_session_begin_user(&call, s, name, deadline) == APR_SUCCESS) {
        bs_users_withdraw(&call.user, s->entered);
    }
    bs_session_end_user(&call);
}

void bs_session_leave(bs_session_t *s, const bsession_bytes_t *name, apr_time_t deadline)
{
    bs_user_call_t call;

    if (bs_session_begin_user(&call, s, name, deadline) == APR_SUCCESS) {
        bs_users_leave(&call.user, &s->key);
    }
    bs_session_end_user(&call);
}

apr_status_t bs_session_make_room(bs_session_t *s, apr_time_t deadline)
{
    const bs_user_rule_t *rule = &s->terms.user;
    int most = rule->max && rule->evict ? rule->max : BS_OWNED_MAX, gone = 0;
    bs_user_call_t call;

    if (!rule->evict && s->entered->count <= most) {
        return APR_SUCCESS;
    }
    if (bs_session_begin_user(&call, s, &s->meta.owner, deadline) == APR_SUCCESS) {
        bs_users_trim(&call.user, most);
        gone = ((gaze_t *)call.user.baton)->itself;
    }
    bs_session_end_user(&call);
    return gone ? BSESSION_EGONE : APR_SUCCESS;
}

void bs_session_enter_again(bs_session_t *s, apr_time_t end_before, apr_time_t deadline)
{
    bs_owned_t entry;
    bs_user_call_t call;

    if (!s->meta.owner.len || end_before <= s->meta.created
        || periods_until(s, &s->meta, end_before)
                                         == periods_until(s, &s->meta, s->record.expires)) {
        return;
    }
    entry = entry_of(s, &s->meta, BSESSION_KEEP);
    if (bs_session_begin_user(&call, s, &s->meta.owner, deadline) == APR_SUCCESS) {
        bs_users_assert(&call.user, &entry);
    }
    bs_session_end_user(&call);
}

apr_status_t bs_session_tell_lists(bs_session_t *s, const bsession_bytes_t *before,
                                   apr_time_t end_before, apr_time_t deadline)
{
    if (bs_same_bytes(before, &s->meta.owner)) {
        bs_session_enter_again(s, end_before, deadline);
        return APR_SUCCESS;
    }
    if (before->len) {
        bs_session_leave(s, before, deadline);
    }
    return s->meta.owner.len ? bs_session_make_room(s, deadline) : APR_SUCCESS;
}
