/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_slots.h"

#include <stdlib.h>

#include <apr_strings.h>

/* A node that owns nothing stays for so long behind the last call that it served. */
#define SLOTS_LINGER apr_time_from_sec(60)

static apr_status_t slots_free(void *data)
{
    redis_slots_t *slots = data;

    free(slots->owner);
    slots->owner = NULL;
    return APR_SUCCESS;
}

int redis_slots_init(redis_slots_t *slots, const redis_conf_t *conf, apr_pool_t *pool)
{
    slots->conf = conf;
    slots->pool = pool;
    slots->count = conf->layout == REDIS_CLUSTER ? REDIS_SLOTS : 1;
    slots->nodes = apr_array_make(pool, 8, sizeof(redis_node_t *));
    slots->owner = calloc((apr_size_t)slots->count, sizeof *slots->owner);
    apr_pool_cleanup_register(pool, slots, slots_free, apr_pool_cleanup_null);
    return slots->owner != NULL;
}

/* ------------------------------------------------------------------ nodes */

static int node_compare(const redis_node_t *node, const redis_address_t *address)
{
    int order = strcmp(node->address.host, address->host);

    return order ? order : (int)node->address.port - (int)address->port;
}

static apr_uint32_t node_hash(const redis_node_t *node)
{
    apr_uint32_t hash = 2166136261u ^ node->address.port;
    const char *c;

    for (c = node->address.host; *c; c++) {
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    }
    return hash ^ hash >> 15;
}

/** None of them is 0: what nobody is known to own, and scans, count there. */
static unsigned node_number(const redis_node_t *node)
{
    return 1 + node_hash(node) % (BSESSION_NODES - 1);
}

redis_node_t *redis_slots_node_at(redis_slots_t *slots, const redis_address_t *address)
{
    redis_node_t *node;
    redis_node_t **list;
    int at = 0, order = 1;

    while (at < slots->nodes->nelts
           && (order = node_compare(redis_slots_node(slots, at), address)) < 0) {
        at++;
    }
    if (at < slots->nodes->nelts && order == 0) {
        return redis_slots_node(slots, at);
    }
    node = redis_node_make(slots->conf, address, slots->pool);
    if (node) {
        node->used = redis_clock();
        node->number = node_number(node);
        apr_array_push(slots->nodes);
        list = (redis_node_t **)slots->nodes->elts;
        memmove(list + at + 1, list + at,
                (apr_size_t)(slots->nodes->nelts - 1 - at) * sizeof *list);
        list[at] = node;
    }
    return node;
}

void redis_slots_sweep(redis_slots_t *slots)
{
    redis_node_t **list = (redis_node_t **)slots->nodes->elts;
    apr_time_t before = redis_clock() - SLOTS_LINGER;
    int i, kept = 0;

    for (i = 0; i < slots->nodes->nelts; i++) {
        if (list[i]->slots == 0 && list[i]->users == 0 && list[i]->used < before) {
            redis_node_free(list[i]);
        }
        else {
            list[kept++] = list[i];
        }
    }
    slots->nodes->nelts = kept;
}

/** Each owner's number is one that its address chooses, and the next where an owner before it in
 *  the order of addresses has that: so children need not agree on it. */
static void slots_number_nodes(redis_slots_t *slots)
{
    char taken[BSESSION_NODES] = "";
    int i, tries;

    for (i = 0; i < slots->nodes->nelts; i++) {
        redis_node_t *node = redis_slots_node(slots, i);
        unsigned number = node_number(node);

        for (tries = 0; node->slots && tries < BSESSION_NODES && taken[number]; tries++) {
            number = number % (BSESSION_NODES - 1) + 1;
        }
        taken[number] |= node->slots > 0;
        node->number = number;
    }
}

void redis_slots_own(redis_slots_t *slots, int slot, redis_node_t *node)
{
    redis_node_t *before = slots->owner[slot];

    if (before != node) {
        slots->owner[slot] = node;
        if (before && --before->slots == 0) {
            before->used = redis_clock();
        }
        if (node) {
            node->slots++;
        }
    }
}

/* ------------------------------------------------------------------ owners */

void redis_slots_apply(redis_slots_t *slots, const apr_array_header_t *ranges)
{
    char *named = calloc((apr_size_t)slots->count, 1);
    int i, slot;

    for (i = 0; i < ranges->nelts; i++) {
        const redis_range_t *range = &APR_ARRAY_IDX(ranges, i, redis_range_t);
        redis_node_t *node = redis_slots_node_at(slots, &range->address);

        for (slot = range->first; named && node && slot <= range->last; slot++) {
            redis_slots_own(slots, slot, node);
            named[slot] = 1;
        }
    }
    for (slot = 0; named && slot < slots->count; slot++) {
        if (!named[slot]) {
            redis_slots_own(slots, slot, NULL);
        }
    }
    free(named);
    for (i = 0; i < slots->nodes->nelts; i++) {
        redis_slots_node(slots, i)->doubted = 0;
    }
    slots_number_nodes(slots);
    redis_slots_sweep(slots);
}

apr_uint64_t redis_slots_mark(const redis_slots_t *slots)
{
    apr_uint64_t mark = APR_UINT64_C(14695981039346656037);
    const redis_node_t *last = NULL;
    apr_uint32_t hash = 0;
    int slot;

    for (slot = 0; slot < slots->count; slot++) {
        if (slots->owner[slot] != last) {
            last = slots->owner[slot];
            hash = last ? node_hash(last) : 0;
        }
        mark = (mark ^ hash) * APR_UINT64_C(1099511628211);
    }
    return mark;
}
