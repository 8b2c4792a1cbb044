/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Another size=, at a graceful restart and after a stop. Under load it is in tests/fault. */

#include "test_memory.h"

#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "memory_shard.h"

static bsession_key_t keys[4000];

/* Sessions from the first to the last, each of which ends later than the one before. */
static void fill(bsession_backend_t *store, int from, int to)
{
    int i;

    for (i = from; i < to; i++) {
        keys[i] = store_key(i % 500 == 499 ? 'u' : 's');
        ck_assert_int_eq(store_save(store, BSESSION_CREATE, &keys[i], 1, 600,
                                    apr_time_now() + apr_time_from_sec(1000 + i)), APR_SUCCESS);
    }
}

static void has(bsession_backend_t *store, int from, int to)
{
    int i;

    for (i = from; i < to; i++) {
        ck_assert_msg(store_load(store, &keys[i]) == APR_SUCCESS, "record %d is not there", i);
    }
    store_is_sound(store);
}

/* The same httpd, gracefully restarted; another one where there is a file. */
static bsession_backend_t *open_again(const char *size, int in_file)
{
    bsession_backend_t *backend = NULL;
    const char *url = apr_pstrcat(pool, "memory:", in_file ? file_path : "", NULL);
    const char *sentence = store_create(&backend, url, "size", size);

    ck_assert_msg(!sentence, "%s", sentence);
    ck_assert_int_eq(bsession_memory_provider.open(backend, -1, -1, store_call()), APR_SUCCESS);
    return backend;
}

/* ------------------------------------------------------------------ gracefully */

START_TEST(it_grows_at_a_graceful_restart)
{
    bsession_backend_t *before = open_again("1M", _i), *after;
    apr_uint64_t capacity = store_stats(before).capacity;

    fill(before, 0, 1000);
    after = open_again("4M", _i);
    ck_assert_str_eq(store_last.why, "");
    /* whichever generation is first */
    fill(before, 1000, 2000);
    fill(after, 2000, 4000);
    has(before, 0, 4000);
    has(after, 0, 4000);
    ck_assert_uint_eq(store_stats(after).evicted, 0);
    ck_assert_uint_gt(store_stats(after).capacity, 3 * capacity);
    ck_assert_uint_eq(store_stats(after).capacity, store_stats(before).capacity);
}
END_TEST

START_TEST(as_far_as_it_can)
{
    bsession_backend_t *store = open_again("1M", _i);

    fill(store, 0, 1000);
    store = open_again("17M", _i);
    ck_assert_str_eq(store_last.why, "has 16M, the most that it can grow to until httpd is stopped "
                     "and started");
    has(store, 0, 1000);
    fill(store, 1000, 4000);
    has(store, 0, 4000);
    store = open_again("16M", _i);
    ck_assert_str_eq(store_last.why, "");
}
END_TEST

START_TEST(it_does_not_shrink_at_a_graceful_restart)
{
    bsession_backend_t *store = open_again("2M", _i);
    apr_uint64_t capacity = store_stats(store).capacity;

    fill(store, 0, 2000);
    store = open_again("1M", _i);
    ck_assert_str_eq(store_last.why, "stays at 2M until httpd is stopped and started: it cannot "
                     "shrink while it is in use");
    has(store, 0, 2000);
    ck_assert_uint_eq(store_stats(store).capacity, capacity);
}
END_TEST

/* Buckets double now and then, and take their room from the pages: never from those in use. */
START_TEST(with_more_memory_there_are_never_fewer_pages)
{
    uint64_t limit;
    uint32_t before = 0, pages;

    for (limit = MEMORY_SIZE_MIN; limit < (uint64_t)40 << 20; limit += 1009) {
        pages = memory_segment_pages(limit, 16384);
        ck_assert_uint_ge(pages, before);
        ck_assert_uint_le((uint64_t)pages * (16384 + sizeof(memory_page_t)) + MEMORY_SHARD_SIZE
                          + (uint64_t)memory_segment_buckets(limit) * sizeof(uint32_t), limit);
        before = pages;
    }
}
END_TEST

START_TEST(all_is_there_where_buckets_double)
{
    bsession_backend_t *store = open_again("2097151", _i);
    apr_uint64_t records;

    while (store_stats(store).evicted == 0) {
        bsession_key_t more = store_key('s');

        store_add(store, &more, 600);
    }
    records = store_stats(store).records;
    store = open_again("2097152", _i);
    fill(store, 0, 1);
    store_is_sound(store);
    ck_assert_uint_ge(store_stats(store).records + store_stats(store).evicted, records + 1);
    ck_assert_uint_ge(store_stats(store).records, records);
}
END_TEST

START_TEST(a_file_that_was_removed_is_told_of)
{
    bsession_backend_t *store = open_again("1M", 1);

    fill(store, 0, 10);
    unlink(file_path);
    store = open_again("1M", 1);
    ck_assert_ptr_nonnull(strstr(store_last.why, "removed or replaced while httpd ran"));
    has(store, 0, 10);
}
END_TEST

/* The next build has another layout, while the children of this one go on. */
START_TEST(another_layout_gets_a_file_of_its_own)
{
    bsession_backend_t *before = open_again("1M", 1), *after;
    const char *key = apr_pstrcat(pool, "mod_bsession memory ", file_path, NULL);
    void *kept = NULL;

    fill(before, 0, 10);
    apr_pool_userdata_get(&kept, key, pool);
    ck_assert_ptr_nonnull(kept);
    ++*(uint32_t *)kept;
    after = open_again("1M", 1);
    ck_assert_str_eq(store_last.why, "begins empty: it was laid out by another version");
    ck_assert_int_eq(store_load(after, &keys[0]), APR_NOTFOUND);
    ck_assert(file_has("") && file_has(".aside"));
    file_stop(after);
    file_stop(file_started("1M", ""));
}
END_TEST

/* ------------------------------------------------------------------ after a stop */

START_TEST(a_larger_size_after_a_stop)
{
    static const char *const sizes[] = { "1M", "3M", "16M", "17M", "24M" };
    bsession_backend_t *store = file_started("1M", "");
    apr_size_t i;

    fill(store, 0, 1000);
    for (i = 1; i < sizeof(sizes) / sizeof(*sizes); i++) {
        if (_i) {
            file_stop(store);
        }
        else {
            file_kill(store);
        }
        store = file_started(sizes[i], "");
        has(store, 0, 1000);
    }
    fill(store, 1000, 4000);
    has(store, 0, 4000);
    file_stop(store);
    has(store = file_started(sizes[i - 1], ""), 0, 4000);
    file_stop(store);
}
END_TEST

START_TEST(a_smaller_size_after_a_stop_keeps_all_that_fits)
{
    bsession_backend_t *store = file_started("40M", "");

    fill(store, 0, 1000);
    file_stop(store);
    store = file_started("1M", "");
    has(store, 0, 1000);
    ck_assert_uint_lt(store_stats(store).capacity, 1 << 20);
    ck_assert(!file_has(".new") && !file_has(".aside"));
    file_stop(store);
    has(store = file_started("1M", ""), 0, 1000);
    file_stop(store);
}
END_TEST

START_TEST(and_drops_those_that_end_first)
{
    bsession_backend_t *store = file_started("8M", "");
    apr_uint64_t records;
    int i;

    fill(store, 0, 4000);
    file_kill(store);
    store = file_started("1M", "of 4000 records only ");
    records = store_stats(store).records;
    ck_assert_uint_gt(records, 1000);
    ck_assert_uint_eq(store_stats(store).evicted, 0);
    for (i = 0; i < 4000; i++) {
        apr_status_t status = store_load(store, &keys[i]);

        if (i % 500 == 499 || i >= 4000 - (int)records * 9 / 10) {
            ck_assert_msg(status == APR_SUCCESS, "record %d is gone", i);
        }
        else if (i < 4000 - (int)records * 11 / 10) {
            ck_assert_int_eq(status, APR_NOTFOUND);
        }
    }
    store_is_sound(store);
    file_stop(store);
}
END_TEST

START_TEST(a_record_that_is_too_large_now_is_dropped)
{
    bsession_key_t large = store_key('s');
    bsession_backend_t *store;

    apr_snprintf(file_path, 64, "/tmp/bsession-%ld", (long)getpid());     /* a disk: it is large */
    store = file_started("128M", "");
    fill(store, 0, 10);
    store_add(store, &large, 200000);
    file_stop(store);
    store = file_started("1M", "of 11 records only 10 have room in 1M, and the others are gone");
    ck_assert_int_eq(store_load(store, &large), APR_NOTFOUND);
    has(store, 0, 10);
    file_stop(store);
}
END_TEST

TCase *memory_grow_case(void)
{
    TCase *tests = tcase_create("another size");

    tcase_add_checked_fixture(tests, file_setup, file_teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, it_grows_at_a_graceful_restart, 0, 2);
    tcase_add_loop_test(tests, as_far_as_it_can, 0, 2);
    tcase_add_loop_test(tests, it_does_not_shrink_at_a_graceful_restart, 0, 2);
    tcase_add_test(tests, with_more_memory_there_are_never_fewer_pages);
    tcase_add_loop_test(tests, all_is_there_where_buckets_double, 0, 2);
    tcase_add_test(tests, a_file_that_was_removed_is_told_of);
    tcase_add_test(tests, another_layout_gets_a_file_of_its_own);
    tcase_add_loop_test(tests, a_larger_size_after_a_stop, 0, 2);
    tcase_add_test(tests, a_smaller_size_after_a_stop_keeps_all_that_fits);
    tcase_add_test(tests, and_drops_those_that_end_first);
    tcase_add_test(tests, a_record_that_is_too_large_now_is_dropped);
    return tests;
}
