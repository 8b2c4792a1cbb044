/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "expressions.h"

#include <string.h>

#include "ap_expr.h"
#include "apr_strings.h"
#include "http_log.h"
#include "mod_log_config.h"

#include "attach.h"
#include "commit.h"

APLOG_USE_MODULE(bsession);

/* ---- expressions ---- */

/** The value as an expression may have it: one line, since mod_headers would send another header
 *  behind a line break; and nothing where it contains NUL, behind which a comparison does not
 *  look. */
static const char *as_one_line(request_rec *r, const bsession_field_t *field)
{
    char *copy;

    if (memchr(field->value.data, '\0', field->value.len)) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "key \"%s\" counts as empty in expressions: its "
                      "value contains NUL", ap_escape_logitem(r->pool, field->name.data));
        return "";
    }
    if (!strpbrk(field->value.data, "\r\n")) {
        return field->value.data;
    }
    copy = apr_pstrdup(r->pool, field->value.data);
    for (char *c = copy; (c = strpbrk(c, "\r\n")) != NULL; ) {
        *c = ' ';
    }
    return copy;
}

/** Nothing is remembered between evaluations: httpd evaluates an <If> around directives of ours
 *  several times before they take effect. The slot loads once a visit all the same. An outage is
 *  the commit filter's to refuse; until then the key is missing. */
static const char *session_value(ap_expr_eval_ctx_t *ctx, const void *data, const char *key)
{
    const bsession_field_t *field = NULL;
    bs_slot_t *slot = ctx->r ? bs_slot_of(ctx->r) : NULL;
    int first;

    (void)data;
    if (slot && !bs_key_is_private(key)) {
        first = slot->session->state == BS_UNASKED;
        field = bs_session_get(slot->session, key);
        if (first) {
            bs_asked_late(ctx->r, slot);
        }
    }
    return field ? as_one_line(ctx->r, field) : "";
}

/** Both spellings are one string function to httpd. */
static int lookup(ap_expr_lookup_parms *parms)
{
    if (parms->type != AP_EXPR_FUNC_STRING || strcasecmp(parms->name, "bsession") != 0) {
        return DECLINED;
    }
    *parms->func = session_value;
    *parms->data = NULL;
    return OK;
}

/* ---- log formats ---- */

/** The slot of the place that is logged, or else the only one there is; never a new one, and
 *  never a load: what nobody asked for is a dash. */
static const bs_slot_t *slot_to_log(const request_rec *r)
{
    const bs_visit_t *visit = bs_visit_of(r);
    const bs_dir_conf_t *conf = bs_dir_conf(r);
    const bs_slot_t *slot;

    if (!visit || !visit->slots) {
        return NULL;
    }
    for (slot = visit->slots; slot; slot = slot->next) {
        if (slot->store == bs_conf_store(conf, r->server)
            && strcmp(slot->cookie->name, bs_conf_cookie(conf)->name) == 0) {
            return slot;
        }
    }
    return visit->slots->next ? NULL : visit->slots;
}

static const char *log_tag(request_rec *r, const bs_session_t *s)
{
    char *tag;

    if (s->state != BS_PRESENT) {
        return "-";
    }
    tag = apr_palloc(r->pool, BS_TAG_SIZE);
    bs_key_tag(&s->key, tag);
    return tag;
}

static const char *log_value(request_rec *r, char *key)
{
    const bs_slot_t *slot = slot_to_log(r);
    const bsession_field_t *field;

    if (!slot || slot->session->state == BS_UNASKED || bs_key_is_private(key)) {
        return "-";
    }
    if (strcmp(key, ":tag") == 0) {
        return log_tag(r, slot->session);
    }
    field = bs_table_find(&slot->session->table, key, strlen(key));
    return field ? ap_escape_logitem(r->pool, field->value.data) : "-";
}

static int offer_log_format(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    static char name[] = "^BS";
    APR_OPTIONAL_FN_TYPE(ap_register_log_handler) *offer =
        APR_RETRIEVE_OPTIONAL_FN(ap_register_log_handler);

    (void)plog;
    (void)ptemp;
    if (offer) {                        /* mod_log_config is loaded */
        offer(pconf, name, log_value, 0);
    }
    return OK;
}

void bs_register_expressions(apr_pool_t *p)
{
    (void)p;
    ap_hook_expr_lookup(lookup, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_pre_config(offer_log_format, NULL, NULL, APR_HOOK_MIDDLE);
}
