/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * What bench/run needs inside httpd, built with apxs as anybody's module is. The same object runs
 * in every server that is measured, so that its own cost is in both sides of a difference.
 *
 *     bench-seed    puts five keys into the session
 *     bench-write   changes one key, another value each time; without sessions only answers
 *     bench-env     answers with the environment that an application would see
 *     bench-mark    ends one stretch of callgrind's counting and begins the next
 */

#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "http_protocol.h"
#include "apr_strings.h"
#include "mod_bsession.h"

#include <string.h>
#include <valgrind/callgrind.h>

#define BODY "hello world\n"

/* mod_session takes a whole new session from this header, which rows.py names. */
#define REPLACE "X-Bench-Session"

static const char *const bench_keys[][2] = {
    { "user", "alice" }, { "role", "editor" }, { "lang", "en-GB" }, { "cart", "3817,2290,441" },
    { "seen", "1700000000" }
};

/* Whether this server is one that mod_session is loaded into. */
static int bench_mod_session;

#define BENCH_KEYS (sizeof(bench_keys) / sizeof(bench_keys[0]))

static int bench_answer(request_rec *r, const char *text)
{
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, (apr_off_t)strlen(text));
    ap_rputs(text, r);
    return OK;
}

static int bench_failed(request_rec *r, const char *what, apr_status_t status)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, status, r, "bench: %s failed", what);
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int bench_seed(request_rec *r)
{
    const bsession_api_t *bs = bsession_api();
    bsession_t *session = bs ? bs->of(r) : NULL;
    const char *all = NULL;
    apr_size_t i;

    for (i = 0; i < BENCH_KEYS; i++) {
        const char *key = bench_keys[i][0], *value = bench_keys[i][1];
        apr_status_t status = session ? bs->set(session, key, value) : APR_SUCCESS;

        if (status != APR_SUCCESS) {
            return bench_failed(r, "set", status);
        }
        all = apr_pstrcat(r->pool, all ? all : "", all ? "&" : "", key, "=", value, NULL);
    }
    if (bench_mod_session) {
        apr_table_setn(r->headers_out, REPLACE, all);
    }
    return bench_answer(r, BODY);
}

/* mod_session's applications replace the session as a whole. The text is made in every server, so
 * that a difference holds what the session costs and not what the application does. */
static int bench_write(request_rec *r)
{
    static unsigned long count;
    const bsession_api_t *bs = bsession_api();
    bsession_t *session = bs ? bs->of(r) : NULL;
    const char *seen = apr_psprintf(r->pool, "%010lu", ++count);
    const char *all = apr_pstrcat(r->pool, "user=alice&role=editor&lang=en-GB"
                                  "&cart=3817,2290,441&seen=", seen, NULL);

    if (session) {
        apr_status_t status = bs->set(session, "seen", seen);

        if (status != APR_SUCCESS) {
            return bench_failed(r, "set", status);
        }
    }
    else if (bench_mod_session) {
        apr_table_setn(r->headers_out, REPLACE, all);
    }
    return bench_answer(r, BODY);
}

static int bench_env(request_rec *r)
{
    const apr_array_header_t *env = apr_table_elts(r->subprocess_env);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)env->elts;
    const char *text = "";
    int i;

    for (i = 0; i < env->nelts; i++) {
        text = apr_pstrcat(r->pool, text, entry[i].key, "=", entry[i].val, "\n", NULL);
    }
    return bench_answer(r, text);
}

static int bench_mark(request_rec *r)
{
    CALLGRIND_DUMP_STATS_AT("bench");
    return bench_answer(r, BODY);
}

static const struct {
    const char *name;
    int (*handler)(request_rec *r);
} bench_handlers[] = {
    { "bench-seed", bench_seed }, { "bench-write", bench_write }, { "bench-env", bench_env },
    { "bench-mark", bench_mark }
};

static int bench_handler(request_rec *r)
{
    apr_size_t i;

    if (!r->handler || strncmp(r->handler, "bench-", 6) != 0) {
        return DECLINED;
    }
    for (i = 0; i < sizeof(bench_handlers) / sizeof(bench_handlers[0]); i++) {
        if (!strcmp(r->handler, bench_handlers[i].name)) {
            return bench_handlers[i].handler(r);
        }
    }
    return DECLINED;
}

static int bench_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    (void)s;
    bench_mod_session = ap_find_linked_module("mod_session.c") != NULL;
    return OK;
}

static void bench_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_post_config(bench_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(bench_handler, NULL, NULL, APR_HOOK_FIRST);
}

AP_DECLARE_MODULE(bench) = {
    STANDARD20_MODULE_STUFF,
    .register_hooks = bench_hooks
};
