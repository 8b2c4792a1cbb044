/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file test_rotate.h
 * @brief What the test files of timed rotation share. A visit is a request that reads, to the
 *        moment when its answer leaves.
 */
#ifndef BS_TEST_ROTATE_H
#define BS_TEST_ROTATE_H

#include "bed.h"

#define EVERY apr_time_from_sec(100)
#define GRACE apr_time_from_sec(10)

extern bs_token_t rotate_first;         /* of a session that has a=1 */

void          rotate_setup(void);
bs_session_t *rotate_loaded(const bs_token_t *with);
/** It is saved, and its headers leave. */
void          rotate_answer(bs_session_t *s);
bs_session_t *rotate_visit(const bs_token_t *with);
/** What a client has after a visit that gives it a new token; another one fails. */
bs_token_t    rotate_renewed(const bs_token_t *with);
/** A visit that gives it none. */
void          rotate_is_kept(const bs_token_t *with);
void          rotate_pass(apr_interval_time_t time);

#endif
