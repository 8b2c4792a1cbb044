/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "bed.h"

#include <stdarg.h>
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

bs_store_t        bed_store;
bs_store_t        bed_older;
bs_terms_t        bed_terms;
bs_store_shared_t bed_shared;

static order_t     orders[BS_VERBS];
static int         in_place;
static const char *notice;
static apr_time_t  deadline;

static int        lines;
static char       last_line[512];
static bs_level_t last_level;

/* ---- the provider ---- */

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

static bsession_provider_t provider;

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

apr_uint64_t bed_events(bs_event_t event)
{
    return bed_shared.events[event];
}

/* ---- the log ---- */

static void collect(void *where, bs_level_t level, const char *text)
{
    (void)where;
    lines++;
    last_level = level;
    apr_cpystrn(last_line, text, sizeof(last_line));
}

int bed_lines(void)
{
    return lines;
}

const char *bed_last_line(void)
{
    return last_line;
}

bs_level_t bed_last_level(void)
{
    return last_level;
}

/* ---- making it ---- */

static bsession_call_t direct(void)
{
    bsession_call_t call = { .deadline = apr_time_now() + apr_time_from_sec(60), .pool = pool };

    return call;
}

static bsession_backend_t *open_memory(const char *name)
{
    static bsession_services_t services;
    static const bsession_option_t size = { "size", "8M" };
    bsession_options_t options = { (bsession_option_t *)&size, 1 };
    bsession_call_t call = direct();
    bsession_backend_t *backend;

    bs_services_init(&services, pool);
    ck_assert_ptr_null(bsession_memory_provider.create(&backend, name, "memory:", &options, &services,
                                                       pool));
    ck_assert_int_eq(bsession_memory_provider.open(backend, -1, -1, &call), APR_SUCCESS);
    return backend;
}

static void open_store(void)
{
    bs_breaker_rule_t rule = BS_BREAKER_DEFAULT;

    provider = bsession_memory_provider;
    provider.load = bed_load;
    provider.save = bed_save;
    provider.touch = bed_touch;
    provider.remove = bed_remove;
    provider.scan = bed_scan;
    provider.node_of = NULL;            /* one breaker, so that what it does can be told */
    bed_store.name = "bed";
    bed_store.backend = open_memory("bed");
    bed_store.provider = &provider;
    bed_store.timeout = apr_time_from_sec(60);
    bed_store.breaker = rule;
    bed_store.shared = &bed_shared;
}

void bed_change_store(void)
{
    static bs_store_shared_t shared;

    memset(&shared, 0, sizeof(shared));
    bed_older = bed_store;
    bed_older.name = "older";
    bed_older.shared = &shared;
    bed_store.backend = open_memory("newer");
    bed_terms.older = &bed_older;
}

void bed_setup(void)
{
    pool_setup();
    memset(orders, 0, sizeof(orders));
    memset(&bed_shared, 0, sizeof(bed_shared));
    memset(&bed_terms, 0, sizeof(bed_terms));
    in_place = lines = 0;
    notice = NULL;
    deadline = 0;
    last_line[0] = '\0';
    bs_log_install(collect);
    ck_assert_int_eq(bs_crypto_init(), APR_SUCCESS);
    open_store();
    bed_terms.store = &bed_store;
    ck_assert_int_eq(bs_realm_digest("example.org", bed_terms.realm), APR_SUCCESS);
    bed_terms.idle = BED_IDLE;
    bed_terms.absolute = BED_ABSOLUTE;
    bed_terms.read_prolongs = 1;
    bed_terms.max_bytes = 4096;
    bed_terms.max_fields = 16;
}

void bed_teardown(void)
{
    bs_log_install(NULL);
    pool_teardown();
}

/* ---- what is stored ---- */

apr_uint64_t bed_records(void)
{
    bsession_call_t call = direct();
    bsession_stats_t stats;

    bsession_memory_provider.stats(bed_store.backend, &stats, &call);
    return stats.records;
}

bed_stored_t *bed_stored(const bs_token_t *token)
{
    return bed_stored_in(&bed_store, token);
}

bed_stored_t *bed_stored_in(const bs_store_t *store, const bs_token_t *token)
{
    bed_stored_t *stored = apr_pcalloc(pool, sizeof(*stored));
    bsession_call_t call = direct();
    bsession_key_t key;
    apr_status_t status;

    bs_token_key(token, &key);
    status = bsession_memory_provider.load(store->backend, &key, &stored->record, &call);
    if (status == APR_NOTFOUND) {
        return NULL;
    }
    ck_assert_int_eq(status, APR_SUCCESS);
    ck_assert_int_eq(bs_meta_read(&stored->meta, &stored->record.meta), APR_SUCCESS);
    return stored;
}

void bed_put(const bs_token_t *token, bed_stored_t *stored)
{
    bsession_save_t save = { .mode = BSESSION_PUT, .base = stored->record.revision,
                             .record = &stored->record };
    bsession_saved_t saved = { 0 };
    bsession_call_t call = direct();
    unsigned char meta[BS_META_MAX];
    bsession_key_t key;

    bs_token_key(token, &key);
    stored->record.meta.len = bs_meta_write(&stored->meta, meta);
    stored->record.meta.data = (const char *)meta;
    ck_assert_int_eq(bsession_memory_provider.save(bed_store.backend, &key, &save, &saved, &call),
                     APR_SUCCESS);
    stored->record.meta.data = apr_pmemdup(pool, meta, stored->record.meta.len);
}

const char *bed_value(const bs_token_t *token, const char *key)
{
    bed_stored_t *stored = bed_stored(token);
    int i;

    for (i = 0; stored && i < stored->record.fields.count; i++) {
        const bsession_field_t *field = &stored->record.fields.list[i];

        if (!strcmp(field->name.data, key)) {
            return field->value.data;
        }
    }
    return NULL;
}

int bed_count(const bs_token_t *token)
{
    bed_stored_t *stored = bed_stored(token);

    return stored ? stored->record.fields.count : -1;
}

void bed_ends_in(const bs_token_t *token, apr_interval_time_t left)
{
    bed_stored_t *stored = bed_stored(token);

    ck_assert_ptr_nonnull(stored);
    stored->record.expires = apr_time_now() + left;
    bed_put(token, stored);
}

void bed_retired_before(const bs_token_t *token, apr_interval_time_t ago)
{
    bed_stored_t *stored = bed_stored(token);

    ck_assert_ptr_nonnull(stored);
    ck_assert_int_gt(stored->meta.nretired, 0);
    stored->meta.retired[stored->meta.nretired - 1].at = apr_time_now() - ago;
    bed_put(token, stored);
}

void bed_time_passes(const bs_token_t *token, apr_interval_time_t time)
{
    bed_stored_t *stored = bed_stored(token);
    int i;

    ck_assert_ptr_nonnull(stored);
    stored->meta.created -= time;
    if (stored->meta.issued) {
        stored->meta.issued -= time;
    }
    for (i = 0; i < stored->meta.naside; i++) {
        if (stored->meta.aside[i].until) {
            stored->meta.aside[i].until -= time;
        }
    }
    for (i = 0; i < stored->meta.nretired; i++) {
        stored->meta.retired[i].at -= time;
    }
    bed_put(token, stored);
}

/* ---- requests ---- */

bs_session_t *bed_request(const bs_token_t *token)
{
    return bs_session_open(pool, &bed_terms, token, token != NULL, NULL, NULL);
}

apr_status_t bed_set(bs_session_t *s, const char *key, const char *value)
{
    return bs_session_set(s, key, value, strlen(value));
}

const char *bed_get(bs_session_t *s, const char *key)
{
    const bsession_field_t *field = bs_session_get(s, key);

    return field ? field->value.data : NULL;
}

bs_token_t bed_session(const char *name, ...)
{
    bs_session_t *s = bed_request(NULL);
    va_list rest;

    va_start(rest, name);
    for (; name; name = va_arg(rest, const char *)) {
        const char *value = va_arg(rest, const char *);

        ck_assert_int_eq(bed_set(s, name, value), APR_SUCCESS);
    }
    va_end(rest);
    ck_assert_int_eq(bs_session_save(s, 0), APR_SUCCESS);
    return s->token;
}
