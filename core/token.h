/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file token.h
 * @brief What a visitor's cookie holds: a selector (which record) and a verifier (may I).
 *
 * 16 random bytes each, from the operating system's generator, in base64url, 43 characters. The
 * selector is the record's key; the record keeps the verifier's digest only, so that a stolen store
 * opens nothing. What people see of a session is the tag: 12 hex digits of the selector.
 */
#ifndef BS_TOKEN_H
#define BS_TOKEN_H

#include "bsession_provider.h"

#define BS_SELECTOR_SIZE   16
#define BS_VERIFIER_SIZE   16
#define BS_SHA256_SIZE     32
#define BS_DIGEST_SIZE     16       /* of SHA-256, cut: the verifier has no more entropy either */
#define BS_TOKEN_TEXT_LEN  43
#define BS_TAG_SIZE        13       /* 12 digits and a NUL */

typedef struct {
    unsigned char selector[BS_SELECTOR_SIZE];
    unsigned char verifier[BS_VERIFIER_SIZE];
} bs_token_t;

/** Before bs_token_digest: fetches the digest. Called again it does nothing, so that the parent may
 *  do it for its children; not from two threads at once. */
apr_status_t bs_token_init(void);

/** The last of them: what bs_token_init made is gone. */
void         bs_token_end(void);

/** New selector and verifier; only a new verifier (rotation). Fails only where the system has no
 *  random bytes to give. */
apr_status_t bs_token_new(bs_token_t *token);
apr_status_t bs_token_renew_verifier(bs_token_t *token);

/** 1 if the text is exactly what bs_token_text could have written, the unused bits of its last
 *  character included; 0 otherwise, whatever the bytes are. */
int          bs_token_parse(bs_token_t *token, const char *text, apr_size_t len);
void         bs_token_text(const bs_token_t *token, char text[BS_TOKEN_TEXT_LEN + 1]);

/** Any thread; the first call of each makes its context, which ends with it. APR_EGENERAL where that
 *  failed, or without bs_token_init. */
apr_status_t bs_sha256(const bsession_bytes_t *bytes, unsigned char digest[BS_SHA256_SIZE]);
/** Of the verifier; as bs_sha256. */
apr_status_t bs_token_digest(const bs_token_t *token, unsigned char digest[BS_DIGEST_SIZE]);
/** In constant time. */
int          bs_digest_equal(const unsigned char *a, const unsigned char *b);

void         bs_token_key(const bs_token_t *token, bsession_key_t *key);
void         bs_key_tag(const bsession_key_t *key, char tag[BS_TAG_SIZE]);

/** A revision to begin with: random, 1 .. 2^52 - 1. */
apr_status_t bs_random_revision(apr_uint64_t *revision);
/** Any number of bytes from the operating system's generator. */
apr_status_t bs_random_bytes(void *to, apr_size_t count);

#endif
