/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_backend.h
 * @brief Between redis.c, which has the five verbs, and redis_scan.c, which looks at many records.
 */
#ifndef REDIS_BACKEND_H
#define REDIS_BACKEND_H

#include <apr_strings.h>

#include "redis_ask.h"
#include "redis_conf.h"

struct bsession_backend_t {
    const bsession_services_t *services;
    redis_conf_t               conf;
    redis_topology_t          *topology;    /* of this child; NULL in the parent */
};

/** This process's; the parent's is for one call alone. NULL: out of memory. */
redis_topology_t *redis_topology_of(bsession_backend_t *backend, bsession_call_t *call);

static inline redis_word_t redis_number(apr_pool_t *pool, apr_int64_t value)
{
    return redis_word(apr_psprintf(pool, "%" APR_INT64_T_FMT, value));
}

/** The prefix and the text form: what the record is called there. */
#define REDIS_NAME_SIZE (REDIS_PREFIX_MAX + BSESSION_KEY_TEXT_SIZE)
apr_size_t   redis_key_text(const bsession_backend_t *backend, const bsession_key_t *key,
                            char text[REDIS_NAME_SIZE]);
redis_word_t redis_key_word(const bsession_backend_t *backend, const bsession_key_t *key,
                            apr_pool_t *pool);

/* In redis.c. */
apr_status_t redis_load(bsession_backend_t *backend, const bsession_key_t *key,
                        bsession_record_t *record, bsession_call_t *call);

/* In redis_scan.c. */
apr_status_t redis_scan(bsession_backend_t *backend, char space, bsession_cursor_t *cursor,
                        bsession_visitor_t *visit, void *baton, bsession_call_t *call);
apr_status_t redis_load_many(bsession_backend_t *backend, const bsession_key_t *keys, int count,
                             bsession_record_t *records, apr_status_t *statuses,
                             bsession_call_t *call);
void         redis_stats(bsession_backend_t *backend, bsession_stats_t *stats,
                         bsession_call_t *call);

#endif
