/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "store_call.h"

#include <string.h>

#include "log.h"
#include "seal.h"

#define NOTICE_EVERY APR_UINT64_C(60000000000)
/* A sweep looks at some of the records, and then leaves the machine to others for a second; when it
 * has seen all of them it rests for a minute. In nanoseconds. */
#define SWEEP_SLICE  apr_time_from_msec(50)
#define SWEEP_AGAIN  APR_UINT64_C(1000000000)
#define SWEEP_REST   APR_UINT64_C(60000000000)
#define SWEEP_LEASE  APR_UINT64_C(10000000000)
/* A prober that was killed holds the probe for no longer than its call could have taken. */
#define PROBE_SLACK  apr_time_from_sec(1)

typedef struct {
    bs_store_t       *store;
    void             *where;
    bs_verb_t         verb;
    const bsession_key_t *key;          /* NULL: it is about no record */
    unsigned          place;            /* of the node */
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

int bs_is_outage(apr_status_t status)
{
    bs_outcome_t outcome = outcome_of(status);

    return outcome == BS_UNKNOWN || outcome == BS_SPARED;
}

static void count(apr_uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void bs_store_count(bs_store_t *store, bs_event_t event)
{
    count(&store->shared->events[event]);
}

static unsigned node_index(const bs_store_t *store, const bsession_key_t *key)
{
    return store->provider->node_of && key
         ? store->provider->node_of(store->backend, key) % BSESSION_NODES : 0;
}

static bs_breaker_t *node_of(const bs_store_t *store, const bsession_key_t *key)
{
    return &store->shared->nodes[node_index(store, key)];
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
    passage->key = key;
    passage->place = node_index(store, key);
    passage->node = &store->shared->nodes[passage->place];
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

/** What the part that was asked is called, where the store has several. Its key may live elsewhere
 *  by now. */
static const char *part_of(const passage_t *passage)
{
    const bs_store_t *store = passage->store;

    return passage->key && store->provider->node_name
           && node_index(store, passage->key) == passage->place
           ? store->provider->node_name(store->backend, passage->key, passage->call.pool) : NULL;
}

static void tell(const passage_t *passage, bs_breaker_news_t news, apr_status_t status)
{
    if (news != BS_SAME) {
        bs_store_tell(passage->store, passage->where, news, verb_names[passage->verb],
                      part_of(passage),
                      passage->call.why[0] ? passage->call.why : bs_status_text(status));
    }
}

/** Where one verb fails and the others succeed, such as saves to a full server, each failure is the
 *  first in a row. It is told once, until that verb succeeds. */
static bs_breaker_news_t told_before(const passage_t *passage, bs_breaker_news_t news, int failed)
{
    apr_uint32_t *failing = &passage->store->shared->failing[passage->place];
    apr_uint32_t verb = 1u << passage->verb;

    if (news == BS_CLOSED) {
        __atomic_store_n(failing, 0, __ATOMIC_RELAXED);
    }
    else if (news == BS_FIRST_FAILURE) {
        return __atomic_fetch_or(failing, verb, __ATOMIC_RELAXED) & verb ? BS_SAME : news;
    }
    else if (!failed && __atomic_load_n(failing, __ATOMIC_RELAXED) & verb) {
        __atomic_fetch_and(failing, ~verb, __ATOMIC_RELAXED);
    }
    return news;
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
    if ((outcome == BS_DONE || status == APR_ENOSPC) && passage->call.why[0]) {
        pass_notice_on(passage, now);
    }
    news = outcome == BS_UNKNOWN && status != BSESSION_EFULL
         ? bs_breaker_failed(passage->node, &store->breaker, passage->said, passage->begun, now,
                             (apr_uint32_t)(now ^ now >> 20))
         : bs_breaker_answered(passage->node, passage->begun, now);
    if (status == BSESSION_EFULL && news == BS_SAME) {
        news = BS_FIRST_FAILURE;        /* of this verb; the others are served */
    }
    tell(passage, told_before(passage, news, outcome == BS_UNKNOWN), status);
    return status;
}

/** What a load answered, once its record is plain. */
static apr_status_t opened(const bs_caller_t *caller, const bsession_key_t *key,
                           bsession_record_t *record, apr_status_t status)
{
    return caller->seal && status == APR_SUCCESS
           ? bs_seal_open(caller->seal, key, record, caller->pool) : status;
}

apr_status_t bs_store_load(bs_store_t *store, const bs_caller_t *caller,
                           const bsession_key_t *key, bsession_record_t *record)
{
    passage_t passage;
    apr_status_t status;

    if (!enter(&passage, store, BS_VERB_LOAD, caller, key)) {
        return BS_ESPARED;
    }
    status = store->provider->load(store->backend, key, record, &passage.call);
    return leave(&passage, opened(caller, key, record, status));
}

apr_status_t bs_store_save(bs_store_t *store, const bs_caller_t *caller,
                           const bsession_key_t *key, const bsession_save_t *save,
                           bsession_saved_t *saved)
{
    bsession_record_t record;
    bsession_save_t sealed;
    passage_t passage;

    memset(saved, 0, sizeof *saved);
    if (caller->seal) {
        apr_status_t status = bs_seal_close(caller->seal, key, save, &sealed, &record, caller->pool);

        if (status != APR_SUCCESS) {
            if (status != APR_ENOSPC) {
                bs_log(caller->where, BS_LOG_ERROR, "store %s: OpenSSL could not seal a record", store->name);
            }
            return status;
        }
        save = &sealed;
    }
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

/* ---- many at once ---- */

typedef struct {
    bsession_visitor_t *visit;
    void               *baton;
    apr_status_t        status;
    const bs_keys_t    *seal;
    apr_pool_t         *plain;          /* with a seal: one plain record */
} viewing_t;

static apr_status_t view(void *baton, const bsession_key_t *key, const bsession_record_t *record)
{
    viewing_t *viewing = baton;

    viewing->status = viewing->visit(viewing->baton, key, record);
    return viewing->status;
}

/** A record that cannot be opened is passed over. That nothing can be opened is an outage: who ends
 *  all sessions of a user must not take it for the end of the store. */
static apr_status_t view_sealed(void *baton, const bsession_key_t *key, const bsession_record_t *record)
{
    viewing_t *viewing = baton;
    bsession_record_t plain = *record;
    apr_status_t status = bs_seal_open(viewing->seal, key, &plain, viewing->plain);

    if (status == APR_SUCCESS) {
        status = view(baton, key, &plain);
    }
    else if (status == BSESSION_ECORRUPT) {
        status = APR_SUCCESS;
    }
    apr_pool_clear(viewing->plain);
    return status;
}

apr_status_t bs_store_scan(bs_store_t *store, const bs_caller_t *caller, char space,
                           bsession_cursor_t *cursor, bsession_visitor_t *visit, void *baton)
{
    viewing_t viewing = { visit, baton, APR_SUCCESS, caller->seal, NULL };
    passage_t passage;
    apr_status_t status;

    if (!enter(&passage, store, BS_VERB_SCAN, caller, NULL)) {
        return BS_ESPARED;
    }
    if (caller->seal) {
        apr_pool_create(&viewing.plain, caller->pool);
    }
    status = store->provider->scan(store->backend, space, cursor, caller->seal ? view_sealed : view,
                                   &viewing, &passage.call);
    if (caller->seal) {
        apr_pool_destroy(viewing.plain);
    }
    if (status == APR_SUCCESS || status == APR_ENOTIMPL) {
        __atomic_store_n(&store->shared->scans, status == APR_SUCCESS ? 1 : -1, __ATOMIC_RELAXED);
    }
    if (viewing.status != APR_SUCCESS && status == viewing.status) {
        leave(&passage, APR_SUCCESS);
        return status;
    }
    return leave(&passage, status);
}

static apr_status_t look_away(void *baton, const bsession_key_t *key,
                              const bsession_record_t *record)
{
    (void)baton;
    (void)key;
    (void)record;
    return APR_SUCCESS;
}

apr_status_t bs_store_can_scan(bs_store_t *store, const bs_caller_t *caller)
{
    int scans = __atomic_load_n(&store->shared->scans, __ATOMIC_RELAXED);
    bsession_cursor_t cursor = { 0 };
    bs_caller_t looking = *caller;

    if (scans) {
        return scans > 0 ? APR_SUCCESS : APR_ENOTIMPL;
    }
    looking.seal = NULL;                /* for nothing would be looked at */
    return bs_store_scan(store, &looking, 'c', &cursor, look_away, NULL);
}

static void load_one_by_one(bs_store_t *store, const bs_caller_t *caller,
                            const bsession_key_t *keys, int n, bsession_record_t *records,
                            apr_status_t *statuses)
{
    apr_time_t end = apr_time_now() + store->timeout;
    apr_status_t outage = APR_SUCCESS;
    int i;

    for (i = 0; i < n; i++) {
        statuses[i] = outage && apr_time_now() >= end
                    ? outage : bs_store_load(store, caller, &keys[i], &records[i]);
        if (bs_is_outage(statuses[i])) {
            outage = statuses[i];
        }
    }
}

/* What of one call goes to one node: breakers are asked and told for each. */
typedef struct {
    passage_t    passage;
    enum { UNASKED, PASSES, REFUSED } state;
    apr_status_t status;
} lane_t;

/** Those that may be asked move to the front of `asked`; their places are in `at`. */
static int choose(lane_t *lanes, bs_store_t *store, const bs_caller_t *caller,
                  const bsession_key_t *keys, int n, bsession_key_t *asked, int *at)
{
    int i, nasked = 0;

    for (i = 0; i < n; i++) {
        lane_t *lane = &lanes[node_index(store, &keys[i])];

        if (lane->state == UNASKED) {
            lane->state = enter(&lane->passage, store, BS_VERB_LOAD, caller, &keys[i])
                        ? PASSES : REFUSED;
        }
        if (lane->state == PASSES) {
            asked[nasked] = keys[i];
            at[nasked++] = i;
        }
    }
    return nasked;
}

static void leave_all(lane_t *lanes, const bsession_call_t *call)
{
    int i;

    for (i = 0; i < BSESSION_NODES; i++) {
        if (lanes[i].state == PASSES) {
            if (bs_is_outage(lanes[i].status)) {
                memcpy(lanes[i].passage.call.why, call->why, sizeof call->why);
            }
            leave(&lanes[i].passage, lanes[i].status);
        }
    }
}

static void load_in_one_call(bs_store_t *store, const bs_caller_t *caller,
                             const bsession_key_t *keys, int n, bsession_record_t *records,
                             apr_status_t *statuses, apr_pool_t *scratch)
{
    lane_t *lanes = apr_pcalloc(scratch, BSESSION_NODES * sizeof *lanes);
    bsession_key_t *asked = apr_palloc(scratch, (apr_size_t)n * sizeof *asked);
    bsession_record_t *found = apr_pcalloc(scratch, (apr_size_t)n * sizeof *found);
    apr_status_t *each = apr_pcalloc(scratch, (apr_size_t)n * sizeof *each), status;
    int *at = apr_palloc(scratch, (apr_size_t)n * sizeof *at);
    int i, nasked = choose(lanes, store, caller, keys, n, asked, at);
    bsession_call_t call;

    for (i = 0; i < n; i++) {
        statuses[i] = BS_ESPARED;
    }
    if (nasked == 0) {
        return;
    }
    call = lanes[node_index(store, &asked[0])].passage.call;
    status = store->provider->load_many(store->backend, asked, nasked, found, each, &call);
    for (i = 0; i < nasked; i++) {
        lane_t *lane = &lanes[node_index(store, &asked[i])];

        statuses[at[i]] = status == APR_SUCCESS ? opened(caller, &asked[i], &found[i], each[i])
                                                : status;
        records[at[i]] = found[i];
        if (bs_is_outage(statuses[at[i]])) {
            lane->status = statuses[at[i]];
        }
    }
    leave_all(lanes, &call);
}

void bs_store_load_many(bs_store_t *store, const bs_caller_t *caller, const bsession_key_t *keys,
                        int n, bsession_record_t *records, apr_status_t *statuses)
{
    if (store->provider->load_many) {
        apr_pool_t *scratch;

        apr_pool_create(&scratch, caller->pool);
        load_in_one_call(store, caller, keys, n, records, statuses, scratch);
        apr_pool_destroy(scratch);
    }
    else {
        load_one_by_one(store, caller, keys, n, records, statuses);
    }
}

/* ---- the expired ---- */

/** Once for all children, and the one who is killed over it is waited for no longer than this. */
static int begin_sweep(bs_store_t *store, apr_uint64_t now)
{
    apr_uint64_t *due = &store->shared->sweep_due;
    apr_uint64_t then = __atomic_load_n(due, __ATOMIC_RELAXED);

    return now >= then
           && __atomic_compare_exchange_n(due, &then, now + SWEEP_LEASE, 0, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED);
}

void bs_store_sweep_if_due(bs_store_t *store, const bs_caller_t *caller)
{
    bs_caller_t shortly = *caller;
    passage_t passage;
    apr_status_t status;

    if (!store->provider->sweep || !begin_sweep(store, bs_monotonic())) {
        return;
    }
    shortly.deadline = apr_time_now() + SWEEP_SLICE;
    if (!enter(&passage, store, BS_VERB_SWEEP, &shortly, NULL)) {
        return;                                       /* the lease's end is as good a time as any */
    }
    status = store->provider->sweep(store->backend, apr_time_now(), &passage.call);
    __atomic_store_n(&store->shared->sweep_due,
                     bs_monotonic() + (status == APR_INCOMPLETE ? SWEEP_AGAIN : SWEEP_REST),
                     __ATOMIC_RELAXED);
    leave(&passage, status == APR_INCOMPLETE ? APR_SUCCESS : status);
}
