/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "suites.h"

#include <string.h>

#include "parse.h"

typedef struct {
    const char  *text;
    apr_uint64_t number;
} amount_t;

START_TEST(sizes)
{
    static const amount_t good[] = {
        { "0", 0 }, { "1", 1 }, { "007", 7 }, { "12B", 12 }, { "64K", 65536 }, { "64k", 65536 },
        { "64M", 67108864 }, { "2g", APR_UINT64_C(2147483648) },
        { "3T", APR_UINT64_C(3298534883328) },
        { "18446744073709551615", APR_UINT64_MAX },
        { "16777215T", APR_UINT64_C(16777215) << 40 }
    };
    apr_size_t i;

    for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
        apr_uint64_t bytes = 99;

        ck_assert_msg(!bs_parse_size(&bytes, good[i].text), "%s refused", good[i].text);
        ck_assert_uint_eq(bytes, good[i].number);
    }
}
END_TEST

START_TEST(what_is_no_size_is_refused_and_changes_nothing)
{
    static const char *const bad[] = {
        "", "K", "-1", "+1", " 1", "1 ", "1 K", "1KB", "1.5M", "0x10", "1e3", "1P", "K1", "1\n",
        "18446744073709551616", "99999999999999999999999", "16777216T", "18014398509481984K"
    };
    apr_size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        apr_uint64_t bytes = 99;
        const char *expected = bs_parse_size(&bytes, bad[i]);

        ck_assert_msg(expected && strstr(expected, "64M"), "'%s' taken", bad[i]);
        ck_assert_uint_eq(bytes, 99);
    }
}
END_TEST

START_TEST(times)
{
    static const amount_t good[] = {
        { "0", 0 }, { "300", 300000000 }, { "2s", 2000000 }, { "2S", 2000000 },
        { "500ms", 500000 }, { "5min", 300000000 }, { "5MIN", 300000000 },
        { "24h", APR_UINT64_C(86400000000) }, { "30d", APR_UINT64_C(2592000000000) },
        { "9223372036854s", APR_UINT64_C(9223372036854000000) }
    };
    apr_size_t i;

    for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
        apr_interval_time_t time = 99;

        ck_assert_msg(!bs_parse_time(&time, good[i].text), "%s refused", good[i].text);
        ck_assert_int_eq(time, (apr_interval_time_t)good[i].number);
    }
}
END_TEST

START_TEST(what_is_no_time_is_refused_and_changes_nothing)
{
    static const char *const bad[] = {
        "", "s", "-1", "-1s", "+1s", "1 s", "1m", "1mi", "1mins", "1y", "1.5h", "soon", "1s ",
        "9223372036855s", "9223372036854775808ms", "106751992d", "18446744073709551617"
    };
    apr_size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        apr_interval_time_t time = 99;
        const char *expected = bs_parse_time(&time, bad[i]);

        ck_assert_msg(expected && strstr(expected, "2s"), "'%s' taken", bad[i]);
        ck_assert_int_eq(time, 99);
    }
}
END_TEST

START_TEST(flags)
{
    static const char *const bad[] = { "", "1", "yes", "true", "onn", "o", "off " };
    apr_size_t i;
    int on = 7;

    ck_assert_ptr_null(bs_parse_flag(&on, "On"));
    ck_assert_int_eq(on, 1);
    ck_assert_ptr_null(bs_parse_flag(&on, "oFF"));
    ck_assert_int_eq(on, 0);
    on = 7;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        ck_assert_str_eq(bs_parse_flag(&on, bad[i]), "On or Off");
        ck_assert_int_eq(on, 7);
    }
}
END_TEST

START_TEST(numbers_in_a_range)
{
    static const char *const bad[] = {
        "", "-", "--1", "+1", "4", "-4", " 1", "1 ", "1x", "0x1", "99999999999999999999",
        "9223372036854775808", "18446744073709551617"
    };
    apr_int64_t number = 99;
    apr_size_t i;

    ck_assert_ptr_null(bs_parse_number(&number, "3", -3, 3, "pool=", pool));
    ck_assert_int_eq(number, 3);
    ck_assert_ptr_null(bs_parse_number(&number, "-3", -3, 3, "pool=", pool));
    ck_assert_int_eq(number, -3);
    ck_assert_ptr_null(bs_parse_number(&number, "9223372036854775807", 0, APR_INT64_MAX, "x",
                                       pool));
    ck_assert_int_eq(number, APR_INT64_MAX);
    number = 99;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *why = bs_parse_number(&number, bad[i], -3, 3, "pool=", pool);

        ck_assert_msg(why != NULL, "'%s' taken", bad[i]);
        ck_assert_ptr_eq(strstr(why, "pool= must be a whole number from -3 to 3"), why);
        ck_assert_int_eq(number, 99);
    }
}
END_TEST

START_TEST(options_that_are_known_once_each)
{
    static const char *const known[] = { "size", "mode", "sync", NULL };
    static const char *const none[] = { NULL };
    static const bsession_option_t good[] = { { "Size", "1" }, { "sync", "" } };
    static const bsession_option_t unknown[] = { { "size", "1" }, { "sizes", "2" } };
    static const bsession_option_t twice[] = { { "size", "1" }, { "sync", "" }, { "SIZE", "2" } };
    static const bsession_option_t next_to_it[] = { { "mode", "1" }, { "mode", "1" } };
    bsession_options_t options = { good, 2 };
    const char *why;

    ck_assert_ptr_null(bs_check_options(&options, known, pool));
    ck_assert_str_eq(bs_option(&options, "size"), "1");
    ck_assert_str_eq(bs_option(&options, "sync"), "");
    ck_assert_ptr_null(bs_option(&options, "mode"));

    options.list = unknown;
    why = bs_check_options(&options, known, pool);
    ck_assert_ptr_nonnull(why);
    ck_assert_ptr_nonnull(strstr(why, "'sizes='"));
    ck_assert_ptr_nonnull(strstr(why, "size=, mode=, sync=, timeout= and breaker="));
    ck_assert_ptr_nonnull(strstr(bs_check_options(&options, none, pool), "expected are timeout= and breaker="));

    options.list = twice;
    options.count = 3;
    why = bs_check_options(&options, known, pool);
    ck_assert_ptr_nonnull(why);
    ck_assert_ptr_nonnull(strstr(why, "'SIZE='"));
    ck_assert_ptr_nonnull(strstr(why, "twice"));

    options.list = next_to_it;
    options.count = 2;
    ck_assert_ptr_nonnull(bs_check_options(&options, known, pool));

    options.count = 0;
    ck_assert_ptr_null(bs_check_options(&options, none, pool));
    ck_assert_ptr_null(bs_option(&options, "size"));
}
END_TEST

Suite *parse_suite(void)
{
    Suite *suite = suite_create("parse");
    TCase *tests = tcase_create("parse");

    tcase_add_checked_fixture(tests, pool_setup, pool_teardown);
    tcase_add_test(tests, sizes);
    tcase_add_test(tests, what_is_no_size_is_refused_and_changes_nothing);
    tcase_add_test(tests, times);
    tcase_add_test(tests, what_is_no_time_is_refused_and_changes_nothing);
    tcase_add_test(tests, flags);
    tcase_add_test(tests, numbers_in_a_range);
    tcase_add_test(tests, options_that_are_known_once_each);
    suite_add_tcase(suite, tests);
    return suite;
}
