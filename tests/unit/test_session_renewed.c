/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Timed rotation where answers are lost or late, requests come at once, or the store does not do
 * it: nobody is logged out. */

#include "test_rotate.h"

#include <string.h>

#include "mod_bsession.h"

static bs_session_t *other;

/* ---- answers that are lost, or late ---- */

START_TEST(a_lost_answer_is_followed_by_another)
{
    bs_token_t lost, fresh;

    rotate_pass(EVERY);
    lost = rotate_renewed(&rotate_first);
    rotate_pass(GRACE + apr_time_from_sec(1));
    fresh = rotate_renewed(&rotate_first);
    rotate_is_kept(&rotate_first);
    rotate_is_kept(&lost);                     /* it was late, and not lost */
    rotate_is_kept(&fresh);
    rotate_is_kept(&lost);
    rotate_is_kept(&rotate_first);
    ck_assert_uint_eq(bed_events(BS_ROTATED), 2);
}
END_TEST

START_TEST(a_late_answer_that_came_last_leads_on)
{
    bs_token_t late, fresh, next;

    rotate_pass(EVERY);
    late = rotate_renewed(&rotate_first);
    rotate_pass(GRACE + apr_time_from_sec(1));
    fresh = rotate_renewed(&rotate_first);
    rotate_is_kept(&fresh);
    rotate_pass(EVERY / 2);                    /* now the browser has the late one, and no other */
    next = rotate_renewed(&late);
    rotate_is_kept(&late);
    rotate_is_kept(&fresh);
    rotate_is_kept(&next);
    ck_assert_uint_eq(bed_events(BS_REUSED_TOKENS), 0);
}
END_TEST

START_TEST(one_that_never_came_is_unknown_in_the_end)
{
    bs_token_t lost, fresh;
    bs_session_t *s;

    rotate_pass(EVERY);
    lost = rotate_renewed(&rotate_first);
    rotate_pass(GRACE + apr_time_from_sec(1));
    fresh = rotate_renewed(&rotate_first);
    rotate_is_kept(&fresh);
    rotate_pass(EVERY);
    s = bed_request(&lost);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(s->state, BS_ABSENT);
    ck_assert_uint_eq(bed_events(BS_REUSED_TOKENS), 0); /* nor was it anybody's */
}
END_TEST

/* A client that keeps no cookie of ours, as a script with a fixed one. */
START_TEST(who_keeps_the_first_token_keeps_the_session)
{
    int i;

    for (i = 0; i < 50; i++) {
        rotate_pass(i ? GRACE + apr_time_from_sec(1) : EVERY);
        rotate_renewed(&rotate_first);
        rotate_is_kept(&rotate_first);
    }
    ck_assert_int_le(bed_stored(&rotate_first)->meta.naside, BS_ASIDE_MAX);
    ck_assert_int_eq(bed_stored(&rotate_first)->meta.nspent, 0);
}
END_TEST

/* Answers are lost and overtake each other at random; a browser has what came last. */
START_TEST(no_loss_logs_anybody_out)
{
    struct { bs_token_t token; int due; } way[64];      /* answers under way */
    bs_token_t jar = rotate_first;
    unsigned seed = 1;
    int now, nway = 0, i;

#define DICE(sides) ((int)((seed = seed * 1103515245u + 12345u) >> 16) % (sides))
    for (now = 0; now < 1500; now++) {
        bs_session_t *s;

        rotate_pass(apr_time_from_sec(DICE(8) == 0 ? 60 : DICE(6)));
        s = rotate_visit(&jar);
        if (s->cookie == BS_COOKIE_SET && DICE(3) && nway < 64) {
            way[nway].token = s->token;
            way[nway++].due = now + DICE(4);
        }
        for (i = 0; i < nway; ) {
            if (way[i].due <= now) {
                jar = way[i].token;
                way[i] = way[--nway];
            }
            else {
                i++;
            }
        }
    }
}
END_TEST

/* ---- at once ---- */

static void answer_other(void)
{
    rotate_answer(other);
}

static void of_two_one_rotates(void)
{
    bs_session_t *s;

    rotate_pass(EVERY);
    s = rotate_loaded(&rotate_first);
    other = rotate_loaded(&rotate_first);
    bed_before(BS_VERB_SAVE, answer_other);
    rotate_answer(s);
    ck_assert_int_eq(other->cookie, BS_COOKIE_SET);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_uint_eq(bed_events(BS_ROTATED), 1);
    rotate_is_kept(&rotate_first);
    rotate_is_kept(&other->token);
}

START_TEST(of_two_at_once_one_gets_the_new_token)
{
    of_two_one_rotates();
}
END_TEST

START_TEST(of_two_at_once_one_gets_the_new_token_where_the_store_merges)
{
    bed_merge_in_place();
    of_two_one_rotates();
}
END_TEST

START_TEST(of_two_that_come_with_the_new_token_one_notes_it)
{
    bs_token_t fresh;
    bs_session_t *s;
    int saves;

    rotate_pass(EVERY);
    fresh = rotate_renewed(&rotate_first);
    s = rotate_loaded(&fresh);
    other = rotate_loaded(&fresh);
    saves = bed_calls(BS_VERB_SAVE);
    bed_before(BS_VERB_SAVE, answer_other);
    rotate_answer(s);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 2);       /* one of them in vain */
    rotate_is_kept(&rotate_first);
}
END_TEST

static void changes_meet_a_rotation(void)
{
    bs_session_t *s;

    rotate_pass(EVERY);
    s = rotate_loaded(&rotate_first);
    other = rotate_loaded(&rotate_first);
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_is(bed_set(other, "c", "3"), APR_SUCCESS);
    rotate_answer(other);
    ck_assert_int_eq(other->cookie, BS_COOKIE_SET);
    rotate_answer(s);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_str_eq(bed_value(&rotate_first, "b"), "2");
    ck_assert_str_eq(bed_value(&rotate_first, "c"), "3");
    ck_assert_int_eq(bed_stored(&rotate_first)->meta.naside, 1);       /* and the rotation stays */
    rotate_is_kept(&other->token);
}

START_TEST(a_change_in_flight_survives_the_rotation)
{
    changes_meet_a_rotation();
}
END_TEST

START_TEST(a_change_in_flight_survives_the_rotation_where_the_store_merges)
{
    bed_merge_in_place();
    changes_meet_a_rotation();
}
END_TEST

static void save_other(void)
{
    bed_is(bed_set(other, "b", "2"), APR_SUCCESS);
    bed_is(bs_session_save(other, 0), APR_SUCCESS);
}

START_TEST(a_rotation_survives_a_change)
{
    bs_session_t *s;

    rotate_pass(EVERY);
    s = rotate_loaded(&rotate_first);
    other = rotate_loaded(&rotate_first);
    bed_before(BS_VERB_SAVE, save_other);
    rotate_answer(s);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_str_eq(bed_value(&rotate_first, "b"), "2");
    ck_assert_str_eq(bed_value(&rotate_first, "a"), "1");
}
END_TEST

/* It was let in, and works for longer than the grace. */
START_TEST(a_slow_request_outlives_its_token)
{
    bs_token_t fresh;
    bs_session_t *s;
    int i;

    rotate_pass(EVERY);
    s = rotate_loaded(&rotate_first);
    fresh = rotate_renewed(&rotate_first);
    for (i = 0; i < 12; i++) {
        rotate_is_kept(&fresh);
        rotate_pass(EVERY);
        fresh = rotate_renewed(&fresh);
    }
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    rotate_answer(s);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_str_eq(bed_value(&rotate_first, "b"), "2");
    ck_assert_uint_eq(bed_events(BS_REUSED_TOKENS), 0);
    rotate_is_kept(&fresh);
}
END_TEST

static void destroy_other(void)
{
    bed_is(bs_session_destroy(other), APR_SUCCESS);
}

START_TEST(a_session_that_ends_meanwhile_gets_no_cookie)
{
    bs_session_t *s;

    rotate_pass(EVERY);
    s = rotate_loaded(&rotate_first);
    other = rotate_loaded(&rotate_first);
    bed_before(BS_VERB_SAVE, destroy_other);
    rotate_answer(s);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_int_eq(s->state, BS_GONE);
    ck_assert_uint_eq(bed_records(), 0);
}
END_TEST

START_TEST(at_most_so_many_old_ones_are_good_at_once)
{
    bs_token_t tokens[20];
    int i, n = 0;

    bed_terms.rotate.grace = 100 * EVERY;
    tokens[0] = rotate_first;
    for (i = 0; i < 19; i++) {
        bs_session_t *s;

        rotate_pass(EVERY);
        s = rotate_visit(&tokens[n]);
        if (s->cookie == BS_COOKIE_SET) {
            tokens[++n] = s->token;
            rotate_visit(&s->token);
        }
    }
    ck_assert_int_eq(n, BS_ASIDE_MAX);
    for (i = 0; i <= n; i++) {
        rotate_is_kept(&tokens[i]);
    }
}
END_TEST

/* ---- when it cannot be stored ---- */

START_TEST(an_outage_costs_a_reader_nothing)
{
    bs_session_t *s;

    rotate_pass(EVERY);
    s = rotate_loaded(&rotate_first);
    bed_answer(BS_VERB_SAVE, BED_OUTAGE, 1);
    rotate_answer(s);
    ck_assert_int_eq(s->state, BS_PRESENT);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_str_eq(bed_get(s, "a"), "1");
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);          /* and what comes later is saved */
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    rotate_renewed(&rotate_first);
}
END_TEST

START_TEST(a_save_whose_answer_is_lost_is_a_lost_answer)
{
    bs_session_t *s;

    rotate_pass(EVERY);
    s = rotate_loaded(&rotate_first);
    bed_lose_answers(BS_VERB_SAVE, 1);
    rotate_answer(s);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    rotate_is_kept(&rotate_first);
    rotate_pass(GRACE + apr_time_from_sec(1));
    rotate_renewed(&rotate_first);
}
END_TEST

START_TEST(others_that_are_always_faster_cost_a_reader_nothing)
{
    bs_session_t *s;

    rotate_pass(EVERY);
    s = rotate_loaded(&rotate_first);
    bed_answer(BS_VERB_SAVE, APR_EMISMATCH, 1000000);
    bs_session_upkeep(s, apr_time_now() + apr_time_from_msec(20));
    ck_assert_int_eq(s->outage, 0);
    ck_assert_int_eq(s->state, BS_PRESENT);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert(!bs_session_dirty(s));
    bed_answer(BS_VERB_SAVE, APR_SUCCESS, 0);
    rotate_renewed(&rotate_first);
}
END_TEST

/* ---- lives ---- */

START_TEST(a_rotation_prolongs_where_reading_does)
{
    apr_time_t end;

    rotate_pass(EVERY);
    bed_ends_in(&rotate_first, BED_IDLE / 2);
    end = bed_stored(&rotate_first)->record.expires;
    bed_terms.read_prolongs = 0;
    rotate_first = rotate_renewed(&rotate_first);
    rotate_is_kept(&rotate_first);
    ck_assert_int_eq(bed_stored(&rotate_first)->record.expires, end);
    bed_terms.read_prolongs = 1;
    rotate_pass(EVERY);
    rotate_renewed(&rotate_first);
    ck_assert_int_gt(bed_stored(&rotate_first)->record.expires, end);
}
END_TEST

START_TEST(a_renewed_cookie_has_the_new_token)
{
    bs_session_t *s;

    bed_terms.cookie_follows = 1;
    rotate_pass(EVERY);
    bed_ends_in(&rotate_first, BED_IDLE / 2);
    s = rotate_loaded(&rotate_first);
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    rotate_answer(s);
    ck_assert_int_ne(memcmp(s->token.verifier, rotate_first.verifier, BS_VERIFIER_SIZE), 0);
    ck_assert_int_eq(s->record.expires, bed_stored(&rotate_first)->record.expires);
    rotate_is_kept(&s->token);
}
END_TEST

START_TEST(a_replaced_token_renews_no_cookie)
{
    bs_session_t *s;
    apr_time_t end;

    bed_terms.cookie_follows = 1;
    rotate_pass(EVERY);
    rotate_renewed(&rotate_first);
    bed_ends_in(&rotate_first, BED_IDLE / 2);
    end = bed_stored(&rotate_first)->record.expires;
    s = rotate_loaded(&rotate_first);
    ck_assert(!bs_session_touch_is_due(s));
    bed_is(bs_session_touch(s, 0), APR_SUCCESS);
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    rotate_answer(s);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_int_eq(bed_stored(&rotate_first)->record.expires, end);
    ck_assert_str_eq(bed_value(&rotate_first, "b"), "2");
}
END_TEST

static void a_renewal_meets_a_rotation(void)
{
    bs_session_t *s;

    bed_terms.cookie_follows = 1;
    rotate_pass(EVERY);
    bed_ends_in(&rotate_first, BED_IDLE / 2);
    s = rotate_loaded(&rotate_first);
    other = rotate_loaded(&rotate_first);
    bed_before(BS_VERB_SAVE, answer_other);
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS);
    rotate_answer(s);
    ck_assert_int_eq(other->cookie, BS_COOKIE_SET);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}

START_TEST(a_renewal_does_not_bring_a_replaced_token_back)
{
    a_renewal_meets_a_rotation();
}
END_TEST

START_TEST(a_renewal_does_not_bring_a_replaced_token_back_where_the_store_merges)
{
    bed_merge_in_place();
    a_renewal_meets_a_rotation();
}
END_TEST

Suite *session_renewed_suite(void)
{
    Suite *suite = suite_create("session_renewed");
    TCase *tests = tcase_create("session_renewed");

    tcase_add_checked_fixture(tests, rotate_setup, bed_teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_lost_answer_is_followed_by_another);
    tcase_add_test(tests, a_late_answer_that_came_last_leads_on);
    tcase_add_test(tests, one_that_never_came_is_unknown_in_the_end);
    tcase_add_test(tests, who_keeps_the_first_token_keeps_the_session);
    tcase_add_test(tests, no_loss_logs_anybody_out);
    tcase_add_test(tests, of_two_at_once_one_gets_the_new_token);
    tcase_add_test(tests, of_two_at_once_one_gets_the_new_token_where_the_store_merges);
    tcase_add_test(tests, of_two_that_come_with_the_new_token_one_notes_it);
    tcase_add_test(tests, a_change_in_flight_survives_the_rotation);
    tcase_add_test(tests, a_change_in_flight_survives_the_rotation_where_the_store_merges);
    tcase_add_test(tests, a_rotation_survives_a_change);
    tcase_add_test(tests, a_slow_request_outlives_its_token);
    tcase_add_test(tests, a_session_that_ends_meanwhile_gets_no_cookie);
    tcase_add_test(tests, at_most_so_many_old_ones_are_good_at_once);
    tcase_add_test(tests, an_outage_costs_a_reader_nothing);
    tcase_add_test(tests, a_save_whose_answer_is_lost_is_a_lost_answer);
    tcase_add_test(tests, others_that_are_always_faster_cost_a_reader_nothing);
    tcase_add_test(tests, a_rotation_prolongs_where_reading_does);
    tcase_add_test(tests, a_renewed_cookie_has_the_new_token);
    tcase_add_test(tests, a_replaced_token_renews_no_cookie);
    tcase_add_test(tests, a_renewal_does_not_bring_a_replaced_token_back);
    tcase_add_test(tests, a_renewal_does_not_bring_a_replaced_token_back_where_the_store_merges);
    suite_add_tcase(suite, tests);
    return suite;
}
