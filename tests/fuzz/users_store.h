/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file users_store.h
 * @brief The stores of fuzz_users.c: they hold what the input says, and what the core writes is
 *        looked at.
 */
#ifndef BS_TEST_USERS_STORE_H
#define BS_TEST_USERS_STORE_H

#include "fuzz.h"
#include "users.h"

/** The one, and the older one. */
extern bs_store_t users_stores[2];

/** The input from here on, and the time from its beginning. */
void           users_input(const uint8_t *data, size_t size);
/** 0 when nothing is left. */
unsigned       users_next(void);
int            users_is_over(void);

/** Of the session of this number, below 65,536. */
bsession_key_t users_key(unsigned number);

/** The user's places are filled from the input. */
void           users_fill(const bs_user_t *user);
void           users_empty(void);

/** What goes wrong with one of the calls to come is read from the input. */
void           users_plan(void);
/** Nothing does. */
void           users_settle(void);
/** Whether anything has gone wrong since the plan was read. */
int            users_were_disturbed(void);
/** Whether there is a list that nobody can write to: its revision is 0. */
int            users_are_stuck(void);

#endif
