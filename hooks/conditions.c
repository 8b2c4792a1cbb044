/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "conditions.h"

#include <string.h>

#include "apr_strings.h"
#include "ap_provider.h"
#include "http_log.h"
#include "http_request.h"
#include "mod_auth.h"

APLOG_USE_MODULE(bsession);

static const char *check_key(cmd_parms *cmd, const char *key)
{
    if (strchr(key, '=')) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cmd->server, "Require bsession %s: this is a key "
                     "with a = in it; a key and its value are two words", key);
    }
    return bs_check_key("Require bsession", key, cmd->pool);
}

static const char *parse_require(cmd_parms *cmd, const char *line, const void **parsed)
{
    apr_array_header_t *words = apr_array_make(cmd->pool, 4, sizeof(const char *));
    const char *word;

    while (*line) {
        word = ap_getword_conf(cmd->pool, &line);
        APR_ARRAY_PUSH(words, const char *) = word;
    }
    *parsed = words;
    return words->nelts ? check_key(cmd, APR_ARRAY_IDX(words, 0, const char *)) : NULL;
}

static int fulfils(bs_session_t *s, const apr_array_header_t *words)
{
    const bsession_field_t *field;
    int i;

    if (words->nelts == 0) {
        return bs_session_exists(s);
    }
    field = bs_session_get(s, APR_ARRAY_IDX(words, 0, const char *));
    if (!field || words->nelts == 1) {
        return field != NULL;
    }
    for (i = 1; i < words->nelts; i++) {
        const char *value = APR_ARRAY_IDX(words, i, const char *);

        if (strlen(value) == field->value.len
            && memcmp(value, field->value.data, field->value.len) == 0) {
            return 1;
        }
    }
    return 0;
}

/** No session is DENIED. An outage is neither yes nor no: as DENIED it would open a RequireNone,
 *  so it ends the evaluation, and the commit filter makes a 503 of the 500 that follows. */
static authz_status check_require(request_rec *r, const char *line, const void *parsed)
{
    bs_visit_t *visit = bs_visit_of(r);
    bs_slot_t *slot = bs_slot_of(r);

    (void)line;
    if (!visit) {                       /* HTTP/0.9 */
        return AUTHZ_DENIED;
    }
    if (!slot) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "Require bsession cannot tell where BSession is Off: "
                      "say BSession On for %s", r->uri);
        return AUTHZ_GENERAL_ERROR;     /* DENIED would open a `Require not` */
    }
    bs_session_load(slot->session);
    if (!r->main) {                     /* a lookup, as for a listing, guards no answer */
        visit->required = 1;
        visit->must_refuse |= slot->session->outage != 0;
    }
    if (slot->session->outage) {
        return AUTHZ_GENERAL_ERROR;
    }
    return fulfils(slot->session, parsed) ? AUTHZ_GRANTED : AUTHZ_DENIED;
}

static const authz_provider require_provider = { check_require, parse_require };

void bs_register_conditions(apr_pool_t *p)
{
    ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, "bsession", AUTHZ_PROVIDER_VERSION,
                              &require_provider, AP_AUTH_INTERNAL_PER_CONF);
}
