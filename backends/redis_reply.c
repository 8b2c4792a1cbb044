/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_reply.h"

#include <stdlib.h>
#include <string.h>

/* What is larger comes from malloc: a pool keeps it for others, and ends the process where it
 * cannot have it. */
#define REPLY_FROM_POOL 65536
/* Those of a record, and the names of a slice of a scan: what an array announces is believed, and
 * room is made for it, before any of it has come. */
#define REPLY_MOST_ELEMENTS (2 * REDIS_FIELDS_MOST + 64)

#if HIREDIS_MAJOR == 0
typedef int reply_count_t;
#define REPLY_FUNCTIONS_OF_VERSION_1
#else
typedef size_t reply_count_t;
#define REPLY_FUNCTIONS_OF_VERSION_1 .createDouble = reply_double, .createBool = reply_bool,
#endif

static apr_status_t reply_free(void *memory)
{
    free(memory);
    return APR_SUCCESS;
}

static void *reply_room(apr_pool_t *pool, apr_size_t size)
{
    void *room;

    if (size <= REPLY_FROM_POOL) {
        return apr_palloc(pool, size);
    }
    room = calloc(1, size);
    if (room) {
        apr_pool_cleanup_register(pool, room, reply_free, apr_pool_cleanup_null);
    }
    return room;
}

/** With so many bytes behind it. It stands in its list before it is filled: who is out of memory
 *  gives up all of it. */
static redisReply *reply_make(const redisReadTask *task, apr_size_t more)
{
    redisReply *reply = reply_room(task->privdata, sizeof *reply + more);

    if (!reply) {
        return NULL;
    }
    memset(reply, 0, sizeof *reply);
    reply->type = task->type;
    if (task->parent) {
        redisReply *list = task->parent->obj;

        list->element[task->idx] = reply;
    }
    return reply;
}

static void *reply_string(const redisReadTask *task, char *bytes, size_t len)
{
    redisReply *reply = reply_make(task, len + 1);

    if (reply) {
        reply->str = (char *)(reply + 1);
        memcpy(reply->str, bytes, len);
        reply->str[len] = '\0';
        reply->len = len;
    }
    return reply;
}

static void *reply_array(const redisReadTask *task, reply_count_t count)
{
    redisReply *reply = count > (reply_count_t)REPLY_MOST_ELEMENTS
                      ? NULL : reply_make(task, (apr_size_t)count * sizeof reply);

    if (reply) {
        reply->element = (redisReply **)(reply + 1);
        reply->elements = (size_t)count;
    }
    return reply;
}

static void *reply_integer(const redisReadTask *task, long long number)
{
    redisReply *reply = reply_make(task, 0);

    if (reply) {
        reply->integer = number;
    }
    return reply;
}

static void *reply_nil(const redisReadTask *task)
{
    redisReply *reply = reply_make(task, 0);

    if (reply) {
        reply->type = REDIS_REPLY_NIL;
    }
    return reply;
}

/* Nobody asks for these, but who sends them shall be told apart. */
#if HIREDIS_MAJOR > 0
static void *reply_double(const redisReadTask *task, double number, char *text, size_t len)
{
    (void)number;
    (void)text;
    (void)len;
    return reply_make(task, 0);
}

static void *reply_bool(const redisReadTask *task, int is)
{
    (void)is;
    return reply_make(task, 0);
}
#endif

static redisReplyObjectFunctions reply_functions = {
    REPLY_FUNCTIONS_OF_VERSION_1
    .createString  = reply_string,
    .createArray   = reply_array,
    .createInteger = reply_integer,
    .createNil     = reply_nil
};

redisReader *redis_reader_make(void)
{
    return redisReaderCreateWithFunctions(&reply_functions);
}

int redis_reader_next(redisReader *reader, redisReply **reply, apr_pool_t *pool)
{
    void *parsed = NULL;
    int status;

    reader->privdata = pool;
    status = redisReaderGetReply(reader, &parsed);
    *reply = parsed;
    return status;
}
