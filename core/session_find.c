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
    bs_log(s->where, BS_LOG_WARNING, "store %s: the record of session %s is damaged, of another "
           "version, or cannot be opened; the session counts as empty", store->name, tag);
    return APR_NOTFOUND;
}

/** A token that is looked up, and what its record must know of it. */
typedef struct {
    bs_token_t   *token;
    int           digested;
    unsigned char digest[BS_DIGEST_SIZE];
} sought_t;

static int is_remembered(const bs_digest_memo_t *memo, const bs_keys_t *keys, const bs_token_t *token)
{
    return memo->filled && memo->keys == keys
           && bs_digest_equal(memo->token.verifier, token->verifier)
           && (!keys || (bs_digest_equal(memo->token.mac, token->mac)
                         && memcmp(memo->token.selector, token->selector, BS_SELECTOR_SIZE) == 0));
}

/** With a secret APR_NOTFOUND for a token that none of them vouches for. */
static apr_status_t digest(const bs_session_t *s, sought_t *sought)
{
    const bs_keys_t *keys = s->terms.keys;
    bs_digest_memo_t *memo = s->memo;
    apr_status_t status;

    if (memo && is_remembered(memo, keys, sought->token)) {
        memcpy(sought->digest, memo->digest, BS_DIGEST_SIZE);
        sought->token->secret_index = memo->token.secret_index;
        sought->digested = 1;
        return APR_SUCCESS;
    }
    status = keys ? bs_token_prove(sought->token, keys, sought->digest)
                  : bs_token_digest(sought->token, sought->digest);
    if (status == APR_SUCCESS) {
        sought->digested = 1;
        if (memo) {
            memo->keys = keys;
            memo->token = *sought->token;
            memcpy(memo->digest, sought->digest, BS_DIGEST_SIZE);
            memo->filled = 1;
        }
    }
    return status;
}

/** What the record says of this token: APR_SUCCESS, APR_NOTFOUND, BSESSION_EGONE (retired just
 *  now). */
static apr_status_t judge(const bs_session_t *s, const bs_meta_t *meta, sought_t *sought)
{
    apr_time_t now = s->used_at;
    int i;

    if (memcmp(meta->realm, s->terms.realm, BS_REALM_SIZE) != 0
        || (s->terms.absolute && now >= meta->created + s->terms.absolute)) {
        return APR_NOTFOUND;
    }
    if (!sought->digested && digest(s, sought) != APR_SUCCESS) {
        return APR_EGENERAL;
    }
    if (bs_digest_equal(sought->digest, meta->digest)) {
        return APR_SUCCESS;
    }
    for (i = 0; i < meta->nretired; i++) {
        if (now < meta->retired[i].at + BS_STRAGGLER_TIME
            && bs_digest_equal(sought->digest, meta->retired[i].digest)) {
            return BSESSION_EGONE;
        }
    }
    return APR_NOTFOUND;
}

/** @param there  whether anything is under the token's key, whatever is to be said of it */
static apr_status_t find_in(bs_session_t *s, bs_store_t *store, sought_t *sought,
                            apr_time_t deadline, int *there)
{
    bs_caller_t caller = bs_session_caller(s, deadline ? deadline : s->used_at + store->timeout);
    bsession_record_t record;
    bsession_key_t key;
    bs_meta_t meta;
    apr_status_t status;

    bs_token_key(sought->token, &key);
    status = bs_store_load(store, &caller, &key, &record);
    *there = status != APR_NOTFOUND;
    if (status == APR_SUCCESS) {
        status = bs_meta_read(&meta, &record.meta);
    }
    if (status == APR_SUCCESS) {
        status = judge(s, &meta, sought);
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
apr_status_t bs_session_find(bs_session_t *s, bs_token_t *token, apr_time_t deadline)
{
    sought_t sought = { .token = token };
    apr_status_t status;
    int there;

    if (token->maced != (s->terms.keys != NULL)) {
        return APR_NOTFOUND;
    }
    if (s->terms.keys && (status = digest(s, &sought)) != APR_SUCCESS) {
        return status;
    }
    s->used_at = apr_time_now();
    status = find_in(s, s->terms.store, &sought, deadline, &there);
    if (!there && s->terms.older) {
        status = find_in(s, s->terms.older, &sought, deadline, &there);
        if (status == APR_NOTFOUND) {
            status = find_in(s, s->terms.store, &sought, deadline, &there);
        }
    }
    return status;
}
