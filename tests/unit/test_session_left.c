/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A move that an outage leaves half done: what is in both stores, and the end of it. */

#include "test_move.h"

static bs_session_t *other;

/* ---- outages ---- */

START_TEST(an_older_store_that_does_not_answer_is_an_outage)
{
    bs_session_t *s = bed_request(&move_token);

    bed_older.shared->nodes[0].open_until = bs_monotonic() + (apr_uint64_t)3600 * 1000000000;
    bed_is(bs_session_load(s), BS_ESPARED);
    ck_assert_int_eq(s->state, BS_OUTAGE);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

START_TEST(a_move_that_may_have_been_done_is_taken_back)
{
    bs_session_t *s = move_loaded();

    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);    /* whether the older one has it still */
    bed_is(bs_session_save(s, 0), BED_OUTAGE);
    ck_assert(move_is_in(&bed_older) && !move_is_in(&bed_store));
    ck_assert_str_eq(bed_get(move_loaded(), "a"), "1");
}
END_TEST

START_TEST(the_end_of_a_session_is_the_end_in_both)
{
    bs_session_t *s = move_loaded();

    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_answer(BS_VERB_REMOVE, BED_OUTAGE, 1);  /* it is in both now */
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(move_is_in(&bed_older) && move_is_in(&bed_store));
    bed_is(bs_session_destroy(move_loaded()), APR_SUCCESS);
    ck_assert(!move_is_in(&bed_older) && !move_is_in(&bed_store));
}
END_TEST

/* ---- what a move leaves behind ---- */

/** The record is in both: that it had been made in the store in use was not heard. */
static void leave_something_behind(void)
{
    bs_session_t *s = move_loaded();

    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_lose_answers(BS_VERB_SAVE, 1);
    bed_is(bs_session_save(s, 0), BED_OUTAGE);
    ck_assert(move_is_in(&bed_older) && move_is_in(&bed_store));
}

START_TEST(a_token_that_a_login_replaced_opens_nothing_that_was_left)
{
    bs_session_t *login;

    leave_something_behind();
    login = move_loaded();
    bed_is(bs_session_rotate(login), APR_SUCCESS);
    bed_is(bs_session_save(login, 0), APR_SUCCESS);
    bed_retired_before(&login->token, apr_time_from_sec(3600));
    bed_is(bs_session_load(bed_request(&move_token)), APR_NOTFOUND);
}
END_TEST

static void remove_here(void)
{
    bsession_call_t call = { .deadline = apr_time_now() + apr_time_from_sec(60), .pool = pool };
    bsession_key_t key;

    bs_token_key(&move_token, &key);
    bed_is(bed_store.provider->remove(bed_store.backend, &key, 0, &call), APR_SUCCESS);
}

START_TEST(an_end_that_was_sent_again_is_one_in_both)
{
    bs_session_t *s;

    leave_something_behind();
    s = move_loaded();
    bed_before(BS_VERB_REMOVE, remove_here);
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    bed_is(bs_session_load(bed_request(&move_token)), APR_NOTFOUND);
}
END_TEST

static void move_what_is_left(void)
{
    other = bed_request(&move_token);
    if (bs_session_load(other) == APR_SUCCESS) {
        bed_set(other, "c", "3");
        bs_session_save(other, 0);
    }
}

static void before_the_second(void)
{
    bed_before(BS_VERB_REMOVE, move_what_is_left);
}

START_TEST(an_end_during_which_what_was_left_moves)
{
    bs_session_t *s;

    leave_something_behind();
    s = move_loaded();
    bed_before(BS_VERB_REMOVE, before_the_second);
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    bed_is(bs_session_load(bed_request(&move_token)), APR_NOTFOUND);
}
END_TEST

static void end_it_as_redis_does(void)
{
    bsession_call_t call = { .deadline = apr_time_now() + apr_time_from_sec(60), .pool = pool };
    bsession_key_t key;

    bs_token_key(&move_token, &key);
    bed_is(bed_older.provider->remove(bed_older.backend, &key, 0, &call), APR_SUCCESS);
}

/* The end there was done, its answer lost, it was sent again, and found nothing. */
START_TEST(a_move_whose_end_was_sent_again)
{
    bs_session_t *s = move_loaded();

    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_before(BS_VERB_REMOVE, end_it_as_redis_does);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(move_is_in(&bed_store));
    ck_assert_str_eq(bed_value(&move_token, "b"), "2");
}
END_TEST

START_TEST(a_move_whose_end_was_not_heard)
{
    bs_session_t *s = move_loaded();

    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_lose_answers(BS_VERB_REMOVE, 1);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(move_is_in(&bed_store));
    ck_assert_str_eq(bed_value(&move_token, "b"), "2");
}
END_TEST

START_TEST(an_end_after_a_mover_was_killed)
{
    bs_session_t *s = move_loaded();

    leave_something_behind();
    ck_assert(s->home == &bed_older);
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    bed_is(bs_session_load(bed_request(&move_token)), APR_NOTFOUND);
}
END_TEST

Suite *session_left_suite(void)
{
    Suite *suite = suite_create("session_left");
    TCase *outage = tcase_create("outage");

    tcase_add_checked_fixture(outage, move_setup, bed_teardown);
    tcase_add_test(outage, an_older_store_that_does_not_answer_is_an_outage);
    tcase_add_test(outage, a_move_that_may_have_been_done_is_taken_back);
    tcase_add_test(outage, the_end_of_a_session_is_the_end_in_both);
    tcase_add_test(outage, a_token_that_a_login_replaced_opens_nothing_that_was_left);
    tcase_add_test(outage, an_end_that_was_sent_again_is_one_in_both);
    tcase_add_test(outage, an_end_during_which_what_was_left_moves);
    tcase_add_test(outage, an_end_after_a_mover_was_killed);
    tcase_add_test(outage, a_move_whose_end_was_sent_again);
    tcase_add_test(outage, a_move_whose_end_was_not_heard);
    suite_add_tcase(suite, outage);
    return suite;
}
