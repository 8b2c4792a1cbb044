/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file parse.h
 * @brief Words of the configuration as numbers, and options as a list. See bsession_services_t,
 *        which hands these to backends.
 */
#ifndef BS_PARSE_H
#define BS_PARSE_H

#include "bsession_provider.h"

/** "64M": a whole number and B, K, M, G or T, or none for bytes; case-insensitive; no overflow. */
const char *bs_parse_size(apr_uint64_t *bytes, const char *text);
/** "300", "2s", "500ms", "5min", "24h", "30d": a whole number and a unit, or none for seconds
 *  (httpd's units and d; "mi" and "m" are not taken). Never negative; no overflow. */
const char *bs_parse_time(apr_interval_time_t *time, const char *text);
/** "on", "off", case-insensitive. */
const char *bs_parse_flag(int *on, const char *text);
/** A whole number in a range; the sentence names the range. `what` begins it. */
const char *bs_parse_number(apr_int64_t *number, const char *text, apr_int64_t low,
                            apr_int64_t high, const char *what, apr_pool_t *pool);

const char *bs_check_options(const bsession_options_t *options, const char *const *known,
                             apr_pool_t *pool);
const char *bs_option(const bsession_options_t *options, const char *name);

#endif
