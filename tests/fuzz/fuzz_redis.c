/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What a Redis server may send. The first byte says in pieces of what size it comes, the rest is
 * what comes: it is no reply, or replies of which each reader makes a record, numbers, addresses or
 * nothing. */

#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "fuzz.h"
#include "redis_cluster.h"
#include "redis_record.h"
#include "redis_reply.h"
#include "redis_sentinel.h"

#define REPLIES 8

static apr_pool_t *pool;
static const redis_address_t server = { .host = "server.example", .port = 6379 };

static bsession_call_t call_now(void)
{
    bsession_call_t call = { .deadline = apr_time_now() + apr_time_from_sec(10), .pool = pool };

    return call;
}

/* ---- as a record ---- */

/* All that it points to can be read, and ends where C strings end. */
static void check_bytes(const bsession_bytes_t *bytes)
{
    volatile char sum = 0;
    apr_size_t i;

    for (i = 0; i < bytes->len; i++) {
        sum = (char)(sum ^ bytes->data[i]);
    }
    MUST(!bytes->data[bytes->len]);
}

static void as_record(const redisReply *all, const redisReply *left)
{
    bsession_record_t record;
    apr_status_t status;
    int i;

    memset(&record, 0xa5, sizeof(record));
    status = redis_record_read(&record, all, left, pool);
    MUST(status == APR_SUCCESS || status == APR_NOTFOUND || status == BSESSION_ECORRUPT);
    if (status != APR_SUCCESS) {
        return;
    }
    MUST(record.revision && record.meta.data);
    MUST(record.fields.count >= 0 && (size_t)record.fields.count <= all->elements / 2);
    check_bytes(&record.meta);
    for (i = 0; i < record.fields.count; i++) {
        check_bytes(&record.fields.list[i].name);
        check_bytes(&record.fields.list[i].value);
        MUST(strncmp(record.fields.list[i].name.data, "_bs", 3));
    }
}

static void as_numbers(const redisReply *reply)
{
    static const bsession_change_t changes[] = {
        { BSESSION_INCR, { "a", 1 }, { "", 0 }, 1 }, { BSESSION_SET, { "b", 1 }, { "", 0 }, 0 },
        { BSESSION_INCR, { "c", 1 }, { "", 0 }, 1 }
    };
    bsession_save_t save = { .mode = BSESSION_MERGE, .base = 1, .changes = changes };
    bsession_saved_t saved;
    bsession_call_t call;

    for (save.nchanges = 0; save.nchanges <= 3; save.nchanges++) {
        apr_status_t status;

        memset(&saved, 0, sizeof(saved));
        call = call_now();
        status = redis_merged_read(&saved, &save, reply, &call);
        MUST(status == APR_SUCCESS ? !call.why[0] : call.why[0]);
    }
}

/* ---- as addresses ---- */

static void as_slots(const redisReply *reply)
{
    apr_array_header_t *ranges = apr_array_make(pool, 4, sizeof(redis_range_t));
    bsession_call_t call = call_now();
    int i, slots = 0;

    if (redis_cluster_read(&server, reply, ranges, &call) != APR_SUCCESS) {
        MUST(call.why[0] && !ranges->nelts);
    }
    for (i = 0; i < ranges->nelts; i++) {
        const redis_range_t *range = &APR_ARRAY_IDX(ranges, i, redis_range_t);

        MUST(range->first >= 0 && range->first <= range->last && range->last < REDIS_SLOTS);
        MUST(range->address.host && *range->address.host && range->address.port);
        slots += range->last - range->first + 1;
    }
    MUST(slots <= REDIS_SLOTS);
}

static void as_master(const redisReply *reply)
{
    redis_conf_t conf = { .service = "master" };
    redis_address_t master;
    bsession_call_t call = call_now();

    if (redis_sentinel_read(&conf, &server, reply, &master, &call) == APR_SUCCESS) {
        MUST(master.host && master.port);
    }
}

static void as_redirection(const redisReply *reply)
{
    redis_address_t to;
    int slot = reply->str ? redis_cluster_redirection(reply->str, &server, &to, pool) : -1;

    MUST(slot >= -1 && slot < REDIS_SLOTS);
    MUST(slot < 0 || (to.host && to.port));
}

/* ---- */

/* The number of replies; the reader gives up where something is none. */
static int read_all(const uint8_t *data, size_t size, size_t piece, redisReply *replies[REPLIES])
{
    redisReader *reader = redis_reader_make();
    int count = 0, broken = 0;

    MUST(reader);
    while (size && !broken && count < REPLIES) {
        size_t part = piece < size ? piece : size;
        redisReply *reply = NULL;

        broken = redisReaderFeed(reader, (const char *)data, part) != REDIS_OK;
        data += part;
        size -= part;
        while (!broken && count < REPLIES) {
            broken = redis_reader_next(reader, &reply, pool) != REDIS_OK;
            if (broken || !reply) {
                break;
            }
            replies[count++] = reply;
        }
    }
    redisReaderFree(reader);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    redisReply *replies[REPLIES];
    int count, i;

    if (!pool) {
        MUST(apr_initialize() == APR_SUCCESS);
        MUST(apr_pool_create(&pool, NULL) == APR_SUCCESS);
    }
    if (!size) {
        return 0;
    }
    count = read_all(data + 1, size - 1, 1u + data[0], replies);
    for (i = 0; i < count; i++) {
        as_record(replies[i], replies[(i + 1) % count]);
        as_numbers(replies[i]);
        as_slots(replies[i]);
        as_master(replies[i]);
        as_redirection(replies[i]);
    }
    apr_pool_clear(pool);
    return 0;
}
