/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_link.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#define REDIS_READ_BYTES 16384
#define REDIS_OUT_BYTES  512
/* What a large command needed is given back. */
#define REDIS_OUT_KEPT   65536
/* A server that said so is taken for a master for so long. */
#define REDIS_ROLE_GOOD  apr_time_from_sec(1)
/* For connecting, TLS and the answer of one of several servers: at least, and at most. */
#define REDIS_SHARE_LEAST apr_time_from_msec(100)
#define REDIS_SHARE_MOST  apr_time_from_sec(1)
/* What a record takes in the protocol's form. */
#define REDIS_REPLY_MOST (REDIS_RECORD_MOST + REDIS_RECORD_MOST / 4)

struct redis_link_t {
    apr_pool_t            *pool;            /* the link's */
    apr_pool_t            *connection;      /* emptied with each connection; NULL = none */
    const redis_address_t *address;
    const redis_login_t   *login;
    redis_wire_t           wire;
    redisReader           *reader;
    char                  *out;             /* malloc's */
    apr_size_t             out_len, out_room;
    int                    greeting;        /* replies to AUTH, SELECT and ROLE that are due */
    int                    role;            /* the last of these is ROLE's */
    apr_time_t             role_asked;
    int                    due;             /* replies to commands that are due */
};

redis_link_t *redis_link_make(const redis_address_t *address, const redis_login_t *login,
                              apr_pool_t *pool)
{
    redis_link_t *link = apr_pcalloc(pool, sizeof *link);

    link->pool = pool;
    link->address = address;
    link->login = login;
    return link;
}

static apr_status_t link_end(void *data)
{
    redis_link_t *link = data;

    if (link->reader) {
        redisReaderFree(link->reader);
    }
    free(link->out);
    link->reader = NULL;
    link->out = NULL;
    link->out_len = link->out_room = 0;
    link->greeting = link->role = link->due = 0;
    return APR_SUCCESS;
}

void redis_link_close(redis_link_t *link)
{
    if (link->connection) {
        apr_pool_destroy(link->connection);
    }
    link->connection = NULL;
}

void redis_link_free(redis_link_t *link)
{
    apr_pool_destroy(link->pool);
}

int redis_link_is_clean(const redis_link_t *link)
{
    return link->connection && !link->greeting && !link->due
           && link->reader->pos == link->reader->len;
}

static apr_status_t link_fail(redis_link_t *link, apr_status_t status, const char *what,
                              bsession_call_t *call)
{
    redis_link_close(link);
    return redis_wire_fail(link->address, status, what, call);
}

/* ------------------------------------------------------------------ a new connection */

static apr_status_t link_greet_with(redis_link_t *link, const redis_word_t *words, int count)
{
    apr_status_t status = redis_link_add(link, words, count);

    link->due = 0;
    link->greeting++;
    return status;
}

static apr_status_t link_ask_role(redis_link_t *link)
{
    redis_word_t word = redis_word("ROLE");

    link->role = 1;
    link->role_asked = redis_clock();
    return link_greet_with(link, &word, 1);
}

static apr_status_t link_greet(redis_link_t *link)
{
    const redis_login_t *login = link->login;
    char number[16];
    redis_word_t words[3];
    apr_status_t status = APR_SUCCESS;
    int count = 0;

    if (login->password) {
        words[count++] = redis_word("AUTH");
        if (login->user && *login->user) {
            words[count++] = redis_word(login->user);
        }
        words[count++] = redis_word(login->password);
        status = link_greet_with(link, words, count);
    }
    if (status == APR_SUCCESS && login->db) {
        apr_snprintf(number, sizeof number, "%d", login->db);
        words[0] = redis_word("SELECT");
        words[1] = redis_word(number);
        status = link_greet_with(link, words, 2);
    }
    return status == APR_SUCCESS && login->master ? link_ask_role(link) : status;
}

static apr_status_t link_begin(redis_link_t *link, bsession_call_t *call)
{
    apr_time_t until = redis_clock() + link->login->connect_timeout;
    apr_status_t status = apr_pool_create(&link->connection, link->pool);

    if (status != APR_SUCCESS) {
        link->connection = NULL;
        return status;
    }
    apr_pool_cleanup_register(link->connection, link, link_end, apr_pool_cleanup_null);
    status = redis_wire_open(&link->wire, link->address, link->login->tls,
                             until < call->deadline ? until : call->deadline, call,
                             link->connection);
    if (status != APR_SUCCESS) {
        redis_link_close(link);
        return status;
    }
    link->reader = redis_reader_make();
    return link->reader ? link_greet(link) : link_fail(link, APR_ENOMEM, "preparing", call);
}

int redis_link_is_open(redis_link_t *link)
{
    if (link->connection && (!redis_link_is_clean(link) || redis_wire_is_stale(&link->wire))) {
        redis_link_close(link);
    }
    return link->connection != NULL;
}

apr_status_t redis_link_ready(redis_link_t *link, bsession_call_t *call)
{
    if (!link->connection) {
        return link_begin(link, call);
    }
    return link->login->master && redis_clock() - link->role_asked > REDIS_ROLE_GOOD
           ? link_ask_role(link) : APR_SUCCESS;
}

/* ------------------------------------------------------------------ commands and replies */

/** Room for so many more bytes to send. */
static char *link_room(redis_link_t *link, apr_size_t more)
{
    apr_size_t room = link->out_room ? link->out_room : REDIS_OUT_BYTES;
    char *out;

    while (room - link->out_len < more) {
        room *= 2;
    }
    if (room > link->out_room) {
        out = realloc(link->out, room);
        if (!out) {
            return NULL;
        }
        link->out = out;
        link->out_room = room;
    }
    return link->out + link->out_len;
}

/** A mark, the number, and the end of the line. */
static char *link_count(char *to, char mark, apr_size_t number)
{
    char digits[24], *first = digits + sizeof digits;
    apr_size_t len;

    *--first = '\n';
    *--first = '\r';
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    *--first = mark;
    len = (apr_size_t)(digits + sizeof digits - first);
    memcpy(to, first, len);
    return to + len;
}

apr_status_t redis_link_add(redis_link_t *link, const redis_word_t *words, int count)
{
    apr_size_t need = 16;
    char *to;
    int i;

    for (i = 0; i < count; i++) {
        need += words[i].len + 32;
    }
    to = link_room(link, need);
    if (!to) {
        return APR_ENOMEM;
    }
    to = link_count(to, '*', (apr_size_t)count);
    for (i = 0; i < count; i++) {
        to = link_count(to, '$', words[i].len);
        if (words[i].len) {
            memcpy(to, words[i].data, words[i].len);
        }
        to += words[i].len;
        *to++ = '\r';
        *to++ = '\n';
    }
    link->out_len = (apr_size_t)(to - link->out);
    link->due++;
    return APR_SUCCESS;
}

apr_status_t redis_link_send(redis_link_t *link, bsession_call_t *call)
{
    apr_status_t status = redis_wire_write(&link->wire, link->out, link->out_len, call->deadline);

    if (status != APR_SUCCESS) {
        return link_fail(link, status, "sending", call);
    }
    link->out_len = 0;
    if (link->out_room > REDIS_OUT_KEPT) {
        free(link->out);
        link->out = NULL;
        link->out_room = 0;
    }
    return APR_SUCCESS;
}

static apr_status_t link_refuse(redis_link_t *link, bsession_call_t *call)
{
    redis_link_close(link);
    apr_snprintf(call->why, sizeof call->why, "%s: what came is not Redis's protocol",
                 redis_address_text(link->address, call->pool));
    return APR_EGENERAL;
}

static apr_status_t link_next(redis_link_t *link, redisReply **reply, bsession_call_t *call)
{
    char bytes[REDIS_READ_BYTES];
    apr_size_t all = 0;

    for (;;) {
        apr_size_t len = sizeof bytes;
        apr_status_t status;

        if (redis_reader_next(link->reader, reply, call->pool) != REDIS_OK) {
            return link_refuse(link, call);
        }
        if (all > REDIS_REPLY_MOST) {  /* no record of ours, and nothing is wrong with the server */
            redis_link_close(link);
            return BSESSION_ECORRUPT;
        }
        if (*reply) {
            return APR_SUCCESS;
        }
        status = redis_wire_read(&link->wire, bytes, &len, call->deadline);
        if (status != APR_SUCCESS) {
            return link_fail(link, status, "waiting for the answer", call);
        }
        all += len;
        if (redisReaderFeed(link->reader, bytes, len) != REDIS_OK) {
            return link_fail(link, APR_ENOMEM, "reading", call);
        }
    }
}

/** One of the answers that are due. An error's first word says enough, and quotes nobody. */
static apr_status_t link_judge(const redis_link_t *link, const redisReply *reply,
                               bsession_call_t *call)
{
    const redis_login_t *login = link->login;
    const char *name = redis_address_text(link->address, call->pool);
    int to_role = link->role && link->greeting == 1;
    int to_auth = login->password && link->greeting == 1 + (login->db != 0) + link->role;
    const char *what = to_role ? "ROLE"
                     : !to_auth ? apr_psprintf(call->pool, "database %d", login->db)
                     : login->user && *login->user ? "the user and password" : "the password";

    if (reply->type == REDIS_REPLY_ERROR) {
        apr_snprintf(call->why, sizeof call->why, "%s: the server refused %s: %.*s", name, what,
                     (int)strcspn(reply->str, " "), reply->str);
        return APR_EACCES;
    }
    if (to_role && (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0
                    || reply->element[0]->type != REDIS_REPLY_STRING
                    || strcmp(reply->element[0]->str, "master") != 0)) {
        apr_snprintf(call->why, sizeof call->why, "%s: the server is no master", name);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

/** The answers to AUTH, SELECT and ROLE. */
static apr_status_t link_greeted(redis_link_t *link, bsession_call_t *call)
{
    apr_status_t status = APR_SUCCESS;

    while (link->greeting) {
        redisReply *reply;

        status = link_next(link, &reply, call);
        if (status != APR_SUCCESS) {
            return status;
        }
        status = link_judge(link, reply, call);
        link->greeting--;
        if (status != APR_SUCCESS) {
            redis_link_close(link);
            return status;
        }
    }
    link->role = 0;
    return status;
}

int redis_link_is_settled(const redis_link_t *link)
{
    return !link->greeting;
}

apr_status_t redis_link_settle(redis_link_t *link, bsession_call_t *call)
{
    return link_greeted(link, call);
}

int redis_link_hears(const redis_link_t *link, apr_time_t until)
{
    return link->reader->pos < link->reader->len || redis_wire_hears(&link->wire, until);
}

apr_status_t redis_link_read(redis_link_t *link, redisReply **reply, bsession_call_t *call)
{
    apr_status_t status = link_greeted(link, call);

    if (status == APR_SUCCESS) {
        status = link_next(link, reply, call);
    }
    if (status == APR_SUCCESS) {
        link->due--;
    }
    return status;
}

apr_time_t redis_link_share(const bsession_call_t *call, int parts)
{
    apr_time_t now = redis_clock();
    apr_interval_time_t share = (call->deadline - now) / parts;

    share = share < REDIS_SHARE_LEAST ? REDIS_SHARE_LEAST
            : share > REDIS_SHARE_MOST ? REDIS_SHARE_MOST : share;
    return now + share < call->deadline ? now + share : call->deadline;
}

apr_status_t redis_link_consult(const redis_address_t *address, const redis_login_t *login,
                                const redis_word_t *words, int count, redisReply **reply,
                                bsession_call_t *call)
{
    redis_link_t *link;
    apr_pool_t *own;
    apr_status_t status = apr_pool_create(&own, call->pool);

    if (status != APR_SUCCESS) {
        return status;
    }
    link = redis_link_make(address, login, own);
    status = redis_link_ready(link, call);
    if (status == APR_SUCCESS) {
        status = redis_link_add(link, words, count);
    }
    if (status == APR_SUCCESS) {
        status = redis_link_send(link, call);
    }
    if (status == APR_SUCCESS) {
        status = redis_link_read(link, reply, call);
    }
    redis_link_free(link);
    return status;
}
