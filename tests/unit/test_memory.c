/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What is the memory store's own: its segment, and in the files beside this one who has to go when
 * it is full, the checker, files and sizes. What every store must do is in tests/contract, and
 * what a killed process leaves behind in tests/fault. */

#include "test_memory.h"

#include <string.h>
#include <sys/mman.h>

#include "memory_check.h"
#include "memory_shard.h"
#include "store_call.h"

bsession_services_t store_services;
bsession_call_t     store_last;

bsession_call_t *store_call(void)
{
    memset(&store_last, 0, sizeof(store_last));
    store_last.deadline = apr_time_now() + apr_time_from_sec(20);
    store_last.pool = pool;
    return &store_last;
}

const char *store_create(bsession_backend_t **backend, const char *url, const char *name,
                          const char *value)
{
    bsession_option_t option = { name, value };
    bsession_options_t options = { &option, name ? 1 : 0 };

    bs_services_init(&store_services, pool);
    return bsession_memory_provider.create(backend, "default", url, &options, &store_services,
                                           pool);
}

bsession_backend_t *store_open(const char *size)
{
    bsession_backend_t *backend = NULL;
    const char *sentence = store_create(&backend, "memory:", "size", size);

    ck_assert_msg(!sentence, "%s", sentence);
    ck_assert_int_eq(bsession_memory_provider.open(backend, -1, -1, store_call()), APR_SUCCESS);
    return backend;
}

bsession_key_t store_key(char space)
{
    static apr_uint64_t state = 1;
    bsession_key_t key = { space, { 0 } };
    apr_size_t i;

    for (i = 0; i < sizeof(key.bytes); i++) {
        state = state * APR_UINT64_C(6364136223846793005) + APR_UINT64_C(1442695040888963407);
        key.bytes[i] = (unsigned char)(state >> 56);
    }
    return key;
}

apr_status_t store_save(bsession_backend_t *backend, bsession_save_mode_t mode,
                         const bsession_key_t *key, apr_uint64_t base, apr_size_t bytes,
                         apr_time_t expires)
{
    static char value[1 << 18];
    bsession_field_t field = { { "v", 1 }, { value, bytes } };
    bsession_record_t record = { .expires = expires, .fields = { &field, 1 } };
    bsession_save_t what = { .mode = mode, .base = base, .record = &record };
    bsession_saved_t saved = { 0, NULL };

    ck_assert_uint_le(bytes, sizeof(value));
    memset(value, (int)(bytes & 0xff), bytes);
    return bsession_memory_provider.save(backend, key, &what, &saved, store_call());
}

void store_add(bsession_backend_t *backend, const bsession_key_t *key, apr_size_t bytes)
{
    ck_assert_int_eq(store_save(backend, BSESSION_CREATE, key, 1, bytes, 0), APR_SUCCESS);
}

apr_status_t store_load(bsession_backend_t *backend, const bsession_key_t *key)
{
    bsession_record_t record;
    const bsession_bytes_t *value;
    apr_status_t status;
    apr_size_t i;
    apr_pool_t *p;

    apr_pool_create(&p, pool);
    store_call()->pool = p;
    status = bsession_memory_provider.load(backend, key, &record, &store_last);
    if (status == APR_SUCCESS) {
        value = &record.fields.list[0].value;
        for (i = 0; i < value->len && (unsigned char)value->data[i] == (value->len & 0xff); i++) {
            continue;
        }
        ck_assert_uint_eq(i, value->len);
    }
    apr_pool_destroy(p);
    return status;
}

bsession_stats_t store_stats(bsession_backend_t *backend)
{
    bsession_stats_t result;

    bsession_memory_provider.stats(backend, &result, store_call());
    return result;
}

apr_array_header_t *store_check(bsession_backend_t *backend)
{
    apr_array_header_t *sentences = apr_array_make(pool, 1, sizeof(const char *));
    apr_status_t status = memory_check(memory_backend_segment(backend), sentences, store_call());

    ck_assert_int_eq(status, sentences->nelts ? APR_EGENERAL : APR_SUCCESS);
    return sentences;
}

void store_is_sound(bsession_backend_t *backend)
{
    apr_array_header_t *sentences = store_check(backend);

    ck_assert_msg(sentences->nelts == 0, "%s", sentences->nelts
                  ? APR_ARRAY_IDX(sentences, 0, const char *) : "");
}

/* ------------------------------------------------------------------ configuration and start */

START_TEST(what_is_wrong_gets_a_sentence)
{
    static const struct {
        const char *url, *name, *value, *expected;
    } wrong[] = {
        { "memory:var/lib/x", NULL, NULL, "expected memory: alone, or memory: and the path" },
        { "memory://host/x", NULL, NULL, "which begins with one /" },
        { "memory:/var/lib/", NULL, NULL, "expected the path of a file, not of a directory" },
        { "memoria:", NULL, NULL, "expected memory:" },
        { "memory:", "sise", "64M", "size" },
        { "memory:", "size", "big", "expected a size such as 64M" },
        { "memory:", "size", "1023K", "from 1M to 1T" },
        { "memory:", "size", "1025G", "from 1M to 1T" }
    };
    apr_size_t i;

    for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        bsession_backend_t *backend = NULL;
        const char *sentence = store_create(&backend, wrong[i].url, wrong[i].name, wrong[i].value);

        ck_assert_msg(sentence && strstr(sentence, wrong[i].expected), "%s %s: %s", wrong[i].url,
                      wrong[i].value ? wrong[i].value : "", sentence ? sentence : "taken");
        ck_assert_ptr_null(backend);
    }
}
END_TEST

START_TEST(records_outlive_a_graceful_restart)
{
    bsession_backend_t *before = store_open("2M"), *after;
    bsession_key_t key = store_key('s');

    store_add(before, &key, 100);
    after = store_open("2M");
    ck_assert_str_eq(store_last.why, "");
    ck_assert_int_eq(store_load(after, &key), APR_SUCCESS);
}
END_TEST

START_TEST(another_layout_begins_empty)
{
    bsession_backend_t *store = store_open("1M");
    bsession_key_t key = store_key('s');
    void *kept = NULL;

    store_add(store, &key, 100);
    apr_pool_userdata_get(&kept, "mod_bsession memory default", pool);
    ck_assert_ptr_nonnull(kept);
    ++*(uint32_t *)kept;
    store = store_open("1M");
    ck_assert_ptr_nonnull(strstr(store_last.why, "laid out by another version"));
    ck_assert_int_eq(store_load(store, &key), APR_NOTFOUND);
    store_is_sound(store);
}
END_TEST

/* Addresses are reserved, and memory is used only where something is written: a segment far larger
 * than this machine can be laid out. */
START_TEST(segments_of_all_sizes)
{
    static const char *const sizes[] = { "1M", "1500K", "3M", "17M", "64M", "1G", "1000G" };
    apr_size_t i;

    for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        const memory_segment_t *segment;
        bsession_backend_t *store;
        bsession_key_t key = store_key('s');
        apr_pool_t *outer = pool;
        uint32_t class;

        apr_pool_create(&pool, outer);
        store = store_open(sizes[i]);
        segment = memory_backend_segment(store);
        ck_assert_uint_ge(segment->header->shards, 1);
        ck_assert_uint_le(segment->header->shards, BSESSION_NODES);
        for (class = 1; class < segment->classes; class++) {
            ck_assert_uint_gt(segment->slot_size[class], segment->slot_size[class - 1]);
            ck_assert_uint_eq(segment->slot_size[class] % MEMORY_UNIT, 0);
        }
        ck_assert_uint_ge(segment->slot_size[class - 1],
                          memory_segment_largest(segment) + MEMORY_SLOT_HEAD);
        store_add(store, &key, 100000);
        ck_assert_int_eq(store_load(store, &key), APR_SUCCESS);
        munmap(segment->header, segment->header->reserve);
        apr_pool_destroy(pool);
        pool = outer;
    }
}
END_TEST

/* Somebody raises the limit; who locks a shard next makes use of it. */
START_TEST(a_segment_grows_in_place)
{
    bsession_backend_t *store = store_open("1M");
    bsession_key_t keys[200], more;
    apr_uint64_t capacity = store_stats(store).capacity;
    int i;

    for (i = 0; i < 200; i++) {
        keys[i] = store_key('s');
        store_add(store, &keys[i], 1000);
    }
    memory_backend_segment(store)->header->limit *= 8;
    for (i = 0; i < 4000; i++) {
        more = store_key('s');
        store_add(store, &more, 1000);
    }
    for (i = 0; i < 200; i++) {
        ck_assert_int_eq(store_load(store, &keys[i]), APR_SUCCESS);
    }
    ck_assert_uint_gt(store_stats(store).capacity, 7 * capacity);
    ck_assert_uint_eq(store_stats(store).evicted, 0);
    store_is_sound(store);
}
END_TEST

Suite *memory_suite(void)
{
    Suite *suite = suite_create("memory");
    TCase *tests = tcase_create("configuration and start");

    tcase_add_checked_fixture(tests, pool_setup, pool_teardown);
    tcase_add_test(tests, what_is_wrong_gets_a_sentence);
    tcase_add_test(tests, records_outlive_a_graceful_restart);
    tcase_add_test(tests, another_layout_begins_empty);
    tcase_add_test(tests, segments_of_all_sizes);
    tcase_add_test(tests, a_segment_grows_in_place);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, memory_full_case());
    suite_add_tcase(suite, memory_check_case());
    suite_add_tcase(suite, memory_file_case());
    suite_add_tcase(suite, memory_damage_case());
    suite_add_tcase(suite, memory_grow_case());
    return suite;
}
