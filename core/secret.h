/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file secret.h
 * @brief What the secrets of BSessionSecret come to in one realm: keys for tokens and keys for
 *        records.
 *
 * Everything is derived from a secret by HKDF-SHA256 under a label of its own, once, at the start,
 * and the secret is not needed after that:
 *
 *     "id 1"               4 bytes by which a sealed record says which secret it needs
 *     "token 1" realm      32 bytes that vouch for tokens
 *     "seal 1" realm       32 bytes, of which records are sealed: a key for each day (crypto.h)
 *     "user 1" realm       32 bytes that hide whose a list of sessions is (users.h)
 *
 * One BLAKE2b-512 over token key, selector and verifier, a single block, is both the MAC in the
 * token (its first 16 bytes) and the digest in the record (the next 16): so that a forged token
 * costs no call of a store, and that a record does not tell what its token looks like.
 *
 * A secret is replaced by putting a new one before it. What is new is made with the first; what the
 * others made is good while they are listed.
 */
#ifndef BS_SECRET_H
#define BS_SECRET_H

#include "crypto.h"
#include "meta.h"
#include "token.h"

#define BS_SECRETS_MAX   4
#define BS_SECRET_LEAST  32     /* bytes of a secret */
#define BS_KEY_ID_SIZE   4

typedef struct {
    unsigned char id[BS_KEY_ID_SIZE];
    unsigned char token[BS_SECRET_SIZE];
    unsigned char seal[BS_SECRET_SIZE];
    unsigned char user[BS_SECRET_SIZE];
} bs_secret_t;

typedef struct {
    int         count;                      /* 1 or more */
    bs_secret_t list[BS_SECRETS_MAX];       /* the newest first */
} bs_keys_t;

/** APR_EGENERAL where OpenSSL lacks what is needed: HKDF, BLAKE2b, AES-256-GCM. */
apr_status_t bs_keys_derive(bs_keys_t *keys, const bsession_bytes_t *secrets, int count,
                            const unsigned char realm[BS_REALM_SIZE]);

/** For a token with a new verifier: the digest that its record keeps, and, with keys, its MAC. */
apr_status_t bs_token_issue(bs_token_t *token, const bs_keys_t *keys,
                            unsigned char digest[BS_DIGEST_SIZE]);
/** For a token with a MAC: which of the secrets vouches for it, and the digest that its record
 *  keeps. APR_NOTFOUND: none does. */
apr_status_t bs_token_prove(bs_token_t *token, const bs_keys_t *keys,
                            unsigned char digest[BS_DIGEST_SIZE]);

#endif
