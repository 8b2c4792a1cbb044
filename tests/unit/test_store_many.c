/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Calls of a store that are about many records, and its numbers. */

#include "bed.h"

#include <string.h>

#define KEYS 3

static bsession_provider_t with_nodes;
static bsession_key_t      keys[KEYS];      /* each on a node of its own */
static bsession_record_t   records[KEYS];
static apr_status_t        statuses[KEYS];
static apr_status_t        inner[KEYS];     /* what the store answers for keys that begin with i */
static int                 asked;

static unsigned node_by_first_byte(bsession_backend_t *backend, const bsession_key_t *key)
{
    (void)backend;
    return key->bytes[0];
}

static apr_status_t answers(bsession_backend_t *backend, const bsession_key_t *of, int n,
                            bsession_record_t *found, apr_status_t *each, bsession_call_t *call)
{
    int i;

    (void)backend;
    (void)call;
    asked = n;
    for (i = 0; i < n; i++) {
        each[i] = inner[of[i].bytes[0]];
        found[i].revision = 100u + of[i].bytes[0];
    }
    return APR_SUCCESS;
}

static void many_setup(void)
{
    int i;

    bed_setup();
    with_nodes = *bed_store.provider;
    with_nodes.node_of = node_by_first_byte;
    with_nodes.load_many = answers;
    bed_store.provider = &with_nodes;
    memset(keys, 0, sizeof(keys));
    memset(inner, 0, sizeof(inner));
    for (i = 0; i < KEYS; i++) {
        keys[i].space = 'c';
        keys[i].bytes[0] = (unsigned char)i;
    }
}

static void load_all(void)
{
    bs_caller_t by = { .pool = pool };

    bs_store_load_many(&bed_store, &by, keys, KEYS, records, statuses);
}

START_TEST(each_gets_its_own_answer)
{
    int i;

    inner[1] = APR_NOTFOUND;
    load_all();
    ck_assert_int_eq(asked, KEYS);
    for (i = 0; i < KEYS; i++) {
        bed_is(statuses[i], i == 1 ? APR_NOTFOUND : APR_SUCCESS);
        ck_assert_uint_eq(records[i].revision, 100u + (unsigned)i);
    }
}
END_TEST

/* One node's failures spare that one, and the others are asked as before. */
START_TEST(nodes_fail_alone)
{
    int i;

    inner[1] = BED_OUTAGE;
    for (i = 0; i < 5; i++) {
        load_all();
        bed_is(statuses[0], APR_SUCCESS);
        bed_is(statuses[1], BED_OUTAGE);
        bed_is(statuses[2], APR_SUCCESS);
    }
    inner[1] = APR_SUCCESS;
    load_all();
    ck_assert_int_eq(asked, KEYS - 1);
    bed_is(statuses[0], APR_SUCCESS);
    bed_is(statuses[1], BS_ESPARED);
    bed_is(statuses[2], APR_SUCCESS);
    ck_assert_uint_eq(records[2].revision, 102);
    ck_assert(!bs_store_is_open(&bed_store, &keys[0]));
    ck_assert(bs_store_is_open(&bed_store, &keys[1]));
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_LOAD][BS_SPARED], 1);
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_LOAD][BS_UNKNOWN], 5);
}
END_TEST

static apr_status_t stop(void *baton, const bsession_key_t *key, const bsession_record_t *record)
{
    (void)key;
    (void)record;
    ++*(int *)baton;
    return APR_EOF;
}

/* Who looks at a scan may stop it as often as he likes. */
START_TEST(a_scan_that_is_stopped_is_no_failure)
{
    bs_caller_t by = { .pool = pool };
    int shown = 0, i;

    bed_session("a", "1", NULL);
    for (i = 0; i < 10; i++) {
        bsession_cursor_t cursor = { 0 };

        while (!cursor.done
               && bs_store_scan(&bed_store, &by, 's', &cursor, stop, &shown) == APR_SUCCESS) {
            ck_assert_int_eq(shown, i);
        }
    }
    ck_assert_int_eq(shown, 10);
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_SCAN][BS_UNKNOWN], 0);
    bed_answer(BS_VERB_SCAN, BED_OUTAGE, 5);
    for (i = 0; i < 5; i++) {
        bsession_cursor_t cursor = { 0 };

        bed_is(bs_store_scan(&bed_store, &by, 's', &cursor, stop, &shown), BED_OUTAGE);
    }
    ck_assert(bs_store_is_open(&bed_store, NULL));
}
END_TEST

START_TEST(whether_it_scans_is_asked_once)
{
    bs_caller_t by = { .pool = pool };
    bsession_cursor_t cursor = { 0 };
    int shown = 0;

    bed_answer(BS_VERB_SCAN, BED_OUTAGE, 1);
    bed_is(bs_store_can_scan(&bed_store, &by), BED_OUTAGE);
    bed_is(bs_store_can_scan(&bed_store, &by), APR_SUCCESS);
    bed_is(bs_store_can_scan(&bed_store, &by), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_SCAN), 2);
    /* another version of its module has none any more */
    bed_answer(BS_VERB_SCAN, APR_ENOTIMPL, 1);
    bed_is(bs_store_scan(&bed_store, &by, 'c', &cursor, stop, &shown), APR_ENOTIMPL);
    bed_is(bs_store_can_scan(&bed_store, &by), APR_ENOTIMPL);
    ck_assert_int_eq(bed_calls(BS_VERB_SCAN), 3);
}
END_TEST

START_TEST(the_numbers_of_a_store)
{
    bs_caller_t by = { .pool = pool };
    bsession_stats_t stats;
    bsession_record_t record;
    int i;

    bed_session("a", "1", NULL);
    bs_store_stats(&bed_store, &by, &stats);
    ck_assert_uint_eq(stats.records, 1);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 5);
    for (i = 0; i < 5; i++) {
        bed_is(bs_store_load(&bed_store, &by, &keys[0], &record), BED_OUTAGE);
    }
    bs_store_stats(&bed_store, &by, &stats);    /* it is left alone */
    ck_assert_uint_eq(stats.records, BSESSION_UNKNOWN);
}
END_TEST

Suite *store_many_suite(void)
{
    Suite *suite = suite_create("store_many");
    TCase *tests = tcase_create("store_many");

    tcase_add_checked_fixture(tests, many_setup, bed_teardown);
    tcase_add_test(tests, each_gets_its_own_answer);
    tcase_add_test(tests, nodes_fail_alone);
    tcase_add_test(tests, a_scan_that_is_stopped_is_no_failure);
    tcase_add_test(tests, whether_it_scans_is_asked_once);
    tcase_add_test(tests, the_numbers_of_a_store);
    suite_add_tcase(suite, tests);
    return suite;
}
