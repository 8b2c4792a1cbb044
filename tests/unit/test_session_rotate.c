/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Timed rotation: who gets a new token when, and what the one before is worth then. */

#include "test_rotate.h"

#include <string.h>

#include "mod_bsession.h"

bs_token_t rotate_first;

void rotate_setup(void)
{
    bed_setup();
    rotate_first = bed_session("a", "1", NULL);
    bed_terms.rotate.every = EVERY;
    bed_terms.rotate.grace = GRACE;
}

bs_session_t *rotate_loaded(const bs_token_t *with)
{
    bs_session_t *s = bed_request(with);

    bed_is(bs_session_load(s), APR_SUCCESS);
    ck_assert_str_eq(bed_get(s, "a"), "1");
    return s;
}

void rotate_answer(bs_session_t *s)
{
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bs_session_upkeep(s, 0);
    ck_assert_int_eq(s->outage, 0);
    s->headers_gone = 1;
}

bs_session_t *rotate_visit(const bs_token_t *with)
{
    bs_session_t *s = rotate_loaded(with);

    rotate_answer(s);
    return s;
}

bs_token_t rotate_renewed(const bs_token_t *with)
{
    bs_session_t *s = rotate_visit(with);

    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_int_eq(memcmp(s->token.selector, with->selector, BS_SELECTOR_SIZE), 0);
    ck_assert_int_ne(memcmp(s->token.verifier, with->verifier, BS_VERIFIER_SIZE), 0);
    return s->token;
}

void rotate_is_kept(const bs_token_t *with)
{
    ck_assert_int_eq(rotate_visit(with)->cookie, BS_COOKIE_KEEP);
}

void rotate_pass(apr_interval_time_t time)
{
    bed_time_passes(&rotate_first, time);
}

/* ---- when ---- */

START_TEST(a_young_token_stays)
{
    int saves = bed_calls(BS_VERB_SAVE);

    rotate_is_kept(&rotate_first);
    rotate_pass(EVERY - apr_time_from_sec(10));
    rotate_is_kept(&rotate_first);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves);
}
END_TEST

START_TEST(an_old_token_is_replaced_by_one_save)
{
    bed_stored_t *before, *after;
    int saves = bed_calls(BS_VERB_SAVE);

    rotate_pass(EVERY);
    before = bed_stored(&rotate_first);
    rotate_renewed(&rotate_first);
    after = bed_stored(&rotate_first);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 1);
    ck_assert_uint_eq(after->record.epoch, before->record.epoch);
    ck_assert_uint_eq(after->record.revision, before->record.revision + 1);
    ck_assert_int_eq(after->meta.created, before->meta.created);
    ck_assert_int_eq(after->meta.nretired, 0);
    ck_assert_str_eq(bed_value(&rotate_first, "a"), "1");
    ck_assert_uint_eq(bed_records(), 1);
    ck_assert_uint_eq(bed_events(BS_ROTATED), 1);
}
END_TEST

START_TEST(a_login_begins_the_time_anew)
{
    bs_session_t *s;

    rotate_pass(EVERY);
    s = rotate_loaded(&rotate_first);
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    rotate_answer(s);
    ck_assert_uint_eq(bed_events(BS_ROTATED), 1);       /* and not a second time */
    ck_assert_int_eq(bed_stored(&rotate_first)->meta.naside, 0);
    rotate_is_kept(&s->token);
    rotate_pass(EVERY - apr_time_from_sec(10));
    rotate_is_kept(&s->token);
    rotate_pass(apr_time_from_sec(10));
    rotate_renewed(&s->token);
}
END_TEST

START_TEST(a_new_session_keeps_its_token)
{
    bs_session_t *s = bed_request(NULL);

    bed_terms.rotate.every = s->terms.rotate.every = 1;
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bs_session_upkeep(s, 0);
    ck_assert_uint_eq(bed_events(BS_ROTATED), 0);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
}
END_TEST

START_TEST(where_it_is_off_nothing_is_done)
{
    int saves = bed_calls(BS_VERB_SAVE);

    bed_terms.rotate.every = 0;
    rotate_pass(10 * EVERY);
    rotate_is_kept(&rotate_first);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves);
}
END_TEST

/* Another place rotates the same session. */
START_TEST(where_it_is_off_what_was_replaced_elsewhere_is_good)
{
    bs_token_t fresh;

    rotate_pass(EVERY);
    fresh = rotate_renewed(&rotate_first);
    bed_terms.rotate.every = 0;
    rotate_pass(EVERY);
    rotate_is_kept(&rotate_first);
    rotate_is_kept(&fresh);
    ck_assert(!bed_stored(&rotate_first)->meta.aside[0].open);
    rotate_pass(GRACE - apr_time_from_sec(2));
    rotate_is_kept(&rotate_first);
}
END_TEST

START_TEST(after_headers_have_left_there_is_no_new_token)
{
    bs_session_t *s;
    bs_token_t fresh;

    rotate_pass(EVERY);
    s = rotate_loaded(&rotate_first);
    s->headers_gone = 1;
    rotate_answer(s);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_uint_eq(bed_events(BS_ROTATED), 0);
    fresh = rotate_renewed(&rotate_first);
    s = rotate_loaded(&fresh);                 /* that it has come can be noted all the same */
    s->headers_gone = 1;
    ck_assert(bs_session_upkeep_is_due(s));
    rotate_answer(s);
    ck_assert(!bed_stored(&rotate_first)->meta.aside[0].open);
    ck_assert(!bs_session_upkeep_is_due(s));
}
END_TEST

START_TEST(an_answer_is_rotated_once)
{
    bs_session_t *s;
    int saves;

    rotate_pass(EVERY);
    s = rotate_visit(&rotate_first);
    saves = bed_calls(BS_VERB_SAVE);
    s->headers_gone = 0;                /* an error document, say */
    rotate_answer(s);
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    rotate_answer(s);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 1);
    ck_assert_uint_eq(bed_events(BS_ROTATED), 1);
    ck_assert(bed_stored(&rotate_first)->meta.aside[0].open); /* its own save is no visit with it */
    ck_assert_str_eq(bed_value(&rotate_first, "b"), "2");
}
END_TEST

/* ---- the grace ---- */

START_TEST(the_previous_token_is_good_until_the_new_one_has_come)
{
    bs_token_t fresh;
    int saves;

    rotate_pass(EVERY);
    fresh = rotate_renewed(&rotate_first);
    rotate_is_kept(&rotate_first);
    rotate_pass(GRACE - apr_time_from_sec(2));
    rotate_is_kept(&rotate_first);
    saves = bed_calls(BS_VERB_SAVE);
    rotate_is_kept(&fresh);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 1);       /* the one write of a read */
    rotate_is_kept(&fresh);
    rotate_is_kept(&rotate_first);
    rotate_pass(GRACE - apr_time_from_sec(2));
    rotate_is_kept(&rotate_first);
    rotate_is_kept(&fresh);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 1);
    ck_assert_uint_eq(bed_events(BS_REUSED_TOKENS), 0);
}
END_TEST

START_TEST(a_change_under_the_previous_token)
{
    bs_session_t *s;
    bs_token_t fresh;

    rotate_pass(EVERY);
    fresh = rotate_renewed(&rotate_first);
    s = rotate_loaded(&rotate_first);
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    rotate_answer(s);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_str_eq(bed_get(rotate_loaded(&fresh), "b"), "2");
    rotate_is_kept(&fresh);
    s = rotate_loaded(&rotate_first);
    bed_is(bs_session_destroy(s), APR_SUCCESS);         /* a logout is one, too */
    ck_assert_uint_eq(bed_records(), 0);
}
END_TEST

/* ---- a session that moves ---- */

START_TEST(a_move_keeps_what_was_replaced)
{
    bs_token_t fresh;

    rotate_pass(EVERY);
    fresh = rotate_renewed(&rotate_first);
    bed_change_store();
    rotate_is_kept(&rotate_first);
    ck_assert_ptr_null(bed_stored_in(&bed_store, &rotate_first));
    rotate_is_kept(&fresh);                    /* the note that it has come moves the session */
    ck_assert_ptr_null(bed_stored_in(&bed_older, &rotate_first));
    ck_assert_int_eq(bed_stored(&rotate_first)->meta.naside, 1);
    rotate_is_kept(&rotate_first);
    rotate_pass(EVERY);
    fresh = rotate_renewed(&fresh);
    rotate_is_kept(&fresh);
}
END_TEST

START_TEST(a_rotation_moves_the_session)
{
    bs_token_t fresh;

    rotate_pass(EVERY);
    bed_change_store();
    fresh = rotate_renewed(&rotate_first);
    ck_assert_ptr_null(bed_stored_in(&bed_older, &rotate_first));
    ck_assert_uint_eq(bed_events(BS_MIGRATED), 1);
    rotate_is_kept(&rotate_first);
    rotate_is_kept(&fresh);
}
END_TEST

/* ---- a secret that was replaced ---- */

/* Even where it is Off: who comes with a token of an older secret gets one of the newest. */
START_TEST(a_token_of_an_older_secret_is_replaced_at_once)
{
    bsession_bytes_t secrets[] = { { "0123456789abcdef0123456789abcdef", 32 },
                                   { "fedcba9876543210fedcba9876543210", 32 } };
    bs_keys_t before, now;
    bs_token_t old, fresh;

    bed_is(bs_keys_derive(&before, secrets + 1, 1, bed_terms.realm), APR_SUCCESS);
    bed_is(bs_keys_derive(&now, secrets, 2, bed_terms.realm), APR_SUCCESS);
    bed_terms.rotate.every = 0;
    bed_terms.keys = &before;
    old = rotate_first = bed_session("a", "1", NULL);
    rotate_is_kept(&old);
    bed_terms.keys = &now;
    fresh = rotate_renewed(&old);
    rotate_is_kept(&old);               /* as in a timed rotation */
    rotate_is_kept(&fresh);
    rotate_is_kept(&fresh);
    rotate_is_kept(&old);
    ck_assert_uint_eq(bed_events(BS_ROTATED), 1);
    now.count = 1;                      /* and then the old secret can go */
    rotate_is_kept(&fresh);
    bed_is(bs_session_load(bed_request(&old)), APR_NOTFOUND);
}
END_TEST

Suite *session_rotate_suite(void)
{
    Suite *suite = suite_create("session_rotate");
    TCase *tests = tcase_create("session_rotate");

    tcase_add_checked_fixture(tests, rotate_setup, bed_teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_young_token_stays);
    tcase_add_test(tests, an_old_token_is_replaced_by_one_save);
    tcase_add_test(tests, a_login_begins_the_time_anew);
    tcase_add_test(tests, a_new_session_keeps_its_token);
    tcase_add_test(tests, where_it_is_off_nothing_is_done);
    tcase_add_test(tests, where_it_is_off_what_was_replaced_elsewhere_is_good);
    tcase_add_test(tests, after_headers_have_left_there_is_no_new_token);
    tcase_add_test(tests, an_answer_is_rotated_once);
    tcase_add_test(tests, the_previous_token_is_good_until_the_new_one_has_come);
    tcase_add_test(tests, a_change_under_the_previous_token);
    tcase_add_test(tests, a_move_keeps_what_was_replaced);
    tcase_add_test(tests, a_rotation_moves_the_session);
    tcase_add_test(tests, a_token_of_an_older_secret_is_replaced_at_once);
    suite_add_tcase(suite, tests);
    return suite;
}
