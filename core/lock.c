/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "lock.h"

#include <string.h>

#include "mod_bsession.h"

/* Who waits asks again after anything up to this, which doubles with each try. */
#define FIRST_PAUSE   apr_time_from_msec(1)
#define LONGEST_PAUSE apr_time_from_msec(50)

static int same_bytes(const bs_lock_t *lock, const bsession_key_t *of)
{
    return memcmp(lock->key.bytes, of->bytes, sizeof of->bytes) == 0;
}

int bs_lock_is_of(const bs_lock_t *lock, const bsession_key_t *of)
{
    return lock->state == BS_LOCK_HELD && same_bytes(lock, of);
}

static apr_status_t save(bs_lock_t *lock, const bs_caller_t *caller, bsession_save_mode_t mode,
                         apr_time_t until)
{
    bsession_bytes_t mark = { (const char *)lock->mark, BS_MARK_SIZE };
    bsession_record_t record = { .expires = until, .meta = mark };
    bsession_save_t wanted = { .mode = mode, .base = lock->revision, .record = &record };
    bsession_saved_t saved = { 0 };
    apr_status_t status = bs_store_save(lock->store, caller, &lock->key, &wanted, &saved);

    if (status == APR_SUCCESS) {
        lock->revision += mode == BSESSION_REPLACE;
        lock->until = until;
        lock->state = BS_LOCK_HELD;
    }
    return status;
}

/** Reads the lease. APR_NOTFOUND: there is none; BSESSION_EBUSY: it is another one's. */
static apr_status_t look(bs_lock_t *lock, const bs_caller_t *caller)
{
    bsession_record_t record;
    apr_status_t status = bs_store_load(lock->store, caller, &lock->key, &record);

    if (status == BSESSION_ECORRUPT) {
        return BSESSION_EBUSY;
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    if (record.meta.len != BS_MARK_SIZE
        || memcmp(record.meta.data, lock->mark, BS_MARK_SIZE) != 0) {
        return BSESSION_EBUSY;
    }
    lock->state = BS_LOCK_HELD;
    lock->revision = record.revision;
    lock->until = record.expires;
    return APR_SUCCESS;
}

/* ---- taking it ---- */

/** The mark of a try whose answer was lost stays: it may have been done. */
static apr_status_t begin(bs_lock_t *lock, bs_store_t *store, const bs_caller_t *caller,
                          const bsession_key_t *of)
{
    apr_status_t status;

    if (lock->state == BS_LOCK_PERHAPS && same_bytes(lock, of)) {
        return APR_SUCCESS;
    }
    bs_lock_drop(lock, caller);
    lock->store = store;
    lock->key = *of;
    lock->key.space = 'l';
    status = bs_random_bytes(lock->mark, BS_MARK_SIZE);
    return status == APR_SUCCESS ? bs_random_revision(&lock->revision) : status;
}

static apr_status_t try_once(bs_lock_t *lock, const bs_caller_t *caller, const bs_lock_rule_t *rule)
{
    apr_status_t status = save(lock, caller, BSESSION_CREATE, apr_time_now() + rule->lease);

    if (status == APR_EEXIST && lock->state == BS_LOCK_PERHAPS) {
        status = look(lock, caller);
        return status == APR_NOTFOUND || status == BSESSION_EBUSY ? APR_EEXIST : status;
    }
    if (bs_is_outage(status) && status != BS_ESPARED && status != BSESSION_EFULL) {
        lock->state = BS_LOCK_PERHAPS;
    }
    return status;
}

apr_status_t bs_lock_take(bs_lock_t *lock, bs_store_t *store, const bs_caller_t *caller,
                          const bsession_key_t *of, const bs_lock_rule_t *rule)
{
    bs_caller_t each = *caller;
    apr_time_t give_up = apr_time_now() + rule->wait;
    apr_status_t status = begin(lock, store, caller, of);
    int tries;

    if (status != APR_SUCCESS) {
        return status;
    }
    each.deadline = 0;
    apr_pool_create(&each.pool, caller->pool);      /* who waits long asks often */
    for (tries = 0; ; tries++) {
        status = try_once(lock, &each, rule);
        if (status != APR_EEXIST) {
            break;
        }
        if (apr_time_now() >= give_up) {
            status = BSESSION_EBUSY;
            break;
        }
        apr_pool_clear(each.pool);
        bs_pause(FIRST_PAUSE, LONGEST_PAUSE, tries, give_up);
    }
    apr_pool_destroy(each.pool);
    return status;
}

/* ---- having it ---- */

static apr_status_t lost(bs_lock_t *lock)
{
    lock->state = BS_LOCK_FREE;
    return BSESSION_EBUSY;
}

apr_status_t bs_lock_check(bs_lock_t *lock, const bs_caller_t *caller)
{
    apr_status_t status = look(lock, caller);

    return status == APR_NOTFOUND || status == BSESSION_EBUSY ? lost(lock) : status;
}

apr_status_t bs_lock_keep(bs_lock_t *lock, const bs_caller_t *caller, const bs_lock_rule_t *rule,
                          apr_time_t until)
{
    apr_time_t end = apr_time_now() + rule->lease;
    apr_status_t status;

    if (lock->until >= until) {
        return APR_SUCCESS;
    }
    end = end > until ? end : until;
    status = save(lock, caller, BSESSION_REPLACE, end);
    if (status == APR_EMISMATCH) {      /* a renewal whose answer was lost, or another one's */
        status = bs_lock_check(lock, caller);
        if (status == APR_SUCCESS) {
            status = save(lock, caller, BSESSION_REPLACE, end);
        }
    }
    return status == APR_NOTFOUND || status == APR_EMISMATCH ? lost(lock) : status;
}

apr_status_t bs_lock_drop(bs_lock_t *lock, const bs_caller_t *caller)
{
    apr_status_t status;

    if (lock->state == BS_LOCK_FREE) {
        return APR_SUCCESS;
    }
    status = bs_store_remove(lock->store, caller, &lock->key, lock->revision);
    if (status == APR_EMISMATCH && look(lock, caller) == APR_SUCCESS) {
        status = bs_store_remove(lock->store, caller, &lock->key, lock->revision);
    }
    lock->state = BS_LOCK_FREE;
    return bs_is_outage(status) ? status : APR_SUCCESS;
}
