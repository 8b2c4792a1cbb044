/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_node.h
 * @brief A server that holds records, and a child's connections to it.
 */
#ifndef REDIS_NODE_H
#define REDIS_NODE_H

#include <apr_reslist.h>
#include <apr_thread_cond.h>

#include "redis_conf.h"

typedef struct {
    const redis_conf_t *conf;
    apr_pool_t         *pool;               /* the node's: all of it ends with that */
    redis_address_t     address;
    apr_reslist_t      *links;
    int                 most;               /* so many of them, in use or not */
    int                 in_use, waiting;    /* under the lock */
    apr_thread_mutex_t *lock;
    apr_thread_cond_t  *given_back;         /* one of them was */
    /* The topology's, and under its lock. */
    int                 users;              /* calls that have it in hand */
    int                 slots;              /* how many it owns; 0: on its way out */
    int                 doubted;            /* it let a call down: who owns its slots is asked */
    unsigned            number;             /* for the circuit breaker */
    apr_time_t          used;               /* by the last call, once it owns nothing */
} redis_node_t;

/** NULL: out of memory. */
redis_node_t *redis_node_make(const redis_conf_t *conf, const redis_address_t *address,
                              apr_pool_t *pool);

/** It, and the connections to it, none of which is in use. */
void          redis_node_free(redis_node_t *node);

/** A connection for this call alone, connected or not; given back by redis_node_release. Where all
 *  are in use, waits for one until the call's deadline. */
apr_status_t  redis_node_acquire(redis_node_t *node, redis_link_t **link, bsession_call_t *call);
void          redis_node_release(redis_node_t *node, redis_link_t *link);

#endif
