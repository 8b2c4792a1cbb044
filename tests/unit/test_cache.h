/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file test_cache.h
 * @brief What the test files of the cache share: the calls with C strings, on the store of bed.h.
 */
#ifndef BS_TEST_CACHE_H
#define BS_TEST_CACHE_H

#include "bed.h"

#include "cache.h"

extern bs_cache_t cache;                    /* "things", entries for ever */

void cache_setup(void);
/** Another cache on the same store. */
bs_cache_t   cache_named(const char *name);
bsession_bytes_t cache_bytes(const char *text);

apr_status_t cache_set(const bs_cache_t *c, const char *key, const char *value);
apr_status_t cache_add(const bs_cache_t *c, const char *key, const char *value);
apr_status_t cache_delete(const bs_cache_t *c, const char *key);
/** The value, NULL for a miss; anything else fails. */
const char  *cache_get(const bs_cache_t *c, const char *key);
apr_status_t cache_status(const bs_cache_t *c, const char *key);
apr_status_t cache_incr(const bs_cache_t *c, const char *key, apr_int64_t by, apr_int64_t *now);

/** The record of the only entry in the store, past the provider, and where it lies. */
bsession_record_t *cache_record(bsession_key_t *key);
/** This takes its place. */
void               cache_put(const bsession_key_t *key, const bsession_record_t *record);

#endif
