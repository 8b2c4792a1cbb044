/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include <apr_portable.h>
#include <apr_strings.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

/* A read comes back this often to look at the deadline; so only a call with less time left than
 * this has to set the socket's own. */
#define REDIS_LOOK apr_time_from_msec(100)

/* Statuses: what OpenSSL gives as a reason, by its number. */
#define REDIS_ETLS      (APR_OS_START_USERERR + 8000)
#define REDIS_ETLS_MOST (REDIS_ETLS + 1999)

const char *redis_address_text(const redis_address_t *address, apr_pool_t *pool)
{
    if (!address->host) {
        return address->path;
    }
    return apr_psprintf(pool, strchr(address->host, ':') ? "[%s]:%d" : "%s:%d", address->host,
                        (int)address->port);
}

int redis_address_is(const redis_address_t *one, const redis_address_t *other)
{
    return one->port == other->port && strcmp(one->host, other->host) == 0;
}

apr_time_t redis_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec((apr_time_t)now.tv_sec) + now.tv_nsec / 1000;
}

static const char *wire_reason(apr_status_t status, char *text, apr_size_t size)
{
    const char *reason = NULL;

    if (status == APR_EOF) {
        return "the server closed the connection";
    }
    if (status < REDIS_ETLS || status > REDIS_ETLS_MOST) {
        return apr_strerror(status, text, size);
    }
    reason = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, status - REDIS_ETLS));
    return reason ? reason : "OpenSSL gives it up";
}

apr_status_t redis_wire_fail(const redis_address_t *address, apr_status_t status, const char *what,
                             bsession_call_t *call)
{
    const char *name = redis_address_text(address, call->pool);
    char text[64];

    if (APR_STATUS_IS_TIMEUP(status)) {
        apr_snprintf(call->why, sizeof call->why, "%s: %s took too long", name, what);
        return APR_TIMEUP;
    }
    apr_snprintf(call->why, sizeof call->why, "%s: %s: %s", name, what,
                 wire_reason(status, text, sizeof text));
    return status;
}

/* ------------------------------------------------------------------ waiting */

/** The socket gives up a read or write in time for the deadline. */
static apr_status_t wire_limit(redis_wire_t *wire, apr_interval_time_t left)
{
    apr_interval_time_t patience = left < REDIS_LOOK ? left : REDIS_LOOK;
    struct timeval t = { 0, (suseconds_t)patience };

    if (wire->patience == patience) {
        return APR_SUCCESS;
    }
    if (setsockopt(wire->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)
        || setsockopt(wire->fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t)) {
        return errno;
    }
    wire->patience = patience;
    return APR_SUCCESS;
}

/** Before each try to read or write. OpenSSL reads on until it has a whole record; from a socket
 *  that waits, one that comes in drops would take it past every deadline. So TLS's does not, and
 *  what OpenSSL wants is waited for here. */
static apr_status_t wire_wait_until(redis_wire_t *wire, apr_time_t deadline)
{
    apr_interval_time_t left = deadline - redis_clock();
    struct pollfd p = { .fd = wire->fd, .events = wire->wants };

    if (left <= 0) {
        return APR_TIMEUP;
    }
    if (!wire->tls) {
        return wire_limit(wire, left);
    }
    left = left / 1000 + 1;
    if (wire->wants && poll(&p, 1, left < 10000 ? (int)left : 10000) < 0 && errno != EINTR) {
        return errno;
    }
    wire->wants = 0;
    return APR_SUCCESS;
}

/** A connection that ends without a word of TLS is one that ends. */
static apr_status_t wire_tls_failure(unsigned long error)
{
    int reason = ERR_GET_REASON(error);

    return reason == SSL_R_UNEXPECTED_EOF_WHILE_READING || ERR_SYSTEM_ERROR(error)
           ? APR_EOF : ERR_GET_LIB(error) == ERR_LIB_SSL ? REDIS_ETLS + reason : REDIS_ETLS;
}

/** What a call of OpenSSL came to: APR_SUCCESS, APR_EAGAIN, or what went wrong. Before the call the
 *  thread's list of errors was empty: others leave theirs, which would be taken for this one's. */
static apr_status_t wire_tls_status(redis_wire_t *wire, int done)
{
    int because = errno;
    apr_status_t status = APR_SUCCESS;

    switch (SSL_get_error(wire->tls, done)) {
    case SSL_ERROR_NONE:
        return APR_SUCCESS;
    case SSL_ERROR_WANT_READ:
        wire->wants = POLLIN;
        return APR_EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        wire->wants = POLLOUT;
        return APR_EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return APR_EOF;
    case SSL_ERROR_SYSCALL:
        status = because ? because : APR_EOF;
        break;
    default:
        status = wire_tls_failure(ERR_peek_error());
    }
    wire->broken = 1;
    ERR_clear_error();
    return status;
}

static apr_status_t wire_status(redis_wire_t *wire, apr_ssize_t done)
{
    if (done > 0) {
        return APR_SUCCESS;
    }
    if (wire->tls) {
        return wire_tls_status(wire, (int)done);
    }
    return done == 0 ? APR_EOF : errno == EWOULDBLOCK || errno == EINTR ? APR_EAGAIN : errno;
}

static void wire_forget_errors(const redis_wire_t *wire)
{
    errno = 0;
    if (wire->tls) {
        ERR_clear_error();
    }
}

apr_status_t redis_wire_read(redis_wire_t *wire, char *to, apr_size_t *len, apr_time_t deadline)
{
    apr_size_t most = *len;
    apr_status_t status;

    do {
        status = wire_wait_until(wire, deadline);
        if (status == APR_SUCCESS) {
            apr_ssize_t done;

            wire_forget_errors(wire);
            done = wire->tls ? SSL_read(wire->tls, to, (int)most) : recv(wire->fd, to, most, 0);
            status = wire_status(wire, done);
            *len = done > 0 ? (apr_size_t)done : 0;
        }
    } while (status == APR_EAGAIN);
    return status;
}

/** OpenSSL wants the same bytes again where it could not write them, and so do we. */
static apr_status_t wire_write_some(redis_wire_t *wire, const char *from, apr_size_t *len, int flags)
{
    int most = *len > 1 << 20 ? 1 << 20 : (int)*len;
    apr_ssize_t done;

    wire_forget_errors(wire);
    done = wire->tls ? SSL_write(wire->tls, from, most)
                     : send(wire->fd, from, (apr_size_t)most, MSG_NOSIGNAL | flags);
    *len = done > 0 ? (apr_size_t)done : 0;
    return wire_status(wire, done);
}

apr_status_t redis_wire_write(redis_wire_t *wire, const char *from, apr_size_t len,
                              apr_time_t deadline)
{
    apr_status_t status = APR_SUCCESS, late;

    wire->wants = 0;
    while (len) {
        apr_size_t some = len;

        /* mostly there is room, and the clock need not be looked at */
        status = wire_write_some(wire, from, &some, status == APR_SUCCESS ? MSG_DONTWAIT : 0);
        if (status == APR_SUCCESS) {
            from += some;
            len -= some;
        }
        else if (status != APR_EAGAIN) {
            return status;
        }
        if (len && (late = wire_wait_until(wire, deadline)) != APR_SUCCESS) {
            return late;
        }
    }
    wire->wants = POLLIN;               /* the answer is not there yet: to look would be in vain */
    return APR_SUCCESS;
}

static int wire_is_readable(const redis_wire_t *wire, apr_interval_time_t patience)
{
    struct pollfd p = { .fd = wire->fd, .events = POLLIN };

    return poll(&p, 1, patience > 0 ? (int)((patience + 999) / 1000) : 0) != 0;
}

int redis_wire_hears(const redis_wire_t *wire, apr_time_t until)
{
    return (wire->tls && SSL_pending(wire->tls) > 0)
           || wire_is_readable(wire, until - redis_clock());
}

/** Of a record that has come in part nobody knows yet what it is. */
static int wire_is_amid_record(const redis_wire_t *wire)
{
    return SSL_has_pending(wire->tls) || strcmp(SSL_rstate_string(wire->tls), "RH") != 0;
}

/** With TLS, what is there may be a ticket, which OpenSSL takes in. */
int redis_wire_is_stale(redis_wire_t *wire)
{
    while (wire_is_readable(wire, 0)) {
        char byte;

        wire_forget_errors(wire);
        if (!wire->tls || wire_status(wire, SSL_peek(wire->tls, &byte, 1)) != APR_EAGAIN) {
            return 1;
        }
        wire->wants = 0;
    }
    return wire->tls && wire_is_amid_record(wire);
}

/* ------------------------------------------------------------------ connecting */

static apr_status_t wire_connect_one(redis_wire_t *wire, apr_sockaddr_t *to, int protocol,
                                     apr_interval_time_t patience, apr_pool_t *pool)
{
    apr_status_t status = apr_socket_create(&wire->socket, to->family, SOCK_STREAM, protocol, pool);

    if (status == APR_SUCCESS) {
        apr_socket_timeout_set(wire->socket, patience);
        status = apr_socket_connect(wire->socket, to);
        if (status != APR_SUCCESS) {
            apr_socket_close(wire->socket);
        }
    }
    return status;
}

/** So many are still to be tried. */
static int wire_addresses(const apr_sockaddr_t *to)
{
    int count = 0;

    for (; to; to = to->next) {
        count++;
    }
    return count;
}

/** A name's addresses in turn, each for its share of the time there is: one that swallows
 *  everything must not hide the next. */
static apr_status_t wire_connect(redis_wire_t *wire, const redis_address_t *address,
                                 apr_time_t until, apr_pool_t *pool)
{
    int tcp = address->host != NULL;
    apr_sockaddr_t *to = NULL;
    apr_status_t status = apr_sockaddr_info_get(&to, tcp ? address->host : address->path,
                                                tcp ? APR_UNSPEC : APR_UNIX, address->port, 0,
                                                pool);

    if (status != APR_SUCCESS) {
        return status;
    }
    do {
        apr_interval_time_t left = until - redis_clock();

        status = left <= 0 ? APR_TIMEUP
                           : wire_connect_one(wire, to, tcp ? APR_PROTO_TCP : 0,
                                              left / wire_addresses(to) + 1, pool);
        to = to->next;
    } while (status != APR_SUCCESS && to);
    return status;
}

/** From here on reads and writes wait as long as wire_wait_until() says. */
static apr_status_t wire_settle(redis_wire_t *wire, int tcp, int tls)
{
    apr_os_sock_t fd;
    apr_status_t status;

    if (tcp) {
        apr_socket_opt_set(wire->socket, APR_TCP_NODELAY, 1);
        apr_socket_opt_set(wire->socket, APR_SO_KEEPALIVE, 1);
    }
    apr_socket_timeout_set(wire->socket, tls ? 0 : -1);
    status = apr_os_sock_get(&fd, wire->socket);
    wire->fd = fd;
    wire->patience = 0;
    return status;
}

static int wire_is_number(const char *name)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/** Whom to ask for, where it is a name, and whom the certificate must name. */
static int wire_expect(redis_wire_t *wire, const redis_tls_t *tls, const char *name)
{
    SSL_set_verify(wire->tls, tls->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_set_hostflags(wire->tls, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return !name || ((wire_is_number(name) || SSL_set_tlsext_host_name(wire->tls, name) == 1)
                     && (!tls->verify || SSL_set1_host(wire->tls, name) == 1));
}

static apr_status_t wire_shake_hands(redis_wire_t *wire, const redis_tls_t *tls, const char *name,
                                     apr_time_t until)
{
    apr_status_t status;

    wire->tls = SSL_new(tls->context);
    if (!wire->tls || SSL_set_fd(wire->tls, wire->fd) != 1) {
        return APR_ENOMEM;
    }
    if (!wire_expect(wire, tls, name)) {
        return APR_EINVAL;
    }
    do {
        status = wire_wait_until(wire, until);
        if (status == APR_SUCCESS) {
            wire_forget_errors(wire);
            status = wire_status(wire, SSL_connect(wire->tls));
        }
    } while (status == APR_EAGAIN);
    return status;
}

/** Says goodbye, which does not wait, where there is still somebody to say it to. */
static apr_status_t wire_free_tls(void *data)
{
    redis_wire_t *wire = data;

    if (wire->tls && !wire->broken && SSL_is_init_finished(wire->tls)) {
        SSL_shutdown(wire->tls);
        ERR_clear_error();
    }
    SSL_free(wire->tls);
    wire->tls = NULL;
    return APR_SUCCESS;
}

static apr_status_t wire_begin_tls(redis_wire_t *wire, const redis_address_t *address,
                                   const redis_tls_t *tls, apr_time_t until,
                                   bsession_call_t *call, apr_pool_t *pool)
{
    apr_status_t status;
    long verdict;

    apr_pool_cleanup_register(pool, wire, wire_free_tls, apr_pool_cleanup_null);
    status = wire_shake_hands(wire, tls, tls->servername ? tls->servername : address->host, until);
    verdict = wire->tls ? SSL_get_verify_result(wire->tls) : X509_V_OK;
    if (status != APR_SUCCESS && tls->verify && verdict != X509_V_OK) {
        apr_snprintf(call->why, sizeof call->why, "%s: its certificate is refused: %s",
                     redis_address_text(address, call->pool),
                     X509_verify_cert_error_string(verdict));
        return APR_EACCES;
    }
    return status == APR_SUCCESS ? status
                                 : redis_wire_fail(address, status, "the TLS handshake", call);
}

apr_status_t redis_wire_open(redis_wire_t *wire, const redis_address_t *address,
                             const redis_tls_t *tls, apr_time_t until, bsession_call_t *call,
                             apr_pool_t *pool)
{
    apr_status_t status;

    memset(wire, 0, sizeof *wire);
    status = wire_connect(wire, address, until, pool);
    if (status == APR_SUCCESS) {
        status = wire_settle(wire, address->host != NULL, tls != NULL);
    }
    if (status != APR_SUCCESS) {
        return redis_wire_fail(address, status, "connecting", call);
    }
    return tls ? wire_begin_tls(wire, address, tls, until, call, pool) : APR_SUCCESS;
}
