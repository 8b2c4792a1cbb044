/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file log.h
 * @brief The one way out for what the core has to say. Hooks install a function that writes to
 *        httpd's error log; tests one that collects lines.
 */
#ifndef BS_LOG_H
#define BS_LOG_H

#include <apr.h>
#include <apr_errno.h>

typedef enum { BS_LOG_ERROR, BS_LOG_WARNING, BS_LOG_INFO, BS_LOG_DEBUG } bs_level_t;

/** `where` is what the session or call was given by its maker: the hooks' request, or NULL. */
typedef void (bs_log_fn_t)(void *where, bs_level_t level, const char *text);

void bs_log_install(bs_log_fn_t *log);

/** Never pass a token, a value or a secret; name a session by its tag. */
void bs_log(void *where, bs_level_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** What a status of the contract means, in our own words: apr_strerror speaks of passwords for
 *  APR_EMISMATCH and of socket polls for APR_NOTFOUND. */
const char *bs_status_text(apr_status_t status);

#endif
