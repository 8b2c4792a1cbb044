/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file cache.h
 * @brief The general cache: entries under keys of any bytes, in a store that holds sessions too.
 *
 * What is in it may go at any time where the store is short of room. How entries lie there is told
 * in cache_entry.h.
 */
#ifndef BS_CACHE_H
#define BS_CACHE_H

#include "store_call.h"

#define BS_CACHE_NAME_MAX 255
/* Of longer keys the meta holds a digest. */
#define BS_CACHE_KEY_MAX  16384

typedef struct {
    bs_store_t          *store;
    bsession_bytes_t     name;
    apr_interval_time_t  life;          /* that BSESSION_DEFAULT_LIFE stands for */
    apr_pool_t          *pool;          /* what is returned lives here */
    void                *where;         /* for bs_log */
    const bs_keys_t     *seal;          /* or NULL: see bs_caller_t */
} bs_cache_t;

/* Statuses as in mod_bsession.h, and lives, too. */
apr_status_t bs_cache_get(const bs_cache_t *c, const bsession_bytes_t *key,
                          bsession_bytes_t *value);
apr_status_t bs_cache_has(const bs_cache_t *c, const bsession_bytes_t *key);
apr_status_t bs_cache_set(const bs_cache_t *c, const bsession_bytes_t *key,
                          const bsession_bytes_t *value, apr_interval_time_t life);
/** The same, up to a moment; 0 = for ever. */
apr_status_t bs_cache_set_until(const bs_cache_t *c, const bsession_bytes_t *key,
                                const bsession_bytes_t *value, apr_time_t expires);
apr_status_t bs_cache_add(const bs_cache_t *c, const bsession_bytes_t *key,
                          const bsession_bytes_t *value, apr_interval_time_t life);
apr_status_t bs_cache_delete(const bs_cache_t *c, const bsession_bytes_t *key);
apr_status_t bs_cache_incr(const bs_cache_t *c, const bsession_bytes_t *key, apr_int64_t by,
                           apr_interval_time_t life, apr_int64_t *now);

apr_status_t bs_cache_get_many(const bs_cache_t *c, const bsession_bytes_t *keys, int n,
                               bsession_bytes_t *values, apr_status_t *statuses);
apr_status_t bs_cache_set_many(const bs_cache_t *c, const bsession_bytes_t *keys, int n,
                               const bsession_bytes_t *values, apr_interval_time_t life,
                               apr_status_t *statuses);
apr_status_t bs_cache_delete_many(const bs_cache_t *c, const bsession_bytes_t *keys, int n,
                                  apr_status_t *statuses);
apr_status_t bs_cache_clear(const bs_cache_t *c);

/** Called for each entry, which lives until it returns; anything but APR_SUCCESS ends the walk, and
 *  is what bs_cache_each returns. */
typedef apr_status_t (bs_cache_visitor_t)(void *baton, const bsession_bytes_t *key,
                                          const bsession_bytes_t *value);
/** APR_ENOTIMPL where the store does not scan. Entries with a key longer than BS_CACHE_KEY_MAX are
 *  passed over; one may come twice. */
apr_status_t bs_cache_each(const bs_cache_t *c, bs_cache_visitor_t *visit, void *baton);

#endif
