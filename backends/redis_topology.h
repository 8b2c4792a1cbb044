/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_topology.h
 * @brief Which server holds a key, and the connections that a child has to each server.
 */
#ifndef REDIS_TOPOLOGY_H
#define REDIS_TOPOLOGY_H

#include "redis_conf.h"

/** A server, and this child's connections to it. */
typedef struct redis_node_t redis_node_t;
typedef struct redis_topology_t redis_topology_t;

/** Of a process: the parent, or a child that serves. All of it ends with the pool. */
redis_topology_t *redis_topology_make(const redis_conf_t *conf, apr_pool_t *pool);

/** The server that holds the key, as far as is known. */
apr_status_t redis_topology_node(redis_topology_t *topology, const bsession_key_t *key,
                                 redis_node_t **node, bsession_call_t *call);

/** The n-th of the servers that hold records; APR_EOF where there are no more. For scans. */
apr_status_t redis_topology_nth(redis_topology_t *topology, apr_uint64_t n, redis_node_t **node,
                                bsession_call_t *call);

/** A connection for this call alone, connected or not; given back by redis_node_release. */
apr_status_t redis_node_acquire(redis_node_t *node, redis_link_t **link, bsession_call_t *call);
void         redis_node_release(redis_node_t *node, redis_link_t *link);

#endif
