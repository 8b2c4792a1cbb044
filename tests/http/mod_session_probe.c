/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A third party's module, for tests: it stands between mod_session and its storage. What
 * mod_session gives to be saved goes into response headers, X-Saved and X-Dirty, before the storage
 * has it. With `SessionProbe On` what is stored begins with "Coded:", and what does not cannot be
 * decoded. `X-Fail: encode` in a request makes that fail, and `X-Fail: decode` that, after all.
 */
#include <string.h>

#include "httpd.h"
#include "http_config.h"
#include "apr_strings.h"
#include "mod_session.h"

#define PREFIX "Coded:"

static void probe_register(apr_pool_t *p);
static const command_rec probe_directives[];

static void *create_conf(apr_pool_t *p, char *path)
{
    return apr_pcalloc(p, sizeof(int));
}

AP_DECLARE_MODULE(session_probe) = {
    STANDARD20_MODULE_STUFF, create_conf, NULL, NULL, NULL, probe_directives, probe_register,
    AP_MODULE_FLAG_NONE
};

static const command_rec probe_directives[] = {
    AP_INIT_FLAG("SessionProbe", ap_set_flag_slot, (void *)0, ACCESS_CONF, "On: with a prefix"),
    { NULL }
};

static int is_coded(request_rec *r)
{
    return *(int *)ap_get_module_config(r->per_dir_config, &session_probe_module);
}

static int is_to_fail(request_rec *r, const char *what)
{
    const char *failing = apr_table_get(r->headers_in, "X-Fail");

    return failing && !strcmp(failing, what);
}

static apr_status_t look_at_save(request_rec *r, session_rec *z)
{
    apr_table_set(r->err_headers_out, "X-Saved", z->encoded);
    apr_table_setn(r->err_headers_out, "X-Dirty", z->dirty ? "1" : "0");
    return DECLINED;
}

static apr_status_t encode(request_rec *r, session_rec *z)
{
    if (is_to_fail(r, "encode")) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (is_coded(r)) {
        z->encoded = apr_pstrcat(r->pool, PREFIX, z->encoded, NULL);
    }
    return OK;
}

static apr_status_t decode(request_rec *r, session_rec *z)
{
    if (!z->encoded) {
        return DECLINED;
    }
    if (is_coded(r)) {
        if (strncmp(z->encoded, PREFIX, strlen(PREFIX))) {
            return HTTP_BAD_REQUEST;
        }
        z->encoded += strlen(PREFIX);
    }
    return OK;
}

/* When mod_session's own has put the entries there. */
static apr_status_t fail_late(request_rec *r, session_rec *z)
{
    return is_to_fail(r, "decode") && !apr_is_empty_table(z->entries) ? HTTP_BAD_REQUEST : OK;
}

static void probe_register(apr_pool_t *p)
{
    ap_hook_session_save(look_at_save, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_session_encode(encode, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_session_decode(decode, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_session_decode(fail_late, NULL, NULL, APR_HOOK_REALLY_LAST + 1);
}
