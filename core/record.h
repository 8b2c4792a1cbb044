/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file record.h
 * @brief A record as bytes. What every store keeps is written and read here, and nowhere else.
 *
 *      offset  size
 *      0       1     version of this layout, BS_RECORD_VERSION
 *      1       4     epoch
 *      5       2     length of meta
 *      7       4     number of fields
 *      11      -     meta
 *      then for each field
 *      0       2     length of the name
 *      2       4     length of the value
 *      6       -     name, NUL, value, NUL
 *
 * Numbers are little-endian. The NULs make C strings of what is read without copying it; meta,
 * which is the core's own and no string, has none.
 */
#ifndef BS_RECORD_H
#define BS_RECORD_H

#include "bsession_provider.h"

#define BS_RECORD_VERSION 1

/* These three are the codec of bsession_services_t, which documents them. record_size is exact;
 * record_read refuses what is truncated, what has bytes left over, and counts that could not fit,
 * before it allocates for them, and then leaves the record as it was. Meta and names have at most
 * 65,535 bytes, values less than 4 GB: the callers' limits are far below. */
apr_size_t   bs_record_size(const bsession_record_t *record);
void         bs_record_write(const bsession_record_t *record, void *to);
apr_status_t bs_record_read(bsession_record_t *record, const void *from, apr_size_t size,
                            apr_pool_t *pool);

/** What a digit stands for, in lower case; or -1. */
int          bs_hex_digit(char c);
char        *bs_key_text(const bsession_key_t *key, char text[BSESSION_KEY_TEXT_SIZE]);

#endif
