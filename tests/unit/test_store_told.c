/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What the log is told of a store where one verb fails and the others succeed, and of its nodes. */

#include "bed.h"

#include <string.h>

#include <apr_strings.h>

static bs_token_t token;
static unsigned   node;                     /* that all keys live on */
static int        number;                   /* what it is called; 0: by nothing */

static void told_setup(void)
{
    bed_setup();
    token = bed_session("a", "1", NULL);
}

static apr_status_t touch(void)
{
    bs_caller_t by = { .pool = pool };
    bsession_key_t key;

    bs_token_key(&token, &key);
    return bs_store_touch(&bed_store, &by, &key, apr_time_now() + BED_IDLE);
}

static apr_status_t load(void)
{
    bs_caller_t by = { .pool = pool };
    bsession_record_t record;
    bsession_key_t key;

    bs_token_key(&token, &key);
    return bs_store_load(&bed_store, &by, &key, &record);
}

static apr_status_t save(void)
{
    bsession_record_t record = { .expires = apr_time_now() + BED_IDLE, .revision = 1 };
    bsession_save_t put = { .mode = BSESSION_PUT, .record = &record, .base = 1 };
    bs_caller_t by = { .pool = pool };
    bsession_saved_t saved;
    bsession_key_t key;

    bs_token_key(&token, &key);
    return bs_store_save(&bed_store, &by, &key, &put, &saved);
}

START_TEST(a_verb_that_fails_alone_is_told_of_once)
{
    int i;

    bed_answer(BS_VERB_TOUCH, BED_OUTAGE, 10);
    for (i = 0; i < 10; i++) {
        bed_is(touch(), BED_OUTAGE);
        bed_is(load(), APR_SUCCESS);
    }
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "touch failed"));
}
END_TEST

START_TEST(and_again_when_it_has_succeeded_since)
{
    int i;

    for (i = 0; i < 3; i++) {
        bed_answer(BS_VERB_TOUCH, BED_OUTAGE, 1);
        bed_is(touch(), BED_OUTAGE);
        bed_is(touch(), APR_SUCCESS);
    }
    ck_assert_int_eq(bed_lines(), 3);
}
END_TEST

START_TEST(each_verb_is_told_of)
{
    bed_answer(BS_VERB_TOUCH, BED_OUTAGE, 1);
    bed_is(touch(), BED_OUTAGE);
    bed_is(load(), APR_SUCCESS);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);
    bed_is(load(), BED_OUTAGE);
    ck_assert_int_eq(bed_lines(), 2);
}
END_TEST

START_TEST(after_an_outage_it_is_told_of_anew)
{
    int i;

    bed_answer(BS_VERB_TOUCH, BED_OUTAGE, 5);
    for (i = 0; i < 5; i++) {
        bed_is(touch(), BED_OUTAGE);
    }
    ck_assert_int_eq(bed_lines(), 2);                   /* the first, and that it is left alone */
    bed_shared.nodes[0].open_until = 1;                 /* its rest is over */
    bed_is(load(), APR_SUCCESS);
    ck_assert_int_eq(bed_lines(), 3);
    bed_answer(BS_VERB_TOUCH, BED_OUTAGE, 1);
    bed_is(touch(), BED_OUTAGE);
    ck_assert_int_eq(bed_lines(), 4);
}
END_TEST

START_TEST(a_full_store_is_told_of_once_and_asked_on)
{
    int i;

    bed_answer(BS_VERB_SAVE, BSESSION_EFULL, 20);
    for (i = 0; i < 20; i++) {
        bed_is(save(), BSESSION_EFULL);
    }
    ck_assert_int_eq(bs_is_outage(BSESSION_EFULL), 1);
    bed_is(load(), APR_SUCCESS);
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "save failed: "));
}
END_TEST

START_TEST(what_visitors_bring_about_is_a_warning_so_often)
{
    int i;

    for (i = 0; i < BS_WARNINGS_A_MINUTE; i++) {
        ck_assert_int_eq(bs_store_warning(&bed_store, BS_TOLD_DAMAGED), BS_LOG_WARNING);
    }
    for (i = 0; i < 300; i++) {
        ck_assert_int_eq(bs_store_warning(&bed_store, BS_TOLD_DAMAGED), BS_LOG_INFO);
    }
    ck_assert_int_eq(bs_store_warning(&bed_store, BS_TOLD_REUSED), BS_LOG_WARNING);
    bed_shared.told[BS_TOLD_DAMAGED] -= (apr_uint64_t)60 << 8;      /* a minute later */
    ck_assert_int_eq(bs_store_warning(&bed_store, BS_TOLD_DAMAGED), BS_LOG_WARNING);
}
END_TEST

/* ---- a store of several nodes ---- */

static unsigned node_of(bsession_backend_t *backend, const bsession_key_t *key)
{
    (void)backend, (void)key;
    return node;
}

static const char *node_name(bsession_backend_t *backend, const bsession_key_t *key, apr_pool_t *in)
{
    (void)backend, (void)key;
    return number ? apr_psprintf(in, "node-%d", number) : NULL;
}

static void with_nodes(int called)
{
    static bsession_provider_t provider;

    provider = *bed_store.provider;
    provider.node_of = node_of;
    provider.node_name = node_name;
    bed_store.provider = &provider;
    node = 7;
    number = called;
}

static void told(const char *part)
{
    ck_assert_msg(strstr(bed_last_line(), part) != NULL, "%s", bed_last_line());
}

/* That a node is left alone, fails on, and answers again is said of the same node. */
START_TEST(a_node_is_called_by_its_name)
{
    int i;

    with_nodes(3);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 6);
    for (i = 0; i < 5; i++) {
        bed_is(load(), BED_OUTAGE);
    }
    told("store bed: node-3 failed 5 times in a row, and is left alone for a while (the last: ");
    bed_shared.nodes[7].open_until = 1;     /* its rest is over */
    bed_is(load(), BED_OUTAGE);
    told("store bed: node-3 still failing: load: ");
    bed_shared.nodes[7].open_until = 1;
    bed_is(load(), APR_SUCCESS);
    told("store bed: node-3 answers again");
}
END_TEST

START_TEST(a_node_without_a_name_is_the_store)
{
    int i;

    with_nodes(0);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 5);
    for (i = 0; i < 5; i++) {
        bed_is(load(), BED_OUTAGE);
    }
    told("store bed: failed 5 times in a row");
    bed_shared.nodes[7].open_until = 1;
    bed_is(load(), APR_SUCCESS);
    told("store bed: answers again");
}
END_TEST

static void the_key_moves(void)
{
    node = 8;
}

/* It was asked, and not the one that has the key by now. */
START_TEST(a_node_that_lost_the_key_is_not_called_by_anothers_name)
{
    with_nodes(4);
    bed_store.breaker.failures = 1;
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);
    bed_is(load(), BED_OUTAGE);
    bed_shared.nodes[7].open_until = 1;
    bed_before(BS_VERB_LOAD, the_key_moves);
    bed_is(load(), APR_SUCCESS);
    told("store bed: answers again");
}
END_TEST

Suite *store_told_suite(void)
{
    Suite *suite = suite_create("store_told");
    TCase *tests = tcase_create("what the log is told");

    tcase_add_checked_fixture(tests, told_setup, bed_teardown);
    tcase_add_test(tests, a_verb_that_fails_alone_is_told_of_once);
    tcase_add_test(tests, and_again_when_it_has_succeeded_since);
    tcase_add_test(tests, each_verb_is_told_of);
    tcase_add_test(tests, a_full_store_is_told_of_once_and_asked_on);
    tcase_add_test(tests, after_an_outage_it_is_told_of_anew);
    tcase_add_test(tests, what_visitors_bring_about_is_a_warning_so_often);
    tcase_add_test(tests, a_node_is_called_by_its_name);
    tcase_add_test(tests, a_node_without_a_name_is_the_store);
    tcase_add_test(tests, a_node_that_lost_the_key_is_not_called_by_anothers_name);
    suite_add_tcase(suite, tests);
    return suite;
}
