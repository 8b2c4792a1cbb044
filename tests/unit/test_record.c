/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "suites.h"

#include <stdlib.h>
#include <string.h>

#include "record.h"

#define BYTES(text) { text, sizeof(text) - 1 }

/* Text, bytes with NULs, nothing at all, and a name that is a prefix of another. */
static bsession_field_t sample_list[] = {
    { BYTES("user"),  BYTES("alice") },
    { BYTES("bytes"), BYTES("\0\1\2\0\xff") },
    { BYTES("empty"), { NULL, 0 } },
    { BYTES("use"),   BYTES("") },
    { BYTES("gr\xc3\xbc\xc3\x9f"), BYTES("\r\n") }
};

#define SAMPLE_FIELDS ((int)(sizeof(sample_list) / sizeof(*sample_list)))

static const bsession_record_t sample = {
    .epoch = 0x01020304,
    .meta = BYTES("me\0ta"),
    .fields = { sample_list, SAMPLE_FIELDS }
};

static int bytes_equal(const bsession_bytes_t *a, const bsession_bytes_t *b)
{
    return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

static void assert_same(const bsession_record_t *a, const bsession_record_t *b)
{
    int i;

    ck_assert_uint_eq(a->epoch, b->epoch);
    ck_assert(bytes_equal(&a->meta, &b->meta));
    ck_assert_int_eq(a->fields.count, b->fields.count);
    for (i = 0; i < a->fields.count; i++) {
        ck_assert(bytes_equal(&a->fields.list[i].name, &b->fields.list[i].name));
        ck_assert(bytes_equal(&a->fields.list[i].value, &b->fields.list[i].value));
    }
}

/* The sample in a block of exactly its size, so that a sanitizer sees a step beyond it. */
static unsigned char *written(const bsession_record_t *record, apr_size_t *size)
{
    unsigned char *block;

    *size = bs_record_size(record);
    block = malloc(*size);
    ck_assert_ptr_nonnull(block);
    bs_record_write(record, block);
    return block;
}

/* Reads a copy of exactly `size` bytes. What it accepts it must also write again, byte for byte:
 * two texts for one record would mean that something in them was not looked at. */
static apr_status_t read_copy(const unsigned char *from, apr_size_t size)
{
    bsession_record_t record = { .revision = 77 };
    unsigned char *block = malloc(size ? size : 1), *again;
    apr_size_t again_size;
    apr_status_t rv;

    ck_assert_ptr_nonnull(block);
    memcpy(block, from, size);
    rv = bs_record_read(&record, block, size, pool);
    if (rv == APR_SUCCESS) {
        again = written(&record, &again_size);
        ck_assert_mem_eq(again, block, size);
        ck_assert_uint_eq(again_size, size);
        free(again);
    }
    else {
        ck_assert_int_eq(rv, BSESSION_ECORRUPT);
        ck_assert_ptr_null(record.fields.list);
        ck_assert_ptr_null(record.meta.data);
    }
    free(block);
    return rv;
}

START_TEST(the_layout_is_the_documented_one)
{
    static const unsigned char expected[] =
        "\1" "\4\3\2\1" "\2\0" "\2\0\0\0" "mm"
        "\3\0" "\5\0\0\0" "one\0" "first\0"
        "\1\0" "\0\0\0\0" "2\0";        /* the last NUL is the compiler's */
    bsession_field_t list[] = { { BYTES("one"), BYTES("first") }, { BYTES("2"), BYTES("") } };
    bsession_record_t record = { .epoch = 0x01020304, .meta = BYTES("mm"), .fields = { list, 2 } };
    apr_size_t size;
    unsigned char *block = written(&record, &size);

    ck_assert_uint_eq(size, sizeof(expected));
    ck_assert_mem_eq(block, expected, size);
    free(block);
}
END_TEST

START_TEST(what_is_written_is_read_again)
{
    bsession_record_t record = { .expires = 12345, .revision = 77 };
    apr_size_t size;
    unsigned char *block = written(&sample, &size);

    ck_assert_int_eq(bs_record_read(&record, block, size, pool), APR_SUCCESS);
    assert_same(&record, &sample);
    ck_assert_int_eq(record.expires, 12345);
    ck_assert_uint_eq(record.revision, 77);
    free(block);
}
END_TEST

START_TEST(nothing_is_copied_and_all_are_c_strings)
{
    bsession_record_t record = { 0 };
    apr_size_t size;
    unsigned char *block = written(&sample, &size);
    int i;

    ck_assert_int_eq(bs_record_read(&record, block, size, pool), APR_SUCCESS);
    ck_assert_ptr_eq(record.meta.data, (const char *)block + 11);
    for (i = 0; i < record.fields.count; i++) {
        const bsession_field_t *field = &record.fields.list[i];

        ck_assert(field->name.data > (const char *)block);
        ck_assert(field->value.data + field->value.len < (const char *)block + size);
        ck_assert_int_eq(field->name.data[field->name.len], '\0');
        ck_assert_int_eq(field->value.data[field->value.len], '\0');
    }
    free(block);
}
END_TEST

START_TEST(any_address_will_do_and_nothing_beyond_it_is_touched)
{
    apr_size_t size = bs_record_size(&sample), offset;
    unsigned char block[512];

    ck_assert_uint_lt(size + 9, sizeof(block));
    for (offset = 1; offset < 9; offset++) {
        bsession_record_t record = { 0 };

        memset(block, 0xa5, sizeof(block));
        bs_record_write(&sample, block + offset);
        ck_assert_uint_eq(block[offset - 1], 0xa5);
        ck_assert_uint_eq(block[offset + size], 0xa5);
        ck_assert_int_eq(bs_record_read(&record, block + offset, size, pool), APR_SUCCESS);
        assert_same(&record, &sample);
    }
}
END_TEST

START_TEST(the_empty_record_is_one)
{
    bsession_record_t record = { 0 };
    apr_size_t size;
    unsigned char *block = written(&record, &size);

    ck_assert_uint_eq(size, 11);
    ck_assert_int_eq(read_copy(block, size), APR_SUCCESS);
    free(block);
}
END_TEST

START_TEST(the_largest_lengths_are_kept)
{
    static char name[65535], value[100000];
    bsession_field_t list[256];
    bsession_record_t record = { .meta = { name, sizeof(name) }, .fields = { list, 256 } };
    bsession_record_t again = { 0 };
    apr_size_t size;
    unsigned char *block;
    int i;

    memset(name, 'n', sizeof(name));
    memset(value, 'v', sizeof(value));
    for (i = 0; i < 256; i++) {
        list[i].name.data = name;
        list[i].name.len = i ? (apr_size_t)i : sizeof(name);
        list[i].value.data = value;
        list[i].value.len = i == 128 ? sizeof(value) : (apr_size_t)i;
    }
    block = written(&record, &size);
    ck_assert_int_eq(bs_record_read(&again, block, size, pool), APR_SUCCESS);
    assert_same(&again, &record);
    free(block);
}
END_TEST

START_TEST(cut_anywhere_it_is_refused)
{
    apr_size_t size, cut;
    unsigned char *block = written(&sample, &size);

    for (cut = 0; cut < size; cut++) {
        ck_assert_int_eq(read_copy(block, cut), BSESSION_ECORRUPT);
    }
    ck_assert_int_eq(read_copy(block, size), APR_SUCCESS);
    free(block);
}
END_TEST

START_TEST(bytes_left_over_are_refused)
{
    unsigned char block[512] = { 0 };
    apr_size_t size = bs_record_size(&sample), more;

    bs_record_write(&sample, block);
    for (more = 1; more < 64; more++) {
        ck_assert_int_eq(read_copy(block, size + more), BSESSION_ECORRUPT);
    }
}
END_TEST

START_TEST(any_bit_flipped_is_refused_or_read_as_it_stands)
{
    apr_size_t size, i;
    unsigned char *block = written(&sample, &size);
    int bit, refused = 0, read = 0;

    for (i = 0; i < size; i++) {
        for (bit = 0; bit < 8; bit++) {
            block[i] ^= (unsigned char)(1 << bit);
            *(read_copy(block, size) == APR_SUCCESS ? &read : &refused) += 1;
            block[i] ^= (unsigned char)(1 << bit);
        }
    }
    /* The version, the five numbers that count and the NULs are all guarded: more than half. */
    ck_assert_int_gt(refused, read);
    free(block);
}
END_TEST

START_TEST(any_byte_replaced_is_refused_or_read_as_it_stands)
{
    apr_size_t size, i;
    unsigned char *block = written(&sample, &size);
    int byte, refused_versions = 0;

    for (i = 0; i < size; i++) {
        unsigned char before = block[i];

        for (byte = 0; byte < 256; byte++) {
            block[i] = (unsigned char)byte;
            refused_versions += read_copy(block, size) != APR_SUCCESS && i == 0;
        }
        block[i] = before;
        apr_pool_clear(pool);
    }
    ck_assert_int_eq(refused_versions, 255);
    free(block);
}
END_TEST

/* Overwrites `width` bytes at `offset` of the sample with a number that lies. */
static apr_status_t read_lie(apr_size_t offset, int width, apr_uint64_t number)
{
    apr_size_t size;
    unsigned char *block = written(&sample, &size);
    apr_status_t rv;
    int i;

    for (i = 0; i < width; i++) {
        block[offset + i] = (unsigned char)(number >> 8 * i);
    }
    rv = read_copy(block, size);
    free(block);
    return rv;
}

START_TEST(counts_that_lie_are_refused)
{
    static const apr_uint64_t counts[] = {
        0, 1, SAMPLE_FIELDS - 1, SAMPLE_FIELDS + 1, 1000, 0x7fffffff, 0x80000000, 0xffffffff
    };
    static const apr_uint64_t lengths[] = { 0, 3, 6, 0x80, 0xffff };
    static const apr_uint64_t value_lengths[] = { 0, 4, 6, 0xffff, 0x7fffffff, 0xfffffff0,
                                                  0xffffffff };
    const apr_size_t first = 11 + sample.meta.len;
    apr_size_t i;

    for (i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        ck_assert_int_eq(read_lie(7, 4, counts[i]), BSESSION_ECORRUPT);
    }
    for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        ck_assert_int_eq(read_lie(5, 2, lengths[i]), BSESSION_ECORRUPT);
        ck_assert_int_eq(read_lie(first, 2, lengths[i]), BSESSION_ECORRUPT);
    }
    for (i = 0; i < sizeof(value_lengths) / sizeof(*value_lengths); i++) {
        ck_assert_int_eq(read_lie(first + 2, 4, value_lengths[i]), BSESSION_ECORRUPT);
    }
    ck_assert_int_eq(read_lie(7, 4, SAMPLE_FIELDS), APR_SUCCESS);
}
END_TEST

START_TEST(a_key_is_its_space_and_32_digits)
{
    static const bsession_key_t key = {
        's', { 0x00, 0x01, 0x0f, 0x10, 0x7f, 0x80, 0x9a, 0xbc, 0xde, 0xf0, 0xff, 1, 2, 3, 4, 5 }
    };
    char text[BSESSION_KEY_TEXT_SIZE];

    ck_assert_ptr_eq(bs_key_text(&key, text), text);
    ck_assert_str_eq(text, "s00010f107f809abcdef0ff0102030405");
}
END_TEST

Suite *record_suite(void)
{
    Suite *suite = suite_create("record");
    TCase *tests = tcase_create("record");

    tcase_add_checked_fixture(tests, pool_setup, pool_teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, the_layout_is_the_documented_one);
    tcase_add_test(tests, what_is_written_is_read_again);
    tcase_add_test(tests, nothing_is_copied_and_all_are_c_strings);
    tcase_add_test(tests, any_address_will_do_and_nothing_beyond_it_is_touched);
    tcase_add_test(tests, the_empty_record_is_one);
    tcase_add_test(tests, the_largest_lengths_are_kept);
    tcase_add_test(tests, cut_anywhere_it_is_refused);
    tcase_add_test(tests, bytes_left_over_are_refused);
    tcase_add_test(tests, any_bit_flipped_is_refused_or_read_as_it_stands);
    tcase_add_test(tests, any_byte_replaced_is_refused_or_read_as_it_stands);
    tcase_add_test(tests, counts_that_lie_are_refused);
    tcase_add_test(tests, a_key_is_its_space_and_32_digits);
    suite_add_tcase(suite, tests);
    return suite;
}
