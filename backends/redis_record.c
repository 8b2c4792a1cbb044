/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_record.h"

#include <string.h>

#include <apr_strings.h>

/* They begin below 2^52, and nobody lives to see one come here. */
#define REVISION_MOST (APR_INT64_MAX / 2)

/* Which of our fields were there, beside those that the record keeps. */
typedef struct {
    int epoch, size;
} read_own_t;

int redis_number_read(apr_uint64_t *number, const redisReply *text, apr_uint64_t most)
{
    const char *digit = text->str;

    if (text->type != REDIS_REPLY_STRING || !*digit || (*digit == '0' && text->len > 1)) {
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

static int is_word(const redisReply *name, const char *word)
{
    return (apr_size_t)name->len == strlen(word) && memcmp(name->str, word, strlen(word)) == 0;
}

/** One of the fields that are not the session's own; 0 where it says nothing sensible. */
static int read_own(bsession_record_t *record, read_own_t *own, const redisReply *name,
                    const redisReply *value)
{
    apr_uint64_t number = 0;

    if (is_word(name, "_bs")) {
        record->meta.data = value->str;
        record->meta.len = (apr_size_t)value->len;
    }
    else if (is_word(name, "_bs.rev")) {
        return redis_number_read(&record->revision, value, REVISION_MOST);
    }
    else if (is_word(name, "_bs.epoch")) {
        own->epoch = redis_number_read(&number, value, APR_UINT32_MAX);
        record->epoch = (apr_uint32_t)number;
        return own->epoch;
    }
    else if (is_word(name, "_bs.size")) {
        own->size = redis_number_read(&number, value, APR_INT64_MAX);
        return own->size;
    }
    return 1;                           /* what a later version may add */
}

/** 0 where they say nothing sensible, or one of ours is not there. */
static int read_fields(bsession_record_t *record, const redisReply *all)
{
    read_own_t own = { 0, 0 };
    bsession_field_t *field = record->fields.list;
    apr_size_t i;
    int good = 1;

    for (i = 0; i + 1 < all->elements && good; i += 2) {
        const redisReply *name = all->element[i], *value = all->element[i + 1];

        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING) {
            return 0;
        }
        if (strncmp(name->str, "_bs", 3) == 0) {
            good = read_own(record, &own, name, value);
            continue;
        }
        field->name.data = name->str;
        field->name.len = (apr_size_t)name->len;
        field->value.data = value->str;
        field->value.len = (apr_size_t)value->len;
        field++;
    }
    record->fields.count = (int)(field - record->fields.list);
    return good && (!record->meta.data || (record->revision && own.epoch && own.size));
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
    return APR_SUCCESS;
}

/** The number after each increment; 0 where it is not there. */
static int read_numbers(bsession_saved_t *saved, const bsession_save_t *save,
                        const redisReply *reply)
{
    apr_size_t i, at = 2;

    for (i = 0; i < save->nchanges; i++) {
        if (save->changes[i].kind == BSESSION_INCR) {
            if (at == reply->elements || reply->element[at]->type != REDIS_REPLY_STRING) {
                return 0;
            }
            saved->incr[i] = apr_strtoi64(reply->element[at++]->str, NULL, 10);
        }
    }
    return at == reply->elements;
}

apr_status_t redis_merged_read(bsession_saved_t *saved, const bsession_save_t *save,
                               const redisReply *reply, bsession_call_t *call)
{
    saved->incr = apr_pcalloc(call->pool, (save->nchanges + 1) * sizeof *saved->incr);
    if (reply->elements < 2 || !redis_number_read(&saved->revision, reply->element[1], REVISION_MOST)
        || !read_numbers(saved, save, reply)) {
        apr_cpystrn(call->why, "the answer of a script is not one of ours", sizeof call->why);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}
