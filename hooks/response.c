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

static void forbid_keeping(request_rec *r)
{
    apr_table_unset(r->headers_out, "Expires");
    apr_table_unset(r->err_headers_out, "Expires");
    apr_table_unset(r->err_headers_out, "Cache-Control");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
}

static int says(request_rec *r, const char *text, const char *directive)
{
    return text && ap_find_token(r->pool, text, directive);
}

static int is_shared_by_its_own_word(request_rec *r, const char *control)
{
    return says(r, control, "public") || (control && ap_strcasestr(control, "s-maxage"));
}

/** This answer was made for one visitor. */
static void keep_private(request_rec *r, int required)
{
    const char *control = apr_table_get(r->headers_out, "Cache-Control");
    const char *always = apr_table_get(r->err_headers_out, "Cache-Control");

    if (!control && !always) {
        apr_table_addn(r->headers_out, "Cache-Control", "private");
        return;
    }
    if (says(r, control, "private") || says(r, control, "no-store")
        || says(r, always, "private") || says(r, always, "no-store")) {
        return;
    }
    if (!required && (is_shared_by_its_own_word(r, control)
                      || is_shared_by_its_own_word(r, always))) {
        return;
    }
    if (required) {                     /* public, or a life in shared caches, would contradict it */
        apr_table_unset(r->err_headers_out, "Cache-Control");
        apr_table_setn(r->headers_out, "Cache-Control", "private");
        return;
    }
    apr_table_mergen(control ? r->headers_out : r->err_headers_out, "Cache-Control", "private");
}

void bs_response_finish(request_rec *r, bs_visit_t *visit)
{
    int consulted = visit->required, sets = 0;
    bs_slot_t *slot;

    if (visit->refusing) {
        return;                         /* a page about an outage says nothing of any session */
    }
    for (slot = visit->slots; slot; slot = slot->next) {
        const bs_session_t *s = slot->session;

        if (s->state == BS_UNASKED) {
            continue;
        }
        consulted = 1;
        remove_lines(r->headers_out, slot->cookie, r->pool);
        remove_lines(r->err_headers_out, slot->cookie, r->pool);
        if (s->cookie != BS_COOKIE_KEEP) {
            send_cookie(r, slot);
            sets = 1;
        }
    }
    if (sets) {
        forbid_keeping(r);
    }
    else if (consulted) {
        keep_private(r, visit->required);
    }
}
