/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file test_users.h
 * @brief What the test files of owners share.
 */
#ifndef BS_TEST_USERS_H
#define BS_TEST_USERS_H

#include "bed.h"
#include "users_book.h"

/** The n-th call of this verb from now on: `happen` goes before it. */
void users_before(bs_verb_t verb, int n, void (*happen)(void));
/** Whether it came to that. */
int  users_came_to_it(void);
/** Stores are not looked through: the lists are all there is. */
void users_cannot_scan(void);

/** A request that logs in, and is not saved. */
bs_session_t *users_named(const bs_token_t *token, const char *name);
/** A new session of this user. */
bs_session_t *users_login(const char *name);
/** That are stored, in whichever store. */
int           users_alive(const char *name);
/** That the list says are alive. */
int           users_listed(const char *name);
/** All that are in the list. */
int           users_entries(const char *name);
/** What the list says came so much earlier. */
void          users_age(const char *name, apr_interval_time_t time);
/** The list is lost. */
void          users_lose_list(const char *name);
apr_status_t  users_revoke(const char *name);

#endif
