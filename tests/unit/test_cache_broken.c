/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* P13: what lies where an entry should, and is none; a store that cannot be asked. */

#include "test_cache.h"

#include <string.h>

#include <apr_strings.h>

#include "mod_bsession.h"

/* ---- what lies there and is no entry ---- */

/* Each call takes it for absent, and makes its own. */
static void is_taken_for_absent(const bsession_key_t *key, const bsession_record_t *record)
{
    bsession_bytes_t k = cache_bytes("a"), found;
    apr_int64_t now;

    cache_put(key, record);
    bed_is(cache_status(&cache, "a"), APR_NOTFOUND);
    bed_is(bs_cache_get_many(&cache, &k, 1, &found, NULL), APR_SUCCESS);
    ck_assert_ptr_null(found.data);
    bed_is(cache_add(&cache, "a", "mine"), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "a"), "mine");
    cache_put(key, record);
    bed_is(cache_incr(&cache, "a", 7, &now), APR_SUCCESS);
    ck_assert_int_eq(now, 7);
    cache_put(key, record);
    bed_is(cache_set(&cache, "a", "mine"), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "a"), "mine");
}

START_TEST(a_collision_is_a_miss)
{
    bs_cache_t other = cache_named("OTHERS");
    bsession_record_t *theirs;
    bsession_key_t key, where;

    bed_is(cache_set(&other, "a", "1"), APR_SUCCESS);
    theirs = cache_record(&where);
    bed_is(cache_delete(&other, "a"), APR_SUCCESS);
    bed_is(cache_set(&cache, "a", "1"), APR_SUCCESS);
    cache_record(&key);
    is_taken_for_absent(&key, theirs);          /* of another cache */
    bed_is(cache_delete(&cache, "a"), APR_SUCCESS);
    bed_is(cache_set(&cache, "b", "1"), APR_SUCCESS);
    theirs = cache_record(&where);
    bed_is(cache_delete(&cache, "b"), APR_SUCCESS);
    is_taken_for_absent(&key, theirs);          /* of another key */
    ck_assert_int_eq(bed_lines(), 0);
}
END_TEST

START_TEST(a_damaged_record_is_a_miss)
{
    bsession_record_t record, *whole;
    bsession_field_t two[2];
    bsession_key_t key;

    bed_is(cache_set(&cache, "a", "s3cr3t"), APR_SUCCESS);
    whole = cache_record(&key);
    record = *whole;
    record.meta.len = 5;
    is_taken_for_absent(&key, &record);
    ck_assert_int_gt(bed_lines(), 0);
    ck_assert_int_eq(bed_last_level(), BS_LOG_WARNING);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "damaged"));
    ck_assert_ptr_null(strstr(bed_last_line(), "s3cr3t"));
    record = *whole;
    record.meta.data = apr_psprintf(pool, "\x63%s", "another version, and more");
    is_taken_for_absent(&key, &record);
    record = *whole;
    record.fields.count = 0;
    is_taken_for_absent(&key, &record);
    record = *whole;
    two[0] = two[1] = whole->fields.list[0];
    two[1].name = cache_bytes("w");
    record.fields = (bsession_fields_t) { two, 2 };
    is_taken_for_absent(&key, &record);
    record.fields = (bsession_fields_t) { two + 1, 1 };
    is_taken_for_absent(&key, &record);
    cache_put(&key, &record);
    bed_is(bs_cache_clear(&cache), APR_SUCCESS);
}
END_TEST

START_TEST(a_record_that_the_store_cannot_read)
{
    bed_is(cache_set(&cache, "a", "1"), APR_SUCCESS);
    bed_answer(BS_VERB_LOAD, BSESSION_ECORRUPT, 1);
    ck_assert_ptr_null(cache_get(&cache, "a"));
    bed_answer(BS_VERB_LOAD, BSESSION_ECORRUPT, 1);
    bed_is(cache_incr(&cache, "a", 3, NULL), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "a"), "3");
    bed_answer(BS_VERB_LOAD, BSESSION_ECORRUPT, 1);
    bed_is(cache_add(&cache, "a", "4"), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "a"), "4");
}
END_TEST

/* ---- outages ---- */

START_TEST(an_outage_is_not_a_miss)
{
    bs_verb_t verbs[] = { BS_VERB_LOAD, BS_VERB_SAVE, BS_VERB_REMOVE };
    int i;

    bed_store.breaker.failures = 0;
    bed_is(cache_set(&cache, "a", "1"), APR_SUCCESS);
    for (i = 0; i < 3; i++) {
        bed_answer(verbs[i], BED_OUTAGE, 1);
    }
    bed_is(cache_delete(&cache, "a"), BED_OUTAGE);
    bed_is(cache_set(&cache, "a", "2"), BED_OUTAGE);
    bed_is(cache_incr(&cache, "a", 1, NULL), BED_OUTAGE);
    bed_answer(BS_VERB_SAVE, BED_OUTAGE, 1);
    bed_is(cache_add(&cache, "b", "1"), BED_OUTAGE);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 2);
    bed_is(cache_status(&cache, "a"), BED_OUTAGE);
    ck_assert_str_eq(cache_get(&cache, "a"), "1");
}
END_TEST

/* Whether the store scans must be known before anything can be found. */
START_TEST(an_outage_at_the_first_question)
{
    bed_answer(BS_VERB_SCAN, BED_OUTAGE, 1);
    bed_is(cache_set(&cache, "a", "1"), BED_OUTAGE);
    bed_is(cache_set(&cache, "a", "1"), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_SCAN), 2);
    ck_assert_str_eq(cache_get(&cache, "a"), "1");
    ck_assert_int_eq(bed_calls(BS_VERB_SCAN), 2);
}
END_TEST

START_TEST(the_breaker_spares_the_store)
{
    int loads, i;

    bed_store.breaker.failures = 3;
    bed_is(cache_set(&cache, "a", "1"), APR_SUCCESS);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 100);
    for (i = 0; i < 3; i++) {
        bed_is(bs_cache_has(&cache, &(bsession_bytes_t) { "a", 1 }), BED_OUTAGE);
    }
    loads = bed_calls(BS_VERB_LOAD);
    bed_is(cache_status(&cache, "a"), BS_ESPARED);
    bed_is(cache_set(&cache, "a", "1"), BS_ESPARED);
    bed_is(bs_cache_clear(&cache), BS_ESPARED);
    bed_load_many_at_once();
    bed_is(bs_cache_get_many(&cache, &(bsession_bytes_t) { "a", 1 }, 1,
                             &(bsession_bytes_t) { 0 }, NULL), BS_ESPARED);
    ck_assert_int_eq(bed_calls(BS_VERB_LOAD), loads);
}
END_TEST

START_TEST(failures_of_many_at_once_open_it)
{
    bsession_bytes_t keys[] = { { "a", 1 }, { "b", 1 } }, found[2];
    int i;

    bed_load_many_at_once();
    bed_store.breaker.failures = 3;
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 3);
    for (i = 0; i < 3; i++) {
        bed_is(bs_cache_get_many(&cache, keys, 2, found, NULL), BED_OUTAGE);
    }
    bed_is(bs_cache_get_many(&cache, keys, 2, found, NULL), BS_ESPARED);
}
END_TEST

Suite *cache_broken_suite(void)
{
    Suite *suite = suite_create("cache_broken");
    TCase *tests = tcase_create("cache_broken");

    tcase_add_checked_fixture(tests, cache_setup, bed_teardown);
    tcase_add_test(tests, a_collision_is_a_miss);
    tcase_add_test(tests, a_damaged_record_is_a_miss);
    tcase_add_test(tests, a_record_that_the_store_cannot_read);
    tcase_add_test(tests, an_outage_is_not_a_miss);
    tcase_add_test(tests, an_outage_at_the_first_question);
    tcase_add_test(tests, the_breaker_spares_the_store);
    tcase_add_test(tests, failures_of_many_at_once_open_it);
    suite_add_tcase(suite, tests);
    return suite;
}
