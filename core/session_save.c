/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Saving: a record is created, merged into or replaced, and tried again where others were
 * faster. */

#include "session.h"

#include <string.h>

#include "binding.h"
#include "log.h"
#include "mod_bsession.h"

/* Two random keys that are the same mean that the generator is broken, not that one should go
 * on. */
#define CREATE_TRIES  3

typedef struct {
    bs_token_t         token;           /* the session's after this save */
    bs_meta_t          meta;
    bsession_record_t  record;
    unsigned char      meta_bytes[BS_META_MAX];
    bsession_save_t    save;
    bsession_saved_t   saved;
} draft_t;

/** What is over a limit already, since the limit was lowered, may stay so: its owner can still
 *  log in. */
static apr_size_t limit(apr_size_t configured, apr_size_t stored)
{
    return configured && configured < stored ? stored : configured;
}

static void draft_record(draft_t *draft, const bs_session_t *s)
{
    draft->record.meta.data = (const char *)draft->meta_bytes;
    draft->record.meta.len = bs_meta_write(&draft->meta, draft->meta_bytes);
    draft->record.fields = s->table.fields;
    draft->save.record = &draft->record;
    draft->save.max_bytes = limit(s->terms.max_bytes, bsession_fields_bytes(&s->record.fields));
    draft->save.max_fields = limit(s->terms.max_fields, (apr_size_t)s->record.fields.count);
}

/** What is stored is what was drafted. */
static void settle(bs_session_t *s, const draft_t *draft)
{
    bs_meta_copy(&s->meta, &draft->meta);
    s->token = draft->token;
    s->record.revision = draft->saved.revision;
    s->record.epoch = draft->record.epoch;
    if (draft->record.expires != BSESSION_KEEP && draft->record.expires > s->record.expires) {
        s->record.expires = draft->record.expires;
    }
    s->record.fields = s->table.fields;
    s->rotating = s->prolonging = s->noting = s->renewing = s->naming = 0;
    s->touched = 1;
    if (s->table.nchanges) {
        s->facts |= BSESSION_WAS_CHANGED;
    }
    bs_table_saved(&s->table);
}

/* ---- a new record ---- */

static apr_status_t create_as_drafted(bs_session_t *s, draft_t *draft, apr_time_t deadline)
{
    bs_caller_t caller = bs_session_caller(s, deadline);
    const bsession_bytes_t *owner = &draft->meta.owner;
    apr_status_t status = APR_SUCCESS;

    if (owner->len) {
        status = bs_session_enter(s, &draft->meta, draft->record.expires, 1, deadline);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    draft_record(draft, s);
    status = bs_store_save(s->terms.store, &caller, &s->key, &draft->save, &draft->saved);
    if (owner->len && status != APR_SUCCESS && !bs_is_outage(status)) {
        bs_session_withdraw(s, owner, deadline);
    }
    return status;
}

static apr_status_t create_once(bs_session_t *s, apr_time_t deadline)
{
    draft_t draft = { .save.mode = BSESSION_CREATE };
    apr_time_t now = apr_time_now();
    apr_status_t status = bs_token_new(&draft.token);

    if (status == APR_SUCCESS) {
        status = bs_random_revision(&draft.save.base);
    }
    if (status == APR_SUCCESS) {
        status = bs_token_issue(&draft.token, s->terms.keys, draft.meta.digest);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    bs_token_key(&draft.token, &s->key);
    draft.meta.created = now;
    memcpy(draft.meta.realm, s->terms.realm, BS_REALM_SIZE);
    status = bs_binding_tie(s, &draft.meta);
    if (status != APR_SUCCESS) {
        return status;
    }
    draft.meta.owner = bs_session_next_owner(s);
    bs_meta_copy(&s->meta, &draft.meta);
    draft.record.expires = bs_session_new_end(s, now);
    status = create_as_drafted(s, &draft, deadline);
    if (status == APR_SUCCESS) {
        draft.saved.revision = draft.save.base;
        s->record.expires = 0;
        settle(s, &draft);
        s->state = BS_PRESENT;
        s->standing = BS_IS_CURRENT;
        s->kept_up = 1;
        s->home = s->terms.store;
        s->cookie = BS_COOKIE_SET;
        bs_session_happened(s, BS_CREATED);
        if (s->meta.owner.len) {
            status = bs_session_make_room(s, deadline);
        }
    }
    return status;
}

static apr_status_t create(bs_session_t *s, apr_time_t deadline)
{
    apr_status_t status = APR_EEXIST;
    int tries;

    for (tries = 0; tries < CREATE_TRIES && status == APR_EEXIST; tries++) {
        status = create_once(s, deadline);
    }
    return status == APR_EEXIST ? APR_EGENERAL : status;
}

/* ---- a record that is there ---- */

/** A save prolongs the life; where the cookie's follows it, only when that was asked for or is
 *  worth a new cookie, and one can be sent, so that the two never drift apart. What timed rotation
 *  saves is the visitor's use, and no change. */
static apr_time_t end_after_save(const bs_session_t *s, apr_time_t now)
{
    apr_time_t end = bs_session_new_end(s, now);
    int sends = s->renewing || (s->prolonging && s->standing == BS_IS_CURRENT);

    if (end <= s->record.expires || s->record.expires == 0
        || ((s->noting || s->renewing) && !s->terms.read_prolongs)) {
        return BSESSION_KEEP;
    }
    if (s->terms.cookie_follows && !sends
        && (s->headers_gone || s->standing != BS_IS_CURRENT
            || end - s->record.expires <= s->terms.idle / 10)) {
        return BSESSION_KEEP;
    }
    return end;
}

/** The token is replaced. After a login the old verifier is dead, and a change that was loaded
 *  under it is refused; after a timed one both stay good for a while. */
static apr_status_t draft_rotation(draft_t *draft, const bs_session_t *s, apr_time_t now)
{
    unsigned char fresh[BS_DIGEST_SIZE];
    apr_status_t status = bs_token_renew_verifier(&draft->token);

    if (status == APR_SUCCESS) {
        status = bs_token_issue(&draft->token, s->terms.keys, fresh);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    if (!s->rotating) {
        bs_rotation_renew(&draft->meta, s->digest, fresh, &s->terms.rotate, now);
        return APR_SUCCESS;
    }
    bs_rotation_login(&draft->meta, fresh, now);
    draft->record.epoch++;
    return bs_binding_tie(s, &draft->meta);
}

/** What only the whole record can say. */
static apr_status_t draft_meta(draft_t *draft, const bs_session_t *s, apr_time_t now)
{
    if (!s->noting && !s->rotating && !s->renewing) {
        return APR_SUCCESS;
    }
    draft->save.mode = BSESSION_REPLACE;
    if (s->noting) {
        bs_rotation_came(&draft->meta, &s->terms.rotate, now);
    }
    return s->rotating || s->renewing ? draft_rotation(draft, s, now) : APR_SUCCESS;
}

/** What the response says of what was saved. Where the store has merged by itself, somebody else
 *  may have replaced the token meanwhile: then it is not told again. */
static void tell_cookie(bs_session_t *s, int made, int prolonged, apr_time_t deadline)
{
    if (made) {
        s->kept_up = 1;
        s->standing = BS_IS_CURRENT;
        s->cookie = BS_COOKIE_SET;
        bs_session_happened(s, BS_ROTATED);
    }
    else if (s->terms.cookie_follows && prolonged
             && (!s->stale || bs_session_rebase(s, deadline) == APR_SUCCESS)
             && s->standing == BS_IS_CURRENT) {
        s->cookie = BS_COOKIE_SET;
    }
}

static apr_status_t update_once(bs_session_t *s, apr_time_t deadline)
{
    bs_caller_t caller = bs_session_caller(s, deadline);
    draft_t draft = { .save.mode = bs_session_is_locked(s) ? BSESSION_REPLACE : BSESSION_MERGE };
    apr_time_t now = apr_time_now();
    int makes, moving = s->home == s->terms.older, login = bs_session_changes_owner(s);
    apr_status_t status;

    if (login && s->headers_gone) {
        return BSESSION_ELATE;
    }
    s->rotating |= login;
    makes = s->rotating || s->renewing;
    draft.token = s->token;
    bs_meta_copy(&draft.meta, &s->meta);
    draft.meta.owner = bs_session_next_owner(s);
    draft.record.epoch = s->record.epoch;
    draft.record.expires = end_after_save(s, now);
    draft.save.base = s->record.revision;
    draft.save.changes = s->table.changes;
    draft.save.nchanges = (apr_size_t)s->table.nchanges;
    if (makes) {
        caller.flags |= BSESSION_DURABLE;
    }
    status = draft_meta(&draft, s, now);
    if (status == APR_SUCCESS && draft.meta.owner.len && (makes || moving)) {
        status = bs_session_enter(s, &draft.meta, draft.record.expires, login, deadline);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    draft_record(&draft, s);
    status = moving ? bs_session_move(s, &caller, &draft.save, &draft.saved)
                    : bs_store_save(s->terms.store, &caller, &s->key, &draft.save, &draft.saved);
    if (status == APR_SUCCESS) {
        bsession_bytes_t owner = s->meta.owner;
        apr_time_t end = s->record.expires;

        s->stale = !moving && draft.saved.revision != draft.save.base + 1;
        settle(s, &draft);
        tell_cookie(s, makes, draft.record.expires != BSESSION_KEEP, deadline);
        if (login || owner.len) {
            status = bs_session_tell_lists(s, &owner, end, deadline);
        }
    }
    else if (login && draft.meta.owner.len && !bs_is_outage(status)) {
        bs_session_withdraw(s, &draft.meta.owner, deadline);
    }
    return status;
}

apr_status_t bs_session_rebase(bs_session_t *s, apr_time_t deadline)
{
    apr_status_t status = bs_session_find(s, &s->token, deadline);
    int dropped;

    if (status != APR_SUCCESS) {
        return status;
    }
    if (s->noting || s->renewing) {
        bs_session_plan_upkeep(s);      /* another request may have done it */
    }
    status = bs_table_rebase(&s->table, &s->record.fields, &dropped);
    if (dropped) {
        char tag[BS_TAG_SIZE];

        bs_key_tag(&s->key, tag);
        bs_log(s->where, BS_LOG_WARNING, "session %s: %d increment(s) dropped: another request has "
               "made the value one that cannot be counted on", tag, dropped);
    }
    return status;
}

apr_status_t bs_session_update(bs_session_t *s, apr_time_t deadline)
{
    apr_status_t status = s->stale ? bs_session_rebase(s, deadline) : APR_SUCCESS;
    int tries;

    if (status == APR_SUCCESS) {
        status = bs_session_keep_lock(s, deadline);
    }
    for (tries = 0; status == APR_SUCCESS && bs_session_dirty(s); tries++) {
        status = update_once(s, deadline);
        if (status == APR_EMISMATCH && apr_time_now() < deadline) {
            status = bs_session_check_lock(s, deadline);
            if (status == APR_SUCCESS) {
                bs_store_pause(tries, deadline);
                status = bs_session_rebase(s, deadline);
            }
        }
    }
    return status == APR_EMISMATCH ? APR_TIMEUP : status;
}

/* ---- what becomes of it ---- */

/** What modules keep for themselves is often a whole, and no change: who was logged in before. */
static void drop_private_keys(bs_table_t *table)
{
    int i;

    for (i = table->fields.count - 1; i >= 0; i--) {
        const bsession_bytes_t *name = &table->fields.list[i].name;

        if (bs_key_is_private(name->data)) {
            bs_table_unset(table, name->data, name->len);
        }
    }
}

/** This request's token was replaced by another request's login. If this one is a login too (a
 *  double click, or one repeated because its answer was lost), what it says stands on its own. */
static apr_status_t log_in_anew(bs_session_t *s, apr_time_t deadline)
{
    static const bsession_fields_t none;
    int dropped;

    if (s->existing_only || bs_table_rebase(&s->table, &none, &dropped) != APR_SUCCESS
        || (s->table.fields.count == 0 && !s->naming)) {
        return BSESSION_EGONE;
    }
    drop_private_keys(&s->table);
    s->record.epoch = 0;
    s->record.fields = none;
    s->state = BS_RETIRED;
    return create(s, deadline);
}

static int is_login(const bs_session_t *s)
{
    return s->rotating || (bs_session_changes_owner(s) && bs_session_next_owner(s).len);
}

static apr_status_t save_by_state(bs_session_t *s, apr_time_t deadline)
{
    apr_status_t status;
    int login = is_login(s);

    switch (s->state) {
    case BS_ABSENT:
        return s->headers_gone ? BSESSION_ELATE : create(s, deadline);
    case BS_PRESENT:
        if (s->headers_gone) {
            s->rotating = 0;            /* the new token could not be told */
        }
        status = bs_session_update(s, deadline);
        break;
    case BS_RETIRED:
        status = BSESSION_EGONE;
        break;
    default:
        return BSESSION_EGONE;
    }
    if (status == BSESSION_EGONE && login && !s->headers_gone) {
        status = log_in_anew(s, deadline);
    }
    return status == APR_NOTFOUND || status == BSESSION_ECORRUPT ? BSESSION_EGONE : status;
}

/** What was stored stays. */
void bs_session_drop_changes(bs_session_t *s, apr_status_t status)
{
    static const bsession_fields_t none;
    char tag[BS_TAG_SIZE] = "new";

    if (s->had_record) {
        bs_key_tag(&s->key, tag);
    }
    bs_log(s->where, BS_LOG_WARNING, "session %s: %s; this request's changes are dropped, what was "
           "stored stays", tag, status == BSESSION_EMANY
           ? "its user has as many sessions as BSessionUser max= allows"
           : "over BSessionLimit, or larger than the store takes");
    bs_store_count(s->terms.store, BS_DROPPED_CHANGES);
    s->rotating = s->prolonging = s->noting = s->renewing = s->naming = 0;
    bs_table_adopt(&s->table, s->state == BS_PRESENT ? &s->record.fields : &none);
}

apr_status_t bs_session_save(bs_session_t *s, apr_time_t deadline)
{
    apr_status_t status;

    if (s->outage) {
        return s->outage;
    }
    if (s->state == BS_GONE) {
        return BSESSION_EGONE;
    }
    if (!bs_session_dirty(s)) {
        return APR_SUCCESS;
    }
    if (!deadline) {
        deadline = apr_time_now() + s->terms.store->timeout;
    }
    status = save_by_state(s, deadline);
    bs_session_tell(s);
    if (status == APR_SUCCESS || status == BSESSION_ELATE) {
        return status;
    }
    if (status == BSESSION_EGONE) {
        bs_session_lose(s);
    }
    else if (status == APR_ENOSPC || status == BSESSION_EMANY) {
        bs_session_drop_changes(s, status);
    }
    else {
        bs_session_failed(s, status);
    }
    return status;
}

/* ---- the end of a session ---- */

apr_status_t bs_session_end(bs_session_t *s)
{
    static const bsession_fields_t none;
    apr_status_t status = bs_session_remove(s, apr_time_now() + s->terms.store->timeout);

    if (status == BSESSION_EGONE) {
        bs_session_lose(s);
        return status;
    }
    if (status != APR_SUCCESS && status != APR_NOTFOUND) {
        return bs_session_failed(s, status);
    }
    if (s->meta.owner.len) {
        bs_session_leave(s, &s->meta.owner, 0);
    }
    s->state = BS_ABSENT;
    s->cookie = s->headers_gone ? BS_COOKIE_KEEP : BS_COOKIE_DELETE;
    s->record.fields = none;
    bs_table_adopt(&s->table, &none);
    bs_session_let_go(s, 0);
    if (status == APR_SUCCESS) {
        bs_session_happened(s, BS_DESTROYED);
    }
    else {
        bs_session_learnt(s, BS_DESTROYED);
    }
    return APR_SUCCESS;
}

apr_status_t bs_session_destroy(bs_session_t *s)
{
    static const bsession_fields_t none;
    apr_status_t status = bs_session_load(s);

    if (s->outage) {
        return s->outage;
    }
    status = bs_session_lock_again(s);
    if (status != APR_SUCCESS) {
        return status;
    }
    if (s->state == BS_PRESENT) {
        status = bs_session_end(s);
        if (status != APR_SUCCESS) {
            return status;
        }
    }
    bs_table_adopt(&s->table, &none);
    s->rotating = s->prolonging = s->naming = 0;
    bs_session_tell(s);
    return s->state == BS_GONE || s->state == BS_RETIRED ? BSESSION_EGONE : APR_SUCCESS;
}
