/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Rotation: a new token for the same data, and what the old one is worth then. */

#include "bed.h"

#include <string.h>

#include "mod_bsession.h"

static bs_token_t token;

static void login_setup(void)
{
    bed_setup();
    token = bed_session("a", "1", "b", "2", NULL);
}

/* A login under the token that the visitor has; `token` stays the one from before. */
static bs_session_t *login(void)
{
    bs_session_t *s = bed_request(&token);

    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bed_set(s, "user", "me"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    return s;
}

START_TEST(rotation_keeps_data_record_and_creation)
{
    bed_stored_t *before = bed_stored(&token), *after;
    bs_session_t *s = bed_request(&token);      /* nothing was read of it */

    bed_is(bs_session_rotate(s), APR_SUCCESS);
    ck_assert(bs_session_dirty(s));
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert(!bs_session_dirty(s));
    ck_assert_int_eq(memcmp(s->token.selector, token.selector, BS_SELECTOR_SIZE), 0);
    ck_assert_int_ne(memcmp(s->token.verifier, token.verifier, BS_VERIFIER_SIZE), 0);
    ck_assert_str_eq(bed_value(&token, "a"), "1");
    ck_assert_str_eq(bed_value(&token, "b"), "2");
    after = bed_stored(&token);
    ck_assert_uint_eq(after->record.epoch, before->record.epoch + 1);
    ck_assert_int_eq(after->meta.created, before->meta.created);
    ck_assert_uint_eq(bed_records(), 1);
    ck_assert_uint_eq(bed_events(BS_ROTATED), 1);
    ck_assert_str_eq(bed_get(bed_request(&s->token), "a"), "1");
}
END_TEST

START_TEST(the_old_token_is_dead_at_once)
{
    bs_session_t *s = login(), *old = bed_request(&token);

    ck_assert_ptr_null(bed_get(old, "a"));
    bed_is(bs_session_load(old), APR_NOTFOUND);
    ck_assert_int_eq(old->state, BS_RETIRED);
    ck_assert_uint_eq(bed_events(BS_RETIRED_TOKENS), 1);
    ck_assert_str_eq(bed_get(bed_request(&s->token), "user"), "me");
}
END_TEST

START_TEST(changes_under_a_retired_token_are_dropped_without_a_cookie)
{
    bs_session_t *s = login(), *old = bed_request(&token);
    int saves = bed_calls(BS_VERB_SAVE);

    bed_is(bed_set(old, "a", "planted"), APR_SUCCESS);
    bed_is(bs_session_save(old, 0), BSESSION_EGONE);
    ck_assert_int_eq(old->cookie, BS_COOKIE_KEEP);
    ck_assert_uint_eq(bed_events(BS_DROPPED_CHANGES), 1);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves);
    ck_assert_uint_eq(bed_records(), 1);
    ck_assert_str_eq(bed_value(&s->token, "a"), "1");
    bed_is(bed_set(old, "b", "planted"), BSESSION_EGONE);
}
END_TEST

START_TEST(a_reader_or_a_logout_under_a_retired_token_leaves_the_cookie_alone)
{
    bs_session_t *s = login(), *old = bed_request(&token);

    bed_is(bs_session_load(old), APR_NOTFOUND);
    bed_is(bs_session_save(old, 0), APR_SUCCESS);
    bed_is(bs_session_touch(old, 0), APR_NOTFOUND);
    bed_is(bs_session_touch_if_due(old, 0), APR_SUCCESS);
    bs_session_destroy(old);
    ck_assert_int_eq(old->cookie, BS_COOKIE_KEEP);
    ck_assert_str_eq(bed_value(&s->token, "user"), "me");
}
END_TEST

START_TEST(a_straggler_that_logs_in_itself_gets_a_fresh_session)
{
    bs_session_t *s = login(), *old = login();

    ck_assert_int_eq(old->cookie, BS_COOKIE_SET);
    ck_assert_int_ne(memcmp(old->token.selector, token.selector, BS_SELECTOR_SIZE), 0);
    ck_assert_int_eq(bed_count(&old->token), 1);        /* nothing of the old one's */
    ck_assert_str_eq(bed_value(&old->token, "user"), "me");
    ck_assert_int_eq(bed_count(&s->token), 3);
    ck_assert_uint_eq(bed_records(), 2);
    ck_assert_uint_eq(bed_stored(&old->token)->record.epoch, 0);
}
END_TEST

START_TEST(a_login_whose_answer_was_lost_can_be_repeated)
{
    bs_session_t *s = bed_request(&token);

    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bed_set(s, "user", "me"), APR_SUCCESS);
    bed_lose_answers(BS_VERB_SAVE, 1);
    bed_is(bs_session_save(s, 0), BED_OUTAGE);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);        /* the visitor still has the old token */
    s = login();
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_str_eq(bed_get(bed_request(&s->token), "user"), "me");
}
END_TEST

/* What a module keeps is a whole, and may speak of who has logged out since. */
START_TEST(a_second_login_takes_no_private_key_along)
{
    bs_session_t *s, *other = bed_request(&token);

    bed_is(bed_set(other, "~module", "ann"), APR_SUCCESS);
    bed_is(bed_set(other, "user", "bob"), APR_SUCCESS);
    bed_is(bs_session_rotate(other), APR_SUCCESS);
    login();
    bed_is(bs_session_save(other, 0), APR_SUCCESS);
    ck_assert_ptr_null(bed_get(other, "~module"));
    ck_assert_str_eq(bed_value(&other->token, "user"), "bob");
    ck_assert_int_eq(bed_count(&other->token), 1);
    /* with nothing else it is a session all the same, for the module to say what stands */
    s = bed_request(&token);
    bed_is(bed_set(s, "~module", "bob"), APR_SUCCESS);
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_int_eq(bed_count(&s->token), 0);
}
END_TEST

START_TEST(a_retired_token_is_a_fact)
{
    bs_session_t *old;

    login();
    old = bed_request(&token);
    ck_assert_uint_eq(bs_session_facts(old), BSESSION_WAS_REPLACED);
}
END_TEST

/* A job has a token, and no visitor who could be given another one. */
START_TEST(where_none_is_to_be_made_none_is)
{
    bs_session_t *s = bed_request(&token), *late = bed_request(&token);

    s->existing_only = late->existing_only = 1;
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_rotate(late), APR_SUCCESS);
    login();
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    bed_is(bs_session_save(late, 0), BSESSION_EGONE);
    ck_assert_uint_eq(bed_records(), 1);
    s = bed_request(NULL);
    s->existing_only = 1;
    bed_is(bed_set(s, "a", "1"), APR_NOTFOUND);
    bed_is(bs_session_incr(s, "n", 1, NULL), APR_NOTFOUND);
    bed_is(bs_session_unset(s, "a"), APR_NOTFOUND);
    bed_is(bs_session_clear(s), APR_NOTFOUND);
    bed_is(bs_session_rotate(s), APR_NOTFOUND);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_uint_eq(bed_records(), 1);
}
END_TEST

START_TEST(after_30_seconds_a_retired_token_is_an_unknown_one)
{
    bs_session_t *s = login(), *old;

    bed_retired_before(&token, apr_time_from_sec(29));
    old = bed_request(&token);
    bed_is(bs_session_load(old), APR_NOTFOUND);
    ck_assert_int_eq(old->state, BS_RETIRED);
    bed_retired_before(&token, apr_time_from_sec(30));
    old = bed_request(&token);
    bed_is(bs_session_load(old), APR_NOTFOUND);
    ck_assert_int_eq(old->state, BS_ABSENT);
    bed_is(bed_set(old, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(old, 0), APR_SUCCESS);
    ck_assert_int_eq(old->cookie, BS_COOKIE_SET);
    ck_assert_int_ne(memcmp(old->token.selector, token.selector, BS_SELECTOR_SIZE), 0);
    ck_assert_str_eq(bed_value(&s->token, "a"), "1");
}
END_TEST

/* A login and then a second factor, say, both within 30 s. */
START_TEST(a_token_two_rotations_old_is_retired_as_well)
{
    bs_token_t first = token;
    bs_session_t *old;

    token = login()->token;
    login();
    old = bed_request(&first);
    bed_is(bs_session_load(old), APR_NOTFOUND);
    ck_assert_int_eq(old->state, BS_RETIRED);
    bed_is(bed_set(old, "a", "planted"), APR_SUCCESS);
    bed_is(bs_session_save(old, 0), BSESSION_EGONE);
    ck_assert_int_eq(old->cookie, BS_COOKIE_KEEP);
}
END_TEST

START_TEST(the_retired_cookie_beside_the_valid_one)
{
    bs_token_t tokens[2];
    bs_session_t *s;

    tokens[0] = token;
    tokens[1] = login()->token;
    s = bs_session_open(pool, &bed_terms, tokens, 2, NULL, NULL);
    ck_assert_str_eq(bed_get(s, "user"), "me");
    ck_assert_int_eq(s->state, BS_PRESENT);
    bed_is(bed_set(s, "c", "3"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&token, "c"), "3");
}
END_TEST

START_TEST(rotate_of_a_new_session_is_the_creation)
{
    bs_session_t *s = bed_request(NULL);

    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bed_set(s, "user", "me"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(!bs_session_dirty(s));
    ck_assert_uint_eq(bed_events(BS_ROTATED), 0);
    ck_assert_uint_eq(bed_stored(&s->token)->record.epoch, 0);
    ck_assert_int_eq(bed_stored(&s->token)->meta.nretired, 0);
}
END_TEST

Suite *session_login_suite(void)
{
    Suite *suite = suite_create("session_login");
    TCase *tests = tcase_create("session_login");

    tcase_add_checked_fixture(tests, login_setup, bed_teardown);
    tcase_add_test(tests, rotation_keeps_data_record_and_creation);
    tcase_add_test(tests, the_old_token_is_dead_at_once);
    tcase_add_test(tests, changes_under_a_retired_token_are_dropped_without_a_cookie);
    tcase_add_test(tests, a_reader_or_a_logout_under_a_retired_token_leaves_the_cookie_alone);
    tcase_add_test(tests, a_straggler_that_logs_in_itself_gets_a_fresh_session);
    tcase_add_test(tests, a_login_whose_answer_was_lost_can_be_repeated);
    tcase_add_test(tests, a_second_login_takes_no_private_key_along);
    tcase_add_test(tests, a_retired_token_is_a_fact);
    tcase_add_test(tests, where_none_is_to_be_made_none_is);
    tcase_add_test(tests, after_30_seconds_a_retired_token_is_an_unknown_one);
    tcase_add_test(tests, a_token_two_rotations_old_is_retired_as_well);
    tcase_add_test(tests, the_retired_cookie_beside_the_valid_one);
    tcase_add_test(tests, rotate_of_a_new_session_is_the_creation);
    suite_add_tcase(suite, tests);
    return suite;
}
