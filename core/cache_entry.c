/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "cache_entry.h"

#include <string.h>

#include "log.h"
#include "token.h"

#define FIXED         12
#define GENERATION_AT 4

const bsession_bytes_t bs_cache_field = { "v", 1 };

/* ---- places ---- */

static void put_head(unsigned char *meta, const bs_cache_op_t *op, bs_cache_kind_t kind)
{
    meta[0] = BS_CACHE_VERSION;
    meta[1] = (unsigned char)kind;
    meta[2] = (unsigned char)op->c->name.len;
    meta[3] = (unsigned char)(op->c->name.len >> 8);
    memcpy(meta + GENERATION_AT, op->generation, BS_CACHE_GENERATION_SIZE);
    memcpy(meta + FIXED, op->c->name.data, op->c->name.len);
}

apr_status_t bs_cache_locate(bs_cache_spot_t *spot, const bs_cache_op_t *op, bs_cache_kind_t kind,
                             const bsession_bytes_t *key)
{
    unsigned char long_key[BS_SHA256_SIZE], digest[BS_SHA256_SIZE];
    bsession_bytes_t shown = *key;
    unsigned char *meta;

    if (key->len > BS_CACHE_KEY_MAX) {
        if (bs_sha256(key, long_key) != APR_SUCCESS) {
            return APR_EGENERAL;
        }
        shown.data = (const char *)long_key;
        shown.len = sizeof long_key;
        kind = BS_CACHE_DIGEST;
    }
    spot->meta.len = FIXED + op->c->name.len + shown.len;
    meta = apr_palloc(op->caller.pool, spot->meta.len);
    put_head(meta, op, kind);
    if (shown.len) {
        memcpy(meta + FIXED + op->c->name.len, shown.data, shown.len);
    }
    spot->meta.data = (const char *)meta;
    if (bs_sha256(&spot->meta, digest) != APR_SUCCESS) {
        return APR_EGENERAL;
    }
    spot->key.space = 'c';
    memcpy(spot->key.bytes, digest, sizeof spot->key.bytes);
    return APR_SUCCESS;
}

static int is_kind(unsigned char byte)
{
    return byte == BS_CACHE_ENTRY || byte == BS_CACHE_DIGEST || byte == BS_CACHE_GENERATION;
}

static int is_meta(const bsession_bytes_t *meta)
{
    const unsigned char *byte = (const unsigned char *)meta->data;

    return meta->len >= FIXED && byte[0] == BS_CACHE_VERSION && is_kind(byte[1])
        && meta->len - FIXED >= (apr_size_t)(byte[2] | byte[3] << 8);
}

static int is_entry(const bsession_record_t *record)
{
    const bsession_field_t *field = record->fields.list;

    return is_meta(&record->meta) && record->fields.count == 1
        && field->name.len == bs_cache_field.len
        && memcmp(field->name.data, bs_cache_field.data, bs_cache_field.len) == 0
        && (record->meta.data[1] != BS_CACHE_GENERATION
            || field->value.len == BS_CACHE_GENERATION_SIZE);
}

int bs_cache_owns(const bs_cache_t *c, const bsession_bytes_t *meta)
{
    const unsigned char *byte = (const unsigned char *)meta->data;

    return is_meta(meta) && (apr_size_t)(byte[2] | byte[3] << 8) == c->name.len
        && memcmp(byte + FIXED, c->name.data, c->name.len) == 0;
}

int bs_cache_entry(const bs_cache_t *c, const bsession_record_t *record, bsession_bytes_t *key)
{
    if (!bs_cache_owns(c, &record->meta) || !is_entry(record)
        || record->meta.data[1] != BS_CACHE_ENTRY) {
        return 0;
    }
    key->data = record->meta.data + FIXED + c->name.len;
    key->len = record->meta.len - FIXED - c->name.len;
    return 1;
}

/* ---- records ---- */

apr_status_t bs_cache_judge(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                            apr_status_t status, bsession_record_t *record)
{
    char tag[BS_TAG_SIZE];

    if (status == APR_SUCCESS && is_entry(record)) {
        return record->meta.len == spot->meta.len
               && memcmp(record->meta.data, spot->meta.data, spot->meta.len) == 0
               ? APR_SUCCESS : BSESSION_ECORRUPT;
    }
    if (status == BSESSION_ECORRUPT) {
        record->revision = 0;
    }
    if (status == APR_SUCCESS || status == BSESSION_ECORRUPT) {
        bs_key_tag(&spot->key, tag);
        bs_log(op->c->where, BS_LOG_WARNING, "store %s: the record of cache entry %s is damaged: "
               "the entry is taken for absent", op->c->store->name, tag);
        return BSESSION_ECORRUPT;
    }
    return status;
}

apr_status_t bs_cache_look(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                           bsession_record_t *record, apr_pool_t *pool)
{
    bs_caller_t caller = op->caller;
    apr_status_t status;

    caller.pool = pool;
    status = bs_store_load(op->c->store, &caller, &spot->key, record);
    return bs_cache_judge(op, spot, status, record);
}

apr_status_t bs_cache_put(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                          bsession_save_mode_t mode, const bsession_bytes_t *value,
                          apr_time_t expires)
{
    bsession_field_t field = { bs_cache_field, { value->len ? value->data : "", value->len } };
    bsession_record_t record = { .expires = expires, .meta = spot->meta, .fields = { &field, 1 } };
    bsession_save_t save = { .mode = mode, .record = &record };
    bsession_saved_t saved;
    apr_status_t status = bs_random_revision(&save.base);

    if (status == APR_SUCCESS) {
        record.epoch = (apr_uint32_t)save.base;
        status = bs_store_save(op->c->store, &op->caller, &spot->key, &save, &saved);
    }
    return status;
}

apr_status_t bs_cache_make_room(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                                apr_uint64_t revision)
{
    apr_status_t status = bs_store_remove(op->c->store, &op->caller, &spot->key, revision);

    return bs_is_outage(status) ? status : APR_SUCCESS;
}

int bs_cache_try_again(const bs_cache_op_t *op, int tries)
{
    if (apr_time_now() >= op->caller.deadline) {
        return 0;
    }
    bs_store_pause(tries, op->caller.deadline);
    return 1;
}

apr_status_t bs_cache_put_absent(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                                 const bsession_bytes_t *value, apr_time_t expires)
{
    bsession_record_t record;
    apr_status_t status;
    int tries = 0;

    do {
        status = bs_cache_put(op, spot, BSESSION_CREATE, value, expires);
        if (status != APR_EEXIST && status != BSESSION_ECORRUPT) {
            return status;
        }
        status = bs_cache_look(op, spot, &record, op->caller.pool);
        if (status == APR_SUCCESS) {
            return APR_EEXIST;
        }
        if (status == BSESSION_ECORRUPT) {
            status = bs_cache_make_room(op, spot, record.revision);
        }
        if (bs_is_outage(status)) {
            return status;
        }
    } while (bs_cache_try_again(op, tries++));
    return APR_TIMEUP;
}

/* ---- one call ---- */

/** APR_NOTFOUND: there is none, so nothing is in this cache, and nobody asked to `make` one. */
static apr_status_t find_generation(bs_cache_op_t *op, int make)
{
    static const bsession_bytes_t none = { "", 0 };
    unsigned char fresh[BS_CACHE_GENERATION_SIZE];
    bsession_bytes_t value = { (const char *)fresh, sizeof fresh };
    bsession_record_t record;
    bs_cache_spot_t spot;
    apr_status_t status = bs_cache_locate(&spot, op, BS_CACHE_GENERATION, &none);
    int tries = 0;

    if (status == APR_SUCCESS) {
        status = bs_random_bytes(fresh, sizeof fresh);
    }
    while (status == APR_SUCCESS) {
        status = bs_cache_look(op, &spot, &record, op->caller.pool);
        if (status == APR_SUCCESS) {
            memcpy(op->generation, record.fields.list[0].value.data, BS_CACHE_GENERATION_SIZE);
            return APR_SUCCESS;
        }
        if (bs_is_outage(status) || !make) {
            return bs_is_outage(status) ? status : APR_NOTFOUND;
        }
        status = bs_cache_put_absent(op, &spot, &value, 0);
        if (status == APR_SUCCESS) {
            memcpy(op->generation, fresh, BS_CACHE_GENERATION_SIZE);
            return APR_SUCCESS;
        }
        if (status == APR_EEXIST) {
            status = bs_cache_try_again(op, tries++) ? APR_SUCCESS : APR_TIMEUP;
        }
    }
    return status;
}

apr_status_t bs_cache_begin(bs_cache_op_t *op, const bs_cache_t *c, int make)
{
    apr_status_t status;

    memset(op, 0, sizeof *op);
    op->c = c;
    apr_pool_create(&op->caller.pool, c->pool);
    op->caller.where = c->where;
    op->caller.seal = c->seal;
    op->caller.deadline = apr_time_now() + c->store->timeout;
    status = bs_store_can_scan(c->store, &op->caller);
    return status == APR_ENOTIMPL ? find_generation(op, make) : status;
}

apr_status_t bs_cache_end(bs_cache_op_t *op, apr_status_t status)
{
    apr_pool_destroy(op->caller.pool);
    return status == BSESSION_ECORRUPT ? APR_NOTFOUND : status;
}

apr_status_t bs_cache_forget_generation(const bs_cache_t *c, const bs_caller_t *caller)
{
    static const bsession_bytes_t none = { "", 0 };
    bs_cache_op_t op = { .c = c, .caller = *caller };
    bs_cache_spot_t spot;
    apr_status_t status = bs_cache_locate(&spot, &op, BS_CACHE_GENERATION, &none);

    if (status == APR_SUCCESS) {
        status = bs_store_remove(c->store, caller, &spot.key, 0);
    }
    return status == APR_NOTFOUND ? APR_SUCCESS : status;
}
