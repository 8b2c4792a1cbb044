/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The same calls from other hooks than the handler, outside of requests, and what the optional
 * hooks of mod_bsession.h tell; see mod_probe.c.
 *
 * The header `Probe-NAME: call&call` of a request runs calls in the hook NAME, and the response
 * header of that name says what came of them; in `close`, when the connection ends, the log does.
 */
#include <string.h>

#include "httpd.h"
#include "http_config.h"
#include "http_connection.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "http_request.h"
#include "apr_optional_hooks.h"
#include "apr_strings.h"
#include "apr_thread_proc.h"

#include "probe.h"

/* In other hooks. */

static const char *probe_all(probe_t *p, const char *calls, const char *separator)
{
    char *word, *rest, *all = apr_pstrdup(p->pool, calls);
    const char *said = NULL;

    for (word = apr_strtok(all, separator, &rest); word; word = apr_strtok(NULL, separator, &rest)) {
        probe_call(p, word);
        said = said ? apr_pstrcat(p->pool, said, ";", p->result, NULL) : p->result;
    }
    return said;
}

static void probe_at(request_rec *r, const char *hook)
{
    const char *header = apr_pstrcat(r->pool, "Probe-", hook, NULL);
    const char *calls = apr_table_get(r->headers_in, header);
    probe_t p = { .r = r, .pool = r->pool, .bs = bsession_api() };

    if (calls) {
        p.s = p.bs ? p.bs->of(r) : NULL;
        apr_table_set(r->err_headers_out, header, probe_all(&p, calls, "&"));
    }
}

static int at_post_read(request_rec *r)
{
    probe_at(r, "post_read");
    return DECLINED;
}

static int at_translate(request_rec *r)
{
    probe_at(r, "translate");
    return DECLINED;
}

static int at_header_parser(request_rec *r)
{
    probe_at(r, "header_parser");
    return DECLINED;
}

static int at_access(request_rec *r)
{
    probe_at(r, "access");
    return DECLINED;
}

static int at_type(request_rec *r)
{
    probe_at(r, "type");
    return DECLINED;
}

static int at_fixups(request_rec *r)
{
    probe_at(r, "fixups");
    return DECLINED;
}

static void at_insert_filter(request_rec *r)
{
    probe_at(r, "insert_filter");
}

/* Outside of requests. */

typedef struct {
    server_rec *server;
    char       *calls;
} probe_close_t;

/* store/token/call;call */
static const char *probe_outside(apr_pool_t *pool, server_rec *server, char *arg)
{
    char *rest, *store = apr_strtok(arg, "/", &rest), *token = apr_strtok(NULL, "/", &rest);
    probe_t p = { .pool = pool, .bs = bsession_api() };
    const char *said;

    p.s = p.bs->open(server, strcmp(store, "-") ? store : NULL, strcmp(token, "-") ? token : NULL,
                     pool);
    if (!p.s) {
        return "no such store";
    }
    said = probe_all(&p, rest, ";");
    return apr_pstrcat(pool, said, ";", probe_status(pool, p.bs->close(p.s)), NULL);
}

void probe_open(probe_t *p, char *arg)
{
    p->result = probe_outside(p->pool, p->r->server, arg);
}

static void *APR_THREAD_FUNC run_thread(apr_thread_t *thread, void *baton)
{
    probe_t *p = baton;

    p->result = probe_outside(apr_thread_pool_get(thread), p->r->server, p->arg);
    p->result = apr_pstrdup(p->pool, p->result);
    return NULL;
}

void probe_thread(probe_t *p, char *arg)
{
    apr_thread_t *thread;
    apr_status_t status;

    p->arg = arg;
    if (apr_thread_create(&thread, NULL, run_thread, p, p->pool) != APR_SUCCESS
        || apr_thread_join(&status, thread) != APR_SUCCESS) {
        p->result = "no thread";
    }
}

static int at_close(conn_rec *c)
{
    probe_close_t *close = ap_get_module_config(c->conn_config, &probe_module);

    if (close) {
        ap_log_cerror(APLOG_MARK, APLOG_INFO, 0, c, "probe at close: %s",
                      probe_outside(c->pool, close->server, close->calls));
    }
    return OK;
}

void probe_at_close(probe_t *p, char *arg)
{
    conn_rec *c = p->r->connection;
    probe_close_t *close = apr_palloc(c->pool, sizeof *close);

    close->server = p->r->server;
    close->calls = apr_pstrdup(c->pool, arg);
    ap_set_module_config(c->conn_config, &probe_module, close);
}

/* What we are told. */

static void told(const char *what, bsession_t *s, request_rec *r)
{
    const bsession_api_t *bs = bsession_api();
    const char *tag = bs->tag(s);
    const char *calls = r ? apr_table_get(r->headers_in, apr_pstrcat(r->pool, "Probe-", what, NULL))
                          : NULL;
    probe_t p = { .r = r, .bs = bs, .s = s };

    if (calls) {
        p.pool = r->pool;
        probe_all(&p, calls, "&");
    }
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, ap_server_conf, "probe was told: %s %s %s", what,
                 tag ? tag : "-", r ? r->uri : "outside");
}

static void told_created(bsession_t *s, request_rec *r)
{
    told("created", s, r);
}

static void told_rotated(bsession_t *s, request_rec *r)
{
    told("rotated", s, r);
}

static void told_destroyed(bsession_t *s, request_rec *r)
{
    told("destroyed", s, r);
}

static void told_expired(bsession_t *s, request_rec *r)
{
    told("expired", s, r);
}

static int told_saving(request_rec *r)
{
    probe_at(r, "saving");
    return !apr_table_get(r->headers_in, "Probe-Refuses");
}

void probe_register_hooks(apr_pool_t *p)
{
    ap_hook_post_read_request(at_post_read, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_translate_name(at_translate, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_header_parser(at_header_parser, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_access(at_access, NULL, NULL, APR_HOOK_FIRST, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_type_checker(at_type, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_fixups(at_fixups, NULL, NULL, APR_HOOK_LAST);
    ap_hook_insert_filter(at_insert_filter, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_pre_close_connection(at_close, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(bsession, bsession_created, told_created, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(bsession, bsession_rotated, told_rotated, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(bsession, bsession_destroyed, told_destroyed, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(bsession, bsession_expired, told_expired, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(bsession, bsession_saving, told_saving, NULL, NULL, APR_HOOK_MIDDLE);
}
