/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file suites.h
 * @brief The suites of the unit tests, one a file. A new one is declared here and listed in main.c.
 */
#ifndef BS_TEST_SUITES_H
#define BS_TEST_SUITES_H

#include <apr_pools.h>
#include <check.h>

Suite *record_suite(void);
Suite *token_suite(void);
Suite *secret_suite(void);
Suite *seal_suite(void);
Suite *cookie_suite(void);
Suite *parse_suite(void);
Suite *key_suite(void);
Suite *lock_suite(void);
Suite *merge_suite(void);
Suite *meta_suite(void);
Suite *breaker_suite(void);
Suite *store_call_suite(void);
Suite *store_many_suite(void);
Suite *store_told_suite(void);
Suite *session_suite(void);
Suite *session_outage_suite(void);
Suite *session_login_suite(void);
Suite *session_race_suite(void);
Suite *session_rotate_suite(void);
Suite *session_renewed_suite(void);
Suite *session_reuse_suite(void);
Suite *session_threads_suite(void);
Suite *session_told_suite(void);
Suite *session_life_suite(void);
Suite *session_fence_suite(void);
Suite *session_lock_suite(void);
Suite *session_left_suite(void);
Suite *session_move_suite(void);
Suite *binding_suite(void);
Suite *users_suite(void);
Suite *users_list_suite(void);
Suite *users_race_suite(void);
Suite *guess_suite(void);
Suite *cache_suite(void);
Suite *cache_clear_suite(void);
Suite *cache_broken_suite(void);
Suite *file_suite(void);
Suite *memory_suite(void);

/** A pool for each test: a test case that has pool_setup and pool_teardown as its fixture
 *  (tcase_add_checked_fixture) finds a new one here. */
extern apr_pool_t *pool;

void pool_setup(void);
void pool_teardown(void);

#endif
