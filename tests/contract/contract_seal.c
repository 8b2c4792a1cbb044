/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The suite runs a second time with a seal between it and the store: each store must keep sealed
 * records as it keeps others. And what somebody does to a sealed record in the store must be
 * noticed. */

#include "contract.h"

#include <string.h>

#include <apr_strings.h>

#include "seal.h"

const bsession_provider_t *contract_plain;

static bsession_provider_t sealing;
static bs_keys_t           keys;

/* ------------------------------------------------------------------ the seal, as a provider */

static apr_status_t opened(const bsession_key_t *key, bsession_record_t *record, apr_status_t status,
                           bsession_call_t *call)
{
    return status == APR_SUCCESS ? bs_seal_open(&keys, key, record, call->pool) : status;
}

static apr_status_t seal_load(bsession_backend_t *store, const bsession_key_t *key,
                              bsession_record_t *record, bsession_call_t *call)
{
    return opened(key, record, contract_plain->load(store, key, record, call), call);
}

static apr_status_t seal_load_many(bsession_backend_t *store, const bsession_key_t *all, int count,
                                   bsession_record_t *records, apr_status_t *statuses,
                                   bsession_call_t *call)
{
    apr_status_t status = contract_plain->load_many(store, all, count, records, statuses, call);
    int i;

    for (i = 0; i < count && status == APR_SUCCESS; i++) {
        statuses[i] = opened(&all[i], &records[i], statuses[i], call);
    }
    return status;
}

static apr_status_t seal_save(bsession_backend_t *store, const bsession_key_t *key,
                              const bsession_save_t *save, bsession_saved_t *saved,
                              bsession_call_t *call)
{
    bsession_record_t record;
    bsession_save_t sealed;
    apr_status_t status = bs_seal_close(&keys, key, save, &sealed, &record, call->pool);

    return status == APR_SUCCESS ? contract_plain->save(store, key, &sealed, saved, call) : status;
}

typedef struct {
    bsession_visitor_t *visit;
    void               *baton;
} viewing_t;

static apr_status_t view(void *baton, const bsession_key_t *key, const bsession_record_t *record)
{
    viewing_t *viewing = baton;
    bsession_record_t plain = *record;

    return bs_seal_open(&keys, key, &plain, pool) == APR_SUCCESS
           ? viewing->visit(viewing->baton, key, &plain) : APR_SUCCESS;
}

static apr_status_t seal_scan(bsession_backend_t *store, char space, bsession_cursor_t *cursor,
                              bsession_visitor_t *visit, void *baton, bsession_call_t *call)
{
    viewing_t viewing = { visit, baton };

    return contract_plain->scan(store, space, cursor, view, &viewing, call);
}

void contract_seal_setup(void)
{
    static const bsession_bytes_t secret = { "0123456789abcdef0123456789abcdef", 32 };
    static const unsigned char realm[BS_REALM_SIZE] = { 1 };

    contract_plain = provider;
    contract_setup();
    ck_assert_int_eq(bs_crypto_init(), APR_SUCCESS);
    ck_assert_int_eq(bs_keys_derive(&keys, &secret, 1, realm), APR_SUCCESS);
    sealing = *contract_plain;
    sealing.load = seal_load;
    sealing.save = seal_save;
    sealing.scan = seal_scan;
    sealing.load_many = contract_plain->load_many ? seal_load_many : NULL;
    provider = &sealing;
}

void contract_seal_teardown(void)
{
    provider = contract_plain;
    bs_crypto_end();
    contract_teardown();
}

/* ------------------------------------------------------------------ what others do to a record */

static bsession_record_t plain;

/* Sealed for the revision that a REPLACE of `base` makes. */
static bsession_record_t *sealed_for(const bsession_key_t *key, apr_uint64_t base)
{
    bsession_save_t save = { .mode = BSESSION_REPLACE, .base = base, .record = &plain }, sealed;
    bsession_record_t *record = apr_palloc(pool, sizeof *record);

    ck_assert_int_eq(bs_seal_close(&keys, key, &save, &sealed, record, pool), APR_SUCCESS);
    return record;
}

/* As who can write to the store stores it. */
static void put(const bsession_key_t *key, apr_uint64_t base, const bsession_record_t *record)
{
    bsession_save_t save = { .mode = BSESSION_REPLACE, .base = base, .record = record };
    bsession_saved_t saved = { 0, NULL };

    contract_is(contract_plain->save(backend, key, &save, &saved, contract_call(pool)), APR_SUCCESS);
}

static void is_refused(const bsession_key_t *key)
{
    bsession_record_t loaded;

    contract_is(contract_load(key, &loaded), BSESSION_ECORRUPT);
}

static bsession_key_t some_session(apr_uint64_t revision)
{
    plain = *contract_record("user", "alice", NULL);
    return contract_created(&plain, revision);
}

/* Each byte of what is in the store: one of its bits, another one each time. */
static apr_uint64_t flip_each(const bsession_key_t *key, apr_uint64_t base, int in_meta)
{
    apr_size_t i, len = 1;

    for (i = 0; i < len; i++, base++) {
        bsession_record_t *record = sealed_for(key, base);
        bsession_bytes_t *bytes = in_meta ? &record->meta : &record->fields.list[0].value;
        char *copy = apr_pmemdup(pool, bytes->data, bytes->len);

        copy[i] ^= (char)(1 << i % 8);
        bytes->data = copy;
        len = bytes->len;
        put(key, base, record);
        is_refused(key);
    }
    return base;
}

START_TEST(a_byte_that_was_flipped)
{
    apr_uint64_t revision = contract_revision();
    bsession_key_t key = some_session(revision);

    revision = flip_each(&key, revision, 0);
    revision = flip_each(&key, revision, 1);
    put(&key, revision, sealed_for(&key, revision));
    contract_holds(&key, &plain, revision + 1);
}
END_TEST

START_TEST(a_record_that_was_cut_or_made_plain)
{
    apr_uint64_t base = contract_revision();
    bsession_key_t key = some_session(base);
    bsession_record_t *record = sealed_for(&key, base);

    record->fields.list[0].value.len--;
    put(&key, base, record);
    is_refused(&key);
    put(&key, base + 1, &plain);
    is_refused(&key);
    record = sealed_for(&key, base + 2);
    record->fields.count = 0;
    put(&key, base + 2, record);
    is_refused(&key);
}
END_TEST

START_TEST(a_record_of_another_key)
{
    apr_uint64_t base = contract_revision();
    bsession_key_t mine = some_session(base), other = some_session(base);

    put(&mine, base, sealed_for(&other, base));
    is_refused(&mine);
    contract_holds(&other, &plain, base);
}
END_TEST

START_TEST(an_older_state_at_a_later_revision)
{
    apr_uint64_t base = contract_revision();
    bsession_key_t key = some_session(base);
    bsession_record_t *before = sealed_for(&key, base);

    put(&key, base, before);
    contract_holds(&key, &plain, base + 1);
    put(&key, base + 1, before);
    is_refused(&key);
}
END_TEST

START_TEST(another_epoch)
{
    apr_uint64_t base = contract_revision();
    bsession_key_t key = some_session(base);
    bsession_record_t *record = sealed_for(&key, base);

    record->epoch++;
    put(&key, base, record);
    is_refused(&key);
}
END_TEST

static apr_status_t must_not_come(void *baton, const bsession_key_t *key, const bsession_record_t *record)
{
    const bsession_key_t *bad = baton;

    (void)record;
    ck_assert(memcmp(key->bytes, bad->bytes, sizeof bad->bytes) != 0);
    return APR_SUCCESS;
}

START_TEST(a_scan_passes_over_it)
{
    apr_uint64_t base = contract_revision();
    bsession_key_t key = some_session(base);
    bsession_cursor_t cursor = { .done = 0 };
    apr_status_t status = APR_SUCCESS;

    put(&key, base, &plain);
    while (status == APR_SUCCESS && !cursor.done) {
        status = provider->scan(backend, 's', &cursor, must_not_come, &key, contract_call(pool));
    }
    ck_assert(status == APR_SUCCESS || status == APR_ENOTIMPL);
}
END_TEST

START_TEST(a_touch_is_no_change)
{
    apr_uint64_t base = contract_revision();
    bsession_key_t key = some_session(base);

    contract_is(contract_touch(&key, apr_time_now() + 2 * CONTRACT_MINUTE), APR_SUCCESS);
    contract_holds(&key, &plain, base);
}
END_TEST

TCase *contract_seal_case(void)
{
    TCase *tests = contract_case("seal");

    tcase_add_test(tests, a_byte_that_was_flipped);
    tcase_add_test(tests, a_record_that_was_cut_or_made_plain);
    tcase_add_test(tests, a_record_of_another_key);
    tcase_add_test(tests, an_older_state_at_a_later_revision);
    tcase_add_test(tests, another_epoch);
    tcase_add_test(tests, a_scan_passes_over_it);
    tcase_add_test(tests, a_touch_is_no_change);
    return tests;
}
