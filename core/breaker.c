/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "breaker.h"

#include <time.h>

#define LOAD(at)            __atomic_load_n(&(at), __ATOMIC_ACQUIRE)
#define STORE(at, value)    __atomic_store_n(&(at), (value), __ATOMIC_RELEASE)

apr_uint64_t bs_monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (apr_uint64_t)now.tv_sec * 1000000000u + (apr_uint64_t)now.tv_nsec;
}

static int swap(apr_uint64_t *at, apr_uint64_t from, apr_uint64_t to)
{
    return __atomic_compare_exchange_n(at, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

bs_breaker_say_t bs_breaker_ask(bs_breaker_t *breaker, const bs_breaker_rule_t *rule,
                                apr_uint64_t now, apr_interval_time_t probe_time)
{
    apr_uint64_t until = LOAD(breaker->open_until);
    apr_uint64_t lease;

    if (until == 0 || rule->failures == 0) {
        return BS_PASS;
    }
    lease = LOAD(breaker->probe_until);
    if (now < until || now < lease
        || !swap(&breaker->probe_until, lease, now + (apr_uint64_t)probe_time * 1000)) {
        return BS_REFUSED;
    }
    if (LOAD(breaker->open_until) != until) {       /* another probe came back in between */
        STORE(breaker->probe_until, 0);
        return BS_REFUSED;
    }
    return BS_PROBE;
}

bs_breaker_news_t bs_breaker_answered(bs_breaker_t *breaker, apr_uint64_t begun, apr_uint64_t now)
{
    apr_uint64_t until = LOAD(breaker->open_until);

    if (until == 0) {
        if (LOAD(breaker->failures) != 0 && begun >= LOAD(breaker->changed)) {
            STORE(breaker->failures, 0);
        }
        return BS_SAME;
    }
    if (begun < LOAD(breaker->changed)) {
        return BS_SAME;
    }
    STORE(breaker->failures, 0);
    STORE(breaker->opened, 0);
    STORE(breaker->changed, now);
    STORE(breaker->probe_until, 0);
    return swap(&breaker->open_until, until, 0) ? BS_CLOSED : BS_SAME;
}

/** Somewhere in the second half of first * 2^opened, or of the longest. */
static apr_uint64_t rest(const bs_breaker_rule_t *rule, apr_uint32_t opened, apr_uint32_t random)
{
    apr_uint64_t first = (apr_uint64_t)rule->first * 1000;
    apr_uint64_t longest = (apr_uint64_t)rule->longest * 1000;
    apr_uint64_t time = opened < 20 ? first << opened : longest;

    if (time > longest) {
        time = longest;
    }
    return time / 2 + time / 2 * (random % 1024) / 1023 + 1;
}

bs_breaker_news_t bs_breaker_failed(bs_breaker_t *breaker, const bs_breaker_rule_t *rule,
                                    bs_breaker_say_t said, apr_uint64_t begun, apr_uint64_t now,
                                    apr_uint32_t random)
{
    apr_uint64_t until = LOAD(breaker->open_until);
    apr_uint32_t failures, opened;

    if (begun < LOAD(breaker->changed)) {
        return BS_SAME;
    }
    if (until == 0) {
        failures = __atomic_add_fetch(&breaker->failures, 1, __ATOMIC_ACQ_REL);
        if (failures < rule->failures || rule->failures == 0) {
            return failures == 1 ? BS_FIRST_FAILURE : BS_SAME;
        }
        STORE(breaker->changed, now);   /* first: calls that began before it must not close it */
        if (!swap(&breaker->open_until, 0, now + rest(rule, 0, random))) {
            return BS_SAME;
        }
        STORE(breaker->opened, 1);
        return BS_OPENED;
    }
    if (said != BS_PROBE) {
        return BS_SAME;
    }
    opened = LOAD(breaker->opened);
    STORE(breaker->changed, now);
    if (!swap(&breaker->open_until, until, now + rest(rule, opened, random))) {
        return BS_SAME;
    }
    STORE(breaker->opened, opened + 1);
    STORE(breaker->probe_until, 0);
    return BS_OPENED_AGAIN;
}

int bs_breaker_is_open(const bs_breaker_t *breaker, apr_uint64_t now)
{
    apr_uint64_t until = LOAD(breaker->open_until);

    return until != 0 && (until > now || LOAD(breaker->probe_until) > now);
}
