/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "record.h"

#include <limits.h>
#include <string.h>

#define RECORD_HEAD 11      /* version, epoch, length of meta, number of fields */
#define FIELD_HEAD  6       /* the two lengths */
#define FIELD_LEAST 8       /* FIELD_HEAD and the two NULs: a field with nothing in it */

/* Bytes put together by hand mean the same on every machine, and need no alignment: stores hand us
 * whatever address they have. Compilers make one plain load or store of each of these. */

static void put16(unsigned char *to, apr_size_t number)
{
    to[0] = (unsigned char)number;
    to[1] = (unsigned char)(number >> 8);
}

static void put32(unsigned char *to, apr_uint32_t number)
{
    to[0] = (unsigned char)number;
    to[1] = (unsigned char)(number >> 8);
    to[2] = (unsigned char)(number >> 16);
    to[3] = (unsigned char)(number >> 24);
}

static apr_size_t get16(const unsigned char *from)
{
    return (apr_size_t)from[0] | (apr_size_t)from[1] << 8;
}

static apr_uint32_t get32(const unsigned char *from)
{
    return (apr_uint32_t)from[0] | (apr_uint32_t)from[1] << 8
           | (apr_uint32_t)from[2] << 16 | (apr_uint32_t)from[3] << 24;
}

apr_size_t bs_record_size(const bsession_record_t *record)
{
    return RECORD_HEAD + record->meta.len + (apr_size_t)record->fields.count * FIELD_LEAST
           + bsession_fields_bytes(&record->fields);
}

/* memcpy of nothing from a NULL pointer is undefined, and an empty value may have one. */
static unsigned char *put_bytes(unsigned char *to, const bsession_bytes_t *bytes)
{
    if (bytes->len) {
        memcpy(to, bytes->data, bytes->len);
    }
    return to + bytes->len;
}

void bs_record_write(const bsession_record_t *record, void *to)
{
    unsigned char *at = to;
    int i;

    at[0] = BS_RECORD_VERSION;
    put32(at + 1, record->epoch);
    put16(at + 5, record->meta.len);
    put32(at + 7, (apr_uint32_t)record->fields.count);
    at = put_bytes(at + RECORD_HEAD, &record->meta);
    for (i = 0; i < record->fields.count; i++) {
        const bsession_field_t *field = &record->fields.list[i];

        put16(at, field->name.len);
        put32(at + 2, (apr_uint32_t)field->value.len);
        at = put_bytes(at + FIELD_HEAD, &field->name);
        *at++ = '\0';
        at = put_bytes(at, &field->value);
        *at++ = '\0';
    }
}

/* Reads one field out of the `left` bytes at `at`; returns how many of them it took, 0 if what is
 * there is no field. Each length is compared with what is left, never added to a pointer first. */
static apr_size_t read_field(bsession_field_t *field, const unsigned char *at, apr_size_t left)
{
    apr_size_t name_len, value_len;
    const unsigned char *name, *value;

    if (left < FIELD_LEAST) {
        return 0;
    }
    name_len = get16(at);
    value_len = get32(at + 2);
    left -= FIELD_LEAST;
    if (name_len > left || value_len > left - name_len) {
        return 0;
    }
    name = at + FIELD_HEAD;
    value = name + name_len + 1;
    if (name[name_len] || value[value_len]) {
        return 0;
    }
    field->name.data = (const char *)name;
    field->name.len = name_len;
    field->value.data = (const char *)value;
    field->value.len = value_len;
    return FIELD_LEAST + name_len + value_len;
}

apr_status_t bs_record_read(bsession_record_t *record, const void *from, apr_size_t size,
                            apr_pool_t *pool)
{
    const unsigned char *head = from, *at, *end = head + size;
    bsession_field_t *list = NULL;
    apr_size_t meta_len, count, i;

    if (size < RECORD_HEAD || head[0] != BS_RECORD_VERSION) {
        return BSESSION_ECORRUPT;
    }
    meta_len = get16(head + 5);
    count = get32(head + 7);
    if (meta_len > size - RECORD_HEAD || count > INT_MAX
        || count > (size - RECORD_HEAD - meta_len) / FIELD_LEAST) {
        return BSESSION_ECORRUPT;
    }
    at = head + RECORD_HEAD + meta_len;
    if (count) {
        list = apr_palloc(pool, count * sizeof(*list));
    }
    for (i = 0; i < count; i++) {
        apr_size_t taken = read_field(&list[i], at, (apr_size_t)(end - at));

        if (!taken) {
            return BSESSION_ECORRUPT;
        }
        at += taken;
    }
    if (at != end) {
        return BSESSION_ECORRUPT;
    }
    record->epoch = get32(head + 1);
    record->meta.data = (const char *)head + RECORD_HEAD;
    record->meta.len = meta_len;
    record->fields.list = list;
    record->fields.count = (int)count;
    return APR_SUCCESS;
}

int bs_hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *bs_key_text(const bsession_key_t *key, char text[BSESSION_KEY_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *to = text;
    apr_size_t i;

    *to++ = key->space;
    for (i = 0; i < sizeof(key->bytes); i++) {
        *to++ = digits[key->bytes[i] >> 4];
        *to++ = digits[key->bytes[i] & 15];
    }
    *to = '\0';
    return text;
}
