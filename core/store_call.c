/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "store_call.h"

#include <string.h>

#include <apr_strings.h>

#include "log.h"
#include "parse.h"
#include "record.h"

#define NOTICE_EVERY APR_UINT64_C(60000000000)
/* A prober that was killed holds the probe for no longer than its call could have taken. */
#define PROBE_SLACK  apr_time_from_sec(1)

typedef struct {
    bs_store_t       *store;
    void             *where;
    bs_verb_t         verb;
    bs_breaker_t     *node;
    bs_breaker_say_t  said;
    apr_uint64_t      begun;
    bsession_call_t   call;
} passage_t;

static const char *const verb_names[BS_VERBS] = {
    "load", "save", "touch", "remove", "scan", "sweep"
};

static bs_outcome_t outcome_of(apr_status_t status)
{
    switch (status) {
    case APR_SUCCESS:
        return BS_DONE;
    case APR_NOTFOUND:
        return BS_MISSED;
    case APR_EEXIST:
    case APR_EMISMATCH:
        return BS_CONFLICT;
    case APR_ENOSPC:
    case APR_ENOTIMPL:
    case BSESSION_ECORRUPT:
        return BS_UNFIT;
    case BS_ESPARED:
        return BS_SPARED;
    default:
        return BS_UNKNOWN;
    }
}

static void count(apr_uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void bs_store_count(bs_store_t *store, bs_event_t event)
{
    count(&store->shared->events[event]);
}

static bs_breaker_t *node_of(const bs_store_t *store, const bsession_key_t *key)
{
    unsigned node = store->provider->node_of && key
                  ? store->provider->node_of(store->backend, key) : 0;

    return &store->shared->nodes[node % BSESSION_NODES];
}

int bs_store_is_open(const bs_store_t *store, const bsession_key_t *key)
{
    return bs_breaker_is_open(node_of(store, key), bs_monotonic());
}

/** 0 where the breaker refuses the call. */
static int enter(passage_t *passage, bs_store_t *store, bs_verb_t verb,
                 const bs_caller_t *caller, const bsession_key_t *key)
{
    passage->store = store;
    passage->where = caller->where;
    passage->verb = verb;
    passage->node = node_of(store, key);
    passage->begun = bs_monotonic();
    passage->said = bs_breaker_ask(passage->node, &store->breaker, passage->begun,
                                   store->timeout + PROBE_SLACK);
    if (passage->said == BS_REFUSED) {
        count(&store->shared->outcomes[verb][BS_SPARED]);
        return 0;
    }
    passage->call.deadline = caller->deadline ? caller->deadline
                                              : apr_time_now() + store->timeout;
    passage->call.pool = caller->pool;
    passage->call.flags = caller->flags;
    passage->call.why[0] = '\0';
    return 1;
}

static void tell(const passage_t *passage, bs_breaker_news_t news, apr_status_t status)
{
    const char *name = passage->store->name;
    const char *why = passage->call.why[0] ? passage->call.why : bs_status_text(status);

    switch (news) {
    case BS_FIRST_FAILURE:
        bs_log(passage->where, BS_LOG_WARNING, "store %s: %s failed: %s", name,
               verb_names[passage->verb], why);
        break;
    case BS_OPENED:
        bs_log(passage->where, BS_LOG_ERROR, "store %s: failed %u times in a row, and is left alone "
               "for a while (the last: %s: %s)", name, passage->store->breaker.failures,
               verb_names[passage->verb], why);
        break;
    case BS_OPENED_AGAIN:
        bs_log(passage->where, BS_LOG_INFO, "store %s: still failing: %s: %s", name,
               verb_names[passage->verb], why);
        break;
    case BS_CLOSED:
        bs_log(passage->where, BS_LOG_WARNING, "store %s: answers again", name);
        break;
    case BS_SAME:
        break;
    }
}

static void pass_notice_on(const passage_t *passage, apr_uint64_t now)
{
    apr_uint64_t *noticed = &passage->store->shared->noticed;
    apr_uint64_t last = __atomic_load_n(noticed, __ATOMIC_RELAXED);

    if ((last == 0 || now - last > NOTICE_EVERY)
        && __atomic_compare_exchange_n(noticed, &last, now, 0, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED)) {
        bs_log(passage->where, BS_LOG_WARNING, "store %s: %s", passage->store->name,
               passage->call.why);
    }
}

static apr_status_t leave(passage_t *passage, apr_status_t status)
{
    bs_store_t *store = passage->store;
    apr_uint64_t now = bs_monotonic();
    int bucket = 63 - __builtin_clzll((now - passage->begun) | 1);
    bs_outcome_t outcome = outcome_of(status);
    bs_breaker_news_t news;

    count(&store->shared->times[passage->verb][bucket < BS_TIME_BUCKETS ? bucket
                                                                         : BS_TIME_BUCKETS - 1]);
    if (outcome != BS_DONE) {
        count(&store->shared->outcomes[passage->verb][outcome]);
    }
    else if (passage->call.why[0]) {
        pass_notice_on(passage, now);
    }
    news = outcome == BS_UNKNOWN
         ? bs_breaker_failed(passage->node, &store->breaker, passage->said, passage->begun, now,
                             (apr_uint32_t)(now ^ now >> 20))
         : bs_breaker_answered(passage->node, passage->begun, now);
    tell(passage, news, status);
    return status;
}

apr_status_t bs_store_load(bs_store_t *store, const bs_caller_t *caller,
                           const bsession_key_t *key, bsession_record_t *record)
{
    passage_t passage;

    if (!enter(&passage, store, BS_VERB_LOAD, caller, key)) {
        return BS_ESPARED;
    }
    return leave(&passage, store->provider->load(store->backend, key, record, &passage.call));
}

apr_status_t bs_store_save(bs_store_t *store, const bs_caller_t *caller,
                           const bsession_key_t *key, const bsession_save_t *save,
                           bsession_saved_t *saved)
{
    passage_t passage;

    memset(saved, 0, sizeof *saved);
    if (!enter(&passage, store, BS_VERB_SAVE, caller, key)) {
        return BS_ESPARED;
    }
    return leave(&passage, store->provider->save(store->backend, key, save, saved,
                                                 &passage.call));
}

apr_status_t bs_store_touch(bs_store_t *store, const bs_caller_t *caller,
                            const bsession_key_t *key, apr_time_t expires)
{
    passage_t passage;

    if (!enter(&passage, store, BS_VERB_TOUCH, caller, key)) {
        return BS_ESPARED;
    }
    return leave(&passage, store->provider->touch(store->backend, key, expires, &passage.call));
}

apr_status_t bs_store_remove(bs_store_t *store, const bs_caller_t *caller,
                             const bsession_key_t *key, apr_uint64_t revision)
{
    passage_t passage;

    if (!enter(&passage, store, BS_VERB_REMOVE, caller, key)) {
        return BS_ESPARED;
    }
    return leave(&passage, store->provider->remove(store->backend, key, revision,
                                                   &passage.call));
}

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
