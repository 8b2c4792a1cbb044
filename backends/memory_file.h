/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memory_file.h
 * @brief A segment in a file, which outlives httpd: `memory:/path`.
 *
 * The file is the segment, mapped; httpd keeps it open and locked, and so do its children, for a
 * lock of flock() is inherited. It is as long as what is reserved, and has holes where nothing is
 * used yet; what may be used has room set aside for it, since memory that the disk has no room for
 * is a SIGBUS.
 *
 * WHAT A START FINDS
 *
 *     nothing                             a new file
 *     a file of somebody else's           a refusal: it may be anything
 *     another layout, a damaged header    set aside, and a new file
 *     in order, and its seals fit         used
 *     in order, and its seals do not fit  set aside, and a new file
 *     left in the middle, in this boot    used: what was written is there, whoever was killed
 *     left in the middle, in another      set aside: pages may never have reached the disk
 *
 * "Used" means that its truth is looked at first, that all mutexes are made anew and all that is
 * derived is derived again. Set aside is a file that is renamed to PATH.aside, in place of an
 * earlier one. While a new file is made it is PATH.new.
 */
#ifndef MEMORY_FILE_H
#define MEMORY_FILE_H

#include "memory_segment.h"

/** The segment in the file, for the parent before it forks. A notice in call->why where it is not
 *  what was there, or not what was asked for. Waits until the deadline for others to let go of it.
 *  @param path  from memory_place_path() */
apr_status_t memory_file_open(memory_segment_t *segment, int *descriptor, const char *path,
                              apr_uint64_t size, bsession_call_t *call);

/** Sets room aside for all that a segment with this header uses under this limit. Others may be
 *  using it. */
apr_status_t memory_file_room(int descriptor, const memory_header_t *header, apr_uint64_t limit,
                              bsession_call_t *call);

/** Seals it and writes it to the disk; nobody uses it any more. */
apr_status_t memory_file_leave(const memory_segment_t *segment, int descriptor,
                               bsession_call_t *call);

#endif
