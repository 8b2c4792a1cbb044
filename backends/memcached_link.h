/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memcached_link.h
 * @brief One connection to one Memcached server.
 *
 * The client library knows rings of servers, connects by itself and keeps what failed in mind. Here
 * each of its handles has one server, is asked for nothing before it is known to be connected, and
 * is thrown away with its connection when anything goes wrong: no handle has a past, and no
 * connection is ever left with half an answer in it.
 *
 * A function that returns APR_SUCCESS, APR_NOTFOUND, APR_EEXIST or APR_ENOSPC had an answer of the
 * server. After any other status the link is closed, and `why` says what happened.
 */
#ifndef MEMCACHED_LINK_H
#define MEMCACHED_LINK_H

#include "memcached_conf.h"

typedef struct mc_link_t mc_link_t;

/** What an item is called there. */
typedef struct {
    char       text[MC_NAME_SIZE];
    apr_size_t len;
} mc_name_t;

/** An item that was found; its bytes are the library's until the function returns. */
typedef apr_status_t (mc_found_t)(void *baton, int which, const char *bytes, apr_size_t size,
                                  apr_uint64_t cas, bsession_call_t *call);

/** A number of the server's. */
typedef void (mc_number_t)(void *baton, const char *name, const char *value);

/** Not connected yet; all of it goes with the pool. */
mc_link_t   *mc_link_make(const mc_conf_t *conf, const mc_server_t *server, apr_pool_t *pool);

/** With the pool that it was made in. */
void         mc_link_free(mc_link_t *link);

int          mc_link_is_open(const mc_link_t *link);
void         mc_link_close(mc_link_t *link);

/** Connects, logs in and waits for the server's version, unless that was done. */
apr_status_t mc_link_ready(mc_link_t *link, bsession_call_t *call);

/* What follows wants it to be ready. */

/** Calls `found` for those of the names that are there. */
apr_status_t mc_link_get(mc_link_t *link, const mc_name_t *names, int count, mc_found_t *found,
                         void *baton, bsession_call_t *call);

/** APR_EEXIST: something is there. */
apr_status_t mc_link_add(mc_link_t *link, const mc_name_t *name, const char *bytes,
                         apr_size_t size, time_t exptime, bsession_call_t *call);

/** APR_EEXIST: it was changed since. APR_NOTFOUND: it is gone. */
apr_status_t mc_link_cas(mc_link_t *link, const mc_name_t *name, const char *bytes,
                         apr_size_t size, time_t exptime, apr_uint64_t cas,
                         bsession_call_t *call);

apr_status_t mc_link_delete(mc_link_t *link, const mc_name_t *name, bsession_call_t *call);

apr_status_t mc_link_stats(mc_link_t *link, mc_number_t *number, void *baton,
                           bsession_call_t *call);

#endif
