/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file urlencode.h
 * @brief Names and values in a line of text, both ways: BSession-Data and the write-back headers.
 *        What is encoded has letters, digits, `-._~` and `%XX` and nothing else, so that nothing in
 *        it ends a line, a pair or a name.
 */
#ifndef BS_URLENCODE_H
#define BS_URLENCODE_H

#include "bsession_provider.h"

/** How long it becomes; no need to know exactly once that is over `most`. */
apr_size_t bs_urlencoded_len(const bsession_bytes_t *bytes, apr_size_t most);

/** Returns where it ends; no NUL is put there. */
char      *bs_urlencode(char *to, const bsession_bytes_t *bytes);

/** Into a copy with a NUL behind it; `+` is a space. 0 where a % is not followed by two hex digits,
 *  or a raw control character stands there. */
int        bs_urldecode(bsession_bytes_t *bytes, const char *from, apr_size_t len, apr_pool_t *p);

#endif
