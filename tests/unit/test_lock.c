/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Leases alone: who has one, who waits, and what a store that fails in each step leaves. */

#include "bed.h"

#include <string.h>

#include "mod_bsession.h"

static const bsession_key_t record = { 's', "0123456789abcde" };
static bs_lock_rule_t       rule;
static bs_lock_t            mine, theirs;

static void lock_setup(void)
{
    bed_setup();
    memset(&mine, 0, sizeof(mine));
    memset(&theirs, 0, sizeof(theirs));
    rule.on = 1;
    rule.wait = 0;
    rule.lease = apr_time_from_sec(1000);
}

static bs_caller_t caller(void)
{
    bs_caller_t c = { .pool = pool };

    return c;
}

static apr_status_t take(bs_lock_t *lock)
{
    bs_caller_t c = caller();

    return bs_lock_take(lock, &bed_store, &c, &record, &rule);
}

static apr_status_t drop(bs_lock_t *lock)
{
    bs_caller_t c = caller();

    return bs_lock_drop(lock, &c);
}

static apr_status_t check(bs_lock_t *lock)
{
    bs_caller_t c = caller();

    return bs_lock_check(lock, &c);
}

static apr_status_t keep(bs_lock_t *lock, apr_interval_time_t time)
{
    bs_caller_t c = caller();

    return bs_lock_keep(lock, &c, &rule, apr_time_now() + time);
}

/* The lease that the store has, or NULL; past the provider's orders. */
static bsession_record_t *lease(void)
{
    bsession_record_t *found = apr_pcalloc(pool, sizeof(*found));
    bsession_key_t key = record;
    bs_caller_t c = caller();
    apr_status_t status;

    key.space = 'l';
    status = bs_store_load(&bed_store, &c, &key, found);
    ck_assert(status == APR_SUCCESS || status == APR_NOTFOUND);
    return status == APR_SUCCESS ? found : NULL;
}

/* The holder is not heard of any more: the lease ends. */
static void lease_ends(void)
{
    bsession_key_t key = record;
    bs_caller_t c = caller();

    key.space = 'l';
    bed_is(bs_store_remove(&bed_store, &c, &key, 0), APR_SUCCESS);
}

START_TEST(one_has_it)
{
    apr_time_t before = apr_time_now();

    bed_is(take(&mine), APR_SUCCESS);
    ck_assert(bs_lock_is_of(&mine, &record));
    ck_assert_int_ge(mine.until, before + rule.lease);
    ck_assert_int_eq(lease()->expires, mine.until);
    bed_is(take(&theirs), BSESSION_EBUSY);
    ck_assert(!bs_lock_is_of(&theirs, &record));
    bed_is(check(&mine), APR_SUCCESS);
    bed_is(drop(&mine), APR_SUCCESS);
    ck_assert_ptr_null(lease());
    bed_is(take(&theirs), APR_SUCCESS);
    bed_is(drop(&mine), APR_SUCCESS);               /* once is enough */
    bed_is(check(&theirs), APR_SUCCESS);
}
END_TEST

static void give_back_mine(void)
{
    bed_is(drop(&mine), APR_SUCCESS);
}

static bsession_provider_t        watched;
static const bsession_provider_t *behind;
static int                        held;

static apr_status_t is_let_go(void *unused)
{
    (void)unused;
    held--;
    return APR_SUCCESS;
}

static apr_status_t save_watched(bsession_backend_t *backend, const bsession_key_t *key,
                                 const bsession_save_t *save, bsession_saved_t *saved,
                                 bsession_call_t *call)
{
    held++;
    apr_pool_cleanup_register(call->pool, NULL, is_let_go, apr_pool_cleanup_null);
    ck_assert_int_le(held, 1);
    return behind->save(backend, key, save, saved, call);
}

START_TEST(who_waits_long_takes_no_more_memory)
{
    bed_is(take(&mine), APR_SUCCESS);
    behind = bed_store.provider;
    watched = *behind;
    watched.save = save_watched;
    bed_store.provider = &watched;
    rule.wait = apr_time_from_sec(600);
    bed_answer(BS_VERB_SAVE, APR_EEXIST, 6);
    bed_before(BS_VERB_SAVE, give_back_mine);
    bed_is(take(&theirs), APR_SUCCESS);
    ck_assert_int_eq(held, 0);
    bed_store.provider = behind;
}
END_TEST

/* The second try finds it free: how long that takes does not matter. */
START_TEST(who_waits_gets_it_when_it_is_given_back)
{
    bed_is(take(&mine), APR_SUCCESS);
    rule.wait = apr_time_from_sec(600);
    bed_answer(BS_VERB_SAVE, APR_EEXIST, 6);
    bed_before(BS_VERB_SAVE, give_back_mine);
    bed_is(take(&theirs), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), 8);
    ck_assert_int_eq(bed_calls(BS_VERB_LOAD), 0);
}
END_TEST

START_TEST(a_late_release_does_not_touch_another_ones_lease)
{
    bed_is(take(&mine), APR_SUCCESS);
    lease_ends();
    bed_is(take(&theirs), APR_SUCCESS);
    bed_is(drop(&mine), APR_SUCCESS);
    bed_is(check(&theirs), APR_SUCCESS);
}
END_TEST

START_TEST(who_lost_it_learns_that)
{
    bed_is(take(&mine), APR_SUCCESS);
    lease_ends();
    bed_is(check(&mine), BSESSION_EBUSY);
    ck_assert(!bs_lock_is_of(&mine, &record));

    bed_is(take(&mine), APR_SUCCESS);
    lease_ends();
    bed_is(take(&theirs), APR_SUCCESS);
    bed_is(check(&mine), BSESSION_EBUSY);
    bed_is(check(&theirs), APR_SUCCESS);
}
END_TEST

START_TEST(a_lease_with_life_enough_is_not_renewed)
{
    bed_is(take(&mine), APR_SUCCESS);
    bed_is(keep(&mine, rule.lease / 2), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), 1);
}
END_TEST

START_TEST(one_that_would_end_is)
{
    apr_time_t until;

    bed_is(take(&mine), APR_SUCCESS);
    until = mine.until;
    bed_is(keep(&mine, rule.lease * 3), APR_SUCCESS);
    ck_assert_int_ge(mine.until, until + rule.lease);
    ck_assert_int_eq(lease()->expires, mine.until);
    bed_is(keep(&mine, rule.lease * 9), APR_SUCCESS);       /* and again, from there */
    bed_is(drop(&mine), APR_SUCCESS);
    ck_assert_ptr_null(lease());
}
END_TEST

START_TEST(one_that_is_gone_or_another_ones_is_not_renewed)
{
    bed_is(take(&mine), APR_SUCCESS);
    lease_ends();
    bed_is(keep(&mine, rule.lease * 3), BSESSION_EBUSY);
    ck_assert_ptr_null(lease());

    bed_is(take(&mine), APR_SUCCESS);
    lease_ends();
    bed_is(take(&theirs), APR_SUCCESS);
    bed_is(keep(&mine, rule.lease * 3), BSESSION_EBUSY);
    ck_assert(!bs_lock_is_of(&mine, &record));
    bed_is(check(&theirs), APR_SUCCESS);
}
END_TEST

START_TEST(a_create_that_failed)
{
    bed_answer(BS_VERB_SAVE, BED_OUTAGE, 1);
    bed_is(take(&mine), BED_OUTAGE);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), 1);
    ck_assert_int_eq(mine.state, BS_LOCK_PERHAPS);
    bed_is(take(&mine), APR_SUCCESS);
    bed_is(check(&mine), APR_SUCCESS);
}
END_TEST

/* It may have been done: a lease with our mark is ours. */
START_TEST(a_create_whose_answer_was_lost)
{
    bed_lose_answers(BS_VERB_SAVE, 1);
    bed_is(take(&mine), BED_OUTAGE);
    ck_assert(!bs_lock_is_of(&mine, &record));
    ck_assert_ptr_nonnull(lease());
    bed_is(take(&theirs), BSESSION_EBUSY);
    bed_is(take(&mine), APR_SUCCESS);
    ck_assert(bs_lock_is_of(&mine, &record));
    bed_is(drop(&mine), APR_SUCCESS);
    ck_assert_ptr_null(lease());
}
END_TEST

START_TEST(one_that_was_not_done_while_another_was_faster)
{
    bed_answer(BS_VERB_SAVE, BED_OUTAGE, 1);
    bed_is(take(&mine), BED_OUTAGE);
    bed_is(take(&theirs), APR_SUCCESS);
    bed_is(take(&mine), BSESSION_EBUSY);
    bed_is(drop(&mine), APR_SUCCESS);
    bed_is(check(&theirs), APR_SUCCESS);
}
END_TEST

START_TEST(a_create_whose_answer_was_lost_is_given_back)
{
    bed_lose_answers(BS_VERB_SAVE, 1);
    bed_is(take(&mine), BED_OUTAGE);
    bed_is(drop(&mine), APR_SUCCESS);
    ck_assert_ptr_null(lease());
}
END_TEST

/* A breaker that is open, and a store that is full, have done nothing. */
START_TEST(a_create_that_was_not_sent)
{
    bed_answer(BS_VERB_SAVE, BSESSION_EFULL, 1);
    bed_is(take(&mine), BSESSION_EFULL);
    ck_assert_int_eq(mine.state, BS_LOCK_FREE);
    bed_is(drop(&mine), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_REMOVE), 0);
}
END_TEST

START_TEST(an_outage_while_it_waits)
{
    bed_is(take(&mine), APR_SUCCESS);
    rule.wait = apr_time_from_sec(600);
    bed_answer(BS_VERB_SAVE, BED_OUTAGE, 1);
    bed_is(take(&theirs), BED_OUTAGE);
}
END_TEST

START_TEST(a_renewal_whose_answer_was_lost)
{
    bed_is(take(&mine), APR_SUCCESS);
    bed_lose_answers(BS_VERB_SAVE, 1);
    bed_is(keep(&mine, rule.lease * 3), BED_OUTAGE);
    bed_is(keep(&mine, rule.lease * 5), APR_SUCCESS);       /* found to be ours, and renewed */
    bed_lose_answers(BS_VERB_SAVE, 1);
    bed_is(keep(&mine, rule.lease * 9), BED_OUTAGE);
    bed_is(drop(&mine), APR_SUCCESS);
    ck_assert_ptr_null(lease());
}
END_TEST

START_TEST(a_renewal_that_failed)
{
    bed_is(take(&mine), APR_SUCCESS);
    bed_answer(BS_VERB_SAVE, BED_OUTAGE, 1);
    bed_is(keep(&mine, rule.lease * 3), BED_OUTAGE);
    bed_is(check(&mine), APR_SUCCESS);
    bed_answer(BS_VERB_SAVE, APR_EMISMATCH, 1);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);
    bed_is(keep(&mine, rule.lease * 3), BED_OUTAGE);
    bed_is(drop(&mine), APR_SUCCESS);
}
END_TEST

START_TEST(a_check_that_failed_is_an_outage)
{
    bed_is(take(&mine), APR_SUCCESS);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);
    bed_is(check(&mine), BED_OUTAGE);
    ck_assert(bs_lock_is_of(&mine, &record));
    bed_answer(BS_VERB_LOAD, BSESSION_ECORRUPT, 1);
    bed_is(check(&mine), BSESSION_EBUSY);
}
END_TEST

START_TEST(a_release_that_failed)
{
    bed_is(take(&mine), APR_SUCCESS);
    bed_answer(BS_VERB_REMOVE, BED_OUTAGE, 1);
    bed_is(drop(&mine), BED_OUTAGE);
    ck_assert_ptr_nonnull(lease());                         /* until its end */
    ck_assert(!bs_lock_is_of(&mine, &record));
    bed_is(take(&mine), BSESSION_EBUSY);
}
END_TEST

Suite *lock_suite(void)
{
    Suite *suite = suite_create("lock");
    TCase *tests = tcase_create("leases");

    tcase_add_checked_fixture(tests, lock_setup, bed_teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, one_has_it);
    tcase_add_test(tests, who_waits_gets_it_when_it_is_given_back);
    tcase_add_test(tests, who_waits_long_takes_no_more_memory);
    tcase_add_test(tests, a_late_release_does_not_touch_another_ones_lease);
    tcase_add_test(tests, who_lost_it_learns_that);
    tcase_add_test(tests, a_lease_with_life_enough_is_not_renewed);
    tcase_add_test(tests, one_that_would_end_is);
    tcase_add_test(tests, one_that_is_gone_or_another_ones_is_not_renewed);
    tcase_add_test(tests, a_create_that_failed);
    tcase_add_test(tests, a_create_whose_answer_was_lost);
    tcase_add_test(tests, one_that_was_not_done_while_another_was_faster);
    tcase_add_test(tests, a_create_whose_answer_was_lost_is_given_back);
    tcase_add_test(tests, a_create_that_was_not_sent);
    tcase_add_test(tests, an_outage_while_it_waits);
    tcase_add_test(tests, a_renewal_whose_answer_was_lost);
    tcase_add_test(tests, a_renewal_that_failed);
    tcase_add_test(tests, a_check_that_failed_is_an_outage);
    tcase_add_test(tests, a_release_that_failed);
    suite_add_tcase(suite, tests);
    return suite;
}
