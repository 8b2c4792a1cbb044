/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Finding: a token is looked up, and its record judged. */

#include "session.h"

#include <string.h>

#include <apr_strings.h>

#include "log.h"
#include "mod_bsession.h"

static apr_status_t corrupt(const bs_session_t *s, bs_store_t *store, const bsession_key_t *key)
{
    char tag[BS_TAG_SIZE];

    bs_key_tag(key, tag);
    bs_log(s->where, bs_store_warning(store, BS_TOLD_DAMAGED), "store %s: the record of session %s is "
           "damaged, of another version, or cannot be opened; the session counts as empty",
           store->name, tag);
    return APR_NOTFOUND;
}

/** A token that is looked up, what its record must know of it, and what is there. */
typedef struct {
    bs_token_t        *token;
    int                digested;
    unsigned char      digest[BS_DIGEST_SIZE];
    bs_store_t        *store;
    bsession_key_t     key;
    bsession_record_t  record;
    bs_meta_t          meta;
    bs_standing_t      standing;
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

/** What the record says of this token: APR_SUCCESS, APR_NOTFOUND, BSESSION_EGONE (of a request that
 *  was under way when it ceased to be good). One that was let in stays in until somebody logs
 *  in. */
static apr_status_t judge(const bs_session_t *s, sought_t *sought)
{
    const bs_meta_t *meta = &sought->meta;
    apr_time_t now = s->used_at;

    if (memcmp(meta->realm, s->terms.realm, BS_REALM_SIZE) != 0
        || (s->terms.absolute && now >= meta->created + s->terms.absolute)) {
        return APR_NOTFOUND;
    }
    if (!sought->digested && digest(s, sought) != APR_SUCCESS) {
        return APR_EGENERAL;
    }
    sought->standing = bs_rotation_standing(meta, sought->digest, now);
    if (s->state == BS_PRESENT && sought->record.epoch == s->record.epoch) {
        return APR_SUCCESS;
    }
    switch (sought->standing) {
    case BS_IS_CURRENT:
    case BS_IS_ASIDE:
        return APR_SUCCESS;
    case BS_IS_RETIRED:
        return BSESSION_EGONE;
    case BS_IS_REUSED:
        return bs_rotation_is_late(meta, sought->digest, now) ? BSESSION_EGONE : APR_NOTFOUND;
    case BS_IS_UNKNOWN:
        break;
    }
    return APR_NOTFOUND;
}

static void take(bs_session_t *s, const sought_t *found)
{
    s->home = found->store;
    s->record = found->record;
    bs_meta_copy(&s->meta, &found->meta);
    s->key = found->key;
    s->standing = found->standing;
    memcpy(s->digest, found->digest, BS_DIGEST_SIZE);
    s->stale = 0;
}

/** Who came with this token may be a thief. It still says which session that is about. */
static bs_session_t *suspect(const bs_session_t *s, const sought_t *found)
{
    bs_session_t *suspect = apr_pmemdup(s->pool, s, sizeof *s);

    take(suspect, found);
    suspect->token = *found->token;
    suspect->state = BS_PRESENT;
    return suspect;
}

/** @param there  whether anything is under the token's key, whatever is to be said of it */
static apr_status_t find_in(bs_session_t *s, bs_store_t *store, sought_t *sought,
                            apr_time_t deadline, int *there)
{
    bs_caller_t caller = bs_session_caller(s, deadline ? deadline : s->used_at + store->timeout);
    apr_status_t status;

    sought->store = store;
    sought->standing = BS_IS_UNKNOWN;
    status = bs_store_load(store, &caller, &sought->key, &sought->record);
    *there = status != APR_NOTFOUND;
    if (status == APR_SUCCESS) {
        status = bs_meta_read(&sought->meta, &sought->record.meta);
    }
    if (status == APR_SUCCESS) {
        status = judge(s, sought);
    }
    if (status == APR_SUCCESS) {
        take(s, sought);
    }
    else if (sought->standing == BS_IS_REUSED && !s->detached) {
        s->suspect = suspect(s, sought);
    }
    return status == BSESSION_ECORRUPT ? corrupt(s, store, &sought->key) : status;
}

/* A move creates the record here before it removes it there. So what is in neither, when asked in
 * this order, may have moved in between; then it is here now. What is here is the session, also
 * where it does not know this token any more: of a move that nobody heard the end of an older one
 * may be left there, which knows it still. */
apr_status_t bs_session_find(bs_session_t *s, bs_token_t *token, apr_time_t deadline)
{
    sought_t sought;
    apr_status_t status;
    int there;

    if (token->maced != (s->terms.keys != NULL)) {
        return APR_NOTFOUND;
    }
    sought.token = token;
    sought.digested = 0;
    bs_token_key(token, &sought.key);
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
