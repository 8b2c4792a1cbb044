/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The record codec. Any bytes: they are refused, or they are what record_write makes of what was
 * read. And any record: it is read again as it was written. */

#include <string.h>

#include <apr_general.h>

#include "fuzz.h"
#include "record.h"

static apr_pool_t *pool;

static int bytes_equal(const bsession_bytes_t *a, const bsession_bytes_t *b)
{
    return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

static int is_inside(const bsession_bytes_t *bytes, const uint8_t *block, size_t size)
{
    const uint8_t *data = (const uint8_t *)bytes->data;

    return data >= block && data <= block + size && bytes->len <= (size_t)(block + size - data);
}

/* A block of exactly the record's size, so that a sanitizer sees a step beyond it. */
static uint8_t *write_record(const bsession_record_t *record, size_t *size)
{
    uint8_t *block;

    *size = bs_record_size(record);
    block = malloc(*size);
    MUST(block);
    bs_record_write(record, block);
    return block;
}

static void read_any(const uint8_t *data, size_t size)
{
    bsession_record_t record = { .expires = 5, .revision = 7 };
    apr_status_t rv = bs_record_read(&record, data, size, pool);
    uint8_t *again;
    size_t again_size;
    int i;

    MUST(record.expires == 5 && record.revision == 7);
    if (rv != APR_SUCCESS) {
        MUST(rv == BSESSION_ECORRUPT);
        MUST(!record.fields.list && !record.meta.data);
        return;
    }
    MUST(is_inside(&record.meta, data, size));
    for (i = 0; i < record.fields.count; i++) {
        const bsession_field_t *field = &record.fields.list[i];

        MUST(is_inside(&field->name, data, size) && !field->name.data[field->name.len]);
        MUST(is_inside(&field->value, data, size) && !field->value.data[field->value.len]);
    }
    again = write_record(&record, &again_size);
    MUST(again_size == size && !memcmp(again, data, size));
    free(again);
}

/* The next bytes of the input: one says how many. */
static bsession_bytes_t take(const uint8_t **data, size_t *size)
{
    bsession_bytes_t taken = { "", 0 };

    if (*size) {
        taken.len = **data;
        ++*data;
        --*size;
        if (taken.len > *size) {
            taken.len = *size;
        }
        taken.data = (const char *)*data;
        *data += taken.len;
        *size -= taken.len;
    }
    return taken;
}

static void write_any(const uint8_t *data, size_t size)
{
    bsession_field_t list[32];
    bsession_record_t record = { .epoch = (apr_uint32_t)size * 0x01020304u }, again = { 0 };
    size_t written;
    uint8_t *block;
    int i;

    record.meta = take(&data, &size);
    record.fields.list = list;
    while (size && record.fields.count < 32) {
        list[record.fields.count].name = take(&data, &size);
        list[record.fields.count++].value = take(&data, &size);
    }
    block = write_record(&record, &written);
    MUST(bs_record_read(&again, block, written, pool) == APR_SUCCESS);
    MUST(again.epoch == record.epoch && bytes_equal(&again.meta, &record.meta));
    MUST(again.fields.count == record.fields.count);
    for (i = 0; i < record.fields.count; i++) {
        MUST(bytes_equal(&again.fields.list[i].name, &list[i].name));
        MUST(bytes_equal(&again.fields.list[i].value, &list[i].value));
    }
    /* Nor is a shorter text of it a record. */
    MUST(bs_record_read(&again, block, written - 1, pool) == BSESSION_ECORRUPT);
    free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!pool) {
        MUST(apr_initialize() == APR_SUCCESS);
        MUST(apr_pool_create(&pool, NULL) == APR_SUCCESS);
    }
    read_any(data, size);
    write_any(data, size);
    apr_pool_clear(pool);
    return 0;
}
