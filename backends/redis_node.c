/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_node.h"

#include <apr_strings.h>

/* Connections of a child to a node, where pool= does not say: more than a child has threads. */
#define REDIS_POOL_ENOUGH 4096
/* An idle connection is closed after so long, when another one is given back or taken: the list
 * looks at those only that are more than it was told to keep, and so is told to keep none. */
#define REDIS_IDLE        apr_time_from_sec(60)

/** The list calls this under its lock: connecting, which may take long, is the user's business. */
static apr_status_t node_make_link(void **link, void *node_of, apr_pool_t *pool)
{
    const redis_node_t *node = node_of;
    apr_pool_t *own;
    apr_status_t status = apr_pool_create(&own, pool);

    if (status == APR_SUCCESS) {
        apr_pool_tag(own, "redis link");
        *link = redis_link_make(&node->address, &node->conf->login, own);
    }
    return status;
}

static apr_status_t node_free_link(void *link, void *node, apr_pool_t *pool)
{
    (void)node;
    (void)pool;
    redis_link_free(link);
    return APR_SUCCESS;
}

redis_node_t *redis_node_make(const redis_conf_t *conf, const redis_address_t *address,
                              apr_pool_t *pool)
{
    redis_node_t *node;
    apr_pool_t *own;

    if (apr_pool_create(&own, pool) != APR_SUCCESS) {
        return NULL;
    }
    apr_pool_tag(own, "redis node");
    node = apr_pcalloc(own, sizeof *node);
    node->conf = conf;
    node->pool = own;
    node->most = conf->pool ? conf->pool : REDIS_POOL_ENOUGH;
    node->address.host = address->host ? apr_pstrdup(own, address->host) : NULL;
    node->address.port = address->port;
    node->address.path = address->path;
    if (apr_thread_mutex_create(&node->lock, APR_THREAD_MUTEX_DEFAULT, own) != APR_SUCCESS
        || apr_thread_cond_create(&node->given_back, own) != APR_SUCCESS
        || apr_reslist_create(&node->links, 0, 0, node->most, REDIS_IDLE, node_make_link,
                              node_free_link, node, own) != APR_SUCCESS) {
        apr_pool_destroy(own);
        return NULL;
    }
    /* before the pools of the links, which are the list's pool's children, go by themselves */
    apr_reslist_cleanup_order_set(node->links, APR_RESLIST_CLEANUP_FIRST);
    return node;
}

void redis_node_free(redis_node_t *node)
{
    apr_pool_destroy(node->pool);
}

/** The list itself would wait by its own clock, and not by the call's. 0: in vain. */
static int node_wait_for_link(redis_node_t *node, apr_time_t deadline)
{
    apr_interval_time_t left;
    int is_free;

    apr_thread_mutex_lock(node->lock);
    while (node->in_use >= node->most && (left = deadline - redis_clock()) > 0) {
        node->waiting++;
        apr_thread_cond_timedwait(node->given_back, node->lock, left);
        node->waiting--;
    }
    is_free = node->in_use < node->most;
    node->in_use += is_free;
    apr_thread_mutex_unlock(node->lock);
    return is_free;
}

static void node_give_back(redis_node_t *node)
{
    apr_thread_mutex_lock(node->lock);
    node->in_use--;
    if (node->waiting) {
        apr_thread_cond_signal(node->given_back);
    }
    apr_thread_mutex_unlock(node->lock);
}

apr_status_t redis_node_acquire(redis_node_t *node, redis_link_t **link, bsession_call_t *call)
{
    void *resource;
    apr_status_t status;

    if (!node_wait_for_link(node, call->deadline)) {
        apr_snprintf(call->why, sizeof call->why, "%s: all connections of pool=%d are in use",
                     redis_address_text(&node->address, call->pool), node->most);
        return APR_TIMEUP;
    }
    status = apr_reslist_acquire(node->links, &resource);
    if (status != APR_SUCCESS) {
        node_give_back(node);
        return redis_wire_fail(&node->address, status, "preparing", call);
    }
    *link = resource;
    return APR_SUCCESS;
}

void redis_node_release(redis_node_t *node, redis_link_t *link)
{
    if (!redis_link_is_clean(link)) {
        redis_link_close(link);
    }
    apr_reslist_release(node->links, link);
    node_give_back(node);
}
