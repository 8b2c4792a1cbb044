/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis.h
 * @brief The Redis store: a hash for each record. `redis://`, `rediss://`, `redis+unix:`; see
 *        redis_conf.h.
 */
#ifndef REDIS_H
#define REDIS_H

#include "bsession_provider.h"

/** One store, three schemes of a URL, each a provider. */
extern const bsession_provider_t bsession_redis_provider, bsession_rediss_provider,
                                 bsession_redis_unix_provider;

#endif
