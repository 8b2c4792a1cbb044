/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file secret_source.h
 * @brief Where a secret is kept: what BSessionSecret and the passwords of stores may say in its
 *        place.
 *
 *     file:/path      a file; a relative path begins at ServerRoot
 *     env:NAME        a variable of httpd's own environment
 *     exec:/path ...  what a program prints, run without a shell
 *     anything else   is the secret
 *
 * One newline at its end is no part of it.
 */
#ifndef BS_SECRET_SOURCE_H
#define BS_SECRET_SOURCE_H

#include "httpd.h"

#include "bsession_provider.h"

/** Longer ones are refused. */
#define BS_SOURCE_MAX 4096

/** Whether the text names a place, and is no secret itself. */
int         bs_is_secret_source(const char *text);

/** While the configuration is read. What is read is wiped with the pool, and has a NUL behind it.
 *  @return NULL, or a sentence that has nothing of the secret in it */
const char *bs_read_secret(bsession_bytes_t *secret, const char *text, server_rec *s, apr_pool_t *p);

/** When all is read: what programs printed, and was kept for other lines that name them. */
void        bs_forget_programs(apr_pool_t *p);

/** Overwritten when the pool goes. */
void        bs_wipe_with(apr_pool_t *p, void *bytes, apr_size_t len);

#endif
