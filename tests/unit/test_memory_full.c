/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Who has to go when a memory store is full. */

#include "test_memory.h"

#include <string.h>

#include "memory_segment.h"
#include "memory_shard.h"

START_TEST(the_largest_record)
{
    bsession_backend_t *store = store_open("1M");
    bsession_key_t key = store_key('s'), other = store_key('s');
    bsession_field_t field = { { "v", 1 }, { "", 0 } };
    bsession_record_t empty = { .fields = { &field, 1 } };
    apr_size_t most = memory_segment_largest(memory_backend_segment(store))
                      - store_services.record_size(&empty);

    ck_assert_uint_gt(most, 130000);
    ck_assert_int_eq(store_save(store, BSESSION_CREATE, &key, 1, most + 1, 0), APR_ENOSPC);
    ck_assert_int_eq(store_load(store, &key), APR_NOTFOUND);
    store_add(store, &key, most);
    ck_assert_int_eq(store_save(store, BSESSION_REPLACE, &key, 1, most + 1, 0), APR_ENOSPC);
    ck_assert_int_eq(store_load(store, &key), APR_SUCCESS);
    store_add(store, &other, most);
    store_is_sound(store);
}
END_TEST

/* `bytes` of each of the expired: also where they lie in pages of another class. */
static void expired_go_first(apr_size_t bytes)
{
    bsession_backend_t *store = store_open("1M");
    apr_uint64_t evicted = store_stats(store).evicted, swept = store_stats(store).swept;
    bsession_key_t live[1200], other;
    int i;

    for (i = 0; i < 1200; i++) {
        live[i] = store_key('s');
        other = store_key('s');
        store_add(store, &live[i], 200);
        ck_assert_int_eq(store_save(store, BSESSION_CREATE, &other, 1, bytes,
                                    apr_time_now() - 1), APR_SUCCESS);
    }
    for (i = 0; i < 1200; i++) {
        other = store_key('s');
        store_add(store, &other, 200);
        ck_assert_str_eq(store_last.why, "");
    }
    for (i = 0; i < 1200; i++) {
        ck_assert_int_eq(store_load(store, &live[i]), APR_SUCCESS);
    }
    ck_assert_uint_eq(store_stats(store).evicted, evicted);
    ck_assert_uint_gt(store_stats(store).swept, swept);
    store_is_sound(store);
}

START_TEST(the_expired_go_first)
{
    expired_go_first(200);
}
END_TEST

START_TEST(the_expired_of_another_size_go_first)
{
    expired_go_first(600);
}
END_TEST

/* Fifty visitors come back again and again while thousands come once. */
START_TEST(who_is_used_stays)
{
    bsession_backend_t *store = store_open("1M");
    bsession_key_t used[50], once = store_key('s');
    int i, notices = 0;

    store_add(store, &once, 200);
    for (i = 0; i < 50; i++) {
        used[i] = store_key('s');
        store_add(store, &used[i], 200);
    }
    for (i = 0; i < 15000; i++) {
        bsession_key_t other = store_key('s');

        store_add(store, &other, 200);
        notices += strstr(store_last.why, "it is full") != NULL;
        ck_assert_int_eq(store_load(store, &used[i % 50]), APR_SUCCESS);
    }
    ck_assert_int_eq(store_load(store, &once), APR_NOTFOUND);
    ck_assert_int_gt(notices, 0);
    ck_assert_uint_ge(store_stats(store).evicted, (apr_uint64_t)notices);
    store_is_sound(store);
}
END_TEST

START_TEST(users_and_leases_go_last)
{
    bsession_backend_t *store = store_open("1M");
    bsession_key_t guarded[300], other;
    int i;

    for (i = 0; i < 300; i++) {
        guarded[i] = store_key(i % 2 ? 'u' : 'l');
        store_add(store, &guarded[i], (apr_size_t)(i * 7 % 900));
    }
    for (i = 0; i < 6000; i++) {
        other = store_key(i % 2 ? 's' : 'c');
        store_add(store, &other, (apr_size_t)(i * 7919 % 4000));
    }
    for (i = 0; i < 300; i++) {
        ck_assert_int_eq(store_load(store, &guarded[i]), APR_SUCCESS);
    }
    for (i = 0; i < 6000; i++) {
        other = store_key('u');
        store_add(store, &other, 500);
    }
    store_is_sound(store);
}
END_TEST

/* Small records fill the store; then only large ones come, and get their share; then small ones
 * again. */
START_TEST(pages_change_their_class)
{
    static const apr_size_t sizes[] = { 100, 3000, 60000, 700, 100 };
    bsession_backend_t *store = store_open("2M");
    apr_size_t i;

    for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        apr_size_t fits = (2u << 20) / (sizes[i] + 100), n, found = 0;
        bsession_key_t *keys = apr_palloc(pool, 4 * fits * sizeof(*keys));

        for (n = 0; n < 4 * fits; n++) {
            keys[n] = store_key('s');
            store_add(store, &keys[n], sizes[i]);
        }
        ck_assert_int_eq(store_load(store, &keys[n - 1]), APR_SUCCESS);
        for (n = 0; n < 4 * fits; n++) {
            found += store_load(store, &keys[n]) == APR_SUCCESS;
        }
        ck_assert_msg(found * 2 > fits, "%lu of %lu records of %lu bytes", (unsigned long)found,
                      (unsigned long)fits, (unsigned long)sizes[i]);
        store_is_sound(store);
    }
}
END_TEST

/* The record that is replaced is there before, and after, whatever must go for it. */
START_TEST(a_full_store_takes_every_replace)
{
    bsession_backend_t *store = store_open("1M");
    bsession_key_t key = store_key('s'), other;
    apr_uint64_t revision;

    store_add(store, &key, 1);
    for (revision = 1; revision < 3000; revision++) {
        other = store_key('s');
        store_add(store, &other, (apr_size_t)(revision * 104729 % 30000));
        ck_assert_int_eq(store_load(store, &key), APR_SUCCESS);
        ck_assert_int_eq(store_save(store, BSESSION_REPLACE, &key, revision,
                              (apr_size_t)(revision * 7919 % 60000), BSESSION_KEEP), APR_SUCCESS);
    }
    ck_assert_int_eq(store_load(store, &key), APR_SUCCESS);
    store_is_sound(store);
}
END_TEST

START_TEST(a_sweep_takes_the_expired_only)
{
    bsession_backend_t *store = store_open("4M");
    apr_time_t now = apr_time_now(), later = now + 500 * APR_USEC_PER_SEC;
    bsession_key_t key;
    int i;

    for (i = 0; i < 2000; i++) {
        key = store_key("sluc"[i % 4]);
        ck_assert_int_eq(store_save(store, BSESSION_CREATE, &key, 1, (apr_size_t)(i % 300), i < 1500
                              ? now + APR_USEC_PER_SEC * (1 + i) : 0), APR_SUCCESS);
    }
    ck_assert_int_eq(bsession_memory_provider.sweep(store, now, store_call()), APR_SUCCESS);
    ck_assert_uint_eq(store_stats(store).records, 2000);
    for (i = 0; bsession_memory_provider.sweep(store, later, store_call()) == APR_INCOMPLETE; i++) {
        ck_assert_int_lt(i, 4);
    }
    ck_assert_uint_eq(store_stats(store).records, 1500);
    ck_assert_uint_eq(store_stats(store).swept, 500);
    store_is_sound(store);
}
END_TEST

TCase *memory_full_case(void)
{
    TCase *tests = tcase_create("a full store");

    tcase_add_checked_fixture(tests, pool_setup, pool_teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, the_largest_record);
    tcase_add_test(tests, the_expired_go_first);
    tcase_add_test(tests, the_expired_of_another_size_go_first);
    tcase_add_test(tests, who_is_used_stays);
    tcase_add_test(tests, users_and_leases_go_last);
    tcase_add_test(tests, pages_change_their_class);
    tcase_add_test(tests, a_full_store_takes_every_replace);
    tcase_add_test(tests, a_sweep_takes_the_expired_only);
    return tests;
}
