/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A session under a lock: when it is taken and given back, and that who lost it writes nothing. */

#include "bed.h"

#include <string.h>

#include "mod_bsession.h"

static bs_token_t    token;
static bs_session_t *other;

static void lock_setup(void)
{
    bed_setup();
    token = bed_session("n", "5", NULL);
    bed_terms.lock.on = 1;
    bed_terms.lock.wait = 0;
    bed_terms.lock.lease = apr_time_from_sec(1000);
}

static bs_session_t *loaded(void)
{
    bs_session_t *s = bed_request(&token);

    bed_is(bs_session_load(s), APR_SUCCESS);
    return s;
}

static bsession_key_t lease_key(void)
{
    bsession_key_t key;

    bs_token_key(&token, &key);
    key.space = 'l';
    return key;
}

/* Whether anybody has it, past the orders of the provider but for its counts. */
static int is_leased(void)
{
    bs_caller_t caller = { .pool = pool };
    bsession_key_t key = lease_key();
    bsession_record_t record;

    return bs_store_load(&bed_store, &caller, &key, &record) == APR_SUCCESS;
}

static void lease_ends(void)
{
    bs_caller_t caller = { .pool = pool };
    bsession_key_t key = lease_key();

    bed_is(bs_store_remove(&bed_store, &caller, &key, 0), APR_SUCCESS);
}

static void finish(bs_session_t *s)
{
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_let_go(s, 0), APR_SUCCESS);
}

/* What a request does without a lock: a place that has none, or an application beside. */
static void save_unlocked(void)
{
    bs_lock_rule_t rule = bed_terms.lock;

    bed_terms.lock.on = 0;
    other = loaded();
    bed_is(bed_set(other, "theirs", "t"), APR_SUCCESS);
    bed_is(bs_session_save(other, 0), APR_SUCCESS);
    bed_terms.lock = rule;
}

static void increment(bs_session_t *s)
{
    char text[] = { (char)(bed_get(s, "n")[0] + 1), '\0' };

    bed_is(bed_set(s, "n", text), APR_SUCCESS);
}

static void lease_is_anothers(void)
{
    lease_ends();
    other = loaded();
}

/* Nothing is written, nothing is tried again, and the response is no answer. */
static void is_refused(bs_session_t *s)
{
    int calls = bed_all_calls();

    ck_assert_int_eq(s->outage, BSESSION_EBUSY);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    bed_is(bs_session_save(s, 0), BSESSION_EBUSY);
    bed_is(bed_set(s, "n", "0"), BSESSION_EBUSY);
    bed_is(bs_session_rotate(s), BSESSION_EBUSY);
    bed_is(bs_session_destroy(s), BSESSION_EBUSY);
    ck_assert_int_eq(bed_all_calls(), calls);
    ck_assert_str_eq(bed_value(&token, "n"), "5");
}

/* ---- who has it ---- */

START_TEST(what_it_costs)
{
    int loads = bed_calls(BS_VERB_LOAD), saves = bed_calls(BS_VERB_SAVE);
    bs_session_t *s = loaded();

    increment(s);
    finish(s);
    ck_assert_int_eq(bed_calls(BS_VERB_LOAD), loads + 2);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 2);
    ck_assert_int_eq(bed_calls(BS_VERB_REMOVE), 1);
    ck_assert(!is_leased());
    ck_assert_str_eq(bed_value(&token, "n"), "6");
}
END_TEST

START_TEST(the_second_request_waits_in_vain)
{
    bs_session_t *s = loaded();

    other = bed_request(&token);
    bed_is(bs_session_load(other), BSESSION_EBUSY);
    ck_assert_int_eq(other->state, BS_OUTAGE);
    ck_assert_ptr_null(bed_get(other, "n"));
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "raise wait="));
    is_refused(other);
    increment(s);
    finish(s);
    ck_assert_str_eq(bed_value(&token, "n"), "6");
}
END_TEST

static void save_and_let_go_other(void)
{
    increment(other);
    finish(other);
}

/* The one before it changes the session between this one's first look and its lock. */
START_TEST(what_is_read_is_what_the_holder_before_left)
{
    bs_session_t *s = bed_request(&token);

    bed_terms.lock.wait = apr_time_from_sec(600);
    other = loaded();
    bed_before(BS_VERB_SAVE, save_and_let_go_other);
    bed_is(bs_session_load(s), APR_SUCCESS);
    ck_assert_str_eq(bed_get(s, "n"), "6");
    increment(s);
    finish(s);
    ck_assert_str_eq(bed_value(&token, "n"), "7");
    ck_assert_uint_eq(bed_events(BS_DROPPED_CHANGES), 0);
}
END_TEST

/* A token of the right selector and another verifier: so forged, or from before a login. */
START_TEST(nobody_without_a_good_token_takes_it)
{
    bs_token_t forged = token;
    int saves = bed_calls(BS_VERB_SAVE);
    bs_session_t *s;

    forged.verifier[3] ^= 1;
    s = bed_request(&forged);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves);

    bed_terms.lock.on = 0;
    s = loaded();
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_terms.lock.on = 1;
    saves = bed_calls(BS_VERB_SAVE);
    bed_is(bs_session_load(bed_request(&token)), APR_NOTFOUND);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves);
    ck_assert(!is_leased());
}
END_TEST

START_TEST(a_visitor_without_a_session_takes_none)
{
    bs_session_t *s = bed_request(NULL);

    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    finish(s);
    ck_assert_int_eq(bed_calls(BS_VERB_REMOVE), 0);
    ck_assert_uint_eq(bed_records(), 2);
}
END_TEST

/* Nothing was sent yet: the answer is not to say that it was done. */
START_TEST(a_change_past_the_lock_that_waits_in_vain_is_no_success)
{
    bs_session_t *s = loaded();

    bed_is(bs_session_unlock(s), APR_SUCCESS);
    other = loaded();
    bed_is(bed_set(s, "late", "1"), BSESSION_EBUSY);
    ck_assert_int_eq(s->outage, BSESSION_EBUSY);
    finish(other);
    bed_is(bs_session_save(s, 0), BSESSION_EBUSY);
    ck_assert_ptr_null(bed_value(&token, "late"));
}
END_TEST

START_TEST(of_late_changes_one_waits)
{
    apr_time_t begun;
    bs_session_t *s;
    int i, lines;

    bed_terms.lock.wait = apr_time_from_msec(200);
    s = loaded();
    finish(s);
    s->headers_gone = 1;
    other = loaded();
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
    finish(other);
    bed_is(bed_set(s, "late", "1"), APR_SUCCESS);
}
END_TEST

START_TEST(a_late_change_takes_it_again)
{
    bs_session_t *s = loaded();

    finish(s);
    s->headers_gone = 1;
    ck_assert_str_eq(bed_get(s, "n"), "5");
    ck_assert(!is_leased());
    other = loaded();
    increment(other);
    bed_is(bed_set(s, "late", "1"), BSESSION_EBUSY);
    ck_assert_int_eq(s->outage, 0);
    finish(other);
    bed_is(bed_set(s, "late", "1"), APR_SUCCESS);
    ck_assert_str_eq(bed_get(s, "n"), "6");
    ck_assert(is_leased());
    finish(s);
    ck_assert_str_eq(bed_value(&token, "late"), "1");
    ck_assert_str_eq(bed_value(&token, "n"), "6");
    ck_assert(!is_leased());
}
END_TEST

START_TEST(the_end_of_the_pool_gives_it_back)
{
    apr_pool_t *mine;
    bs_session_t *s;

    apr_pool_create(&mine, pool);
    s = bs_session_open(mine, &bed_terms, &token, 1, NULL, NULL);
    bed_is(bs_session_load(s), APR_SUCCESS);
    bed_is(bed_set(s, "n", "9"), APR_SUCCESS);
    ck_assert(is_leased());
    apr_pool_destroy(mine);
    ck_assert(!is_leased());
    ck_assert_str_eq(bed_value(&token, "n"), "5");          /* and that is all it does */
}
END_TEST

START_TEST(destroy_gives_it_back)
{
    bs_session_t *s = loaded();

    bed_is(bs_session_destroy(s), APR_SUCCESS);
    ck_assert(!is_leased());
    ck_assert_ptr_null(bed_stored(&token));
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    finish(s);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
}
END_TEST

START_TEST(a_rotation_keeps_it)
{
    bs_session_t *s = loaded();
    bs_token_t before = token;

    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bed_set(s, "user", "ann"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(is_leased());
    token = s->token;
    bed_is(bs_session_load(bed_request(&token)), BSESSION_EBUSY);
    bed_is(bs_session_load(bed_request(&before)), APR_NOTFOUND);
    bed_is(bs_session_let_go(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_get(loaded(), "user"), "ann");
}
END_TEST

static void destroy_other(void)
{
    bed_is(bs_session_destroy(other), APR_SUCCESS);
}

START_TEST(it_ended_while_this_one_waited)
{
    bs_session_t *s = bed_request(&token);

    bed_terms.lock.wait = apr_time_from_sec(600);
    other = loaded();
    bed_before(BS_VERB_SAVE, destroy_other);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(s->state, BS_ABSENT);
    ck_assert(!s->had_record);
    ck_assert(!is_leased());
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

static void log_in_other(void)
{
    bed_is(bs_session_rotate(other), APR_SUCCESS);
    finish(other);
}

START_TEST(another_one_logged_in_while_this_one_waited)
{
    bs_session_t *s = bed_request(&token);

    bed_terms.lock.wait = apr_time_from_sec(600);
    other = loaded();
    bed_before(BS_VERB_SAVE, log_in_other);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(s->state, BS_RETIRED);
    ck_assert(!is_leased());
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

/* ---- the fence ---- */

START_TEST(who_has_it_still_merges_what_came_past_the_lock)
{
    bs_session_t *s = loaded();

    increment(s);
    save_unlocked();
    finish(s);
    ck_assert_str_eq(bed_value(&token, "n"), "6");
    ck_assert_str_eq(bed_value(&token, "theirs"), "t");
}
END_TEST

START_TEST(the_same_where_the_store_merges)
{
    bs_session_t *s = loaded();

    bed_merge_in_place();
    increment(s);
    save_unlocked();
    finish(s);
    ck_assert_str_eq(bed_value(&token, "n"), "6");
    ck_assert_str_eq(bed_value(&token, "theirs"), "t");
}
END_TEST

/* The lease is believed to have life enough, and what the save meets tells otherwise. */
static void lost_before_the_save(void (*how)(void))
{
    bs_session_t *s = loaded();

    increment(s);
    how();
    save_unlocked();
    bed_is(bs_session_save(s, 0), BSESSION_EBUSY);
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "Raise lease="));
    ck_assert_uint_eq(bed_events(BS_DROPPED_CHANGES), 1);
    is_refused(s);
    ck_assert_str_eq(bed_value(&token, "theirs"), "t");
}

START_TEST(who_lost_it_to_another_writes_nothing)
{
    lost_before_the_save(lease_is_anothers);
}
END_TEST

START_TEST(whose_lease_ended_writes_nothing)
{
    lost_before_the_save(lease_ends);
}
END_TEST

/* By its own clock the lease ends too soon: it looks before it saves. */
START_TEST(a_holder_that_slept_writes_nothing)
{
    bs_session_t *s = loaded();
    int saves;

    increment(s);
    lease_is_anothers();
    s->lock.until = apr_time_now() - 1;
    saves = bed_calls(BS_VERB_SAVE);
    bed_is(bs_session_save(s, 0), BSESSION_EBUSY);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 1);   /* the renewal, in vain */
    is_refused(s);
    increment(other);                                       /* the new holder is not disturbed */
    finish(other);
    ck_assert_str_eq(bed_value(&token, "n"), "6");
}
END_TEST

START_TEST(a_lease_that_may_end_during_the_save_is_renewed)
{
    bs_session_t *s;
    apr_time_t until;

    bed_terms.lock.lease = apr_time_from_sec(1);            /* the store may take a minute */
    s = loaded();
    until = s->lock.until;
    increment(s);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_gt(s->lock.until, until);
    finish(s);
    ck_assert(!is_leased());
}
END_TEST

START_TEST(who_lost_it_destroys_nothing)
{
    bs_session_t *s = loaded();

    lease_is_anothers();
    s->lock.until = apr_time_now() - 1;
    bed_is(bs_session_destroy(s), BSESSION_EBUSY);
    ck_assert_int_eq(bed_calls(BS_VERB_REMOVE), 1);         /* lease_ends() */
    is_refused(s);

    s = other;                                              /* and so, where the save shows it */
    lease_is_anothers();
    save_unlocked();
    bed_is(bs_session_destroy(s), BSESSION_EBUSY);
    is_refused(s);
}
END_TEST

START_TEST(who_has_it_still_destroys_what_was_changed_past_the_lock)
{
    bs_session_t *s = loaded();

    save_unlocked();
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    ck_assert_ptr_null(bed_stored(&token));
    ck_assert(!is_leased());
}
END_TEST

START_TEST(moving_to_another_store_under_a_lock)
{
    bs_session_t *s;

    bed_change_store();
    s = loaded();
    ck_assert(is_leased());                                 /* in the store in use */
    increment(s);
    finish(s);
    ck_assert(!is_leased());
    ck_assert_str_eq(bed_value(&token, "n"), "6");
    ck_assert_ptr_null(bed_stored_in(&bed_older, &token));
}
END_TEST

/* ---- what a store may do ---- */

/* Each verb at each step of a request fails once, done or not: it is an outage or it is as if nothing
 * had been, and never a wrong number. At the end of the pool nobody is locked out for longer. */
static void fails_at(bs_verb_t verb, int step, int done)
{
    apr_pool_t *mine;
    bs_session_t *s;
    apr_status_t status = APR_SUCCESS;
    const char *n;
    int i;

    apr_pool_create(&mine, pool);
    s = bs_session_open(mine, &bed_terms, &token, 1, NULL, NULL);
    for (i = 0; i < 3; i++) {
        if (i == step) {
            done ? bed_lose_answers(verb, 1) : bed_answer(verb, BED_OUTAGE, 1);
        }
        status = i == 0 ? bs_session_load(s)
               : i == 1 ? bed_set(s, "n", "6") : bs_session_save(s, 0);
        ck_assert(status == APR_SUCCESS || status == BED_OUTAGE);
    }
    bs_session_let_go_shortly(s);
    n = bed_value(&token, "n");
    ck_assert_msg(!strcmp(n, "6") || (!strcmp(n, "5") && status == BED_OUTAGE), "%s", n);
    apr_pool_destroy(mine);
    bed_answer(verb, APR_SUCCESS, 0);
    if (verb != BS_VERB_REMOVE) {
        ck_assert(!is_leased());
    }
    else if (is_leased()) {
        lease_ends();
    }
    s = loaded();
    bed_is(bed_set(s, "n", "5"), APR_SUCCESS);
    finish(s);
}

START_TEST(every_failure_of_each_verb_at_each_step)
{
    static const bs_verb_t verbs[] = { BS_VERB_LOAD, BS_VERB_SAVE, BS_VERB_TOUCH, BS_VERB_REMOVE };
    size_t i;
    int step, done;

    bed_store.breaker.failures = 0;
    for (i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
        for (step = 0; step < 3; step++) {
            for (done = 0; done < 2; done++) {
                fails_at(verbs[i], step, done);
            }
        }
    }
}
END_TEST

START_TEST(the_second_look_fails)
{
    bs_session_t *s;

    bed_terms.lock.on = 0;
    s = loaded();
    s->terms.lock.on = 1;               /* a place that locks, after an internal redirect */
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);
    bed_is(bs_session_load(s), BED_OUTAGE);
    ck_assert_int_eq(s->state, BS_OUTAGE);
    bs_session_let_go_shortly(s);
    ck_assert(!is_leased());
}
END_TEST

/* ---- by hand ---- */

START_TEST(by_hand)
{
    bs_session_t *s;

    bed_terms.lock.on = 0;
    s = loaded();
    ck_assert(!is_leased());
    bed_is(bed_set(s, "mine", "m"), APR_SUCCESS);
    save_unlocked();
    bed_is(bs_session_lock(s), APR_SUCCESS);
    ck_assert(is_leased());
    ck_assert_str_eq(bed_get(s, "theirs"), "t");            /* as others left it */
    ck_assert_str_eq(bed_get(s, "mine"), "m");              /* and this one's own */
    increment(s);
    bed_is(bs_session_unlock(s), APR_SUCCESS);
    ck_assert(!is_leased());
    ck_assert_str_eq(bed_value(&token, "n"), "6");
    ck_assert_str_eq(bed_value(&token, "mine"), "m");
    bed_is(bs_session_unlock(s), APR_SUCCESS);
    bed_is(bed_set(s, "n", "8"), APR_SUCCESS);
    ck_assert(!is_leased());
}
END_TEST

START_TEST(by_hand_in_vain_the_session_is_as_it_was)
{
    bs_session_t *s;

    other = loaded();
    bed_terms.lock.on = 0;
    s = loaded();
    bed_is(bed_set(s, "mine", "m"), APR_SUCCESS);
    bed_is(bs_session_lock(s), BSESSION_EBUSY);
    ck_assert_int_eq(s->outage, 0);
    ck_assert_str_eq(bed_get(s, "mine"), "m");
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&token, "mine"), "m");
}
END_TEST

START_TEST(by_hand_again_the_lease_begins_anew)
{
    bs_session_t *s;
    apr_time_t until;

    bed_terms.lock.on = 0;
    bed_terms.lock.lease = 0;                               /* nothing is said */
    s = loaded();
    bed_is(bs_session_lock(s), APR_SUCCESS);
    s->lock.until -= apr_time_from_sec(5);
    until = s->lock.until;
    bed_is(bs_session_lock(s), APR_SUCCESS);
    ck_assert_int_gt(s->lock.until, until);
    s->lock.until = apr_time_now() - 1;
    lease_ends();
    bed_is(bs_session_lock(s), BSESSION_EBUSY);
    is_refused(s);
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
    s = loaded();
    bed_is(bed_set(s, "mine", "12345678"), APR_SUCCESS);
    save_unlocked();
    bed_is(bs_session_lock(s), APR_ENOSPC);
    ck_assert_str_eq(bed_get(s, "theirs"), "t");
    ck_assert_ptr_null(bed_get(s, "mine"));
    increment(s);
    bed_is(bs_session_unlock(s), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&token, "n"), "6");
}
END_TEST

/* ---- add ---- */

START_TEST(add_is_atomic)
{
    bs_session_t *s = loaded();

    bed_is(bs_session_add(s, "k", "mine", 4), APR_SUCCESS);
    bed_is(bs_session_load(bed_request(&token)), BSESSION_EBUSY);
    finish(s);
    other = loaded();
    bed_is(bs_session_add(other, "k", "theirs", 6), APR_EEXIST);
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
    tcase_add_test(tests, it_ended_while_this_one_waited);
    tcase_add_test(tests, another_one_logged_in_while_this_one_waited);
    tcase_add_test(tests, who_has_it_still_merges_what_came_past_the_lock);
    tcase_add_test(tests, the_same_where_the_store_merges);
    tcase_add_test(tests, who_lost_it_to_another_writes_nothing);
    tcase_add_test(tests, whose_lease_ended_writes_nothing);
    tcase_add_test(tests, a_holder_that_slept_writes_nothing);
    tcase_add_test(tests, a_lease_that_may_end_during_the_save_is_renewed);
    tcase_add_test(tests, who_lost_it_destroys_nothing);
    tcase_add_test(tests, who_has_it_still_destroys_what_was_changed_past_the_lock);
    tcase_add_test(tests, moving_to_another_store_under_a_lock);
    tcase_add_test(tests, every_failure_of_each_verb_at_each_step);
    tcase_add_test(tests, the_second_look_fails);
    tcase_add_test(tests, by_hand);
    tcase_add_test(tests, by_hand_in_vain_the_session_is_as_it_was);
    tcase_add_test(tests, by_hand_again_the_lease_begins_anew);
    tcase_add_test(tests, by_hand_where_there_is_none);
    tcase_add_test(tests, together_over_a_limit_what_is_stored_stays);
    tcase_add_test(tests, add_is_atomic);
    suite_add_tcase(suite, tests);
    return suite;
}
