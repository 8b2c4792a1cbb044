/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "bed.h"

#include <stdarg.h>
#include <string.h>

#include <apr_strings.h>

#include "memory.h"

bs_store_t        bed_store;
bs_store_t        bed_older;
bs_terms_t        bed_terms;
bs_store_shared_t bed_shared;

static int        lines;
static char       last_line[512];
static bs_level_t last_level;

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

    bed_store.name = "bed";
    bed_store.backend = open_memory("bed");
    bed_store.provider = bed_provider();
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
    memset(&bed_shared, 0, sizeof(bed_shared));
    memset(&bed_terms, 0, sizeof(bed_terms));
    lines = 0;
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

apr_uint64_t bed_events(bs_event_t event)
{
    return bed_shared.events[event];
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
