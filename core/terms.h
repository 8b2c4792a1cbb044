/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file terms.h
 * @brief How a session lives: what the place that opened it says, pinned for the whole request.
 *
 * All zeros but the store and the lives is a session without any of the rules below.
 */
#ifndef BS_TERMS_H
#define BS_TERMS_H

#include "meta.h"
#include "store_call.h"

/* Where BSessionRotate does not say: other places may rotate the same session. */
#define BS_DEFAULT_GRACE apr_time_from_sec(10)

/** BSessionRotate: the token is replaced from time to time. */
typedef struct {
    apr_interval_time_t every;          /* 0 = Off */
    apr_interval_time_t grace;          /* so long a replaced token is good, once the new one
                                           came */
    int                 revoke;         /* one that comes later ends the session */
} bs_rotate_rule_t;

/** BSessionLock: one request at a time. */
typedef struct {
    int                 on;
    apr_interval_time_t wait;
    apr_interval_time_t lease;          /* a holder that is never heard of again has it so long */
} bs_lock_rule_t;

/** BSessionUser: whose session it is. */
typedef struct {
    const char         *key;            /* of the session; NULL = nobody's */
    int                 max;            /* sessions of one owner; 0 = any number */
    int                 evict;          /* at the limit the oldest goes, and not the newest */
} bs_user_rule_t;

/** BSessionBind: what a session is tied to. */
typedef struct {
    unsigned            kinds;          /* 1 << bs_bind_kind_t */
    unsigned char       bits[2];        /* that count, of an IPv4 and of an IPv6 address */
    int                 revoke;         /* who shows something else ends it */
} bs_bind_rule_t;

typedef struct {
    bs_store_t          *store;
    bs_store_t          *older;             /* BSessionMigrateFrom, or NULL */
    unsigned char        realm[BS_REALM_SIZE];
    const bs_keys_t     *keys;              /* of BSessionSecret: tokens have a MAC; or NULL */
    const bs_keys_t     *seal;              /* the same where BSessionSeal is On, or NULL */
    apr_interval_time_t  idle;
    apr_interval_time_t  absolute;          /* 0 = off */
    int                  read_prolongs;     /* BSessionSlide access, and not Passive */
    int                  cookie_follows;    /* the cookie's life is the record's: Lifetime=idle */
    apr_size_t           max_bytes;
    apr_size_t           max_fields;
    bs_rotate_rule_t     rotate;
    bs_lock_rule_t       lock;
    bs_user_rule_t       user;
    bs_bind_rule_t       bind;
} bs_terms_t;

#endif
