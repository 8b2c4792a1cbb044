/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "cache.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "cache_entry.h"
#include "merge.h"
#include "mod_bsession.h"

/** begin and locate. */
static apr_status_t begin_at(bs_cache_op_t *op, bs_cache_spot_t *spot, const bs_cache_t *c,
                             const bsession_bytes_t *key, int make)
{
    apr_status_t status = bs_cache_begin(op, c, make);

    return status == APR_SUCCESS ? bs_cache_locate(spot, op, BS_CACHE_ENTRY, key) : status;
}

static apr_status_t end_of_life(apr_time_t *expires, const bs_cache_t *c, apr_interval_time_t life)
{
    if (life == BSESSION_DEFAULT_LIFE) {
        life = c->life;
    }
    if (life < 0) {
        return APR_EINVAL;
    }
    if (life == BSESSION_FOR_EVER || __builtin_add_overflow(apr_time_now(), life, expires)) {
        *expires = 0;
    }
    return APR_SUCCESS;
}

apr_status_t bs_cache_get(const bs_cache_t *c, const bsession_bytes_t *key,
                          bsession_bytes_t *value)
{
    bsession_record_t record;
    bs_cache_spot_t spot;
    bs_cache_op_t op;
    apr_status_t status = begin_at(&op, &spot, c, key, 0);

    if (status == APR_SUCCESS) {
        status = bs_cache_look(&op, &spot, &record, c->pool);
    }
    if (status == APR_SUCCESS) {
        *value = record.fields.list[0].value;
    }
    return bs_cache_end(&op, status);
}

apr_status_t bs_cache_has(const bs_cache_t *c, const bsession_bytes_t *key)
{
    bsession_record_t record;
    bs_cache_spot_t spot;
    bs_cache_op_t op;
    apr_status_t status = begin_at(&op, &spot, c, key, 0);

    if (status == APR_SUCCESS) {
        status = bs_cache_look(&op, &spot, &record, op.caller.pool);
    }
    return bs_cache_end(&op, status);
}

apr_status_t bs_cache_set_until(const bs_cache_t *c, const bsession_bytes_t *key,
                                const bsession_bytes_t *value, apr_time_t expires)
{
    bs_cache_spot_t spot;
    bs_cache_op_t op;
    apr_status_t status = begin_at(&op, &spot, c, key, 1);

    if (status == APR_SUCCESS) {
        status = bs_cache_put(&op, &spot, BSESSION_PUT, value, expires);
    }
    return bs_cache_end(&op, status);
}

apr_status_t bs_cache_set(const bs_cache_t *c, const bsession_bytes_t *key,
                          const bsession_bytes_t *value, apr_interval_time_t life)
{
    apr_time_t expires;
    apr_status_t status = end_of_life(&expires, c, life);

    return status == APR_SUCCESS ? bs_cache_set_until(c, key, value, expires) : status;
}

apr_status_t bs_cache_add(const bs_cache_t *c, const bsession_bytes_t *key,
                          const bsession_bytes_t *value, apr_interval_time_t life)
{
    apr_time_t expires;
    apr_status_t status = end_of_life(&expires, c, life);
    bs_cache_spot_t spot;
    bs_cache_op_t op;

    if (status != APR_SUCCESS) {
        return status;
    }
    status = begin_at(&op, &spot, c, key, 1);
    if (status == APR_SUCCESS) {
        status = bs_cache_put_absent(&op, &spot, value, expires);
    }
    return bs_cache_end(&op, status);
}

apr_status_t bs_cache_delete(const bs_cache_t *c, const bsession_bytes_t *key)
{
    bs_cache_spot_t spot;
    bs_cache_op_t op;
    apr_status_t status = begin_at(&op, &spot, c, key, 0);

    if (status == APR_SUCCESS) {
        status = bs_store_remove(c->store, &op.caller, &spot.key, 0);
    }
    return bs_cache_end(&op, status);
}

/* ---- numbers ---- */

/** Others may have changed it since it was loaded: APR_EMISMATCH, APR_NOTFOUND. */
static apr_status_t count_on(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                             const bsession_record_t *stored, apr_int64_t by, apr_int64_t *now)
{
    bsession_record_t record = *stored;
    bsession_save_t save = { .mode = BSESSION_MERGE, .base = stored->revision, .record = &record };
    bsession_saved_t saved;
    bs_table_t table;
    apr_status_t status;

    bs_table_init(&table, op->caller.pool, 0, 0);
    bs_table_adopt(&table, &stored->fields);
    status = bs_table_incr(&table, bs_cache_field.data, bs_cache_field.len, by, now);
    if (status != APR_SUCCESS || table.nchanges == 0) {
        return status;
    }
    record.fields = table.fields;
    record.expires = BSESSION_KEEP;
    save.changes = table.changes;
    save.nchanges = (apr_size_t)table.nchanges;
    status = bs_store_save(op->c->store, &op->caller, &spot->key, &save, &saved);
    if (status == APR_SUCCESS && saved.incr) {
        *now = saved.incr[0];
    }
    return status;
}

/** APR_EEXIST: others did so. */
static apr_status_t count_from_zero(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                                    apr_int64_t by, apr_time_t expires, apr_int64_t *now)
{
    bsession_bytes_t value;

    value.data = apr_psprintf(op->caller.pool, "%" APR_INT64_T_FMT, by);
    value.len = strlen(value.data);
    *now = by;
    return bs_cache_put(op, spot, BSESSION_CREATE, &value, expires);
}

static apr_status_t count_once(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                               apr_int64_t by, apr_time_t expires, apr_int64_t *now)
{
    bsession_record_t record;
    apr_status_t status = bs_cache_look(op, spot, &record, op->caller.pool);

    if (status == APR_SUCCESS) {
        return count_on(op, spot, &record, by, now);
    }
    if (status == BSESSION_ECORRUPT) {
        status = bs_cache_make_room(op, spot, record.revision);
    }
    return bs_is_outage(status) ? status : count_from_zero(op, spot, by, expires, now);
}

static int others_were_faster(apr_status_t status)
{
    return status == APR_EMISMATCH || status == APR_EEXIST || status == APR_NOTFOUND;
}

apr_status_t bs_cache_incr(const bs_cache_t *c, const bsession_bytes_t *key, apr_int64_t by,
                           apr_interval_time_t life, apr_int64_t *now)
{
    apr_time_t expires;
    apr_status_t status = end_of_life(&expires, c, life);
    apr_int64_t number;
    bs_cache_spot_t spot;
    bs_cache_op_t op;
    int tries;

    if (status != APR_SUCCESS) {
        return status;
    }
    status = begin_at(&op, &spot, c, key, 1);
    for (tries = 0; status == APR_SUCCESS; tries++) {
        status = count_once(&op, &spot, by, expires, &number);
        if (!others_were_faster(status)) {
            break;
        }
        status = bs_cache_try_again(&op, tries) ? APR_SUCCESS : APR_TIMEUP;
    }
    if (status == APR_SUCCESS && now) {
        *now = number;
    }
    return bs_cache_end(&op, status);
}

/* ---- several at once ---- */

/** What a row of calls comes to, and whether it goes on: not after an outage that has taken all of
 *  one call's time. */
typedef struct {
    apr_status_t first;                 /* that is neither success nor a miss */
    apr_status_t outage;
    apr_time_t   patience;
} row_t;

static apr_status_t note(row_t *row, apr_status_t *statuses, int i, apr_status_t status)
{
    if (statuses) {
        statuses[i] = status;
    }
    if (row->first == APR_SUCCESS && status != APR_SUCCESS && status != APR_NOTFOUND) {
        row->first = status;
    }
    if (bs_is_outage(status)) {
        row->outage = status;
    }
    return status;
}

static int goes_on(const row_t *row)
{
    return row->outage == APR_SUCCESS || apr_time_now() < row->patience;
}

apr_status_t bs_cache_get_many(const bs_cache_t *c, const bsession_bytes_t *keys, int n,
                               bsession_bytes_t *values, apr_status_t *statuses)
{
    apr_status_t first = APR_SUCCESS;
    bs_caller_t caller = { .pool = c->pool, .where = c->where, .seal = c->seal };
    bs_cache_op_t op;
    apr_status_t status = bs_cache_begin(&op, c, 0);
    bsession_record_t *records = apr_pcalloc(op.caller.pool, (apr_size_t)n * sizeof *records);
    apr_status_t *found = apr_pcalloc(op.caller.pool, (apr_size_t)n * sizeof *found);
    bsession_key_t *where = apr_palloc(op.caller.pool, (apr_size_t)n * sizeof *where);
    bs_cache_spot_t *spots = apr_palloc(op.caller.pool, (apr_size_t)n * sizeof *spots);
    int i;

    for (i = 0; i < n && status == APR_SUCCESS; i++) {
        status = bs_cache_locate(&spots[i], &op, BS_CACHE_ENTRY, &keys[i]);
        where[i] = spots[i].key;
    }
    if (status == APR_SUCCESS) {
        bs_store_load_many(c->store, &caller, where, n, records, found);
    }
    for (i = 0; i < n; i++) {
        apr_status_t one = status;

        if (status == APR_SUCCESS) {
            one = bs_cache_judge(&op, &spots[i], found[i], &records[i]);
        }
        one = one == BSESSION_ECORRUPT ? APR_NOTFOUND : one;
        if (first == APR_SUCCESS && one != APR_NOTFOUND) {
            first = one;
        }
        if (statuses) {
            statuses[i] = one;
        }
        values[i].data = one == APR_SUCCESS ? records[i].fields.list[0].value.data : NULL;
        values[i].len = one == APR_SUCCESS ? records[i].fields.list[0].value.len : 0;
    }
    return bs_cache_end(&op, first);
}

apr_status_t bs_cache_set_many(const bs_cache_t *c, const bsession_bytes_t *keys, int n,
                               const bsession_bytes_t *values, apr_interval_time_t life,
                               apr_status_t *statuses)
{
    row_t row = { .patience = apr_time_now() + c->store->timeout };
    int i;

    for (i = 0; i < n; i++) {
        note(&row, statuses, i,
             goes_on(&row) ? bs_cache_set(c, &keys[i], &values[i], life) : row.outage);
    }
    return row.first;
}

apr_status_t bs_cache_delete_many(const bs_cache_t *c, const bsession_bytes_t *keys, int n,
                                  apr_status_t *statuses)
{
    row_t row = { .patience = apr_time_now() + c->store->timeout };
    int i;

    for (i = 0; i < n; i++) {
        note(&row, statuses, i, goes_on(&row) ? bs_cache_delete(c, &keys[i]) : row.outage);
    }
    return row.first;
}

/* ---- all of a cache ---- */

typedef struct {
    bsession_key_t key;
    apr_uint64_t   revision;
} found_t;

/** A walk over the records of all caches: what one slice of it met. */
typedef struct {
    const bs_cache_t   *c;
    apr_pool_t         *pool;
    apr_array_header_t *found;          /* to be cleared */
    bs_cache_visitor_t *visit;          /* or NULL */
    void               *baton;
} walk_t;

static apr_status_t meet(void *baton, const bsession_key_t *key, const bsession_record_t *record)
{
    walk_t *walk = baton;
    bsession_bytes_t entry;

    if (walk->visit) {
        return bs_cache_entry(walk->c, record, &entry)
               ? walk->visit(walk->baton, &entry, &record->fields.list[0].value) : APR_SUCCESS;
    }
    if (bs_cache_owns(walk->c, &record->meta)) {
        found_t *found = apr_array_push(walk->found);

        found->key = *key;
        found->revision = record->revision;
    }
    return APR_SUCCESS;
}

/** At the revision that was seen: an entry that somebody has set since is not the one to clear. */
static apr_status_t remove_found(const walk_t *walk, const bs_caller_t *caller)
{
    apr_status_t status = APR_SUCCESS;
    int i;

    for (i = 0; i < walk->found->nelts && !bs_is_outage(status); i++) {
        const found_t *found = &APR_ARRAY_IDX(walk->found, i, found_t);

        status = bs_store_remove(walk->c->store, caller, &found->key, found->revision);
    }
    return bs_is_outage(status) ? status : APR_SUCCESS;
}

/** Each slice, and each removal, has the store's whole time. */
static apr_status_t go_over(walk_t *walk)
{
    bsession_cursor_t cursor = { 0 };
    bs_caller_t caller = { .where = walk->c->where, .seal = walk->c->seal };
    apr_status_t status = APR_SUCCESS;

    apr_pool_create(&walk->pool, walk->c->pool);
    caller.pool = walk->pool;
    while (status == APR_SUCCESS && !cursor.done) {
        walk->found = apr_array_make(walk->pool, 64, sizeof(found_t));
        status = bs_store_scan(walk->c->store, &caller, 'c', &cursor, meet, walk);
        if (status == APR_SUCCESS) {
            status = remove_found(walk, &caller);
        }
        apr_pool_clear(walk->pool);
    }
    if (status == APR_ENOTIMPL && !walk->visit) {
        status = bs_cache_forget_generation(walk->c, &caller);
    }
    apr_pool_destroy(walk->pool);
    return status;
}

apr_status_t bs_cache_clear(const bs_cache_t *c)
{
    walk_t walk = { .c = c };

    return go_over(&walk);
}

apr_status_t bs_cache_each(const bs_cache_t *c, bs_cache_visitor_t *visit, void *baton)
{
    walk_t walk = { .c = c, .visit = visit, .baton = baton };

    return go_over(&walk);
}
