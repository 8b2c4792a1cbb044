/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "secret.h"

#include <string.h>

#include <openssl/crypto.h>

#define LABEL_MAX 16

static apr_status_t derive(const bsession_bytes_t *secret, const char *label,
                           const unsigned char *realm, unsigned char *to, apr_size_t size)
{
    char whole[LABEL_MAX + BS_REALM_SIZE];
    apr_size_t len = strlen(label);

    memcpy(whole, label, len);
    if (realm) {
        memcpy(whole + len, realm, BS_REALM_SIZE);
        len += BS_REALM_SIZE;
    }
    return bs_hkdf(secret, whole, len, to, size);
}

/** Whether what the keys are for can be done. */
static apr_status_t try_them(const bs_keys_t *keys)
{
    unsigned char data[1] = { 0 }, tag[BS_SEAL_TAG_SIZE], digest[BS_DIGEST_SIZE];
    static const unsigned char nonce[BS_NONCE_SIZE];
    bsession_bytes_t beside = { "", 0 };
    bs_cipher_name_t name = { .day = 0 };
    bs_token_t token = { .maced = 0 };
    apr_status_t status = bs_token_issue(&token, keys, digest);

    memcpy(name.base, digest, sizeof digest);
    return status == APR_SUCCESS ? bs_encrypt(&name, nonce, &beside, data, sizeof data, tag) : status;
}

apr_status_t bs_keys_derive(bs_keys_t *keys, const bsession_bytes_t *secrets, int count,
                            const unsigned char realm[BS_REALM_SIZE])
{
    apr_status_t status = APR_SUCCESS;
    int i;

    keys->count = count;
    for (i = 0; i < count && status == APR_SUCCESS; i++) {
        bs_secret_t *secret = &keys->list[i];

        status = derive(&secrets[i], "id 1", NULL, secret->id, sizeof secret->id);
        if (status == APR_SUCCESS) {
            status = derive(&secrets[i], "token 1", realm, secret->token, sizeof secret->token);
        }
        if (status == APR_SUCCESS) {
            status = derive(&secrets[i], "seal 1", realm, secret->seal, sizeof secret->seal);
        }
        if (status == APR_SUCCESS) {
            status = derive(&secrets[i], "user 1", realm, secret->user, sizeof secret->user);
        }
    }
    return status == APR_SUCCESS ? try_them(keys) : status;
}

/** MAC and digest, one behind the other. */
static apr_status_t mac(const bs_secret_t *secret, const bs_token_t *token,
                        unsigned char to[BS_BLAKE2B_SIZE])
{
    unsigned char block[BS_SECRET_SIZE + BS_SELECTOR_SIZE + BS_VERIFIER_SIZE];

    memcpy(block, secret->token, BS_SECRET_SIZE);
    memcpy(block + BS_SECRET_SIZE, token->selector, BS_SELECTOR_SIZE);
    memcpy(block + BS_SECRET_SIZE + BS_SELECTOR_SIZE, token->verifier, BS_VERIFIER_SIZE);
    return bs_blake2b(block, sizeof block, to);
}

apr_status_t bs_token_issue(bs_token_t *token, const bs_keys_t *keys,
                            unsigned char digest[BS_DIGEST_SIZE])
{
    unsigned char both[BS_BLAKE2B_SIZE];
    apr_status_t status;

    if (!keys) {
        return bs_token_digest(token, digest);
    }
    status = mac(&keys->list[0], token, both);
    if (status == APR_SUCCESS) {
        memcpy(token->mac, both, BS_MAC_SIZE);
        memcpy(digest, both + BS_MAC_SIZE, BS_DIGEST_SIZE);
        token->maced = 1;
        token->secret_index = 0;
    }
    return status;
}

apr_status_t bs_token_prove(bs_token_t *token, const bs_keys_t *keys,
                            unsigned char digest[BS_DIGEST_SIZE])
{
    unsigned char both[BS_BLAKE2B_SIZE];
    int i;

    for (i = 0; i < keys->count; i++) {
        if (mac(&keys->list[i], token, both) != APR_SUCCESS) {
            return APR_EGENERAL;
        }
        if (CRYPTO_memcmp(token->mac, both, BS_MAC_SIZE) == 0) {
            memcpy(digest, both + BS_MAC_SIZE, BS_DIGEST_SIZE);
            token->secret_index = (unsigned char)i;
            return APR_SUCCESS;
        }
    }
    return APR_NOTFOUND;
}
