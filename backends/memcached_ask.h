/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memcached_ask.h
 * @brief What a call says to the server about one record, and what is said twice.
 *
 * A call begins with a question that does no harm when it is put twice: a get, an add (which knows
 * its own record), a delete. Where it fails on a connection that lay idle it is put again, once, on
 * a new one. A cas follows a get on the same connection and is never sent again: what becomes of
 * one whose answer is lost is not known.
 */
#ifndef MEMCACHED_ASK_H
#define MEMCACHED_ASK_H

#include "memcached_item.h"
#include "memcached_ring.h"

struct bsession_backend_t {
    const bsession_services_t *services;
    mc_conf_t                  conf;
    mc_ring_t                 *ring;
    mc_pools_t                *pools;       /* of this child; NULL in the parent */
};

typedef struct {
    bsession_backend_t   *backend;
    const bsession_key_t *key;
    bsession_call_t      *call;
    mc_pools_t           *pools;
    int                   server;
    mc_name_t             name;
    mc_link_t            *link;
    int                   proven;           /* the connection has answered this call */
    int                   repeated;         /* the first question was put twice */
    /* what a get has found */
    mc_item_t             item;
    apr_uint64_t          cas;              /* 0: there is nothing */
} mc_ask_t;

/** The prefix and the text form. */
void         mc_name_of(const bsession_backend_t *backend, const bsession_key_t *key,
                        mc_name_t *name);

/** The server that has it, by its place in the URL. */
unsigned     mc_node_of(bsession_backend_t *backend, const bsession_key_t *key);
/** What it is called, where there are others. */
const char  *mc_node_name(bsession_backend_t *backend, const bsession_key_t *key, apr_pool_t *pool);

/** What an item has of a record, but for its key. */
apr_status_t mc_read(bsession_backend_t *backend, const mc_item_t *item,
                     bsession_record_t *record, bsession_call_t *call);

/** This child's; the parent's are for one call alone. NULL: out of memory. */
mc_pools_t  *mc_pools_of(bsession_backend_t *backend, bsession_call_t *call);

/** Each is followed by mc_ask_end. */
apr_status_t mc_ask_begin(mc_ask_t *ask, bsession_backend_t *backend, const bsession_key_t *key,
                          bsession_call_t *call);
/** Returns `status`. */
apr_status_t mc_ask_end(mc_ask_t *ask, apr_status_t status);

/** APR_NOTFOUND: nothing, or nothing that lives; BSESSION_ECORRUPT: none of ours. In both cases
 *  `cas` is set where there is something to be overwritten. */
apr_status_t mc_ask_get(mc_ask_t *ask);

/** APR_EEXIST: something is there. */
apr_status_t mc_ask_add(mc_ask_t *ask, const mc_item_t *item);

/** Over what the last get has found. APR_EEXIST: it is not that any more; APR_NOTFOUND: it is
 *  gone. */
apr_status_t mc_ask_cas(mc_ask_t *ask, const mc_item_t *item);

/** Ends what the last get has found; as mc_ask_cas. */
apr_status_t mc_ask_cas_away(mc_ask_t *ask);

apr_status_t mc_ask_delete(mc_ask_t *ask);

#endif
