/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "token.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/crypto.h>

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
        memset(token, 0, sizeof(*token));
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

/* Reads groups of four digits until this many are left. Each group stores a fourth byte, which the
 * next one overwrites: four are one store. */
static apr_uint32_t read_groups(unsigned char *to, const char *text, const char *end)
{
    apr_uint32_t bad = 0;

    for (; text < end; text += 4, to += 3) {
        apr_uint32_t group = read_group(text);

        bad |= group;
        to[0] = (unsigned char)(group >> 16);
        to[1] = (unsigned char)(group >> 8);
        to[2] = (unsigned char)group;
        to[3] = 0;
    }
    return bad;
}

static int parse_maced(bs_token_t *token, const char *text)
{
    unsigned char bytes[BS_SELECTOR_SIZE + BS_VERIFIER_SIZE + BS_MAC_SIZE + 1];

    if (read_groups(bytes, text, text + BS_TOKEN_MACED_LEN) >> 24) {
        return 0;
    }
    memcpy(token->selector, bytes, BS_SELECTOR_SIZE);
    memcpy(token->verifier, bytes + BS_SELECTOR_SIZE, BS_VERIFIER_SIZE);
    memcpy(token->mac, bytes + BS_SELECTOR_SIZE + BS_VERIFIER_SIZE, BS_MAC_SIZE);
    token->maced = 1;
    token->secret_index = 0;
    return 1;
}

int bs_token_parse(bs_token_t *token, const char *text, apr_size_t len)
{
    unsigned char bytes[BS_SELECTOR_SIZE + BS_VERIFIER_SIZE + 1];
    apr_uint32_t group, bad;

    if (len != BS_TOKEN_TEXT_LEN) {
        return len == BS_TOKEN_MACED_LEN && parse_maced(token, text);
    }
    /* Three digits are left for two bytes: the last two bits must be unused. */
    bad = read_groups(bytes, text, text + BS_TOKEN_TEXT_LEN - 3);
    text += BS_TOKEN_TEXT_LEN - 3;
    group = value_of(text[0]) << 12 | value_of(text[1]) << 6 | value_of(text[2]);
    bad |= group;
    if (bad >> 24 || group & 3) {
        return 0;
    }
    bytes[30] = (unsigned char)(group >> 10);
    bytes[31] = (unsigned char)(group >> 2);
    memset(token, 0, sizeof(*token));
    memcpy(token->selector, bytes, BS_SELECTOR_SIZE);
    memcpy(token->verifier, bytes + BS_SELECTOR_SIZE, BS_VERIFIER_SIZE);
    return 1;
}

void bs_token_text(const bs_token_t *token, char text[BS_TOKEN_TEXT_SIZE])
{
    unsigned char bytes[BS_SELECTOR_SIZE + BS_VERIFIER_SIZE + BS_MAC_SIZE];
    const unsigned char *from = bytes;
    int len = token->maced ? BS_TOKEN_MACED_LEN : BS_TOKEN_TEXT_LEN, i;

    memcpy(bytes, token->selector, BS_SELECTOR_SIZE);
    memcpy(bytes + BS_SELECTOR_SIZE, token->verifier, BS_VERIFIER_SIZE);
    memcpy(bytes + BS_SELECTOR_SIZE + BS_VERIFIER_SIZE, token->mac, BS_MAC_SIZE);
    if (!token->maced) {
        bytes[BS_SELECTOR_SIZE + BS_VERIFIER_SIZE] = 0;
    }
    for (i = 0; i < len; i += 4, from += 3) {
        apr_uint32_t group = (apr_uint32_t)from[0] << 16 | (apr_uint32_t)from[1] << 8 | from[2];

        text[i] = digits[group >> 18];
        text[i + 1] = digits[group >> 12 & 63];
        text[i + 2] = digits[group >> 6 & 63];
        text[i + 3] = digits[group & 63];
    }
    text[len] = '\0';                   /* of 43, in place of the digit of the 33rd byte */
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

static apr_uint64_t eight_bytes(const char *text)
{
    apr_uint64_t word;

    memcpy(&word, text, sizeof(word));
    return word;
}

int bs_text_equal(const char *a, const char *b, apr_size_t len)
{
    apr_uint64_t differing = 0;
    apr_size_t at;

    if (len < 8) {
        return !CRYPTO_memcmp(a, b, len);
    }
    for (at = 0; at < len - 8; at += 8) {
        differing |= eight_bytes(a + at) ^ eight_bytes(b + at);
    }
    differing |= eight_bytes(a + len - 8) ^ eight_bytes(b + len - 8);
    return !differing;
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
