/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memo.h"

#include <string.h>

#include "http_config.h"

/* Of a longer Cookie header nothing is remembered but the digest: most are shorter, and the memory
 * is taken for as long as the connection stays. */
#define HEADER_MOST 512

/* One thread at a time works for a connection. */
typedef struct {
    bs_digest_memo_t   digest;
    const bs_cookie_t *cookie;              /* whose tokens are remembered; NULL = none are */
    int                count;
    bs_token_t         tokens[BS_PRESENTED_MAX];
    apr_size_t         len;
    char               header[HEADER_MOST]; /* that they were found in */
} memo_t;

/** Streams of HTTP/2 are served by several threads at once, and so have none. */
static memo_t *memo_of(conn_rec *c)
{
    memo_t *memo = ap_get_module_config(c->conn_config, &bsession_module);

    if (!memo && !c->master) {
        memo = apr_pcalloc(c->pool, sizeof *memo);
        ap_set_module_config(c->conn_config, &bsession_module, memo);
    }
    return memo;
}

/** A cookie that .htaccess names is gone with its request, and another one may have its address. */
static void remember(memo_t *memo, const bs_presented_t *presented, const char *cookies,
                     apr_size_t len, const bs_cookie_t *cookie, int brief)
{
    memo->cookie = NULL;
    if (!brief && len <= sizeof memo->header) {
        memcpy(memo->header, cookies, len);
        memcpy(memo->tokens, presented->tokens,
               (apr_size_t)presented->count * sizeof *memo->tokens);
        memo->len = len;
        memo->count = presented->count;
        memo->cookie = cookie;
    }
}

void bs_presented_find(bs_presented_t *presented, conn_rec *c, const char *cookies,
                       const bs_cookie_t *cookie, const bs_dir_conf_t *conf)
{
    memo_t *memo = cookies ? memo_of(c) : NULL;
    apr_size_t len = memo ? strlen(cookies) : 0;

    presented->digest = memo ? &memo->digest : NULL;
    if (memo && memo->cookie == cookie && !conf->brief && memo->len == len
        && bs_text_equal(memo->header, cookies, len)) {
        presented->tokens = memo->tokens;
        presented->count = memo->count;
        return;
    }
    presented->tokens = presented->own;
    presented->count = cookies ? bs_cookie_find(cookies, cookie->name, cookie->name_len,
                                                presented->own, BS_PRESENTED_MAX) : 0;
    if (memo) {
        remember(memo, presented, cookies, len, cookie, conf->brief);
    }
}
