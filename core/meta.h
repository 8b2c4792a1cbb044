/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file meta.h
 * @brief What the core itself keeps in a session's record, beside the session's keys.
 *
 *      offset  size
 *      0       1     version, BS_META_VERSION
 *      1       8     created, microseconds since 1970, little-endian
 *      9       8     realm
 *      17      16    digest of the verifier
 *      then sections: tag, length (a byte each), contents; unknown tags are passed over
 *      'h'     24    a verifier that a login retired a moment ago: its digest, and when; several
 *      'b'     19    what the session is tied to: its kind, how many bits count of an IPv4 and of
 *                    an IPv6 address, and its digest; one of each kind
 *      'i'     8     when the verifier was made, where that was by BSessionRotate
 *      's'     25    a verifier that such a one has replaced: its digest, the time until which it
 *                    is good, and flags: 1 open, 2 seen; several, the latest last. See rotation.h
 *      'r'     16    the digest of one whose time is over: who comes with it has a copy; several,
 *                    the latest last
 *      'o'     1-255 the owner's name, where the session has one
 */
#ifndef BS_META_H
#define BS_META_H

#include <stddef.h>
#include <string.h>

#include "token.h"

#define BS_META_VERSION 1
#define BS_REALM_SIZE   8
/* All sections there are, an owner's name of 255 bytes included. */
#define BS_META_MAX     1024

/* What logins that follow each other may retire within the time that it is remembered. */
#define BS_RETIRED_MAX  8
/* Replaced ones that may be good at the same time, and spent ones that are remembered. */
#define BS_ASIDE_MAX    4
#define BS_SPENT_MAX    8

/** A verifier that another one has replaced: see rotation.h. */
typedef struct {
    unsigned char digest[BS_DIGEST_SIZE];
    apr_time_t    until;
    unsigned char open;                         /* good whatever `until` says */
    unsigned char seen;                         /* a client has come with it */
} bs_aside_t;

/** What a session may be tied to. */
typedef enum { BS_BIND_UA, BS_BIND_IP, BS_BIND_TLS, BS_BINDS } bs_bind_kind_t;

typedef struct {
    int           is;                           /* 0: it is not, by this */
    unsigned char bits[2];                      /* of IPv4, of IPv6 */
    unsigned char digest[BS_DIGEST_SIZE];
} bs_bound_t;

typedef struct {
    apr_time_t    created;
    unsigned char realm[BS_REALM_SIZE];
    unsigned char digest[BS_DIGEST_SIZE];
    apr_time_t    issued;                       /* 0 = by creation or login */
    bs_bound_t    bound[BS_BINDS];
    bsession_bytes_t owner;                     /* where the record's meta is, or a longer life; no
                                                   NUL follows. Empty: nobody's */
    int           nretired, naside, nspent;     /* of each list the latest is the last */
    /* the lists come last: mostly they are empty, and then nobody reads, clears or copies them */
    struct {
        unsigned char digest[BS_DIGEST_SIZE];
        apr_time_t    at;
    } retired[BS_RETIRED_MAX];
    bs_aside_t    aside[BS_ASIDE_MAX];
    unsigned char spent[BS_SPENT_MAX][BS_DIGEST_SIZE];
} bs_meta_t;

/** Of what has empty lists this is all there is. */
#define BS_META_HEAD offsetof(bs_meta_t, retired)

static inline void bs_meta_copy(bs_meta_t *to, const bs_meta_t *from)
{
    if (from->nretired || from->naside || from->nspent) {
        *to = *from;
    }
    else {
        memcpy(to, from, BS_META_HEAD);
    }
}

/** A verifier's digest joins the retired ones, and those before `forget` leave them. */
void         bs_meta_retire(bs_meta_t *meta, const unsigned char *digest, apr_time_t now,
                            apr_time_t forget);

/** The number of bytes written. */
apr_size_t   bs_meta_write(const bs_meta_t *meta, unsigned char to[BS_META_MAX]);
/** BSESSION_ECORRUPT for what bs_meta_write cannot have written. */
apr_status_t bs_meta_read(bs_meta_t *meta, const bsession_bytes_t *from);

/** A realm's name as its record keeps it; case does not count. */
apr_status_t bs_realm_digest(const char *name, unsigned char realm[BS_REALM_SIZE]);

#endif
