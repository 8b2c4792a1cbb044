/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_record.h"

#include <string.h>

#include <apr_strings.h>

/** A decimal number that we wrote; 0 where it is none. */
static int read_number(apr_uint64_t *number, const redisReply *text, apr_uint64_t most)
{
    const char *digit = text->str;

    if (text->type != REDIS_REPLY_STRING || !*digit) {
        return 0;
    }
    for (*number = 0; *digit >= '0' && *digit <= '9'; digit++) {
        apr_uint64_t units = (apr_uint64_t)(*digit - '0');

        if (*number > (most - units) / 10) {
            return 0;
        }
        *number = *number * 10 + units;
    }
    return digit == text->str + text->len;
}

/** One of the fields that are not the session's own; 0 where it says nothing sensible. */
static int read_own(bsession_record_t *record, const char *name, const redisReply *value)
{
    apr_uint64_t number = 0;

    if (strcmp(name, "_bs") == 0) {
        record->meta.data = value->str;
        record->meta.len = (apr_size_t)value->len;
        return 1;
    }
    if (strcmp(name, "_bs.rev") == 0) {
        return read_number(&record->revision, value, APR_UINT64_MAX) && record->revision;
    }
    if (strcmp(name, "_bs.epoch") == 0) {
        int good = read_number(&number, value, APR_UINT32_MAX);

        record->epoch = (apr_uint32_t)number;
        return good;
    }
    return 1;                           /* _bs.size, and what a later version may add */
}

static int read_fields(bsession_record_t *record, const redisReply *all)
{
    bsession_field_t *field = record->fields.list;
    apr_size_t i;
    int good = 1;

    for (i = 0; i + 1 < all->elements && good; i += 2) {
        const redisReply *name = all->element[i], *value = all->element[i + 1];

        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING) {
            return 0;
        }
        if (strncmp(name->str, "_bs", 3) == 0) {
            good = read_own(record, name->str, value);
            continue;
        }
        field->name.data = name->str;
        field->name.len = (apr_size_t)name->len;
        field->value.data = value->str;
        field->value.len = (apr_size_t)value->len;
        field++;
    }
    record->fields.count = (int)(field - record->fields.list);
    return good;
}

/** Without `_bs` there is no record: somebody wrote to the hash after its end. */
apr_status_t redis_record_read(bsession_record_t *record, const redisReply *all,
                               const redisReply *left, apr_pool_t *pool)
{
    if (all->type != REDIS_REPLY_ARRAY || left->type != REDIS_REPLY_INTEGER) {
        return BSESSION_ECORRUPT;
    }
    if (all->elements == 0 || left->integer == -2 || left->integer == 0) {
        return APR_NOTFOUND;
    }
    memset(record, 0, sizeof *record);
    record->fields.list = apr_palloc(pool, all->elements / 2 * sizeof *record->fields.list);
    if (!read_fields(record, all)) {
        return BSESSION_ECORRUPT;
    }
    if (!record->meta.data) {
        return APR_NOTFOUND;
    }
    if (left->integer > 0 && left->integer < APR_INT64_MAX / 2000) {
        record->expires = apr_time_now() + apr_time_from_msec(left->integer);
    }
    return record->revision ? APR_SUCCESS : BSESSION_ECORRUPT;
}

apr_status_t redis_merged_read(bsession_saved_t *saved, const bsession_save_t *save,
                               const redisReply *reply, bsession_call_t *call)
{
    apr_size_t i, at = 2;

    if (reply->elements < 2 || !read_number(&saved->revision, reply->element[1], APR_UINT64_MAX)) {
        apr_cpystrn(call->why, "the answer of a script is not one of ours", sizeof call->why);
        return APR_EGENERAL;
    }
    saved->incr = apr_pcalloc(call->pool, (save->nchanges + 1) * sizeof *saved->incr);
    for (i = 0; i < save->nchanges; i++) {
        if (save->changes[i].kind == BSESSION_INCR && at < reply->elements) {
            saved->incr[i] = apr_strtoi64(reply->element[at++]->str, NULL, 10);
        }
    }
    return APR_SUCCESS;
}
