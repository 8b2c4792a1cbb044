/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file breaker.h
 * @brief The circuit breaker of one node of a store, in memory that all children share.
 *
 * Closed, calls pass. After some failures in a row it opens: calls fail at once, for a time that is
 * jittered and doubles. Then one call may probe, under a lease that ends by itself, so that a
 * killed prober does not keep it; its answer closes the breaker, its failure opens it for longer.
 *
 * Times are of the monotonic clock, in nanoseconds, and never 0 where they mean something. Calls
 * that began before the last change of state say nothing about the new one, and do not count.
 */
#ifndef BS_BREAKER_H
#define BS_BREAKER_H

#include <apr.h>
#include <apr_time.h>

/* All zeros is a closed breaker. */
typedef struct {
    apr_uint64_t open_until;            /* 0 = closed; the moment from which one may probe */
    apr_uint64_t probe_until;           /* a prober is out, and has until then */
    apr_uint64_t changed;               /* when the state last changed */
    apr_uint32_t failures;              /* in a row, while closed */
    apr_uint32_t opened;                /* how often in a row; decides for how long */
} bs_breaker_t;

typedef struct {
    apr_uint32_t        failures;       /* 0 = no breaker here */
    apr_interval_time_t first;
    apr_interval_time_t longest;
} bs_breaker_rule_t;

#define BS_BREAKER_DEFAULT { 5, APR_TIME_C(1000000), APR_TIME_C(30000000) }

typedef enum { BS_PASS, BS_PROBE, BS_REFUSED } bs_breaker_say_t;
typedef enum { BS_SAME, BS_FIRST_FAILURE, BS_OPENED, BS_OPENED_AGAIN, BS_CLOSED } bs_breaker_news_t;

apr_uint64_t bs_monotonic(void);

/** Whether a call would be refused now. */
int bs_breaker_is_open(const bs_breaker_t *breaker, apr_uint64_t now);

/** May this call be made? A probe's lease ends after `probe_time` microseconds. */
bs_breaker_say_t  bs_breaker_ask(bs_breaker_t *breaker, const bs_breaker_rule_t *rule,
                                 apr_uint64_t now, apr_interval_time_t probe_time);

/** How it went: `begun` and `said` are those of the question. The caller that is told of a
 *  change is the only one that is, and logs it. `random` is any number; it jitters. */
bs_breaker_news_t bs_breaker_answered(bs_breaker_t *breaker, apr_uint64_t begun, apr_uint64_t now);
bs_breaker_news_t bs_breaker_failed(bs_breaker_t *breaker, const bs_breaker_rule_t *rule,
                                    bs_breaker_say_t said, apr_uint64_t begun, apr_uint64_t now,
                                    apr_uint32_t random);

#endif
