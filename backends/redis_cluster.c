/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_cluster.h"

#include <apr_strings.h>

/* ------------------------------------------------------------------ slots */

/** CRC16 by half bytes: polynomial 1021, from 0, nothing reflected. */
static unsigned cluster_crc(const char *text, apr_size_t len)
{
    static const unsigned short table[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
        0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef
    };
    unsigned crc = 0;

    while (len--) {
        unsigned byte = (unsigned char)*text++;

        crc = (crc << 4 & 0xffff) ^ table[crc >> 12 ^ byte >> 4];
        crc = (crc << 4 & 0xffff) ^ table[crc >> 12 ^ (byte & 15)];
    }
    return crc;
}

int redis_cluster_slot(const char *key, apr_size_t len)
{
    const char *open = memchr(key, '{', len);
    const char *close = open ? memchr(open, '}', len - (apr_size_t)(open - key)) : NULL;

    if (close && close > open + 1) {
        len = (apr_size_t)(close - open - 1);
        key = open + 1;
    }
    return (int)(cluster_crc(key, len) % REDIS_SLOTS);
}

/* ------------------------------------------------------------------ the map */

static int cluster_is_number(const redisReply *reply, long long least, long long most)
{
    return reply->type == REDIS_REPLY_INTEGER && reply->integer >= least && reply->integer <= most;
}

/** [first, last, [host, port, ...] the master, its replicas ...]; 0 where it is no such thing. A
 *  node that does not know its own name leaves the host out; one whose name is unknown to it is
 *  "?". */
static int cluster_read_range(redis_range_t *range, const redisReply *entry,
                              const redis_address_t *from, apr_pool_t *pool)
{
    const redisReply *master;
    const char *host;

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements < 3
        || !cluster_is_number(entry->element[0], 0, REDIS_SLOTS - 1)
        || !cluster_is_number(entry->element[1], entry->element[0]->integer, REDIS_SLOTS - 1)) {
        return 0;
    }
    master = entry->element[2];
    if (master->type != REDIS_REPLY_ARRAY || master->elements < 2
        || !cluster_is_number(master->element[1], 1, 65535)) {
        return 0;
    }
    host = master->element[0]->type == REDIS_REPLY_STRING ? master->element[0]->str : "";
    memset(range, 0, sizeof *range);
    range->address.host = apr_pstrdup(pool, *host ? host : from->host);
    range->address.port = (apr_port_t)master->element[1]->integer;
    range->first = (int)entry->element[0]->integer;
    range->last = (int)entry->element[1]->integer;
    return strcmp(host, "?") != 0;
}

apr_status_t redis_cluster_read(const redis_address_t *from, const redisReply *reply,
                                apr_array_header_t *ranges, bsession_call_t *call)
{
    apr_size_t count = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0, i;
    redis_range_t range;
    int slots = 0;

    for (i = 0; i < count && slots <= REDIS_SLOTS; i++) {
        if (cluster_read_range(&range, reply->element[i], from, call->pool)) {
            slots += range.last - range.first + 1;
            APR_ARRAY_PUSH(ranges, redis_range_t) = range;
        }
    }
    if (slots > REDIS_SLOTS) {              /* each has one owner: a map without an end is none */
        ranges->nelts = 0;
        apr_snprintf(call->why, sizeof call->why, "%s: it names more slots than there are",
                     redis_address_text(from, call->pool));
        return APR_EGENERAL;
    }
    if (slots) {
        return APR_SUCCESS;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        apr_snprintf(call->why, sizeof call->why, "%s: the server refused CLUSTER SLOTS with %.*s",
                     redis_address_text(from, call->pool), (int)strcspn(reply->str, " \r\n"),
                     reply->str);
    }
    else {
        apr_snprintf(call->why, sizeof call->why, "%s: it knows of no slot of a Cluster",
                     redis_address_text(from, call->pool));
    }
    return APR_EGENERAL;
}

apr_status_t redis_cluster_look(const redis_conf_t *conf, const apr_array_header_t *nodes,
                                apr_array_header_t *ranges, bsession_call_t *call)
{
    redis_word_t words[2] = { redis_word("CLUSTER"), redis_word("SLOTS") };
    apr_status_t status = APR_EGENERAL;
    int i;

    for (i = 0; i < nodes->nelts && status != APR_SUCCESS; i++) {
        const redis_address_t *node = &APR_ARRAY_IDX(nodes, i, redis_address_t);
        bsession_call_t part = *call;
        redisReply *reply;

        if (redis_clock() >= call->deadline) {
            break;
        }
        part.deadline = redis_link_share(call, nodes->nelts - i + 1);
        status = redis_link_consult(node, &conf->login, words, 2, &reply, &part);
        if (status == APR_SUCCESS) {
            status = redis_cluster_read(node, reply, ranges, &part);
        }
        apr_cpystrn(call->why, part.why, sizeof call->why);
    }
    return status;
}

/* ------------------------------------------------------------------ redirections */

int redis_cluster_redirection(const char *text, const redis_address_t *from, redis_address_t *to,
                              apr_pool_t *pool)
{
    char *number = strchr(apr_pstrdup(pool, text), ' ');
    char *host = number ? strchr(number + 1, ' ') : NULL;
    char *colon = host ? strrchr(host, ':') : NULL;
    int slot, port;

    if (!colon) {
        return -1;
    }
    *host++ = *colon++ = '\0';
    if (!redis_conf_number(&slot, number + 1, 0, REDIS_SLOTS - 1)
        || !redis_conf_number(&port, colon, 1, 65535) || *host == '?') {
        return -1;
    }
    memset(to, 0, sizeof *to);
    to->host = *host ? host : from->host;
    to->port = (apr_port_t)port;
    return slot;
}
