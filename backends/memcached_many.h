/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memcached_many.h
 * @brief Many records at once: one question for each server that has any of them.
 */
#ifndef MEMCACHED_MANY_H
#define MEMCACHED_MANY_H

#include "bsession_provider.h"

/** As the provider's `load_many`. */
apr_status_t mc_load_many(bsession_backend_t *backend, const bsession_key_t *keys, int count,
                          bsession_record_t *records, apr_status_t *statuses,
                          bsession_call_t *call);

#endif
