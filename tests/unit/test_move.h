/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file test_move.h
 * @brief What the test files of a change of stores share: a session in the older one.
 */
#ifndef BS_TEST_MOVE_H
#define BS_TEST_MOVE_H

#include "bed.h"

extern bs_token_t move_token;

void          move_setup(void);
/** Of another request. */
bs_session_t *move_loaded(void);
int           move_is_in(const bs_store_t *store);

#endif
