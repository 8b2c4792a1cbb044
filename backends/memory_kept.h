/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memory_kept.h
 * @brief The segment of a store, over graceful restarts.
 *
 * The parent keeps it mapped, and remembers where in the pool of the process, which no restart
 * clears. The children of the old generation go on with it, and so it can grow, in place, and not
 * shrink.
 */
#ifndef MEMORY_KEPT_H
#define MEMORY_KEPT_H

#include "memory_segment.h"

/** The segment that this httpd already has for the store, or one from memory_segment_new() or
 *  memory_file_open(). A notice in call->why where it is not what was asked for.
 *  @param path        NULL: it is in no file, and known by the name
 *  @param descriptor  of the file, or -1 */
apr_status_t memory_kept_open(memory_segment_t *segment, int *descriptor, const char *name,
                              const char *path, apr_uint64_t size, apr_pool_t *process_pool,
                              bsession_call_t *call);

#endif
