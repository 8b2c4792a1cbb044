/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memory_move.h
 * @brief All records into another segment, or as many of them as it has room for.
 */
#ifndef MEMORY_MOVE_H
#define MEMORY_MOVE_H

#include "memory_segment.h"

/** Of both segments nobody but the caller knows; `to` is empty. Users and leases come first, then
 *  those whose lives end last, which are those that were used last.
 *  @param moved, live  how many records were, and how many there are */
apr_status_t memory_move(const memory_segment_t *to, const memory_segment_t *from,
                         apr_uint64_t *moved, apr_uint64_t *live);

#endif
