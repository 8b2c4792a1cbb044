/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memory_scan.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "memory_shard.h"

#define MEMORY_SCAN_RECORDS 64          /* a slice of a scan ends with one of these: */
#define MEMORY_SCAN_BUCKETS 4096u

/* Where a scan stands, in bsession_cursor_t.at: the shard, the bucket, and the last key that was
 * shown of it. Within a bucket records are shown in the order of their keys, so that what comes and
 * goes between two slices moves no other record past the cursor. A limit that is raised splits
 * buckets upwards: what was not shown stays ahead. */
enum { SCAN_SHARD, SCAN_BUCKET, SCAN_KEY0, SCAN_KEY1 };

typedef struct {
    uint32_t     bucket;
    uint64_t     key[2];
    apr_time_t   expires;
    apr_uint64_t revision;
    void        *copy;
    apr_size_t   bytes;
} memory_shown_t;

static int memory_scan_after(const uint64_t *key, const uint64_t *than)
{
    return key[0] != than[0] ? key[0] > than[0] : key[1] > than[1];
}

/* The records of one bucket, in order, to the end of the list. */
static void memory_scan_bucket(const memory_locked_t *at, uint32_t bucket, uint32_t space,
                               const uint64_t *after, apr_array_header_t *list)
{
    int first = list->nelts;
    uint32_t reference;

    for (reference = at->buckets[bucket]; reference; ) {
        const memory_slot_t *slot = memory_slot_at(at, reference);
        memory_shown_t *shown, one;

        reference = slot->next;
        if (memory_slot_space(slot) != space || memory_slot_expired(slot, at->now)
            || (after && !memory_scan_after(slot->key, after))) {
            continue;
        }
        one.bucket = bucket;
        memcpy(one.key, slot->key, sizeof(one.key));
        one.expires = slot->expires;
        one.revision = slot->state;
        one.bytes = memory_slot_bytes(slot);
        one.copy = apr_pmemdup(list->pool, slot->body, one.bytes);
        shown = apr_array_push(list);
        while (shown > (memory_shown_t *)list->elts + first
               && memory_scan_after(shown[-1].key, one.key)) {
            *shown = shown[-1];
            shown--;
        }
        *shown = one;
    }
}

/* A stretch of buckets, copied under the lock; the cursor that follows is in *next. */
static apr_array_header_t *memory_scan_copy(const memory_locked_t *at, uint32_t space,
                                            const bsession_cursor_t *cursor,
                                            bsession_cursor_t *next, apr_pool_t *pool)
{
    apr_array_header_t *list = apr_array_make(pool, MEMORY_SCAN_RECORDS, sizeof(memory_shown_t));
    uint64_t after[2] = { cursor->at[SCAN_KEY0], cursor->at[SCAN_KEY1] };
    uint64_t bucket = cursor->at[SCAN_BUCKET], end = bucket + MEMORY_SCAN_BUCKETS;

    for (; bucket <= at->shard->mask && bucket < end && list->nelts < MEMORY_SCAN_RECORDS;
         bucket++) {
        int begun = bucket == cursor->at[SCAN_BUCKET] && (after[0] || after[1]);

        memory_scan_bucket(at, (uint32_t)bucket, space, begun ? after : NULL, list);
    }
    memset(next, 0, sizeof(*next));
    next->at[SCAN_SHARD] = cursor->at[SCAN_SHARD];
    next->at[SCAN_BUCKET] = bucket;
    if (bucket > at->shard->mask) {
        next->at[SCAN_BUCKET] = 0;
        next->done = ++next->at[SCAN_SHARD] >= at->segment->header->shards;
    }
    return list;
}

static apr_status_t memory_scan_show(const bsession_services_t *services,
                                     const memory_shown_t *shown, char space,
                                     bsession_visitor_t *visit, void *baton, apr_pool_t *pool)
{
    bsession_record_t record;
    bsession_key_t key;

    if (services->record_read(&record, shown->copy, shown->bytes, pool) != APR_SUCCESS) {
        return APR_SUCCESS;             /* who loads it will hear of it */
    }
    record.expires = shown->expires;
    record.revision = shown->revision;
    key.space = space;
    memcpy(key.bytes, shown->key, sizeof(key.bytes));
    return visit(baton, &key, &record);
}

apr_status_t memory_scan_slice(const memory_segment_t *segment, const bsession_services_t *services,
                               char space, bsession_cursor_t *cursor, bsession_visitor_t *visit,
                               void *baton, bsession_call_t *call)
{
    bsession_key_t any = { space, { 0 } };
    bsession_cursor_t next;
    apr_array_header_t *list;
    memory_locked_t at;
    memory_key_t parsed;
    apr_status_t status = memory_key_parse(&parsed, &any, segment, call);
    int i;

    if (cursor->at[SCAN_SHARD] >= segment->header->shards) {
        cursor->done = 1;
    }
    if (status != APR_SUCCESS || cursor->done) {
        return status;
    }
    status = memory_shard_lock(&at, segment, (uint32_t)cursor->at[SCAN_SHARD], call);
    if (status != APR_SUCCESS) {
        return status;
    }
    list = memory_scan_copy(&at, parsed.space, cursor, &next, call->pool);
    memory_shard_unlock(&at);
    for (i = 0; i < list->nelts && status == APR_SUCCESS; i++) {
        const memory_shown_t *shown = &APR_ARRAY_IDX(list, i, memory_shown_t);

        status = memory_scan_show(services, shown, space, visit, baton, call->pool);
        cursor->at[SCAN_BUCKET] = shown->bucket;
        cursor->at[SCAN_KEY0] = shown->key[0];
        cursor->at[SCAN_KEY1] = shown->key[1];
    }
    if (status == APR_SUCCESS) {
        *cursor = next;
    }
    return status;
}
