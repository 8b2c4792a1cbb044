/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What a session tells its watch, and the facts that one can ask for. */

#include "bed.h"

#include <string.h>

#include "mod_bsession.h"

static bs_event_t told[8];
static int ntold;
static bs_session_t *watched;
static apr_status_t (*on_told)(void);

static void watch(void *watcher, bs_event_t event)
{
    ck_assert_ptr_eq(watcher, told);
    ck_assert_int_lt(ntold, 8);
    told[ntold++] = event;
    if (on_told) {
        bed_is(on_told(), APR_SUCCESS);
    }
}

static bs_session_t *request(const bs_token_t *token)
{
    watched = bed_request(token);
    watched->watch = watch;
    watched->watcher = told;
    return watched;
}

static void told_setup(void)
{
    bed_setup();
    ntold = 0;
    on_told = NULL;
}

START_TEST(each_event_is_told_once_when_it_is_done)
{
    bs_session_t *s = request(NULL);

    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    ck_assert_int_eq(ntold, 0);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    ck_assert_int_eq(ntold, 3);
    ck_assert_int_eq(told[0], BS_CREATED);
    ck_assert_int_eq(told[1], BS_ROTATED);
    ck_assert_int_eq(told[2], BS_DESTROYED);
    ck_assert_uint_eq(bs_session_facts(s), BSESSION_WAS_CREATED | BSESSION_WAS_CHANGED
                      | BSESSION_WAS_ROTATED | BSESSION_WAS_DESTROYED);
}
END_TEST

START_TEST(what_failed_is_not_told)
{
    bs_session_t *s = request(NULL);

    bed_answer(BS_VERB_SAVE, BED_OUTAGE, 1);
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), BED_OUTAGE);
    ck_assert_int_eq(ntold, 0);
    ck_assert_uint_eq(bs_session_facts(s) & BSESSION_WAS_CREATED, 0);
}
END_TEST

START_TEST(a_token_for_which_nothing_is_there_is_told)
{
    bs_token_t token;
    bs_session_t *s;

    bed_is(bs_token_new(&token), APR_SUCCESS);
    s = request(&token);
    ck_assert_int_eq(ntold, 0);
    ck_assert_ptr_null(bed_get(s, "a"));
    ck_assert_ptr_null(bed_get(s, "b"));
    ck_assert_int_eq(ntold, 1);
    ck_assert_int_eq(told[0], BS_UNKNOWN_TOKENS);
    ck_assert_uint_eq(bed_events(BS_UNKNOWN_TOKENS), 1);
    ck_assert_uint_eq(bs_session_facts(s), BSESSION_WAS_MISSING);
}
END_TEST

/* Beside one that is good: no session is missing, but somebody may be guessing. */
START_TEST(a_bad_token_beside_a_good_one_is_told_of_too)
{
    bs_token_t good = bed_session("a", "1", NULL), both[2] = { good, good };
    int bad;

    for (bad = 0; bad < 2; bad++) {
        bs_session_t *s;

        both[0] = both[1] = good;
        bed_is(bs_token_new(&both[bad]), APR_SUCCESS);
        ntold = 0;
        s = request(&both[0]);
        s->presented[1] = both[1];
        s->npresented = 2;
        ck_assert_str_eq(bed_get(s, "a"), "1");
        ck_assert_uint_eq(bs_session_facts(s), 0);
        ck_assert_int_eq(ntold, bad == 0);      /* the second one was not looked at */
        ck_assert_uint_eq(s->unknown, bad == 0);
    }
    ck_assert_int_eq(told[0], BS_UNKNOWN_BESIDE);
    ck_assert_uint_eq(bed_events(BS_UNKNOWN_BESIDE), 1);
    ck_assert_uint_eq(bed_events(BS_UNKNOWN_TOKENS), 0);
}
END_TEST

START_TEST(neither_an_outage_nor_no_token_is_a_missing_session)
{
    bs_token_t token;

    ck_assert_ptr_null(bed_get(request(NULL), "a"));
    bed_is(bs_token_new(&token), APR_SUCCESS);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);
    ck_assert_ptr_null(bed_get(request(&token), "a"));
    ck_assert_int_eq(ntold, 0);
    ck_assert_uint_eq(bed_events(BS_UNKNOWN_TOKENS), 0);
}
END_TEST

static apr_status_t set_more(void)
{
    return bed_set(watched, "more", "2");
}

START_TEST(a_watch_may_change_the_session)
{
    bs_session_t *s = request(NULL);

    on_told = set_more;
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_ptr_null(bed_value(&s->token, "more"));
    ck_assert(bs_session_dirty(s));
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&s->token, "more"), "2");
    ck_assert_int_eq(ntold, 1);
}
END_TEST

static apr_status_t rotate_again(void)
{
    return bs_session_rotate(watched);
}

START_TEST(a_watch_that_rotates_does_not_go_round_for_ever)
{
    bs_session_t *s = request(NULL);

    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    on_told = rotate_again;
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(ntold, 2);
    ck_assert(bs_session_dirty(s));
}
END_TEST

START_TEST(setting_what_is_there_changes_nothing)
{
    bs_token_t token = bed_session("a", "1", NULL);
    bs_session_t *s = request(&token);

    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    ck_assert_uint_eq(bs_session_facts(s), 0);
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    ck_assert_uint_eq(bs_session_facts(s), BSESSION_WAS_CHANGED);
}
END_TEST

/* Its end is one, also where it is ended as one of its user's. */
static void ends_itself(apr_status_t (*end)(bs_session_t *s, const char *tag))
{
    bs_session_t *s = bed_request(NULL), *other = bed_request(NULL);
    char tag[BS_TAG_SIZE];

    bed_is(bs_session_set_owner(other, "ann"), APR_SUCCESS);
    bed_is(bs_session_save(other, 0), APR_SUCCESS);
    bed_is(bs_session_set_owner(s, "ann"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    s = request(&s->token);
    bed_is(bs_session_load(s), APR_SUCCESS);
    bs_key_tag(&s->key, tag);
    bed_is(end(s, tag), APR_SUCCESS);
    ck_assert_int_eq(ntold, 1);
    ck_assert_int_eq(told[0], BS_DESTROYED);
    ck_assert_uint_eq(bs_session_facts(s), BSESSION_WAS_DESTROYED);
    ck_assert_int_eq(s->cookie, BS_COOKIE_DELETE);
}

static apr_status_t end_this(bs_session_t *s, const char *tag)
{
    return bs_session_revoke(s, NULL, tag);
}

static apr_status_t end_all(bs_session_t *s, const char *tag)
{
    (void)tag;
    return bs_session_revoke_user(s, NULL);
}

START_TEST(a_session_that_ends_itself_is_counted_once)
{
    ends_itself(end_this);
    ck_assert_uint_eq(bed_events(BS_DESTROYED), 1);
}
END_TEST

START_TEST(a_session_that_ends_all_of_its_user_is_counted_once)
{
    ends_itself(end_all);
    ck_assert_uint_eq(bed_events(BS_DESTROYED), 2);
}
END_TEST

Suite *session_told_suite(void)
{
    Suite *suite = suite_create("session told");
    TCase *tcase = tcase_create("told");

    tcase_add_checked_fixture(tcase, told_setup, bed_teardown);
    tcase_add_test(tcase, each_event_is_told_once_when_it_is_done);
    tcase_add_test(tcase, what_failed_is_not_told);
    tcase_add_test(tcase, a_token_for_which_nothing_is_there_is_told);
    tcase_add_test(tcase, a_bad_token_beside_a_good_one_is_told_of_too);
    tcase_add_test(tcase, neither_an_outage_nor_no_token_is_a_missing_session);
    tcase_add_test(tcase, a_watch_may_change_the_session);
    tcase_add_test(tcase, a_watch_that_rotates_does_not_go_round_for_ever);
    tcase_add_test(tcase, setting_what_is_there_changes_nothing);
    tcase_add_test(tcase, a_session_that_ends_itself_is_counted_once);
    tcase_add_test(tcase, a_session_that_ends_all_of_its_user_is_counted_once);
    suite_add_tcase(suite, tcase);
    return suite;
}
