/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "suites.h"

#include <string.h>

#include "secret.h"

static const unsigned char realm[BS_REALM_SIZE] = { 1, 2, 3, 4, 5, 6, 7, 8 };
static const bsession_bytes_t old = { "0123456789abcdef0123456789abcdef", 32 };
static const bsession_bytes_t new = { "another secret, of 36 random bytes..", 36 };

/* By an HKDF and a BLAKE2b of other people, from the secret `old`. */
static const unsigned char id[] = { 0x2e, 0x23, 0x8d, 0x83 };
static const unsigned char mac[] = {
    0x89, 0xcc, 0x91, 0xb9, 0xb8, 0x9f, 0xa7, 0xf2,
    0x6e, 0xc5, 0xf9, 0x09, 0x81, 0x99, 0x1b, 0x4a
};
static const unsigned char kept[] = {
    0x47, 0xca, 0xbf, 0x9d, 0x08, 0x81, 0xf2, 0xf9,
    0xbb, 0x8e, 0xa6, 0xee, 0x35, 0x46, 0x83, 0x24
};

static void secret_setup(void)
{
    pool_setup();
    ck_assert_int_eq(bs_crypto_init(), APR_SUCCESS);
}

static bs_keys_t keys_of(const bsession_bytes_t *first, const bsession_bytes_t *second)
{
    bsession_bytes_t secrets[] = { *first, second ? *second : *first };
    bs_keys_t keys;

    memset(&keys, 0xa5, sizeof keys);
    ck_assert_int_eq(bs_keys_derive(&keys, secrets, second ? 2 : 1, realm), APR_SUCCESS);
    return keys;
}

static bs_token_t counted(void)
{
    bs_token_t token = { .maced = 0 };
    int i;

    for (i = 0; i < 16; i++) {
        token.selector[i] = (unsigned char)i;
        token.verifier[i] = (unsigned char)(16 + i);
    }
    return token;
}

static bs_token_t issued_by(const bs_keys_t *keys)
{
    unsigned char digest[BS_DIGEST_SIZE];
    bs_token_t token;

    ck_assert_int_eq(bs_token_new(&token), APR_SUCCESS);
    ck_assert_int_eq(bs_token_issue(&token, keys, digest), APR_SUCCESS);
    ck_assert(token.maced && token.secret_index == 0);
    return token;
}

static apr_status_t prove(bs_token_t *token, const bs_keys_t *keys)
{
    unsigned char digest[BS_DIGEST_SIZE];

    return bs_token_prove(token, keys, digest);
}

START_TEST(mac_and_digest_are_what_the_header_says)
{
    unsigned char digest[BS_DIGEST_SIZE];
    bs_keys_t keys = keys_of(&old, NULL);
    bs_token_t token = counted();

    ck_assert_int_eq(keys.count, 1);
    ck_assert_mem_eq(keys.list[0].id, id, sizeof id);
    ck_assert_int_eq(bs_token_issue(&token, &keys, digest), APR_SUCCESS);
    ck_assert_mem_eq(token.mac, mac, sizeof mac);
    ck_assert_mem_eq(digest, kept, sizeof kept);
}
END_TEST

START_TEST(without_a_secret_it_is_sha256)
{
    unsigned char digest[BS_DIGEST_SIZE], plain[BS_DIGEST_SIZE];
    bs_token_t token = counted();

    ck_assert_int_eq(bs_token_issue(&token, NULL, digest), APR_SUCCESS);
    ck_assert_int_eq(bs_token_digest(&token, plain), APR_SUCCESS);
    ck_assert_mem_eq(digest, plain, sizeof plain);
    ck_assert(!token.maced);
}
END_TEST

START_TEST(any_bit_flipped_is_forged)
{
    bs_keys_t keys = keys_of(&old, &new);
    bs_token_t token = issued_by(&keys), forged;
    int bit;

    for (bit = 0; bit < 8 * (BS_SELECTOR_SIZE + BS_VERIFIER_SIZE + BS_MAC_SIZE); bit++) {
        forged = token;
        ((unsigned char *)&forged)[bit / 8] ^= (unsigned char)(1 << bit % 8);
        ck_assert_int_eq(prove(&forged, &keys), APR_NOTFOUND);
    }
    ck_assert_int_eq(prove(&token, &keys), APR_SUCCESS);
}
END_TEST

START_TEST(an_older_secret_is_good_while_it_is_listed)
{
    bs_keys_t before = keys_of(&old, NULL), both = keys_of(&new, &old), after = keys_of(&new, NULL);
    bs_token_t token = issued_by(&before), fresh = issued_by(&both);

    ck_assert_int_eq(prove(&token, &both), APR_SUCCESS);
    ck_assert_int_eq(token.secret_index, 1);
    ck_assert_int_eq(prove(&fresh, &both), APR_SUCCESS);
    ck_assert_int_eq(fresh.secret_index, 0);
    ck_assert_int_eq(prove(&fresh, &after), APR_SUCCESS);
    ck_assert_int_eq(prove(&token, &after), APR_NOTFOUND);
    ck_assert_int_eq(prove(&fresh, &before), APR_NOTFOUND);
}
END_TEST

START_TEST(another_realm_has_other_keys)
{
    static const unsigned char other[BS_REALM_SIZE] = { 1, 2, 3, 4, 5, 6, 7, 9 };
    bs_keys_t keys = keys_of(&old, NULL), others;
    bs_token_t token = issued_by(&keys);

    ck_assert_int_eq(bs_keys_derive(&others, &old, 1, other), APR_SUCCESS);
    ck_assert_mem_eq(others.list[0].id, keys.list[0].id, BS_KEY_ID_SIZE);
    ck_assert_mem_ne(others.list[0].token, keys.list[0].token, BS_SECRET_SIZE);
    ck_assert_mem_ne(others.list[0].seal, keys.list[0].seal, BS_SECRET_SIZE);
    ck_assert_int_eq(prove(&token, &others), APR_NOTFOUND);
}
END_TEST

Suite *secret_suite(void)
{
    Suite *suite = suite_create("secret");
    TCase *tests = tcase_create("secret");

    tcase_add_checked_fixture(tests, secret_setup, pool_teardown);
    tcase_add_test(tests, mac_and_digest_are_what_the_header_says);
    tcase_add_test(tests, without_a_secret_it_is_sha256);
    tcase_add_test(tests, any_bit_flipped_is_forged);
    tcase_add_test(tests, an_older_secret_is_good_while_it_is_listed);
    tcase_add_test(tests, another_realm_has_other_keys);
    suite_add_tcase(suite, tests);
    return suite;
}
