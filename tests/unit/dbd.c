/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What of the SQL store needs no database: its gate, and what a child keeps of what failed. */

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <apr_allocator.h>
#include <apr_general.h>
#include <apr_strings.h>

#include "dbd_backend.h"

static apr_pool_t         *pool;
static apr_interval_time_t later;

/* In place of APR's: the wall clock is set. */
apr_time_t apr_time_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000 + later;
}

static void setup(void)
{
    ck_assert_int_eq(apr_pool_create(&pool, NULL), APR_SUCCESS);
}

static void teardown(void)
{
    apr_pool_destroy(pool);
}

static bsession_call_t call_until(apr_interval_time_t left)
{
    bsession_call_t call = { .pool = pool, .deadline = apr_time_now() + left };

    return call;
}

/* ------------------------------------------------------------------ the gate */

START_TEST(a_clock_that_is_set_forward_holds_nobody_up)
{
    dbd_gate_t *gate = dbd_gate_make(2, 1, pool, pool);
    bsession_call_t call = call_until(apr_time_from_sec(30));
    int one, other;

    ck_assert_int_eq(dbd_gate_enter(gate, &one, &call), APR_SUCCESS);
    later = apr_time_from_sec(3600);
    call = call_until(apr_time_from_sec(30));
    ck_assert_msg(dbd_gate_enter(gate, &other, &call) == APR_SUCCESS, "%s", call.why);
    dbd_gate_leave(gate, one);
    dbd_gate_leave(gate, other);
}
END_TEST

START_TEST(a_clock_that_is_set_back_prolongs_no_wait)
{
    dbd_gate_t *gate = dbd_gate_make(1, 1, pool, pool);
    bsession_call_t call = call_until(apr_time_from_sec(30));
    apr_time_t began;
    int one, none;

    ck_assert_int_eq(dbd_gate_enter(gate, &one, &call), APR_SUCCESS);
    later = apr_time_from_sec(20);          /* what the system's clock lacks since it was set */
    call = call_until(apr_time_from_msec(100));
    began = apr_time_now();
    ck_assert_int_eq(dbd_gate_enter(gate, &none, &call), APR_TIMEUP);
    ck_assert_int_lt(apr_time_now() - began, apr_time_from_sec(10));
    ck_assert_str_eq(call.why, "all 1 connections of DBDMax are in use");
    dbd_gate_leave(gate, one);
}
END_TEST

typedef struct {
    dbd_gate_t  *gate;
    apr_pool_t  *child;
    apr_status_t status;
} visitor_t;

static void *enter(void *data)
{
    visitor_t *visitor = data;
    bsession_call_t call = call_until(apr_time_from_sec(30));
    int place;

    visitor->status = dbd_gate_enter(visitor->gate, &place, &call);
    return NULL;
}

static void *end_child(void *data)
{
    visitor_t *visitor = data;

    apr_pool_destroy(visitor->child);
    return NULL;
}

static int is_closed(dbd_gate_t *gate)
{
    bsession_call_t call = call_until(-1);
    int place;

    return dbd_gate_enter(gate, &place, &call) == APR_EOF;
}

/* Who waits to enter is told at once; and the end waits for who is in, and no longer. */
START_TEST(a_child_that_ends_waits_for_nobody_but_those_inside)
{
    visitor_t visitor = { 0 };
    bsession_call_t call = call_until(apr_time_from_sec(30));
    apr_time_t began = apr_time_now();
    pthread_t waits, ends;
    int place;

    ck_assert_int_eq(apr_pool_create(&visitor.child, pool), APR_SUCCESS);
    visitor.gate = dbd_gate_make(1, 1, visitor.child, pool);
    ck_assert_int_eq(dbd_gate_enter(visitor.gate, &place, &call), APR_SUCCESS);
    ck_assert_int_eq(pthread_create(&waits, NULL, enter, &visitor), 0);
    apr_sleep(apr_time_from_msec(50));      /* if it waits by then, more is seen */
    ck_assert_int_eq(pthread_create(&ends, NULL, end_child, &visitor), 0);
    while (!is_closed(visitor.gate)) {
        apr_sleep(apr_time_from_msec(1));
    }
    pthread_join(waits, NULL);
    ck_assert_int_eq(visitor.status, APR_EOF);
    ck_assert_int_lt(apr_time_now() - began, apr_time_from_sec(20));
    dbd_gate_leave(visitor.gate, place);
    pthread_join(ends, NULL);
    ck_assert_int_lt(apr_time_now() - began, apr_time_from_sec(20));
}
END_TEST

/* ------------------------------------------------------------------ memory */

static int most(void)
{
    return 3;
}

/* As in a child of the prefork MPM, beside whose one thread that of mod_watchdog sweeps. */
START_TEST(threads_share_the_memory_of_a_child_that_has_one)
{
    static const dbd_source_t source = { .most = most };
    bsession_services_t services = { .process_pool = pool };
    bsession_backend_t backend = { .source = &source, .services = &services,
                                   .dialect = dbd_dialect_of("sqlite3") };
    bsession_call_t call = call_until(apr_time_from_sec(1));
    apr_allocator_t *allocator;
    apr_pool_t *pchild;

    ck_assert_int_eq(apr_allocator_create(&allocator), APR_SUCCESS);
    ck_assert_int_eq(apr_pool_create_ex(&pchild, pool, NULL, allocator), APR_SUCCESS);
    ck_assert_ptr_null(apr_allocator_mutex_get(allocator));
    ck_assert_int_eq(dbd_child_init(&backend, pchild, &call), APR_SUCCESS);
    ck_assert_ptr_nonnull(apr_allocator_mutex_get(allocator));
    ck_assert_int_eq(dbd_child_init(&backend, pchild, &call), APR_SUCCESS);
    apr_pool_destroy(pchild);
    ck_assert_ptr_null(apr_allocator_mutex_get(allocator));
    apr_allocator_destroy(allocator);
}
END_TEST

/* In place of the driver's: one whose database has no such table, and lets nobody make it. */
int apr_dbd_prepare(const apr_dbd_driver_t *driver, apr_pool_t *from, apr_dbd_t *handle,
                    const char *query, const char *label, apr_dbd_prepared_t **statement)
{
    (void)driver, (void)handle, (void)label;
    *statement = apr_palloc(from, 64);
    return strcmp(query, "SELECT 1") == 0 ? 0 : 1;
}

int apr_dbd_select(const apr_dbd_driver_t *driver, apr_pool_t *from, apr_dbd_t *handle,
                   apr_dbd_results_t **results, const char *query, int random)
{
    (void)driver, (void)from, (void)handle, (void)results, (void)random;
    return strcmp(query, "SELECT 1") == 0 ? 0 : 1;
}

int apr_dbd_query(const apr_dbd_driver_t *driver, apr_dbd_t *handle, int *rows, const char *query)
{
    (void)driver, (void)handle, (void)rows, (void)query;
    return 1;
}

const char *apr_dbd_error(const apr_dbd_driver_t *driver, apr_dbd_t *handle, int code)
{
    (void)driver, (void)handle, (void)code;
    return "permission denied";
}

/* Pages of this process: APR's pools may take theirs past malloc, which then says nothing. */
static long pages(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long all, resident = 0;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld %ld", &all, &resident), 2);
    fclose(file);
    return resident;
}

START_TEST(a_child_does_not_grow_by_what_is_refused)
{
    dbd_connection_t connection = { .pool = pool };
    dbd_session_t *session;
    apr_pool_t *scratch;
    long before = 0;
    int i;

    ck_assert_int_eq(apr_pool_create(&scratch, pool), APR_SUCCESS);
    session = dbd_session_of(&connection, dbd_dialect_of("pgsql"), "bsession", scratch);
    for (i = 0; i < 12000; i++) {
        dbd_question_t question = { .statement = DBD_LOAD, .reads = 1 };
        const char *sentence = NULL;
        dbd_answer_t answer;

        if (i == 3000) {            /* a sanitizer has all that it wants by then */
            before = pages();
        }
        ck_assert_int_eq(dbd_session_run(session, &question, &answer, &sentence, scratch),
                         DBD_REFUSED);
        ck_assert_str_eq(sentence, "the user of DBDParams may not do that");
        apr_pool_clear(scratch);
    }
    ck_assert_int_lt(pages(), before + 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dbd");
    TCase *tests = tcase_create("a child");
    SRunner *runner;
    int failed;

    apr_initialize();
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_clock_that_is_set_forward_holds_nobody_up);
    tcase_add_test(tests, a_clock_that_is_set_back_prolongs_no_wait);
    tcase_add_test(tests, a_child_that_ends_waits_for_nobody_but_those_inside);
    tcase_add_test(tests, threads_share_the_memory_of_a_child_that_has_one);
    tcase_add_test(tests, a_child_does_not_grow_by_what_is_refused);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    apr_terminate();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
