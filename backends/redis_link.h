/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_link.h
 * @brief One connection to one Redis server: commands there, replies back.
 *
 * hiredis parses the replies; the bytes come by redis_wire.h, so that one path serves every version
 * of hiredis, of which the older know no TLS. A link whose replies were not all read is closed:
 * what is still on its way would be the next user's answer.
 */
#ifndef REDIS_LINK_H
#define REDIS_LINK_H

#include <string.h>

#include "redis_reply.h"
#include "redis_wire.h"


/** Who we are there. */
typedef struct {
    const char          *user;              /* NULL or empty: AUTH with the password alone */
    const char          *password;          /* NULL: no AUTH */
    int                  db;
    int                  master;            /* it has to be one, and is asked for its ROLE */
    const redis_tls_t   *tls;               /* NULL: in the clear */
    apr_interval_time_t  connect_timeout;
} redis_login_t;

/** One word of a command. */
typedef struct {
    const char *data;
    apr_size_t  len;
} redis_word_t;

static inline redis_word_t redis_word(const char *text)
{
    redis_word_t word = { text, strlen(text) };

    return word;
}

typedef struct redis_link_t redis_link_t;

/** Not connected yet; all of it goes with the pool. */
redis_link_t *redis_link_make(const redis_address_t *address, const redis_login_t *login,
                              apr_pool_t *pool);

/** Whether it is connected; one that the other side has closed meanwhile is closed here, too. */
int          redis_link_is_open(redis_link_t *link);

/** Connects, unless it is connected. AUTH and SELECT are then queued, and ROLE where it has to be a
 *  master and has not said so for a while; they go out with the first command. */
apr_status_t redis_link_ready(redis_link_t *link, bsession_call_t *call);

/** Whether ready queued nothing. */
int          redis_link_is_settled(const redis_link_t *link);

/** Waits for the answers to what ready queued, which was sent. Before any command but a read: a
 *  server that refuses them would do it as somebody else, or in another database. */
apr_status_t redis_link_settle(redis_link_t *link, bsession_call_t *call);

/** Queues a command. */
apr_status_t redis_link_add(redis_link_t *link, const redis_word_t *words, int count);

/** Sends what is queued. */
apr_status_t redis_link_send(redis_link_t *link, bsession_call_t *call);

/** Whether some of a reply is there, or an end of the connection; waits for it. */
int          redis_link_hears(const redis_link_t *link, apr_time_t until);

/** The next reply, which lives as long as call->pool. Those to what ready queued are read before
 *  it, and end the link where they are errors, or speak of another role. */
apr_status_t redis_link_read(redis_link_t *link, redisReply **reply, bsession_call_t *call);

/** Until when one of so many parts of a call may take: all get as much of the time as is left, but
 *  enough for an answer from a distance, and not so much that one who is silent hides the
 *  others. */
apr_time_t   redis_link_share(const bsession_call_t *call, int parts);

/** One command to a server that is asked rarely, on a connection for that alone. The reply lives as
 *  long as call->pool. */
apr_status_t redis_link_consult(const redis_address_t *address, const redis_login_t *login,
                                const redis_word_t *words, int count, redisReply **reply,
                                bsession_call_t *call);

/** Whether it may serve somebody else: connected, and no reply is due. */
int          redis_link_is_clean(const redis_link_t *link);

/** It may be made ready again. */
void         redis_link_close(redis_link_t *link);

/** It, and its pool. */
void         redis_link_free(redis_link_t *link);

#endif
