/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memcached_many.h"

#include <string.h>

#include <apr_strings.h>

#include "memcached_ask.h"

/* So many keys go into one question. */
#define MC_FLIGHT 64

/* Some keys of one server: their places in the call. */
typedef struct {
    bsession_backend_t   *backend;
    const bsession_key_t *keys;
    bsession_record_t    *records;
    apr_status_t         *statuses;
    mc_name_t             names[MC_FLIGHT];
    int                   places[MC_FLIGHT];
    int                   count;
} mc_flight_t;

static apr_status_t mc_landed(void *baton, int which, const char *bytes, apr_size_t size,
                              apr_uint64_t cas, bsession_call_t *call)
{
    mc_flight_t *flight = baton;
    int place = flight->places[which];
    mc_item_t item = { .size = size };
    apr_status_t status;

    (void)cas;
    if (size == 0) {
        return APR_SUCCESS;
    }
    item.bytes = apr_pmemdup(call->pool, bytes, size);
    status = mc_item_read(&item, &flight->keys[place]);
    if (status == APR_SUCCESS) {
        status = mc_item_is_over(&item) ? APR_NOTFOUND
               : mc_read(flight->backend, &item, &flight->records[place], call);
    }
    flight->statuses[place] = status;
    return APR_SUCCESS;
}

static apr_status_t mc_fly(mc_flight_t *flight, mc_link_t *link, bsession_call_t *call)
{
    int idle = mc_link_is_open(link), i, tries;
    apr_status_t status = APR_SUCCESS;

    for (tries = 0; tries <= idle; tries++) {
        for (i = 0; i < flight->count; i++) {
            flight->statuses[flight->places[i]] = APR_NOTFOUND;
        }
        status = mc_link_ready(link, call);
        if (status == APR_SUCCESS) {
            status = mc_link_get(link, flight->names, flight->count, mc_landed, flight, call);
        }
        if (status == APR_SUCCESS || call->deadline <= apr_time_now()) {
            break;
        }
    }
    for (i = 0; status != APR_SUCCESS && i < flight->count; i++) {
        flight->statuses[flight->places[i]] = status;
    }
    flight->count = 0;
    return status;
}

/** Those of the keys that live on this server. What cannot be asked is said in their statuses: the
 *  others' are good. */
static void mc_load_from(mc_flight_t *flight, mc_pools_t *pools, int server, const int *servers,
                         int count, bsession_call_t *call)
{
    mc_link_t *link = NULL;
    apr_status_t status = mc_pools_acquire(pools, server, &link, call);
    int i;

    flight->count = 0;
    for (i = 0; i < count; i++) {
        if (servers[i] != server) {
            continue;
        }
        if (status != APR_SUCCESS) {
            flight->statuses[i] = status;
            continue;
        }
        mc_name_of(flight->backend, &flight->keys[i], &flight->names[flight->count]);
        flight->places[flight->count++] = i;
        if (flight->count == MC_FLIGHT) {
            status = mc_fly(flight, link, call);
        }
    }
    if (flight->count && status == APR_SUCCESS) {
        mc_fly(flight, link, call);
    }
    if (link) {
        mc_pools_release(pools, server, link);
    }
}

/** Whether any of the keys lives on this server. */
static int mc_is_asked(int server, const int *servers, int count)
{
    int i;

    for (i = 0; i < count && servers[i] != server; i++) {
        continue;
    }
    return i < count;
}

/** One server after the other, each with its share of the time that is left, so that those behind
 *  one that is silent are asked, too. */
static void mc_load_in_turn(mc_flight_t *flight, mc_pools_t *pools, const int *servers, int count,
                            bsession_call_t *call)
{
    int server, left = 0;

    for (server = 0; server < flight->backend->conf.nservers; server++) {
        left += mc_is_asked(server, servers, count);
    }
    for (server = 0; left > 0; server++) {
        bsession_call_t share = *call;
        apr_time_t now = apr_time_now();

        if (mc_is_asked(server, servers, count)) {
            share.deadline = now + (call->deadline - now) / left--;
            mc_load_from(flight, pools, server, servers, count, &share);
            memcpy(call->why, share.why, sizeof call->why);
        }
    }
}

apr_status_t mc_load_many(bsession_backend_t *backend, const bsession_key_t *keys, int count,
                          bsession_record_t *records, apr_status_t *statuses,
                          bsession_call_t *call)
{
    mc_pools_t *pools = mc_pools_of(backend, call);
    mc_flight_t *flight = apr_palloc(call->pool, sizeof *flight);
    int *servers = apr_palloc(call->pool, ((apr_size_t)count + 1) * sizeof *servers);
    int i;

    if (!pools) {
        return APR_ENOMEM;
    }
    flight->backend = backend;
    flight->keys = keys;
    flight->records = records;
    flight->statuses = statuses;
    for (i = 0; i < count; i++) {
        servers[i] = (int)mc_node_of(backend, &keys[i]);
    }
    mc_load_in_turn(flight, pools, servers, count, call);
    return APR_SUCCESS;
}
