/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A site as a module in C: it counts a visitor's visits, knows the visitor's name, and forgets both at a
 * logout. All that it keeps is in the visitor's session; how often its page was seen in the last
 * hour, by anybody, is in the general cache.
 *
 *     apxs -c -i mod_visits.c
 *
 * builds and installs it. mod_bsession may be loaded before it or after.
 */

#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "http_protocol.h"
#include "util_script.h"
#include "apr_optional_hooks.h"
#include "apr_strings.h"

#include "mod_bsession.h"

#define FORM_MAX 4096
#define HOUR     apr_time_from_sec(3600)

/** A field of the form that was posted; "" where it is missing. */
static const char *posted(request_rec *r, const char *name)
{
    apr_array_header_t *pairs = NULL;
    char *value = "";
    apr_off_t length;
    apr_size_t size;

    if (ap_parse_form_data(r, NULL, &pairs, -1, FORM_MAX) != OK) {
        return "";
    }
    while (pairs && !apr_is_empty_array(pairs)) {
        ap_form_pair_t *pair = apr_array_pop(pairs);

        if (strcmp(pair->name, name) == 0
            && apr_brigade_length(pair->value, 1, &length) == APR_SUCCESS) {
            size = (apr_size_t)length;
            value = apr_pcalloc(r->pool, size + 1);
            apr_brigade_flatten(pair->value, value, &size);
        }
    }
    return value;
}

/** What a handler returns when the session could not be changed. What is saved when the answer leaves
 *  needs none of this: an outage makes a 503 of it by itself. */
static int refuse(request_rec *r, apr_status_t status)
{
    switch (status) {
    case APR_EINVAL:
    case APR_ENOSPC:
        return HTTP_BAD_REQUEST;
    case APR_EACCES:
        return HTTP_FORBIDDEN;
    default:
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "the session could not be changed");
        return HTTP_SERVICE_UNAVAILABLE;
    }
}

static int go_home(request_rec *r)
{
    apr_table_setn(r->headers_out, "Location", "/");
    return HTTP_SEE_OTHER;
}

/** Views of the page by all visitors, on all servers that share the store. It is a cache, and may
 *  fail: the page is as good without. */
static apr_int64_t count_view(request_rec *r, const bsession_api_t *bs)
{
    bsession_cache_t *cache = bs->cache("default", "visits", HOUR, r->pool);
    apr_int64_t views = 0;

    if (cache) {
        bs->cache_incr(cache, "views", 1, BSESSION_DEFAULT_LIFE, &views);
    }
    return views;
}

static int page(request_rec *r, const bsession_api_t *bs, bsession_t *s)
{
    apr_int64_t visits = 0;
    apr_status_t status = bs->incr(s, "visits", 1, &visits);
    const char *user = bs->get(s, "user");

    if (status != APR_SUCCESS) {
        return refuse(r, status);
    }
    ap_set_content_type(r, "text/html; charset=utf-8");
    ap_rprintf(r, "<!DOCTYPE html>\n<html lang=\"en\">\n<title>mod_bsession: C</title>\n"
               "<h1><span class=\"number\">%" APR_INT64_T_FMT "</span> visits</h1>\n", visits);
    if (user) {
        ap_rprintf(r, "<p>Hello <strong>%s</strong>.\n", ap_escape_html(r->pool, user));
        ap_rputs("<form method=\"post\" action=\"/logout\"><button>Log out</button></form>\n", r);
    }
    else {
        ap_rputs("<form method=\"post\" action=\"/login\"><label>Your name "
                 "<input name=\"user\" required maxlength=\"80\"></label>"
                 "<button>Log in</button></form>\n", r);
    }
    ap_rprintf(r, "<p>This is a module in C. Of all visitors it saw <span class=\"views\">%"
               APR_INT64_T_FMT "</span> in this hour.\n", count_view(r, bs));
    return OK;
}

/** A login gets a new token: the one from before it, which somebody else may know, opens nothing. */
static int login(request_rec *r, const bsession_api_t *bs, bsession_t *s)
{
    const char *user = posted(r, "user");
    apr_status_t status;

    if (!*user) {
        return HTTP_BAD_REQUEST;
    }
    status = bs->set(s, "user", user);
    if (status == APR_SUCCESS) {
        status = bs->rotate(s);
    }
    return status == APR_SUCCESS ? go_home(r) : refuse(r, status);
}

static int logout(request_rec *r, const bsession_api_t *bs, bsession_t *s)
{
    apr_status_t status = bs->destroy(s);

    return status == APR_SUCCESS ? go_home(r) : refuse(r, status);
}

static int visits_handler(request_rec *r)
{
    const bsession_api_t *bs = bsession_api();
    bsession_t *s;
    int is_post = r->method_number == M_POST;

    if (!r->handler || strcmp(r->handler, "visits")) {
        return DECLINED;
    }
    s = bs ? bs->of(r) : NULL;
    if (!s) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "visits: this place needs `BSession On`");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (strcmp(r->uri, "/") == 0) {
        return is_post ? HTTP_METHOD_NOT_ALLOWED : page(r, bs, s);
    }
    if (strcmp(r->uri, "/login") == 0) {
        return is_post ? login(r, bs, s) : HTTP_METHOD_NOT_ALLOWED;
    }
    if (strcmp(r->uri, "/logout") == 0) {
        return is_post ? logout(r, bs, s) : HTTP_METHOD_NOT_ALLOWED;
    }
    return HTTP_NOT_FOUND;
}

/** The tag names a session in logs, and opens nothing. */
static void note_visitor(bsession_t *s, request_rec *r)
{
    if (r) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "a new visitor: session %s",
                      bsession_api()->tag(s));
    }
}

static void register_hooks(apr_pool_t *pool)
{
    ap_hook_handler(visits_handler, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(bsession, bsession_created, note_visitor, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(visits) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, AP_MODULE_FLAG_NONE
};
