/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memory_check.h
 * @brief Is what is derived in a segment what follows from its truth?
 */
#ifndef MEMORY_CHECK_H
#define MEMORY_CHECK_H

#include <apr_tables.h>

#include "memory_segment.h"

/** Walks the whole segment, each shard under its lock (and so repaired, like by anybody else, where
 *  its last owner died). No offset found in it is used before it is known to be inside.
 *  @param sentences  array of const char *; one is added for each thing that is wrong, 32 a shard
 *                    at most; they and their text are from its pool
 *  @return APR_SUCCESS if nothing is wrong, APR_EGENERAL if something is, otherwise why a shard
 *          could not be locked */
apr_status_t memory_check(const memory_segment_t *segment, apr_array_header_t *sentences,
                          bsession_call_t *call);

#endif
