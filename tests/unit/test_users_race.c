/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Owners, where another request goes between any two calls of a first one. */

#include "test_users.h"

#include <string.h>

#include <apr_strings.h>

#include "mod_bsession.h"

static bs_session_t *other;
static apr_status_t  others;            /* what became of it */
static const char   *name;

static void save_other(void)
{
    others = bs_session_save(other, 0);
}

static void end_all(void)
{
    others = users_revoke(name);
}

/** `race` is run once for each call that is made while `happen` is awaited: that goes before it. */
static void at_each_call(void (*race)(void), void (*happen)(void), void (*prepare)(void))
{
    static const bs_verb_t verbs[] = { BS_VERB_LOAD, BS_VERB_SAVE, BS_VERB_REMOVE };
    size_t i;
    int n;

    for (i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        for (n = 1; ; n++) {
            name = apr_psprintf(pool, "user %d %d", (int)i, n);
            prepare();
            users_before(verbs[i], n, happen);
            race();
            if (!users_came_to_it()) {
                break;
            }
        }
    }
}

static bs_session_t *mine;
static apr_status_t  status;

static void save_mine(void)
{
    status = bs_session_save(mine, 0);
}

/* ---- login against login ---- */

static void two_logins(void)
{
    mine = users_named(NULL, name);
    other = users_named(NULL, name);
    others = APR_EGENERAL;
}

static void one_gets_in(void)
{
    save_mine();
    if (!users_came_to_it()) {
        save_other();
    }
    ck_assert((status == APR_SUCCESS) + (others == APR_SUCCESS) == 1);
    ck_assert((status == BSESSION_EMANY) + (others == BSESSION_EMANY) == 1);
    ck_assert_int_eq(users_alive(name), 1);
    ck_assert_int_eq(users_listed(name), 1);
    users_cannot_scan();
    bed_is(users_revoke(name), APR_SUCCESS);
    ck_assert_int_eq(users_alive(name), 0);
}

static void the_latest_stays(void)
{
    save_mine();
    if (!users_came_to_it()) {
        save_other();
    }
    ck_assert_int_eq(users_alive(name), 1);
    ck_assert_int_eq(users_listed(name), 1);
    ck_assert((status == APR_SUCCESS) + (others == APR_SUCCESS) >= 1);
}

START_TEST(of_two_logins_one_gets_the_last_place)
{
    bed_terms.user.max = 1;
    at_each_call(one_gets_in, save_other, two_logins);
}
END_TEST

START_TEST(of_two_logins_one_stays)
{
    bed_terms.user.max = 1;
    bed_terms.user.evict = 1;
    at_each_call(the_latest_stays, save_other, two_logins);
}
END_TEST

/* ---- login against an end of all ---- */

static void a_login_and_a_session(void)
{
    users_login(name);
    mine = users_named(NULL, name);
    others = APR_EGENERAL;
}

/** What was there has ended. The login may have been later; but then the list leads to it. */
static void the_login_is_listed(void)
{
    save_mine();
    if (users_came_to_it()) {
        bed_is(others, APR_SUCCESS);
    }
    bed_is(status, APR_SUCCESS);
    ck_assert_int_eq(users_listed(name), users_alive(name));
    bed_is(users_revoke(name), APR_SUCCESS);
    ck_assert_int_eq(users_alive(name), 0);
}

START_TEST(a_login_during_an_end_of_all)
{
    users_cannot_scan();
    at_each_call(the_login_is_listed, end_all, a_login_and_a_session);
}
END_TEST

static void a_session_and_a_login(void)
{
    mine = users_login(name);
    other = users_named(NULL, name);
    others = APR_EGENERAL;
}

static void what_was_there_ends(void)
{
    bed_is(users_revoke(name), APR_SUCCESS);
    ck_assert(!users_came_to_it() || others == APR_SUCCESS);
    ck_assert_ptr_null(bed_stored(&mine->token));
    ck_assert_int_eq(users_listed(name), users_alive(name));
}

START_TEST(a_login_between_the_steps_of_an_end)
{
    users_cannot_scan();
    at_each_call(what_was_there_ends, save_other, a_session_and_a_login);
}
END_TEST

/* ---- two owners of one session ---- */

static bs_token_t shared;
static const char *second;

static void two_owners(void)
{
    second = apr_pstrcat(pool, "other ", name, NULL);
    shared = bed_session("a", "1", NULL);
    mine = users_named(&shared, name);
    other = users_named(&shared, second);
}

/** Both have said who they are, and neither gets the other's session. */
static void each_has_his_own(void)
{
    save_mine();
    if (!users_came_to_it()) {
        save_other();
    }
    bed_is(status, APR_SUCCESS);
    bed_is(others, APR_SUCCESS);
    ck_assert_str_eq(bs_session_owner(bed_request(&mine->token)), name);
    ck_assert_str_eq(bs_session_owner(bed_request(&other->token)), second);
    bed_is(bs_session_load(bed_request(&shared)), APR_NOTFOUND);
    ck_assert_int_eq(users_listed(name), 1);
    ck_assert_int_eq(users_listed(second), 1);
    ck_assert_int_eq(users_entries(name) + users_entries(second), 2);
    bed_is(users_revoke(name), APR_SUCCESS);
    bed_is(users_revoke(second), APR_SUCCESS);
    ck_assert_int_eq(users_alive(name) + users_alive(second), 0);
}

START_TEST(two_owners_of_one_session)
{
    users_cannot_scan();
    bed_terms.user.max = 1;
    at_each_call(each_has_his_own, save_other, two_owners);
}
END_TEST

/* Of one session that the same user enters twice, what is left is the entry of the one who stored
 * it. */
static void two_of_one(void)
{
    shared = bed_session("a", "1", NULL);
    mine = users_named(&shared, name);
    other = users_named(&shared, name);
}

static void what_is_alive_is_listed(void)
{
    save_mine();
    if (!users_came_to_it()) {
        save_other();
    }
    bed_is(status, APR_SUCCESS);
    bed_is(others, APR_SUCCESS);
    ck_assert_int_eq(users_alive(name), 2);
    ck_assert_int_eq(users_listed(name), 2);
    ck_assert_int_eq(users_entries(name), 2);
}

START_TEST(one_owner_of_one_session_twice)
{
    at_each_call(what_is_alive_is_listed, save_other, two_of_one);
}
END_TEST

Suite *users_race_suite(void)
{
    Suite *suite = suite_create("users_race");
    TCase *tests = tcase_create("two requests");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, bed_setup, bed_teardown);
    tcase_add_test(tests, of_two_logins_one_gets_the_last_place);
    tcase_add_test(tests, of_two_logins_one_stays);
    tcase_add_test(tests, a_login_during_an_end_of_all);
    tcase_add_test(tests, a_login_between_the_steps_of_an_end);
    tcase_add_test(tests, two_owners_of_one_session);
    tcase_add_test(tests, one_owner_of_one_session_twice);
    suite_add_tcase(suite, tests);
    return suite;
}
