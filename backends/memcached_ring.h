/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memcached_ring.h
 * @brief Which server a record lives on, and a child's connections to each.
 *
 * The ring is ketama's, with weights, as the client library and others have it: it is made of the
 * servers' names and ports as they are configured, so that two httpds that name them alike find the
 * same server for a key, in whatever order they stand. No server is ever taken out of it.
 */
#ifndef MEMCACHED_RING_H
#define MEMCACHED_RING_H

#include "memcached_link.h"

typedef struct mc_ring_t mc_ring_t;
typedef struct mc_pools_t mc_pools_t;

/** NULL: out of memory, or the client library cannot do what is asked for; `wrong` says what. */
mc_ring_t   *mc_ring_make(const mc_conf_t *conf, const char **wrong, apr_pool_t *pool);

/** The number of the server, which is its place in the URL. */
int          mc_ring_find(const mc_ring_t *ring, const mc_name_t *name);

/** Connections to all servers, none of which is made yet. NULL: out of memory. */
mc_pools_t  *mc_pools_make(const mc_conf_t *conf, apr_pool_t *pool);

/** A connection to this server for this call alone, connected or not. Where all are in use, waits
 *  for one until the call's deadline. */
apr_status_t mc_pools_acquire(mc_pools_t *pools, int server, mc_link_t **link,
                              bsession_call_t *call);
void         mc_pools_release(mc_pools_t *pools, int server, mc_link_t *link);

#endif
