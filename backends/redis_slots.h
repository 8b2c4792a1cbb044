/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_slots.h
 * @brief The slots that keys fall into, and the nodes that own them. Whoever calls holds the lock
 *        of redis_topology.c.
 */
#ifndef REDIS_SLOTS_H
#define REDIS_SLOTS_H

#include "redis_cluster.h"
#include "redis_node.h"

typedef struct {
    const redis_conf_t *conf;
    apr_pool_t         *pool;
    apr_array_header_t *nodes;              /* redis_node_t *, in the order of their addresses */
    int                 count;
    redis_node_t      **owner;              /* of each slot; NULL: nobody is known */
} redis_slots_t;

static inline redis_node_t *redis_slots_node(const redis_slots_t *slots, int i)
{
    return APR_ARRAY_IDX(slots->nodes, i, redis_node_t *);
}

/** 0: out of memory. */
int           redis_slots_init(redis_slots_t *slots, const redis_conf_t *conf, apr_pool_t *pool);

/** The node there, which is made where nobody knew of it. NULL: out of memory. */
redis_node_t *redis_slots_node_at(redis_slots_t *slots, const redis_address_t *address);

void          redis_slots_own(redis_slots_t *slots, int slot, redis_node_t *node);

/** These are the owners, and there are no others. Nobody is doubted any more. */
void          redis_slots_apply(redis_slots_t *slots, const apr_array_header_t *ranges);

/** Frees the nodes that own nothing and have had no use for a while. */
void          redis_slots_sweep(redis_slots_t *slots);

/** Of who owns what; alike in every process that knows the same. */
apr_uint64_t  redis_slots_mark(const redis_slots_t *slots);

#endif
