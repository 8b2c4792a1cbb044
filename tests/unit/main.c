/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "suites.h"

#include <stdio.h>
#include <stdlib.h>

#include <apr_general.h>

static Suite *(*const suites[])(void) = {
    record_suite,
    token_suite,
    secret_suite,
    seal_suite,
    cookie_suite,
    parse_suite,
    key_suite,
    lock_suite,
    merge_suite,
    meta_suite,
    breaker_suite,
    store_call_suite,
    store_many_suite,
    store_told_suite,
    session_suite,
    session_outage_suite,
    session_login_suite,
    session_rotate_suite,
    session_renewed_suite,
    session_reuse_suite,
    session_race_suite,
    session_threads_suite,
    session_told_suite,
    session_life_suite,
    session_fence_suite,
    session_lock_suite,
    session_left_suite,
    session_move_suite,
    binding_suite,
    users_suite,
    users_list_suite,
    users_race_suite,
    guess_suite,
    cache_suite,
    cache_clear_suite,
    cache_broken_suite,
    file_suite,
    memory_suite
};

apr_pool_t *pool;

void pool_setup(void)
{
    ck_assert_int_eq(apr_pool_create(&pool, NULL), APR_SUCCESS);
}

void pool_teardown(void)
{
    apr_pool_destroy(pool);
    pool = NULL;
}

/* What to run, and how much to say, is libcheck's own: CK_RUN_SUITE=token CK_VERBOSITY=verbose,
 * CK_FORK=no under a debugger. */
int main(void)
{
    SRunner *runner = srunner_create(NULL);
    size_t i;
    int failed;

    if (apr_initialize() != APR_SUCCESS) {
        fputs("APR could not be initialised\n", stderr);
        return EXIT_FAILURE;
    }
    for (i = 0; i < sizeof(suites) / sizeof(*suites); i++) {
        srunner_add_suite(runner, suites[i]());
    }
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    apr_terminate();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
