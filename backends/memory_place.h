/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memory_place.h
 * @brief The file of a segment, seen from outside: its name, whose it is, and who has it.
 */
#ifndef MEMORY_PLACE_H
#define MEMORY_PLACE_H

#include "memory_segment.h"

/** What went wrong, into call->why; returns the status. */
apr_status_t memory_say(apr_status_t status, bsession_call_t *call, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The path without links and doublings in its directory, which nobody may write whom it does not
 *  concern. */
apr_status_t memory_place_path(const char **path, const char *given, bsession_call_t *call);

/** Opens the file for this process and its children alone; waits for others until the deadline.
 *  @param flags  O_CREAT, or 0: APR_ENOENT where there is none */
apr_status_t memory_place_take(int *descriptor, const char *path, int flags,
                               bsession_call_t *call);

/** Whether this is the file at the path. */
int          memory_place_is_at(int descriptor, const char *path);

/** Does it begin as a segment does? */
int          memory_place_is_ours(int descriptor);

/** Neither empty nor a segment. */
int          memory_place_is_foreign(int descriptor);

/** Whether something has the name that a new file may not take: all but an empty file. */
int          memory_place_is_used(const char *path);

/** The file's name becomes another, `to`; the file that had that one loses it. */
apr_status_t memory_place_name(const char *from, const char *to, bsession_call_t *call);

/** The same with .aside behind its name, but nothing that is not ours loses its own. */
apr_status_t memory_place_aside(const char *path, bsession_call_t *call);

#endif
