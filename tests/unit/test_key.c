/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What may be the name of a key, and what counts as a number. */

#include "suites.h"

#include <string.h>

#include "merge.h"

static bs_table_t table;

static void key_setup(void)
{
    pool_setup();
    bs_table_init(&table, pool, 0, 0);
}

START_TEST(names_that_are_keys)
{
    static const char *const good[] = {
        "a", " ", "a b", "user", "User", "_b", "_", "__bs", "b_bs", "=&,;%", "\xC2\xA0", "\xC3\xA4",
        "\xE2\x82\xAC", "\xED\x9F\xBF", "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"
    };
    char longest[BS_KEY_MAX + 1];
    apr_size_t i;

    for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
        ck_assert_msg(bs_key_valid(good[i], strlen(good[i])), "'%s' refused", good[i]);
    }
    memset(longest, 'x', sizeof(longest));
    ck_assert(bs_key_valid(longest, BS_KEY_MAX));
    ck_assert(!bs_key_valid(longest, BS_KEY_MAX + 1));
}
END_TEST

START_TEST(names_that_are_none)
{
    static const bsession_bytes_t bad[] = {
        { "", 0 }, { "\0", 1 }, { "a\0", 2 }, { "a\nb", 3 }, { "\x1F", 1 }, { "\x7F", 1 },
        { "a\tb", 3 }, { "\xC2\x80", 2 }, { "\xC2\x9F", 2 },            /* C1 */
        { "\x80", 1 }, { "\xBF", 1 }, { "\xFF", 1 }, { "a\xC3", 2 }, { "\xC3z", 2 },
        { "\xC0\xAF", 2 }, { "\xC1\xBF", 2 }, { "\xE0\x80\xAF", 3 }, { "\xE0\x9F\xBF", 3 },
        { "\xF0\x8F\xBF\xBF", 4 },                                      /* overlong */
        { "\xED\xA0\x80", 3 }, { "\xED\xBF\xBF", 3 },                   /* surrogates */
        { "\xF4\x90\x80\x80", 4 }, { "\xF5\x80\x80\x80", 4 },           /* beyond U+10FFFF */
        { "\xE2\x82", 2 }, { "\xE2\x82z", 3 }, { "\xF0\x90\x80", 3 }, { "\xF0\x90\x80z", 4 },
        { "_bs", 3 }, { "_bs_", 4 }, { "_bsuser", 7 }
    };
    apr_size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *name = bad[i].data;
        apr_size_t len = bad[i].len;

        ck_assert_msg(!bs_key_valid(name, len), "bad name %u taken", (unsigned)i);
        ck_assert_int_eq(bs_table_set(&table, name, len, "v", 1), APR_EINVAL);
        ck_assert_int_eq(bs_table_add(&table, name, len, "v", 1), APR_EINVAL);
        ck_assert_int_eq(bs_table_unset(&table, name, len), APR_EINVAL);
        ck_assert_int_eq(bs_table_incr(&table, name, len, 1, NULL), APR_EINVAL);
    }
    ck_assert_int_eq(table.nchanges, 0);
    ck_assert_int_eq(table.fields.count, 0);
}
END_TEST

/* Length by length: the sequence is cut by `len`, not by a NUL. */
START_TEST(no_byte_beyond_a_name_is_looked_at)
{
    ck_assert(!bs_key_valid("\xE2\x82\xAC", 2));
    ck_assert(!bs_key_valid("a\xF0\x90\x80\x80", 4));
    ck_assert(bs_key_valid("a\xF0", 1));
}
END_TEST

START_TEST(numbers)
{
    static const struct { const char *text; apr_int64_t number; } good[] = {
        { "0", 0 }, { "1", 1 }, { "-1", -1 }, { "10", 10 }, { "-10", -10 },
        { "9223372036854775807", APR_INT64_MAX }, { "-9223372036854775808", APR_INT64_MIN },
        { "9223372036854775799", APR_INT64_MAX - 8 }
    };
    static const bsession_bytes_t bad[] = {
        { "", 0 }, { "-", 1 }, { "-0", 2 }, { "00", 2 }, { "01", 2 }, { "-01", 3 }, { "+1", 2 },
        { " 1", 2 }, { "1 ", 2 }, { "1\0", 2 }, { "\0", 1 }, { "1.0", 3 }, { "1e3", 3 },
        { "0x1", 3 }, { "--1", 3 }, { "1-", 2 }, { "/", 1 }, { ":", 1 }, { "1/", 2 },
        { "9223372036854775808", 19 }, { "-9223372036854775809", 20 },
        { "18446744073709551617", 20 }, { "92233720368547758070", 20 },
        { "99999999999999999999999999", 26 }, { "yes", 3 }
    };
    apr_size_t i;

    for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
        apr_int64_t number = 99;

        ck_assert_msg(bs_number_parse(&number, good[i].text, strlen(good[i].text)),
                      "%s refused", good[i].text);
        ck_assert_int_eq(number, good[i].number);
    }
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        apr_int64_t number;

        ck_assert_msg(!bs_number_parse(&number, bad[i].data, bad[i].len), "'%s' taken",
                      bad[i].data);
    }
}
END_TEST

Suite *key_suite(void)
{
    Suite *suite = suite_create("key");
    TCase *tests = tcase_create("key");

    tcase_add_checked_fixture(tests, key_setup, pool_teardown);
    tcase_add_test(tests, names_that_are_keys);
    tcase_add_test(tests, names_that_are_none);
    tcase_add_test(tests, no_byte_beyond_a_name_is_looked_at);
    tcase_add_test(tests, numbers);
    suite_add_tcase(suite, tests);
    return suite;
}
