/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Two requests of one session at once: what each may keep. `other` is the one that comes in between
 * this one's load and its save. */

#include "bed.h"

#include <string.h>

#include "mod_bsession.h"

static bs_token_t    token;
static bs_session_t *other;

static void race_setup(void)
{
    bed_setup();
    token = bed_session("a", "1", "n", "10", NULL);
}

/* A request that has loaded the session. */
static bs_session_t *loaded(void)
{
    bs_session_t *s = bed_request(&token);

    bed_is(bs_session_load(s), APR_SUCCESS);
    return s;
}

static void save_other(void)
{
    bed_is(bs_session_save(other, 0), APR_SUCCESS);
}

static void destroy_other(void)
{
    bed_is(bs_session_destroy(other), APR_SUCCESS);
}

/* This one's changes were dropped, and the visitor's cookie is as the other request left it. */
static void is_gone(bs_session_t *s)
{
    int calls;

    ck_assert_int_eq(s->state, BS_GONE);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert(!bs_session_dirty(s));
    ck_assert(!bs_session_exists(s));
    calls = bed_all_calls();
    bed_is(bs_session_load(s), BSESSION_EGONE);
    ck_assert_ptr_null(bed_get(s, "a"));
    bed_is(bed_set(s, "a", "z"), BSESSION_EGONE);
    bed_is(bs_session_incr(s, "n", 1, NULL), BSESSION_EGONE);
    bed_is(bs_session_rotate(s), BSESSION_EGONE);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    bed_is(bs_session_destroy(s), BSESSION_EGONE);
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_all_calls(), calls);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}

/* ---- both win ---- */

static void two_at_once(void)
{
    bs_session_t *s = loaded();

    other = loaded();
    bed_is(bed_set(s, "mine", "m"), APR_SUCCESS);
    bed_is(bs_session_incr(s, "n", 5, NULL), APR_SUCCESS);
    bed_is(bed_set(other, "theirs", "t"), APR_SUCCESS);
    bed_is(bs_session_incr(other, "n", 100, NULL), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, save_other);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&token, "mine"), "m");
    ck_assert_str_eq(bed_value(&token, "theirs"), "t");
    ck_assert_str_eq(bed_value(&token, "n"), "115");
    ck_assert_str_eq(bed_value(&token, "a"), "1");
    /* and each goes on from there */
    bed_is(bs_session_incr(s, "n", 1, NULL), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_incr(other, "n", 1, NULL), APR_SUCCESS);
    bed_is(bed_set(other, "mine", "t"), APR_SUCCESS);
    bed_is(bs_session_save(other, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&token, "n"), "117");
    ck_assert_str_eq(bed_value(&token, "mine"), "t");
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_uint_eq(bed_events(BS_DROPPED_CHANGES), 0);
}

START_TEST(different_keys_both_win_where_revisions_are_compared)
{
    two_at_once();
}
END_TEST

START_TEST(different_keys_both_win_where_the_store_merges)
{
    bed_merge_in_place();
    two_at_once();
}
END_TEST

START_TEST(after_the_others_save_this_one_reads_both)
{
    bs_session_t *s = loaded();

    other = loaded();
    bed_is(bed_set(other, "theirs", "t"), APR_SUCCESS);
    bed_is(bed_set(s, "mine", "m"), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, save_other);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_get(s, "theirs"), "t");
    ck_assert_str_eq(bed_get(s, "mine"), "m");
}
END_TEST

START_TEST(of_two_adds_the_first_wins)
{
    bs_session_t *s = loaded();

    other = loaded();
    bed_is(bs_session_add(s, "k", "mine", 4), APR_SUCCESS);
    bed_is(bs_session_add(other, "k", "theirs", 6), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, save_other);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&token, "k"), "theirs");
    ck_assert_str_eq(bed_get(s, "k"), "theirs");
    bed_is(bs_session_add(s, "k", "again", 5), APR_EEXIST);
}
END_TEST

START_TEST(an_increment_of_what_is_no_number_any_more_is_dropped_alone)
{
    bs_session_t *s = loaded();

    other = loaded();
    bed_is(bs_session_incr(s, "n", 1, NULL), APR_SUCCESS);
    bed_is(bed_set(s, "mine", "m"), APR_SUCCESS);
    bed_is(bed_set(other, "n", "words"), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, save_other);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&token, "n"), "words");
    ck_assert_str_eq(bed_value(&token, "mine"), "m");
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_ptr_null(strstr(bed_last_line(), "words"));
}
END_TEST

START_TEST(an_increment_alone_that_is_dropped_needs_no_save)
{
    bs_session_t *s = loaded();

    other = loaded();
    bed_is(bs_session_incr(s, "n", 1, NULL), APR_SUCCESS);
    bed_is(bed_set(other, "n", "words"), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, save_other);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_get(s, "n"), "words");
    ck_assert(!bs_session_dirty(s));
}
END_TEST

START_TEST(together_over_a_limit_the_later_one_is_dropped)
{
    bs_session_t *s;

    bed_terms.max_bytes = 20;           /* 5 are used */
    s = loaded();
    other = loaded();
    bed_is(bed_set(s, "mine", "12345678"), APR_SUCCESS);
    bed_is(bed_set(other, "theirs", "12345678"), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, save_other);
    bed_is(bs_session_save(s, 0), APR_ENOSPC);
    ck_assert_str_eq(bed_value(&token, "theirs"), "12345678");
    ck_assert_ptr_null(bed_value(&token, "mine"));
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_uint_eq(bed_events(BS_DROPPED_CHANGES), 1);
    ck_assert_ptr_null(bed_get(s, "mine"));             /* it reads what is stored */
    ck_assert_str_eq(bed_get(s, "theirs"), "12345678");
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&token, "a"), "2");
    ck_assert_int_eq(bed_count(&token), 3);
}
END_TEST

/* ---- the loop ---- */

START_TEST(a_mismatch_is_tried_again)
{
    bs_session_t *s = loaded();
    int saves = bed_calls(BS_VERB_SAVE), loads = bed_calls(BS_VERB_LOAD);

    bed_is(bs_session_incr(s, "n", 1, NULL), APR_SUCCESS);
    bed_answer(BS_VERB_SAVE, APR_EMISMATCH, 4);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 5);
    ck_assert_int_eq(bed_calls(BS_VERB_LOAD), loads + 4);
    ck_assert_str_eq(bed_value(&token, "n"), "11");
}
END_TEST

START_TEST(until_the_time_is_spent)
{
    bs_session_t *s = loaded();
    int saves = bed_calls(BS_VERB_SAVE);

    bed_is(bs_session_incr(s, "n", 1, NULL), APR_SUCCESS);
    bed_answer(BS_VERB_SAVE, APR_EMISMATCH, 1000000);
    bed_is(bs_session_save(s, apr_time_now() - 1), APR_TIMEUP);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 1);
    ck_assert_int_eq(s->outage, APR_TIMEUP);
    bed_is(bs_session_save(s, 0), APR_TIMEUP);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 1);
    ck_assert_str_eq(bed_value(&token, "n"), "10");
    ck_assert_uint_eq(bed_shared.nodes[0].failures, 0); /* the store has answered each time */
}
END_TEST

START_TEST(the_stores_time_bounds_the_loop)
{
    bs_session_t *s = loaded();

    bed_store.timeout = 5000;
    bed_is(bs_session_incr(s, "n", 1, NULL), APR_SUCCESS);
    bed_answer(BS_VERB_SAVE, APR_EMISMATCH, 1000000);
    bed_is(bs_session_save(s, 0), APR_TIMEUP);
    ck_assert_int_lt(bed_calls(BS_VERB_SAVE), 1000);    /* with pauses in between */
}
END_TEST

START_TEST(an_outage_within_the_loop_ends_it)
{
    bs_session_t *s = loaded();
    int saves = bed_calls(BS_VERB_SAVE);

    bed_is(bs_session_incr(s, "n", 1, NULL), APR_SUCCESS);
    bed_answer(BS_VERB_SAVE, APR_EMISMATCH, 1);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);
    bed_is(bs_session_save(s, 0), BED_OUTAGE);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 1);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_str_eq(bed_value(&token, "n"), "10");
}
END_TEST

/* ---- the record vanishes ---- */

START_TEST(a_save_in_flight_does_not_bring_a_destroyed_session_back)
{
    bs_session_t *s = loaded();

    other = loaded();
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, destroy_other);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert_uint_eq(bed_records(), 0);
    ck_assert_uint_eq(bed_events(BS_DROPPED_CHANGES), 1);
    is_gone(s);
    ck_assert_uint_eq(bed_records(), 0);
}
END_TEST

START_TEST(nor_does_one_that_merges_in_place)
{
    bs_session_t *s = loaded();

    bed_merge_in_place();
    other = loaded();
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, destroy_other);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert_uint_eq(bed_records(), 0);
    is_gone(s);
}
END_TEST

START_TEST(nor_does_a_rotation)
{
    bs_session_t *s = loaded();

    other = loaded();
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, destroy_other);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert_uint_eq(bed_records(), 0);
    is_gone(s);
}
END_TEST

START_TEST(destroyed_while_it_tries_again)
{
    bs_session_t *s = loaded();

    other = loaded();
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_answer(BS_VERB_SAVE, APR_EMISMATCH, 1);
    bed_before(BS_VERB_LOAD, destroy_other);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert_uint_eq(bed_records(), 0);
    is_gone(s);
}
END_TEST

START_TEST(of_a_reader_whose_session_vanished_nothing_was_dropped)
{
    bs_session_t *s;

    bed_ends_in(&token, BED_IDLE / 2);
    s = loaded();
    other = loaded();
    destroy_other();
    bed_is(bs_session_touch_if_due(s, 0), APR_NOTFOUND);
    ck_assert_uint_eq(bed_events(BS_DROPPED_CHANGES), 0);
    is_gone(s);
}
END_TEST

/* ---- a login comes in between ---- */

static void login_other(void)
{
    other = loaded();
    bed_is(bs_session_rotate(other), APR_SUCCESS);
    bed_is(bed_set(other, "user", "theirs"), APR_SUCCESS);
    save_other();
}

static void straggler_changes(void)
{
    bs_session_t *s = loaded();

    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_incr(s, "n", 1, NULL), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, login_other);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert_str_eq(bed_value(&token, "a"), "1");
    ck_assert_str_eq(bed_value(&token, "n"), "10");
    ck_assert_str_eq(bed_value(&token, "user"), "theirs");
    ck_assert_uint_eq(bed_events(BS_DROPPED_CHANGES), 1);
    is_gone(s);
    bed_is(bs_session_load(bed_request(&other->token)), APR_SUCCESS);
}

START_TEST(a_stragglers_changes_are_dropped_where_revisions_are_compared)
{
    straggler_changes();
}
END_TEST

START_TEST(a_stragglers_changes_are_dropped_where_the_store_merges)
{
    bed_merge_in_place();
    straggler_changes();
}
END_TEST

START_TEST(of_two_logins_at_once_each_has_a_session)
{
    bs_session_t *s = loaded();

    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bed_set(s, "user", "mine"), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, login_other);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_int_ne(memcmp(s->token.selector, token.selector, BS_SELECTOR_SIZE), 0);
    ck_assert_str_eq(bed_value(&s->token, "user"), "mine");
    ck_assert_int_eq(bed_count(&s->token), 1);          /* only what it said itself */
    ck_assert_str_eq(bed_value(&other->token, "user"), "theirs");
    ck_assert_int_eq(bed_count(&other->token), 3);
    bed_is(bs_session_load(bed_request(&s->token)), APR_SUCCESS);
    bed_is(bs_session_load(bed_request(&other->token)), APR_SUCCESS);
}
END_TEST

START_TEST(a_second_login_that_says_nothing_makes_no_session)
{
    bs_session_t *s = loaded();

    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, login_other);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert_uint_eq(bed_records(), 1);
    is_gone(s);
}
END_TEST

START_TEST(a_plain_change_in_between_is_kept_by_a_login)
{
    bs_session_t *s = loaded();

    other = loaded();
    bed_is(bed_set(other, "theirs", "t"), APR_SUCCESS);
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bed_set(s, "user", "me"), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, save_other);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&s->token, "theirs"), "t");
    ck_assert_str_eq(bed_value(&s->token, "user"), "me");
    bed_is(bs_session_load(bed_request(&s->token)), APR_SUCCESS);
    ck_assert_uint_eq(bed_stored(&s->token)->record.epoch, 1);
    ck_assert_uint_eq(bed_events(BS_ROTATED), 1);
}
END_TEST

/* The renewed cookie would hold the token from before the login. */
START_TEST(a_stragglers_touch_sets_no_cookie)
{
    bs_session_t *s;

    bed_terms.cookie_follows = 1;
    bed_ends_in(&token, BED_IDLE / 2);
    s = loaded();
    login_other();
    bed_ends_in(&token, BED_IDLE / 2);
    bs_session_touch_if_due(s, 0);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

/* The old token is dead: what was loaded under it can no more log the visitor out. */
START_TEST(a_stragglers_destroy_does_not_end_the_session_after_a_login)
{
    bs_session_t *s = loaded();

    login_other();
    bs_session_destroy(s);
    ck_assert_str_eq(bed_value(&other->token, "user"), "theirs");
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

Suite *session_race_suite(void)
{
    Suite *suite = suite_create("session_race");
    TCase *tests = tcase_create("session_race");

    tcase_add_checked_fixture(tests, race_setup, bed_teardown);
    tcase_add_test(tests, different_keys_both_win_where_revisions_are_compared);
    tcase_add_test(tests, different_keys_both_win_where_the_store_merges);
    tcase_add_test(tests, after_the_others_save_this_one_reads_both);
    tcase_add_test(tests, of_two_adds_the_first_wins);
    tcase_add_test(tests, an_increment_of_what_is_no_number_any_more_is_dropped_alone);
    tcase_add_test(tests, an_increment_alone_that_is_dropped_needs_no_save);
    tcase_add_test(tests, together_over_a_limit_the_later_one_is_dropped);
    tcase_add_test(tests, a_mismatch_is_tried_again);
    tcase_add_test(tests, until_the_time_is_spent);
    tcase_add_test(tests, the_stores_time_bounds_the_loop);
    tcase_add_test(tests, an_outage_within_the_loop_ends_it);
    tcase_add_test(tests, a_save_in_flight_does_not_bring_a_destroyed_session_back);
    tcase_add_test(tests, nor_does_one_that_merges_in_place);
    tcase_add_test(tests, nor_does_a_rotation);
    tcase_add_test(tests, destroyed_while_it_tries_again);
    tcase_add_test(tests, of_a_reader_whose_session_vanished_nothing_was_dropped);
    tcase_add_test(tests, a_stragglers_changes_are_dropped_where_revisions_are_compared);
    tcase_add_test(tests, a_stragglers_changes_are_dropped_where_the_store_merges);
    tcase_add_test(tests, of_two_logins_at_once_each_has_a_session);
    tcase_add_test(tests, a_second_login_that_says_nothing_makes_no_session);
    tcase_add_test(tests, a_plain_change_in_between_is_kept_by_a_login);
    tcase_add_test(tests, a_stragglers_touch_sets_no_cookie);
    tcase_add_test(tests, a_stragglers_destroy_does_not_end_the_session_after_a_login);
    suite_add_tcase(suite, tests);
    return suite;
}
