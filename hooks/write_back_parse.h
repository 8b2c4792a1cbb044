/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file write_back_parse.h
 * @brief The value of a BSession-Set, -Unset, -Incr, -User, -Clear, -Rotate or -Destroy header.
 *
 * `k=v&k2=v2`, urlencoded; `+` is a space. Since CGI and proxies join repeated headers with commas,
 * a raw comma separates as `&` does, and white space around it does not count. APR only, for the
 * fuzzers.
 */
#ifndef BS_WRITE_BACK_PARSE_H
#define BS_WRITE_BACK_PARSE_H

#include <apr_tables.h>

#include "bsession_provider.h"

typedef enum { BS_PAIRS, BS_NAMES, BS_NUMBERS, BS_YES, BS_NAME } bs_write_back_form_t;

/** The pairs of a line, decoded, as an array of bsession_field_t; of BS_NAMES and BS_YES only
 *  the names are there, of BS_NAME one value, which may be empty and has no NUL. NULL, or a
 *  sentence that says what was expected, and never quotes a value. */
const char *bs_write_back_parse(apr_array_header_t **pairs, const char *line,
                                bs_write_back_form_t form, apr_pool_t *p);

#endif
