/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memory_scan.h
 * @brief The verb scan, a slice at a time: copied under a shard's lock, shown without it.
 */
#ifndef MEMORY_SCAN_H
#define MEMORY_SCAN_H

#include "memory_segment.h"

apr_status_t memory_scan_slice(const memory_segment_t *segment, const bsession_services_t *services,
                               char space, bsession_cursor_t *cursor, bsession_visitor_t *visit,
                               void *baton, bsession_call_t *call);

#endif
