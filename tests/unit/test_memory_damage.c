/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A memory store in a file that is not as it was left. Whatever is wrong, httpd starts or says why
 * not, and no record is shown that was not stored. */

#include "test_memory.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "memory_shard.h"

#define RECORDS 60

static bsession_key_t keys[RECORDS];

/* ------------------------------------------------------------------ a file, again and again */

/* The file as it was left, without its holes. */
static struct {
    off_t          size;
    int            blocks;
    off_t          at[400];
    unsigned char  bytes[400][4096];
} image;

static void image_take(void)
{
    int descriptor = open(file_path, O_RDONLY);
    static const unsigned char zero[4096];
    struct stat status;
    off_t at;

    ck_assert_int_eq(fstat(descriptor, &status), 0);
    image.size = status.st_size;
    image.blocks = 0;
    for (at = 0; at < image.size; at += 4096) {
        ck_assert_int_lt(image.blocks, 400);
        ck_assert_int_eq(pread(descriptor, image.bytes[image.blocks], 4096, at), 4096);
        if (memcmp(image.bytes[image.blocks], zero, 4096) != 0) {
            image.at[image.blocks++] = at;
        }
    }
    close(descriptor);
}

static void image_put(void)
{
    int descriptor = open(file_path, O_RDWR | O_CREAT | O_TRUNC, 0600), i;

    ck_assert_int_eq(ftruncate(descriptor, image.size), 0);
    for (i = 0; i < image.blocks; i++) {
        ck_assert_int_eq(pwrite(descriptor, image.bytes[i], 4096, image.at[i]), 4096);
    }
    close(descriptor);
}

static void image_begin(int in_order)
{
    bsession_backend_t *store = file_started("1M", "");
    int i;

    for (i = 0; i < RECORDS; i++) {
        keys[i] = store_key(i == 1 ? 'u' : 's');
        store_add(store, &keys[i], i == 2 ? 40000 : (apr_size_t)i * 97 % 2000);
    }
    if (in_order) {
        file_stop(store);
    }
    else {
        file_kill(store);
    }
    image_take();
}

/* Starts; what is there is as it was stored (store_load looks at each byte), or not there.
 * @return how many records are there, or -1 where it does not start, with a sentence */
static int look(void)
{
    bsession_backend_t *store = file_start("1M");
    int i, there = 0;

    if (!store) {
        ck_assert(store_last.why[0]);
        return -1;
    }
    for (i = 0; i < RECORDS; i++) {
        apr_status_t status = store_load(store, &keys[i]);

        ck_assert(status == APR_SUCCESS || status == APR_NOTFOUND);
        there += status == APR_SUCCESS;
    }
    store_is_sound(store);
    file_kill(store);
    return there;
}

static void flip(off_t at, int by)
{
    unsigned char byte;
    int i;

    for (i = 0; i < image.blocks && image.at[i] != at / 4096 * 4096; i++) {
        continue;
    }
    byte = (unsigned char)((i < image.blocks ? image.bytes[i][at % 4096] : 0) ^ by);
    file_write((apr_size_t)at, &byte, 1);
}

/* ------------------------------------------------------------------ the header */

START_TEST(each_byte_of_the_header)
{
    static const int by[] = { 1, 0x80, 0xff };
    apr_size_t at;
    int i;

    image_begin(_i);
    ck_assert_int_eq(look(), RECORDS);
    for (at = 0; at < sizeof(memory_header_t); at++) {
        /* the numbers of shards that there are not are all alike */
        for (i = 0; i < (at < offsetof(memory_header_t, seals) + 16 ? 3 : at % 16 == 0); i++) {
            int there;

            image_put();
            flip((off_t)at, by[i]);
            there = look();
            if (_i && at < offsetof(memory_header_t, clean)) {
                ck_assert_msg(there == (at < sizeof(MEMORY_MAGIC) ? -1 : 0),
                              "byte %d: %d records", (int)at, there);
            }
        }
    }
}
END_TEST

/* Of each kind of number those that lead furthest, in a file that was not left in order. */
START_TEST(numbers_that_lead_out_of_the_file)
{
    static const struct {
        apr_size_t at, bytes;
    } fields[] = {
        { offsetof(memory_header_t, shards), 4 }, { offsetof(memory_header_t, limit), 8 },
        { offsetof(memory_header_t, reserve), 8 }, { offsetof(memory_header_t, shard_reserve), 8 },
        { offsetof(memory_header_t, stride), 8 }, { offsetof(memory_header_t, page_size), 4 }
    };
    static const uint64_t numbers[] = {
        0, 1, 2, 3, 63, 64, 65, 4096, 16384, 1 << 20, 1 << 21, (1 << 20) + 1, (1 << 24) - 1,
        1 << 24, 1 << 25, INT32_MAX, UINT32_MAX, (uint64_t)1 << 36, (uint64_t)1 << 40, INT64_MAX,
        UINT64_MAX
    };
    apr_size_t i, j;

    image_begin(0);
    for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        for (j = 0; j < sizeof(numbers) / sizeof(*numbers); j++) {
            image_put();
            file_write(fields[i].at, &numbers[j], fields[i].bytes);
            look();
        }
    }
}
END_TEST

START_TEST(a_length_that_is_not_its_own)
{
    static const off_t lengths[] = { 1, 15, 16, 100, 4095, 4096, 8192, 100000, 1 << 20 };
    apr_size_t i;

    image_begin(1);
    for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        image_put();
        ck_assert_int_eq(truncate(file_path, lengths[i]), 0);
        ck_assert_int_eq(look(), lengths[i] < (off_t)sizeof(MEMORY_MAGIC) ? -1 : 0);
    }
    image_put();
    ck_assert_int_eq(truncate(file_path, image.size + 1), 0);
    file_kill(file_started("1M", "it was cut off, or added to"));
    image_put();
    ck_assert_int_eq(truncate(file_path, image.size - 1), 0);
    file_kill(file_started("1M", "it was cut off, or added to"));
    ck_assert(file_has(".aside"));
}
END_TEST

START_TEST(another_layout_is_set_aside)
{
    uint32_t older = MEMORY_LAYOUT - 1;

    image_begin(1);
    file_write(offsetof(memory_header_t, layout), &older, sizeof(older));
    file_kill(file_started("1M", "laid out by another version"));
    ck_assert(file_has(".aside"));
}
END_TEST

/* ------------------------------------------------------------------ the shards */

/* Records fill far less than the file: bytes of those blocks that are not zero. All is there,
 * where it was none that counts, or nothing. */
START_TEST(bytes_of_a_file_that_was_left_in_order)
{
    apr_size_t at;

    image_begin(1);
    ck_assert_int_eq(look(), RECORDS);
    for (at = 4096; at < (apr_size_t)image.blocks * 4096; at += 61) {
        off_t place = image.at[at / 4096] + (off_t)(at % 4096);
        int there;

        image_put();
        flip(place, 1 << at % 8);
        there = look();
        ck_assert_msg(there == 0 || there == RECORDS, "byte %ld: %d records", (long)place, there);
    }
}
END_TEST

/* A value that changed in such a file cannot be told, but is not what is looked at here: what
 * leads out of its slot, its page, its shard. */
START_TEST(bytes_of_a_file_that_was_not)
{
    bsession_backend_t *store;
    apr_size_t at;

    image_begin(0);
    for (at = 4096; at < (apr_size_t)image.blocks * 4096; at += 61) {
        image_put();
        flip(image.at[at / 4096] + (off_t)(at % 4096), 0xff);
        if ((store = file_start("1M")) != NULL) {
            store_is_sound(store);
            file_kill(store);
        }
    }
}
END_TEST

/* A whole block that the disk gives back as zeros, or as something else's. */
START_TEST(blocks_that_are_lost)
{
    static const unsigned char zero[4096];
    int i;

    image_begin(1);
    for (i = 0; i < image.blocks; i++) {
        int there;

        image_put();
        file_write((apr_size_t)image.at[i], zero, sizeof(zero));
        there = look();
        ck_assert_msg(there == (i == 0 ? -1 : 0) || there == RECORDS, "%d records", there);
        image_put();
        file_write((apr_size_t)image.at[i], image.bytes[image.blocks - 1 - i], 4096);
        look();
    }
}
END_TEST

START_TEST(a_record_that_was_changed_is_not_shown)
{
    static const char *const expected = ".aside behind its name: records that are not";
    bsession_backend_t *store = file_started("1M", "");
    bsession_key_t key = store_key('s');
    uint64_t state = 1;
    int i;

    ck_assert_int_eq(store_save(store, BSESSION_CREATE, &key, UINT64_C(0x1122334455667788), 100, 0),
                     APR_SUCCESS);
    file_stop(store);
    image_take();
    for (i = 0; i < image.blocks; i++) {
        unsigned char *found = memmem(image.bytes[i], 4096, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);

        if (found) {
            file_write((apr_size_t)(image.at[i] + (found - image.bytes[i])), &state, sizeof(state));
            break;
        }
    }
    ck_assert_int_lt(i, image.blocks);
    store = file_started("1M", expected);
    ck_assert_int_eq(store_load(store, &key), APR_NOTFOUND);
    file_stop(store);
}
END_TEST

TCase *memory_damage_case(void)
{
    TCase *tests = tcase_create("a file that was damaged");

    tcase_add_checked_fixture(tests, file_setup, file_teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, each_byte_of_the_header, 0, 2);
    tcase_add_test(tests, numbers_that_lead_out_of_the_file);
    tcase_add_test(tests, a_length_that_is_not_its_own);
    tcase_add_test(tests, another_layout_is_set_aside);
    tcase_add_test(tests, bytes_of_a_file_that_was_left_in_order);
    tcase_add_test(tests, bytes_of_a_file_that_was_not);
    tcase_add_test(tests, blocks_that_are_lost);
    tcase_add_test(tests, a_record_that_was_changed_is_not_shown);
    return tests;
}
