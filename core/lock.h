/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file lock.h
 * @brief A lease on a record: who holds it has that record for himself, on all servers that share
 *        the store.
 *
 * A lease is a record of its own, with the same 16 bytes for a key in the space 'l', the mark of
 * its holder, and a life. Whoever creates it has it. It is given back by its removal at its
 * revision; one whose holder died ends by itself, and nobody takes it before. Revisions begin at
 * random, so that a late removal meets no other one's lease.
 *
 *     FREE ──take──> HELD ──keep──> HELD
 *                     │ └──drop──> FREE
 *                     └──keep, check──> FREE    it ended, or is another one's by now
 *     FREE ──take──> PERHAPS   no answer: a lease with our mark that is found later is ours
 */
#ifndef BS_LOCK_H
#define BS_LOCK_H

#include "terms.h"

#define BS_MARK_SIZE 16

/** Where a module locks by hand, and no BSessionLock says how. */
#define BS_LOCK_WAIT  apr_time_from_sec(10)
#define BS_LOCK_LEASE apr_time_from_sec(30)

typedef enum { BS_LOCK_FREE, BS_LOCK_HELD, BS_LOCK_PERHAPS } bs_lock_state_t;

/** All zeros is its beginning. */
typedef struct {
    bs_lock_state_t state;
    bs_store_t     *store;
    bsession_key_t  key;                        /* the lease's */
    unsigned char   mark[BS_MARK_SIZE];
    apr_uint64_t    revision;
    apr_time_t      until;                      /* it does not end before */
} bs_lock_t;

/** Whether it is held, and is this record's. */
int          bs_lock_is_of(const bs_lock_t *lock, const bsession_key_t *of);

/** Waits for rule->wait while another one has it, and then BSESSION_EBUSY. caller->deadline is of
 *  no account: each call has the store's own time-out. */
apr_status_t bs_lock_take(bs_lock_t *lock, bs_store_t *store, const bs_caller_t *caller,
                          const bsession_key_t *of, const bs_lock_rule_t *rule);

/** Sees to it that a lease that is held does not end before `until`. BSESSION_EBUSY: it is ours no
 *  more. */
apr_status_t bs_lock_keep(bs_lock_t *lock, const bs_caller_t *caller, const bs_lock_rule_t *rule,
                          apr_time_t until);

/** What the store says of one that is held: APR_SUCCESS, or BSESSION_EBUSY. */
apr_status_t bs_lock_check(bs_lock_t *lock, const bs_caller_t *caller);

/** It is free then, whatever the answer is: at the latest when the lease ends. */
apr_status_t bs_lock_drop(bs_lock_t *lock, const bs_caller_t *caller);

#endif
