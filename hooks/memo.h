/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memo.h
 * @brief What a connection remembers from one request to the next: a browser's next request mostly
 *        brings the very same cookies, and what they say need not be found out again.
 *
 * It decides nothing: stores are asked all the same.
 */
#ifndef BS_MEMO_H
#define BS_MEMO_H

#include "config.h"
#include "session.h"

/** The tokens that a request brought for one cookie. */
typedef struct {
    const bs_token_t *tokens;
    int               count;
    bs_digest_memo_t *digest;               /* or NULL */
    bs_token_t        own[BS_PRESENTED_MAX];
} bs_presented_t;

/** @param cookies  the Cookie header as it came, or NULL
 *  @param cookie   whose tokens are looked for, in the configuration `conf` */
void bs_presented_find(bs_presented_t *presented, conn_rec *c, const char *cookies,
                       const bs_cookie_t *cookie, const bs_dir_conf_t *conf);

#endif
