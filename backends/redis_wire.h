/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_wire.h
 * @brief Bytes to a server and back: TCP or a UNIX socket, with TLS by OpenSSL or without, and
 *        nothing past a deadline.
 */
#ifndef REDIS_WIRE_H
#define REDIS_WIRE_H

#include <apr_network_io.h>
#include <openssl/ssl.h>

#include "bsession_provider.h"

/** Where a server listens. */
typedef struct {
    const char *host;                       /* NULL: `path` is a UNIX socket */
    apr_port_t  port;
    const char *path;
} redis_address_t;

/** "127.0.0.1:6379", "[::1]:6379" or the path, for messages. */
const char *redis_address_text(const redis_address_t *address, apr_pool_t *pool);

/** Whether they are written alike; of two that listen at TCP. */
int         redis_address_is(const redis_address_t *one, const redis_address_t *other);

/** Microseconds of a clock that nobody sets, by which this backend has all its deadlines, and what it
 *  looked at a while ago. A wall clock that is set back would prolong both. */
apr_time_t  redis_clock(void);

/** How to speak TLS; NULL where a function takes it: in the clear. */
typedef struct {
    SSL_CTX    *context;
    const char *servername;                 /* whom the certificate must name; NULL: the host */
    int         verify;
} redis_tls_t;

typedef struct {
    int                  fd;
    SSL                 *tls;
    apr_socket_t        *socket;
    apr_interval_time_t  patience;          /* the socket's own, without TLS, for one try */
    short                wants;             /* what OpenSSL waits for, as poll() has it, or 0 */
    int                  broken;            /* nothing more may be said there by TLS */
} redis_wire_t;

/** All of it ends with the pool. On failure `call->why` is filled. */
apr_status_t redis_wire_open(redis_wire_t *wire, const redis_address_t *address,
                             const redis_tls_t *tls, apr_time_t until, bsession_call_t *call,
                             apr_pool_t *pool);

/** Some bytes, at least one; their number is `len`. APR_EOF, APR_TIMEUP, or what went wrong. */
apr_status_t redis_wire_read(redis_wire_t *wire, char *to, apr_size_t *len, apr_time_t deadline);
/** All of them. */
apr_status_t redis_wire_write(redis_wire_t *wire, const char *from, apr_size_t len,
                              apr_time_t deadline);

/** Whether there is something to read, or an end; waits for it. */
int          redis_wire_hears(const redis_wire_t *wire, apr_time_t until);

/** An idle connection that the other side has closed, or that has something to say. */
int          redis_wire_is_stale(redis_wire_t *wire);

/** Says what went wrong in call->why, and nothing of what was sent or received. */
apr_status_t redis_wire_fail(const redis_address_t *address, apr_status_t status, const char *what,
                             bsession_call_t *call);

#endif
