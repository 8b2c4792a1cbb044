/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Run under valgrind: bytes that are secret are marked as undefined, and memcheck tells of each
 * branch and each address that depends on such a byte. A comparison in constant time has none,
 * however much of what is compared is alike; its outcome is one bit, at which who asked may
 * branch. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <valgrind/memcheck.h>

#include "secret.h"

#define SAME 12                         /* so many bytes of what is wrong are right */

static int failed;

static void expect(const char *what, unsigned is, unsigned should_be)
{
    if (is != should_be) {
        printf("%s: memcheck tells of %u branches, not of %u\n", what, is, should_be);
        failed = 1;
    }
}

/* That this way to look sees anything. */
static void memcmp_is_seen(void)
{
    unsigned char one[BS_DIGEST_SIZE] = { 1 }, other[BS_DIGEST_SIZE] = { 1 };
    int (*volatile compare)(const void *, const void *, size_t) = memcmp;
    unsigned before = VALGRIND_COUNT_ERRORS;

    other[SAME] = 2;
    VALGRIND_MAKE_MEM_UNDEFINED(one, sizeof(one));
    if (compare(one, other, sizeof(one)) == 0) {
        puts("they are not equal");
    }
    if (VALGRIND_COUNT_ERRORS == before) {
        puts("memcheck does not see that memcmp() branches");
        failed = 1;
    }
}

static void digests(void)
{
    unsigned char one[BS_DIGEST_SIZE] = { 1 }, other[BS_DIGEST_SIZE];
    unsigned before = VALGRIND_COUNT_ERRORS;
    int equal[2];

    memcpy(other, one, sizeof(other));
    VALGRIND_MAKE_MEM_UNDEFINED(one, sizeof(one));
    equal[0] = bs_digest_equal(one, other);
    other[SAME]++;
    equal[1] = bs_digest_equal(one, other);
    expect("bs_digest_equal", VALGRIND_COUNT_ERRORS - before, 0);
    /* The outcome does depend on what is secret, and is right. */
    if (VALGRIND_CHECK_MEM_IS_DEFINED(equal, sizeof(equal)) == 0) {
        puts("bs_digest_equal: what was marked has not been looked at");
        failed = 1;
    }
    VALGRIND_MAKE_MEM_DEFINED(equal, sizeof(equal));
    if (!equal[0] || equal[1]) {
        puts("bs_digest_equal: wrong");
        failed = 1;
    }
}

static void texts(void)
{
    char one[80], other[80];
    apr_size_t len, at;
    unsigned wrong = 0, before;

    memset(one, 'x', sizeof(one));
    VALGRIND_MAKE_MEM_UNDEFINED(one, sizeof(one));
    before = VALGRIND_COUNT_ERRORS;
    for (len = 0; len <= sizeof(one); len++) {
        memset(other, 'x', sizeof(other));
        wrong |= !bs_text_equal(one, other, len);
        for (at = 0; at < sizeof(other); at++) {
            other[at] = 'y';
            wrong |= (unsigned)bs_text_equal(one, other, len) != (at >= len);
            other[at] = 'x';
        }
    }
    expect("bs_text_equal", VALGRIND_COUNT_ERRORS - before, 0);
    VALGRIND_MAKE_MEM_DEFINED(&wrong, sizeof(wrong));
    if (wrong) {
        puts("bs_text_equal: wrong");
        failed = 1;
    }
}

/* Each secret that is tried is one branch: whether it vouches. How much of the MAC was right is
 * none. */
static void tokens(void)
{
    static const unsigned char realm[BS_REALM_SIZE];
    bsession_bytes_t secrets[2] = { { "of which nobody may know a thing", 32 },
                                    { "nor of this one, which is older.", 32 } };
    unsigned char digest[BS_DIGEST_SIZE];
    bs_keys_t keys;
    bs_token_t token, forged;
    unsigned before;

    if (bs_keys_derive(&keys, secrets, 2, realm) || bs_token_new(&token)
        || bs_token_issue(&token, &keys, digest)) {
        puts("no token");
        failed = 1;
        return;
    }
    forged = token;
    forged.mac[SAME]++;
    VALGRIND_MAKE_MEM_UNDEFINED(&keys.list, sizeof(keys.list));
    before = VALGRIND_COUNT_ERRORS;
    if (bs_token_prove(&forged, &keys, digest) != APR_NOTFOUND) {
        puts("a forged token was taken");
        failed = 1;
    }
    expect("bs_token_prove", VALGRIND_COUNT_ERRORS - before, 2);
}

int main(void)
{
    if (!RUNNING_ON_VALGRIND || apr_initialize() || bs_crypto_init()) {
        puts("run it under valgrind");
        return EXIT_FAILURE;
    }
    memcmp_is_seen();
    digests();
    texts();
    tokens();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
