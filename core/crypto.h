/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file crypto.h
 * @brief OpenSSL, as the core uses it: algorithms are fetched once a process, and each thread keeps
 *        the contexts it works with, since to make them costs more than to use them.
 */
#ifndef BS_CRYPTO_H
#define BS_CRYPTO_H

#include "bsession_provider.h"

#define BS_SHA256_SIZE  32
#define BS_BLAKE2B_SIZE 64
#define BS_SECRET_SIZE  32      /* of what keys are made of, and of keys */
#define BS_NONCE_SIZE   12
#define BS_SEAL_TAG_SIZE 16

/** Before the others: fetches the algorithms. Called again it does nothing, so that the parent may
 *  do it for its children; not from two threads at once. */
apr_status_t bs_crypto_init(void);

/** The last of them: what bs_crypto_init made is gone. */
void         bs_crypto_end(void);

/* Any thread. APR_EGENERAL where OpenSSL could not do it, or without bs_crypto_init. */

apr_status_t bs_sha256(const bsession_bytes_t *bytes, unsigned char digest[BS_SHA256_SIZE]);
/** BLAKE2b-512; of up to 128 bytes it is one block. */
apr_status_t bs_blake2b(const void *bytes, apr_size_t len, unsigned char digest[BS_BLAKE2B_SIZE]);
/** HKDF-SHA256 without salt: at most 32 bytes of it, for this label. Slow: for starts, and once a
 *  day. */
apr_status_t bs_hkdf(const bsession_bytes_t *secret, const char *label, apr_size_t label_len,
                     unsigned char *to, apr_size_t size);

/** Which key of AES-256-GCM: one of this base for each day. */
typedef struct {
    unsigned char base[BS_SECRET_SIZE];
    apr_uint32_t  day;          /* since 1970 */
} bs_cipher_name_t;

/** In place; the tag also covers `beside`. */
apr_status_t bs_encrypt(const bs_cipher_name_t *name, const unsigned char nonce[BS_NONCE_SIZE],
                        const bsession_bytes_t *beside, unsigned char *data, apr_size_t len,
                        unsigned char tag[BS_SEAL_TAG_SIZE]);
/** To `to`, of the same length. BSESSION_ECORRUPT for what bs_encrypt did not write so; what is in
 *  `to` is worth nothing then. */
apr_status_t bs_decrypt(const bs_cipher_name_t *name, const unsigned char nonce[BS_NONCE_SIZE],
                        const bsession_bytes_t *beside, const unsigned char *data, apr_size_t len,
                        const unsigned char tag[BS_SEAL_TAG_SIZE], unsigned char *to);

#endif
