/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memcached_ring.h"

#include <apr_reslist.h>
#include <apr_strings.h>
#include <libmemcached/memcached.h>

/* Connections of a child to a server, where pool= does not say: more than a child has threads. */
#define RING_POOL_ENOUGH 4096
/* An idle connection is closed after so long. */
#define RING_IDLE        apr_time_from_sec(60)

/* A handle of the library's that is never connected: it only reckons. */
struct mc_ring_t {
    memcached_st *handle;
};

typedef struct {
    const mc_conf_t   *conf;
    const mc_server_t *server;
    apr_reslist_t     *links;
} ring_pool_t;

struct mc_pools_t {
    ring_pool_t *pools;                     /* one for each server */
};

/* ------------------------------------------------------------------ the ring */

static apr_status_t ring_free(void *data)
{
    mc_ring_t *ring = data;

    memcached_free(ring->handle);
    return APR_SUCCESS;
}

static memcached_return_t ring_fill(mc_ring_t *ring, const mc_conf_t *conf)
{
    memcached_return_t result = memcached_behavior_set(ring->handle,
                                                       MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    int i;

    for (i = 0; i < conf->nservers && result == MEMCACHED_SUCCESS; i++) {
        const mc_server_t *server = &conf->servers[i];

        result = *server->host == '/'
               ? memcached_server_add_unix_socket_with_weight(ring->handle, server->host,
                                                              server->weight)
               : memcached_server_add_with_weight(ring->handle, server->host, server->port,
                                                  server->weight);
    }
    return result;
}

mc_ring_t *mc_ring_make(const mc_conf_t *conf, const char **wrong, apr_pool_t *pool)
{
    mc_ring_t *ring = apr_pcalloc(pool, sizeof *ring);
    memcached_return_t result;

    *wrong = "out of memory";
    ring->handle = memcached_create(NULL);
    if (!ring->handle) {
        return NULL;
    }
    apr_pool_cleanup_register(pool, ring, ring_free, apr_pool_cleanup_null);
    result = ring_fill(ring, conf);
    if (result != MEMCACHED_SUCCESS) {
        *wrong = memcached_strerror(ring->handle, result);
        return NULL;
    }
    if (conf->user && memcached_set_sasl_auth_data(ring->handle, conf->user, conf->password)
                      == MEMCACHED_NOT_SUPPORTED) {
        *wrong = "user= needs a libmemcached that was built with SASL";
        return NULL;
    }
    return ring;
}

int mc_ring_find(const mc_ring_t *ring, const mc_name_t *name)
{
    return (int)memcached_generate_hash(ring->handle, name->text, name->len);
}

/* ------------------------------------------------------------------ connections */

/** The list calls this under its lock: connecting, which may take long, is the user's business. */
static apr_status_t pool_make_link(void **link, void *data, apr_pool_t *pool)
{
    const ring_pool_t *of = data;
    apr_pool_t *own;
    apr_status_t status = apr_pool_create(&own, pool);

    if (status == APR_SUCCESS) {
        apr_pool_tag(own, "memcached link");
        *link = mc_link_make(of->conf, of->server, own);
    }
    return status;
}

static apr_status_t pool_free_link(void *link, void *data, apr_pool_t *pool)
{
    (void)data;
    (void)pool;
    mc_link_close(link);
    return APR_SUCCESS;
}

mc_pools_t *mc_pools_make(const mc_conf_t *conf, apr_pool_t *pool)
{
    mc_pools_t *made = apr_palloc(pool, sizeof *made);
    int most = conf->pool ? conf->pool : RING_POOL_ENOUGH, i;

    made->pools = apr_pcalloc(pool, (apr_size_t)conf->nservers * sizeof *made->pools);
    for (i = 0; i < conf->nservers; i++) {
        ring_pool_t *one = &made->pools[i];

        one->conf = conf;
        one->server = &conf->servers[i];
        if (apr_reslist_create(&one->links, 0, most, most, RING_IDLE, pool_make_link,
                               pool_free_link, one, pool) != APR_SUCCESS) {
            return NULL;
        }
        /* before the pools of the links, which are the list's pool's children, go by themselves */
        apr_reslist_cleanup_order_set(one->links, APR_RESLIST_CLEANUP_FIRST);
        apr_reslist_timeout_set(one->links, conf->connect_timeout);
    }
    return made;
}

apr_status_t mc_pools_acquire(mc_pools_t *pools, int server, mc_link_t **link,
                              bsession_call_t *call)
{
    ring_pool_t *one = &pools->pools[server];
    void *resource;

    if (apr_reslist_acquire(one->links, &resource) != APR_SUCCESS) {
        apr_snprintf(call->why, sizeof call->why, "%s: all connections of pool=%d are in use",
                     mc_server_text(one->server, call->pool), one->conf->pool);
        return APR_TIMEUP;
    }
    *link = resource;
    return APR_SUCCESS;
}

void mc_pools_release(mc_pools_t *pools, int server, mc_link_t *link)
{
    apr_reslist_release(pools->pools[server].links, link);
}
