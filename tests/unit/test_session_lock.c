/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A session under a lock: when it is taken and given back. */

#include "test_session_lock.h"

#include <string.h>

#include "mod_bsession.h"

bs_token_t    lock_token;
bs_session_t *lock_other;

void lock_setup(void)
{
    bed_setup();
    lock_token = bed_session("n", "5", NULL);
    bed_terms.lock.on = 1;
    bed_terms.lock.wait = 0;
    bed_terms.lock.lease = apr_time_from_sec(1000);
}

bs_session_t *lock_loaded(void)
{
    bs_session_t *s = bed_request(&lock_token);

    bed_is(bs_session_load(s), APR_SUCCESS);
    return s;
}

bsession_key_t lock_lease_key(void)
{
    bsession_key_t key;

    bs_token_key(&lock_token, &key);
    key.space = 'l';
    return key;
}

/* Whether anybody has it, past the orders of the provider but for its counts. */
int lock_is_leased(void)
{
    bs_caller_t caller = { .pool = pool };
    bsession_key_t key = lock_lease_key();
    bsession_record_t record;

    return bs_store_load(&bed_store, &caller, &key, &record) == APR_SUCCESS;
}

void lock_lease_ends(void)
{
    bs_caller_t caller = { .pool = pool };
    bsession_key_t key = lock_lease_key();

    bed_is(bs_store_remove(&bed_store, &caller, &key, 0), APR_SUCCESS);
}

void lock_finish(bs_session_t *s)
{
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_let_go(s, 0), APR_SUCCESS);
}

/* What a request does without a lock: a place that has none, or an application beside. */
void lock_save_unlocked(void)
{
    bs_lock_rule_t rule = bed_terms.lock;

    bed_terms.lock.on = 0;
    lock_other = lock_loaded();
    bed_is(bed_set(lock_other, "theirs", "t"), APR_SUCCESS);
    bed_is(bs_session_save(lock_other, 0), APR_SUCCESS);
    bed_terms.lock = rule;
}

void lock_increment(bs_session_t *s)
{
    char text[] = { (char)(bed_get(s, "n")[0] + 1), '\0' };

    bed_is(bed_set(s, "n", text), APR_SUCCESS);
}

void lock_lease_is_anothers(void)
{
    lock_lease_ends();
    lock_other = lock_loaded();
}

/* Nothing is written, nothing is tried again, and the response is no answer. */
void lock_is_refused(bs_session_t *s)
{
    int calls = bed_all_calls();

    ck_assert_int_eq(s->outage, BSESSION_EBUSY);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    bed_is(bs_session_save(s, 0), BSESSION_EBUSY);
    bed_is(bed_set(s, "n", "0"), BSESSION_EBUSY);
    bed_is(bs_session_rotate(s), BSESSION_EBUSY);
    bed_is(bs_session_destroy(s), BSESSION_EBUSY);
    ck_assert_int_eq(bed_all_calls(), calls);
    ck_assert_str_eq(bed_value(&lock_token, "n"), "5");
}

/* ---- who has it ---- */

START_TEST(what_it_costs)
{
    int loads = bed_calls(BS_VERB_LOAD), saves = bed_calls(BS_VERB_SAVE);
    bs_session_t *s = lock_loaded();

    lock_increment(s);
    lock_finish(s);
    ck_assert_int_eq(bed_calls(BS_VERB_LOAD), loads + 2);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 2);
    ck_assert_int_eq(bed_calls(BS_VERB_REMOVE), 1);
    ck_assert(!lock_is_leased());
    ck_assert_str_eq(bed_value(&lock_token, "n"), "6");
}
END_TEST

START_TEST(the_second_request_waits_in_vain)
{
    bs_session_t *s = lock_loaded();

    lock_other = bed_request(&lock_token);
    bed_is(bs_session_load(lock_other), BSESSION_EBUSY);
    ck_assert_int_eq(lock_other->state, BS_OUTAGE);
    ck_assert_ptr_null(bed_get(lock_other, "n"));
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "raise wait="));
    lock_is_refused(lock_other);
    lock_increment(s);
    lock_finish(s);
    ck_assert_str_eq(bed_value(&lock_token, "n"), "6");
}
END_TEST

static void save_and_let_go_other(void)
{
    lock_increment(lock_other);
    lock_finish(lock_other);
}

/* The one before it changes the session between this one's first look and its lock. */
START_TEST(what_is_read_is_what_the_holder_before_left)
{
    bs_session_t *s = bed_request(&lock_token);

    bed_terms.lock.wait = apr_time_from_sec(600);
    lock_other = lock_loaded();
    bed_before(BS_VERB_SAVE, save_and_let_go_other);
    bed_is(bs_session_load(s), APR_SUCCESS);
    ck_assert_str_eq(bed_get(s, "n"), "6");
    lock_increment(s);
    lock_finish(s);
    ck_assert_str_eq(bed_value(&lock_token, "n"), "7");
    ck_assert_uint_eq(bed_events(BS_DROPPED_CHANGES), 0);
}
END_TEST

/* A token of the right selector and another verifier: so forged, or from before a login. */
START_TEST(nobody_without_a_good_token_takes_it)
{
    bs_token_t forged = lock_token;
    int saves = bed_calls(BS_VERB_SAVE);
    bs_session_t *s;

    forged.verifier[3] ^= 1;
    s = bed_request(&forged);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves);

    bed_terms.lock.on = 0;
    s = lock_loaded();
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_terms.lock.on = 1;
    saves = bed_calls(BS_VERB_SAVE);
    bed_is(bs_session_load(bed_request(&lock_token)), APR_NOTFOUND);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves);
    ck_assert(!lock_is_leased());
}
END_TEST

START_TEST(a_visitor_without_a_session_takes_none)
{
    bs_session_t *s = bed_request(NULL);

    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    lock_finish(s);
    ck_assert_int_eq(bed_calls(BS_VERB_REMOVE), 0);
    ck_assert_uint_eq(bed_records(), 2);
}
END_TEST

/* Nothing was sent yet: the answer is not to say that it was done. */
START_TEST(a_change_past_the_lock_that_waits_in_vain_is_no_success)
{
    bs_session_t *s = lock_loaded();

    bed_is(bs_session_unlock(s), APR_SUCCESS);
    lock_other = lock_loaded();
    bed_is(bed_set(s, "late", "1"), BSESSION_EBUSY);
    ck_assert_int_eq(s->outage, BSESSION_EBUSY);
    lock_finish(lock_other);
    bed_is(bs_session_save(s, 0), BSESSION_EBUSY);
    ck_assert_ptr_null(bed_value(&lock_token, "late"));
}
END_TEST

START_TEST(of_late_changes_one_waits)
{
    apr_time_t begun;
    bs_session_t *s;
    int i, lines;

    bed_terms.lock.wait = apr_time_from_msec(200);
    s = lock_loaded();
    lock_finish(s);
    s->headers_gone = 1;
    lock_other = lock_loaded();
    begun = apr_time_now();
    bed_is(bed_set(s, "late", "1"), BSESSION_EBUSY);
    ck_assert_int_ge(apr_time_now() - begun, apr_time_from_msec(200));
    lines = bed_lines();
    for (i = 0; i < 5; i++) {
        int asked = bed_calls(BS_VERB_SAVE);

        bed_is(bed_set(s, "late", "1"), BSESSION_EBUSY);
        ck_assert_int_eq(bed_calls(BS_VERB_SAVE), asked + 1);
    }
    ck_assert_int_eq(bed_lines(), lines);
    lock_finish(lock_other);
    bed_is(bed_set(s, "late", "1"), APR_SUCCESS);
}
END_TEST

START_TEST(a_late_change_takes_it_again)
{
    bs_session_t *s = lock_loaded();

    lock_finish(s);
    s->headers_gone = 1;
    ck_assert_str_eq(bed_get(s, "n"), "5");
    ck_assert(!lock_is_leased());
    lock_other = lock_loaded();
    lock_increment(lock_other);
    bed_is(bed_set(s, "late", "1"), BSESSION_EBUSY);
    ck_assert_int_eq(s->outage, 0);
    lock_finish(lock_other);
    bed_is(bed_set(s, "late", "1"), APR_SUCCESS);
    ck_assert_str_eq(bed_get(s, "n"), "6");
    ck_assert(lock_is_leased());
    lock_finish(s);
    ck_assert_str_eq(bed_value(&lock_token, "late"), "1");
    ck_assert_str_eq(bed_value(&lock_token, "n"), "6");
    ck_assert(!lock_is_leased());
}
END_TEST

START_TEST(the_end_of_the_pool_gives_it_back)
{
    apr_pool_t *mine;
    bs_session_t *s;

    apr_pool_create(&mine, pool);
    s = bs_session_open(mine, &bed_terms, &lock_token, 1, NULL, NULL);
    bed_is(bs_session_load(s), APR_SUCCESS);
    bed_is(bed_set(s, "n", "9"), APR_SUCCESS);
    ck_assert(lock_is_leased());
    apr_pool_destroy(mine);
    ck_assert(!lock_is_leased());
    ck_assert_str_eq(bed_value(&lock_token, "n"), "5");          /* and that is all it does */
}
END_TEST

START_TEST(destroy_gives_it_back)
{
    bs_session_t *s = lock_loaded();

    bed_is(bs_session_destroy(s), APR_SUCCESS);
    ck_assert(!lock_is_leased());
    ck_assert_ptr_null(bed_stored(&lock_token));
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    lock_finish(s);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
}
END_TEST

START_TEST(a_rotation_keeps_it)
{
    bs_session_t *s = lock_loaded();
    bs_token_t before = lock_token;

    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bed_set(s, "user", "ann"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(lock_is_leased());
    lock_token = s->token;
    bed_is(bs_session_load(bed_request(&lock_token)), BSESSION_EBUSY);
    bed_is(bs_session_load(bed_request(&before)), APR_NOTFOUND);
    bed_is(bs_session_let_go(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_get(lock_loaded(), "user"), "ann");
}
END_TEST

static void destroy_other(void)
{
    bed_is(bs_session_destroy(lock_other), APR_SUCCESS);
}

/* A visitor can bring it about with each two requests. */
START_TEST(who_waits_in_vain_warns_so_often)
{
    int i;

    lock_loaded();
    for (i = 0; i <= BS_WARNINGS_A_MINUTE; i++) {
        bed_is(bs_session_load(bed_request(&lock_token)), BSESSION_EBUSY);
        ck_assert_int_eq(bed_lines(), i + 1);
        ck_assert_int_eq(bed_last_level(), i < BS_WARNINGS_A_MINUTE ? BS_LOG_WARNING : BS_LOG_INFO);
    }
}
END_TEST

START_TEST(it_ended_while_this_one_waited)
{
    bs_session_t *s = bed_request(&lock_token);

    bed_terms.lock.wait = apr_time_from_sec(600);
    lock_other = lock_loaded();
    bed_before(BS_VERB_SAVE, destroy_other);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(s->state, BS_ABSENT);
    ck_assert(!s->had_record);
    ck_assert(!lock_is_leased());
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

static void log_in_other(void)
{
    bed_is(bs_session_rotate(lock_other), APR_SUCCESS);
    lock_finish(lock_other);
}

START_TEST(another_one_logged_in_while_this_one_waited)
{
    bs_session_t *s = bed_request(&lock_token);

    bed_terms.lock.wait = apr_time_from_sec(600);
    lock_other = lock_loaded();
    bed_before(BS_VERB_SAVE, log_in_other);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(s->state, BS_RETIRED);
    ck_assert(!lock_is_leased());
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

/* ---- by hand ---- */

START_TEST(by_hand)
{
    bs_session_t *s;

    bed_terms.lock.on = 0;
    s = lock_loaded();
    ck_assert(!lock_is_leased());
    bed_is(bed_set(s, "mine", "m"), APR_SUCCESS);
    lock_save_unlocked();
    bed_is(bs_session_lock(s), APR_SUCCESS);
    ck_assert(lock_is_leased());
    ck_assert_str_eq(bed_get(s, "theirs"), "t");            /* as others left it */
    ck_assert_str_eq(bed_get(s, "mine"), "m");              /* and this one's own */
    lock_increment(s);
    bed_is(bs_session_unlock(s), APR_SUCCESS);
    ck_assert(!lock_is_leased());
    ck_assert_str_eq(bed_value(&lock_token, "n"), "6");
    ck_assert_str_eq(bed_value(&lock_token, "mine"), "m");
    bed_is(bs_session_unlock(s), APR_SUCCESS);
    bed_is(bed_set(s, "n", "8"), APR_SUCCESS);
    ck_assert(!lock_is_leased());
}
END_TEST

START_TEST(by_hand_in_vain_the_session_is_as_it_was)
{
    bs_session_t *s;

    lock_other = lock_loaded();
    bed_terms.lock.on = 0;
    s = lock_loaded();
    bed_is(bed_set(s, "mine", "m"), APR_SUCCESS);
    bed_is(bs_session_lock(s), BSESSION_EBUSY);
    ck_assert_int_eq(s->outage, 0);
    ck_assert_str_eq(bed_get(s, "mine"), "m");
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&lock_token, "mine"), "m");
}
END_TEST

START_TEST(by_hand_again_the_lease_begins_anew)
{
    bs_session_t *s;
    apr_time_t until;

    bed_terms.lock.on = 0;
    bed_terms.lock.lease = 0;                               /* nothing is said */
    s = lock_loaded();
    bed_is(bs_session_lock(s), APR_SUCCESS);
    s->lock.until -= apr_time_from_sec(5);
    until = s->lock.until;
    bed_is(bs_session_lock(s), APR_SUCCESS);
    ck_assert_int_gt(s->lock.until, until);
    s->lock.until = apr_time_now() - 1;
    lock_lease_ends();
    bed_is(bs_session_lock(s), BSESSION_EBUSY);
    lock_is_refused(s);
}
END_TEST

START_TEST(by_hand_where_there_is_none)
{
    bs_session_t *s = bed_request(NULL);

    bed_is(bs_session_lock(s), APR_NOTFOUND);
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_lock(s), APR_NOTFOUND);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_lock(s), APR_SUCCESS);
    bed_is(bs_session_unlock(s), APR_SUCCESS);
}
END_TEST

START_TEST(together_over_a_limit_what_is_stored_stays)
{
    bs_session_t *s;

    bed_terms.lock.on = 0;
    bed_terms.max_bytes = 16;                               /* 2 are used, and 7 soon */
    s = lock_loaded();
    bed_is(bed_set(s, "mine", "12345678"), APR_SUCCESS);
    lock_save_unlocked();
    bed_is(bs_session_lock(s), APR_ENOSPC);
    ck_assert_str_eq(bed_get(s, "theirs"), "t");
    ck_assert_ptr_null(bed_get(s, "mine"));
    lock_increment(s);
    bed_is(bs_session_unlock(s), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&lock_token, "n"), "6");
}
END_TEST

/* ---- add ---- */

START_TEST(add_is_atomic)
{
    bs_session_t *s = lock_loaded();

    bed_is(bs_session_add(s, "k", "mine", 4), APR_SUCCESS);
    bed_is(bs_session_load(bed_request(&lock_token)), BSESSION_EBUSY);
    lock_finish(s);
    lock_other = lock_loaded();
    bed_is(bs_session_add(lock_other, "k", "theirs", 6), APR_EEXIST);
}
END_TEST

Suite *session_lock_suite(void)
{
    Suite *suite = suite_create("session_lock");
    TCase *tests = tcase_create("under a lock");

    tcase_add_checked_fixture(tests, lock_setup, bed_teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_it_costs);
    tcase_add_test(tests, the_second_request_waits_in_vain);
    tcase_add_test(tests, what_is_read_is_what_the_holder_before_left);
    tcase_add_test(tests, nobody_without_a_good_token_takes_it);
    tcase_add_test(tests, a_visitor_without_a_session_takes_none);
    tcase_add_test(tests, a_change_past_the_lock_that_waits_in_vain_is_no_success);
    tcase_add_test(tests, of_late_changes_one_waits);
    tcase_add_test(tests, a_late_change_takes_it_again);
    tcase_add_test(tests, the_end_of_the_pool_gives_it_back);
    tcase_add_test(tests, destroy_gives_it_back);
    tcase_add_test(tests, a_rotation_keeps_it);
    tcase_add_test(tests, who_waits_in_vain_warns_so_often);
    tcase_add_test(tests, it_ended_while_this_one_waited);
    tcase_add_test(tests, another_one_logged_in_while_this_one_waited);
    tcase_add_test(tests, by_hand);
    tcase_add_test(tests, by_hand_in_vain_the_session_is_as_it_was);
    tcase_add_test(tests, by_hand_again_the_lease_begins_anew);
    tcase_add_test(tests, by_hand_where_there_is_none);
    tcase_add_test(tests, together_over_a_limit_what_is_stored_stays);
    tcase_add_test(tests, add_is_atomic);
    suite_add_tcase(suite, tests);
    return suite;
}
