/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file test_session_lock.h
 * @brief What the test files of locks share: a session whose number is "5", and its lease.
 */
#ifndef BS_TEST_SESSION_LOCK_H
#define BS_TEST_SESSION_LOCK_H

#include "bed.h"

extern bs_token_t    lock_token;
extern bs_session_t *lock_other;

void           lock_setup(void);
bs_session_t  *lock_loaded(void);
bsession_key_t lock_lease_key(void);
/** Whether anybody has it, past the orders of the provider but for its counts. */
int            lock_is_leased(void);
void           lock_lease_ends(void);
void           lock_finish(bs_session_t *s);
/** What a request does without a lock: a place that has none, or an application beside. */
void           lock_save_unlocked(void);
void           lock_increment(bs_session_t *s);
void           lock_lease_is_anothers(void);
/** Nothing is written, nothing is tried again, and the response is no answer. */
void           lock_is_refused(bs_session_t *s);

#endif
