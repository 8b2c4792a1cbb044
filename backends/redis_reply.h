/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_reply.h
 * @brief hiredis's reader, with replies that live in a pool: a session of five keys is some forty
 *        pieces of memory, which nobody has to free.
 */
#ifndef REDIS_REPLY_H
#define REDIS_REPLY_H

#include <apr_pools.h>
#include <hiredis/hiredis.h>

/** No record is larger, in names and values, or has more fields: and so no reply is much larger. */
#define REDIS_RECORD_MOST (128u << 20)
#define REDIS_FIELDS_MOST (512u << 10)

/** NULL: out of memory. Goes by redisReaderFree(). */
redisReader *redis_reader_make(void);

/** A reply out of what the reader was fed with; NULL where that is not all of one. REDIS_OK, or it
 *  is no reply. Until it is whole, the pool has to stay. */
int          redis_reader_next(redisReader *reader, redisReply **reply, apr_pool_t *pool);

#endif
