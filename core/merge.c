/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "merge.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#define NUMBER_TEXT_MAX 24

void bs_table_init(bs_table_t *table, apr_pool_t *pool, apr_size_t max_bytes,
                   apr_size_t max_fields)
{
    memset(table, 0, sizeof *table);
    table->pool = pool;
    table->max_bytes = max_bytes;
    table->max_fields = max_fields;
}

void bs_table_adopt(bs_table_t *table, const bsession_fields_t *loaded)
{
    table->fields = *loaded;
    table->room = 0;
    table->bytes = bsession_fields_bytes(loaded);
    table->nchanges = 0;
}

void bs_table_saved(bs_table_t *table)
{
    table->nchanges = 0;
    table->room = 0;                 /* the record keeps this list; the next change makes another */
}

/* ---- names and numbers ---- */

/** The length of the UTF-8 character that begins here, or 0: overlong forms, surrogates and what
 *  lies beyond U+10FFFF are none. */
static apr_size_t utf8_length(const unsigned char *c, apr_size_t left)
{
    apr_size_t len, i;
    unsigned char low = 0x80, high = 0xBF;

    if (c[0] < 0x80) {
        return 1;
    }
    if (c[0] >= 0xC2 && c[0] <= 0xDF) {
        len = 2;
    }
    else if (c[0] >= 0xE0 && c[0] <= 0xEF) {
        len = 3;
        low = c[0] == 0xE0 ? 0xA0 : 0x80;
        high = c[0] == 0xED ? 0x9F : 0xBF;
    }
    else if (c[0] >= 0xF0 && c[0] <= 0xF4) {
        len = 4;
        low = c[0] == 0xF0 ? 0x90 : 0x80;
        high = c[0] == 0xF4 ? 0x8F : 0xBF;
    }
    else {
        return 0;
    }
    if (left < len || c[1] < low || c[1] > high) {
        return 0;
    }
    for (i = 2; i < len; i++) {
        if (c[i] < 0x80 || c[i] > 0xBF) {
            return 0;
        }
    }
    return len;
}

/** UTF-8 without control characters. */
static int is_text(const char *text, apr_size_t len)
{
    const unsigned char *c = (const unsigned char *)text;
    apr_size_t i, step;

    for (i = 0; i < len; i += step) {
        step = utf8_length(c + i, len - i);
        if (step == 0 || c[i] < 0x20 || c[i] == 0x7F
            || (c[i] == 0xC2 && c[i + 1] < 0xA0)) {     /* C1 controls */
            return 0;
        }
    }
    return 1;
}

int bs_key_valid(const char *name, apr_size_t len)
{
    return len > 0 && len <= BS_KEY_MAX && !(len >= 3 && memcmp(name, "_bs", 3) == 0)
           && is_text(name, len);
}

int bs_owner_valid(const char *name, apr_size_t len)
{
    return len > 0 && len <= BS_OWNER_MAX && is_text(name, len);
}

int bs_number_parse(apr_int64_t *number, const char *text, apr_size_t len)
{
    int negative = len > 0 && text[0] == '-';
    apr_uint64_t limit = (apr_uint64_t)APR_INT64_MAX + negative;
    apr_uint64_t value = 0;
    apr_size_t i = negative;

    if (len == 1 && text[0] == '0') {
        *number = 0;
        return 1;
    }
    if (i >= len || text[i] < '1' || text[i] > '9') {
        return 0;
    }
    for (; i < len; i++) {
        unsigned digit = (unsigned char)text[i] - '0';

        if (digit > 9 || value > (limit - digit) / 10) {
            return 0;
        }
        value = value * 10 + digit;
    }
    *number = negative ? (apr_int64_t)(0 - value) : (apr_int64_t)value;
    return 1;
}

/* ---- fields ---- */

static int same_name(const bsession_bytes_t *name, const char *other, apr_size_t len)
{
    return name->len == len && memcmp(name->data, other, len) == 0;
}

static int find_index(const bsession_fields_t *fields, const char *name, apr_size_t len)
{
    int i;

    for (i = 0; i < fields->count; i++) {
        if (same_name(&fields->list[i].name, name, len)) {
            return i;
        }
    }
    return -1;
}

const bsession_field_t *bs_table_find(const bs_table_t *table, const char *name, apr_size_t len)
{
    int i = find_index(&table->fields, name, len);

    return i < 0 ? NULL : &table->fields.list[i];
}

static bsession_bytes_t keep_bytes(bs_table_t *table, const void *data, apr_size_t len)
{
    bsession_bytes_t bytes;

    bytes.data = apr_pstrmemdup(table->pool, len ? data : "", len);
    bytes.len = len;
    return bytes;
}

static bsession_bytes_t number_bytes(bs_table_t *table, apr_int64_t number)
{
    char text[NUMBER_TEXT_MAX];
    int len = apr_snprintf(text, sizeof text, "%" APR_INT64_T_FMT, number);

    return keep_bytes(table, text, (apr_size_t)len);
}

/** The list that was loaded is not ours to write to, nor has it room: from the first change on the
 *  table has its own. */
static void own_fields(bs_table_t *table)
{
    if (table->fields.count >= table->room) {
        int room = table->fields.count * 2 + 8;
        bsession_field_t *list = apr_palloc(table->pool, (apr_size_t)room * sizeof *list);

        if (table->fields.count) {
            memcpy(list, table->fields.list, (apr_size_t)table->fields.count * sizeof *list);
        }
        table->fields.list = list;
        table->room = room;
    }
}

static int over_limits(const bs_table_t *table, apr_size_t bytes, int count)
{
    return (table->max_bytes && bytes > table->max_bytes)
        || (table->max_fields && (apr_size_t)count > table->max_fields);
}

/** Growing past a limit is refused; what is over it already (the limit was lowered) may shrink. */
static apr_status_t put_field(bs_table_t *table, const bsession_bytes_t *name,
                              const bsession_bytes_t *value)
{
    int i = find_index(&table->fields, name->data, name->len);
    apr_size_t bytes = table->bytes + value->len
                     + (i < 0 ? name->len : 0) - (i < 0 ? 0 : table->fields.list[i].value.len);

    if ((bytes > table->bytes || i < 0)
        && over_limits(table, bytes, table->fields.count + (i < 0))) {
        return APR_ENOSPC;
    }
    own_fields(table);
    if (i < 0) {
        i = table->fields.count++;
        table->fields.list[i].name = *name;
    }
    table->fields.list[i].value = *value;
    table->bytes = bytes;
    return APR_SUCCESS;
}

static void drop_field(bs_table_t *table, int i)
{
    own_fields(table);
    table->bytes -= table->fields.list[i].name.len + table->fields.list[i].value.len;
    table->fields.list[i] = table->fields.list[--table->fields.count];
}

static void drop_fields(bs_table_t *table)
{
    table->fields.count = 0;
    table->bytes = 0;
}

/* ---- the list of changes ---- */

static void note(bs_table_t *table, const bsession_change_t *change)
{
    if (table->nchanges == table->changes_room) {
        int room = table->changes_room * 2 + 8;
        bsession_change_t *list = apr_palloc(table->pool, (apr_size_t)room * sizeof *list);

        if (table->nchanges) {
            memcpy(list, table->changes, (apr_size_t)table->nchanges * sizeof *list);
        }
        table->changes = list;
        table->changes_room = room;
    }
    table->changes[table->nchanges++] = *change;
}

static bsession_change_t *last_change_of(const bs_table_t *table, const bsession_bytes_t *name)
{
    int i;

    for (i = table->nchanges; i-- > 0; ) {
        if (table->changes[i].kind != BSESSION_CLEAR
            && same_name(&table->changes[i].name, name->data, name->len)) {
            return &table->changes[i];
        }
    }
    return NULL;
}

/** This one alone decides what becomes of its key: what was noted for it before goes. */
static void note_alone(bs_table_t *table, const bsession_change_t *change)
{
    int from, to = 0;

    for (from = 0; from < table->nchanges; from++) {
        const bsession_change_t *old = &table->changes[from];

        if (old->kind == BSESSION_CLEAR
            || !same_name(&old->name, change->name.data, change->name.len)) {
            table->changes[to++] = *old;
        }
    }
    table->nchanges = to;
    note(table, change);
}

static void note_value(bs_table_t *table, bsession_change_kind_t kind,
                       const bsession_bytes_t *name, const bsession_bytes_t *value)
{
    bsession_change_t change = { .kind = kind, .name = *name, .value = *value };

    note_alone(table, &change);
}

static void note_incr(bs_table_t *table, const bsession_bytes_t *name, apr_int64_t by,
                      const bsession_bytes_t *result)
{
    bsession_change_t *last = last_change_of(table, name);
    bsession_change_t change = { .kind = BSESSION_INCR, .name = *name, .by = by };
    apr_int64_t sum;

    if (last && (last->kind == BSESSION_SET || last->kind == BSESSION_UNSET)) {
        note_value(table, BSESSION_SET, name, result);
    }
    else if (last && last->kind == BSESSION_INCR && !__builtin_add_overflow(last->by, by, &sum)) {
        last->by = sum;
    }
    else {
        note(table, &change);           /* behind an ADD, whose value may turn out another's */
    }
}

/* ---- what a request does ---- */

apr_status_t bs_table_set(bs_table_t *table, const char *name, apr_size_t name_len,
                          const void *value, apr_size_t len)
{
    const bsession_field_t *old = bs_table_find(table, name, name_len);
    bsession_bytes_t kept_name, kept_value;
    apr_status_t status;

    if (!bs_key_valid(name, name_len)) {
        return APR_EINVAL;
    }
    if (old && old->value.len == len && (len == 0 || memcmp(old->value.data, value, len) == 0)) {
        return APR_SUCCESS;
    }
    if (table->max_bytes && len > table->max_bytes) {
        return APR_ENOSPC;              /* before it is copied */
    }
    kept_name = old ? old->name : keep_bytes(table, name, name_len);
    kept_value = keep_bytes(table, value, len);
    status = put_field(table, &kept_name, &kept_value);
    if (status == APR_SUCCESS) {
        note_value(table, BSESSION_SET, &kept_name, &kept_value);
    }
    return status;
}

apr_status_t bs_table_add(bs_table_t *table, const char *name, apr_size_t name_len,
                          const void *value, apr_size_t len)
{
    bsession_bytes_t key = { name, name_len };
    apr_status_t status;

    if (!bs_key_valid(name, name_len)) {
        return APR_EINVAL;
    }
    if (bs_table_find(table, name, name_len)) {
        return APR_EEXIST;
    }
    if (last_change_of(table, &key)) {
        return bs_table_set(table, name, name_len, value, len);     /* we unset it ourselves */
    }
    status = bs_table_set(table, name, name_len, value, len);
    if (status == APR_SUCCESS) {
        table->changes[table->nchanges - 1].kind = BSESSION_ADD;
    }
    return status;
}

apr_status_t bs_table_unset(bs_table_t *table, const char *name, apr_size_t name_len)
{
    bsession_change_t change = { .kind = BSESSION_UNSET };
    int i = find_index(&table->fields, name, name_len);

    if (!bs_key_valid(name, name_len)) {
        return APR_EINVAL;
    }
    if (i >= 0) {
        change.name = table->fields.list[i].name;
        drop_field(table, i);
        note_alone(table, &change);
    }
    return APR_SUCCESS;
}

apr_status_t bs_table_incr(bs_table_t *table, const char *name, apr_size_t name_len,
                           apr_int64_t by, apr_int64_t *now)
{
    const bsession_field_t *old = bs_table_find(table, name, name_len);
    bsession_bytes_t kept_name, result;
    apr_int64_t number = 0;
    apr_status_t status;

    if (!bs_key_valid(name, name_len)
        || (old && !bs_number_parse(&number, old->value.data, old->value.len))
        || __builtin_add_overflow(number, by, &number)) {
        return APR_EINVAL;
    }
    if (by != 0 || !old) {
        kept_name = old ? old->name : keep_bytes(table, name, name_len);
        result = number_bytes(table, number);
        status = put_field(table, &kept_name, &result);
        if (status != APR_SUCCESS) {
            return status;
        }
        note_incr(table, &kept_name, by, &result);
    }
    if (now) {
        *now = number;
    }
    return APR_SUCCESS;
}

void bs_table_clear(bs_table_t *table)
{
    bsession_change_t change = { .kind = BSESSION_CLEAR };

    if (table->fields.count || table->nchanges) {
        drop_fields(table);
        table->nchanges = 0;
        note(table, &change);
    }
}

/* ---- the same changes on another record ---- */

/** 0 where this is an INCR that meets no number. */
static int apply(bs_table_t *table, const bsession_change_t *change, apr_status_t *status)
{
    int i = find_index(&table->fields, change->name.data, change->name.len);
    apr_int64_t number = 0;
    bsession_bytes_t result;

    switch (change->kind) {
    case BSESSION_CLEAR:
        drop_fields(table);
        return 1;
    case BSESSION_UNSET:
        if (i >= 0) {
            drop_field(table, i);
        }
        return 1;
    case BSESSION_ADD:
        if (i < 0) {
            *status = put_field(table, &change->name, &change->value);
        }
        return 1;
    case BSESSION_SET:
        *status = put_field(table, &change->name, &change->value);
        return 1;
    case BSESSION_INCR:
        break;
    }
    if ((i >= 0 && !bs_number_parse(&number, table->fields.list[i].value.data,
                                    table->fields.list[i].value.len))
        || __builtin_add_overflow(number, change->by, &number)) {
        return 0;
    }
    result = number_bytes(table, number);
    *status = put_field(table, &change->name, &result);
    return 1;
}

apr_status_t bs_table_rebase(bs_table_t *table, const bsession_fields_t *loaded, int *dropped)
{
    apr_status_t status = APR_SUCCESS;
    int changes = table->nchanges, from, to = 0;

    bs_table_adopt(table, loaded);
    for (from = 0; from < changes && status == APR_SUCCESS; from++) {
        if (apply(table, &table->changes[from], &status)) {
            table->changes[to++] = table->changes[from];
        }
    }
    *dropped = from - to;
    table->nchanges = to;
    return status;
}
