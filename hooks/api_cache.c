/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The general cache: C strings outside, bytes inside. */

#include "api.h"

#include <string.h>

#include "apr_strings.h"
#include "http_config.h"
#include "http_main.h"

#include "cache.h"
#include "config.h"

struct bsession_cache_t {
    bs_cache_t cache;
};

static bsession_bytes_t bytes_of(const char *text)
{
    bsession_bytes_t bytes = { text, strlen(text) };

    return bytes;
}

bsession_cache_t *bs_api_cache(const char *store, const char *name, apr_interval_time_t life,
                               apr_pool_t *pool)
{
    bs_store_conf_t *conf = bs_find_store(bs_server_conf(ap_server_conf)->stores, store);
    bsession_cache_t *c;

    if (!conf || !conf->store.shared || !name || strlen(name) > BS_CACHE_NAME_MAX) {
        return NULL;
    }
    c = apr_pcalloc(pool, sizeof *c);
    c->cache.store = &conf->store;
    c->cache.name = bytes_of(apr_pstrdup(pool, name));
    c->cache.life = life;
    c->cache.seal = bs_server_conf(ap_server_conf)->stores->cache_seal;
    c->cache.pool = pool;
    return c;
}

apr_status_t bs_api_cache_get(bsession_cache_t *c, const char *key, const char **value,
                              apr_size_t *len)
{
    bsession_bytes_t bytes = bytes_of(key), found = { NULL, 0 };
    apr_status_t status = bs_cache_get(&c->cache, &bytes, &found);

    *value = found.data;
    if (len) {
        *len = found.len;
    }
    return status;
}

apr_status_t bs_api_cache_has(bsession_cache_t *c, const char *key)
{
    bsession_bytes_t bytes = bytes_of(key);

    return bs_cache_has(&c->cache, &bytes);
}

apr_status_t bs_api_cache_set(bsession_cache_t *c, const char *key, const void *value,
                              apr_size_t len, apr_interval_time_t life)
{
    bsession_bytes_t bytes = bytes_of(key), given = { value, len };

    return bs_cache_set(&c->cache, &bytes, &given, life);
}

apr_status_t bs_api_cache_add(bsession_cache_t *c, const char *key, const void *value,
                              apr_size_t len, apr_interval_time_t life)
{
    bsession_bytes_t bytes = bytes_of(key), given = { value, len };

    return bs_cache_add(&c->cache, &bytes, &given, life);
}

apr_status_t bs_api_cache_delete(bsession_cache_t *c, const char *key)
{
    bsession_bytes_t bytes = bytes_of(key);

    return bs_cache_delete(&c->cache, &bytes);
}

apr_status_t bs_api_cache_incr(bsession_cache_t *c, const char *key, apr_int64_t by,
                               apr_interval_time_t life, apr_int64_t *now)
{
    bsession_bytes_t bytes = bytes_of(key);

    return bs_cache_incr(&c->cache, &bytes, by, life, now);
}

apr_status_t bs_api_cache_decr(bsession_cache_t *c, const char *key, apr_int64_t by,
                               apr_interval_time_t life, apr_int64_t *now)
{
    return by == APR_INT64_MIN ? APR_EINVAL : bs_api_cache_incr(c, key, -by, life, now);
}

/* ---- several at once ---- */

static bsession_bytes_t *all_bytes_of(const char *const *keys, int count, apr_pool_t *pool)
{
    bsession_bytes_t *all = apr_palloc(pool, (apr_size_t)count * sizeof *all);
    int i;

    for (i = 0; i < count; i++) {
        all[i] = bytes_of(keys[i]);
    }
    return all;
}

apr_status_t bs_api_cache_get_many(bsession_cache_t *c, const char *const *keys, int count,
                                   const char **values, apr_size_t *lens, apr_status_t *statuses)
{
    apr_pool_t *pool;
    bsession_bytes_t *found;
    apr_status_t status;
    int i;

    apr_pool_create(&pool, c->cache.pool);
    found = apr_pcalloc(pool, (apr_size_t)count * sizeof *found);
    status = bs_cache_get_many(&c->cache, all_bytes_of(keys, count, pool), count, found, statuses);
    for (i = 0; i < count; i++) {
        values[i] = found[i].data;
        if (lens) {
            lens[i] = found[i].len;
        }
    }
    apr_pool_destroy(pool);
    return status;
}

apr_status_t bs_api_cache_set_many(bsession_cache_t *c, const char *const *keys, int count,
                                   const void *const *values, const apr_size_t *lens,
                                   apr_interval_time_t life, apr_status_t *statuses)
{
    apr_pool_t *pool;
    bsession_bytes_t *given;
    apr_status_t status;
    int i;

    apr_pool_create(&pool, c->cache.pool);
    given = apr_palloc(pool, (apr_size_t)count * sizeof *given);
    for (i = 0; i < count; i++) {
        given[i].data = values[i];
        given[i].len = lens[i];
    }
    status = bs_cache_set_many(&c->cache, all_bytes_of(keys, count, pool), count, given, life,
                               statuses);
    apr_pool_destroy(pool);
    return status;
}

apr_status_t bs_api_cache_delete_many(bsession_cache_t *c, const char *const *keys, int count,
                                      apr_status_t *statuses)
{
    apr_pool_t *pool;
    apr_status_t status;

    apr_pool_create(&pool, c->cache.pool);
    status = bs_cache_delete_many(&c->cache, all_bytes_of(keys, count, pool), count, statuses);
    apr_pool_destroy(pool);
    return status;
}

apr_status_t bs_api_cache_clear(bsession_cache_t *c)
{
    return bs_cache_clear(&c->cache);
}
