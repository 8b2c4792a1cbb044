/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memory.h
 * @brief The memory store: records in memory that all children share. `memory:` or `memory:/path`,
 *        option `size=`.
 *
 * It outlives a graceful restart; in a file it outlives httpd, and otherwise dies with it. When it
 * is full, what has expired goes first and then, roughly, what was not used for longest.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include "bsession_provider.h"

struct memory_segment_t;

extern const bsession_provider_t bsession_memory_provider;

/** The segment behind an opened store, for memory_check() and for tests. */
const struct memory_segment_t *memory_backend_segment(const bsession_backend_t *backend);

#endif
