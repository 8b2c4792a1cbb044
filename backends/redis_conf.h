/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_conf.h
 * @brief What a BSessionStore line says of a Redis store.
 *
 *     redis://[user[:password]@]host[:port][,host[:port]...][/db]     rediss:// with TLS
 *     redis+unix:/path/to/socket[?db]
 *
 * Several hosts are the Sentinels of `sentinel=`, or nodes of the `cluster=on` to learn the others
 * from.
 */
#ifndef REDIS_CONF_H
#define REDIS_CONF_H

#include "redis_link.h"

#define REDIS_PORT          6379
#define REDIS_SENTINEL_PORT 26379
#define REDIS_PREFIX_MAX    200

typedef enum { REDIS_ALONE, REDIS_SENTINEL, REDIS_CLUSTER } redis_layout_t;

typedef struct {
    redis_layout_t       layout;
    redis_address_t     *addresses;             /* as given */
    int                  naddresses;
    redis_login_t        login;                 /* of the servers that hold records */
    redis_login_t        sentinel_login;
    const char          *service;               /* Sentinel's name of the master */
    const char          *prefix;
    apr_size_t           prefix_len;
    int                  pool;                  /* connections a child and node; 0 = any number */
    int                  replicas;
    /* TLS; the context is made when the store is opened */
    redis_tls_t          tls;
    const char          *ca, *cert, *key;
} redis_conf_t;

/** NULL, or a sentence that says what was expected. Nothing is opened. */
const char *redis_conf_parse(redis_conf_t *conf, const char *url, const bsession_options_t *options,
                             const bsession_services_t *services, apr_pool_t *pconf);

/** NULL, or why the files that TLS wants cannot be used. They are read, and nothing is kept. */
const char *redis_conf_try(const redis_conf_t *conf, apr_pool_t *pconf);

/** Makes the TLS context where one is wanted: reads the files, as whoever starts httpd. */
apr_status_t redis_conf_open(redis_conf_t *conf, bsession_call_t *call);

/** Whether the text is a number from `low`, 0 at least, to `high`, and nothing else. */
int redis_conf_number(int *number, const char *text, int low, int high);

#endif
