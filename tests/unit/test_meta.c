/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "suites.h"

#include <string.h>

#include "meta.h"

static bs_meta_t sample(void)
{
    bs_meta_t meta = { .created = APR_TIME_C(0x0102030405060708) };
    int i;

    for (i = 0; i < BS_REALM_SIZE; i++) {
        meta.realm[i] = (unsigned char)(0x10 + i);
    }
    for (i = 0; i < BS_DIGEST_SIZE; i++) {
        meta.digest[i] = (unsigned char)(0x20 + i);
    }
    return meta;
}

/* A verifier whose digest was 0x40 and what follows. */
static void retire(bs_meta_t *meta, apr_time_t at)
{
    unsigned char digest[BS_DIGEST_SIZE];
    int i;

    for (i = 0; i < BS_DIGEST_SIZE; i++) {
        digest[i] = (unsigned char)(0x40 + i);
    }
    bs_meta_retire(meta, digest, at, 0);
}

static apr_status_t read_meta(bs_meta_t *meta, const void *data, apr_size_t len)
{
    bsession_bytes_t bytes = { data, len };

    return bs_meta_read(meta, &bytes);
}

/* The picture in meta.h, byte by byte. */
START_TEST(the_layout)
{
    static const unsigned char expected[] = {
        1, 8, 7, 6, 5, 4, 3, 2, 1,
        0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
        0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27,
        0x28, 0x29, 0x2A, 0x2B, 0x2C, 0x2D, 0x2E, 0x2F,
        'h', 24,
        0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47,
        0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F,
        0x05, 0, 0, 0, 0, 0, 0, 0
    };
    unsigned char bytes[BS_META_MAX];
    bs_meta_t meta = sample();

    ck_assert_uint_eq(bs_meta_write(&meta, bytes), 33);
    ck_assert_int_eq(memcmp(bytes, expected, 33), 0);
    retire(&meta, 5);
    ck_assert_uint_eq(bs_meta_write(&meta, bytes), sizeof(expected));
    ck_assert_int_eq(memcmp(bytes, expected, sizeof(expected)), 0);
}
END_TEST

START_TEST(what_is_written_is_read)
{
    unsigned char bytes[BS_META_MAX];
    bs_meta_t meta = sample(), again;
    int retired;

    for (retired = 0; retired < 2; retired++) {
        if (retired) {
            retire(&meta, APR_TIME_C(0x3F00FF00AA005500));
        }
        memset(&again, 0xEE, sizeof(again));
        ck_assert_int_eq(read_meta(&again, bytes, bs_meta_write(&meta, bytes)), APR_SUCCESS);
        ck_assert_int_eq(again.created, meta.created);
        ck_assert_int_eq(memcmp(again.realm, meta.realm, BS_REALM_SIZE), 0);
        ck_assert_int_eq(memcmp(again.digest, meta.digest, BS_DIGEST_SIZE), 0);
        ck_assert_int_eq(again.nretired, retired);
        if (retired) {
            ck_assert_int_eq(again.retired[0].at, meta.retired[0].at);
            ck_assert_int_eq(memcmp(again.retired[0].digest, meta.retired[0].digest,
                                    BS_DIGEST_SIZE), 0);
        }
    }
}
END_TEST

START_TEST(what_is_cut_or_of_another_version_is_refused)
{
    unsigned char bytes[BS_META_MAX];
    bs_meta_t meta = sample(), again;
    apr_size_t len, full;

    retire(&meta, 5);
    full = bs_meta_write(&meta, bytes);
    for (len = 0; len < full; len++) {
        if (len != 33) {                /* which is a whole one without its section */
            ck_assert_int_eq(read_meta(&again, bytes, len), BSESSION_ECORRUPT);
        }
    }
    bytes[0] = BS_META_VERSION + 1;
    ck_assert_int_eq(read_meta(&again, bytes, full), BSESSION_ECORRUPT);
    bytes[0] = 0;
    ck_assert_int_eq(read_meta(&again, bytes, full), BSESSION_ECORRUPT);
    ck_assert_int_eq(read_meta(&again, NULL, 0), BSESSION_ECORRUPT);
}
END_TEST

/* What is added to a time, or taken from it, must not wrap around. */
START_TEST(a_time_at_the_end_of_time_is_refused)
{
    static const apr_time_t times[] = { APR_INT64_MAX, APR_INT64_MIN, APR_INT64_MAX / 2 + 1,
                                        -(APR_INT64_MAX / 2) - 1 };
    unsigned char bytes[BS_META_MAX];
    bs_meta_t meta, again;
    apr_size_t i;

    for (i = 0; i < sizeof(times) / sizeof(*times); i++) {
        meta = sample();
        meta.created = times[i];
        ck_assert_int_eq(read_meta(&again, bytes, bs_meta_write(&meta, bytes)), BSESSION_ECORRUPT);
        meta = sample();
        retire(&meta, times[i]);
        ck_assert_int_eq(read_meta(&again, bytes, bs_meta_write(&meta, bytes)), BSESSION_ECORRUPT);
        meta = sample();
        meta.issued = times[i];
        ck_assert_int_eq(read_meta(&again, bytes, bs_meta_write(&meta, bytes)), BSESSION_ECORRUPT);
        meta = sample();
        meta.naside = 1;
        memset(&meta.aside[0], 0, sizeof(meta.aside[0]));
        meta.aside[0].until = times[i];
        ck_assert_int_eq(read_meta(&again, bytes, bs_meta_write(&meta, bytes)), BSESSION_ECORRUPT);
    }
}
END_TEST

START_TEST(unknown_sections_are_passed_over)
{
    static const unsigned char before[] = { 'x', 3, 'a', 'b', 'c', 'y', 0 };
    unsigned char bytes[BS_META_MAX], mixed[2 * BS_META_MAX];
    bs_meta_t meta = sample(), again;
    apr_size_t len;

    retire(&meta, 5);
    len = bs_meta_write(&meta, bytes);
    memcpy(mixed, bytes, 33);
    memcpy(mixed + 33, before, sizeof(before));
    memcpy(mixed + 33 + sizeof(before), bytes + 33, len - 33);
    len += sizeof(before);
    ck_assert_int_eq(read_meta(&again, mixed, len), APR_SUCCESS);
    ck_assert_int_eq(again.nretired, 1);
    ck_assert_int_eq(again.retired[0].at, 5);
    ck_assert_int_eq(memcmp(again.retired[0].digest, meta.retired[0].digest, BS_DIGEST_SIZE), 0);
    mixed[len] = 'z';                   /* a tag without its length, a length without contents */
    ck_assert_int_eq(read_meta(&again, mixed, len + 1), BSESSION_ECORRUPT);
    mixed[len + 1] = 1;
    ck_assert_int_eq(read_meta(&again, mixed, len + 2), BSESSION_ECORRUPT);
}
END_TEST

START_TEST(a_retired_verifier_of_another_length_is_refused)
{
    unsigned char bytes[BS_META_MAX];
    bs_meta_t meta = sample(), again;
    apr_size_t len;

    retire(&meta, 5);
    len = bs_meta_write(&meta, bytes);
    bytes[34] = 23;
    ck_assert_int_eq(read_meta(&again, bytes, len - 1), BSESSION_ECORRUPT);
    bytes[34] = 25;
    ck_assert_int_eq(read_meta(&again, bytes, len + 1), BSESSION_ECORRUPT);
}
END_TEST

START_TEST(the_owner_is_a_section)
{
    unsigned char bytes[BS_META_MAX];
    bs_meta_t meta = sample(), again;
    char longest[255];
    apr_size_t len;

    memset(longest, 'o', sizeof(longest));
    meta.owner.data = longest;
    meta.owner.len = 3;
    len = bs_meta_write(&meta, bytes);
    ck_assert_uint_eq(len, 33 + 5);
    ck_assert_int_eq(memcmp(bytes + 33, "o\003ooo", 5), 0);
    while (meta.nretired < BS_RETIRED_MAX) {
        retire(&meta, 5);
    }
    meta.owner.len = sizeof(longest);
    len = bs_meta_write(&meta, bytes);
    ck_assert_int_eq(read_meta(&again, bytes, len), APR_SUCCESS);
    ck_assert_uint_eq(again.owner.len, sizeof(longest));
    ck_assert_int_eq(memcmp(again.owner.data, longest, sizeof(longest)), 0);
    meta.owner.len = 0;
    ck_assert_int_eq(read_meta(&again, bytes, bs_meta_write(&meta, bytes)), APR_SUCCESS);
    ck_assert_uint_eq(again.owner.len, 0);
}
END_TEST

START_TEST(no_owner_and_two_of_them_are_refused)
{
    static const char none[] = { 'o', 0 }, two[] = { 'o', 1, 'a', 'o', 1, 'b' };
    unsigned char bytes[BS_META_MAX];
    bs_meta_t meta = sample(), again;
    apr_size_t len = bs_meta_write(&meta, bytes);

    memcpy(bytes + len, none, sizeof(none));
    ck_assert_int_eq(read_meta(&again, bytes, len + sizeof(none)), BSESSION_ECORRUPT);
    memcpy(bytes + len, two, sizeof(two));
    ck_assert_int_eq(read_meta(&again, bytes, len + sizeof(two)), BSESSION_ECORRUPT);
    ck_assert_int_eq(read_meta(&again, bytes, len + 3), APR_SUCCESS);
}
END_TEST

START_TEST(the_latest_of_many_retired_are_kept_and_old_ones_forgotten)
{
    unsigned char bytes[BS_META_MAX];
    bs_meta_t meta = sample(), again;
    int i;

    for (i = 1; i <= 2 * BS_RETIRED_MAX; i++) {
        bs_meta_retire(&meta, meta.digest, i, 0);
    }
    ck_assert_int_eq(read_meta(&again, bytes, bs_meta_write(&meta, bytes)), APR_SUCCESS);
    ck_assert_int_eq(again.nretired, BS_RETIRED_MAX);
    for (i = 0; i < BS_RETIRED_MAX; i++) {
        ck_assert_int_eq(again.retired[i].at, BS_RETIRED_MAX + 1 + i);
    }
    bs_meta_retire(&again, again.digest, 100, 2 * BS_RETIRED_MAX);
    ck_assert_int_eq(again.nretired, 2);
    ck_assert_int_eq(again.retired[0].at, 2 * BS_RETIRED_MAX);
    ck_assert_int_eq(again.retired[1].at, 100);
}
END_TEST

START_TEST(what_it_is_tied_to_is_written_and_read)
{
    unsigned char bytes[BS_META_MAX], expected[21] = { 'b', 19, BS_BIND_IP, 24, 64 };
    bs_meta_t meta = sample(), again;
    apr_size_t len;

    meta.bound[BS_BIND_IP].is = 1;
    meta.bound[BS_BIND_IP].bits[0] = 24;
    meta.bound[BS_BIND_IP].bits[1] = 64;
    memset(meta.bound[BS_BIND_IP].digest, 0x55, BS_DIGEST_SIZE);
    memset(expected + 5, 0x55, BS_DIGEST_SIZE);
    len = bs_meta_write(&meta, bytes);
    ck_assert_uint_eq(len, 33 + sizeof(expected));
    ck_assert_int_eq(memcmp(bytes + 33, expected, sizeof(expected)), 0);
    memset(&again, 0xEE, sizeof(again));
    ck_assert_int_eq(read_meta(&again, bytes, len), APR_SUCCESS);
    ck_assert_int_eq(again.bound[BS_BIND_UA].is + again.bound[BS_BIND_TLS].is, 0);
    ck_assert_int_eq(again.bound[BS_BIND_IP].is, 1);
    ck_assert_int_eq(memcmp(again.bound[BS_BIND_IP].bits, meta.bound[BS_BIND_IP].bits, 2), 0);
    ck_assert_int_eq(memcmp(again.bound[BS_BIND_IP].digest, expected + 5, BS_DIGEST_SIZE), 0);
    memcpy(bytes + len, bytes + 33, sizeof(expected));    /* twice, of another length, of no kind */
    ck_assert_int_eq(read_meta(&again, bytes, len + sizeof(expected)), BSESSION_ECORRUPT);
    bytes[34] = 18;
    ck_assert_int_eq(read_meta(&again, bytes, len - 1), BSESSION_ECORRUPT);
    bytes[34] = 19;
    bytes[35] = BS_BINDS;
    ck_assert_int_eq(read_meta(&again, bytes, len), BSESSION_ECORRUPT);
}
END_TEST

START_TEST(a_realm_is_its_name_whatever_its_case)
{
    /* the first 8 bytes of sha256("example.org") */
    static const unsigned char known[] = { 0xbf, 0xab, 0xc3, 0x74, 0x32, 0x95, 0x8b, 0x06 };
    unsigned char one[BS_REALM_SIZE], other[BS_REALM_SIZE];
    char longest[257];

    ck_assert_int_eq(bs_realm_digest("example.org", one), APR_SUCCESS);
    ck_assert_int_eq(memcmp(one, known, BS_REALM_SIZE), 0);
    ck_assert_int_eq(bs_realm_digest("Example.ORG", other), APR_SUCCESS);
    ck_assert_int_eq(memcmp(one, other, BS_REALM_SIZE), 0);
    ck_assert_int_eq(bs_realm_digest("example.net", other), APR_SUCCESS);
    ck_assert_int_ne(memcmp(one, other, BS_REALM_SIZE), 0);
    memset(longest, 'a', 256);
    longest[256] = '\0';
    ck_assert_int_eq(bs_realm_digest(longest, other), APR_EINVAL);
    ck_assert_int_eq(bs_realm_digest(longest + 1, other), APR_SUCCESS);
}
END_TEST

Suite *meta_suite(void)
{
    Suite *suite = suite_create("meta");
    TCase *tests = tcase_create("meta");

    tcase_add_checked_fixture(tests, pool_setup, pool_teardown);
    tcase_add_test(tests, the_latest_of_many_retired_are_kept_and_old_ones_forgotten);
    tcase_add_test(tests, the_layout);
    tcase_add_test(tests, the_owner_is_a_section);
    tcase_add_test(tests, no_owner_and_two_of_them_are_refused);
    tcase_add_test(tests, what_is_written_is_read);
    tcase_add_test(tests, what_is_cut_or_of_another_version_is_refused);
    tcase_add_test(tests, a_time_at_the_end_of_time_is_refused);
    tcase_add_test(tests, unknown_sections_are_passed_over);
    tcase_add_test(tests, a_retired_verifier_of_another_length_is_refused);
    tcase_add_test(tests, what_it_is_tied_to_is_written_and_read);
    tcase_add_test(tests, a_realm_is_its_name_whatever_its_case);
    suite_add_tcase(suite, tests);
    return suite;
}
