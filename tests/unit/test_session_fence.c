/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A session under a lock: who lost it writes nothing, whatever a store does. */

#include "test_session_lock.h"

#include <string.h>

#include "mod_bsession.h"

/* ---- the fence ---- */

START_TEST(who_has_it_still_merges_what_came_past_the_lock)
{
    bs_session_t *s = lock_loaded();

    lock_increment(s);
    lock_save_unlocked();
    lock_finish(s);
    ck_assert_str_eq(bed_value(&lock_token, "n"), "6");
    ck_assert_str_eq(bed_value(&lock_token, "theirs"), "t");
}
END_TEST

START_TEST(the_same_where_the_store_merges)
{
    bs_session_t *s = lock_loaded();

    bed_merge_in_place();
    lock_increment(s);
    lock_save_unlocked();
    lock_finish(s);
    ck_assert_str_eq(bed_value(&lock_token, "n"), "6");
    ck_assert_str_eq(bed_value(&lock_token, "theirs"), "t");
}
END_TEST

/* The lease is believed to have life enough, and what the save meets tells otherwise. */
static void lost_before_the_save(void (*how)(void))
{
    bs_session_t *s = lock_loaded();

    lock_increment(s);
    how();
    lock_save_unlocked();
    bed_is(bs_session_save(s, 0), BSESSION_EBUSY);
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "Raise lease="));
    ck_assert_uint_eq(bed_events(BS_DROPPED_CHANGES), 1);
    lock_is_refused(s);
    ck_assert_str_eq(bed_value(&lock_token, "theirs"), "t");
}

START_TEST(who_lost_it_to_another_writes_nothing)
{
    lost_before_the_save(lock_lease_is_anothers);
}
END_TEST

START_TEST(whose_lease_ended_writes_nothing)
{
    lost_before_the_save(lock_lease_ends);
}
END_TEST

/* By its own clock the lease ends too soon: it looks before it saves. */
START_TEST(a_holder_that_slept_writes_nothing)
{
    bs_session_t *s = lock_loaded();
    int saves;

    lock_increment(s);
    lock_lease_is_anothers();
    s->lock.until = apr_time_now() - 1;
    saves = bed_calls(BS_VERB_SAVE);
    bed_is(bs_session_save(s, 0), BSESSION_EBUSY);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 1);   /* the renewal, in vain */
    lock_is_refused(s);
    lock_increment(lock_other);                                /* the new holder is not disturbed */
    lock_finish(lock_other);
    ck_assert_str_eq(bed_value(&lock_token, "n"), "6");
}
END_TEST

START_TEST(a_lease_that_may_end_during_the_save_is_renewed)
{
    bs_session_t *s;
    apr_time_t until;

    bed_terms.lock.lease = apr_time_from_sec(1);            /* the store may take a minute */
    s = lock_loaded();
    until = s->lock.until;
    lock_increment(s);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_gt(s->lock.until, until);
    lock_finish(s);
    ck_assert(!lock_is_leased());
}
END_TEST

START_TEST(who_lost_it_destroys_nothing)
{
    bs_session_t *s = lock_loaded();

    lock_lease_is_anothers();
    s->lock.until = apr_time_now() - 1;
    bed_is(bs_session_destroy(s), BSESSION_EBUSY);
    ck_assert_int_eq(bed_calls(BS_VERB_REMOVE), 1);         /* lease_ends() */
    lock_is_refused(s);

    s = lock_other;                                            /* and so, where the save shows it */
    lock_lease_is_anothers();
    lock_save_unlocked();
    bed_is(bs_session_destroy(s), BSESSION_EBUSY);
    lock_is_refused(s);
}
END_TEST

START_TEST(who_has_it_still_destroys_what_was_changed_past_the_lock)
{
    bs_session_t *s = lock_loaded();

    lock_save_unlocked();
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    ck_assert_ptr_null(bed_stored(&lock_token));
    ck_assert(!lock_is_leased());
}
END_TEST

START_TEST(moving_to_another_store_under_a_lock)
{
    bs_session_t *s;

    bed_change_store();
    s = lock_loaded();
    ck_assert(lock_is_leased());                                 /* in the store in use */
    lock_increment(s);
    lock_finish(s);
    ck_assert(!lock_is_leased());
    ck_assert_str_eq(bed_value(&lock_token, "n"), "6");
    ck_assert_ptr_null(bed_stored_in(&bed_older, &lock_token));
}
END_TEST

/* ---- what a store may do ---- */

/* Each verb at each step of a request fails once, done or not: it is an outage or it is as if
 * nothing had been, and never a wrong number. At the end of the pool nobody is locked out for
 * longer. */
static void fails_at(bs_verb_t verb, int step, int done)
{
    apr_pool_t *mine;
    bs_session_t *s;
    apr_status_t status = APR_SUCCESS;
    const char *n;
    int i;

    apr_pool_create(&mine, pool);
    s = bs_session_open(mine, &bed_terms, &lock_token, 1, NULL, NULL);
    for (i = 0; i < 3; i++) {
        if (i == step) {
            done ? bed_lose_answers(verb, 1) : bed_answer(verb, BED_OUTAGE, 1);
        }
        status = i == 0 ? bs_session_load(s)
               : i == 1 ? bed_set(s, "n", "6") : bs_session_save(s, 0);
        ck_assert(status == APR_SUCCESS || status == BED_OUTAGE);
    }
    bs_session_let_go_shortly(s);
    n = bed_value(&lock_token, "n");
    ck_assert_msg(!strcmp(n, "6") || (!strcmp(n, "5") && status == BED_OUTAGE), "%s", n);
    apr_pool_destroy(mine);
    bed_answer(verb, APR_SUCCESS, 0);
    if (verb != BS_VERB_REMOVE) {
        ck_assert(!lock_is_leased());
    }
    else if (lock_is_leased()) {
        lock_lease_ends();
    }
    s = lock_loaded();
    bed_is(bed_set(s, "n", "5"), APR_SUCCESS);
    lock_finish(s);
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
    s = lock_loaded();
    s->terms.lock.on = 1;               /* a place that locks, after an internal redirect */
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);
    bed_is(bs_session_load(s), BED_OUTAGE);
    ck_assert_int_eq(s->state, BS_OUTAGE);
    bs_session_let_go_shortly(s);
    ck_assert(!lock_is_leased());
}
END_TEST

/* ---- given back before the application has it ---- */

static bs_session_t *let_go_early(void)
{
    bs_session_t *s = lock_loaded();

    bed_is(bs_session_let_go_early(s), APR_SUCCESS);
    ck_assert(!lock_is_leased());
    return s;
}

START_TEST(who_gave_it_back_early_and_was_overtaken_writes_nothing)
{
    bs_session_t *s = let_go_early();

    lock_other = lock_loaded();
    bed_is(bed_set(lock_other, "m", "1"), APR_SUCCESS);
    lock_finish(lock_other);
    bed_is(bed_set(s, "n", "9"), BSESSION_EBUSY);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "has an Upgrade header"));
    lock_is_refused(s);
    bed_is(bs_session_let_go(s, 0), APR_SUCCESS);
    ck_assert(!lock_is_leased());
    ck_assert_str_eq(bed_value(&lock_token, "m"), "1");
}
END_TEST

START_TEST(neither_destroy_nor_a_login_overtakes)
{
    bs_session_t *first = let_go_early(), *second = bed_request(&lock_token);

    bed_is(bs_session_load(second), APR_SUCCESS);
    bed_is(bs_session_let_go_early(second), APR_SUCCESS);
    lock_save_unlocked();
    bed_is(bs_session_rotate(first), BSESSION_EBUSY);
    bed_is(bs_session_let_go(first, 0), APR_SUCCESS);
    bed_is(bs_session_destroy(second), BSESSION_EBUSY);
    ck_assert_str_eq(bed_value(&lock_token, "n"), "5");
}
END_TEST

START_TEST(who_gave_it_back_early_goes_on_where_nobody_changed_anything)
{
    bs_session_t *s = let_go_early();

    lock_other = lock_loaded();
    lock_finish(lock_other);
    lock_increment(s);
    ck_assert(lock_is_leased());
    lock_save_unlocked();               /* from here on as ever */
    lock_finish(s);
    ck_assert_str_eq(bed_value(&lock_token, "n"), "6");
    ck_assert_str_eq(bed_value(&lock_token, "theirs"), "t");
    ck_assert_int_eq(bed_lines(), 0);
}
END_TEST

START_TEST(what_comes_behind_the_headers_is_put_on_what_others_left)
{
    bs_session_t *s = let_go_early();

    lock_save_unlocked();
    s->headers_gone = 1;
    bed_is(bed_set(s, "n", "9"), APR_SUCCESS);
    lock_finish(s);
    ck_assert_str_eq(bed_value(&lock_token, "n"), "9");
    ck_assert_str_eq(bed_value(&lock_token, "theirs"), "t");
}
END_TEST

START_TEST(a_session_that_nobody_asked_for_is_locked_when_somebody_does)
{
    bs_session_t *s = bed_request(&lock_token);

    bed_is(bs_session_let_go_early(s), APR_SUCCESS);
    bed_is(bs_session_load(s), APR_SUCCESS);
    ck_assert(lock_is_leased());
    lock_finish(s);
}
END_TEST

Suite *session_fence_suite(void)
{
    Suite *suite = suite_create("session_fence");
    TCase *tests = tcase_create("the fence");

    tcase_add_checked_fixture(tests, lock_setup, bed_teardown);
    tcase_set_timeout(tests, 60);
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
    tcase_add_test(tests, who_gave_it_back_early_and_was_overtaken_writes_nothing);
    tcase_add_test(tests, neither_destroy_nor_a_login_overtakes);
    tcase_add_test(tests, who_gave_it_back_early_goes_on_where_nobody_changed_anything);
    tcase_add_test(tests, what_comes_behind_the_headers_is_put_on_what_others_left);
    tcase_add_test(tests, a_session_that_nobody_asked_for_is_locked_when_somebody_does);
    suite_add_tcase(suite, tests);
    return suite;
}
