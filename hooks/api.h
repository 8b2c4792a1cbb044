/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef BS_API_H
#define BS_API_H

#include "httpd.h"

#include "mod_bsession.h"

/** Offers the functions of include/mod_bsession.h to other modules. */
void bs_register_api(apr_pool_t *p);

/* Some of them are in files of their own: sessions outside of a request in api_open.c, the cache in
 * api_cache.c. */
bsession_t  *bs_api_open(server_rec *server, const char *store, const char *token,
                         apr_pool_t *pool);
apr_status_t bs_api_close(bsession_t *s);

bsession_cache_t *bs_api_cache(const char *store, const char *name, apr_interval_time_t life,
                               apr_pool_t *pool);
apr_status_t bs_api_cache_get(bsession_cache_t *c, const char *key, const char **value,
                              apr_size_t *len);
apr_status_t bs_api_cache_has(bsession_cache_t *c, const char *key);
apr_status_t bs_api_cache_set(bsession_cache_t *c, const char *key, const void *value,
                              apr_size_t len, apr_interval_time_t life);
apr_status_t bs_api_cache_add(bsession_cache_t *c, const char *key, const void *value,
                              apr_size_t len, apr_interval_time_t life);
apr_status_t bs_api_cache_delete(bsession_cache_t *c, const char *key);
apr_status_t bs_api_cache_incr(bsession_cache_t *c, const char *key, apr_int64_t by,
                               apr_interval_time_t life, apr_int64_t *now);
apr_status_t bs_api_cache_decr(bsession_cache_t *c, const char *key, apr_int64_t by,
                               apr_interval_time_t life, apr_int64_t *now);
apr_status_t bs_api_cache_get_many(bsession_cache_t *c, const char *const *keys, int count,
                                   const char **values, apr_size_t *lens, apr_status_t *statuses);
apr_status_t bs_api_cache_set_many(bsession_cache_t *c, const char *const *keys, int count,
                                   const void *const *values, const apr_size_t *lens,
                                   apr_interval_time_t life, apr_status_t *statuses);
apr_status_t bs_api_cache_delete_many(bsession_cache_t *c, const char *const *keys, int count,
                                      apr_status_t *statuses);
apr_status_t bs_api_cache_clear(bsession_cache_t *c);

#endif
