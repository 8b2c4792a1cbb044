/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * What httpd's modules call, and when:
 *
 *     create    the line is read, or (mod_cache_socache) post_config: the store may not be defined
 *               yet, and only its name is kept
 *     init      post_config, after ours; also in the first of two readings, when no store is open
 *     the rest  any thread of any child, with or without a request
 *
 * An instance is a cache of its consumer's name, with a NUL before it, so that no module can ask
 * for it by bsession_api_t.cache.
 */

#include "socache.h"

#include <limits.h>
#include <string.h>

#include "ap_provider.h"
#include "ap_socache.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "mod_status.h"

#include "cache.h"
#include "config.h"

APLOG_USE_MODULE(bsession);

/* The instances that the lines made, kept in pconf for check_config. */
#define INSTANCES "mod_bsession:socaches"

struct ap_socache_instance_t {
    const char       *wanted;           /* a store's name, or NULL for the default one */
    bsession_bytes_t  name;             /* of the cache */
    bs_store_t       *store;            /* when it is open */
};

/* ---- the configuration ---- */

static const char *create(ap_socache_instance_t **instance, const char *arg, apr_pool_t *tmp,
                          apr_pool_t *p)
{
    apr_array_header_t *instances;
    void *found = NULL;

    (void)tmp;
    *instance = apr_pcalloc(p, sizeof **instance);
    (*instance)->wanted = arg && *arg ? apr_pstrdup(p, arg) : NULL;
    apr_pool_userdata_get(&found, INSTANCES, p);
    instances = found ? found : apr_array_make(p, 2, sizeof *instance);
    if (!found) {
        apr_pool_userdata_set(instances, INSTANCES, apr_pool_cleanup_null, p);
    }
    APR_ARRAY_PUSH(instances, ap_socache_instance_t *) = *instance;
    return NULL;
}

static bs_store_conf_t *find_store(const ap_socache_instance_t *instance, const server_rec *s)
{
    bs_store_conf_t *conf = bs_find_store(bs_server_conf(s)->stores, instance->wanted);

    if (!conf && instance->wanted) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "the socache bsession:%s: no BSessionStore "
                     "defines \"%s\"", instance->wanted, instance->wanted);
    }
    else if (!conf) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "the socache bsession: of several stores none "
                     "is called \"default\": say which, as in bsession:name");
    }
    return conf;
}

int bs_check_socaches(apr_pool_t *pconf, const server_rec *s)
{
    const apr_array_header_t *instances;
    void *found = NULL;
    int i, status = OK;

    apr_pool_userdata_get(&found, INSTANCES, pconf);
    instances = found;
    for (i = 0; instances && i < instances->nelts; i++) {
        if (!find_store(APR_ARRAY_IDX(instances, i, ap_socache_instance_t *), s)) {
            status = HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return status;
}

/** The store that is there without being defined is opened by who needs it first. */
static apr_status_t init(ap_socache_instance_t *instance, const char *cname,
                         const struct ap_socache_hints *hints, server_rec *s, apr_pool_t *pool)
{
    bs_store_conf_t *conf = find_store(instance, ap_server_conf);
    apr_size_t len = strlen(cname);
    char *name;

    (void)hints;
    if (!conf || len >= BS_CACHE_NAME_MAX) {
        return APR_EINVAL;
    }
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return APR_SUCCESS;
    }
    name = apr_pcalloc(pool, len + 2);
    memcpy(name + 1, cname, len);
    instance->name.data = name;
    instance->name.len = len + 1;
    instance->store = &conf->store;
    return bs_open_store(conf, s, s->process->pconf);
}

static void destroy(ap_socache_instance_t *instance, server_rec *s)
{
    (void)instance;
    (void)s;
}

/* ---- the entries ---- */

/** A pool of its own for each call: what is given may be shared by threads, which may make pools of
 *  it and nothing else (mod_ssl gives the process's), or live as long as a connection. */
static bs_cache_t begin(const ap_socache_instance_t *instance, apr_pool_t *pool)
{
    bs_cache_t cache = { .store = instance->store, .name = instance->name,
                         .seal = bs_server_conf(ap_server_conf)->stores->cache_seal };

    apr_pool_create(&cache.pool, pool);
    return cache;
}

static apr_status_t end(const bs_cache_t *cache, apr_status_t status)
{
    apr_pool_destroy(cache->pool);
    return status;
}

static bsession_bytes_t bytes_of(const unsigned char *data, unsigned int len)
{
    bsession_bytes_t bytes = { (const char *)data, len };

    return bytes;
}

static apr_status_t store(ap_socache_instance_t *instance, server_rec *s, const unsigned char *id,
                          unsigned int idlen, apr_time_t expiry, unsigned char *data,
                          unsigned int datalen, apr_pool_t *pool)
{
    bs_cache_t cache = begin(instance, pool);
    bsession_bytes_t key = bytes_of(id, idlen), value = bytes_of(data, datalen);

    (void)s;
    return end(&cache, bs_cache_set_until(&cache, &key, &value, expiry > 0 ? expiry : 1));
}

static apr_status_t retrieve(ap_socache_instance_t *instance, server_rec *s,
                             const unsigned char *id, unsigned int idlen, unsigned char *data,
                             unsigned int *datalen, apr_pool_t *pool)
{
    bs_cache_t cache = begin(instance, pool);
    bsession_bytes_t key = bytes_of(id, idlen), value;
    apr_status_t status = bs_cache_get(&cache, &key, &value);

    (void)s;
    if (status == APR_SUCCESS && value.len > *datalen) {
        status = APR_ENOSPC;
    }
    if (status == APR_SUCCESS) {
        memcpy(data, value.data, value.len);
        *datalen = (unsigned int)value.len;
    }
    return end(&cache, status);
}

static apr_status_t take_out(ap_socache_instance_t *instance, server_rec *s,
                             const unsigned char *id, unsigned int idlen, apr_pool_t *pool)
{
    bs_cache_t cache = begin(instance, pool);
    bsession_bytes_t key = bytes_of(id, idlen);

    (void)s;
    return end(&cache, bs_cache_delete(&cache, &key));
}

/* ---- all of them ---- */

typedef struct {
    ap_socache_instance_t *instance;
    server_rec            *server;
    void                  *context;
    ap_socache_iterator_t *iterator;
    apr_pool_t            *pool;
} walk_t;

static apr_status_t show(void *baton, const bsession_bytes_t *key, const bsession_bytes_t *value)
{
    walk_t *walk = baton;
    const char *id;
    apr_status_t status;

    if (value->len > UINT_MAX) {
        return APR_SUCCESS;
    }
    id = apr_pstrmemdup(walk->pool, key->data, key->len);       /* with the NUL that is promised */
    status = walk->iterator(walk->instance, walk->server, walk->context,
                            (const unsigned char *)id, (unsigned int)key->len,
                            (const unsigned char *)value->data, (unsigned int)value->len,
                            walk->pool);
    apr_pool_clear(walk->pool);
    return status;
}

static apr_status_t iterate(ap_socache_instance_t *instance, server_rec *s, void *userctx,
                            ap_socache_iterator_t *iterator, apr_pool_t *pool)
{
    bs_cache_t cache = begin(instance, pool);
    walk_t walk = { instance, s, userctx, iterator, NULL };

    apr_pool_create(&walk.pool, cache.pool);
    return end(&cache, bs_cache_each(&cache, show, &walk));
}

/* ---- mod_status ---- */

static void tell(request_rec *r, int brief, const char *what, apr_uint64_t number)
{
    if (number != BSESSION_UNKNOWN) {
        ap_rprintf(r, brief ? "Cache%s: %" APR_UINT64_T_FMT "\n"
                            : "%s: <b>%" APR_UINT64_T_FMT "</b><br>\n", what, number);
    }
}

/** Of the whole store, sessions and all: no store counts by caches. */
static void status(ap_socache_instance_t *instance, request_rec *r, int flags)
{
    bs_caller_t caller = { .pool = r->pool, .where = r };
    int brief = flags & AP_STATUS_SHORT;
    bsession_stats_t stats;

    if (!instance->store) {
        return;
    }
    bs_store_stats(instance->store, &caller, &stats);
    ap_rprintf(r, brief ? "CacheType: bsession\nCacheStore: %s\n"
                        : "cache type: <b>bsession</b>, store: <b>%s</b><br>\n",
               instance->store->name);
    tell(r, brief, brief ? "StoreRecords" : "records in the store", stats.records);
    tell(r, brief, brief ? "StoreBytes" : "bytes of them", stats.bytes);
    tell(r, brief, brief ? "StoreCapacity" : "bytes there is room for", stats.capacity);
    tell(r, brief, brief ? "StoreEvicted" : "live records dropped to make room", stats.evicted);
}

static const ap_socache_provider_t provider = {
    .name     = "bsession",
    .flags    = 0,
    .create   = create,
    .init     = init,
    .destroy  = destroy,
    .store    = store,
    .retrieve = retrieve,
    .remove   = take_out,
    .status   = status,
    .iterate  = iterate
};

void bs_register_socache(apr_pool_t *p)
{
    ap_register_provider(p, AP_SOCACHE_PROVIDER_GROUP, provider.name, AP_SOCACHE_PROVIDER_VERSION,
                         &provider);
}
