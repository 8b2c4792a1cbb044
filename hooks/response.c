/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "response.h"

#include <string.h>

#include "apr_strings.h"
#include "http_log.h"
#include "http_ssl.h"

APLOG_USE_MODULE(bsession);

/* ---- Set-Cookie ---- */

typedef struct {
    const bs_cookie_t  *cookie;
    apr_array_header_t *others;         /* of const char *; made when one of ours is met */
    int                 ours;
} sift_t;

static int sift_line(void *baton, const char *name, const char *line)
{
    sift_t *sift = baton;

    (void)name;
    if (bs_cookie_line_is(line, sift->cookie->name, sift->cookie->name_len)) {
        sift->ours = 1;
    }
    else {
        APR_ARRAY_PUSH(sift->others, const char *) = line;
    }
    return 1;
}

/** Lines that set our cookie go; the others stay, line by line. */
static void remove_lines(apr_table_t *headers, const bs_cookie_t *cookie, apr_pool_t *p)
{
    sift_t sift = { cookie, NULL, 0 };
    int i;

    if (apr_is_empty_table(headers) || !apr_table_get(headers, "Set-Cookie")) {
        return;
    }
    sift.others = apr_array_make(p, 4, sizeof(const char *));
    apr_table_do(sift_line, &sift, headers, "Set-Cookie", NULL);
    if (sift.ours) {
        apr_table_unset(headers, "Set-Cookie");
        for (i = 0; i < sift.others->nelts; i++) {
            apr_table_addn(headers, "Set-Cookie", APR_ARRAY_IDX(sift.others, i, const char *));
        }
    }
}

static apr_int64_t max_age(const bs_slot_t *slot)
{
    switch (slot->cookie->life) {
    case BS_LIFE_IDLE:
        return bs_session_seconds_left(slot->session, apr_time_now());
    case BS_LIFE_TIME:
        return apr_time_sec(slot->cookie->life_time);
    case BS_LIFE_SESSION:
        break;
    }
    return -1;
}

/** Browsers other than the lenient drop it, and then each request begins a session of its own. */
static void warn_of_secure_without_tls(bs_slot_t *slot, const request_rec *r)
{
    int *warned = &slot->store->store.shared->warned_secure;

    if (slot->secure && !ap_ssl_conn_is_ssl(r->connection)
        && !__atomic_exchange_n(warned, 1, __ATOMIC_RELAXED)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, "the cookie \"%s\" is Secure, and leaves on a "
                      "connection without TLS: most clients will not send it back. Serve this place "
                      "by https, or say Secure=Auto in BSessionCookie (this is said once)",
                      slot->cookie->name);
    }
}

static void send_cookie(request_rec *r, bs_slot_t *slot)
{
    const bs_session_t *s = slot->session;
    int deletes = s->cookie == BS_COOKIE_DELETE;

    apr_table_addn(r->err_headers_out, "Set-Cookie",
                   bs_cookie_line(slot->cookie, deletes ? NULL : &s->token, slot->secure,
                                  deletes ? 0 : max_age(slot), r->pool));
    if (!deletes) {
        warn_of_secure_without_tls(slot, r);
    }
}

/* ---- Cache-Control ---- */

/** Whatever is said of caching behind us, as by mod_headers: mod_cache keeps this answer out. */
static void keep_out_of_mod_cache(request_rec *r)
{
    apr_table_addn(r->subprocess_env, "no-cache", "1");
}

static void forbid_keeping(request_rec *r)
{
    apr_table_unset(r->headers_out, "Expires");
    apr_table_unset(r->err_headers_out, "Expires");
    apr_table_unset(r->err_headers_out, "Cache-Control");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    keep_out_of_mod_cache(r);
}

/** All that both tables say of caching, as one line; NULL = nothing. */
static const char *joined_control(request_rec *r)
{
    const char *one = apr_table_getm(r->pool, r->headers_out, "Cache-Control");
    const char *other = apr_table_getm(r->pool, r->err_headers_out, "Cache-Control");

    return one && other ? apr_pstrcat(r->pool, one, ", ", other, NULL) : (one ? one : other);
}

/** As a directive of its own: `private="X-Field"` protects that field alone. */
static int says(request_rec *r, const char *control, const char *directive)
{
    return ap_find_list_item(r->pool, control, directive);
}

static int says_nothing(const apr_table_t *headers)
{
    return apr_is_empty_table(headers) || !apr_table_get(headers, "Cache-Control");
}

/** This answer was made for one visitor. Where Require bsession decided, that is the last word. */
static void keep_private(request_rec *r, int required)
{
    const char *control;

    if (says_nothing(r->headers_out) && says_nothing(r->err_headers_out)) {
        apr_table_addn(r->headers_out, "Cache-Control", "private");
        keep_out_of_mod_cache(r);
        return;
    }
    control = joined_control(r);
    if (says(r, control, "no-store")) {
        control = "no-store";
    }
    else if (required) {
        control = "private";
    }
    else if (says(r, control, "public") || ap_strcasestr(control, "s-maxage")) {
        return;
    }
    else if (!says(r, control, "private")) {
        control = apr_pstrcat(r->pool, control, ", private", NULL);
    }
    apr_table_unset(r->err_headers_out, "Cache-Control");
    apr_table_setn(r->headers_out, "Cache-Control", control);
    keep_out_of_mod_cache(r);
}

static int send_cookies(request_rec *r, bs_visit_t *visit)
{
    bs_slot_t *slot;
    int sent = 0;

    for (slot = visit->slots; slot; slot = slot->next) {
        if (slot->session->state != BS_UNASKED) {
            remove_lines(r->headers_out, slot->cookie, r->pool);
            remove_lines(r->err_headers_out, slot->cookie, r->pool);
            if (slot->session->cookie != BS_COOKIE_KEEP) {
                send_cookie(r, slot);
                sent = 1;
            }
        }
    }
    return sent;
}

int bs_response_was_made_for_one(const bs_visit_t *visit)
{
    const bs_slot_t *slot;

    for (slot = visit->slots; slot; slot = slot->next) {
        if (slot->session->state != BS_UNASKED) {
            return 1;
        }
    }
    return visit->required;
}

void bs_response_cookies(request_rec *r, bs_visit_t *visit)
{
    if (!visit->refusing) {
        send_cookies(r, visit);
    }
}

void bs_response_keep_private(request_rec *r, const bs_visit_t *visit)
{
    if (!visit->refusing) {
        keep_private(r, visit->required);
    }
}

void bs_response_finish(request_rec *r, bs_visit_t *visit)
{
    if (visit->refusing) {
        return;                         /* a page about an outage says nothing of any session */
    }
    if (send_cookies(r, visit)) {
        forbid_keeping(r);
    }
    else if (bs_response_was_made_for_one(visit)) {
        keep_private(r, visit->required);
    }
}
