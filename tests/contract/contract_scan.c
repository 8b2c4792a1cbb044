/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "contract.h"

#include <string.h>

#include <apr_strings.h>

#define SCAN_KEYS 300

/* What a scan has met of the keys that were made for it; others may be there. */
typedef struct {
    bsession_key_t keys[SCAN_KEYS];
    int            seen[SCAN_KEYS];
    char           space;
    int            stop_after;          /* end the scan after so many records; 0 = never */
    int            shown;
} scan_t;

static int scan_index(const scan_t *scan, const bsession_key_t *key)
{
    int i;

    for (i = 0; i < SCAN_KEYS; i++) {
        if (memcmp(scan->keys[i].bytes, key->bytes, sizeof(key->bytes)) == 0) {
            return i;
        }
    }
    return -1;
}

static apr_status_t scan_visit(void *baton, const bsession_key_t *key,
                               const bsession_record_t *record)
{
    scan_t *scan = baton;
    int i = scan_index(scan, key);

    ck_assert_int_eq(key->space, scan->space);
    if (i >= 0) {
        const bsession_bytes_t *number = contract_value(record, "number");

        ck_assert_ptr_nonnull(number);
        ck_assert_str_eq(number->data, apr_itoa(pool, i));
        ck_assert_uint_eq(record->revision, 1000 + (apr_uint64_t)i);
        ck_assert_int_gt(record->expires, apr_time_now() - apr_time_from_sec(1));
        scan->seen[i]++;
    }
    return ++scan->shown == scan->stop_after ? APR_EOF : APR_SUCCESS;
}

static scan_t *scan_new(char space)
{
    scan_t *scan = apr_pcalloc(pool, sizeof(*scan));
    int i;

    scan->space = space;
    for (i = 0; i < SCAN_KEYS; i++) {
        scan->keys[i] = contract_key(space);
        contract_is(contract_save(BSESSION_CREATE, &scan->keys[i], 1000 + (apr_uint64_t)i,
                                  contract_record("number", apr_itoa(pool, i), NULL)),
                    APR_SUCCESS);
    }
    return scan;
}

/* One slice; the cursor is copied, as if it had come from another process. */
static apr_status_t scan_slice(scan_t *scan, bsession_cursor_t *cursor)
{
    bsession_cursor_t copy;
    apr_status_t status;

    memcpy(&copy, cursor, sizeof(copy));
    status = provider->scan(backend, scan->space, &copy, scan_visit, scan, contract_call(pool));
    memset(cursor, 0xa5, sizeof(*cursor));
    memcpy(cursor, &copy, sizeof(copy));
    return status;
}

/* Whether this store scans at all; if not, it must always say so. */
static int scan_is_there(void)
{
    scan_t none = { .space = 's' };
    bsession_cursor_t cursor = { { 0 }, 0 };

    return scan_slice(&none, &cursor) != APR_ENOTIMPL;
}

static void scan_all(scan_t *scan)
{
    bsession_cursor_t cursor = { { 0 }, 0 };
    int slices = 0;

    while (!cursor.done) {
        contract_is(scan_slice(scan, &cursor), APR_SUCCESS);
        ck_assert_int_lt(++slices, 100000);
    }
}

START_TEST(a_scan_shows_all_of_its_space)
{
    scan_t *sessions = scan_new('s'), *users = scan_new('u');
    int i;

    if (!scan_is_there()) {
        contract_holds(&users->keys[0], contract_record("number", "0", NULL), 1000);
        return;
    }
    scan_all(sessions);
    scan_all(users);
    for (i = 0; i < SCAN_KEYS; i++) {
        ck_assert_int_ge(sessions->seen[i], 1);
        ck_assert_int_ge(users->seen[i], 1);
    }
}
END_TEST

START_TEST(a_scan_shows_no_dead)
{
    bsession_record_t *over = contract_record("number", "7", NULL);
    scan_t *scan;

    if (!scan_is_there()) {
        return;
    }
    scan = scan_new('s');
    over->expires = apr_time_now() - apr_time_from_sec(1);
    contract_is(contract_save(BSESSION_PUT, &scan->keys[7], 1007, over), APR_SUCCESS);
    contract_is(contract_remove(&scan->keys[8], 0), APR_SUCCESS);
    scan_all(scan);
    ck_assert_int_eq(scan->seen[7], 0);
    ck_assert_int_eq(scan->seen[8], 0);
    ck_assert_int_ge(scan->seen[9], 1);
}
END_TEST

START_TEST(a_visitor_may_end_a_scan)
{
    bsession_cursor_t cursor = { { 0 }, 0 };
    scan_t *scan;
    int slices = 0;

    if (!scan_is_there()) {
        return;
    }
    scan = scan_new('c');
    scan->stop_after = 3;
    while (scan->shown < 3) {
        contract_is(scan_slice(scan, &cursor), scan->shown < 3 ? APR_SUCCESS : APR_EOF);
        ck_assert_int_lt(++slices, 100000);
    }
    ck_assert_int_eq(scan->shown, 3);
}
END_TEST

/* Half of them go and others come while it is under way; who stays is shown. */
START_TEST(a_scan_misses_nobody_who_stays)
{
    bsession_cursor_t cursor = { { 0 }, 0 };
    scan_t *scan;
    int i = 0;

    if (!scan_is_there()) {
        return;
    }
    scan = scan_new('c');
    while (!cursor.done) {
        bsession_key_t other = contract_key('c');

        contract_is(scan_slice(scan, &cursor), APR_SUCCESS);
        if (i < SCAN_KEYS) {
            contract_is(contract_remove(&scan->keys[i], 0), APR_SUCCESS);
            contract_is(contract_save(BSESSION_CREATE, &other, 1, contract_record(NULL)),
                        APR_SUCCESS);
            i += 2;
        }
    }
    for (i = 1; i < SCAN_KEYS; i += 2) {
        ck_assert_int_ge(scan->seen[i], 1);
    }
}
END_TEST

/* A visitor may use the store: no lock is held. */
static apr_status_t scan_remove(void *baton, const bsession_key_t *key,
                                const bsession_record_t *record)
{
    scan_t *scan = baton;
    int i = scan_index(scan, key);

    if (i >= 0 && !scan->seen[i]) {
        scan->seen[i] = 1;
        contract_is(contract_remove(key, record->revision), APR_SUCCESS);
    }
    return APR_SUCCESS;
}

START_TEST(a_visitor_may_use_the_store)
{
    bsession_cursor_t cursor = { { 0 }, 0 };
    scan_t *scan;
    int i;

    if (!scan_is_there()) {
        return;
    }
    scan = scan_new('s');
    while (!cursor.done) {
        contract_is(provider->scan(backend, 's', &cursor, scan_remove, scan, contract_call(pool)),
                    APR_SUCCESS);
    }
    for (i = 0; i < SCAN_KEYS; i++) {
        contract_absent(&scan->keys[i]);
    }
}
END_TEST

TCase *contract_scan_case(void)
{
    TCase *tests = contract_case("scan");

    tcase_add_test(tests, a_scan_shows_all_of_its_space);
    tcase_add_test(tests, a_scan_shows_no_dead);
    tcase_add_test(tests, a_visitor_may_end_a_scan);
    tcase_add_test(tests, a_scan_misses_nobody_who_stays);
    tcase_add_test(tests, a_visitor_may_use_the_store);
    return tests;
}
