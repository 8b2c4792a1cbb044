/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Where a site changes its store, BSessionMigrateFrom names the older one, and here are the two
 * things that then concern both: a session moves when it is saved, and ends in both.
 *
 * A move creates the record in the store in use, looks whether the older one still has what was
 * loaded, and removes that. Whoever looks a token up asks the store in use first, so from the
 * creation on that record is the one. Who ends a session removes it in the older store first, and
 * then in the one in use. So either the mover finds that it has ended, and takes back what he made;
 * or it ended after he had made that, and then the end comes here, too: no session comes back. What
 * the removal answers decides nothing: one whose answer was lost may have been done, and one that
 * was sent again may have met its own work. So no session is lost, either.
 *
 * Who prolongs one that was found in the older store does so there first, and then here. So either
 * the mover, who looks there after he has made it here, finds the longer life; or it is here by
 * then.
 */

#include "session.h"

#include "token.h"

static apr_status_t take_back(const bs_session_t *s, const bs_caller_t *caller, apr_uint64_t revision)
{
    return bs_store_remove(s->terms.store, caller, &s->key, revision);
}

/** What we loaded is there no more. If it was ended, what we made goes, whatever others did to it;
 *  if somebody who knows of one store only has changed it there, only while nobody has built on
 *  it. */
static apr_status_t give_up(const bs_session_t *s, const bs_caller_t *caller, apr_status_t because,
                            apr_uint64_t made)
{
    apr_status_t status = take_back(s, caller, because == APR_NOTFOUND ? 0 : made);

    if (because == APR_EMISMATCH && status == APR_EMISMATCH) {  /* that is the session now */
        status = bs_store_remove(s->terms.older, caller, &s->key, 0);
        return bs_is_outage(status) ? status : APR_SUCCESS;
    }
    return bs_is_outage(status) ? status : because;
}

/** What a touch has made of the life in the older store since we loaded it. */
static apr_status_t take_life_along(const bs_session_t *s, const bs_caller_t *caller,
                                    apr_time_t there, apr_time_t here)
{
    apr_status_t status = APR_SUCCESS;

    if (here != 0 && (there == 0 || there > here)) {
        status = bs_store_touch(s->terms.store, caller, &s->key, there);
    }
    return bs_is_outage(status) ? status : APR_SUCCESS;
}

/** The record is in both stores. */
static apr_status_t leave_older(const bs_session_t *s, const bs_caller_t *caller, apr_uint64_t made,
                                apr_time_t end)
{
    bsession_record_t record;
    apr_status_t status = bs_store_load(s->terms.older, caller, &s->key, &record);

    if (status == APR_SUCCESS && record.revision == s->record.revision) {
        status = take_life_along(s, caller, record.expires, end);
        if (status != APR_SUCCESS) {
            return status;
        }
        status = bs_store_remove(s->terms.older, caller, &s->key, record.revision);
        return status == APR_EMISMATCH ? give_up(s, caller, status, made) : APR_SUCCESS;
    }
    return give_up(s, caller, status == APR_SUCCESS ? APR_EMISMATCH : status, made);
}

apr_status_t bs_session_move(bs_session_t *s, const bs_caller_t *caller, const bsession_save_t *wanted,
                             bsession_saved_t *saved)
{
    bsession_record_t record = *wanted->record;
    bsession_save_t save = *wanted;
    bs_caller_t durably = *caller;
    apr_status_t status = bs_random_revision(&save.base);

    if (status != APR_SUCCESS) {
        return status;
    }
    if (record.expires == BSESSION_KEEP) {
        record.expires = s->record.expires;
    }
    save.mode = BSESSION_CREATE;
    save.record = &record;
    status = bs_store_save(s->terms.store, caller, &s->key, &save, saved);
    if (status != APR_SUCCESS) {
        return status == APR_EEXIST ? APR_EMISMATCH : status;
    }
    durably.flags |= BSESSION_DURABLE;
    status = leave_older(s, &durably, save.base, record.expires);
    if (status == APR_SUCCESS) {
        saved->revision = save.base;
        s->home = s->terms.store;
        bs_store_count(s->terms.store, BS_MIGRATED);
    }
    return status;
}

/* ---- the end ---- */

static apr_status_t remove_any(bs_store_t *store, const bs_session_t *s, const bs_caller_t *caller)
{
    apr_status_t status = bs_store_remove(store, caller, &s->key, 0);

    return status == APR_NOTFOUND ? APR_SUCCESS : status;
}

/** First the older store, then the one in use: whoever finds it there meanwhile and moves it makes
 *  it where it still goes, or finds that it has gone. At the revision that this request may speak
 *  for, where it is: after another request's login it is no longer this one's to destroy. */
static apr_status_t remove_once(const bs_session_t *s, const bs_caller_t *caller)
{
    int moving = s->terms.older && s->home == s->terms.older;
    apr_status_t status = APR_SUCCESS;

    if (s->terms.older && !moving) {
        /* of a move that could not tell whether it was done something may be left */
        status = remove_any(s->terms.older, s, caller);
    }
    if (status == APR_SUCCESS) {
        status = bs_store_remove(s->home, caller, &s->key, s->record.revision);
    }
    /* who was moving it may not live to take back what he made */
    return status == APR_SUCCESS && moving ? remove_any(s->terms.store, s, caller) : status;
}

apr_status_t bs_session_remove(bs_session_t *s, apr_time_t deadline)
{
    bs_caller_t caller = bs_session_caller(s, deadline);
    apr_status_t status = bs_session_keep_lock(s, deadline);
    int tries;

    caller.flags |= BSESSION_DURABLE;
    for (tries = 0; status == APR_SUCCESS; tries++) {
        int moved;

        status = remove_once(s, &caller);
        moved = status == APR_NOTFOUND && s->home == s->terms.older;
        if (!moved && status != APR_EMISMATCH) {
            return status;
        }
        if (apr_time_now() >= deadline) {
            return APR_TIMEUP;
        }
        status = bs_session_check_lock(s, deadline);
        if (status == APR_SUCCESS) {
            bs_store_pause(tries, deadline);
            status = bs_session_find(s, &s->token, deadline);
        }
    }
    return status;
}
