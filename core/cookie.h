/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file cookie.h
 * @brief The session cookie: finding it, taking it out of what applications see, writing it.
 */
#ifndef BS_COOKIE_H
#define BS_COOKIE_H

#include "token.h"

typedef enum { BS_SECURE_ON, BS_SECURE_OFF, BS_SECURE_AUTO } bs_secure_t;
typedef enum { BS_LIFE_SESSION, BS_LIFE_IDLE, BS_LIFE_TIME } bs_cookie_life_t;

/** What BSessionCookie says. */
typedef struct {
    const char         *name;
    apr_size_t          name_len;
    const char         *path;
    const char         *domain;         /* NULL = none */
    const char         *same_site;      /* "Lax", "Strict", "None", or NULL = no attribute */
    bs_secure_t         secure;
    int                 http_only;
    int                 partitioned;
    bs_cookie_life_t    life;
    apr_interval_time_t life_time;      /* with BS_LIFE_TIME */
} bs_cookie_t;

#define BS_COOKIE_DEFAULT_NAME "bsession"
/* bsession; Path=/; Secure; HttpOnly; SameSite=Lax; ends with the browser */
extern const bs_cookie_t bs_cookie_default;

/** Attributes that contradict each other or that browsers refuse: NULL, or a sentence (in the pool)
 *  that says what was expected. Browsers cut what is over 4096 bytes or 400 days. Each part is
 *  looked at as well: name (a token of RFC 6265), path, domain, SameSite. */
const char *bs_cookie_check(const bs_cookie_t *cookie, apr_pool_t *pool);

/** Sets one attribute of BSessionCookie from its text, "SameSite=Strict"; names, and values that
 *  are words, are case-insensitive. `idle` and `session` and a time ("30d") are values of
 *  Lifetime=, `Off` one of SameSite=. NULL, or a sentence (in the pool), and then nothing was set.
 *  A path and a domain are taken as they are, but for one leading dot of a domain: bs_cookie_check
 *  looks at them, once all attributes are set. */
const char *bs_cookie_attribute(bs_cookie_t *cookie, const char *text, apr_pool_t *pool);

/** The tokens in well-formed cookies of this name in a Cookie header (which may be several, joined
 *  by ", " or "; "), at most `max`, each at most once; returns how many. Never allocates. */
int bs_cookie_find(const char *header, const char *name, apr_size_t name_len,
                   bs_token_t *tokens, int max);

/** The Cookie header without the cookies of these names (ended by NULL), the others byte for byte;
 *  the same pointer where there are none; NULL where nothing is left. What is returned may point
 *  into the header: it lives as long as that and the pool do. */
const char *bs_cookie_strip(const char *header, const char *const *names, apr_pool_t *pool);

/** The value of a Set-Cookie line. `secure` is the outcome of Secure=; max_age in seconds, or -1
 *  for a cookie that ends with the browser. A NULL token writes the line that deletes the cookie:
 *  all attributes the same, since a browser takes a deletion only where it would take the cookie,
 *  and Max-Age=0. */
const char *bs_cookie_line(const bs_cookie_t *cookie, const bs_token_t *token, int secure,
                           apr_int64_t max_age, apr_pool_t *pool);

/** Whether a Set-Cookie line sets the cookie of this name, with blanks around it or not, since
 *  browsers trim them. */
int bs_cookie_line_is(const char *line, const char *name, apr_size_t name_len);

#endif
