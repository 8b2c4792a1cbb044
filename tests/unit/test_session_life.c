/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* How a session's life goes on and ends: destruction, expiry and use. */

#include "bed.h"

#include <string.h>

#include "mod_bsession.h"

static bs_token_t token;

static void life_setup(void)
{
    bed_setup();
    token = bed_session("a", "1", "b", "2", NULL);
}

static bs_session_t *loaded(void)
{
    bs_session_t *s = bed_request(&token);

    bed_is(bs_session_load(s), APR_SUCCESS);
    return s;
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

/* ---- destruction ---- */

START_TEST(destroy_removes_at_once)
{
    bs_session_t *s = loaded();

    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    ck_assert_uint_eq(bed_records(), 0);
    ck_assert_int_eq(s->cookie, BS_COOKIE_DELETE);
    ck_assert_ptr_null(bed_get(s, "a"));
    ck_assert(!bs_session_dirty(s));
    ck_assert(!bs_session_exists(s));
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_uint_eq(bed_records(), 0);
    ck_assert_uint_eq(bed_events(BS_DESTROYED), 1);
    bed_is(bs_session_load(bed_request(&token)), APR_NOTFOUND);
}
END_TEST

START_TEST(a_set_after_destroy_starts_a_fresh_session)
{
    bs_session_t *s = login();
    bs_token_t before = s->token;

    bed_is(bs_session_destroy(s), APR_SUCCESS);
    bed_is(bed_set(s, "new", "v"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_int_ne(memcmp(s->token.selector, before.selector, BS_SELECTOR_SIZE), 0);
    ck_assert_int_ne(memcmp(s->token.verifier, before.verifier, BS_VERIFIER_SIZE), 0);
    ck_assert_int_eq(bed_count(&s->token), 1);
    ck_assert_int_eq(bed_stored(&s->token)->meta.nretired, 0);
    ck_assert_ptr_null(bed_stored(&before));
    bed_is(bed_set(s, "more", "v"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_count(&s->token), 2);
}
END_TEST

START_TEST(destroy_of_what_another_has_destroyed_is_done)
{
    bs_session_t *s = loaded(), *other = loaded();

    bed_is(bs_session_destroy(other), APR_SUCCESS);
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    ck_assert_uint_eq(bed_records(), 0);
    ck_assert_uint_eq(bed_events(BS_DESTROYED), 1);
}
END_TEST

START_TEST(destroy_that_was_not_answered_keeps_the_cookie)
{
    bs_session_t *s = loaded();

    bed_answer(BS_VERB_REMOVE, BED_OUTAGE, 1);
    bed_is(bs_session_destroy(s), BED_OUTAGE);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_int_eq(s->outage, BED_OUTAGE);
    ck_assert_uint_eq(bed_events(BS_DESTROYED), 0);
}
END_TEST

/* ---- once the headers have left ---- */

START_TEST(late_changes_of_a_session_that_is_there)
{
    bs_session_t *s = loaded();

    s->headers_gone = 1;
    bed_is(bs_session_rotate(s), BSESSION_ELATE);
    ck_assert(!bs_session_dirty(s));
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_incr(s, "b", 1, NULL), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_unset(s, "b"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&token, "a"), "2");
    ck_assert_int_eq(bed_count(&token), 1);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    ck_assert_uint_eq(bed_records(), 0);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    bed_is(bed_set(s, "a", "3"), BSESSION_ELATE);
}
END_TEST

START_TEST(late_changes_that_would_need_a_cookie)
{
    bs_session_t *s = bed_request(NULL);

    s->headers_gone = 1;
    bed_is(bed_set(s, "a", "1"), BSESSION_ELATE);
    bed_is(bs_session_add(s, "a", "1", 1), BSESSION_ELATE);
    bed_is(bs_session_incr(s, "a", 1, NULL), BSESSION_ELATE);
    bed_is(bs_session_rotate(s), BSESSION_ELATE);
    bed_is(bs_session_unset(s, "a"), APR_SUCCESS);
    bed_is(bs_session_clear(s), APR_SUCCESS);
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    ck_assert(!bs_session_dirty(s));
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_all_calls(), 1);               /* the fixture's */
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

/* ---- expiry ---- */

START_TEST(what_has_expired_is_absent_before_any_sweep)
{
    bs_session_t *s;

    bed_ends_in(&token, -1);
    ck_assert_uint_eq(bed_records(), 1);
    s = bed_request(&token);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_int_eq(bed_count(&s->token), 1);
}
END_TEST

static void created_before(apr_interval_time_t ago)
{
    bed_stored_t *stored = bed_stored(&token);

    stored->meta.created = apr_time_now() - ago;
    bed_put(&token, stored);
}

START_TEST(the_absolute_time_ends_it_whatever_the_store_says)
{
    created_before(BED_ABSOLUTE);
    bed_is(bs_session_load(bed_request(&token)), APR_NOTFOUND);
    bed_terms.absolute = 0;             /* Off */
    bed_is(bs_session_load(bed_request(&token)), APR_SUCCESS);
}
END_TEST

START_TEST(nothing_prolongs_beyond_the_absolute_time)
{
    apr_time_t last;
    bs_session_t *s;

    created_before(BED_ABSOLUTE - BED_IDLE / 4);
    bed_ends_in(&token, BED_IDLE / 8);
    last = bed_stored(&token)->meta.created + BED_ABSOLUTE;
    s = loaded();
    bed_is(bs_session_touch(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_stored(&token)->record.expires, last);
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_stored(&token)->record.expires, last);
    s = login();
    ck_assert_int_eq(bed_stored(&token)->record.expires, last);
    ck_assert_int_eq(s->record.expires, last);
}
END_TEST

START_TEST(a_short_absolute_time_bounds_a_new_record)
{
    bs_session_t *s = bed_request(NULL);

    s->terms.absolute = BED_IDLE / 2;
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->record.expires, s->meta.created + BED_IDLE / 2);
    ck_assert_int_eq(bed_stored(&s->token)->record.expires, s->record.expires);
}
END_TEST

/* ---- use prolongs ---- */

START_TEST(a_touch_is_due_past_a_tenth_of_the_idle_time)
{
    bs_session_t *s;
    apr_time_t before;

    bed_ends_in(&token, BED_IDLE - BED_IDLE / 20);      /* it would move by a twentieth */
    s = loaded();
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_TOUCH), 0);
    bed_ends_in(&token, BED_IDLE - BED_IDLE / 8);       /* and now by an eighth */
    s = loaded();
    before = apr_time_now();
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_TOUCH), 1);
    ck_assert_int_ge(bed_stored(&token)->record.expires, before + BED_IDLE);
    ck_assert_int_eq(bed_stored(&token)->record.expires, s->record.expires);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS); /* once */
    ck_assert_int_eq(bed_calls(BS_VERB_TOUCH), 1);
}
END_TEST

START_TEST(what_was_saved_needs_no_touch)
{
    bs_session_t *s;
    apr_time_t before = apr_time_now();

    bed_ends_in(&token, BED_IDLE / 2);
    s = loaded();
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_ge(bed_stored(&token)->record.expires, before + BED_IDLE);
    ck_assert_int_eq(bed_stored(&token)->record.expires, s->record.expires);
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_TOUCH), 0);
}
END_TEST

START_TEST(where_reading_does_not_prolong_only_a_save_does)
{
    bs_session_t *s;
    apr_time_t end;

    bed_terms.read_prolongs = 0;
    bed_ends_in(&token, apr_time_from_sec(20));
    end = bed_stored(&token)->record.expires;
    s = loaded();
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_TOUCH), 0);
    ck_assert_int_eq(bed_stored(&token)->record.expires, end);
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_gt(bed_stored(&token)->record.expires, end + BED_IDLE / 2);
}
END_TEST

START_TEST(with_little_left_the_touch_comes_first)
{
    apr_time_t before = apr_time_now();
    bs_session_t *s;

    bed_ends_in(&token, apr_time_from_sec(40));
    loaded();
    ck_assert_int_eq(bed_calls(BS_VERB_TOUCH), 0);
    bed_ends_in(&token, apr_time_from_sec(25));         /* less than 30 s, with idle/10 = 100 s */
    s = loaded();
    ck_assert_int_eq(bed_calls(BS_VERB_TOUCH), 1);
    ck_assert_int_ge(bed_stored(&token)->record.expires, before + BED_IDLE);
    ck_assert_int_ge(s->record.expires, before + BED_IDLE);
    bed_terms.idle = apr_time_from_sec(100);            /* idle/10 = 10 s */
    bed_ends_in(&token, apr_time_from_sec(25));
    loaded();
    ck_assert_int_eq(bed_calls(BS_VERB_TOUCH), 1);
    bed_ends_in(&token, apr_time_from_sec(8));
    loaded();
    ck_assert_int_eq(bed_calls(BS_VERB_TOUCH), 2);
}
END_TEST

START_TEST(a_record_that_ends_before_the_first_touch_is_absent)
{
    bs_session_t *s;

    bed_ends_in(&token, apr_time_from_sec(5));
    bed_answer(BS_VERB_TOUCH, APR_NOTFOUND, 1);
    s = bed_request(&token);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(s->state, BS_ABSENT);
    ck_assert_int_eq(s->had_record, 0);
    ck_assert_ptr_null(bed_get(s, "a"));
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_count(&s->token), 1);
}
END_TEST

START_TEST(a_touch_that_fails_harms_nothing)
{
    bs_session_t *s;

    bed_ends_in(&token, BED_IDLE / 2);
    s = loaded();
    bed_answer(BS_VERB_TOUCH, BED_OUTAGE, 1);
    bed_is(bs_session_touch_if_due(s, 0), BED_OUTAGE);
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS); /* not again in this request */
    ck_assert_int_eq(bed_calls(BS_VERB_TOUCH), 1);
    ck_assert_int_eq(s->record.expires, bed_stored(&token)->record.expires);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

START_TEST(nothing_is_asked_by_a_touch_after_an_outage)
{
    bs_session_t *s;

    bed_ends_in(&token, BED_IDLE / 2);
    s = loaded();
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_answer(BS_VERB_SAVE, BED_OUTAGE, 1);
    bed_is(bs_session_save(s, 0), BED_OUTAGE);
    bed_is(bs_session_touch(s, 0), BED_OUTAGE);
    ck_assert_int_eq(bed_calls(BS_VERB_TOUCH), 0);
}
END_TEST

/* A save under a shorter idle time (another Location) comes after a touch under a longer one. */
START_TEST(a_save_never_shortens_a_life)
{
    bs_session_t *s;
    apr_time_t end;

    bed_ends_in(&token, BED_IDLE / 2);
    s = loaded();
    bed_ends_in(&token, 10 * BED_IDLE);
    end = bed_stored(&token)->record.expires;
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_stored(&token)->record.expires, end);
}
END_TEST

/* ---- a cookie whose life is the record's ---- */

START_TEST(a_renewed_cookie_goes_out_with_the_touch)
{
    bs_session_t *s;

    bed_terms.cookie_follows = 1;
    bed_ends_in(&token, BED_IDLE / 2);
    s = loaded();
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_int_eq(s->record.expires, bed_stored(&token)->record.expires);
    ck_assert_int_eq(bs_session_seconds_left(s, s->record.expires - BED_IDLE), 1000);
    ck_assert_int_eq(memcmp(&s->token, &token, sizeof(token)), 0);
}
END_TEST

START_TEST(without_a_touch_there_is_no_renewed_cookie)
{
    unsigned before;
    bs_session_t *s;

    bed_terms.cookie_follows = 1;
    bed_ends_in(&token, BED_IDLE / 2);
    s = loaded();
    before = bed_calls(BS_VERB_SAVE);
    bed_answer(BS_VERB_SAVE, BED_OUTAGE, 1);
    bed_is(bs_session_touch_if_due(s, 0), BED_OUTAGE);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    s = loaded();
    s->headers_gone = 1;                /* nor a touch, where no cookie can follow */
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS);
    bed_is(bs_session_touch(s, 0), BSESSION_ELATE);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), before + 1);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

START_TEST(a_save_keeps_both_lives_equal)
{
    bs_session_t *s;
    apr_time_t end;

    bed_terms.cookie_follows = 1;
    bed_ends_in(&token, BED_IDLE - BED_IDLE / 20);      /* not worth a cookie: neither moves */
    end = bed_stored(&token)->record.expires;
    s = loaded();
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_int_eq(bed_stored(&token)->record.expires, end);
    bed_ends_in(&token, BED_IDLE / 2);                  /* worth one, but it is too late for it */
    end = bed_stored(&token)->record.expires;
    s = loaded();
    s->headers_gone = 1;
    bed_is(bed_set(s, "a", "3"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_int_eq(bed_stored(&token)->record.expires, end);
    s = loaded();                                       /* both move */
    bed_is(bed_set(s, "a", "4"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_int_gt(bed_stored(&token)->record.expires, end);
    ck_assert_int_eq(bed_stored(&token)->record.expires, s->record.expires);
}
END_TEST

START_TEST(seconds_are_rounded_up_and_never_negative)
{
    bs_session_t *s = loaded();

    s->record.expires = apr_time_from_sec(100);
    ck_assert_int_eq(bs_session_seconds_left(s, apr_time_from_sec(40)), 60);
    ck_assert_int_eq(bs_session_seconds_left(s, apr_time_from_sec(40) + 1), 60);
    ck_assert_int_eq(bs_session_seconds_left(s, apr_time_from_sec(100) - 1), 1);
    ck_assert_int_eq(bs_session_seconds_left(s, apr_time_from_sec(100)), 0);
    ck_assert_int_eq(bs_session_seconds_left(s, apr_time_from_sec(200)), 0);
}
END_TEST

Suite *session_life_suite(void)
{
    Suite *suite = suite_create("session_life");
    TCase *tests = tcase_create("session_life");

    tcase_add_checked_fixture(tests, life_setup, bed_teardown);
    tcase_add_test(tests, destroy_removes_at_once);
    tcase_add_test(tests, a_set_after_destroy_starts_a_fresh_session);
    tcase_add_test(tests, destroy_of_what_another_has_destroyed_is_done);
    tcase_add_test(tests, destroy_that_was_not_answered_keeps_the_cookie);
    tcase_add_test(tests, late_changes_of_a_session_that_is_there);
    tcase_add_test(tests, late_changes_that_would_need_a_cookie);
    tcase_add_test(tests, what_has_expired_is_absent_before_any_sweep);
    tcase_add_test(tests, the_absolute_time_ends_it_whatever_the_store_says);
    tcase_add_test(tests, nothing_prolongs_beyond_the_absolute_time);
    tcase_add_test(tests, a_short_absolute_time_bounds_a_new_record);
    tcase_add_test(tests, a_touch_is_due_past_a_tenth_of_the_idle_time);
    tcase_add_test(tests, what_was_saved_needs_no_touch);
    tcase_add_test(tests, where_reading_does_not_prolong_only_a_save_does);
    tcase_add_test(tests, with_little_left_the_touch_comes_first);
    tcase_add_test(tests, a_record_that_ends_before_the_first_touch_is_absent);
    tcase_add_test(tests, a_touch_that_fails_harms_nothing);
    tcase_add_test(tests, nothing_is_asked_by_a_touch_after_an_outage);
    tcase_add_test(tests, a_save_never_shortens_a_life);
    tcase_add_test(tests, a_renewed_cookie_goes_out_with_the_touch);
    tcase_add_test(tests, without_a_touch_there_is_no_renewed_cookie);
    tcase_add_test(tests, a_save_keeps_both_lives_equal);
    tcase_add_test(tests, seconds_are_rounded_up_and_never_negative);
    suite_add_tcase(suite, tests);
    return suite;
}
