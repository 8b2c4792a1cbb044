/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Finding: a token is looked up, and its record judged. */

#include "session.h"

#include <string.h>

#include "log.h"
#include "mod_bsession.h"

static apr_status_t corrupt(const bs_session_t *s, const bs_store_t *store, const bsession_key_t *key)
{
    char tag[BS_TAG_SIZE];

    bs_key_tag(key, tag);
    bs_log(s->where, BS_LOG_WARNING, "store %s: the record of session %s is damaged or of another "
           "version; the session counts as empty", store->name, tag);
    return APR_NOTFOUND;
}

static apr_status_t digest_of(const bs_session_t *s, const bs_token_t *token,
                              unsigned char digest[BS_DIGEST_SIZE])
{
    bs_digest_memo_t *memo = s->memo;
    apr_status_t status;

    if (memo && memo->filled && bs_digest_equal(memo->verifier, token->verifier)) {
        memcpy(digest, memo->digest, BS_DIGEST_SIZE);
        return APR_SUCCESS;
    }
    status = bs_token_digest(token, digest);
    if (memo && status == APR_SUCCESS) {
        memcpy(memo->verifier, token->verifier, BS_VERIFIER_SIZE);
        memcpy(memo->digest, digest, BS_DIGEST_SIZE);
        memo->filled = 1;
    }
    return status;
}

/** What the record says of this token: APR_SUCCESS, APR_NOTFOUND, BSESSION_EGONE (retired just
 *  now). */
static apr_status_t judge(const bs_session_t *s, const bs_meta_t *meta, const bs_token_t *token)
{
    unsigned char digest[BS_DIGEST_SIZE];
    apr_time_t now = s->used_at;
    int i;

    if (memcmp(meta->realm, s->terms.realm, BS_REALM_SIZE) != 0
        || (s->terms.absolute && now >= meta->created + s->terms.absolute)) {
        return APR_NOTFOUND;
    }
    if (digest_of(s, token, digest) != APR_SUCCESS) {
        return APR_EGENERAL;
    }
    if (bs_digest_equal(digest, meta->digest)) {
        return APR_SUCCESS;
    }
    for (i = 0; i < meta->nretired; i++) {
        if (now < meta->retired[i].at + BS_STRAGGLER_TIME
            && bs_digest_equal(digest, meta->retired[i].digest)) {
            return BSESSION_EGONE;
        }
    }
    return APR_NOTFOUND;
}

/** @param there  whether anything is under the token's key, whatever is to be said of it */
static apr_status_t find_in(bs_session_t *s, bs_store_t *store, const bs_token_t *token,
                            apr_time_t deadline, int *there)
{
    bs_caller_t caller = bs_session_caller(s, deadline ? deadline : s->used_at + store->timeout);
    bsession_record_t record;
    bsession_key_t key;
    bs_meta_t meta;
    apr_status_t status;

    bs_token_key(token, &key);
    status = bs_store_load(store, &caller, &key, &record);
    *there = status != APR_NOTFOUND;
    if (status == APR_SUCCESS) {
        status = bs_meta_read(&meta, &record.meta);
    }
    if (status == APR_SUCCESS) {
        status = judge(s, &meta, token);
    }
    if (status == APR_SUCCESS) {
        s->home = store;
        s->record = record;
        s->meta = meta;
        s->key = key;
        s->stale = 0;
    }
    return status == BSESSION_ECORRUPT ? corrupt(s, store, &key) : status;
}

/* A move creates the record here before it removes it there. So what is in neither, when asked in this
 * order, may have moved in between; then it is here now. What is here is the session, also where it does
 * not know this token any more: of a move that nobody heard the end of an older one may be left there,
 * which knows it still. */
apr_status_t bs_session_find(bs_session_t *s, const bs_token_t *token, apr_time_t deadline)
{
    apr_status_t status;
    int there;

    s->used_at = apr_time_now();
    status = find_in(s, s->terms.store, token, deadline, &there);
    if (!there && s->terms.older) {
        status = find_in(s, s->terms.older, token, deadline, &there);
        if (status == APR_NOTFOUND) {
            status = find_in(s, s->terms.store, token, deadline, &there);
        }
    }
    return status;
}
