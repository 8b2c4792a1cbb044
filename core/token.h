/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file token.h
 * @brief What a visitor's cookie holds: a selector (which record) and a verifier (may I).
 *
 * 16 random bytes each, from the operating system's generator, in base64url, 43 characters; where
 * there is a secret a MAC of 16 bytes follows (secret.h), which makes them 64. The selector is the
 * record's key; the record keeps the verifier's digest only, so that a stolen store opens nothing.
 * What people see of a session is the tag: 12 hex digits of the selector.
 */
#ifndef BS_TOKEN_H
#define BS_TOKEN_H

#include "bsession_provider.h"
#include "crypto.h"

#define BS_SELECTOR_SIZE   16
#define BS_VERIFIER_SIZE   16
#define BS_MAC_SIZE        16
#define BS_DIGEST_SIZE     16       /* of SHA-256, cut: the verifier has no more entropy either */
#define BS_TOKEN_TEXT_LEN  43
#define BS_TOKEN_MACED_LEN 64
#define BS_TOKEN_TEXT_SIZE (BS_TOKEN_MACED_LEN + 1)
#define BS_TAG_SIZE        13       /* 12 digits and a NUL */

typedef struct {
    unsigned char selector[BS_SELECTOR_SIZE];
    unsigned char verifier[BS_VERIFIER_SIZE];
    unsigned char mac[BS_MAC_SIZE]; /* zeros where it has none */
    unsigned char maced;            /* it has one */
    unsigned char secret_index;     /* which secret vouches for it, once that is known: 0 = the
                                       newest */
} bs_token_t;

/** New selector and verifier, and no MAC yet: see bs_token_issue(). Only a new verifier (rotation).
 *  Fails only where the system has no random bytes to give. */
apr_status_t bs_token_new(bs_token_t *token);
apr_status_t bs_token_renew_verifier(bs_token_t *token);

/** 1 if the text is exactly what bs_token_text could have written, the unused bits of its last
 *  character included; 0 otherwise, whatever the bytes are. */
int          bs_token_parse(bs_token_t *token, const char *text, apr_size_t len);
void         bs_token_text(const bs_token_t *token, char text[BS_TOKEN_TEXT_SIZE]);

/** Of the verifier, without a secret; as bs_sha256. */
apr_status_t bs_token_digest(const bs_token_t *token, unsigned char digest[BS_DIGEST_SIZE]);
/** In constant time. */
int          bs_digest_equal(const unsigned char *a, const unsigned char *b);
/** The same, of texts of one length, which has a token in it: eight bytes at a time. */
int          bs_text_equal(const char *a, const char *b, apr_size_t len);

void         bs_token_key(const bs_token_t *token, bsession_key_t *key);
void         bs_key_tag(const bsession_key_t *key, char tag[BS_TAG_SIZE]);

/** A revision to begin with: random, 1 .. 2^52 - 1. */
apr_status_t bs_random_revision(apr_uint64_t *revision);
/** Any number of bytes from the operating system's generator. */
apr_status_t bs_random_bytes(void *to, apr_size_t count);

#endif
