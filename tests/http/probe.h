/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file probe.h
 * @brief Between mod_probe.c, which is a handler, and those that do its calls: probe_api.c those of
 *        mod_bsession.h, probe_session.c those of httpd's mod_session.
 */
#ifndef PROBE_H
#define PROBE_H

#include "httpd.h"
#include "apr_tables.h"

#include "mod_bsession.h"

typedef struct {
    request_rec          *r;
    const bsession_api_t *bs;
    bsession_t           *s;
    apr_array_header_t   *late;         /* calls for the end of the request */
    const char           *result;       /* of the call that runs */
    const char           *said;         /* by the calls before it, and not sent yet */
    const char           *internal;
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

/** "=" and the value, urlencoded, or "-". */
const char *probe_value(request_rec *r, const char *value, apr_size_t len);
/** Decodes %XX in place, %00 too; the new length. */
apr_size_t  probe_decode(char *text);
/** Cuts "key:value" in two and decodes both; the value. */
char       *probe_pair(char *arg, apr_size_t *len);

#endif
