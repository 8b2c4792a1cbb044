/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_cluster.h
 * @brief How a Redis Cluster shares its keys out.
 */
#ifndef REDIS_CLUSTER_H
#define REDIS_CLUSTER_H

#include <apr_tables.h>
#include <hiredis/hiredis.h>

#include "redis_conf.h"

#define REDIS_SLOTS 16384

/** These slots, both ends included, are the master's there. */
typedef struct {
    redis_address_t address;
    int             first, last;
} redis_range_t;

/** The slot of a key: a checksum of it, or of what stands between its first { and the next }. */
int          redis_cluster_slot(const char *key, apr_size_t len);

/**
 * Asks these nodes in turn until one answers, for a share of the time each.
 * @param ranges  what it says, of redis_range_t, is put into it, in call->pool
 */
apr_status_t redis_cluster_look(const redis_conf_t *conf, const apr_array_header_t *nodes,
                                apr_array_header_t *ranges, bsession_call_t *call);

/** The reply to CLUSTER SLOTS of the node `from`: what it says is put into `ranges`, in call->pool,
 *  which are empty. Other than APR_SUCCESS: it says nothing, and `why` is set. */
apr_status_t redis_cluster_read(const redis_address_t *from, const redisReply *reply,
                                apr_array_header_t *ranges, bsession_call_t *call);

/**
 * Reads "MOVED 3999 127.0.0.1:6381" or ASK's like; without a host, the one that says so is meant.
 * @return the slot, or -1
 */
int          redis_cluster_redirection(const char *text, const redis_address_t *from,
                                       redis_address_t *to, apr_pool_t *pool);

#endif
