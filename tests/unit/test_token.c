/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "suites.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "token.h"

#define MANY 1000000

/* ---- the operating system's generator, which here can be made to stumble ---- */

static int interrupts, fails_with;
static size_t at_once;

/* Takes the place of the C library's. */
ssize_t getrandom(void *to, size_t count, unsigned flags)
{
    if (fails_with) {
        errno = fails_with;
        return -1;
    }
    if (interrupts) {
        interrupts--;
        errno = EINTR;
        return -1;
    }
    if (at_once && count > at_once) {
        count = at_once;
    }
    return syscall(SYS_getrandom, to, count, flags);
}

static void token_setup(void)
{
    pool_setup();
    ck_assert_int_eq(bs_crypto_init(), APR_SUCCESS);
}

/* ---- text ---- */

/* Bytes 0, 1, 2 .. 31 and what RFC 4648 makes of them. */
#define COUNTED "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

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

static int tokens_equal(const bs_token_t *a, const bs_token_t *b)
{
    return !memcmp(a->selector, b->selector, BS_SELECTOR_SIZE)
           && !memcmp(a->verifier, b->verifier, BS_VERIFIER_SIZE);
}

/* Whether a text of this length is a token; what is must print as this text again, and what is not
 * must leave the token as it was. */
static int parses(const char *text, apr_size_t len)
{
    bs_token_t before = counted(), token = before;
    char again[BS_TOKEN_TEXT_SIZE];

    if (!bs_token_parse(&token, text, len)) {
        ck_assert(tokens_equal(&token, &before));
        return 0;
    }
    bs_token_text(&token, again);
    ck_assert_uint_eq(len, strlen(again));
    ck_assert_mem_eq(again, text, len);
    return 1;
}

START_TEST(the_text_is_base64url)
{
    bs_token_t token = counted(), again;
    char text[BS_TOKEN_TEXT_SIZE];

    bs_token_text(&token, text);
    ck_assert_str_eq(text, COUNTED);
    ck_assert(bs_token_parse(&again, text, strlen(text)));
    ck_assert(tokens_equal(&again, &token));
    memset(token.selector, 0xff, BS_SELECTOR_SIZE);
    memset(token.verifier, 0xff, BS_VERIFIER_SIZE);
    bs_token_text(&token, text);
    ck_assert_str_eq(text, "__________________________________________8");
    memset(&token, 0, sizeof(token));
    bs_token_text(&token, text);
    ck_assert_str_eq(text, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
}
END_TEST

START_TEST(other_lengths_are_refused)
{
    static const char text[] = COUNTED COUNTED;
    apr_size_t len;

    for (len = 0; len <= strlen(text); len++) {
        ck_assert_int_eq(parses(text, len), len == BS_TOKEN_TEXT_LEN || len == BS_TOKEN_MACED_LEN);
    }
}
END_TEST

START_TEST(with_a_mac_it_has_64_characters)
{
    bs_token_t token = counted(), again;
    char text[BS_TOKEN_TEXT_SIZE];
    int i;

    token.maced = 1;
    for (i = 0; i < BS_MAC_SIZE; i++) {
        token.mac[i] = (unsigned char)(32 + i);
    }
    bs_token_text(&token, text);
    ck_assert_str_eq(text, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v");
    ck_assert(bs_token_parse(&again, text, strlen(text)));
    ck_assert(tokens_equal(&again, &token) && again.maced && again.secret_index == 0);
    ck_assert_mem_eq(again.mac, token.mac, BS_MAC_SIZE);
    for (i = 0; i < BS_TOKEN_MACED_LEN; i++) {
        char kept = text[i];

        text[i] = '=';
        ck_assert(!parses(text, BS_TOKEN_MACED_LEN));
        text[i] = kept;
    }
}
END_TEST

/* Of all the bytes that may take the place of a character, 63 are digits: each gives another token,
 * and every other byte none. parses() has seen that the token prints as its text. */
START_TEST(any_other_byte_is_refused_or_another_token)
{
    const bs_token_t token = counted();
    char text[] = COUNTED;
    int i, byte;

    for (i = 0; i < BS_TOKEN_TEXT_LEN - 1; i++) {
        int taken = 0;

        for (byte = 0; byte < 256; byte++) {
            bs_token_t other;

            text[i] = (char)byte;
            if (text[i] != COUNTED[i] && parses(text, BS_TOKEN_TEXT_LEN)) {
                taken++;
                ck_assert(bs_token_parse(&other, text, BS_TOKEN_TEXT_LEN));
                ck_assert(!tokens_equal(&other, &token));
            }
        }
        ck_assert_int_eq(taken, 63);
        text[i] = COUNTED[i];
    }
}
END_TEST

START_TEST(any_bit_flipped_is_refused_or_another_token)
{
    const bs_token_t token = counted();
    char text[] = COUNTED;
    int i, refused = 0;

    for (i = 0; i < BS_TOKEN_TEXT_LEN * 8; i++) {
        bs_token_t other = token;

        text[i / 8] = (char)(text[i / 8] ^ 1 << i % 8);
        if (bs_token_parse(&other, text, BS_TOKEN_TEXT_LEN)) {
            ck_assert(!tokens_equal(&other, &token));
        }
        else {
            refused++;
        }
        text[i / 8] = COUNTED[i / 8];
    }
    ck_assert_int_ge(refused, BS_TOKEN_TEXT_LEN);       /* the top bit of each, at the least */
}
END_TEST

START_TEST(the_last_character_has_one_form)
{
    static const char canonical[] = "AEIMQUYcgkosw048";
    char text[] = COUNTED;
    int byte;

    for (byte = 0; byte < 256; byte++) {
        text[BS_TOKEN_TEXT_LEN - 1] = (char)byte;
        ck_assert_int_eq(parses(text, BS_TOKEN_TEXT_LEN), byte && strchr(canonical, byte) != NULL);
    }
}
END_TEST

/* ---- randomness ---- */

static int compare_numbers(const void *a, const void *b)
{
    apr_uint64_t one = *(const apr_uint64_t *)a, other = *(const apr_uint64_t *)b;

    return (one > other) - (one < other);
}

/* How often each value was seen at each place of the 32 bytes. */
static void count_bytes(int seen[32][256], const bs_token_t *token)
{
    int i;

    for (i = 0; i < 16; i++) {
        seen[i][token->selector[i]]++;
        seen[16 + i][token->verifier[i]]++;
    }
}

/* Of 1,000,000 tosses of a coin half come up, give or take 500; 4,000 more or less are not seen
 * once in a thousand million million tries. */
static void each_bit_is_a_toss_of_a_coin(int seen[32][256])
{
    int i, value, bit;

    for (i = 0; i < 32; i++) {
        for (bit = 1; bit < 256; bit <<= 1) {
            int ones = 0;

            for (value = 0; value < 256; value++) {
                ones += value & bit ? seen[i][value] : 0;
            }
            ck_assert_int_gt(ones, MANY / 2 - 4000);
            ck_assert_int_lt(ones, MANY / 2 + 4000);
        }
    }
}

/* Half of a selector and half of a verifier stand for each token, all in one heap: neither may
 * repeat the other either. */
START_TEST(a_million_tokens_are_all_different)
{
    static int seen[32][256];
    apr_uint64_t *halves = malloc(2 * MANY * sizeof(*halves));
    int i, equal = 0, wrong = 0;

    ck_assert_ptr_nonnull(halves);
    for (i = 0; i < MANY; i++) {
        bs_token_t token;

        wrong += bs_token_new(&token) != APR_SUCCESS;
        memcpy(&halves[2 * i], token.selector, sizeof(*halves));
        memcpy(&halves[2 * i + 1], token.verifier, sizeof(*halves));
        count_bytes(seen, &token);
    }
    ck_assert_int_eq(wrong, 0);
    qsort(halves, 2 * MANY, sizeof(*halves), compare_numbers);
    for (i = 1; i < 2 * MANY; i++) {
        equal += halves[i - 1] == halves[i];
    }
    free(halves);
    ck_assert_int_eq(equal, 0);
    each_bit_is_a_toss_of_a_coin(seen);
}
END_TEST

START_TEST(new_tokens_print_and_parse)
{
    int i;

    for (i = 0; i < 10000; i++) {
        char text[BS_TOKEN_TEXT_SIZE];
        bs_token_t token;

        ck_assert_int_eq(bs_token_new(&token), APR_SUCCESS);
        bs_token_text(&token, text);
        ck_assert(parses(text, strlen(text)));
    }
}
END_TEST

START_TEST(a_new_verifier_leaves_the_selector)
{
    const bs_token_t before = counted();
    bs_token_t token = before;

    ck_assert_int_eq(bs_token_renew_verifier(&token), APR_SUCCESS);
    ck_assert_mem_eq(token.selector, before.selector, BS_SELECTOR_SIZE);
    ck_assert_mem_ne(token.verifier, before.verifier, BS_VERIFIER_SIZE);
}
END_TEST

START_TEST(revisions_fill_52_bits)
{
    apr_uint64_t revision, ones = 0, zeros = 0;
    int i;

    for (i = 0; i < 10000; i++) {
        ck_assert_int_eq(bs_random_revision(&revision), APR_SUCCESS);
        ck_assert_uint_ne(revision, 0);
        ck_assert_uint_lt(revision, APR_UINT64_C(1) << 52);
        ones |= revision;
        zeros |= ~revision;
    }
    ck_assert_uint_eq(ones & zeros, (APR_UINT64_C(1) << 52) - 1);
}
END_TEST

START_TEST(an_interrupted_or_short_answer_is_asked_again)
{
    unsigned char bytes[1000] = { 0 };
    int i, zeros = 0;

    interrupts = 3;
    at_once = 7;
    ck_assert_int_eq(bs_random_bytes(bytes, sizeof(bytes) - 8), APR_SUCCESS);
    at_once = 0;
    ck_assert_int_eq(interrupts, 0);
    for (i = 0; i + 8 < 1000; i += 8) {
        static const unsigned char none[8];

        zeros += !memcmp(bytes + i, none, 8);
    }
    ck_assert_int_eq(zeros, 0);
    for (i = 992; i < 1000; i++) {
        ck_assert_uint_eq(bytes[i], 0);
    }
    fails_with = ENOSYS;
    ck_assert_int_eq(bs_random_bytes(bytes, 0), APR_SUCCESS);
    fails_with = 0;
}
END_TEST

START_TEST(no_randomness_no_token)
{
    const bs_token_t before = counted();
    bs_token_t token = before;
    apr_uint64_t revision = 42;

    fails_with = ENOSYS;
    ck_assert_int_eq(bs_token_new(&token), ENOSYS);
    ck_assert_int_eq(bs_token_renew_verifier(&token), ENOSYS);
    ck_assert_int_eq(bs_random_revision(&revision), ENOSYS);
    fails_with = 0;
    ck_assert(tokens_equal(&token, &before));
    ck_assert_uint_eq(revision, 42);
}
END_TEST

/* ---- digest, key, tag ---- */

/* sha256(bytes 16 .. 31), its first half */
static const unsigned char counted_digest[BS_DIGEST_SIZE] = {
    0xfc, 0x2e, 0x2c, 0x73, 0x07, 0x2b, 0xfa, 0x2b, 0xda, 0x03, 0xff, 0x93, 0x07, 0x47, 0x2d, 0xeb
};

START_TEST(the_digest_is_sha256_of_the_verifier)
{
    unsigned char digest[BS_DIGEST_SIZE + 1];
    bs_token_t token = counted();
    int i;

    ck_assert_int_eq(bs_crypto_init(), APR_SUCCESS);
    for (i = 0; i < 3; i++) {       /* the context is the same one each time */
        memset(digest, 0xa5, sizeof(digest));
        token.selector[i] ^= 0xff;  /* and the selector has no part in it */
        ck_assert_int_eq(bs_token_digest(&token, digest), APR_SUCCESS);
        ck_assert_mem_eq(digest, counted_digest, BS_DIGEST_SIZE);
        ck_assert_uint_eq(digest[BS_DIGEST_SIZE], 0xa5);
    }
    token.verifier[15] ^= 1;
    ck_assert_int_eq(bs_token_digest(&token, digest), APR_SUCCESS);
    ck_assert(!bs_digest_equal(digest, counted_digest));
}
END_TEST

/* Each thread has its own verifier, so that a context shared by mistake shows. */
static void *digest_thread(void *number)
{
    bs_token_t token = counted();
    unsigned char first[BS_DIGEST_SIZE], digest[BS_DIGEST_SIZE];
    int i;

    token.verifier[0] = *(unsigned char *)number;
    if (bs_token_digest(&token, first) != APR_SUCCESS) {
        return "no digest";
    }
    for (i = 0; i < 2000; i++) {
        if (bs_token_digest(&token, digest) != APR_SUCCESS || !bs_digest_equal(digest, first)) {
            return "another digest";
        }
    }
    return bs_digest_equal(first, counted_digest) == (*(unsigned char *)number == 16)
           ? NULL : "the digest of another";
}

START_TEST(threads_do_not_disturb_each_other)
{
    pthread_t threads[8];
    unsigned char numbers[8];
    int i;

    for (i = 0; i < 8; i++) {
        numbers[i] = (unsigned char)(16 + i);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, digest_thread, &numbers[i]), 0);
    }
    for (i = 0; i < 8; i++) {
        void *why;

        ck_assert_int_eq(pthread_join(threads[i], &why), 0);
        ck_assert_msg(!why, "thread %d: %s", i, (const char *)why);
    }
}
END_TEST

START_TEST(digests_differ_by_any_bit)
{
    unsigned char other[BS_DIGEST_SIZE];
    int bit;

    memcpy(other, counted_digest, sizeof(other));
    ck_assert(bs_digest_equal(other, counted_digest));
    for (bit = 0; bit < BS_DIGEST_SIZE * 8; bit++) {
        other[bit / 8] ^= (unsigned char)(1 << bit % 8);
        ck_assert(!bs_digest_equal(other, counted_digest));
        other[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}
END_TEST

START_TEST(the_selector_is_the_key_and_begins_with_the_tag)
{
    const bs_token_t token = counted();
    bsession_key_t key;
    char tag[BS_TAG_SIZE];

    bs_token_key(&token, &key);
    ck_assert_int_eq(key.space, 's');
    ck_assert_mem_eq(key.bytes, token.selector, sizeof(key.bytes));
    memset(key.bytes + 2, 0xfe, 2);
    bs_key_tag(&key, tag);
    ck_assert_str_eq(tag, "0001fefe0405");
}
END_TEST

Suite *token_suite(void)
{
    Suite *suite = suite_create("token");
    TCase *tests = tcase_create("token");

    tcase_add_checked_fixture(tests, token_setup, pool_teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, the_text_is_base64url);
    tcase_add_test(tests, other_lengths_are_refused);
    tcase_add_test(tests, with_a_mac_it_has_64_characters);
    tcase_add_test(tests, any_other_byte_is_refused_or_another_token);
    tcase_add_test(tests, any_bit_flipped_is_refused_or_another_token);
    tcase_add_test(tests, the_last_character_has_one_form);
    tcase_add_test(tests, a_million_tokens_are_all_different);
    tcase_add_test(tests, new_tokens_print_and_parse);
    tcase_add_test(tests, a_new_verifier_leaves_the_selector);
    tcase_add_test(tests, revisions_fill_52_bits);
    tcase_add_test(tests, an_interrupted_or_short_answer_is_asked_again);
    tcase_add_test(tests, no_randomness_no_token);
    tcase_add_test(tests, the_digest_is_sha256_of_the_verifier);
    tcase_add_test(tests, threads_do_not_disturb_each_other);
    tcase_add_test(tests, digests_differ_by_any_bit);
    tcase_add_test(tests, the_selector_is_the_key_and_begins_with_the_tag);
    suite_add_tcase(suite, tests);
    return suite;
}
