/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memcached.h
 * @brief The Memcached store: an item for each record. `memcached:`; see memcached_conf.h.
 *
 * The client library's names begin with memcached_, and so ours do with mc_.
 */
#ifndef MEMCACHED_H
#define MEMCACHED_H

#include "bsession_provider.h"

extern const bsession_provider_t bsession_memcached_provider;

#endif
