/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A token that was replaced from time to time, and comes after its grace: somebody has a copy. */

#include "bed.h"

#include <string.h>

#include "mod_bsession.h"

#define EVERY apr_time_from_sec(100)
#define GRACE apr_time_from_sec(10)

static bs_token_t first, token;         /* the visitor's, from before and now */

static bs_session_t *visit(const bs_token_t *with)
{
    bs_session_t *s = bed_request(with);

    bed_is(bs_session_load(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bs_session_upkeep(s, 0);
    return s;
}

/* One rotation more, and the new token has come. */
static void rotate(void)
{
    bs_session_t *s;

    bed_time_passes(&token, EVERY);
    s = visit(&token);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    token = s->token;
    visit(&token);
}

static void reuse_setup(void)
{
    bed_setup();
    bed_terms.rotate.every = EVERY;
    bed_terms.rotate.grace = GRACE;
    first = token = bed_session("a", "1", NULL);
    rotate();
    bed_time_passes(&token, GRACE + apr_time_from_sec(1));
}

static bs_session_t *stranger(const bs_token_t *with)
{
    bs_session_t *s = bed_request(with);

    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_ptr_null(bed_get(s, "a"));
    return s;
}

static void is_alarmed(int times)
{
    char tag[BS_TAG_SIZE];
    bsession_key_t key;

    ck_assert_uint_eq(bed_events(BS_REUSED_TOKENS), times);
    ck_assert_int_eq(bed_lines(), times);
    if (times) {
        bs_token_key(&token, &key);
        bs_key_tag(&key, tag);
        ck_assert_int_eq(bed_last_level(), BS_LOG_WARNING);
        ck_assert_ptr_nonnull(strstr(bed_last_line(), tag));
    }
}

static bs_session_t *login(const bs_token_t *with)
{
    bs_session_t *s = bed_request(with);

    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bed_set(s, "user", "me"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    return s;
}

START_TEST(it_opens_nothing_and_is_logged)
{
    bs_session_t *s = stranger(&first);

    is_alarmed(1);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    visit(&token);
    is_alarmed(1);
}
END_TEST

/* A request of the visitor's own, a little too late, must not take the good cookie away. */
START_TEST(just_after_the_grace_no_cookie_is_sent)
{
    bs_session_t *s = stranger(&first);

    ck_assert_int_eq(s->state, BS_RETIRED);
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_uint_eq(bed_records(), 1);
    ck_assert_str_eq(bed_value(&token, "a"), "1");
}
END_TEST

/* Who has the old one can begin a new session, as who has none. */
START_TEST(later_it_is_an_unknown_token)
{
    bs_session_t *s;

    bed_time_passes(&token, apr_time_from_sec(30));
    s = stranger(&first);
    ck_assert_int_eq(s->state, BS_ABSENT);
    is_alarmed(1);
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_int_ne(memcmp(s->token.selector, token.selector, BS_SELECTOR_SIZE), 0);
    ck_assert_str_eq(bed_value(&token, "a"), "1");
}
END_TEST

START_TEST(a_copy_of_an_older_one_is_known_too)
{
    bs_token_t tokens[30];
    int i, last = BS_ASIDE_MAX + BS_SPENT_MAX;

    for (i = 0; i < 30; i++) {
        tokens[i] = token;
        rotate();
    }
    bed_time_passes(&token, GRACE + apr_time_from_sec(1));
    ck_assert_int_eq(bed_stored(&token)->meta.nspent, BS_SPENT_MAX);
    for (i = 0; i < 30; i++) {
        stranger(&tokens[i]);
        if (i < 30 - last) {
            is_alarmed(0);
        }
    }
    /* the latest is aside still, and eight before it are spent */
    is_alarmed(1 + BS_SPENT_MAX);
    visit(&token);
}
END_TEST

/* ---- reuse=revoke ---- */

START_TEST(where_that_is_asked_for_the_session_ends)
{
    bed_terms.rotate.revoke = 1;
    ck_assert_int_eq(stranger(&first)->state, BS_ABSENT);
    is_alarmed(1);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "ended"));
    ck_assert_uint_eq(bed_records(), 0);
    ck_assert_uint_eq(bed_events(BS_DESTROYED), 1);
    stranger(&token);
    stranger(&first);
    is_alarmed(1);
}
END_TEST

/* As any end: its owner's list, which is a record too, does not keep it, and who listens hears of
 * it. */
START_TEST(it_ends_for_its_owner_too)
{
    bs_session_t *s = bed_request(&token);

    bed_is(bs_session_set_owner(s, "me"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    first = token = s->token;
    rotate();
    bed_time_passes(&token, GRACE + apr_time_from_sec(1));
    bed_terms.rotate.revoke = 1;
    ck_assert_uint_eq(bed_records(), 2);
    s = stranger(&first);
    ck_assert_uint_eq(bed_records(), 0);
    ck_assert_uint_eq(bs_session_facts(s), BSESSION_WAS_DESTROYED | BSESSION_WAS_MISSING);
}
END_TEST

START_TEST(it_ends_also_when_others_write_at_once)
{
    bs_session_t *s = visit(&token);

    bed_terms.rotate.revoke = 1;
    bed_answer(BS_VERB_REMOVE, APR_EMISMATCH, 2);
    stranger(&first);
    ck_assert_uint_eq(bed_records(), 0);
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);          /* and does not come back */
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_uint_eq(bed_records(), 0);
}
END_TEST

static void login_now(void)
{
    token = login(&token)->token;
}

START_TEST(a_login_that_comes_first_saves_it)
{
    bed_terms.rotate.revoke = 1;
    bed_before(BS_VERB_REMOVE, login_now);
    stranger(&first);
    is_alarmed(1);
    ck_assert_str_eq(bed_get(visit(&token), "user"), "me");
}
END_TEST

START_TEST(where_it_cannot_be_ended_the_next_one_tries_again)
{
    bs_session_t *s;

    bed_terms.rotate.revoke = 1;
    bed_answer(BS_VERB_REMOVE, BED_OUTAGE, 1);
    s = stranger(&first);
    ck_assert_int_eq(s->outage, 0);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "could not be ended"));
    ck_assert_uint_eq(bed_records(), 1);
    stranger(&first);
    ck_assert_uint_eq(bed_records(), 0);
}
END_TEST

START_TEST(it_ends_in_both_stores)
{
    bed_terms.rotate.revoke = 1;
    bed_change_store();
    stranger(&first);
    ck_assert_ptr_null(bed_stored_in(&bed_older, &token));
    ck_assert_ptr_null(bed_stored(&token));
}
END_TEST

/* ---- what raises no alarm ---- */

START_TEST(a_token_from_before_a_login_is_no_alarm)
{
    bs_token_t before = token;
    bs_session_t *s;

    bed_terms.rotate.revoke = 1;
    s = login(&token);
    token = s->token;
    ck_assert_int_eq(bed_stored(&token)->meta.naside, 0);
    ck_assert_int_eq(bed_stored(&token)->meta.nspent, 0);
    ck_assert_int_eq(stranger(&before)->state, BS_RETIRED);     /* it may be under way */
    ck_assert_int_eq(stranger(&first)->state, BS_RETIRED);      /* its grace ended just now */
    bed_time_passes(&token, apr_time_from_sec(31));
    ck_assert_int_eq(stranger(&before)->state, BS_ABSENT);
    ck_assert_int_eq(stranger(&first)->state, BS_ABSENT);
    rotate();
    stranger(&before);
    stranger(&first);
    is_alarmed(0);
    visit(&token);
}
END_TEST

START_TEST(a_login_kills_what_was_good_beside_the_current_one)
{
    bs_token_t before = token, fresh;

    bed_time_passes(&token, EVERY);
    fresh = visit(&token)->token;       /* and nobody has come with it */
    token = login(&before)->token;      /* by the one from before it */
    ck_assert_int_eq(stranger(&before)->state, BS_RETIRED);
    ck_assert_int_eq(stranger(&fresh)->state, BS_RETIRED);
    visit(&token);
    is_alarmed(0);
}
END_TEST

/* A change that was loaded under the token before the login is refused, as ever. */
START_TEST(a_change_from_before_a_login_is_refused)
{
    bs_session_t *s = bed_request(&token);

    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    token = login(&token)->token;
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_str_eq(bed_value(&token, "a"), "1");
}
END_TEST

/* Two cookies of our name, one left over from another path: who has the current one is no thief. */
START_TEST(the_copy_beside_the_current_token_is_no_alarm)
{
    bs_token_t tokens[2];
    bs_session_t *s;
    int i;

    bed_terms.rotate.revoke = 1;
    for (i = 0; i < 2; i++) {
        tokens[i] = first;
        tokens[!i] = token;
        s = bs_session_open(pool, &bed_terms, tokens, 2, NULL, NULL);
        bed_is(bs_session_load(s), APR_SUCCESS);
        ck_assert_str_eq(bed_get(s, "a"), "1");
    }
    is_alarmed(0);
}
END_TEST

/* A job that began with it, and has no cookie that could be renewed. */
START_TEST(outside_of_requests_it_is_no_alarm)
{
    bs_session_t *s = bed_request(&first);

    bed_terms.rotate.revoke = 1;
    s->detached = 1;
    bed_is(bs_session_load(s), APR_NOTFOUND);
    is_alarmed(0);
    visit(&token);
}
END_TEST

START_TEST(the_session_of_another_realm_is_no_alarm)
{
    bed_terms.rotate.revoke = 1;
    bed_terms.realm[0] ^= 1;
    stranger(&first);
    is_alarmed(0);
}
END_TEST

START_TEST(no_grace_at_all)
{
    bs_token_t before;

    bed_terms.rotate.grace = 0;
    before = token;
    rotate();
    ck_assert_int_eq(stranger(&before)->state, BS_RETIRED);
    is_alarmed(1);
    visit(&token);
}
END_TEST

Suite *session_reuse_suite(void)
{
    Suite *suite = suite_create("session_reuse");
    TCase *tests = tcase_create("session_reuse");

    tcase_add_checked_fixture(tests, reuse_setup, bed_teardown);
    tcase_add_test(tests, it_opens_nothing_and_is_logged);
    tcase_add_test(tests, just_after_the_grace_no_cookie_is_sent);
    tcase_add_test(tests, later_it_is_an_unknown_token);
    tcase_add_test(tests, a_copy_of_an_older_one_is_known_too);
    tcase_add_test(tests, where_that_is_asked_for_the_session_ends);
    tcase_add_test(tests, it_ends_for_its_owner_too);
    tcase_add_test(tests, it_ends_also_when_others_write_at_once);
    tcase_add_test(tests, a_login_that_comes_first_saves_it);
    tcase_add_test(tests, where_it_cannot_be_ended_the_next_one_tries_again);
    tcase_add_test(tests, it_ends_in_both_stores);
    tcase_add_test(tests, a_token_from_before_a_login_is_no_alarm);
    tcase_add_test(tests, a_login_kills_what_was_good_beside_the_current_one);
    tcase_add_test(tests, a_change_from_before_a_login_is_refused);
    tcase_add_test(tests, the_copy_beside_the_current_token_is_no_alarm);
    tcase_add_test(tests, outside_of_requests_it_is_no_alarm);
    tcase_add_test(tests, the_session_of_another_realm_is_no_alarm);
    tcase_add_test(tests, no_grace_at_all);
    suite_add_tcase(suite, tests);
    return suite;
}
