/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "contract.h"

START_TEST(nothing_is_there_before_a_create)
{
    bsession_key_t key = contract_key('s');
    bsession_record_t *record = contract_record("a", "1", NULL);
    bsession_saved_t saved;
    bsession_change_t change = { BSESSION_SET, contract_bytes("a"), contract_bytes("1"), 0 };

    contract_absent(&key);
    contract_is(contract_save(BSESSION_REPLACE, &key, 5, record), APR_NOTFOUND);
    contract_is(contract_merge(&key, 5, record, &change, 1, &saved), APR_NOTFOUND);
    contract_is(contract_touch(&key, apr_time_now() + CONTRACT_MINUTE), APR_NOTFOUND);
    contract_is(contract_touch(&key, 0), APR_NOTFOUND);
    contract_is(contract_remove(&key, 0), APR_NOTFOUND);
    contract_is(contract_remove(&key, 5), APR_NOTFOUND);
    contract_absent(&key);
}
END_TEST

START_TEST(what_was_created_is_loaded)
{
    bsession_record_t *record = contract_record("user", "ada", "empty", "", NULL);
    apr_uint64_t revision = contract_revision();
    bsession_key_t key = contract_created(record, revision);

    contract_holds(&key, record, revision);
    contract_ends(&key, record->expires);
    contract_holds(&key, record, revision);
}
END_TEST

START_TEST(a_record_may_be_bare)
{
    bsession_record_t *record = contract_record(NULL);
    bsession_key_t key;

    record->meta.len = 0;
    record->epoch = 0;
    key = contract_created(record, 1);
    contract_holds(&key, record, 1);
}
END_TEST

START_TEST(a_second_create_changes_nothing)
{
    bsession_record_t *first = contract_record("who", "first", NULL);
    bsession_record_t *second = contract_record("who", "second", NULL);
    apr_uint64_t revision = contract_revision();
    bsession_key_t key = contract_created(first, revision);

    contract_is(contract_save(BSESSION_CREATE, &key, revision, second), APR_EEXIST);
    contract_is(contract_save(BSESSION_CREATE, &key, contract_revision(), second), APR_EEXIST);
    contract_holds(&key, first, revision);
}
END_TEST

START_TEST(replace_needs_the_base)
{
    bsession_record_t *first = contract_record("a", "1", "b", "2", NULL);
    bsession_record_t *second = contract_record("c", "3", NULL);
    apr_uint64_t revision = contract_revision();
    bsession_key_t key = contract_created(first, revision);

    contract_is(contract_save(BSESSION_REPLACE, &key, revision + 1, second), APR_EMISMATCH);
    contract_is(contract_save(BSESSION_REPLACE, &key, revision - 1, second), APR_EMISMATCH);
    contract_holds(&key, first, revision);
    contract_is(contract_save(BSESSION_REPLACE, &key, revision, second), APR_SUCCESS);
    contract_holds(&key, second, revision + 1);
    contract_is(contract_save(BSESSION_REPLACE, &key, revision, first), APR_EMISMATCH);
    contract_holds(&key, second, revision + 1);
}
END_TEST

START_TEST(replace_brings_epoch_and_meta)
{
    bsession_record_t *first = contract_record("a", "1", NULL);
    bsession_record_t *second = contract_record("a", "1", NULL);
    bsession_key_t key = contract_created(first, 10);

    second->epoch = 4000000000u;
    second->meta.data = "\0longer\xff meta";
    second->meta.len = 13;
    contract_is(contract_save(BSESSION_REPLACE, &key, 10, second), APR_SUCCESS);
    contract_holds(&key, second, 11);
}
END_TEST

START_TEST(the_records_own_revision_is_not_looked_at)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    bsession_key_t key;

    record->revision = 999;
    key = contract_created(record, 10);
    contract_holds(&key, record, 10);
    contract_is(contract_save(BSESSION_REPLACE, &key, 10, record), APR_SUCCESS);
    contract_holds(&key, record, 11);
}
END_TEST

START_TEST(put_stores_whatever_is_there)
{
    bsession_record_t *first = contract_record("a", "1", NULL);
    bsession_record_t *second = contract_record("b", "2", NULL);
    bsession_key_t key = contract_key('c');

    contract_is(contract_save(BSESSION_PUT, &key, 1000, first), APR_SUCCESS);
    contract_holds(&key, first, 1000);
    contract_is(contract_save(BSESSION_PUT, &key, 3, second), APR_SUCCESS);
    contract_holds(&key, second, 3);
    contract_is(contract_save(BSESSION_PUT, &key, 3, first), APR_SUCCESS);
    contract_holds(&key, first, 3);
    second->expires = 0;
    contract_is(contract_save(BSESSION_PUT, &key, 4, second), APR_SUCCESS);
    contract_ends(&key, 0);
}
END_TEST

START_TEST(remove_of_any_revision)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    bsession_key_t key = contract_created(record, contract_revision());

    contract_is(contract_remove(&key, 0), APR_SUCCESS);
    contract_absent(&key);
    contract_is(contract_remove(&key, 0), APR_NOTFOUND);
}
END_TEST

START_TEST(remove_of_one_revision)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    apr_uint64_t revision = contract_revision();
    bsession_key_t key = contract_created(record, revision);

    contract_is(contract_remove(&key, revision + 1), APR_EMISMATCH);
    contract_holds(&key, record, revision);
    contract_is(contract_remove(&key, revision), APR_SUCCESS);
    contract_absent(&key);
}
END_TEST

/* The holder of a lock removes it at its revision: never the lock of the next holder. */
START_TEST(a_late_remove_spares_the_next_record)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    bsession_key_t key = contract_created(record, 100);

    contract_is(contract_remove(&key, 0), APR_SUCCESS);
    contract_is(contract_save(BSESSION_CREATE, &key, 200, record), APR_SUCCESS);
    contract_is(contract_remove(&key, 100), APR_EMISMATCH);
    contract_holds(&key, record, 200);
}
END_TEST

START_TEST(what_was_removed_stays_away)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    bsession_change_t change = { BSESSION_SET, contract_bytes("a"), contract_bytes("1"), 0 };
    bsession_key_t key = contract_created(record, 100);
    bsession_saved_t saved;

    contract_is(contract_remove(&key, 0), APR_SUCCESS);
    contract_is(contract_merge(&key, 100, record, &change, 1, &saved), APR_NOTFOUND);
    contract_is(contract_save(BSESSION_REPLACE, &key, 100, record), APR_NOTFOUND);
    contract_is(contract_touch(&key, 0), APR_NOTFOUND);
    contract_absent(&key);
}
END_TEST

/* Bytes are counted, and no characters. */
#define FOUR_BYTES "m\303\266r"
#define SIX_BYTES  "12\37756\342"

static void limited_save(bsession_save_mode_t mode, const bsession_key_t *key,
                         const bsession_record_t *record, apr_size_t max_bytes,
                         apr_size_t max_fields, apr_status_t expected)
{
    bsession_change_t changes[] = {
        { BSESSION_SET, contract_bytes("name"), contract_bytes("123456"), 0 },
        { BSESSION_SET, contract_bytes(FOUR_BYTES), contract_bytes(SIX_BYTES), 0 }
    };
    bsession_save_t save = { .mode = mode, .base = 50, .record = record, .max_bytes = max_bytes,
                             .max_fields = max_fields };
    bsession_saved_t saved = { 0, NULL };

    if (mode == BSESSION_MERGE) {
        save.changes = changes;
        save.nchanges = 2;
    }
    contract_is(provider->save(backend, key, &save, &saved, contract_call(pool)), expected);
}

START_TEST(over_a_limit_nothing_changes)
{
    static const bsession_save_mode_t modes[] = {
        BSESSION_MERGE, BSESSION_REPLACE, BSESSION_PUT
    };
    bsession_record_t *small = contract_record("name", "1", NULL);
    bsession_record_t *large = contract_record("name", "123456", FOUR_BYTES, SIX_BYTES, NULL);
    bsession_key_t absent = contract_key('s');
    apr_size_t i;

    for (i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        bsession_key_t key = contract_created(small, 50);

        limited_save(modes[i], &key, large, 19, 0, APR_ENOSPC);
        limited_save(modes[i], &key, large, 0, 1, APR_ENOSPC);
        contract_holds(&key, small, 50);
        limited_save(modes[i], &key, large, 20, 2, APR_SUCCESS);
        contract_holds(&key, large, modes[i] == BSESSION_PUT ? 50 : 51);
    }
    limited_save(BSESSION_CREATE, &absent, large, 19, 0, APR_ENOSPC);
    limited_save(BSESSION_CREATE, &absent, large, 0, 1, APR_ENOSPC);
    contract_absent(&absent);
    limited_save(BSESSION_CREATE, &absent, large, 20, 2, APR_SUCCESS);
    contract_holds(&absent, large, 50);
}
END_TEST

START_TEST(spaces_are_apart)
{
    static const char spaces[] = "sluc";
    bsession_record_t *records[4];
    bsession_key_t key = contract_key('s');
    int i;

    for (i = 0; i < 4; i++) {
        key.space = spaces[i];
        records[i] = contract_record(i % 2 ? "odd" : "even", i < 2 ? "low" : "high", NULL);
        contract_absent(&key);
        contract_is(contract_save(BSESSION_CREATE, &key, 10 + (apr_uint64_t)i, records[i]),
                    APR_SUCCESS);
    }
    key.space = 's';
    contract_is(contract_remove(&key, 0), APR_SUCCESS);
    contract_absent(&key);
    for (i = 1; i < 4; i++) {
        key.space = spaces[i];
        contract_holds(&key, records[i], 10 + (apr_uint64_t)i);
    }
}
END_TEST

/* Whatever it does, it does not say that the record is absent or the save refused. */
START_TEST(a_deadline_in_the_past_is_no_answer)
{
    bsession_record_t *record = contract_record("a", "1", NULL);
    bsession_record_t *second = contract_record("a", "2", NULL);
    bsession_key_t key = contract_created(record, 10);
    bsession_save_t save = { .mode = BSESSION_REPLACE, .base = 10, .record = second };
    bsession_saved_t saved = { 0, NULL };
    bsession_record_t loaded;
    bsession_call_t *late = contract_call(pool);
    apr_status_t status;

    late->deadline = apr_time_now() - apr_time_from_sec(1);
    status = provider->load(backend, &key, &loaded, late);
    ck_assert_msg(status == APR_SUCCESS || !contract_is_answer(status), "load: %s",
                  contract_name(status));
    ck_assert_msg(status == APR_SUCCESS || late->why[0], "an outage without a reason");
    late = contract_call(pool);
    late->deadline = apr_time_now() - apr_time_from_sec(1);
    status = provider->save(backend, &key, &save, &saved, late);
    ck_assert_msg(status == APR_SUCCESS || !contract_is_answer(status), "save: %s",
                  contract_name(status));
    contract_is(contract_load(&key, &loaded), APR_SUCCESS);
    ck_assert(status != APR_SUCCESS || loaded.revision == 11);
}
END_TEST

START_TEST(nodes_are_within_bounds)
{
    int i;

    for (i = 0; provider->node_of && i < 1000; i++) {
        bsession_key_t key = contract_key('s');
        unsigned node = provider->node_of(backend, &key);

        ck_assert_uint_lt(node, BSESSION_NODES);
        ck_assert_uint_eq(provider->node_of(backend, &key), node);
    }
    ck_assert_int_eq(provider->abi, BSESSION_PROVIDER_ABI);
}
END_TEST

TCase *contract_save_case(void)
{
    TCase *tests = contract_case("create, replace, put, remove");

    tcase_add_test(tests, nothing_is_there_before_a_create);
    tcase_add_test(tests, what_was_created_is_loaded);
    tcase_add_test(tests, a_record_may_be_bare);
    tcase_add_test(tests, a_second_create_changes_nothing);
    tcase_add_test(tests, replace_needs_the_base);
    tcase_add_test(tests, replace_brings_epoch_and_meta);
    tcase_add_test(tests, the_records_own_revision_is_not_looked_at);
    tcase_add_test(tests, put_stores_whatever_is_there);
    tcase_add_test(tests, remove_of_any_revision);
    tcase_add_test(tests, remove_of_one_revision);
    tcase_add_test(tests, a_late_remove_spares_the_next_record);
    tcase_add_test(tests, what_was_removed_stays_away);
    tcase_add_test(tests, over_a_limit_nothing_changes);
    tcase_add_test(tests, spaces_are_apart);
    tcase_add_test(tests, a_deadline_in_the_past_is_no_answer);
    tcase_add_test(tests, nodes_are_within_bounds);
    return tests;
}
