/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A third party's module, for tests: the handler `bsession-probe` runs the calls that its query
 * string names, in their order, and prints a line for each, `call result`. Built by apxs against
 * the installed header alone.
 *
 *     of get=K getn=K has=K count each set=K:V setn=K:V add=K:V unset=K clear pop=K incr=K:N
 *     rotate destroy save touch load is_new created expires tag     the API
 *     status=N         r->status for the answer           return=N     what the handler returns
 *     redirect=URL     a 302                              internal=URI an internal redirect
 *     sub=URI          runs a subrequest                  lookup=URI   looks one up, and drops it
 *     header=N:V err=N:V   response headers               env=N        a variable of this request
 *     seen=N           a header of the request            flush        sends what there is so far
 *     body=N           N bytes, whatever becomes of them  empty        no body at all
 *     wait=FILE        makes FILE.here, waits for FILE    bucket=N     an error bucket
 *     flushonly        a brigade with nothing but FLUSH   late.CALL    at the end of the request
 *     big=K:N          sets a value of N bytes            pid          of this child
 *     climb=K          gets a number, and sets one more
 *     read             the body that the client sent      facts token lock unlock  of the API, too
 *     open=S/T/CALLS   outside of the request: store, token, calls separated by ";"; - is NULL
 *     cache=S/N/MS ..  the general cache, and ProbeSOCache: see probe_cache.c
 *     thread=S/T/CALLS the same in another thread         closing=S/T/CALLS  when the connection ends
 *     sslerror         leaves an error in this thread's list of OpenSSL's
 *     sload sget=K sset=K:V sunset=K ssave   mod_session's own functions
 *
 * With the header X-Read-Early the body is read by a fixup, whatever handles the request.
 *
 * Arguments are urlencoded. Results are ok or the name of a status; values follow "=", urlencoded,
 * and what is missing is "-".
 */
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "apr_file_io.h"
#include "apr_strings.h"
#include "util_filter.h"

#include "probe.h"

static void probe_register(apr_pool_t *p);

AP_DECLARE_MODULE(probe) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, probe_directives, probe_register,
    AP_MODULE_FLAG_NONE
};

/* What else a handler does. */

static void call_status(probe_t *p, char *arg)
{
    p->r->status = (int)apr_atoi64(arg);
}

static void call_return(probe_t *p, char *arg)
{
    p->code = (int)apr_atoi64(arg);
}

static void call_redirect(probe_t *p, char *arg)
{
    probe_decode(arg);
    apr_table_set(p->r->headers_out, "Location", arg);
    p->code = HTTP_MOVED_TEMPORARILY;
}

static void call_internal(probe_t *p, char *arg)
{
    probe_decode(arg);
    p->internal = arg;
}

static void call_sub(probe_t *p, char *arg)
{
    request_rec *sub;

    probe_decode(arg);
    sub = ap_sub_req_lookup_uri(arg, p->r, p->r->output_filters);
    p->result = apr_itoa(p->r->pool, sub->status == HTTP_OK ? ap_run_sub_req(sub) : sub->status);
    ap_destroy_sub_req(sub);
}

static void call_lookup(probe_t *p, char *arg)
{
    request_rec *sub;

    probe_decode(arg);
    sub = ap_sub_req_lookup_uri(arg, p->r, NULL);
    p->result = apr_itoa(p->r->pool, sub->status);
    ap_destroy_sub_req(sub);
}

static void call_header(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *value = probe_pair(arg, &len);

    apr_table_add(p->r->headers_out, arg, value);
}

static void call_err(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *value = probe_pair(arg, &len);

    apr_table_add(p->r->err_headers_out, arg, value);
}

static void call_env(probe_t *p, char *arg)
{
    const char *value = apr_table_get(p->r->subprocess_env, arg);

    p->result = probe_value(p->r->pool, value, value ? strlen(value) : 0);
}

static void call_seen(probe_t *p, char *arg)
{
    const char *value = apr_table_get(p->r->headers_in, arg);

    p->result = probe_value(p->r->pool, value, value ? strlen(value) : 0);
}

static void call_flush(probe_t *p, char *arg)
{
    ap_rputs(p->said, p->r);
    ap_rflush(p->r);
    p->said = "";
}

static void call_flushonly(probe_t *p, char *arg)
{
    apr_bucket_brigade *bb = apr_brigade_create(p->r->pool, p->r->connection->bucket_alloc);

    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(p->r->connection->bucket_alloc));
    ap_pass_brigade(p->r->output_filters, bb);
}

/* A handler that ignores write errors, as many do. */
static void call_body(probe_t *p, char *arg)
{
    apr_int64_t left;

    for (left = apr_atoi64(arg); left > 0; left -= 1000) {
        ap_rprintf(p->r, "%0*d", (int)(left < 1000 ? left : 1000), 7);
        ap_rflush(p->r);
    }
    p->result = "written";
}

static void call_bucket(probe_t *p, char *arg)
{
    apr_bucket_alloc_t *alloc = p->r->connection->bucket_alloc;
    apr_bucket_brigade *bb = apr_brigade_create(p->r->pool, alloc);

    APR_BRIGADE_INSERT_TAIL(bb, ap_bucket_error_create((int)apr_atoi64(arg), NULL, p->r->pool,
                                                       alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(alloc));
    ap_pass_brigade(p->r->output_filters, bb);
    p->empty = 1;
}

static void call_empty(probe_t *p, char *arg)
{
    p->empty = 1;
}

/* Says that it is here, and goes on when the test lets it. */
static void call_wait(probe_t *p, char *arg)
{
    apr_time_t deadline = apr_time_now() + apr_time_from_sec(30);
    apr_finfo_t info;
    apr_file_t *here;

    probe_decode(arg);
    if (apr_file_open(&here, apr_pstrcat(p->r->pool, arg, ".here", NULL),
                      APR_FOPEN_CREATE | APR_FOPEN_WRITE, APR_FPROT_OS_DEFAULT, p->r->pool)) {
        p->result = "cannot say so";
        return;
    }
    apr_file_close(here);
    while (apr_stat(&info, arg, APR_FINFO_TYPE, p->r->pool) != APR_SUCCESS) {
        if (apr_time_now() > deadline) {
            p->result = "waited in vain";
            return;
        }
        apr_sleep(apr_time_from_msec(5));
    }
    p->result = "went on";
}

static void call_read(probe_t *p, char *arg)
{
    char buffer[4096];
    long more = 0, all = 0;

    if (ap_setup_client_block(p->r, REQUEST_CHUNKED_DECHUNK) == OK
        && ap_should_client_block(p->r)) {
        while ((more = ap_get_client_block(p->r, buffer, sizeof(buffer))) > 0) {
            all += more;
        }
    }
    p->result = more < 0 ? "broken off" : apr_psprintf(p->r->pool, "%ld bytes", all);
}

static void call_pid(probe_t *p, char *arg)
{
    p->result = apr_psprintf(p->r->pool, "%" APR_PID_T_FMT, getpid());
}

/** As modules do that use OpenSSL and do not look what went wrong; it is somebody else's by now. */
static void call_sslerror(probe_t *p, char *arg)
{
    void (*set_error)(int library, int reason, const char *format, ...);

    *(void **)&set_error = dlsym(RTLD_DEFAULT, "ERR_set_error");
    if (set_error) {
        void (*new_error)(void);

        *(void **)&new_error = dlsym(RTLD_DEFAULT, "ERR_new");
        new_error();
        set_error(128, 100, NULL);      /* ERR_LIB_USER */
    }
    p->result = set_error ? "left" : "no OpenSSL here";
}

static const probe_named_t probe_other_calls[] = {
    { "status", call_status }, { "return", call_return }, { "redirect", call_redirect },
    { "internal", call_internal }, { "sub", call_sub }, { "lookup", call_lookup },
    { "header", call_header }, { "err", call_err }, { "env", call_env }, { "seen", call_seen },
    { "flush", call_flush }, { "flushonly", call_flushonly }, { "body", call_body },
    { "bucket", call_bucket }, { "empty", call_empty }, { "wait", call_wait },
    { "read", call_read }, { "pid", call_pid }, { "sslerror", call_sslerror },
    { "open", probe_open }, { "thread", probe_thread }, { "closing", probe_at_close }, { NULL, NULL }
};

static probe_call_t *probe_find(const probe_named_t *calls, const char *name)
{
    while (calls->name && strcmp(calls->name, name)) {
        calls++;
    }
    return calls->call;
}

void probe_call(probe_t *p, char *name)
{
    char *arg = strchr(name, '=');
    probe_call_t *other, *api;

    if (arg) {
        *arg++ = '\0';
    }
    else {
        arg = apr_pstrdup(p->pool, "");
    }
    other = p->r ? probe_find(probe_other_calls, name) : NULL;
    other = other ? other : probe_find(probe_cache_calls, name);
    api = probe_find(probe_api_calls, name);

    other = other ? other : probe_find(probe_session_calls, name);
    p->result = other ? "done" : !api ? "unknown to the probe" : !p->s ? "off" : "done";
    if (other || (api && p->s)) {
        (other ? other : api)(p, arg);
    }
}

static int probe_fixups(request_rec *r)
{
    probe_t p = { .r = r };

    if (ap_is_initial_req(r) && apr_table_get(r->headers_in, "X-Read-Early")) {
        call_read(&p, NULL);
    }
    return DECLINED;
}

static int probe_handler(request_rec *r)
{
    probe_t *p;
    char *args, *word, *last;

    if (!r->handler || strcmp(r->handler, "bsession-probe")) {
        return DECLINED;
    }
    p = apr_pcalloc(r->pool, sizeof(*p));
    p->r = r;
    p->pool = r->pool;
    p->bs = bsession_api();
    p->s = p->bs ? p->bs->of(r) : NULL;
    p->late = apr_array_make(r->pool, 2, sizeof(char *));
    p->said = "";
    p->code = OK;
    p->life = BSESSION_DEFAULT_LIFE;
    ap_set_module_config(r->request_config, &probe_module, p);
    ap_set_content_type(r, "text/plain");

    args = apr_pstrdup(r->pool, r->args ? r->args : "");
    for (word = apr_strtok(args, "&", &last); word; word = apr_strtok(NULL, "&", &last)) {
        if (!strncmp(word, "late.", 5)) {
            APR_ARRAY_PUSH(p->late, char *) = word + 5;
            continue;
        }
        probe_call(p, word);
        p->said = apr_pstrcat(r->pool, p->said, word, " ", p->result, "\n", NULL);
    }
    if (p->internal) {
        ap_internal_redirect(p->internal, r);
        return OK;
    }
    if (p->code == OK && !p->empty) {
        ap_rputs(p->said, r);
    }
    return p->code;
}

/* What late. calls say goes to the error log: there is no other place any more. */
static int probe_log(request_rec *r)
{
    int i;

    for (; r; r = r->next) {
        probe_t *p = ap_get_module_config(r->request_config, &probe_module);

        for (i = 0; p && i < p->late->nelts; i++) {
            char *word = APR_ARRAY_IDX(p->late, i, char *);

            probe_call(p, word);
            ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "late %s %s", word, p->result);
        }
    }
    return OK;
}

static void probe_register(apr_pool_t *p)
{
    ap_hook_fixups(probe_fixups, NULL, NULL, APR_HOOK_LAST);
    ap_hook_handler(probe_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_log_transaction(probe_log, NULL, NULL, APR_HOOK_MIDDLE);
    probe_register_hooks(p);
    probe_register_cache(p);
}
