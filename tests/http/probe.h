/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file probe.h
 * @brief Between mod_probe.c, which is a handler, and those that do its calls: probe_api.c those of
 *        mod_bsession.h, probe_session.c those of httpd's mod_session.
 */
#ifndef PROBE_H
#define PROBE_H

#include "httpd.h"
#include "http_config.h"
#include "apr_tables.h"

#include "mod_bsession.h"

typedef struct {
    request_rec          *r;            /* NULL outside of requests */
    apr_pool_t           *pool;         /* where results live */
    const bsession_api_t *bs;
    bsession_t           *s;
    apr_array_header_t   *late;         /* calls for the end of the request */
    const char           *result;       /* of the call that runs */
    const char           *said;         /* by the calls before it, and not sent yet */
    const char           *internal;
    char                 *arg;          /* for a call in a thread */
    bsession_cache_t     *cache;        /* the general cache that `cache` chose */
    struct probe_socache *socache;      /* the one of httpd's that `socache` chose */
    apr_interval_time_t   life;         /* of entries that come next */
    int                   code;         /* what the handler returns */
    int                   empty;        /* it sends nothing */
} probe_t;

typedef void (probe_call_t)(probe_t *p, char *arg);

typedef struct {
    const char   *name;
    probe_call_t *call;
} probe_named_t;

/** The calls of the API, ended by a NULL name. */
extern const probe_named_t probe_api_calls[], probe_session_calls[];

/** Runs one call, "name=argument"; what came of it is p->result. */
void        probe_call(probe_t *p, char *word);
const char *probe_status(apr_pool_t *pool, apr_status_t status);
/** "=" and the value, urlencoded, or "-". */
const char *probe_value(apr_pool_t *pool, const char *value, apr_size_t len);
/** Decodes %XX in place, %00 too; the new length. */
apr_size_t  probe_decode(char *text);
/** Cuts "key:value" in two and decodes both; the value. */
char       *probe_pair(char *arg, apr_size_t *len);

/* In probe_cache.c. */
extern const probe_named_t probe_cache_calls[];
extern const command_rec   probe_directives[];
void probe_register_cache(apr_pool_t *p);

/* In probe_hooks.c. */
extern module AP_MODULE_DECLARE_DATA probe_module;
void probe_open(probe_t *p, char *arg);
void probe_thread(probe_t *p, char *arg);
void probe_at_close(probe_t *p, char *arg);
void probe_register_hooks(apr_pool_t *p);

#endif
