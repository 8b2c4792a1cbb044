/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memcached_conf.h
 * @brief What a BSessionStore line says of a Memcached store.
 *
 *     memcached://host[:port][?weight][,host[:port][?weight]...]
 *
 * where a host is a name, an address, [an address of IPv6], or the path of a UNIX socket.
 */
#ifndef MEMCACHED_CONF_H
#define MEMCACHED_CONF_H

#include <apr_network_io.h>

#include "bsession_provider.h"

/* The server takes keys of 250 bytes at most. */
#define MC_PREFIX_MAX 200
#define MC_NAME_SIZE  (MC_PREFIX_MAX + BSESSION_KEY_TEXT_SIZE)

typedef struct {
    const char  *host;                      /* or the path of a UNIX socket */
    apr_port_t   port;                      /* 0 with a path */
    unsigned     weight;
} mc_server_t;

typedef struct {
    mc_server_t         *servers;
    int                  nservers;          /* BSESSION_NODES at most */
    const char          *prefix;
    apr_size_t           prefix_len;
    const char          *user, *password;   /* NULL: no SASL */
    apr_interval_time_t  connect_timeout;
    int                  pool;              /* connections a child and server; 0 = any number */
} mc_conf_t;

/** NULL, or a sentence that says what was expected. Nothing is opened. */
const char *mc_conf_parse(mc_conf_t *conf, const char *url, const bsession_options_t *options,
                          const bsession_services_t *services, apr_pool_t *pconf);

/** "10.0.0.5:11211" or "/run/memcached.sock", for people. */
const char *mc_server_text(const mc_server_t *server, apr_pool_t *pool);

#endif
