/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memory_truth.h
 * @brief What is true in a segment (see memory_shard.h), before anybody leans on it: could it be,
 * and is
 *        it what was left there?
 *
 * A segment in a file that was left in order is sealed: each shard's number follows from its
 * truth, and one more from the header. A byte that changed on the disk changes the number.
 */
#ifndef MEMORY_TRUTH_H
#define MEMORY_TRUTH_H

#include "memory_segment.h"

/** Seals a segment in which nobody writes; what remains to be done is to set `clean`. */
void         memory_truth_seal(const memory_segment_t *segment);

/** Whether this is the header that was sealed. */
int          memory_truth_is_header(const memory_header_t *header);

/** Reads only what is inside the segment, whatever it finds there.
 *  @param sealed  whether it is said to be as it was sealed
 *  @return APR_EGENERAL, with why, if it cannot be what somebody left there */
apr_status_t memory_truth_check(const memory_segment_t *segment, int sealed,
                                bsession_call_t *call);

#endif
