/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_record.h
 * @brief Replies as records. Names and values are not copied: they live as long as the replies.
 */
#ifndef REDIS_RECORD_H
#define REDIS_RECORD_H

#include <hiredis/hiredis.h>

#include "bsession_provider.h"

/** A decimal number up to `most`, as Redis and we write it; 0 where it is none: what is compared as text
 *  must not be read as another number's. */
int          redis_number_read(apr_uint64_t *number, const redisReply *text, apr_uint64_t most);

/** The replies to HGETALL and PTTL. APR_NOTFOUND, BSESSION_ECORRUPT. */
apr_status_t redis_record_read(bsession_record_t *record, const redisReply *all,
                               const redisReply *left, apr_pool_t *pool);

/** The reply to a merge that was done. */
apr_status_t redis_merged_read(bsession_saved_t *saved, const bsession_save_t *save,
                               const redisReply *reply, bsession_call_t *call);

#endif
