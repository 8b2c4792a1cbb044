/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "seal.h"

#include <string.h>

#include "record.h"

#define FIRST   'S'
#define AROUND  (BS_NONCE_SIZE + BS_SEAL_TAG_SIZE)
/* space and bytes of the key, epoch, revision, meta */
#define BESIDE  (1 + 16 + 4 + 8 + BS_SEAL_META_SIZE)

/* A control character is part of no key, and what begins with _bs would be Redis's bookkeeping. */
const bsession_bytes_t bs_seal_field = { "\1sealed", 7 };

static void put(unsigned char *to, apr_uint64_t number, int size)
{
    int i;

    for (i = 0; i < size; i++) {
        to[i] = (unsigned char)(number >> 8 * i);
    }
}

static apr_uint32_t get32(const unsigned char *from)
{
    return (apr_uint32_t)from[0] | (apr_uint32_t)from[1] << 8
           | (apr_uint32_t)from[2] << 16 | (apr_uint32_t)from[3] << 24;
}

/** What the tag covers beside the record itself. */
static bsession_bytes_t put_beside(unsigned char to[BESIDE], const bsession_key_t *key,
                                   apr_uint32_t epoch, apr_uint64_t revision,
                                   const unsigned char *meta)
{
    bsession_bytes_t beside = { (const char *)to, BESIDE };

    to[0] = (unsigned char)key->space;
    memcpy(to + 1, key->bytes, sizeof key->bytes);
    put(to + 17, epoch, 4);
    put(to + 21, revision, 8);
    memcpy(to + 29, meta, BS_SEAL_META_SIZE);
    return beside;
}

/* ---- in ---- */

static int is_over_a_limit(const bsession_save_t *save)
{
    return (save->max_bytes && bsession_fields_bytes(&save->record->fields) > save->max_bytes)
        || (save->max_fields && (apr_size_t)save->record->fields.count > save->max_fields);
}

static apr_uint64_t revision_after(const bsession_save_t *save)
{
    return save->mode == BSESSION_CREATE || save->mode == BSESSION_PUT ? save->base : save->base + 1;
}

apr_status_t bs_seal_close(const bs_keys_t *keys, const bsession_key_t *key, const bsession_save_t *plain,
                           bsession_save_t *save, bsession_record_t *record, apr_pool_t *pool)
{
    const bs_secret_t *secret = &keys->list[0];
    bs_cipher_name_t name = { .day = (apr_uint32_t)(apr_time_sec(apr_time_now()) / 86400) };
    apr_size_t len = bs_record_size(plain->record);
    unsigned char *meta, *sealed, beside[BESIDE];
    bsession_bytes_t covered;
    apr_status_t status;

    if (is_over_a_limit(plain)) {
        return APR_ENOSPC;
    }
    meta = apr_palloc(pool, BS_SEAL_META_SIZE);
    meta[0] = FIRST;
    meta[1] = BS_SEAL_VERSION;
    memcpy(meta + 2, secret->id, BS_KEY_ID_SIZE);
    put(meta + 6, name.day, 4);
    memcpy(name.base, secret->seal, sizeof name.base);
    covered = put_beside(beside, key, plain->record->epoch, revision_after(plain), meta);
    sealed = apr_palloc(pool, len + AROUND);
    bs_record_write(plain->record, sealed + BS_NONCE_SIZE);
    status = bs_random_bytes(sealed, BS_NONCE_SIZE);
    if (status == APR_SUCCESS) {
        status = bs_encrypt(&name, sealed, &covered, sealed + BS_NONCE_SIZE, len,
                            sealed + BS_NONCE_SIZE + len);
    }
    *record = *plain->record;
    record->meta.data = (const char *)meta;
    record->meta.len = BS_SEAL_META_SIZE;
    record->fields.list = apr_palloc(pool, sizeof *record->fields.list);
    record->fields.list[0].name = bs_seal_field;
    record->fields.list[0].value.data = (const char *)sealed;
    record->fields.list[0].value.len = len + AROUND;
    record->fields.count = 1;
    memset(save, 0, sizeof *save);
    save->mode = plain->mode == BSESSION_MERGE ? BSESSION_REPLACE : plain->mode;
    save->base = plain->base;
    save->record = record;
    return status;
}

/* ---- out ---- */

/** Its one field, or NULL. */
static const bsession_bytes_t *sealed_field(const bsession_record_t *record)
{
    const bsession_field_t *field = record->fields.list;

    return record->fields.count == 1 && field->value.len >= AROUND
           && record->meta.len == BS_SEAL_META_SIZE && record->meta.data[0] == FIRST
           && record->meta.data[1] == BS_SEAL_VERSION
           && field->name.len == bs_seal_field.len
           && memcmp(field->name.data, bs_seal_field.data, bs_seal_field.len) == 0
           ? &field->value : NULL;
}

/** With each secret of this id, which are few bytes: two may have the same. */
static apr_status_t decrypt(const bs_keys_t *keys, const bsession_bytes_t *beside,
                            const unsigned char *meta, const bsession_bytes_t *sealed,
                            unsigned char *to)
{
    const unsigned char *nonce = (const unsigned char *)sealed->data;
    apr_size_t len = sealed->len - AROUND;
    apr_status_t status = BSESSION_ECORRUPT;
    int i;

    for (i = 0; i < keys->count && status == BSESSION_ECORRUPT; i++) {
        bs_cipher_name_t name = { .day = get32(meta + 6) };

        if (memcmp(meta + 2, keys->list[i].id, BS_KEY_ID_SIZE) == 0) {
            memcpy(name.base, keys->list[i].seal, sizeof name.base);
            status = bs_decrypt(&name, nonce, beside, nonce + BS_NONCE_SIZE, len,
                                nonce + BS_NONCE_SIZE + len, to);
        }
    }
    return status;
}

apr_status_t bs_seal_open(const bs_keys_t *keys, const bsession_key_t *key, bsession_record_t *record,
                          apr_pool_t *pool)
{
    const bsession_bytes_t *sealed = sealed_field(record);
    const unsigned char *meta = (const unsigned char *)record->meta.data;
    bsession_record_t plain = *record;
    unsigned char beside[BESIDE], *bytes;
    bsession_bytes_t covered;
    apr_status_t status;

    if (!sealed) {
        return BSESSION_ECORRUPT;
    }
    covered = put_beside(beside, key, record->epoch, record->revision, meta);
    bytes = apr_palloc(pool, sealed->len - AROUND + 1);
    status = decrypt(keys, &covered, meta, sealed, bytes);
    if (status == APR_SUCCESS) {
        status = bs_record_read(&plain, bytes, sealed->len - AROUND, pool);
    }
    if (status == APR_SUCCESS) {
        *record = plain;
    }
    return status;
}
