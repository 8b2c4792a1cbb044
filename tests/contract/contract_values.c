/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "contract.h"

#include <string.h>

#include <apr_strings.h>

/* Created, loaded, replaced and loaded: as it was, and with a NUL after each value. */
static void is_kept(const bsession_record_t *record)
{
    bsession_key_t key = contract_created(record, 100);

    contract_holds(&key, record, 100);
    contract_is(contract_save(BSESSION_REPLACE, &key, 100, record), APR_SUCCESS);
    contract_holds(&key, record, 101);
}

START_TEST(values_are_any_bytes)
{
    bsession_record_t *record = contract_record(NULL);
    char *all = apr_palloc(pool, 256);
    int i;

    for (i = 0; i < 256; i++) {
        all[i] = (char)i;
    }
    contract_field(record, "all", 3, all, 256);
    contract_field(record, "nul", 3, "\0", 1);
    contract_field(record, "nuls", 4, "a\0b\0", 4);
    contract_field(record, "empty", 5, "", 0);
    contract_field(record, "lines", 5, "a\r\nb\n", 5);
    is_kept(record);
}
END_TEST

START_TEST(names_are_utf8)
{
    bsession_record_t *record = contract_record("gr\xc3\xb6\xc3\x9f" "e", "1", "Case", "2", "case",
                                                "3", "a b", "4", "a=b&c%", "5", "\xf0\x9f\x8d\xaa",
                                                "6", "-", "7", "0", "8", NULL);

    is_kept(record);
}
END_TEST

START_TEST(a_name_of_128_bytes)
{
    bsession_record_t *record = contract_record(NULL);
    char *name = apr_palloc(pool, 128), *other;

    memset(name, 'n', 128);
    other = apr_pmemdup(pool, name, 128);
    other[127] = 'm';
    contract_field(record, name, 128, "long", 4);
    contract_field(record, other, 128, "last byte differs", 17);
    is_kept(record);
}
END_TEST

START_TEST(meta_is_any_bytes)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    char *meta = apr_palloc(pool, 256);
    int i;

    for (i = 0; i < 256; i++) {
        meta[i] = (char)(255 - i);
    }
    record->meta.data = meta;
    record->meta.len = 256;
    is_kept(record);
}
END_TEST

/* What the cache puts there, when its keys are long. */
START_TEST(meta_of_17_kilobytes)
{
    bsession_record_t *record = contract_record("v", "1", NULL);
    char *meta = apr_palloc(pool, 17000);

    memset(meta, 'm', 17000);
    record->meta.data = meta;
    record->meta.len = 17000;
    is_kept(record);
}
END_TEST

START_TEST(values_of_many_sizes)
{
    static const apr_size_t sizes[] = {
        0, 1, 15, 16, 63, 64, 65, 255, 256, 1000, 1023, 1024, 1025, 4095, 4096, 4097, 8192, 12345,
        16384, 20000, 32767, 32768, 40000, 61440, 65535, 65536, 100000
    };
    char *value = apr_palloc(pool, 100000);
    apr_size_t i;

    ck_assert_int_eq(apr_generate_random_bytes((unsigned char *)value, 100000), APR_SUCCESS);
    for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        bsession_record_t *record = contract_record("before", "b", NULL);

        contract_field(record, "value", 5, value, sizes[i]);
        contract_field(record, "zafter", 6, "a", 1);
        is_kept(record);
    }
}
END_TEST

START_TEST(a_record_of_256_fields)
{
    bsession_record_t *record = contract_record(NULL);
    int i;

    for (i = 0; i < 256; i++) {
        const char *name = apr_psprintf(pool, "field-%d", i);

        contract_field(record, name, strlen(name), name, (apr_size_t)i % 8);
    }
    is_kept(record);
}
END_TEST

/* More than fits into one command of some servers' scripts; where the store takes as many. */
START_TEST(a_record_of_10000_fields)
{
    bsession_record_t *record = contract_record(NULL), *none = contract_record(NULL);
    bsession_field_t *list = apr_pcalloc(pool, sizeof(*list) * 10000);
    bsession_change_t change = { BSESSION_CLEAR, { NULL, 0 }, { NULL, 0 }, 0 };
    bsession_key_t key = contract_key('s');
    bsession_saved_t saved;
    apr_status_t status;
    int i;

    for (i = 0; i < 10000; i++) {
        list[i].name = contract_bytes(apr_itoa(pool, i));
        list[i].value = contract_bytes("v");
    }
    record->fields.list = list;
    record->fields.count = 10000;
    status = contract_save(BSESSION_CREATE, &key, 100, record);
    if (status == APR_ENOSPC) {
        return;
    }
    contract_is(status, APR_SUCCESS);
    contract_holds(&key, record, 100);
    contract_is(contract_merge(&key, 100, none, &change, 1, &saved), APR_SUCCESS);
    contract_holds(&key, none, 101);
}
END_TEST

/* Half a megabyte, where the store takes as much. */
START_TEST(a_value_of_500_kilobytes)
{
    bsession_record_t *record = contract_record("before", "b", NULL);
    char *value = apr_palloc(pool, 500000);
    bsession_key_t key = contract_key('s');
    apr_status_t status;

    ck_assert_int_eq(apr_generate_random_bytes((unsigned char *)value, 500000), APR_SUCCESS);
    contract_field(record, "value", 5, value, 500000);
    contract_field(record, "zafter", 6, "", 0);
    status = contract_save(BSESSION_CREATE, &key, 100, record);
    if (status == APR_ENOSPC) {
        contract_absent(&key);
        return;
    }
    contract_is(status, APR_SUCCESS);
    contract_holds(&key, record, 100);
    contract_is(contract_save(BSESSION_REPLACE, &key, 100, record), APR_SUCCESS);
    contract_holds(&key, record, 101);
}
END_TEST

/* Larger, smaller, empty, large again: each save makes the whole. */
START_TEST(a_record_grows_and_shrinks)
{
    static const apr_size_t sizes[] = { 10, 50000, 0, 3000, 61440, 1 };
    bsession_key_t key = contract_created(contract_record("a", "1", NULL), 100);
    char *value = apr_palloc(pool, 61440);
    apr_size_t i;

    memset(value, 'v', 61440);
    for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        bsession_record_t *record = contract_record("a", "1", NULL);

        contract_field(record, "value", 5, value, sizes[i]);
        contract_is(contract_save(BSESSION_REPLACE, &key, 100 + i, record), APR_SUCCESS);
        contract_holds(&key, record, 101 + i);
    }
}
END_TEST

/* What was loaded is the caller's: later saves do not reach it. */
START_TEST(what_was_loaded_stays)
{
    bsession_key_t key = contract_created(contract_record("a", "first", NULL), 100);
    bsession_record_t loaded;
    const bsession_bytes_t *value;

    contract_is(contract_load(&key, &loaded), APR_SUCCESS);
    contract_is(contract_save(BSESSION_REPLACE, &key, 100, contract_record("a", "other", NULL)),
                APR_SUCCESS);
    contract_is(contract_remove(&key, 0), APR_SUCCESS);
    contract_created(contract_record("a", "third", NULL), 100);
    value = contract_value(&loaded, "a");
    ck_assert_ptr_nonnull(value);
    ck_assert_str_eq(value->data, "first");
}
END_TEST

START_TEST(many_at_once)
{
    bsession_record_t *record = contract_record("a", "1", NULL), records[3];
    bsession_key_t keys[3];
    apr_status_t statuses[3];

    keys[0] = contract_created(record, 100);
    keys[1] = contract_key('s');
    keys[2] = contract_created(record, 300);
    if (provider->load_many) {
        contract_is(provider->load_many(backend, keys, 3, records, statuses, contract_call(pool)),
                    APR_SUCCESS);
        contract_is(statuses[0], APR_SUCCESS);
        contract_is(statuses[1], APR_NOTFOUND);
        contract_is(statuses[2], APR_SUCCESS);
        ck_assert_uint_eq(records[0].revision, 100);
        ck_assert_uint_eq(records[2].revision, 300);
    }
    contract_holds(&keys[0], record, 100);
    contract_absent(&keys[1]);
    contract_holds(&keys[2], record, 300);
}
END_TEST

TCase *contract_values_case(void)
{
    TCase *tests = contract_case("names and values");

    tcase_add_test(tests, values_are_any_bytes);
    tcase_add_test(tests, names_are_utf8);
    tcase_add_test(tests, a_name_of_128_bytes);
    tcase_add_test(tests, meta_is_any_bytes);
    tcase_add_test(tests, meta_of_17_kilobytes);
    tcase_add_test(tests, values_of_many_sizes);
    tcase_add_test(tests, a_record_of_256_fields);
    tcase_add_test(tests, a_record_of_10000_fields);
    tcase_add_test(tests, a_value_of_500_kilobytes);
    tcase_add_test(tests, a_record_grows_and_shrinks);
    tcase_add_test(tests, what_was_loaded_stays);
    tcase_add_test(tests, many_at_once);
    return tests;
}
