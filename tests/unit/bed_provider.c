/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The provider of the bed: the memory store's calls, and what a test has ordered for the next ones. */

#include "bed.h"

#include <string.h>

#include <apr_strings.h>

#include "memory.h"

/* What one verb was told to do. */
typedef struct {
    apr_status_t status;
    int          times;
    int          done;                  /* and only the answer is lost */
    void       (*happen)(void);
    int          calls;
} order_t;

static bsession_provider_t provider;

static order_t     orders[BS_VERBS];
static int         in_place;
static const char *notice;
static apr_time_t  deadline;

/* ---- the calls ---- */

/* 0 where the call is not done, and *status is its answer. */
static int begin(bs_verb_t verb, apr_status_t *status, const bsession_call_t *call)
{
    order_t *order = &orders[verb];
    void (*happen)(void) = order->happen;

    __atomic_fetch_add(&order->calls, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&deadline, call->deadline, __ATOMIC_RELAXED);
    if (happen) {
        order->happen = NULL;
        happen();
    }
    if (order->times == 0 || order->done) {
        return 1;
    }
    order->times--;
    *status = order->status;
    return 0;
}

static apr_status_t end(bs_verb_t verb, apr_status_t status, bsession_call_t *call)
{
    order_t *order = &orders[verb];

    if (order->times && order->done) {
        order->times--;
        apr_cpystrn(call->why, "the answer is lost", sizeof(call->why));
        return order->status;
    }
    if (notice && status == APR_SUCCESS) {
        apr_cpystrn(call->why, notice, sizeof(call->why));
        notice = NULL;
    }
    return status;
}

static apr_status_t bed_load(bsession_backend_t *backend, const bsession_key_t *key,
                             bsession_record_t *record, bsession_call_t *call)
{
    apr_status_t status;

    return begin(BS_VERB_LOAD, &status, call)
         ? end(BS_VERB_LOAD, bsession_memory_provider.load(backend, key, record, call), call)
         : status;
}

/* As the store sees them, one INCR of a name at most. */
static apr_int64_t *numbers_after(const bs_table_t *table, const bsession_save_t *save,
                                  apr_pool_t *p)
{
    apr_int64_t *numbers = apr_pcalloc(p, sizeof(*numbers) * (save->nchanges + 1));
    apr_size_t i;

    for (i = 0; i < save->nchanges; i++) {
        const bsession_bytes_t *name = &save->changes[i].name;
        const bsession_field_t *field = name->len ? bs_table_find(table, name->data, name->len)
                                                  : NULL;

        if (field) {
            bs_number_parse(&numbers[i], field->value.data, field->value.len);
        }
    }
    return numbers;
}

static apr_status_t merge(bsession_backend_t *backend, const bsession_key_t *key,
                          const bsession_save_t *save, bsession_saved_t *saved,
                          bsession_call_t *call)
{
    bsession_record_t stored, whole = *save->record;
    bsession_save_t replace = { .mode = BSESSION_REPLACE, .record = &whole };
    bs_table_t table;
    int dropped;
    apr_status_t status = bsession_memory_provider.load(backend, key, &stored, call);

    if (status != APR_SUCCESS) {
        return status;
    }
    if (stored.epoch != whole.epoch) {
        return APR_EMISMATCH;
    }
    bs_table_init(&table, call->pool, save->max_bytes, save->max_fields);
    table.changes = apr_pmemdup(call->pool, save->changes, save->nchanges * sizeof(*save->changes));
    table.nchanges = (int)save->nchanges;
    status = bs_table_rebase(&table, &stored.fields, &dropped);
    if (status != APR_SUCCESS) {
        return status;
    }
    whole.meta = stored.meta;
    whole.fields = table.fields;
    replace.base = stored.revision;
    saved->incr = numbers_after(&table, save, call->pool);
    return bsession_memory_provider.save(backend, key, &replace, saved, call);
}

static apr_status_t bed_save(bsession_backend_t *backend, const bsession_key_t *key,
                             const bsession_save_t *save, bsession_saved_t *saved,
                             bsession_call_t *call)
{
    apr_status_t status;

    if (!begin(BS_VERB_SAVE, &status, call)) {
        return status;
    }
    status = in_place && save->mode == BSESSION_MERGE
           ? merge(backend, key, save, saved, call)
           : bsession_memory_provider.save(backend, key, save, saved, call);
    return end(BS_VERB_SAVE, status, call);
}

static apr_status_t bed_touch(bsession_backend_t *backend, const bsession_key_t *key,
                              apr_time_t expires, bsession_call_t *call)
{
    apr_status_t status;

    return begin(BS_VERB_TOUCH, &status, call)
         ? end(BS_VERB_TOUCH, bsession_memory_provider.touch(backend, key, expires, call), call)
         : status;
}

static apr_status_t bed_remove(bsession_backend_t *backend, const bsession_key_t *key,
                               apr_uint64_t revision, bsession_call_t *call)
{
    apr_status_t status;

    return begin(BS_VERB_REMOVE, &status, call)
         ? end(BS_VERB_REMOVE, bsession_memory_provider.remove(backend, key, revision, call), call)
         : status;
}

static apr_status_t bed_scan(bsession_backend_t *backend, char space, bsession_cursor_t *cursor,
                             bsession_visitor_t *visit, void *baton, bsession_call_t *call)
{
    apr_status_t status;

    return begin(BS_VERB_SCAN, &status, call)
         ? end(BS_VERB_SCAN, bsession_memory_provider.scan(backend, space, cursor, visit, baton,
                                                           call), call)
         : status;
}

/* An order for loads is one for this. */
static apr_status_t bed_load_many(bsession_backend_t *backend, const bsession_key_t *keys, int n,
                                  bsession_record_t *records, apr_status_t *statuses,
                                  bsession_call_t *call)
{
    apr_status_t status;
    int i;

    if (!begin(BS_VERB_LOAD, &status, call)) {
        return status;
    }
    for (i = 0; i < n; i++) {
        statuses[i] = bsession_memory_provider.load(backend, &keys[i], &records[i], call);
    }
    return end(BS_VERB_LOAD, APR_SUCCESS, call);
}

const bsession_provider_t *bed_provider(void)
{
    memset(orders, 0, sizeof(orders));
    in_place = 0;
    notice = NULL;
    deadline = 0;
    provider = bsession_memory_provider;
    provider.load = bed_load;
    provider.save = bed_save;
    provider.touch = bed_touch;
    provider.remove = bed_remove;
    provider.scan = bed_scan;
    provider.node_of = NULL;            /* one breaker, so that what it does can be told */
    return &provider;
}

/* ---- the orders ---- */

void bed_load_many_at_once(void)
{
    provider.load_many = bed_load_many;
}

void bed_answer(bs_verb_t verb, apr_status_t status, int times)
{
    orders[verb].status = status;
    orders[verb].times = times;
    orders[verb].done = 0;
}

void bed_lose_answers(bs_verb_t verb, int times)
{
    bed_answer(verb, BED_OUTAGE, times);
    orders[verb].done = 1;
}

void bed_before(bs_verb_t verb, void (*happen)(void))
{
    orders[verb].happen = happen;
}

void bed_merge_in_place(void)
{
    in_place = 1;
}

void bed_notice(const char *text)
{
    notice = text;
}

int bed_calls(bs_verb_t verb)
{
    return __atomic_load_n(&orders[verb].calls, __ATOMIC_RELAXED);
}

int bed_all_calls(void)
{
    int verb, calls = 0;

    for (verb = 0; verb < BS_VERBS; verb++) {
        calls += bed_calls((bs_verb_t)verb);
    }
    return calls;
}

apr_time_t bed_deadline(void)
{
    return deadline;
}
