/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* P12, P13: what goes over many entries of a cache. */

#include "test_cache.h"

#include <string.h>

#include <apr_strings.h>

#include "mod_bsession.h"

#define MANY 300

static void fill(const bs_cache_t *c, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        bed_is(cache_set(c, apr_itoa(pool, i), "x"), APR_SUCCESS);
    }
}

static int filled(const bs_cache_t *c, int count)
{
    int i, there = 0;

    for (i = 0; i < count; i++) {
        there += cache_get(c, apr_itoa(pool, i)) != NULL;
    }
    return there;
}

static void without_scan(void)
{
    bed_answer(BS_VERB_SCAN, APR_ENOTIMPL, 1000000);
}

/* ---- clear ---- */

static void clears(void)
{
    bs_cache_t other = cache_named("others"), longer = cache_named("things2");
    bs_token_t token = bed_session("a", "1", NULL);

    fill(&cache, MANY);
    fill(&other, 3);
    fill(&longer, 3);
    bed_is(bs_cache_clear(&cache), APR_SUCCESS);
    ck_assert_int_eq(filled(&cache, MANY), 0);
    ck_assert_int_eq(filled(&other, 3), 3);
    ck_assert_int_eq(filled(&longer, 3), 3);
    ck_assert_str_eq(bed_value(&token, "a"), "1");
    bed_is(bs_cache_clear(&cache), APR_SUCCESS);
    bed_is(cache_add(&cache, "0", "new"), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "0"), "new");
    ck_assert_str_eq(bed_value(&token, "a"), "1");
}

/* Theirs empties the database (P13). */
START_TEST(clear_by_scan)
{
    clears();
    ck_assert_uint_eq(bed_records(), 1 + 3 + 3 + 1);
}
END_TEST

START_TEST(clear_by_generation)
{
    without_scan();
    clears();
}
END_TEST

START_TEST(keys_that_are_digests_are_cleared)
{
    char *key = apr_palloc(pool, 20001);

    memset(key, 'k', 20000);
    key[20000] = '\0';
    bed_is(cache_set(&cache, key, "1"), APR_SUCCESS);
    bed_is(bs_cache_clear(&cache), APR_SUCCESS);
    ck_assert_uint_eq(bed_records(), 0);
}
END_TEST

static void set_5(void)
{
    bed_is(cache_set(&cache, "5", "new"), APR_SUCCESS);
}

/* An entry that was set after it was seen is not the one that was to go. */
START_TEST(what_is_set_meanwhile_stays_whole)
{
    bed_is(cache_set(&cache, "5", "old"), APR_SUCCESS);
    bed_before(BS_VERB_REMOVE, set_5);
    bed_is(bs_cache_clear(&cache), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "5"), "new");
}
END_TEST

START_TEST(an_outage_while_clearing)
{
    fill(&cache, 3);
    bed_answer(BS_VERB_SCAN, BED_OUTAGE, 1);
    bed_is(bs_cache_clear(&cache), BED_OUTAGE);
    ck_assert_int_eq(filled(&cache, 3), 3);
    bed_answer(BS_VERB_REMOVE, BED_OUTAGE, 1);
    bed_is(bs_cache_clear(&cache), BED_OUTAGE);
    bed_is(bs_cache_clear(&cache), APR_SUCCESS);
    ck_assert_int_eq(filled(&cache, 3), 0);
}
END_TEST

/* ---- generations ---- */

START_TEST(each_call_works_without_scan)
{
    apr_int64_t now;

    without_scan();
    bed_is(cache_status(&cache, "a"), APR_NOTFOUND);
    bed_is(cache_delete(&cache, "a"), APR_NOTFOUND);
    ck_assert_uint_eq(bed_records(), 0);        /* who only reads leaves nothing */
    bed_is(cache_add(&cache, "a", "1"), APR_SUCCESS);
    bed_is(cache_add(&cache, "a", "2"), APR_EEXIST);
    bed_is(cache_incr(&cache, "a", 1, &now), APR_SUCCESS);
    ck_assert_int_eq(now, 2);
    bed_is(cache_incr(&cache, "n", 4, &now), APR_SUCCESS);
    ck_assert_int_eq(now, 4);
    bed_is(cache_set(&cache, "b", "3"), APR_SUCCESS);
    ck_assert_uint_eq(bed_records(), 1 + 3);
    bed_is(cache_delete(&cache, "a"), APR_SUCCESS);
    ck_assert_ptr_null(cache_get(&cache, "a"));
    ck_assert_str_eq(cache_get(&cache, "b"), "3");
    ck_assert_int_eq(bed_calls(BS_VERB_SCAN), 1);       /* asked once */
}
END_TEST

/* A store that is short of room may drop the generation. Were it a counter, the next one would be
 * an old one. */
START_TEST(an_evicted_generation_brings_nothing_back)
{
    bsession_key_t key;
    bsession_record_t *generation;
    int i;

    without_scan();
    bed_is(cache_add(&cache, "a", "old"), APR_SUCCESS);
    bed_is(cache_delete(&cache, "a"), APR_SUCCESS);
    generation = cache_record(&key);
    bed_is(cache_set(&cache, "a", "old"), APR_SUCCESS);
    for (i = 0; i < 20; i++) {
        generation->expires = 1;
        cache_put(&key, generation);
        ck_assert_ptr_null(cache_get(&cache, "a"));
        bed_is(cache_set(&cache, apr_psprintf(pool, "new%d", i), "x"), APR_SUCCESS);
        ck_assert_ptr_null(cache_get(&cache, "a"));
    }
}
END_TEST

static void other_makes_it(void)
{
    bed_is(cache_set(&cache, "theirs", "t"), APR_SUCCESS);
}

START_TEST(two_make_a_generation_at_once)
{
    without_scan();
    bed_before(BS_VERB_SAVE, other_makes_it);
    bed_is(cache_set(&cache, "mine", "m"), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "mine"), "m");
    ck_assert_str_eq(cache_get(&cache, "theirs"), "t");
}
END_TEST

START_TEST(a_damaged_generation_is_a_new_one)
{
    bsession_key_t key;
    bsession_record_t *generation;

    without_scan();
    bed_is(cache_add(&cache, "a", "old"), APR_SUCCESS);
    bed_is(cache_delete(&cache, "a"), APR_SUCCESS);
    generation = cache_record(&key);
    generation->fields.list[0].value.len = 3;
    cache_put(&key, generation);
    ck_assert_ptr_null(cache_get(&cache, "a"));
    bed_is(cache_set(&cache, "a", "new"), APR_SUCCESS);
    ck_assert_str_eq(cache_get(&cache, "a"), "new");
}
END_TEST

START_TEST(a_generation_that_cannot_be_asked_for_is_an_outage)
{
    without_scan();
    bed_is(cache_set(&cache, "a", "1"), APR_SUCCESS);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);
    bed_is(cache_set(&cache, "a", "2"), BED_OUTAGE);
    ck_assert_str_eq(cache_get(&cache, "a"), "1");
}
END_TEST

/* ---- several at once ---- */

#define COUNT 4

static void several(void)
{
    bsession_bytes_t keys[COUNT], values[COUNT], found[COUNT];
    apr_status_t statuses[COUNT];
    int i;

    for (i = 0; i < COUNT; i++) {
        keys[i] = cache_bytes(apr_psprintf(pool, "k%d", i));
        values[i] = cache_bytes(apr_psprintf(pool, "v%d", i));
    }
    bed_is(bs_cache_set_many(&cache, keys, COUNT - 1, values, BSESSION_FOR_EVER, statuses),
           APR_SUCCESS);
    bed_is(statuses[0] | statuses[1] | statuses[2], APR_SUCCESS);
    bed_is(bs_cache_get_many(&cache, keys, COUNT, found, statuses), APR_SUCCESS);
    for (i = 0; i < COUNT - 1; i++) {
        bed_is(statuses[i], APR_SUCCESS);
        ck_assert_str_eq(found[i].data, values[i].data);
        ck_assert_uint_eq(found[i].len, 2);
    }
    bed_is(statuses[3], APR_NOTFOUND);
    ck_assert_ptr_null(found[3].data);
    bed_is(bs_cache_delete_many(&cache, keys + 2, 2, statuses), APR_SUCCESS);
    bed_is(statuses[0], APR_SUCCESS);
    bed_is(statuses[1], APR_NOTFOUND);
    bed_is(bs_cache_get_many(&cache, keys, COUNT, found, NULL), APR_SUCCESS);
    ck_assert_ptr_nonnull(found[1].data);
    ck_assert_ptr_null(found[2].data);
    bed_is(bs_cache_delete_many(&cache, keys, COUNT, NULL), APR_SUCCESS);
    bed_is(bs_cache_get_many(&cache, keys, 0, found, NULL), APR_SUCCESS);
}

START_TEST(several_one_by_one)
{
    several();
}
END_TEST

START_TEST(several_at_once)
{
    bed_load_many_at_once();
    several();
    ck_assert_int_eq(bed_calls(BS_VERB_LOAD), 2);
}
END_TEST

START_TEST(several_without_scan)
{
    without_scan();
    several();
}
END_TEST

START_TEST(an_outage_among_several)
{
    bsession_bytes_t keys[] = { { "a", 1 }, { "b", 1 }, { "c", 1 } }, found[3];
    apr_status_t statuses[3];

    fill(&cache, 1);
    bed_is(bs_cache_set_many(&cache, keys, 3, keys, BSESSION_FOR_EVER, NULL), APR_SUCCESS);
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);
    bed_is(bs_cache_get_many(&cache, keys, 3, found, statuses), BED_OUTAGE);
    bed_is(statuses[0], BED_OUTAGE);
    ck_assert_ptr_null(found[0].data);
    bed_is(statuses[1], APR_SUCCESS);
    bed_load_many_at_once();
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 1);
    bed_is(bs_cache_get_many(&cache, keys, 3, found, statuses), BED_OUTAGE);
    bed_is(statuses[2], BED_OUTAGE);
    ck_assert_ptr_null(found[2].data);
    bed_is(bs_cache_set_many(&cache, keys, 3, keys, -5, statuses), APR_EINVAL);
}
END_TEST

/* One that hangs is waited for once, and not for each entry. */
START_TEST(after_a_hanging_call_the_rest_is_not_asked)
{
    bsession_bytes_t keys[] = { { "a", 1 }, { "b", 1 }, { "c", 1 } };
    apr_status_t statuses[3];
    int calls;

    fill(&cache, 1);
    bed_store.timeout = -1;                     /* it is over before it begins */
    calls = bed_calls(BS_VERB_SAVE);
    bed_answer(BS_VERB_SAVE, BED_OUTAGE, 1);
    bed_is(bs_cache_set_many(&cache, keys, 3, keys, BSESSION_FOR_EVER, statuses), BED_OUTAGE);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), calls + 1);
    bed_is(statuses[2], BED_OUTAGE);
}
END_TEST

/* ---- each ---- */

#define SEEN 100

static apr_status_t collect(void *baton, const bsession_bytes_t *key,
                            const bsession_bytes_t *value)
{
    char *seen = baton;

    apr_size_t len = strlen(seen);

    apr_snprintf(seen + len, SEEN - len, "%.*s=%.*s;", (int)key->len, key->data, (int)value->len,
                 value->data);
    return strlen(seen) > 20 ? APR_EOF : APR_SUCCESS;
}

START_TEST(each_shows_this_cache)
{
    bs_cache_t other = cache_named("others");
    char seen[SEEN] = "";

    bed_is(cache_set(&cache, "a", "1"), APR_SUCCESS);
    bed_is(cache_set(&other, "b", "2"), APR_SUCCESS);
    bed_is(bs_cache_each(&cache, collect, seen), APR_SUCCESS);
    ck_assert_str_eq(seen, "a=1;");
    ck_assert_str_eq(cache_get(&cache, "a"), "1");
    fill(&cache, MANY);
    bed_is(bs_cache_each(&cache, collect, seen), APR_EOF);
    ck_assert_uint_le(strlen(seen), 28);
    ck_assert_int_eq(bed_lines(), 0);           /* who stops it is no failure of the store */
    without_scan();
    bed_is(bs_cache_each(&cache, collect, seen), APR_ENOTIMPL);
}
END_TEST

Suite *cache_clear_suite(void)
{
    Suite *suite = suite_create("cache_clear");
    TCase *tests = tcase_create("cache_clear");

    tcase_add_checked_fixture(tests, cache_setup, bed_teardown);
    tcase_add_test(tests, clear_by_scan);
    tcase_add_test(tests, clear_by_generation);
    tcase_add_test(tests, keys_that_are_digests_are_cleared);
    tcase_add_test(tests, what_is_set_meanwhile_stays_whole);
    tcase_add_test(tests, an_outage_while_clearing);
    tcase_add_test(tests, each_call_works_without_scan);
    tcase_add_test(tests, an_evicted_generation_brings_nothing_back);
    tcase_add_test(tests, two_make_a_generation_at_once);
    tcase_add_test(tests, a_damaged_generation_is_a_new_one);
    tcase_add_test(tests, a_generation_that_cannot_be_asked_for_is_an_outage);
    tcase_add_test(tests, several_one_by_one);
    tcase_add_test(tests, several_at_once);
    tcase_add_test(tests, several_without_scan);
    tcase_add_test(tests, an_outage_among_several);
    tcase_add_test(tests, after_a_hanging_call_the_rest_is_not_asked);
    tcase_add_test(tests, each_shows_this_cache);
    suite_add_tcase(suite, tests);
    return suite;
}
