/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* P12, P13: the general cache, call by call; clearing is in test_cache_clear.c. */

#include "test_cache.h"

#include <string.h>

#include <apr_strings.h>

#include "memory.h"
#include "mod_bsession.h"

#define LIFE apr_time_from_sec(500)

bs_cache_t cache;

/* ---- what the files share ---- */

bsession_bytes_t cache_bytes(const char *text)
{
    return (bsession_bytes_t) { text, strlen(text) };
}

bs_cache_t cache_named(const char *name)
{
    return (bs_cache_t) { .store = &bed_store, .name = cache_bytes(name), .pool = pool };
}

void cache_setup(void)
{
    bed_setup();
    cache = cache_named("things");
}

apr_status_t cache_set(const bs_cache_t *c, const char *key, const char *value)
{
    bsession_bytes_t k = cache_bytes(key), v = cache_bytes(value);

    return bs_cache_set(c, &k, &v, BSESSION_DEFAULT_LIFE);
}

apr_status_t cache_add(const bs_cache_t *c, const char *key, const char *value)
{
    bsession_bytes_t k = cache_bytes(key), v = cache_bytes(value);

    return bs_cache_add(c, &k, &v, BSESSION_DEFAULT_LIFE);
}

apr_status_t cache_delete(const bs_cache_t *c, const char *key)
{
    bsession_bytes_t k = cache_bytes(key);

    return bs_cache_delete(c, &k);
}

apr_status_t cache_status(const bs_cache_t *c, const char *key)
{
    bsession_bytes_t k = cache_bytes(key), value;
    apr_status_t status = bs_cache_get(c, &k, &value);

    bed_is(bs_cache_has(c, &k), status);
    return status;
}

const char *cache_get(const bs_cache_t *c, const char *key)
{
    bsession_bytes_t k = cache_bytes(key), value;
    apr_status_t status = bs_cache_get(c, &k, &value);

    if (status == APR_NOTFOUND) {
        return NULL;
    }
    bed_is(status, APR_SUCCESS);
    ck_assert_uint_eq(strlen(value.data), value.len);
    return value.data;
}

apr_status_t cache_incr(const bs_cache_t *c, const char *key, apr_int64_t by, apr_int64_t *now)
{
    bsession_bytes_t k = cache_bytes(key);

    return bs_cache_incr(c, &k, by, BSESSION_DEFAULT_LIFE, now);
}

static bsession_call_t direct(void)
{
    return (bsession_call_t) { .deadline = apr_time_now() + apr_time_from_sec(60), .pool = pool };
}

static apr_status_t take_key(void *baton, const bsession_key_t *key,
                             const bsession_record_t *record)
{
    (void)record;
    memcpy(baton, key, sizeof(*key));
    return APR_SUCCESS;
}

bsession_record_t *cache_record(bsession_key_t *key)
{
    bsession_record_t *record = apr_pcalloc(pool, sizeof(*record));
    bsession_cursor_t cursor = { 0 };
    bsession_call_t call = direct();

    ck_assert_uint_eq(bed_records(), 1);
    while (!cursor.done) {
        bed_is(bsession_memory_provider.scan(bed_store.backend, 'c', &cursor, take_key, key, &call),
               APR_SUCCESS);
    }
    bed_is(bsession_memory_provider.load(bed_store.backend, key, record, &call), APR_SUCCESS);
    return record;
}

void cache_put(const bsession_key_t *key, const bsession_record_t *record)
{
    bsession_save_t save = { .mode = BSESSION_PUT, .base = 77, .record = record };
    bsession_saved_t saved = { 0 };
    bsession_call_t call = direct();

    bed_is(bsession_memory_provider.save(bed_store.backend, key, &save, &saved, &call),
           APR_SUCCESS);
}

/* ---- get, has, set, add, delete ---- */

START_TEST(what_is_set_is_there)
{
    ck_assert_ptr_null(cache_get(&cache, "a"));
    bed_is(cache_status(&cache, "a"), APR_NOTFOUND);
    bed_is(cache_set(&cache, "a", "one"), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "a"), "one");
    bed_is(cache_status(&cache, "a"), APR_SUCCESS);
    bed_is(cache_set(&cache, "a", "two"), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "a"), "two");
    ck_assert_uint_eq(bed_records(), 1);
}
END_TEST

START_TEST(add_is_for_what_is_not_there)
{
    bed_is(cache_add(&cache, "a", "one"), APR_SUCCESS);
    bed_is(cache_add(&cache, "a", "two"), APR_EEXIST);
    ck_assert_str_eq(cache_get(&cache, "a"), "one");
    bed_is(cache_delete(&cache, "a"), APR_SUCCESS);
    bed_is(cache_delete(&cache, "a"), APR_NOTFOUND);
    bed_is(cache_add(&cache, "a", "two"), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "a"), "two");
}
END_TEST

static void delete_a(void)
{
    bed_is(cache_delete(&cache, "a"), APR_SUCCESS);
}

/* It went between the create and the look at who is there. */
START_TEST(add_after_a_delete_in_between)
{
    bed_is(cache_set(&cache, "a", "old"), APR_SUCCESS);
    bed_before(BS_VERB_LOAD, delete_a);
    bed_is(cache_add(&cache, "a", "new"), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "a"), "new");
}
END_TEST

START_TEST(keys_and_values_are_any_bytes)
{
    static const char bytes[] = "\0\xff\r\n=&\0";
    bsession_bytes_t keys[] = { { "", 0 }, { "\0", 1 }, { bytes, 7 }, { bytes, 6 } };
    bsession_bytes_t empty = { NULL, 0 }, value = { bytes, 7 }, found;
    int i;

    for (i = 0; i < 4; i++) {
        bed_is(bs_cache_get(&cache, &keys[i], &found), APR_NOTFOUND);
        bed_is(bs_cache_set(&cache, &keys[i], &value, BSESSION_FOR_EVER), APR_SUCCESS);
        bed_is(bs_cache_get(&cache, &keys[i], &found), APR_SUCCESS);
        ck_assert_uint_eq(found.len, 7);
        ck_assert_mem_eq(found.data, bytes, 8);
    }
    bed_is(bs_cache_set(&cache, &keys[0], &empty, BSESSION_FOR_EVER), APR_SUCCESS);
    bed_is(bs_cache_get(&cache, &keys[0], &found), APR_SUCCESS);
    ck_assert_uint_eq(found.len, 0);
    ck_assert_str_eq(found.data, "");
}
END_TEST

START_TEST(keys_of_any_length)
{
    char *key = apr_palloc(pool, 100001);
    static const int lengths[] = { 100000, 99999, BS_CACHE_KEY_MAX + 1, BS_CACHE_KEY_MAX, 200 };
    int i;

    for (i = 0; i < 5; i++) {
        memset(key, 'k', 100000);
        key[lengths[i]] = '\0';
        ck_assert_ptr_null(cache_get(&cache, key));
        bed_is(cache_set(&cache, key, apr_itoa(pool, i)), APR_SUCCESS);
        ck_assert_str_eq(cache_get(&cache, key), apr_itoa(pool, i));
        key[lengths[i] - 1] = 'x';
        ck_assert_ptr_null(cache_get(&cache, key));
    }
    ck_assert_uint_eq(bed_records(), 5);
}
END_TEST

START_TEST(caches_know_nothing_of_each_other)
{
    bs_cache_t ab = cache_named("ab"), a = cache_named("a");
    bsession_bytes_t k = cache_bytes("k"), socache = { "\0things", 7 };
    bs_cache_t hidden = cache;

    hidden.name = socache;
    bed_is(cache_set(&cache, "k", "1"), APR_SUCCESS);
    bed_is(bs_cache_has(&hidden, &k), APR_NOTFOUND);
    bed_is(cache_set(&ab, "c", "2"), APR_SUCCESS);
    ck_assert_ptr_null(cache_get(&a, "bc"));
    ck_assert_ptr_null(cache_get(&a, "k"));
    bed_is(cache_delete(&a, "k"), APR_NOTFOUND);
    ck_assert_str_eq(cache_get(&cache, "k"), "1");
}
END_TEST

START_TEST(entries_spread_over_the_store)
{
    unsigned char first[256] = { 0 };
    int i, different = 0;

    for (i = 0; i < 64; i++) {
        bsession_key_t key;

        bed_is(cache_set(&cache, apr_itoa(pool, i), "x"), APR_SUCCESS);
        cache_record(&key);
        different += !first[key.bytes[0]]++;
        bed_is(cache_delete(&cache, apr_itoa(pool, i)), APR_SUCCESS);
    }
    ck_assert_int_gt(different, 32);
}
END_TEST

START_TEST(too_large_changes_nothing)
{
    char *large = apr_pcalloc(pool, 4000001);

    memset(large, 'x', 4000000);
    bed_is(cache_set(&cache, "a", "small"), APR_SUCCESS);
    bed_is(cache_set(&cache, "a", large), APR_ENOSPC);
    bed_is(cache_add(&cache, "b", large), APR_ENOSPC);
    ck_assert_str_eq(cache_get(&cache, "a"), "small");
    ck_assert_ptr_null(cache_get(&cache, "b"));
}
END_TEST

/* ---- lives ---- */

static apr_time_t ends(void)
{
    bsession_key_t key;

    return cache_record(&key)->expires;
}

static void ends_in(apr_interval_time_t life)
{
    ck_assert_int_ge(ends(), apr_time_now() + life - apr_time_from_sec(60));
    ck_assert_int_le(ends(), apr_time_now() + life);
}

START_TEST(lives)
{
    bsession_bytes_t k = cache_bytes("a"), v = cache_bytes("1");

    bed_is(bs_cache_set(&cache, &k, &v, LIFE), APR_SUCCESS);
    ends_in(LIFE);
    bed_is(bs_cache_set(&cache, &k, &v, BSESSION_FOR_EVER), APR_SUCCESS);
    ck_assert_int_eq(ends(), 0);
    bed_is(bs_cache_set(&cache, &k, &v, BSESSION_DEFAULT_LIFE), APR_SUCCESS);
    ck_assert_int_eq(ends(), 0);
    cache.life = 2 * LIFE;
    bed_is(bs_cache_set(&cache, &k, &v, BSESSION_DEFAULT_LIFE), APR_SUCCESS);
    ends_in(2 * LIFE);
    bed_is(bs_cache_set(&cache, &k, &v, APR_INT64_MAX), APR_SUCCESS);
    ck_assert_int_eq(ends(), 0);
    bed_is(bs_cache_set(&cache, &k, &v, -2), APR_EINVAL);
    bed_is(bs_cache_add(&cache, &k, &v, -2), APR_EINVAL);
    bed_is(bs_cache_incr(&cache, &k, 1, -2, NULL), APR_EINVAL);
    bed_is(cache_delete(&cache, "a"), APR_SUCCESS);
    bed_is(bs_cache_add(&cache, &k, &v, LIFE), APR_SUCCESS);
    ends_in(LIFE);
}
END_TEST

START_TEST(what_is_over_is_a_miss)
{
    bsession_bytes_t k = cache_bytes("a"), v = cache_bytes("7");
    apr_int64_t now;

    bed_is(bs_cache_set_until(&cache, &k, &v, apr_time_now() - 1), APR_SUCCESS);
    bed_is(cache_status(&cache, "a"), APR_NOTFOUND);
    bed_is(cache_delete(&cache, "a"), APR_NOTFOUND);
    bed_is(cache_incr(&cache, "a", 1, &now), APR_SUCCESS);
    ck_assert_int_eq(now, 1);
    bed_is(bs_cache_set_until(&cache, &k, &v, 1), APR_SUCCESS);
    bed_is(cache_add(&cache, "a", "new"), APR_SUCCESS);
}
END_TEST

/* Theirs begins the life anew (P13). */
START_TEST(incr_keeps_the_life)
{
    bsession_bytes_t k = cache_bytes("a"), v = cache_bytes("1");
    apr_time_t end;
    apr_int64_t now;

    bed_is(bs_cache_set(&cache, &k, &v, LIFE), APR_SUCCESS);
    end = ends();
    bed_is(bs_cache_incr(&cache, &k, 1, 10 * LIFE, &now), APR_SUCCESS);
    ck_assert_int_eq(ends(), end);
    bed_is(bs_cache_incr(&cache, &k, 1, BSESSION_FOR_EVER, &now), APR_SUCCESS);
    ck_assert_int_eq(now, 3);
    ck_assert_int_eq(ends(), end);
    bed_is(cache_delete(&cache, "a"), APR_SUCCESS);
    bed_is(bs_cache_incr(&cache, &k, 5, LIFE, &now), APR_SUCCESS);
    ck_assert_int_eq(now, 5);
    ends_in(LIFE);
}
END_TEST

/* ---- numbers ---- */

START_TEST(incr_counts)
{
    apr_int64_t now = 0;
    int saves;

    bed_is(cache_incr(&cache, "n", 3, &now), APR_SUCCESS);
    ck_assert_int_eq(now, 3);
    bed_is(cache_incr(&cache, "n", -5, &now), APR_SUCCESS);
    ck_assert_int_eq(now, -2);
    ck_assert_str_eq(cache_get(&cache, "n"), "-2");
    saves = bed_calls(BS_VERB_SAVE);
    bed_is(cache_incr(&cache, "n", 0, &now), APR_SUCCESS);
    ck_assert_int_eq(now, -2);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves);
    bed_is(cache_incr(&cache, "n", 2, NULL), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "n"), "0");
    bed_is(cache_incr(&cache, "new", 0, &now), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "new"), "0");
    bed_is(cache_set(&cache, "n", "41"), APR_SUCCESS);
    bed_is(cache_incr(&cache, "n", 1, &now), APR_SUCCESS);
    ck_assert_int_eq(now, 42);
}
END_TEST

START_TEST(incr_is_for_numbers)
{
    static const char *const values[] = {
        "", "x", "007", "+5", " 5", "-0", "9223372036854775808", "9223372036854775807"
    };
    apr_int64_t now = 99;
    size_t i;

    for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
        bed_is(cache_set(&cache, "n", values[i]), APR_SUCCESS);
        bed_is(cache_incr(&cache, "n", 1, &now), APR_EINVAL);
        ck_assert_int_eq(now, 99);
        ck_assert_str_eq(cache_get(&cache, "n"), values[i]);
    }
    bed_is(cache_incr(&cache, "n", -1, &now), APR_SUCCESS);
    bed_is(cache_incr(&cache, "n", APR_INT64_MIN, &now), APR_SUCCESS);
    ck_assert_int_eq(now, -2);
}
END_TEST

static void count_ten(void)
{
    bed_is(cache_incr(&cache, "n", 10, NULL), APR_SUCCESS);
}

static void delete_n(void)
{
    bed_is(cache_delete(&cache, "n"), APR_SUCCESS);
}

static void set_x(void)
{
    bed_is(cache_set(&cache, "n", "x"), APR_SUCCESS);
}

static void set_100(void)
{
    bed_is(cache_set(&cache, "n", "100"), APR_SUCCESS);
}

/* `meanwhile` comes between this one's look and its save; what both come to. */
static void in_between(const char *before, void (*meanwhile)(void), apr_status_t status,
                       const char *after)
{
    apr_int64_t now = 0;

    cache_delete(&cache, "n");
    if (before) {
        bed_is(cache_set(&cache, "n", before), APR_SUCCESS);
    }
    bed_before(BS_VERB_SAVE, meanwhile);
    bed_is(cache_incr(&cache, "n", 1, &now), status);
    ck_assert_str_eq(cache_get(&cache, "n"), after);
    if (status == APR_SUCCESS) {
        ck_assert_str_eq(apr_psprintf(pool, "%" APR_INT64_T_FMT, now), after);
    }
}

static void no_step_is_lost(void)
{
    in_between("5", count_ten, APR_SUCCESS, "16");
    in_between(NULL, count_ten, APR_SUCCESS, "11");
    in_between("5", delete_n, APR_SUCCESS, "1");
    in_between("5", set_100, APR_SUCCESS, "101");
    in_between("5", set_x, APR_EINVAL, "x");
}

START_TEST(no_step_is_lost_by_comparing)
{
    no_step_is_lost();
}
END_TEST

START_TEST(no_step_is_lost_in_place)
{
    bed_merge_in_place();
    no_step_is_lost();
}
END_TEST

/* In place nobody has to try again, and the number is the store's. */
START_TEST(in_place_one_save_is_enough)
{
    apr_int64_t now = 0;
    int saves;

    bed_merge_in_place();
    bed_is(cache_set(&cache, "n", "5"), APR_SUCCESS);
    saves = bed_calls(BS_VERB_SAVE);
    bed_before(BS_VERB_SAVE, count_ten);
    bed_is(cache_incr(&cache, "n", 1, &now), APR_SUCCESS);
    ck_assert_int_eq(now, 16);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves + 2);
}
END_TEST

START_TEST(incr_gives_up_when_the_time_is_over)
{
    bed_store.timeout = apr_time_from_msec(30);
    bed_is(cache_set(&cache, "n", "5"), APR_SUCCESS);
    bed_answer(BS_VERB_SAVE, APR_EMISMATCH, 1000000);
    bed_is(cache_incr(&cache, "n", 1, NULL), APR_TIMEUP);
    bed_answer(BS_VERB_SAVE, APR_SUCCESS, 0);
    ck_assert_str_eq(cache_get(&cache, "n"), "5");
}
END_TEST

/* Counted or not, nobody knows: a second try could count twice. */
START_TEST(a_lost_answer_is_not_tried_again)
{
    bed_is(cache_set(&cache, "n", "5"), APR_SUCCESS);
    bed_lose_answers(BS_VERB_SAVE, 1);
    bed_is(cache_incr(&cache, "n", 1, NULL), BED_OUTAGE);
    ck_assert_str_eq(cache_get(&cache, "n"), "6");
}
END_TEST

Suite *cache_suite(void)
{
    Suite *suite = suite_create("cache");
    TCase *tests = tcase_create("cache");

    tcase_add_checked_fixture(tests, cache_setup, bed_teardown);
    tcase_add_test(tests, what_is_set_is_there);
    tcase_add_test(tests, add_is_for_what_is_not_there);
    tcase_add_test(tests, add_after_a_delete_in_between);
    tcase_add_test(tests, keys_and_values_are_any_bytes);
    tcase_add_test(tests, keys_of_any_length);
    tcase_add_test(tests, caches_know_nothing_of_each_other);
    tcase_add_test(tests, entries_spread_over_the_store);
    tcase_add_test(tests, too_large_changes_nothing);
    tcase_add_test(tests, lives);
    tcase_add_test(tests, what_is_over_is_a_miss);
    tcase_add_test(tests, incr_keeps_the_life);
    tcase_add_test(tests, incr_counts);
    tcase_add_test(tests, incr_is_for_numbers);
    tcase_add_test(tests, no_step_is_lost_by_comparing);
    tcase_add_test(tests, no_step_is_lost_in_place);
    tcase_add_test(tests, in_place_one_save_is_enough);
    tcase_add_test(tests, incr_gives_up_when_the_time_is_over);
    tcase_add_test(tests, a_lost_answer_is_not_tried_again);
    suite_add_tcase(suite, tests);
    return suite;
}
