/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_topology.h
 * @brief Which server holds a key.
 *
 *     keys -> slots -> the nodes that own them
 *
 * A Cluster has 16384 slots, the other layouts one, whose owner is the server or the master. Who
 * owns what is learnt from the Sentinels or from nodes of the Cluster: by the first call of a
 * child, after a server let a call down, and again after a while. One thread asks, and the others
 * that cannot go on without wait for it; nobody holds the lock meanwhile.
 *
 * A node that owns nothing any more goes with its connections, so that a child does not grow
 * however often the layout changes.
 */
#ifndef REDIS_TOPOLOGY_H
#define REDIS_TOPOLOGY_H

#include "redis_node.h"

typedef struct redis_topology_t redis_topology_t;

/** Of a process: the parent, or a child that serves. All of it ends with the pool. */
redis_topology_t *redis_topology_make(const redis_conf_t *conf, apr_pool_t *pool);

/** The server that owns the name, as far as is known. It is the caller's until let go.
 *  @return APR_EACCES: nobody is known, and whoever was asked does not let us in */
apr_status_t redis_topology_find(redis_topology_t *topology, const redis_word_t *name,
                                 redis_node_t **node, bsession_call_t *call);

/** The n-th of the servers that hold records; APR_EOF where there are no more. For scans, which
 *  begin again where `layout`, a mark of who owns what, has changed. */
apr_status_t redis_topology_nth(redis_topology_t *topology, apr_uint64_t n, redis_node_t **node,
                                apr_uint64_t *layout, bsession_call_t *call);

void         redis_topology_let_go(redis_topology_t *topology, redis_node_t *node);

/** Whether another try may find another server. */
int          redis_topology_can_change(const redis_topology_t *topology);

/** The server let a call down: who owns its slots is asked before the next one goes there. */
void         redis_topology_doubt(redis_topology_t *topology, redis_node_t *node);

/** Before a new connection: whether this is the master still. An old one that comes back takes
 *  itself for it until a Sentinel tells it otherwise. */
int          redis_topology_confirms(redis_topology_t *topology, const redis_node_t *node,
                                     bsession_call_t *call);

/** While a server is silent: whether it owns anything still. */
int          redis_topology_keeps(redis_topology_t *topology, const redis_node_t *node,
                                  const bsession_call_t *call);

/** A slot is elsewhere: for good where `moved`, else for one call. `said` is from's error.
 *  @param to  where, held; NULL where that cannot be made out */
void         redis_topology_redirect(redis_topology_t *topology, const redis_node_t *from,
                                     const char *said, int moved, redis_node_t **to,
                                     bsession_call_t *call);

/** Of the server that owns the name, below BSESSION_NODES, alike in every child that knows of the
 *  same servers; 0 where there is one, or nobody is known to own it. */
unsigned     redis_topology_number(redis_topology_t *topology, const redis_word_t *name);

/** Its address, for messages; NULL where that number is 0. */
const char  *redis_topology_text(redis_topology_t *topology, const redis_word_t *name,
                                 apr_pool_t *pool);

#endif
