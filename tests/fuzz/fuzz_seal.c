/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Sealed records. Any bytes where one should be: they are refused, and the record stays what it
 * was. One that was sealed and then changed in one place: refused, too. And any bytes that were
 * truly sealed: they are refused, or they are a record. */

#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "fuzz.h"
#include "record.h"
#include "seal.h"

static apr_pool_t *pool;
static bs_keys_t keys;
static const bsession_key_t key = { 's', { 1, 2, 3 } };

static void begin(void)
{
    static const bsession_bytes_t secret = { "0123456789abcdef0123456789abcdef", 32 };
    static const unsigned char realm[BS_REALM_SIZE] = { 1 };

    if (!pool) {
        MUST(apr_initialize() == APR_SUCCESS && bs_crypto_init() == APR_SUCCESS);
        MUST(apr_pool_create(&pool, NULL) == APR_SUCCESS);
        MUST(bs_keys_derive(&keys, &secret, 1, realm) == APR_SUCCESS);
    }
    apr_pool_clear(pool);
}

/* In a block of its own size, so that a sanitizer sees a step beyond its end. */
static bsession_bytes_t block(const uint8_t *data, size_t size)
{
    char *copy = malloc(size ? size : 1);
    bsession_bytes_t bytes = { copy, size };

    MUST(copy);
    if (size) {
        memcpy(copy, data, size);
    }
    return bytes;
}

static void opens_or_stays(bsession_record_t *record)
{
    bsession_record_t before = *record;
    apr_status_t status = bs_seal_open(&keys, &key, record, pool);

    MUST(status == APR_SUCCESS || status == BSESSION_ECORRUPT);
    MUST(status == APR_SUCCESS || !memcmp(record, &before, sizeof before));
    MUST(record->revision == before.revision && record->expires == before.expires);
}

/* Meta, and a field of that name or of another one. */
static void open_any(const uint8_t *data, size_t size)
{
    size_t first = size < BS_SEAL_META_SIZE ? size : BS_SEAL_META_SIZE;
    bsession_field_t fields[2] = { { bs_seal_field, block(data + first, size - first) } };
    bsession_record_t record = { .revision = 5, .meta = block(data, first), .fields = { fields, 1 } };
    const char *meta = record.meta.data, *value = fields[0].value.data;

    opens_or_stays(&record);
    record.fields.count = size & 1 ? 0 : 2;
    fields[1] = fields[0];
    opens_or_stays(&record);
    free((void *)meta);
    free((void *)value);
}

/* What these bytes say a session has in it, sealed: it opens, and with one bit changed it does
 * not. */
static void change_one(const uint8_t *data, size_t size)
{
    bsession_field_t field = { { "k", 1 }, { (const char *)data, size } };
    bsession_record_t plain = { .epoch = 1, .meta = { "m", 1 }, .fields = { &field, 1 } }, sealed, again;
    bsession_save_t save = { .mode = BSESSION_CREATE, .base = 7, .record = &plain }, out;
    size_t at = size ? data[0] | (size_t)data[size - 1] << 8 : 0;
    char *value;

    MUST(bs_seal_close(&keys, &key, &save, &out, &sealed, pool) == APR_SUCCESS);
    sealed.revision = 7;
    again = sealed;
    MUST(bs_seal_open(&keys, &key, &again, pool) == APR_SUCCESS);
    MUST(again.fields.count == 1 && again.fields.list[0].value.len == size);
    MUST(!size || !memcmp(again.fields.list[0].value.data, data, size));
    value = (char *)sealed.fields.list[0].value.data;
    value[at % sealed.fields.list[0].value.len] ^= (char)(1 << (at & 7));
    again = sealed;
    MUST(bs_seal_open(&keys, &key, &again, pool) == BSESSION_ECORRUPT);
}

/* As who has the secret could seal them. */
static void open_sealed(const uint8_t *data, size_t size)
{
    bsession_record_t record = { .meta = { "", 0 } }, sealed;
    bsession_save_t save = { .mode = BSESSION_CREATE, .base = 7, .record = &record }, out;
    unsigned char beside[1 + 16 + 4 + 8 + BS_SEAL_META_SIZE] = { 0 }, *bytes;
    bsession_bytes_t covered = { (const char *)beside, sizeof beside };
    bs_cipher_name_t name;
    const char *meta;

    MUST(bs_seal_close(&keys, &key, &save, &out, &sealed, pool) == APR_SUCCESS);
    meta = sealed.meta.data;
    beside[0] = (unsigned char)key.space;
    memcpy(beside + 1, key.bytes, sizeof key.bytes);
    beside[21] = 7;
    memcpy(beside + 29, meta, BS_SEAL_META_SIZE);
    memset(&name, 0, sizeof name);
    memcpy(name.base, keys.list[0].seal, sizeof name.base);
    name.day = (apr_uint32_t)(unsigned char)meta[6] | (apr_uint32_t)(unsigned char)meta[7] << 8
               | (apr_uint32_t)(unsigned char)meta[8] << 16;
    bytes = apr_pcalloc(pool, BS_NONCE_SIZE + size + BS_SEAL_TAG_SIZE);
    memcpy(bytes + BS_NONCE_SIZE, data, size);
    MUST(bs_encrypt(&name, bytes, &covered, bytes + BS_NONCE_SIZE, size, bytes + BS_NONCE_SIZE + size)
         == APR_SUCCESS);
    sealed.fields.list[0].value.data = (const char *)bytes;
    sealed.fields.list[0].value.len = BS_NONCE_SIZE + size + BS_SEAL_TAG_SIZE;
    sealed.revision = 7;
    record = sealed;
    MUST((bs_seal_open(&keys, &key, &sealed, pool) == APR_SUCCESS)
         == (bs_record_read(&record, apr_pmemdup(pool, data, size), size, pool) == APR_SUCCESS));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    begin();
    open_any(data, size);
    change_one(data, size);
    open_sealed(data, size);
    return 0;
}
