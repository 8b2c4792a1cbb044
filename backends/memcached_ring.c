/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memcached_ring.h"

#include <apr_reslist.h>
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <libmemcached/memcached.h>

/* Connections of a child to a server, where pool= does not say: more than a child has threads. */
#define RING_POOL_ENOUGH 4096
/* An idle connection is closed after so long, when another one is given back or taken: the list
 * looks at those only that are more than it was told to keep, and so is told to keep none. */
#define RING_IDLE        apr_time_from_sec(60)

/* A handle of the library's that is never connected: it only reckons. */
struct mc_ring_t {
    memcached_st *handle;
};

typedef struct {
    const mc_conf_t    *conf;
    const mc_server_t  *server;
    apr_reslist_t      *links;
    int                 most;               /* so many of them, in use or not */
    int                 in_use;             /* under the lock */
    apr_thread_mutex_t *lock;
    apr_thread_cond_t  *given_back;         /* one of them was */
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
    mc_link_free(link);
    return APR_SUCCESS;
}

static int pool_fill(ring_pool_t *one, apr_pool_t *pool)
{
    one->most = one->conf->pool ? one->conf->pool : RING_POOL_ENOUGH;
    if (apr_thread_mutex_create(&one->lock, APR_THREAD_MUTEX_DEFAULT, pool) != APR_SUCCESS
        || apr_thread_cond_create(&one->given_back, pool) != APR_SUCCESS
        || apr_reslist_create(&one->links, 0, 0, one->most, RING_IDLE, pool_make_link,
                              pool_free_link, one, pool) != APR_SUCCESS) {
        return 0;
    }
    /* before the pools of the links, which are the list's pool's children, go by themselves */
    apr_reslist_cleanup_order_set(one->links, APR_RESLIST_CLEANUP_FIRST);
    return 1;
}

mc_pools_t *mc_pools_make(const mc_conf_t *conf, apr_pool_t *pool)
{
    mc_pools_t *made = apr_palloc(pool, sizeof *made);
    int i;

    made->pools = apr_pcalloc(pool, (apr_size_t)conf->nservers * sizeof *made->pools);
    for (i = 0; i < conf->nservers; i++) {
        made->pools[i].conf = conf;
        made->pools[i].server = &conf->servers[i];
        if (!pool_fill(&made->pools[i], pool)) {
            return NULL;
        }
    }
    return made;
}

/** The list itself would wait by its own clock, and not by the call's. 0: in vain. */
static int pool_wait_for_link(ring_pool_t *one, apr_time_t deadline)
{
    apr_interval_time_t left;
    int is_free;

    apr_thread_mutex_lock(one->lock);
    while (one->in_use >= one->most && (left = deadline - apr_time_now()) > 0) {
        apr_thread_cond_timedwait(one->given_back, one->lock, left);
    }
    is_free = one->in_use < one->most;
    one->in_use += is_free;
    apr_thread_mutex_unlock(one->lock);
    return is_free;
}

static void pool_give_back(ring_pool_t *one)
{
    apr_thread_mutex_lock(one->lock);
    one->in_use--;
    apr_thread_cond_signal(one->given_back);
    apr_thread_mutex_unlock(one->lock);
}

apr_status_t mc_pools_acquire(mc_pools_t *pools, int server, mc_link_t **link,
                              bsession_call_t *call)
{
    ring_pool_t *one = &pools->pools[server];
    apr_status_t status;
    void *resource;

    if (!pool_wait_for_link(one, call->deadline)) {
        apr_snprintf(call->why, sizeof call->why, "%s: all connections of pool=%d are in use",
                     mc_server_text(one->server, call->pool), one->most);
        return APR_TIMEUP;
    }
    status = apr_reslist_acquire(one->links, &resource);
    if (status != APR_SUCCESS) {
        pool_give_back(one);
        apr_cpystrn(call->why, "out of memory", sizeof call->why);
        return status;
    }
    *link = resource;
    return APR_SUCCESS;
}

void mc_pools_release(mc_pools_t *pools, int server, mc_link_t *link)
{
    ring_pool_t *one = &pools->pools[server];

    apr_reslist_release(one->links, link);
    pool_give_back(one);
}
