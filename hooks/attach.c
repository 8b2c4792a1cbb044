/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The first hook of a request: what a client must not say is dropped, and its cookies are noted.
 * Sessions are attached when somebody asks. */

#include "attach.h"

#include <string.h>

#include "apr_strings.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "http_ssl.h"

#include "lifecycle.h"
#include "memo.h"
#include "visitor.h"
#include "write_back.h"

APLOG_USE_MODULE(bsession);

/* ---- what clients must not say ---- */

/** A name that Connection lists would be deleted by mod_proxy, ours that we are to add included.
 *  For mod_proxy a name ends at a space or a semicolon, too. */
static void drop_from_connection(request_rec *r)
{
    static const char ends[] = ",; \t\v\f\r\n";
    const char *line = apr_table_getm(r->pool, r->headers_in, "Connection"), *kept = NULL;
    char *rest, *word;

    if (!line || !ap_strcasestr(line, "bsession")) {
        return;
    }
    for (word = apr_strtok(apr_pstrdup(r->pool, line), ends, &rest); word;
         word = apr_strtok(NULL, ends, &rest)) {
        if (!bs_is_our_header(word)) {
            kept = kept ? apr_pstrcat(r->pool, kept, ", ", word, NULL) : word;
        }
    }
    if (kept) {
        apr_table_setn(r->headers_in, "Connection", kept);
    }
    else {
        apr_table_unset(r->headers_in, "Connection");
    }
}

void bs_drop_spoofed(request_rec *r)
{
    const apr_array_header_t *headers = apr_table_elts(r->headers_in);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)headers->elts;
    int i;

    for (i = 0; i < headers->nelts; i++) {
        if (bs_is_our_header(entries[i].key)) {
            apr_table_unset(r->headers_in, entries[i].key);
            i = -1;                     /* the table has moved */
        }
    }
    drop_from_connection(r);
}

/** What the request before an internal redirect was told of its session is not the next one's. */
static void drop_redirected_variables(request_rec *r)
{
    const apr_array_header_t *variables = apr_table_elts(r->subprocess_env);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)variables->elts;
    int i;

    for (i = 0; i < variables->nelts; i++) {
        const char *name = entries[i].key;

        if (strncmp(name, "REDIRECT_", 9) != 0) {
            continue;
        }
        while (strncmp(name, "REDIRECT_", 9) == 0) {
            name += 9;
        }
        if (strncmp(name, "BSESSION", 8) == 0
            || strncmp(name, BS_CGI_PREFIX, BS_CGI_PREFIX_LEN) == 0
            || strcmp(name, "BS_NEW") == 0 || strcmp(name, "BS_EXPIRES") == 0
            || strcmp(name, "BS_USER") == 0) {
            apr_table_unset(r->subprocess_env, entries[i].key);
            i = -1;
        }
    }
}

/* ---- finding the visit and its slots ---- */

static int is_secure(const bs_cookie_t *cookie, const request_rec *r)
{
    return cookie->secure == BS_SECURE_AUTO ? ap_ssl_conn_is_ssl(r->connection)
                                            : cookie->secure == BS_SECURE_ON;
}

/** A cookie that .htaccess named for a subrequest would go with it, the slot stays. */
static const bs_cookie_t *keep_cookie(const bs_cookie_t *cookie, apr_pool_t *p)
{
    bs_cookie_t *kept = apr_pmemdup(p, cookie, sizeof *cookie);

    kept->name = apr_pstrdup(p, cookie->name);
    kept->path = apr_pstrdup(p, cookie->path);
    kept->domain = cookie->domain ? apr_pstrdup(p, cookie->domain) : NULL;
    return kept;
}

static bs_slot_t *open_slot(bs_visit_t *visit, const bs_dir_conf_t *conf, bs_store_conf_t *store,
                            const bs_cookie_t *cookie)
{
    request_rec *initial = visit->initial;
    bs_slot_t *slot = apr_pcalloc(initial->pool, sizeof *slot);
    bs_presented_t presented;
    bs_terms_t terms;

    bs_presented_find(&presented, initial->connection, visit->cookies, cookie, conf);
    bs_conf_terms(conf, &store->store, initial->server, &terms);
    terms.lock.on = 0;                  /* by each place that asks for it */
    terms.user.key = NULL;              /* the same */
    slot->session = bs_session_open(initial->pool, &terms, presented.tokens, presented.count,
                                    presented.digest, initial);
    slot->session->headers_gone = visit->committed;
    slot->session->shown = bs_visitor_shows;
    slot->session->visitor = visit;
    slot->store = store;
    slot->cookie = conf->brief ? keep_cookie(cookie, initial->pool) : cookie;
    slot->secure = is_secure(cookie, initial);
    slot->anonymous = 1;
    slot->handles[0].slot = slot->handles[1].slot = slot;
    slot->handles[1].read_only = 1;
    bs_lifecycle_watch(slot, initial);
    slot->next = visit->slots;
    visit->slots = slot;
    return slot;
}

static bs_slot_t *slot_for(request_rec *r, const bs_dir_conf_t *conf)
{
    bs_visit_t *visit = bs_visit_of(r);
    bs_store_conf_t *store = bs_conf_store(conf, r->server);
    const bs_cookie_t *cookie = bs_conf_cookie(conf);
    bs_slot_t *slot;

    if (!visit) {
        return NULL;
    }
    if (store && !store->store.shared) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "no session for %s: sessions that only .htaccess asks "
                      "for need a BSessionStore in httpd.conf, such as: BSessionStore default memory:",
                      r->uri);
        return NULL;
    }
    if (!store) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "no session for %s: of several stores none is called "
                      "\"default\", and no BSessionUse says which", r->uri);
        return NULL;
    }
    for (slot = visit->slots; slot; slot = slot->next) {
        if (slot->store == store
            && (slot->cookie == cookie || strcmp(slot->cookie->name, cookie->name) == 0)) {
            return slot;
        }
    }
    return open_slot(visit, conf, store, cookie);
}

/** Where several places say so, the last one holds: mostly that of the application. */
static void name_owner_by(bs_session_t *s, const bs_user_rule_t *rule)
{
    const char *known = s->terms.user.key;

    if (!rule->key) {
        return;                         /* Off */
    }
    s->terms.user = *rule;
    if (known && strcmp(known, rule->key) == 0) {
        s->terms.user.key = known;
    }
    else {                            /* as the cookie: a subrequest's .htaccess may have said it */
        s->terms.user.key = apr_pstrdup(s->pool, rule->key);
    }
}

bs_slot_t *bs_slot_of(request_rec *r)
{
    const bs_dir_conf_t *conf = bs_dir_conf(r);
    bs_slot_t *slot = bs_mode(conf) == BS_OFF ? NULL : slot_for(r, conf);

    if (slot) {
        if (conf->lock && conf->lock->on && conf->mode != BS_READONLY) {
            slot->session->terms.lock = *conf->lock;
        }
        slot->anonymous &= conf->anonymous == 1;
        bs_session_limit(slot->session, bs_conf_max_bytes(conf), bs_conf_max_fields(conf));
        if (conf->user) {
            name_owner_by(slot->session, conf->user);
        }
        if (conf->rotate) {
            slot->session->terms.rotate = *conf->rotate;
        }
        if (conf->bind) {
            bs_session_bind(slot->session, conf->bind);
        }
    }
    return slot;
}

bsession_t *bs_handle_of(request_rec *r)
{
    bs_slot_t *slot = bs_slot_of(r);

    return slot ? &slot->handles[bs_dir_conf(r)->mode == BS_READONLY] : NULL;
}

/* ---- the hook ---- */

/** What we need to know of headers of which some may concern us. */
static BS_RARE void read_headers(bs_visit_t *visit, request_rec *r)
{
    const apr_array_header_t *headers = apr_table_elts(r->headers_in);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)headers->elts;
    const apr_table_entry_t *end = entry + headers->nelts;
    int spoofed = 0;

    for (; entry < end; entry++) {
        switch (entry->key[0] | 0x20) {
        case 'b':
            spoofed |= bs_is_our_header(entry->key);
            break;
        case 'c':
            if (strcasecmp(entry->key, "Cookie") == 0) {
                visit->cookies = entry->val;
            }
            else if (strcasecmp(entry->key, "Connection") == 0) {
                spoofed |= ap_strcasestr(entry->val, "bsession") != NULL;
            }
            break;
        case 't':
            visit->chunked |= strcasecmp(entry->key, "Transfer-Encoding") == 0;
            break;
        }
    }
    if (spoofed) {
        bs_drop_spoofed(r);
    }
}

static BS_RARE void attach_redirected(request_rec *r)
{
    bs_write_back_take(r->prev);
    drop_redirected_variables(r);
    if (!bs_visit_of(r)) {              /* the document of an early error: see environment.c */
        bs_drop_spoofed(r);
    }
}

static int attach(request_rec *r)
{
    bs_visit_t *visit;

    if (r->prev) {
        attach_redirected(r);
        return DECLINED;
    }
    visit = apr_pcalloc(r->pool, sizeof *visit);
    visit->initial = r;
    if (r->proto_num >= HTTP_VERSION(2, 0)) {
        visit->chunked = 1;             /* HTTP/2 has trailers behind any body */
    }
    if (bs_initials(r->headers_in) & (BS_INITIAL('b') | BS_INITIAL('c') | BS_INITIAL('t'))) {
        read_headers(visit, r);
    }
    if (!r->assbackwards) {             /* HTTP/0.9 has no headers, so no cookie could be sent */
        ap_set_module_config(r->request_config, &bsession_module, visit);
    }
    return DECLINED;
}

void bs_register_attach_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_post_read_request(attach, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
