/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "suites.h"

#include <pthread.h>

#include "breaker.h"

#define SECOND  APR_UINT64_C(1000000000)
#define START   (1000 * SECOND)
#define PROBE   apr_time_from_sec(3)
#define THREADS 8

static const bs_breaker_rule_t rule = BS_BREAKER_DEFAULT;
static bs_breaker_t breaker;

static void breaker_setup(void)
{
    static const bs_breaker_t closed;

    breaker = closed;
}

static bs_breaker_say_t ask(apr_uint64_t now)
{
    return bs_breaker_ask(&breaker, &rule, now, PROBE);
}

static bs_breaker_news_t failed(bs_breaker_say_t said, apr_uint64_t begun, apr_uint64_t now)
{
    return bs_breaker_failed(&breaker, &rule, said, begun, now, 1023);
}

static bs_breaker_news_t answer(apr_uint64_t begun, apr_uint64_t now)
{
    return bs_breaker_answered(&breaker, begun, now);
}

/* Opened by five failures at this moment; returns when one may probe. */
static apr_uint64_t open_at(apr_uint64_t now)
{
    int i;

    for (i = 0; i < 5; i++) {
        ck_assert_int_eq(ask(now), BS_PASS);
        ck_assert_int_eq(failed(BS_PASS, now, now),
                         i == 0 ? BS_FIRST_FAILURE : i == 4 ? BS_OPENED : BS_SAME);
    }
    return breaker.open_until;
}

START_TEST(five_failures_in_a_row_open_it)
{
    apr_uint64_t until = open_at(START);

    ck_assert_int_eq(ask(START + 1), BS_REFUSED);
    ck_assert_int_eq(ask(until - 1), BS_REFUSED);
    ck_assert(bs_breaker_is_open(&breaker, START + 1));
    ck_assert(bs_breaker_is_open(&breaker, until - 1));
}
END_TEST

START_TEST(an_answer_between_begins_the_row_again)
{
    int i;

    for (i = 0; i < 20; i++) {
        ck_assert_int_eq(failed(BS_PASS, START + i, START + i),
                         i % 4 == 0 ? BS_FIRST_FAILURE : BS_SAME);
        if (i % 4 == 3) {
            ck_assert_int_eq(answer(START + i, START + i), BS_SAME);
        }
    }
    ck_assert_int_eq(ask(START + 30), BS_PASS);
    ck_assert(!bs_breaker_is_open(&breaker, START + 30));
}
END_TEST

START_TEST(it_rests_for_a_jittered_first_time)
{
    apr_uint64_t shortest = APR_UINT64_MAX, longest = 0;
    apr_uint32_t random;

    for (random = 0; random < 1024; random += 11) {
        apr_uint64_t time;
        int i;

        breaker_setup();
        for (i = 0; i < 5; i++) {
            bs_breaker_failed(&breaker, &rule, BS_PASS, START, START, random);
        }
        time = breaker.open_until - START;
        shortest = time < shortest ? time : shortest;
        longest = time > longest ? time : longest;
    }
    ck_assert_uint_ge(shortest, SECOND / 2);
    ck_assert_uint_le(shortest, SECOND / 2 + SECOND / 100);
    ck_assert_uint_ge(longest, SECOND - SECOND / 100);
    ck_assert_uint_le(longest, SECOND + 1);
}
END_TEST

START_TEST(then_one_at_a_time_may_probe)
{
    apr_uint64_t until = open_at(START);

    ck_assert_int_eq(ask(until), BS_PROBE);
    ck_assert_int_eq(ask(until), BS_REFUSED);
    ck_assert_int_eq(ask(until + SECOND), BS_REFUSED);
    ck_assert_int_eq(answer(until, until + SECOND), BS_CLOSED);
    ck_assert_int_eq(ask(until + SECOND), BS_PASS);
    ck_assert(!bs_breaker_is_open(&breaker, until + SECOND));
    /* and five more are needed, for a first time again */
    ck_assert_uint_le(open_at(until + 2 * SECOND) - (until + 2 * SECOND), SECOND + 1);
}
END_TEST

START_TEST(a_failed_probe_doubles_the_time_up_to_the_longest)
{
    static const apr_uint64_t seconds[] = { 2, 4, 8, 16, 30, 30, 30 };
    apr_uint64_t now = open_at(START);
    apr_size_t i;

    for (i = 0; i < sizeof(seconds) / sizeof(*seconds); i++) {
        ck_assert_int_eq(ask(now), BS_PROBE);
        ck_assert_int_eq(failed(BS_PROBE, now, now), BS_OPENED_AGAIN);
        ck_assert_uint_le(breaker.open_until - now, seconds[i] * SECOND + 1);
        ck_assert_uint_ge(breaker.open_until - now, seconds[i] * SECOND - SECOND / 100);
        ck_assert_int_eq(ask(breaker.open_until - 1), BS_REFUSED);
        now = breaker.open_until;
    }
    for (i = 0; i < 100; i++) {         /* however often */
        ck_assert_int_eq(ask(now), BS_PROBE);
        ck_assert_int_eq(failed(BS_PROBE, now, now), BS_OPENED_AGAIN);
        ck_assert_uint_le(breaker.open_until - now, 30 * SECOND + 1);
        now = breaker.open_until;
    }
    ck_assert_int_eq(ask(now), BS_PROBE);
    ck_assert_int_eq(answer(now, now), BS_CLOSED);
    ck_assert_uint_le(open_at(now + SECOND) - now - SECOND, SECOND + 1);
}
END_TEST

START_TEST(a_killed_probers_lease_ends_by_itself)
{
    apr_uint64_t until = open_at(START);
    apr_uint64_t end = until + 3 * SECOND;

    ck_assert_int_eq(ask(until), BS_PROBE);
    ck_assert_int_eq(ask(end - 1), BS_REFUSED);
    ck_assert_int_eq(ask(end), BS_PROBE);
    ck_assert_int_eq(ask(end), BS_REFUSED);
    ck_assert_int_eq(answer(end, end + 1), BS_CLOSED);
}
END_TEST

START_TEST(what_began_before_it_opened_says_nothing)
{
    apr_uint64_t until = open_at(START);

    ck_assert_int_eq(answer(START - SECOND, START + 1), BS_SAME);
    ck_assert_int_eq(ask(START + 2), BS_REFUSED);
    ck_assert_int_eq(failed(BS_PASS, START - SECOND, START + 3), BS_SAME);
    ck_assert_uint_eq(breaker.open_until, until);
}
END_TEST

START_TEST(what_began_before_it_closed_says_nothing)
{
    apr_uint64_t until = open_at(START), closed = until + SECOND;
    int i;

    ck_assert_int_eq(ask(until), BS_PROBE);
    ck_assert_int_eq(answer(until, closed), BS_CLOSED);
    for (i = 0; i < 20; i++) {          /* calls of the outage that time out only now */
        ck_assert_int_eq(failed(BS_PASS, START - 1, closed + 1), BS_SAME);
    }
    ck_assert_int_eq(ask(closed + 2), BS_PASS);
    for (i = 0; i < 4; i++) {
        ck_assert_int_eq(failed(BS_PASS, closed + 2, closed + 3), i ? BS_SAME : BS_FIRST_FAILURE);
    }
    /* nor does such an answer excuse a failure of now */
    ck_assert_int_eq(answer(START - 1, closed + 4), BS_SAME);
    ck_assert_int_eq(failed(BS_PASS, closed + 5, closed + 6), BS_OPENED);
}
END_TEST

/* A probe whose lease has ended, and whose word comes after that of the one that took its place. */

START_TEST(a_late_probes_failure_does_not_count_once_another_closed_it)
{
    apr_uint64_t until = open_at(START), later = until + 4 * SECOND;

    ck_assert_int_eq(ask(until), BS_PROBE);
    ck_assert_int_eq(ask(later), BS_PROBE);
    ck_assert_int_eq(answer(later, later + 1), BS_CLOSED);
    ck_assert_int_eq(failed(BS_PROBE, until, later + 2), BS_SAME);
    ck_assert_uint_eq(breaker.failures, 0);
}
END_TEST

START_TEST(a_late_probes_failure_does_not_double_what_another_failed)
{
    apr_uint64_t until = open_at(START), later = until + 4 * SECOND, again;

    ck_assert_int_eq(ask(until), BS_PROBE);
    ck_assert_int_eq(ask(later), BS_PROBE);
    ck_assert_int_eq(failed(BS_PROBE, later, later + 1), BS_OPENED_AGAIN);
    again = breaker.open_until;
    ck_assert_int_eq(failed(BS_PROBE, until, later + 2), BS_SAME);
    ck_assert_uint_eq(breaker.open_until, again);
}
END_TEST

START_TEST(a_late_probes_answer_does_not_close_what_another_failed)
{
    apr_uint64_t until = open_at(START), later = until + 4 * SECOND;

    ck_assert_int_eq(ask(until), BS_PROBE);
    ck_assert_int_eq(ask(later), BS_PROBE);
    ck_assert_int_eq(failed(BS_PROBE, later, later + 1), BS_OPENED_AGAIN);
    ck_assert_int_eq(answer(until, later + 2), BS_SAME);
    ck_assert_int_eq(ask(later + 3), BS_REFUSED);
}
END_TEST

START_TEST(off_is_off)
{
    static const bs_breaker_rule_t off;
    int i;

    for (i = 0; i < 1000; i++) {
        ck_assert_int_eq(bs_breaker_ask(&breaker, &off, START, PROBE), BS_PASS);
        bs_breaker_failed(&breaker, &off, BS_PASS, START, START, 0);
    }
    ck_assert(!bs_breaker_is_open(&breaker, START));
}
END_TEST

START_TEST(one_failure_may_be_enough)
{
    static const bs_breaker_rule_t one = { 1, 1000, 1000 };

    ck_assert_int_eq(bs_breaker_failed(&breaker, &one, BS_PASS, START, START, 0), BS_OPENED);
    ck_assert_int_eq(bs_breaker_ask(&breaker, &one, START + 1, PROBE), BS_REFUSED);
}
END_TEST

START_TEST(the_clock_is_monotonic_and_never_0)
{
    apr_uint64_t one = bs_monotonic(), other = bs_monotonic();

    ck_assert_uint_ne(one, 0);
    ck_assert_uint_ge(other, one);
}
END_TEST

/* ---- many threads, one change ---- */

typedef struct {
    pthread_t thread;
    int       news[BS_CLOSED + 1];
    int       said[BS_REFUSED + 1];
} member_t;

static pthread_barrier_t together;
static apr_uint64_t      moment;

static void *open_it(void *data)
{
    member_t *member = data;
    int i;

    pthread_barrier_wait(&together);
    for (i = 0; i < 1000; i++) {
        member->news[failed(BS_PASS, moment, moment)]++;
    }
    return NULL;
}

static void *probe_it(void *data)
{
    member_t *member = data;

    pthread_barrier_wait(&together);
    member->said[ask(moment)]++;
    return NULL;
}

/* All of them believe to be the prober. */
static void *close_it(void *data)
{
    member_t *member = data;

    pthread_barrier_wait(&together);
    member->news[answer(moment, moment)]++;
    return NULL;
}

static member_t all_together(void *(*run)(void *))
{
    member_t members[THREADS] = { 0 }, sum = { 0 };
    int i, n;

    pthread_barrier_init(&together, NULL, THREADS);
    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&members[i].thread, NULL, run, &members[i]), 0);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(members[i].thread, NULL);
        for (n = 0; n <= BS_CLOSED; n++) {
            sum.news[n] += members[i].news[n];
        }
        for (n = 0; n <= BS_REFUSED; n++) {
            sum.said[n] += members[i].said[n];
        }
    }
    pthread_barrier_destroy(&together);
    return sum;
}

START_TEST(of_eight_threads_one_hears_of_each_change)
{
    int round;

    for (round = 0; round < 50; round++) {
        member_t sum;

        breaker_setup();
        moment = START;
        sum = all_together(open_it);
        ck_assert_int_eq(sum.news[BS_FIRST_FAILURE], 1);
        ck_assert_int_eq(sum.news[BS_OPENED], 1);
        ck_assert_int_eq(sum.news[BS_SAME], THREADS * 1000 - 2);
        moment = breaker.open_until;
        sum = all_together(probe_it);
        ck_assert_int_eq(sum.said[BS_PROBE], 1);
        ck_assert_int_eq(sum.said[BS_REFUSED], THREADS - 1);
        ck_assert_int_eq(failed(BS_PROBE, moment, moment), BS_OPENED_AGAIN);
        moment = breaker.open_until;
        sum = all_together(close_it);
        ck_assert_int_eq(sum.news[BS_CLOSED], 1);
        ck_assert_int_eq(sum.news[BS_SAME], THREADS - 1);
        ck_assert_int_eq(ask(moment), BS_PASS);
    }
}
END_TEST

Suite *breaker_suite(void)
{
    Suite *suite = suite_create("breaker");
    TCase *tests = tcase_create("breaker");

    tcase_add_checked_fixture(tests, breaker_setup, NULL);
    tcase_add_test(tests, five_failures_in_a_row_open_it);
    tcase_add_test(tests, an_answer_between_begins_the_row_again);
    tcase_add_test(tests, it_rests_for_a_jittered_first_time);
    tcase_add_test(tests, then_one_at_a_time_may_probe);
    tcase_add_test(tests, a_failed_probe_doubles_the_time_up_to_the_longest);
    tcase_add_test(tests, a_killed_probers_lease_ends_by_itself);
    tcase_add_test(tests, what_began_before_it_opened_says_nothing);
    tcase_add_test(tests, what_began_before_it_closed_says_nothing);
    tcase_add_test(tests, a_late_probes_failure_does_not_count_once_another_closed_it);
    tcase_add_test(tests, a_late_probes_failure_does_not_double_what_another_failed);
    tcase_add_test(tests, a_late_probes_answer_does_not_close_what_another_failed);
    tcase_add_test(tests, off_is_off);
    tcase_add_test(tests, one_failure_may_be_enough);
    tcase_add_test(tests, the_clock_is_monotonic_and_never_0);
    tcase_add_test(tests, of_eight_threads_one_hears_of_each_change);
    suite_add_tcase(suite, tests);
    return suite;
}
