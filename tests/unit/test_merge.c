/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "suites.h"

#include <string.h>

#include <apr_strings.h>

#include "merge.h"

static bs_table_t table;

static void merge_setup(void)
{
    pool_setup();
    bs_table_init(&table, pool, 0, 0);
}

static bsession_bytes_t bytes(const char *text)
{
    bsession_bytes_t made = { text, strlen(text) };

    return made;
}

/* Fields from name, value .. NULL, as a store hands them out: not to be written to. */
static bsession_fields_t fields_of(const char *const *texts)
{
    bsession_fields_t fields = { apr_pcalloc(pool, 16 * sizeof(bsession_field_t)), 0 };

    for (; *texts; texts += 2) {
        fields.list[fields.count].name = bytes(texts[0]);
        fields.list[fields.count++].value = bytes(texts[1]);
    }
    return fields;
}

#define FIELDS(...) fields_of((const char *const []){ __VA_ARGS__, NULL })

static void adopt(bsession_fields_t fields)
{
    bs_table_adopt(&table, &fields);
}

static int rebase(bsession_fields_t fields)
{
    int dropped = -1;

    ck_assert_int_eq(bs_table_rebase(&table, &fields, &dropped), APR_SUCCESS);
    ck_assert_uint_eq(table.bytes, bsession_fields_bytes(&table.fields));
    return dropped;
}

static apr_status_t set(const char *name, const char *value)
{
    return bs_table_set(&table, name, strlen(name), value, strlen(value));
}

static apr_status_t add(const char *name, const char *value)
{
    return bs_table_add(&table, name, strlen(name), value, strlen(value));
}

static apr_status_t unset(const char *name)
{
    return bs_table_unset(&table, name, strlen(name));
}

static apr_status_t incr(const char *name, apr_int64_t by)
{
    return bs_table_incr(&table, name, strlen(name), by, NULL);
}

static const char *get(const char *name)
{
    const bsession_field_t *field = bs_table_find(&table, name, strlen(name));

    if (!field) {
        return "(none)";
    }
    ck_assert_int_eq(field->value.data[field->value.len], 0);
    return field->value.data;
}

#define IS(name, value) ck_assert_str_eq(get(name), (value))
#define OK(status)      ck_assert_int_eq((status), APR_SUCCESS)

/* ---- what a request does ---- */

START_TEST(a_value_is_any_bytes_and_the_empty_one_is_one)
{
    static const char binary[] = "a\0\r\n\xFF";
    const bsession_field_t *field;

    OK(bs_table_set(&table, "b", 1, binary, 5));
    OK(bs_table_set(&table, "e", 1, NULL, 0));
    field = bs_table_find(&table, "b", 1);
    ck_assert_uint_eq(field->value.len, 5);
    ck_assert_int_eq(memcmp(field->value.data, binary, 5), 0);
    ck_assert_ptr_nonnull(bs_table_find(&table, "e", 1));
    IS("e", "");
    ck_assert_int_eq(table.nchanges, 2);
    ck_assert_uint_eq(table.bytes, 1 + 5 + 1);
}
END_TEST

START_TEST(all_is_copied)
{
    char name[] = "key", value[] = "value";

    OK(set(name, value));
    OK(add("k2", value));
    name[0] = value[0] = 'X';
    IS("key", "value");
    IS("k2", "value");
    OK(set("key", get("k2")));          /* what a call gave may be handed back */
    IS("key", "value");
}
END_TEST

START_TEST(the_value_it_has_is_no_change)
{
    adopt(FIELDS("a", "1", "empty", ""));
    OK(set("a", "1"));
    OK(set("empty", ""));
    OK(incr("a", 0));
    OK(unset("absent"));
    ck_assert_int_eq(table.nchanges, 0);
    OK(set("A", "1"));                  /* case counts */
    ck_assert_int_eq(table.nchanges, 1);
}
END_TEST

START_TEST(what_was_loaded_is_not_written_to)
{
    bsession_fields_t loaded = FIELDS("a", "1", "b", "2", "c", "3");
    bsession_field_t before[3];

    memcpy(before, loaded.list, sizeof(before));
    bs_table_adopt(&table, &loaded);
    OK(unset("a"));
    OK(set("b", "other"));
    OK(incr("c", 4));
    bs_table_clear(&table);
    OK(set("d", "4"));
    ck_assert_int_eq(memcmp(before, loaded.list, sizeof(before)), 0);
    ck_assert_int_eq(table.fields.count, 1);
}
END_TEST

START_TEST(add_is_for_what_is_absent)
{
    adopt(FIELDS("there", "1"));
    ck_assert_int_eq(add("there", "2"), APR_EEXIST);
    ck_assert_int_eq(table.nchanges, 0);
    OK(add("new", "1"));
    ck_assert_int_eq(table.changes[0].kind, BSESSION_ADD);
    ck_assert_int_eq(add("new", "2"), APR_EEXIST);
    OK(unset("there"));
    OK(add("there", "3"));              /* this request itself made room for it */
    ck_assert_int_eq(table.changes[1].kind, BSESSION_SET);
    ck_assert_int_eq(table.nchanges, 2);
    IS("there", "3");
    IS("new", "1");
}
END_TEST

START_TEST(incr_counts)
{
    apr_int64_t now = 0;

    adopt(FIELDS("n", "41", "min", "-9223372036854775807"));
    OK(bs_table_incr(&table, "n", 1, 1, &now));
    ck_assert_int_eq(now, 42);
    IS("n", "42");
    OK(bs_table_incr(&table, "n", 1, -50, &now));
    ck_assert_int_eq(now, -8);
    OK(bs_table_incr(&table, "new", 3, 0, &now));       /* absent = 0, and then it is there */
    ck_assert_int_eq(now, 0);
    IS("new", "0");
    OK(bs_table_incr(&table, "min", 3, -1, &now));
    IS("min", "-9223372036854775808");
    ck_assert_int_eq(table.nchanges, 3);
    ck_assert_int_eq(table.changes[0].by, -49);         /* one key's add up */
}
END_TEST

START_TEST(incr_changes_nothing_that_is_no_number)
{
    static const char *const values[] = { "", "x", "1 ", "01", "9223372036854775808" };
    apr_int64_t now = 77;
    apr_size_t i;

    for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
        adopt(FIELDS("n", values[i]));
        ck_assert_int_eq(bs_table_incr(&table, "n", 1, 1, &now), APR_EINVAL);
        ck_assert_int_eq(bs_table_incr(&table, "n", 1, 0, &now), APR_EINVAL);
        IS("n", values[i]);
    }
    adopt(FIELDS("max", "9223372036854775807", "min", "-9223372036854775808"));
    ck_assert_int_eq(bs_table_incr(&table, "max", 3, 1, &now), APR_EINVAL);
    ck_assert_int_eq(bs_table_incr(&table, "min", 3, -1, &now), APR_EINVAL);
    ck_assert_int_eq(bs_table_incr(&table, "min", 3, APR_INT64_MIN, &now), APR_EINVAL);
    IS("max", "9223372036854775807");
    IS("min", "-9223372036854775808");
    ck_assert_int_eq(now, 77);
    ck_assert_int_eq(table.nchanges, 0);
}
END_TEST

/* Two steps whose sum has no room in 64 bits, though each result has. */
START_TEST(incrs_that_do_not_add_up_are_both_kept)
{
    adopt(FIELDS("n", "-9223372036854775808"));
    OK(incr("n", APR_INT64_MAX));
    OK(incr("n", APR_INT64_MAX));
    IS("n", "9223372036854775806");
    ck_assert_int_eq(table.nchanges, 2);
    ck_assert_int_eq(rebase(FIELDS("n", "-9223372036854775807")), 0);
    IS("n", "9223372036854775807");
}
END_TEST

START_TEST(clear_of_nothing_is_no_change)
{
    bs_table_clear(&table);
    ck_assert_int_eq(table.nchanges, 0);
    adopt(FIELDS("a", "1"));
    OK(set("b", "2"));
    bs_table_clear(&table);
    ck_assert_int_eq(table.fields.count, 0);
    ck_assert_uint_eq(table.bytes, 0);
    ck_assert_int_eq(table.nchanges, 1);
    OK(set("c", "3"));
    ck_assert_int_eq(table.changes[0].kind, BSESSION_CLEAR);
    ck_assert_int_eq(table.nchanges, 2);
}
END_TEST

/* Whatever a request does a thousand times, there is a change or two for each key. */
START_TEST(the_list_is_short)
{
    int i;

    adopt(FIELDS("a", "x", "n", "1"));
    for (i = 0; i < 1000; i++) {
        OK(set("a", i % 2 ? "odd" : "even"));
        OK(incr("n", 1));
        OK(set("b", "v"));
        OK(unset("b"));
        OK(add("c", "v"));
        OK(unset("c"));
    }
    ck_assert_int_eq(table.nchanges, 4);
    IS("n", "1001");
    ck_assert_int_eq(rebase(FIELDS("n", "5", "b", "other", "c", "other", "d", "kept")), 0);
    IS("n", "1005");
    IS("a", "odd");
    IS("b", "(none)");
    IS("c", "(none)");
    IS("d", "kept");
}
END_TEST

/* ---- limits ---- */

START_TEST(limits_refuse_and_change_nothing)
{
    bs_table_init(&table, pool, 10, 2);
    OK(set("a", "1234"));               /* 5 */
    OK(set("b", "1234"));               /* 10 */
    ck_assert_int_eq(set("a", "12345"), APR_ENOSPC);
    ck_assert_int_eq(set("a", "12345678901"), APR_ENOSPC);
    OK(set("a", "1"));
    ck_assert_int_eq(set("c", ""), APR_ENOSPC);         /* three keys */
    ck_assert_int_eq(add("c", ""), APR_ENOSPC);
    ck_assert_int_eq(incr("c", 1), APR_ENOSPC);
    OK(unset("b"));
    ck_assert_int_eq(add("c", "12345678"), APR_ENOSPC); /* 11 bytes */
    OK(add("c", "1234567"));
    IS("a", "1");
    IS("c", "1234567");
    ck_assert_uint_eq(table.bytes, 10);
    ck_assert_int_eq(table.nchanges, 3);
}
END_TEST

START_TEST(incr_that_grows_past_the_limit_is_refused)
{
    apr_int64_t now = 5;

    bs_table_init(&table, pool, 3, 0);
    OK(set("n", "99"));
    ck_assert_int_eq(bs_table_incr(&table, "n", 1, 1, &now), APR_ENOSPC);
    ck_assert_int_eq(now, 5);
    IS("n", "99");
    OK(incr("n", -1));
    IS("n", "98");
}
END_TEST

/* The limit was lowered below what is stored. */
START_TEST(what_is_over_a_limit_may_shrink)
{
    bs_table_init(&table, pool, 4, 1);
    adopt(FIELDS("a", "123456", "b", "1", "c", "1"));
    OK(set("a", "123"));
    OK(set("b", "2"));
    OK(unset("c"));
    ck_assert_int_eq(set("a", "1234"), APR_ENOSPC);
    ck_assert_int_eq(add("d", ""), APR_ENOSPC);
    OK(unset("b"));
    ck_assert_int_eq(table.fields.count, 1);
    ck_assert_uint_eq(table.bytes, 4);
}
END_TEST

START_TEST(a_merge_over_a_limit_says_so)
{
    bsession_fields_t theirs = FIELDS("a", "123456");
    int dropped;

    bs_table_init(&table, pool, 10, 0);
    OK(set("b", "123456"));
    ck_assert_int_eq(bs_table_rebase(&table, &theirs, &dropped), APR_ENOSPC);
}
END_TEST

/* ---- the same changes on another record ---- */

START_TEST(different_keys_both_win)
{
    adopt(FIELDS("a", "1", "gone", "x", "n", "1"));
    OK(set("mine", "m"));
    OK(unset("gone"));
    OK(incr("n", 1));
    ck_assert_int_eq(rebase(FIELDS("a", "2", "gone", "y", "theirs", "t", "n", "10")), 0);
    IS("mine", "m");
    IS("theirs", "t");
    IS("a", "2");
    IS("gone", "(none)");
    IS("n", "11");
    ck_assert_int_eq(table.nchanges, 3);
    ck_assert_int_eq(rebase(FIELDS("n", "20")), 0);     /* and once more, from the beginning */
    IS("n", "21");
    IS("theirs", "(none)");
}
END_TEST

START_TEST(of_two_adds_the_first_wins)
{
    OK(add("a", "5"));
    OK(incr("a", 2));
    IS("a", "7");
    ck_assert_int_eq(rebase(FIELDS("a", "100")), 0);
    IS("a", "102");                     /* what we counted, counts; what we added does not */
    ck_assert_int_eq(rebase(FIELDS("b", "1")), 0);
    IS("a", "7");
}
END_TEST

START_TEST(clear_takes_theirs_too)
{
    adopt(FIELDS("a", "1"));
    OK(incr("a", 1));
    bs_table_clear(&table);
    OK(incr("n", 3));
    OK(add("b", "1"));
    ck_assert_int_eq(rebase(FIELDS("a", "1", "n", "9", "b", "theirs")), 0);
    ck_assert_int_eq(table.fields.count, 2);
    IS("n", "3");
    IS("b", "1");
}
END_TEST

START_TEST(set_then_incr_is_a_set)
{
    adopt(FIELDS("n", "5"));
    OK(set("n", "10"));
    OK(incr("n", 1));
    OK(unset("m"));
    ck_assert_int_eq(rebase(FIELDS("n", "x")), 0);
    IS("n", "11");
    adopt(FIELDS("n", "5"));
    OK(unset("n"));
    OK(incr("n", 1));
    ck_assert_int_eq(rebase(FIELDS("n", "x")), 0);
    IS("n", "1");
    ck_assert_int_eq(table.nchanges, 1);
}
END_TEST

START_TEST(an_incr_that_meets_no_number_is_dropped)
{
    OK(set("a", "1"));
    OK(incr("n", 1));
    OK(incr("m", 1));
    OK(set("b", "2"));
    ck_assert_int_eq(rebase(FIELDS("n", "words", "m", "9223372036854775807")), 2);
    IS("n", "words");
    IS("m", "9223372036854775807");
    IS("a", "1");
    IS("b", "2");
    ck_assert_int_eq(table.nchanges, 2);
}
END_TEST

START_TEST(what_is_saved_is_no_change_any_more)
{
    OK(set("a", "1"));
    bs_table_saved(&table);
    ck_assert_int_eq(table.nchanges, 0);
    IS("a", "1");
    OK(set("a", "1"));
    ck_assert_int_eq(table.nchanges, 0);
    OK(incr("a", 1));
    ck_assert_int_eq(table.changes[0].kind, BSESSION_INCR);
    adopt(FIELDS("b", "2"));
    ck_assert_int_eq(table.nchanges, 0);
    IS("a", "(none)");
}
END_TEST

START_TEST(many_keys)
{
    char name[8];
    int i;

    for (i = 0; i < 500; i++) {
        apr_snprintf(name, sizeof(name), "k%d", i);
        OK(set(name, name));
    }
    ck_assert_int_eq(table.fields.count, 500);
    ck_assert_int_eq(table.nchanges, 500);
    for (i = 0; i < 500; i += 2) {
        apr_snprintf(name, sizeof(name), "k%d", i);
        OK(unset(name));
    }
    ck_assert_int_eq(rebase(FIELDS("k0", "x", "k1", "x")), 0);
    ck_assert_int_eq(table.fields.count, 250);
    for (i = 0; i < 500; i++) {
        apr_snprintf(name, sizeof(name), "k%d", i);
        IS(name, i % 2 ? name : "(none)");
    }
}
END_TEST

Suite *merge_suite(void)
{
    Suite *suite = suite_create("merge");
    TCase *tests = tcase_create("merge");

    tcase_add_checked_fixture(tests, merge_setup, pool_teardown);
    tcase_add_test(tests, a_value_is_any_bytes_and_the_empty_one_is_one);
    tcase_add_test(tests, all_is_copied);
    tcase_add_test(tests, the_value_it_has_is_no_change);
    tcase_add_test(tests, what_was_loaded_is_not_written_to);
    tcase_add_test(tests, add_is_for_what_is_absent);
    tcase_add_test(tests, incr_counts);
    tcase_add_test(tests, incr_changes_nothing_that_is_no_number);
    tcase_add_test(tests, incrs_that_do_not_add_up_are_both_kept);
    tcase_add_test(tests, clear_of_nothing_is_no_change);
    tcase_add_test(tests, the_list_is_short);
    tcase_add_test(tests, limits_refuse_and_change_nothing);
    tcase_add_test(tests, incr_that_grows_past_the_limit_is_refused);
    tcase_add_test(tests, what_is_over_a_limit_may_shrink);
    tcase_add_test(tests, a_merge_over_a_limit_says_so);
    tcase_add_test(tests, different_keys_both_win);
    tcase_add_test(tests, of_two_adds_the_first_wins);
    tcase_add_test(tests, clear_takes_theirs_too);
    tcase_add_test(tests, set_then_incr_is_a_set);
    tcase_add_test(tests, an_incr_that_meets_no_number_is_dropped);
    tcase_add_test(tests, what_is_saved_is_no_change_any_more);
    tcase_add_test(tests, many_keys);
    suite_add_tcase(suite, tests);
    return suite;
}
