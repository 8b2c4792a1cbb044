/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What every store is configured with, and what the core does for backends. */

#include "store_call.h"

#include <string.h>

#include <apr_strings.h>

#include "parse.h"
#include "record.h"
#include "token.h"

/* ---- the options that every store takes ---- */

static const char *parse_breaker(bs_breaker_rule_t *rule, const char *value, apr_pool_t *pool)
{
    static const char expected[] = "breaker= takes \"off\", or a number of failures, a first and a "
                                   "longest time, such as \"5,1s,30s\"";
    bs_breaker_rule_t read = BS_BREAKER_DEFAULT;
    char *words[3], *rest = apr_pstrdup(pool, value);
    apr_int64_t failures;
    int i;

    if (strcasecmp(value, "off") == 0) {
        rule->failures = 0;
        return NULL;
    }
    for (i = 0; i < 3; i++) {
        char *comma = strchr(rest, ',');

        if ((comma == NULL) != (i == 2)) {
            return expected;
        }
        words[i] = rest;
        if (comma) {
            *comma = '\0';
            rest = comma + 1;
        }
    }
    if (bs_parse_number(&failures, words[0], 1, 1000, "failures", pool)
        || bs_parse_time(&read.first, words[1]) || bs_parse_time(&read.longest, words[2])
        || read.first < 1000 || read.longest < read.first
        || read.longest > apr_time_from_sec(3600)) {
        return expected;
    }
    read.failures = (apr_uint32_t)failures;
    *rule = read;
    return NULL;
}

const char *bs_store_option(bs_store_t *store, const char *name, const char *value,
                            apr_pool_t *pool, int *taken)
{
    *taken = 1;
    if (strcasecmp(name, "timeout") == 0) {
        if (bs_parse_time(&store->timeout, value) || store->timeout < apr_time_from_msec(1)
            || store->timeout > apr_time_from_sec(300)) {
            return "timeout= takes a time from 1ms to 300s, such as 2s";
        }
        return NULL;
    }
    if (strcasecmp(name, "breaker") == 0) {
        return parse_breaker(&store->breaker, value, pool);
    }
    *taken = 0;
    return NULL;
}

void bs_services_init(bsession_services_t *services, apr_pool_t *process_pool)
{
    services->abi = BSESSION_PROVIDER_ABI;
    services->process_pool = process_pool;
    services->record_size = bs_record_size;
    services->record_write = bs_record_write;
    services->record_read = bs_record_read;
    services->key_text = bs_key_text;
    services->parse_size = bs_parse_size;
    services->parse_time = bs_parse_time;
    services->parse_flag = bs_parse_flag;
    services->check_options = bs_check_options;
    services->option = bs_option;
}

void bs_store_stats(bs_store_t *store, const bs_caller_t *caller, bsession_stats_t *stats)
{
    bsession_call_t call = { .deadline = apr_time_now() + store->timeout, .pool = caller->pool };

    memset(stats, 0xFF, sizeof *stats);                 /* BSESSION_UNKNOWN, all of them */
    if (!bs_store_is_open(store, NULL)) {
        store->provider->stats(store->backend, stats, &call);
    }
}

void bs_pause(apr_interval_time_t first, apr_interval_time_t longest, int tries, apr_time_t deadline)
{
    apr_interval_time_t most = tries < 16 && first << tries < longest ? first << tries : longest;
    apr_time_t left = deadline - apr_time_now();
    apr_uint32_t random = 0;

    bs_random_bytes(&random, sizeof random);
    most = random % (most + 1);
    apr_sleep(most < left ? most : (left > 0 ? left : 0));
}
