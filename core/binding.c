/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "binding.h"

#include <string.h>

#include <apr_strings.h>

#include "address.h"
#include "log.h"
#include "mod_bsession.h"

static const char *const names[BS_BINDS] = {
    [BS_BIND_UA] = "User-Agent", [BS_BIND_IP] = "address", [BS_BIND_TLS] = "client certificate"
};

/** Behind the selector and the kind: a network for an address, all else as it is. */
static apr_status_t digest_of(const bs_session_t *s, bs_bind_kind_t kind, const unsigned char bits[2],
                              unsigned char digest[BS_DIGEST_SIZE])
{
    bsession_bytes_t shown = s->shown(s->visitor, kind), all;
    unsigned char sha256[BS_SHA256_SIZE], *bytes;
    bs_address_t address;
    apr_status_t status;

    if (kind == BS_BIND_IP) {
        bs_address_read(&address, shown.data, shown.len);
        bs_address_cut(&address, bits[0], bits[1]);
        shown.data = (const char *)address.bytes;
        shown.len = address.len;
    }
    bytes = apr_palloc(s->pool, BS_SELECTOR_SIZE + 1 + shown.len);
    memcpy(bytes, s->key.bytes, BS_SELECTOR_SIZE);
    bytes[BS_SELECTOR_SIZE] = (unsigned char)kind;
    if (shown.len) {
        memcpy(bytes + BS_SELECTOR_SIZE + 1, shown.data, shown.len);
    }
    all.data = (const char *)bytes;
    all.len = BS_SELECTOR_SIZE + 1 + shown.len;
    status = bs_sha256(&all, sha256);
    if (status == APR_SUCCESS) {
        memcpy(digest, sha256, BS_DIGEST_SIZE);
    }
    return status;
}

/* Where this place says nothing, a login renews what another one said. */
apr_status_t bs_binding_tie(const bs_session_t *s, bs_meta_t *meta)
{
    const bs_bind_rule_t *rule = &s->terms.bind;
    apr_status_t status = APR_SUCCESS;
    int kind;

    for (kind = 0; s->shown && kind < BS_BINDS && status == APR_SUCCESS; kind++) {
        bs_bound_t *bound = &meta->bound[kind];

        if (rule->kinds) {
            bound->is = rule->kinds >> kind & 1;
            memcpy(bound->bits, rule->bits, sizeof bound->bits);
        }
        if (bound->is) {
            status = digest_of(s, (bs_bind_kind_t)kind, bound->bits, bound->digest);
        }
    }
    return status;
}

/** What differs, as a log names it, or NULL. */
static const char *what_differs(const bs_session_t *s, unsigned kinds, apr_status_t *status)
{
    unsigned char digest[BS_DIGEST_SIZE];
    const char *differs = NULL;
    int kind;

    for (kind = 0; kind < BS_BINDS && *status == APR_SUCCESS; kind++) {
        const bs_bound_t *bound = &s->meta.bound[kind];

        if (!(kinds >> kind & 1) || !bound->is) {
            continue;
        }
        *status = digest_of(s, (bs_bind_kind_t)kind, bound->bits, digest);
        if (*status == APR_SUCCESS && !bs_digest_equal(digest, bound->digest)) {
            differs = differs ? apr_pstrcat(s->pool, differs, " and another ", names[kind], NULL)
                              : names[kind];
        }
    }
    return differs;
}

/** What became of it, for the log. It waits for no lock: whoever has that, this request has no
 *  right to the session. Of one whose record cannot be removed nothing is read, either. */
static const char *end_it(bs_session_t *s)
{
    static const bsession_fields_t none;
    apr_status_t status = bs_session_end(s);

    if (status == APR_SUCCESS) {
        s->had_record = 0;
        return "is ended";
    }
    if (status == BSESSION_EGONE) {
        return "has a new token meanwhile, and goes on with that";
    }
    bs_table_adopt(&s->table, &none);
    s->state = BS_OUTAGE;
    return "cannot be ended now, and is not used";
}

int bs_binding_admits(bs_session_t *s, const bs_bind_rule_t *rule)
{
    const char *differs, *outcome = "goes on";
    apr_status_t status = APR_SUCCESS;
    char tag[BS_TAG_SIZE];

    differs = s->shown ? what_differs(s, rule->kinds, &status) : NULL;
    if (status != APR_SUCCESS) {
        bs_session_failed(s, status);
        s->state = BS_OUTAGE;
        return 0;
    }
    if (!differs) {
        return 1;
    }
    bs_key_tag(&s->key, tag);
    if (rule->revoke) {
        outcome = end_it(s);
    }
    bs_log(s->where, rule->revoke ? BS_LOG_WARNING : bs_store_warning(s->terms.store, BS_TOLD_ELSEWHERE),
           "session %s is used from another %s than it was begun or last "
           "logged in from: its token may be stolen (BSessionBind); the session %s", tag, differs,
           outcome);
    bs_session_tell(s);
    return !rule->revoke;
}

/* What was compared already, and would do no more, is not compared again. */
void bs_session_bind(bs_session_t *s, const bs_bind_rule_t *rule)
{
    bs_bind_rule_t *known = &s->terms.bind;
    bs_bind_rule_t more = *rule;

    if (!rule->revoke || known->revoke) {
        more.kinds &= ~known->kinds;
    }
    if (!more.kinds) {
        return;
    }
    known->kinds |= rule->kinds;
    known->revoke |= rule->revoke;
    memcpy(known->bits, rule->bits, sizeof known->bits);
    if (s->state == BS_PRESENT) {
        bs_binding_admits(s, &more);
    }
}
