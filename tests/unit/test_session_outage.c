/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* One request at a time, and a store that is too small, or cannot be asked. */

#include "bed.h"

#include <stdlib.h>
#include <string.h>

#include "mod_bsession.h"

/* ---- the limits ---- */

START_TEST(over_a_limit_the_call_is_refused_and_the_rest_stays)
{
    bs_token_t token;
    bs_session_t *s;
    char big[5000];

    memset(big, 'x', sizeof(big));
    token = bed_session("a", "1", NULL);
    s = bed_request(&token);
    bed_is(bs_session_set(s, "big", big, sizeof(big)), APR_ENOSPC);
    bed_is(bs_session_add(s, "big", big, sizeof(big)), APR_ENOSPC);
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_count(&token), 2);
    ck_assert_str_eq(bed_value(&token, "a"), "1");
}
END_TEST

/* The store's own limit is known only at the save. */
static char *larger_than_the_store_takes(apr_size_t *len)
{
    char *value;

    *len = 8u << 20;
    value = malloc(*len);
    ck_assert_ptr_nonnull(value);
    memset(value, 'x', *len);
    bed_terms.max_bytes = 0;
    return value;
}

START_TEST(what_the_store_cannot_take_is_dropped_and_what_is_stored_stays)
{
    bs_token_t token = bed_session("a", "1", NULL);
    apr_size_t len;
    char *value = larger_than_the_store_takes(&len);
    bs_session_t *s = bed_request(&token);

    bed_is(bs_session_set(s, "big", value, len), APR_SUCCESS);
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_ENOSPC);
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_uint_eq(bed_events(BS_DROPPED_CHANGES), 1);
    ck_assert_int_eq(bed_count(&token), 1);
    ck_assert_str_eq(bed_value(&token, "a"), "1");
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_int_eq(s->outage, 0);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);         /* nothing is left to save */
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_count(&token), 2);
    free(value);
}
END_TEST

START_TEST(what_was_dropped_is_read_no_more)
{
    bs_token_t token = bed_session("a", "1", NULL);
    apr_size_t len;
    char *value = larger_than_the_store_takes(&len);
    bs_session_t *s = bed_request(&token);

    bed_is(bs_session_set(s, "big", value, len), APR_SUCCESS);
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_ENOSPC);
    free(value);
    ck_assert_ptr_null(bs_session_get(s, "big"));
    ck_assert_str_eq(bed_get(s, "a"), "1");
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);          /* and this is a change */
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&token, "a"), "2");
}
END_TEST

START_TEST(after_what_was_dropped_a_new_session_can_still_be_made)
{
    apr_size_t len;
    char *value = larger_than_the_store_takes(&len);
    bs_session_t *s = bed_request(NULL);

    bed_is(bs_session_set(s, "big", value, len), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_ENOSPC);
    free(value);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_uint_eq(bed_records(), 0);
    ck_assert(!bs_session_exists(s));
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_count(&s->token), 1);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
}
END_TEST

START_TEST(a_table_over_a_lowered_limit_may_shrink_into_it)
{
    bs_token_t token = bed_session("a", "123456", "b", "123456", NULL);
    bs_session_t *s;

    bed_terms.max_bytes = 8;
    s = bed_request(&token);
    ck_assert_str_eq(bed_get(s, "a"), "123456");        /* what is stored is read */
    bed_is(bs_session_unset(s, "a"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_count(&token), 1);
}
END_TEST

/* ---- outages ---- */

START_TEST(an_outage_is_not_a_miss)
{
    bs_token_t token = bed_session("a", "1", NULL);
    bs_session_t *s = bed_request(&token);
    int calls;

    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);
    bed_is(bs_session_load(s), BED_OUTAGE);
    ck_assert_int_eq(s->state, BS_OUTAGE);
    calls = bed_all_calls();
    ck_assert_ptr_null(bed_get(s, "a"));
    bed_is(bed_set(s, "a", "2"), BED_OUTAGE);
    bed_is(bs_session_add(s, "b", "2", 1), BED_OUTAGE);
    bed_is(bs_session_incr(s, "n", 1, NULL), BED_OUTAGE);
    bed_is(bs_session_unset(s, "a"), BED_OUTAGE);
    bed_is(bs_session_clear(s), BED_OUTAGE);
    bed_is(bs_session_rotate(s), BED_OUTAGE);
    bed_is(bs_session_destroy(s), BED_OUTAGE);
    bed_is(bs_session_touch(s, 0), BED_OUTAGE);
    bed_is(bs_session_save(s, 0), BED_OUTAGE);
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_all_calls(), calls);           /* asked once, in this request */
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);        /* never deleted over an outage */
    ck_assert_str_eq(bed_value(&token, "a"), "1");
}
END_TEST

START_TEST(a_store_that_is_spared_is_an_outage)
{
    bs_token_t token = bed_session("a", "1", NULL);
    bs_session_t *s;

    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 5);
    while (bs_session_load(bed_request(&token)) != BS_ESPARED) {
    }
    s = bed_request(&token);
    bed_is(bs_session_load(s), BS_ESPARED);
    ck_assert_int_eq(s->state, BS_OUTAGE);
    ck_assert_int_eq(s->outage, BS_ESPARED);
}
END_TEST

START_TEST(an_unknown_save_is_never_tried_again)
{
    bs_token_t token = bed_session("n", "1", NULL);
    bs_session_t *s = bed_request(&token);
    int saves, calls;

    bed_is(bs_session_incr(s, "n", 1, NULL), APR_SUCCESS);
    saves = bed_calls(BS_VERB_SAVE);
    bed_lose_answers(BS_VERB_SAVE, 1);
    bed_is(bs_session_save(s, 0), BED_OUTAGE);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 1);
    ck_assert_str_eq(bed_value(&token, "n"), "2");      /* it was done, and is not done twice */
    calls = bed_all_calls();
    bed_is(bs_session_save(s, 0), BED_OUTAGE);
    bed_is(bs_session_incr(s, "n", 1, NULL), BED_OUTAGE);
    bed_is(bs_session_rotate(s), BED_OUTAGE);
    bed_is(bs_session_destroy(s), BED_OUTAGE);
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_all_calls(), calls);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_str_eq(bed_value(&token, "n"), "2");
}
END_TEST

START_TEST(nor_is_an_unknown_create)
{
    bs_session_t *s = bed_request(NULL);

    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_lose_answers(BS_VERB_SAVE, 1);
    bed_is(bs_session_save(s, 0), BED_OUTAGE);
    bed_is(bs_session_save(s, 0), BED_OUTAGE);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), 1);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

START_TEST(a_key_that_is_taken_is_not_taken_over)
{
    bs_session_t *s = bed_request(NULL);

    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_answer(BS_VERB_SAVE, APR_EEXIST, 1);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), 2);
    ck_assert_str_eq(bed_value(&s->token, "a"), "1");
    s = bed_request(NULL);
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_answer(BS_VERB_SAVE, APR_EEXIST, 1000);         /* the generator is broken */
    bed_is(bs_session_save(s, 0), APR_EGENERAL);
    ck_assert_int_ne(s->outage, 0);
    ck_assert_int_lt(bed_calls(BS_VERB_SAVE), 10);
}
END_TEST

Suite *session_outage_suite(void)
{
    Suite *suite = suite_create("session_outage");
    TCase *tests = tcase_create("session_outage");

    tcase_add_checked_fixture(tests, bed_setup, bed_teardown);
    tcase_add_test(tests, over_a_limit_the_call_is_refused_and_the_rest_stays);
    tcase_add_test(tests, what_the_store_cannot_take_is_dropped_and_what_is_stored_stays);
    tcase_add_test(tests, what_was_dropped_is_read_no_more);
    tcase_add_test(tests, after_what_was_dropped_a_new_session_can_still_be_made);
    tcase_add_test(tests, a_table_over_a_lowered_limit_may_shrink_into_it);
    tcase_add_test(tests, an_outage_is_not_a_miss);
    tcase_add_test(tests, a_store_that_is_spared_is_an_outage);
    tcase_add_test(tests, an_unknown_save_is_never_tried_again);
    tcase_add_test(tests, nor_is_an_unknown_create);
    tcase_add_test(tests, a_key_that_is_taken_is_not_taken_over);
    suite_add_tcase(suite, tests);
    return suite;
}
