/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "token.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

/* A SHA-256 that has seen nothing yet, for ever: a digest begins as a copy of it, which of all the
 * ways OpenSSL has is the cheapest (it looks up neither the algorithm nor an engine again). Made
 * once a process and only read from then on. */
static EVP_MD_CTX *digest_start;

/* Each thread keeps the context it copies to. A key and not __thread, since the threads of some
 * modules (mod_http2) come and go, and their contexts must go with them. */
static pthread_key_t digest_key;

static void digest_free(void *digest)
{
    EVP_MD_CTX_free(digest);
}

/* When this object is unloaded, as httpd does at each restart, no thread may call it any more. What
 * others may still read in that moment, when a process ends, is left to them. */
__attribute__((destructor)) static void digest_key_delete(void)
{
    if (digest_start) {
        pthread_key_delete(digest_key);
    }
}

void bs_token_end(void)
{
    digest_key_delete();
    EVP_MD_CTX_free(digest_start);
    digest_start = NULL;
}

apr_status_t bs_token_init(void)
{
    EVP_MD_CTX *start;
    EVP_MD *sha256;
    int rc;

    if (digest_start) {
        return APR_SUCCESS;
    }
    start = EVP_MD_CTX_new();
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!start || !sha256 || !EVP_DigestInit_ex2(start, sha256, NULL)) {
        rc = APR_EGENERAL;
    }
    else {
        rc = pthread_key_create(&digest_key, digest_free);
    }
    EVP_MD_free(sha256);        /* the context holds it */
    if (rc) {
        EVP_MD_CTX_free(start);
        return rc;
    }
    digest_start = start;
    return APR_SUCCESS;
}

apr_status_t bs_random_bytes(void *to, apr_size_t count)
{
    unsigned char *at = to;

    while (count) {
        ssize_t got = getrandom(at, count, 0);

        if (got < 0 && errno != EINTR) {
            return errno;
        }
        if (got > 0) {
            at += got;
            count -= (apr_size_t)got;
        }
    }
    return APR_SUCCESS;
}

apr_status_t bs_token_new(bs_token_t *token)
{
    unsigned char bytes[BS_SELECTOR_SIZE + BS_VERIFIER_SIZE];
    apr_status_t rv = bs_random_bytes(bytes, sizeof(bytes));

    if (rv == APR_SUCCESS) {
        memcpy(token->selector, bytes, BS_SELECTOR_SIZE);
        memcpy(token->verifier, bytes + BS_SELECTOR_SIZE, BS_VERIFIER_SIZE);
    }
    return rv;
}

apr_status_t bs_token_renew_verifier(bs_token_t *token)
{
    unsigned char bytes[BS_VERIFIER_SIZE];
    apr_status_t rv = bs_random_bytes(bytes, sizeof(bytes));

    if (rv == APR_SUCCESS) {
        memcpy(token->verifier, bytes, sizeof(bytes));
    }
    return rv;
}

apr_status_t bs_random_revision(apr_uint64_t *revision)
{
    apr_uint64_t number;

    do {
        apr_status_t rv = bs_random_bytes(&number, sizeof(number));

        if (rv != APR_SUCCESS) {
            return rv;
        }
        number &= (APR_UINT64_C(1) << 52) - 1;
    } while (!number);
    *revision = number;
    return APR_SUCCESS;
}

/* base64url, both ways. What is no digit is -1, whose bits survive any shift to the left: a group
 * of four digits that begins with a bit set holds one that is none. */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const signed char values[256] = {
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 62, -1, -1,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1,
    -1,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, 63,
    -1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1
};

static apr_uint32_t value_of(char digit)
{
    return (apr_uint32_t)values[(unsigned char)digit];
}

static apr_uint32_t read_group(const char *text)
{
    return value_of(text[0]) << 18 | value_of(text[1]) << 12
           | value_of(text[2]) << 6 | value_of(text[3]);
}

int bs_token_parse(bs_token_t *token, const char *text, apr_size_t len)
{
    unsigned char bytes[BS_SELECTOR_SIZE + BS_VERIFIER_SIZE + 1], *to = bytes;
    apr_uint32_t group, bad = 0;
    int i;

    if (len != BS_TOKEN_TEXT_LEN) {
        return 0;
    }
    /* Each group stores a fourth byte, which the next one overwrites: four are one store. */
    for (i = 0; i < BS_TOKEN_TEXT_LEN - 3; i += 4, to += 3) {
        group = read_group(text + i);
        bad |= group;
        to[0] = (unsigned char)(group >> 16);
        to[1] = (unsigned char)(group >> 8);
        to[2] = (unsigned char)group;
        to[3] = 0;
    }
    /* Three digits are left for two bytes: the last two bits must be unused. */
    group = value_of(text[i]) << 12 | value_of(text[i + 1]) << 6 | value_of(text[i + 2]);
    bad |= group;
    if (bad >> 24 || group & 3) {
        return 0;
    }
    to[0] = (unsigned char)(group >> 10);
    to[1] = (unsigned char)(group >> 2);
    memcpy(token->selector, bytes, BS_SELECTOR_SIZE);
    memcpy(token->verifier, bytes + BS_SELECTOR_SIZE, BS_VERIFIER_SIZE);
    return 1;
}

void bs_token_text(const bs_token_t *token, char text[BS_TOKEN_TEXT_LEN + 1])
{
    unsigned char bytes[BS_SELECTOR_SIZE + BS_VERIFIER_SIZE + 1];
    const unsigned char *from = bytes;
    int i;

    memcpy(bytes, token->selector, BS_SELECTOR_SIZE);
    memcpy(bytes + BS_SELECTOR_SIZE, token->verifier, BS_VERIFIER_SIZE);
    bytes[sizeof(bytes) - 1] = 0;
    for (i = 0; i < BS_TOKEN_TEXT_LEN + 1; i += 4, from += 3) {
        apr_uint32_t group = (apr_uint32_t)from[0] << 16 | (apr_uint32_t)from[1] << 8 | from[2];

        text[i] = digits[group >> 18];
        text[i + 1] = digits[group >> 12 & 63];
        text[i + 2] = digits[group >> 6 & 63];
        text[i + 3] = digits[group & 63];
    }
    text[BS_TOKEN_TEXT_LEN] = '\0';     /* in place of the digit of the 33rd byte */
}

/* The context of this thread, made by its first digest; NULL if that could not be done. */
static EVP_MD_CTX *digest_context(void)
{
    EVP_MD_CTX *digest = pthread_getspecific(digest_key);

    if (!digest) {
        digest = EVP_MD_CTX_new();
        if (digest && pthread_setspecific(digest_key, digest)) {
            EVP_MD_CTX_free(digest);
            digest = NULL;
        }
    }
    return digest;
}

apr_status_t bs_sha256(const bsession_bytes_t *bytes, unsigned char digest[BS_SHA256_SIZE])
{
    EVP_MD_CTX *context = digest_start ? digest_context() : NULL;

    if (!context || !EVP_MD_CTX_copy_ex(context, digest_start)
        || !EVP_DigestUpdate(context, bytes->data, bytes->len)
        || !EVP_DigestFinal_ex(context, digest, NULL)) {
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

apr_status_t bs_token_digest(const bs_token_t *token, unsigned char digest[BS_DIGEST_SIZE])
{
    bsession_bytes_t verifier = { (const char *)token->verifier, BS_VERIFIER_SIZE };
    unsigned char whole[BS_SHA256_SIZE];
    apr_status_t status = bs_sha256(&verifier, whole);

    if (status == APR_SUCCESS) {
        memcpy(digest, whole, BS_DIGEST_SIZE);
    }
    return status;
}

int bs_digest_equal(const unsigned char *a, const unsigned char *b)
{
    return !CRYPTO_memcmp(a, b, BS_DIGEST_SIZE);
}

void bs_token_key(const bs_token_t *token, bsession_key_t *key)
{
    key->space = 's';
    memcpy(key->bytes, token->selector, BS_SELECTOR_SIZE);
}

void bs_key_tag(const bsession_key_t *key, char tag[BS_TAG_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    int i;

    for (i = 0; i < (BS_TAG_SIZE - 1) / 2; i++) {
        tag[2 * i] = hex[key->bytes[i] >> 4];
        tag[2 * i + 1] = hex[key->bytes[i] & 15];
    }
    tag[BS_TAG_SIZE - 1] = '\0';
}
