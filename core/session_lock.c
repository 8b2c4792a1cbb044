/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A session under a lock. First the token is judged, then the lock is taken, and then the record is
 * loaded once more: nobody without a good token makes anybody wait, not even with one that was good
 * before a login, and what is read is what the holder before has left.
 *
 * The fence: a save under a lock makes sure beforehand that the lease outlasts it, stores only on
 * the revision that was loaded, and where that is not current any more it looks whose the lease is.
 * So who was stopped for longer than the lease writes nothing; but for one that stops between the
 * last look and the save, while the next holder has not saved yet. Then the two are merged.
 */

#include "session.h"

#include "log.h"
#include "mod_bsession.h"

/* Nobody waits for what is given back when all is over. */
#define SHORTLY apr_time_from_msec(500)

int bs_session_is_locked(const bs_session_t *s)
{
    return s->state == BS_PRESENT && bs_lock_is_of(&s->lock, &s->key);
}

static bs_lock_rule_t rule_of(const bs_session_t *s)
{
    static const bs_lock_rule_t unsaid = { 1, BS_LOCK_WAIT, BS_LOCK_LEASE };

    return s->terms.lock.lease ? s->terms.lock : unsaid;
}

/** What a lease says is worth no seal. */
static bs_caller_t caller_of(const bs_session_t *s, apr_time_t deadline)
{
    bs_caller_t caller = bs_session_caller(s, deadline);

    caller.seal = NULL;
    return caller;
}

/* ---- giving it back ---- */

apr_status_t bs_session_let_go(bs_session_t *s, apr_time_t deadline)
{
    bs_caller_t caller = caller_of(s, deadline);

    s->let_go = 1;
    return bs_lock_drop(&s->lock, &caller);
}

apr_status_t bs_session_let_go_early(bs_session_t *s)
{
    if (!bs_session_is_locked(s)) {
        return APR_SUCCESS;
    }
    s->let_go_early = 1;
    return bs_session_let_go(s, 0);
}

void bs_session_let_go_shortly(bs_session_t *s)
{
    if (s->lock.state != BS_LOCK_FREE && !bs_store_is_open(s->lock.store, &s->lock.key)) {
        bs_session_let_go(s, apr_time_now() + SHORTLY);
    }
}

/** Whatever happened to the request. */
static apr_status_t at_the_end(void *session)
{
    bs_session_let_go_shortly(session);
    return APR_SUCCESS;
}

/* ---- the fence ---- */

static apr_status_t is_lost(bs_session_t *s, apr_status_t status)
{
    char tag[BS_TAG_SIZE];

    if (status != BSESSION_EBUSY) {
        return status;
    }
    bs_key_tag(&s->key, tag);
    bs_log(s->where, BS_LOG_WARNING, "session %s: its lock ended before this request did; what it "
           "changed is dropped. Raise lease= of BSessionLock above the %" APR_TIME_T_FMT " ms that "
           "it is", tag, apr_time_as_msec(rule_of(s).lease));
    bs_store_count(s->terms.store, BS_DROPPED_CHANGES);
    return bs_session_failed(s, status);
}

static apr_status_t keep(bs_session_t *s, apr_time_t deadline, apr_time_t until)
{
    bs_caller_t caller = caller_of(s, deadline);
    bs_lock_rule_t rule = rule_of(s);

    return is_lost(s, bs_lock_keep(&s->lock, &caller, &rule, until));
}

apr_status_t bs_session_keep_lock(bs_session_t *s, apr_time_t deadline)
{
    return bs_session_is_locked(s) ? keep(s, deadline, deadline) : APR_SUCCESS;
}

apr_status_t bs_session_check_lock(bs_session_t *s, apr_time_t deadline)
{
    bs_caller_t caller = caller_of(s, deadline);

    return bs_session_is_locked(s) ? is_lost(s, bs_lock_check(&s->lock, &caller)) : APR_SUCCESS;
}

/* ---- taking it ---- */

static apr_status_t waited_in_vain(const bs_session_t *s, apr_interval_time_t wait)
{
    char tag[BS_TAG_SIZE];

    if (!s->waited) {
        bs_key_tag(&s->key, tag);
        bs_log(s->where, bs_store_warning(s->terms.store, BS_TOLD_LOCKED), "session %s: another "
               "request has its lock, and this one has waited for it for %" APR_TIME_T_FMT " ms in "
               "vain: raise wait= of BSessionLock, or find out what takes so long", tag,
               apr_time_as_msec(wait));
    }
    return BSESSION_EBUSY;
}

/** It ended, or another request logged in, before this one had the lock. What this one has changed
 *  already is dropped; where that is nothing, it comes after the other one, like any request. */
static apr_status_t is_no_more(bs_session_t *s, apr_status_t status)
{
    static const bsession_fields_t none;

    bs_session_let_go(s, 0);
    if (bs_session_dirty(s)) {
        bs_session_lose(s);
        return BSESSION_EGONE;
    }
    bs_table_adopt(&s->table, &none);
    s->had_record = 0;
    s->cookie = BS_COOKIE_KEEP;
    if (status == BSESSION_EGONE) {
        bs_session_is_retired(s);
        return APR_NOTFOUND;
    }
    s->state = BS_ABSENT;
    bs_session_happened(s, BS_UNKNOWN_TOKENS);
    bs_session_tell(s);
    return APR_NOTFOUND;
}

static apr_status_t look_again(bs_session_t *s)
{
    apr_status_t status = bs_session_rebase(s, 0);

    if (status == APR_NOTFOUND || status == BSESSION_EGONE || status == BSESSION_ECORRUPT) {
        return is_no_more(s, status);
    }
    if (status == APR_ENOSPC) {
        bs_session_drop_changes(s, APR_ENOSPC);
    }
    return status == APR_SUCCESS || status == APR_ENOSPC ? status : bs_session_failed(s, status);
}

/** What it has read is what the holder after it began with, too. */
static apr_status_t was_overtaken(bs_session_t *s)
{
    char tag[BS_TAG_SIZE];

    bs_key_tag(&s->key, tag);
    bs_log(s->where, bs_store_warning(s->terms.store, BS_TOLD_LOCKED), "session %s: this request "
           "has an Upgrade header, and so its lock ended before the application had it; another "
           "request has changed the session since, and what this one changed is dropped", tag);
    bs_store_count(s->terms.store, BS_DROPPED_CHANGES);
    return bs_session_failed(s, BSESSION_EBUSY);
}

static apr_status_t take(bs_session_t *s, bs_lock_rule_t rule)
{
    bs_caller_t caller = caller_of(s, 0);
    apr_uint64_t seen = s->record.revision;
    apr_status_t status;

    if (!s->gives_back) {
        s->gives_back = 1;
        apr_pool_cleanup_register(s->pool, s, at_the_end, apr_pool_cleanup_null);
    }
    status = bs_lock_take(&s->lock, s->terms.store, &caller, &s->key, &rule);
    if (status == BSESSION_EBUSY) {
        return waited_in_vain(s, rule.wait);
    }
    status = status == APR_SUCCESS ? look_again(s) : bs_session_failed(s, status);
    if (status == APR_SUCCESS && s->let_go_early) {
        s->let_go_early = 0;
        status = s->headers_gone || s->record.revision == seen ? APR_SUCCESS : was_overtaken(s);
    }
    return status;
}

void bs_session_lock_first(bs_session_t *s)
{
    apr_status_t status;

    if (s->state != BS_PRESENT || s->let_go || s->headers_gone || s->outage
        || bs_session_is_locked(s)) {
        return;
    }
    status = take(s, rule_of(s));
    if (status == BSESSION_EBUSY) {
        bs_session_failed(s, status);
    }
    if (s->outage) {
        s->state = BS_OUTAGE;
    }
}

/** Once it was waited for in vain, what else is changed does not wait as long again; while the
 *  answer can be a 503 it becomes one. */
apr_status_t bs_session_lock_again(bs_session_t *s)
{
    bs_lock_rule_t rule = rule_of(s);
    apr_status_t status;

    if (s->state != BS_PRESENT || !s->terms.lock.on || bs_session_is_locked(s)) {
        return APR_SUCCESS;
    }
    if (s->waited) {
        rule.wait = 0;
    }
    status = take(s, rule);
    if (status == BSESSION_EBUSY) {
        s->waited = 1;
        if (!s->headers_gone) {
            bs_session_failed(s, status);
        }
    }
    return status;
}

apr_status_t bs_session_lock(bs_session_t *s)
{
    apr_status_t status = bs_session_load(s);

    if (s->outage) {
        return s->outage;
    }
    if (s->state != BS_PRESENT) {
        return status == APR_SUCCESS ? APR_NOTFOUND : status;
    }
    return bs_session_is_locked(s) ? keep(s, 0, apr_time_now() + rule_of(s).lease)
                                   : take(s, rule_of(s));
}

apr_status_t bs_session_unlock(bs_session_t *s)
{
    apr_status_t status, given;

    if (s->lock.state != BS_LOCK_HELD) {
        return APR_SUCCESS;
    }
    status = bs_session_save(s, 0);
    given = bs_session_let_go(s, 0);
    return status == APR_SUCCESS ? given : status;
}
