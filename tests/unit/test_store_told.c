/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What the log is told of a store where one verb fails and the others succeed. */

#include "bed.h"

#include <string.h>

static bs_token_t token;

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
    suite_add_tcase(suite, tests);
    return suite;
}
