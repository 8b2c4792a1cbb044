/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "contract.h"

#include <apr_time.h>

#define STATS_RECORDS 20
#define STATS_VALUE   50000

/* Under this key is a record whose life is over. */
static bsession_key_t expired(apr_uint64_t revision)
{
    bsession_record_t *record = contract_record("a", "1", NULL);

    record->expires = apr_time_now() - apr_time_from_sec(10);
    return contract_created(record, revision);
}

START_TEST(over_is_absent)
{
    bsession_record_t *record = contract_record("a", "2", NULL);
    bsession_change_t change = { BSESSION_SET, contract_bytes("a"), contract_bytes("2"), 0 };
    bsession_key_t key = expired(100);
    bsession_saved_t saved;

    contract_absent(&key);
    contract_is(contract_save(BSESSION_REPLACE, &key, 100, record), APR_NOTFOUND);
    contract_is(contract_merge(&key, 100, record, &change, 1, &saved), APR_NOTFOUND);
    contract_is(contract_touch(&key, apr_time_now() + CONTRACT_MINUTE), APR_NOTFOUND);
    contract_is(contract_touch(&key, 0), APR_NOTFOUND);
    contract_is(contract_remove(&key, 100), APR_NOTFOUND);
    contract_is(contract_remove(&key, 0), APR_NOTFOUND);
    contract_absent(&key);
}
END_TEST

START_TEST(a_create_over_what_is_over)
{
    bsession_record_t *record = contract_record("b", "2", NULL);
    bsession_key_t key = expired(1000);

    contract_is(contract_save(BSESSION_CREATE, &key, 5, record), APR_SUCCESS);
    contract_holds(&key, record, 5);
    key = expired(1000);
    contract_is(contract_save(BSESSION_PUT, &key, 5, record), APR_SUCCESS);
    contract_holds(&key, record, 5);
}
END_TEST

/* Loads until it is gone; the condition is the answer, and the clock says which one is right. A
 * store may keep time to the millisecond. One with a clock of its own is told how long a life is,
 * not until when, and counts from when it hears of that: before the create returns. Over TLS it has
 * to verify our certificate first, which a client does not wait for; so another call connects. */
START_TEST(a_life_ends_by_itself)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    bsession_key_t key = contract_key('s');
    apr_time_t before, began, late;
    bsession_record_t loaded;
    apr_status_t status;

    contract_absent(&key);
    before = apr_time_now();
    record->expires = before + apr_time_from_msec(200);
    contract_is(contract_save(BSESSION_CREATE, &key, 100, record), APR_SUCCESS);
    late = record->expires + (apr_time_now() - before) + apr_time_from_msec(2);
    do {
        began = apr_time_now();
        status = contract_load(&key, &loaded);
        ck_assert(status == APR_SUCCESS || status == APR_NOTFOUND);
        if (began > late) {
            contract_is(status, APR_NOTFOUND);
        }
    } while (status == APR_SUCCESS);
    ck_assert_int_ge(apr_time_now(), record->expires - apr_time_from_msec(2));
    contract_absent(&key);
}
END_TEST

START_TEST(touch_prolongs_and_never_shortens)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    bsession_key_t key = contract_created(record, 100);
    apr_time_t later = record->expires + 10 * CONTRACT_MINUTE;

    contract_is(contract_touch(&key, later), APR_SUCCESS);
    contract_ends(&key, later);
    contract_is(contract_touch(&key, record->expires), APR_SUCCESS);
    contract_ends(&key, later);
    contract_is(contract_touch(&key, apr_time_now() - CONTRACT_MINUTE), APR_SUCCESS);
    contract_ends(&key, later);
    contract_is(contract_touch(&key, 0), APR_SUCCESS);
    contract_ends(&key, 0);
    contract_is(contract_touch(&key, later), APR_SUCCESS);
    contract_ends(&key, 0);
    contract_holds(&key, record, 100);
}
END_TEST

START_TEST(never_is_a_life)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    bsession_key_t key;

    record->expires = 0;
    key = contract_created(record, 100);
    contract_ends(&key, 0);
    record->expires = BSESSION_KEEP;
    contract_is(contract_save(BSESSION_REPLACE, &key, 100, record), APR_SUCCESS);
    contract_ends(&key, 0);
}
END_TEST

START_TEST(a_save_may_keep_the_life)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    bsession_record_t *kept = contract_record("a", "2", NULL);
    bsession_key_t key = contract_created(record, 100);
    apr_time_t later = record->expires + 10 * CONTRACT_MINUTE;

    kept->expires = BSESSION_KEEP;
    contract_is(contract_save(BSESSION_REPLACE, &key, 100, kept), APR_SUCCESS);
    contract_ends(&key, record->expires);
    contract_is(contract_touch(&key, later), APR_SUCCESS);
    contract_is(contract_save(BSESSION_REPLACE, &key, 101, kept), APR_SUCCESS);
    contract_ends(&key, later);
    contract_holds(&key, kept, 102);
}
END_TEST

START_TEST(a_save_prolongs_a_life_and_never_shortens_it)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    bsession_change_t change = { BSESSION_SET, contract_bytes("a"), contract_bytes("1"), 0 };
    bsession_key_t key = contract_created(record, 100);
    bsession_saved_t saved;
    apr_time_t end;

    record->expires += 10 * CONTRACT_MINUTE;
    contract_is(contract_save(BSESSION_REPLACE, &key, 100, record), APR_SUCCESS);
    contract_ends(&key, record->expires);
    record->expires += 10 * CONTRACT_MINUTE;
    contract_is(contract_merge(&key, 101, record, &change, 1, &saved), APR_SUCCESS);
    contract_ends(&key, record->expires);
    end = record->expires;
    record->expires -= 20 * CONTRACT_MINUTE;
    contract_is(contract_save(BSESSION_REPLACE, &key, 102, record), APR_SUCCESS);
    contract_ends(&key, end);
    contract_is(contract_merge(&key, 103, record, &change, 1, &saved), APR_SUCCESS);
    contract_ends(&key, end);
    contract_is(contract_touch(&key, 0), APR_SUCCESS);
    contract_is(contract_save(BSESSION_REPLACE, &key, 104, record), APR_SUCCESS);
    contract_ends(&key, 0);
}
END_TEST

START_TEST(a_life_may_be_very_long)
{
    static const apr_time_t ends[] = {
        APR_INT64_C(32503680000) * APR_USEC_PER_SEC,        /* the year 3000 */
        APR_INT64_C(253402300799) * APR_USEC_PER_SEC        /* 9999 */
    };
    apr_size_t i;

    for (i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        bsession_record_t *record = contract_record("a", "1", NULL);
        bsession_key_t key;

        record->expires = ends[i];
        key = contract_created(record, 100);
        contract_ends(&key, ends[i]);
        contract_is(contract_touch(&key, apr_time_now() + CONTRACT_MINUTE), APR_SUCCESS);
        contract_ends(&key, ends[i]);
    }
}
END_TEST

/* However far a clock can count: it is not over, and not refused. */
START_TEST(a_life_may_be_the_longest)
{
    bsession_record_t *record = contract_record("a", "1", NULL), loaded;
    bsession_key_t key;

    record->expires = APR_INT64_MAX;
    key = contract_created(record, 100);
    contract_holds(&key, record, 100);
    contract_is(contract_touch(&key, APR_INT64_MAX), APR_SUCCESS);
    contract_holds(&key, record, 100);
    contract_is(contract_load(&key, &loaded), APR_SUCCESS);
    ck_assert(loaded.expires == 0 || loaded.expires > APR_INT64_MAX / 2);
}
END_TEST

START_TEST(a_sweep_spares_what_lives)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    bsession_key_t live = contract_created(record, 100), over = expired(100);
    int i;

    for (i = 0; provider->sweep && i < 3; i++) {
        apr_status_t status = provider->sweep(backend, apr_time_now(), contract_call(pool));

        ck_assert(status == APR_SUCCESS || status == APR_INCOMPLETE);
    }
    contract_holds(&live, record, 100);
    contract_absent(&over);
}
END_TEST

/* A server counts all it takes: connections, which may just be going, and tables that it grows. So
 * these are many, and large. */
START_TEST(stats_can_be_asked)
{
    bsession_record_t *record = contract_record(NULL);
    char *value = apr_pcalloc(pool, STATS_VALUE);
    bsession_stats_t before, after;
    int i;

    contract_field(record, "value", 5, value, STATS_VALUE);
    provider->stats(backend, &before, contract_call(pool));
    for (i = 0; i < STATS_RECORDS; i++) {
        contract_created(record, 100);
    }
    provider->stats(backend, &after, contract_call(pool));
    if (before.records != BSESSION_UNKNOWN) {
        ck_assert_uint_eq(after.records, before.records + STATS_RECORDS);
    }
    if (before.bytes != BSESSION_UNKNOWN) {
        ck_assert_uint_gt(after.bytes, before.bytes + STATS_RECORDS * STATS_VALUE / 2);
    }
}
END_TEST

TCase *contract_life_case(void)
{
    TCase *tests = contract_case("lives");

    tcase_add_test(tests, over_is_absent);
    tcase_add_test(tests, a_create_over_what_is_over);
    tcase_add_test(tests, a_life_ends_by_itself);
    tcase_add_test(tests, touch_prolongs_and_never_shortens);
    tcase_add_test(tests, never_is_a_life);
    tcase_add_test(tests, a_save_may_keep_the_life);
    tcase_add_test(tests, a_save_prolongs_a_life_and_never_shortens_it);
    tcase_add_test(tests, a_life_may_be_very_long);
    tcase_add_test(tests, a_life_may_be_the_longest);
    tcase_add_test(tests, a_sweep_spares_what_lives);
    tcase_add_test(tests, stats_can_be_asked);
    return tests;
}
