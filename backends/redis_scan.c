/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Many records: SCAN, and then their loads in one flight. */

#include "redis_backend.h"

#include <stdlib.h>
#include <string.h>

#include "redis_record.h"

#define SCAN_SLICE      "100"
/* So often a scan begins, at most, where records move between servers. */
#define SCAN_BEGINNINGS 100

apr_size_t redis_key_text(const bsession_backend_t *backend, const bsession_key_t *key,
                          char text[REDIS_NAME_SIZE])
{
    memcpy(text, backend->conf.prefix, backend->conf.prefix_len);
    backend->services->key_text(key, text + backend->conf.prefix_len);
    return backend->conf.prefix_len + BSESSION_KEY_TEXT_SIZE - 1;
}

redis_word_t redis_key_word(const bsession_backend_t *backend, const bsession_key_t *key,
                            apr_pool_t *pool)
{
    char text[REDIS_NAME_SIZE];
    redis_word_t made;

    made.len = redis_key_text(backend, key, text);
    made.data = apr_pmemdup(pool, text, made.len + 1);
    return made;
}

/* ------------------------------------------------------------------ several loads at once */

/** Each key's HGETALL and PTTL, from this server, in one flight; one that is damaged hides no
 *  other. */
static apr_status_t send_flight(bsession_backend_t *backend, redis_node_t *node,
                                const bsession_key_t *keys, int count, redisReply **replies,
                                bsession_call_t *call)
{
    redis_word_t *words = apr_palloc(call->pool, (apr_size_t)count * 4 * sizeof *words);
    redis_command_t *commands = apr_palloc(call->pool, (apr_size_t)count * 2 * sizeof *commands);
    redis_question_t question = { .commands = commands, .ncommands = 2 * count, .reads = 1,
                                  .again = 1, .apart = 1 };
    int i;

    for (i = 0; i < count; i++) {
        redis_word_t *four = words + 4 * i;

        four[0] = redis_word("HGETALL");
        four[2] = redis_word("PTTL");
        four[1] = four[3] = redis_key_word(backend, &keys[i], call->pool);
        commands[2 * i].words = four;
        commands[2 * i + 1].words = four + 2;
        commands[2 * i].count = commands[2 * i + 1].count = 2;
    }
    return redis_ask_node(redis_topology_of(backend, call), node, &question, replies, call);
}

/** These, of a server that should have them all; those that it does not have any more are loaded
 *  one by one, and so are all of them where it has gone. */
static apr_status_t load_flight(bsession_backend_t *backend, redis_node_t *node,
                                const bsession_key_t *keys, int count, bsession_record_t *records,
                                apr_status_t *statuses, bsession_call_t *call)
{
    redisReply **replies = apr_palloc(call->pool, 2 * (apr_size_t)count * sizeof *replies);
    apr_status_t status = send_flight(backend, node, keys, count, replies, call);
    int flown = status == APR_SUCCESS, i;

    if (!flown && backend->conf.layout == REDIS_ALONE) {
        return status;
    }
    for (i = 0; i < count; i++) {
        redisReply *all = flown ? replies[2 * i] : NULL, *left = flown ? replies[2 * i + 1] : NULL;

        statuses[i] = flown && !redis_ask_is_refusal(all) && !redis_ask_is_refusal(left)
                    ? redis_record_read(&records[i], all, left, call->pool)
                    : redis_load(backend, &keys[i], &records[i], call);
        if (statuses[i] != APR_SUCCESS && statuses[i] != APR_NOTFOUND
            && statuses[i] != BSESSION_ECORRUPT) {
            return statuses[i];
        }
    }
    return APR_SUCCESS;
}

/* What of many keys is to be found out. */
typedef struct {
    bsession_backend_t   *backend;
    const bsession_key_t *keys;
    int                   count;
    redis_node_t        **nodes;            /* where each lives, held; NULL: nobody knows */
    bsession_record_t    *records;
    apr_status_t         *statuses;         /* LOAD_OPEN: not known yet */
    char                  why[128];         /* the first that could not be */
} many_t;

#define LOAD_OPEN APR_INCOMPLETE

static void many_learn(many_t *many, int i, apr_status_t status, const bsession_call_t *call)
{
    many->statuses[i] = status;
    if (!many->why[0] && status != APR_SUCCESS && status != APR_NOTFOUND
        && status != BSESSION_ECORRUPT) {
        apr_cpystrn(many->why, call->why, sizeof many->why);
    }
}

/** Holds the servers. How many there are. */
static int many_find(many_t *many, redis_topology_t *topology, bsession_call_t *call)
{
    int i, before, servers = 0;

    for (i = 0; i < many->count; i++) {
        redis_word_t name = redis_key_word(many->backend, &many->keys[i], call->pool);
        apr_status_t status = redis_topology_find(topology, &name, &many->nodes[i], call);

        many->statuses[i] = LOAD_OPEN;
        if (status != APR_SUCCESS) {
            many->nodes[i] = NULL;
            many_learn(many, i, status, call);
        }
        for (before = 0; many->nodes[before] != many->nodes[i]; before++) {
            continue;
        }
        servers += before == i && many->nodes[i];
    }
    return servers;
}

/** Those that live on this server, in one flight. What it does not answer stays open. */
static void many_fly(many_t *many, redis_node_t *node, apr_time_t deadline, bsession_call_t *call)
{
    bsession_key_t *keys = apr_palloc(call->pool, (apr_size_t)many->count * sizeof *keys);
    redisReply **replies = apr_palloc(call->pool, 2 * (apr_size_t)many->count * sizeof *replies);
    int *at = apr_palloc(call->pool, (apr_size_t)many->count * sizeof *at), i, n = 0;
    bsession_call_t part = *call;
    apr_status_t status;

    for (i = 0; i < many->count; i++) {
        if (many->nodes[i] == node) {
            keys[n] = many->keys[i];
            at[n++] = i;
        }
    }
    part.deadline = deadline;
    status = send_flight(many->backend, node, keys, n, replies, &part);
    for (i = 0; i < n; i++) {
        redisReply *all = replies[2 * i], *left = replies[2 * i + 1];

        if (status != APR_SUCCESS && many->backend->conf.layout == REDIS_ALONE) {
            many_learn(many, at[i], status, &part);
        }
        else if (status == APR_SUCCESS && !redis_ask_is_refusal(all)
                 && !redis_ask_is_refusal(left)) {
            many->statuses[at[i]] = redis_record_read(&many->records[at[i]], all, left,
                                                      call->pool);
        }
    }
}

/** What one server does not answer hides nothing of the others: each is asked, for a share of the
 *  time, and then one by one what is open still. */
apr_status_t redis_load_many(bsession_backend_t *backend, const bsession_key_t *keys, int count,
                             bsession_record_t *records, apr_status_t *statuses,
                             bsession_call_t *call)
{
    redis_topology_t *topology = redis_topology_of(backend, call);
    many_t many = { .backend = backend, .keys = keys, .count = count, .records = records,
                    .statuses = statuses };
    int servers, i, before;

    if (!topology) {
        return APR_ENOMEM;
    }
    many.nodes = apr_pcalloc(call->pool, ((apr_size_t)count + 1) * sizeof *many.nodes);
    servers = many_find(&many, topology, call);
    for (i = 0; i < count; i++) {
        for (before = 0; many.nodes[before] != many.nodes[i]; before++) {
            continue;
        }
        if (before == i && many.nodes[i]) {
            apr_time_t now = redis_clock();

            many_fly(&many, many.nodes[i], now + (call->deadline - now) / servers--, call);
        }
    }
    for (i = 0; i < count; i++) {
        if (many.nodes[i]) {
            redis_topology_let_go(topology, many.nodes[i]);
        }
        if (statuses[i] == LOAD_OPEN) {
            many_learn(&many, i, redis_load(backend, &keys[i], &records[i], call), call);
        }
    }
    apr_cpystrn(call->why, many.why, sizeof call->why);
    return APR_SUCCESS;
}

/* ------------------------------------------------------------------ scan */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** Back from redis_key_word(); 0 where it is none of ours. */
static int parse_key(bsession_key_t *key, const bsession_backend_t *backend, const redisReply *name)
{
    apr_size_t prefix = backend->conf.prefix_len, i;
    const char *text;

    if (name->type != REDIS_REPLY_STRING
        || (apr_size_t)name->len != prefix + BSESSION_KEY_TEXT_SIZE - 1
        || memcmp(name->str, backend->conf.prefix, prefix) != 0) {
        return 0;
    }
    text = name->str + prefix;
    key->space = *text++;
    for (i = 0; i < sizeof key->bytes; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0) {
            return 0;
        }
        key->bytes[i] = (unsigned char)(high << 4 | low);
    }
    return 1;
}

/** What stands for itself in a pattern of SCAN. */
static const char *pattern_for(const bsession_backend_t *backend, char space, apr_pool_t *pool)
{
    char *pattern = apr_palloc(pool, 2 * backend->conf.prefix_len + 3), *to = pattern;
    const char *from = backend->conf.prefix;

    for (; *from; from++) {
        if (strchr("*?[]\\^", *from)) {
            *to++ = '\\';
        }
        *to++ = *from;
    }
    *to++ = space;
    *to++ = '*';
    *to = '\0';
    return pattern;
}

static apr_status_t show(const redisReply *names, bsession_backend_t *backend, redis_node_t *node,
                         bsession_visitor_t *visit, void *baton, bsession_call_t *call)
{
    bsession_key_t *keys = apr_palloc(call->pool, (names->elements + 1) * sizeof *keys);
    bsession_record_t *records = apr_palloc(call->pool, (names->elements + 1) * sizeof *records);
    apr_status_t *statuses = apr_palloc(call->pool, (names->elements + 1) * sizeof *statuses);
    apr_status_t status = APR_SUCCESS;
    int count = 0, i;

    for (i = 0; i < (int)names->elements; i++) {
        count += parse_key(&keys[count], backend, names->element[i]);
    }
    if (count) {
        status = load_flight(backend, node, keys, count, records, statuses, call);
    }
    for (i = 0; i < count && status == APR_SUCCESS; i++) {
        if (statuses[i] == APR_SUCCESS) {
            status = visit(baton, &keys[i], &records[i]);
        }
    }
    return status;
}

static apr_status_t scan_node(bsession_backend_t *backend, char space, redis_node_t *node,
                              bsession_cursor_t *cursor, bsession_visitor_t *visit, void *baton,
                              bsession_call_t *call)
{
    redis_word_t words[6] = {
        redis_word("SCAN"),
        redis_word(apr_psprintf(call->pool, "%" APR_UINT64_T_FMT, cursor->at[0])),
        redis_word("MATCH"), redis_word(pattern_for(backend, space, call->pool)),
        redis_word("COUNT"), redis_word(SCAN_SLICE)
    };
    redis_command_t command = { words, 6 };
    redis_question_t question = { .commands = &command, .ncommands = 1, .reads = 1, .again = 1 };
    redisReply *reply;
    apr_uint64_t next;
    apr_status_t status = redis_ask_node(redis_topology_of(backend, call), node, &question, &reply,
                                         call);

    if (status != APR_SUCCESS) {
        return status;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || !redis_number_read(&next, reply->element[0], APR_UINT64_MAX)
        || reply->element[1]->type != REDIS_REPLY_ARRAY) {
        return APR_EGENERAL;
    }
    status = show(reply->element[1], backend, node, visit, baton, call);
    if (status == APR_SUCCESS) {
        cursor->at[0] = next;
        cursor->at[1] += next == 0;
    }
    return status;
}

/** What has moved between servers meanwhile may have been missed. */
static apr_status_t begin_again(bsession_cursor_t *cursor, apr_uint64_t layout,
                                bsession_call_t *call)
{
    cursor->at[0] = cursor->at[1] = 0;
    cursor->at[2] = layout;
    if (cursor->at[3]++ < SCAN_BEGINNINGS) {
        return APR_SUCCESS;
    }
    apr_cpystrn(call->why, "the servers change faster than they can be scanned", sizeof call->why);
    return APR_EGENERAL;
}

/** cursor->at: the server's own cursor, which server, who owned what, and how often it began. */
apr_status_t redis_scan(bsession_backend_t *backend, char space, bsession_cursor_t *cursor,
                        bsession_visitor_t *visit, void *baton, bsession_call_t *call)
{
    redis_topology_t *topology = redis_topology_of(backend, call);
    redis_node_t *node = NULL;
    apr_uint64_t layout;
    apr_status_t status = APR_ENOMEM;

    if (topology) {
        status = redis_topology_nth(topology, cursor->at[1], &node, &layout, call);
    }
    if ((status == APR_SUCCESS || status == APR_EOF)
        && (layout != cursor->at[2] || cursor->at[3] == 0)) {
        int elsewhere = cursor->at[1] != 0;

        status = begin_again(cursor, layout, call);
        if (elsewhere && status == APR_SUCCESS) {
            if (node) {
                redis_topology_let_go(topology, node);
            }
            return APR_SUCCESS;         /* nothing of this slice; the next begins */
        }
    }
    if (status == APR_EOF) {
        cursor->done = 1;
        return APR_SUCCESS;
    }
    if (status == APR_SUCCESS) {
        status = scan_node(backend, space, node, cursor, visit, baton, call);
    }
    if (node) {
        redis_topology_let_go(topology, node);
    }
    return status;
}

/* ------------------------------------------------------------------ numbers */

/** A line `name:number` of INFO. */
static void info_add(apr_uint64_t *sum, const char *info, const char *name)
{
    const char *at = strstr(info, name);

    *sum += at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/** Adds what one server says. */
static apr_status_t stats_of(bsession_backend_t *backend, redis_node_t *node,
                             bsession_stats_t *stats, bsession_call_t *call)
{
    redis_word_t memory[2] = { redis_word("INFO"), redis_word("memory") };
    redis_word_t counts[2] = { redis_word("INFO"), redis_word("stats") };
    redis_command_t commands[2] = { { memory, 2 }, { counts, 2 } };
    redis_question_t question = { .commands = commands, .ncommands = 2, .reads = 1, .again = 1 };
    redisReply *replies[2];
    apr_status_t status = redis_ask_node(redis_topology_of(backend, call), node, &question, replies,
                                         call);

    if (status == APR_SUCCESS && (!replies[0]->str || !replies[1]->str)) {
        status = APR_EGENERAL;
    }
    if (status == APR_SUCCESS) {
        info_add(&stats->bytes, replies[0]->str, "\nused_memory:");
        info_add(&stats->capacity, replies[0]->str, "\nmaxmemory:");
        info_add(&stats->evicted, replies[1]->str, "\nevicted_keys:");
    }
    return status;
}

/** Of all servers together, or unknown. */
void redis_stats(bsession_backend_t *backend, bsession_stats_t *stats, bsession_call_t *call)
{
    redis_topology_t *topology = redis_topology_of(backend, call);
    apr_status_t status = topology ? APR_SUCCESS : APR_ENOMEM;
    bsession_stats_t sum = { 0 };
    apr_uint64_t n, layout;

    memset(stats, 0xff, sizeof *stats);     /* BSESSION_UNKNOWN */
    for (n = 0; status == APR_SUCCESS; n++) {
        redis_node_t *node;

        status = redis_topology_nth(topology, n, &node, &layout, call);
        if (status == APR_SUCCESS) {
            status = stats_of(backend, node, &sum, call);
            redis_topology_let_go(topology, node);
        }
    }
    if (status == APR_EOF) {
        stats->bytes = sum.bytes;
        stats->capacity = sum.capacity ? sum.capacity : BSESSION_UNKNOWN;
        stats->evicted = sum.evicted;
    }
}
