/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "bed.h"

#include <string.h>

#include <apr_strings.h>

#include "record.h"
#include "seal.h"

static const unsigned char realm[BS_REALM_SIZE] = { 1 };
static const bsession_bytes_t secrets[] = {
    { "0123456789abcdef0123456789abcdef", 32 }, { "another secret, of 36 random bytes..", 36 }
};
static const bsession_key_t key = { 's', { 7, 7, 7 } };

static bs_keys_t keys;                  /* of both secrets */

static void seal_setup(void)
{
    bed_setup();
    ck_assert_int_eq(bs_keys_derive(&keys, secrets, 2, realm), APR_SUCCESS);
}

static bsession_field_t fields[] = { { { "user", 4 }, { "alice", 5 } }, { { "empty", 5 }, { "", 0 } } };

/* What a store would keep, at this revision. */
static bsession_record_t sealed_by(const bs_keys_t *by, bsession_save_mode_t mode, apr_uint64_t base)
{
    bsession_record_t plain = { .expires = 99, .epoch = 3, .meta = { "meta", 4 },
                                .fields = { fields, 2 } };
    bsession_save_t save = { .mode = mode, .base = base, .record = &plain }, sealed;
    bsession_record_t *record = apr_palloc(pool, sizeof *record);

    ck_assert_int_eq(bs_seal_close(by, &key, &save, &sealed, record, pool), APR_SUCCESS);
    ck_assert_ptr_eq(sealed.record, record);
    ck_assert_uint_eq(sealed.base, base);
    ck_assert_int_eq(sealed.mode, mode == BSESSION_MERGE ? BSESSION_REPLACE : mode);
    record->revision = mode == BSESSION_CREATE || mode == BSESSION_PUT ? base : base + 1;
    return *record;
}

static bsession_record_t sealed(void)
{
    return sealed_by(&keys, BSESSION_CREATE, 5);
}

static apr_status_t opens(bsession_record_t record)
{
    return bs_seal_open(&keys, &key, &record, pool);
}

START_TEST(what_was_sealed_is_opened)
{
    bsession_save_mode_t mode;

    for (mode = BSESSION_CREATE; mode <= BSESSION_PUT; mode++) {
        bsession_record_t record = sealed_by(&keys, mode, 5);

        ck_assert_uint_eq(record.expires, 99);
        ck_assert_uint_eq(record.epoch, 3);
        ck_assert_int_eq(record.fields.count, 1);
        ck_assert_int_eq(bs_seal_open(&keys, &key, &record, pool), APR_SUCCESS);
        ck_assert_uint_eq(record.expires, 99);
        ck_assert_uint_eq(record.epoch, 3);
        ck_assert_int_eq(record.fields.count, 2);
        ck_assert_mem_eq(record.meta.data, "meta", 4);
        ck_assert_str_eq(record.fields.list[0].name.data, "user");
        ck_assert_str_eq(record.fields.list[0].value.data, "alice");
        ck_assert_uint_eq(record.fields.list[1].value.len, 0);
    }
}
END_TEST

START_TEST(no_two_are_the_same)
{
    bsession_record_t one = sealed(), other = sealed();

    ck_assert_mem_ne(one.fields.list[0].value.data, other.fields.list[0].value.data, BS_NONCE_SIZE);
    ck_assert_mem_ne(one.fields.list[0].value.data + BS_NONCE_SIZE,
                     other.fields.list[0].value.data + BS_NONCE_SIZE, 8);
}
END_TEST

/* Each byte of the two that a store keeps. */
static void flip_each(const bsession_record_t *record, bsession_bytes_t *bytes)
{
    char *copy = apr_pmemdup(pool, bytes->data, bytes->len);
    apr_size_t i;

    bytes->data = copy;
    for (i = 0; i < bytes->len * 8; i++) {
        copy[i / 8] ^= (char)(1 << i % 8);
        ck_assert_int_eq(opens(*record), BSESSION_ECORRUPT);
        copy[i / 8] ^= (char)(1 << i % 8);
    }
    ck_assert_int_eq(opens(*record), APR_SUCCESS);
    for (i = 0; i < bytes->len; i++) {
        bsession_bytes_t whole = *bytes;

        bytes->len = i;
        ck_assert_int_eq(opens(*record), BSESSION_ECORRUPT);
        *bytes = whole;
    }
}

START_TEST(any_bit_flipped_or_byte_cut_is_refused)
{
    bsession_record_t record = sealed();

    flip_each(&record, &record.fields.list[0].value);
    flip_each(&record, &record.fields.list[0].name);
    flip_each(&record, &record.meta);
}
END_TEST

START_TEST(nothing_around_it_may_change)
{
    bsession_record_t record = sealed(), other;
    bsession_key_t elsewhere = key;

    other = record;
    other.revision++;
    ck_assert_int_eq(opens(other), BSESSION_ECORRUPT);
    other = record;
    other.epoch++;
    ck_assert_int_eq(opens(other), BSESSION_ECORRUPT);
    other = record;
    elsewhere.bytes[15] = 1;
    ck_assert_int_eq(bs_seal_open(&keys, &elsewhere, &other, pool), BSESSION_ECORRUPT);
    elsewhere = key;
    elsewhere.space = 'c';
    ck_assert_int_eq(bs_seal_open(&keys, &elsewhere, &other, pool), BSESSION_ECORRUPT);
    other = record;
    other.expires = 12345;              /* a touch */
    ck_assert_int_eq(opens(other), APR_SUCCESS);
}
END_TEST

START_TEST(a_plain_record_is_refused)
{
    bsession_record_t plain = { .revision = 5, .epoch = 3, .meta = { "meta", 4 },
                                .fields = { fields, 2 } };

    ck_assert_int_eq(opens(plain), BSESSION_ECORRUPT);
    plain.fields.count = 0;
    ck_assert_int_eq(opens(plain), BSESSION_ECORRUPT);
    plain.fields = sealed().fields;
    ck_assert_int_eq(opens(plain), BSESSION_ECORRUPT);
}
END_TEST

START_TEST(the_secret_is_one_of_those_listed)
{
    bs_keys_t newer, older;
    bsession_record_t record;

    ck_assert_int_eq(bs_keys_derive(&newer, secrets, 1, realm), APR_SUCCESS);
    ck_assert_int_eq(bs_keys_derive(&older, secrets + 1, 1, realm), APR_SUCCESS);
    ck_assert_int_eq(opens(sealed_by(&older, BSESSION_CREATE, 5)), APR_SUCCESS);
    record = sealed();
    ck_assert_int_eq(bs_seal_open(&older, &key, &record, pool), BSESSION_ECORRUPT);
    ck_assert_int_eq(bs_seal_open(&newer, &key, &record, pool), APR_SUCCESS);
    record = sealed();                  /* ids may be the same by chance */
    memcpy(newer.list[0].id, older.list[0].id, BS_KEY_ID_SIZE);
    newer.list[1] = newer.list[0];
    newer.list[0] = older.list[0];
    newer.count = 2;
    record = sealed_by(&newer, BSESSION_CREATE, 5);
    ck_assert_int_eq(bs_seal_open(&newer, &key, &record, pool), APR_SUCCESS);
}
END_TEST

START_TEST(another_realm_has_another_seal)
{
    static const unsigned char other[BS_REALM_SIZE] = { 2 };
    bsession_record_t record = sealed();
    bs_keys_t others;

    ck_assert_int_eq(bs_keys_derive(&others, secrets, 2, other), APR_SUCCESS);
    ck_assert_int_eq(bs_seal_open(&others, &key, &record, pool), BSESSION_ECORRUPT);
}
END_TEST

/* More realms at once than a thread keeps contexts for. */
static apr_uint32_t today(void)
{
    return (apr_uint32_t)(apr_time_sec(apr_time_now()) / 86400);
}

/* No key sees more than one day's records, whichever the thread has at hand. */
START_TEST(each_day_has_a_key_of_its_own)
{
    static const unsigned char nonce[BS_NONCE_SIZE] = { 9 };
    static const bsession_bytes_t beside = { "beside", 6 };
    bs_cipher_name_t name = { .day = 0 };
    unsigned char sealed[60][8], tags[60][BS_SEAL_TAG_SIZE], plain[8];
    apr_uint32_t first = today();
    int day, other;

    memcpy(name.base, keys.list[0].seal, sizeof name.base);
    for (day = 0; day < 60; day++) {
        name.day = first + (apr_uint32_t)(day < 30 ? day : day << 16);
        memcpy(sealed[day], "a secret", 8);
        ck_assert_int_eq(bs_encrypt(&name, nonce, &beside, sealed[day], 8, tags[day]), APR_SUCCESS);
        for (other = 0; other < day; other++) {
            ck_assert_mem_ne(sealed[day], sealed[other], 8);
            ck_assert_int_eq(bs_decrypt(&name, nonce, &beside, sealed[other], 8, tags[other],
                                        plain), BSESSION_ECORRUPT);
        }
        ck_assert_int_eq(bs_decrypt(&name, nonce, &beside, sealed[day], 8, tags[day], plain),
                         APR_SUCCESS);
        ck_assert_mem_eq(plain, "a secret", 8);
    }
}
END_TEST

START_TEST(a_record_says_the_day_of_its_sealing)
{
    apr_uint32_t before = today(), said;
    bsession_record_t record = sealed();
    const unsigned char *meta = (const unsigned char *)record.meta.data;

    said = meta[6] | (apr_uint32_t)meta[7] << 8 | (apr_uint32_t)meta[8] << 16
           | (apr_uint32_t)meta[9] << 24;
    ck_assert_uint_ge(said, before);
    ck_assert_uint_le(said, today());
}
END_TEST

START_TEST(any_number_of_realms)
{
    bs_keys_t many[40];
    bsession_record_t records[40];
    int i, round;

    for (i = 0; i < 40; i++) {
        unsigned char one[BS_REALM_SIZE] = { (unsigned char)i, 9 };

        ck_assert_int_eq(bs_keys_derive(&many[i], secrets, 1, one), APR_SUCCESS);
        records[i] = sealed_by(&many[i], BSESSION_CREATE, 5);
    }
    for (round = 0; round < 2; round++) {
        for (i = 0; i < 40; i++) {
            bsession_record_t record = records[i];

            ck_assert_int_eq(bs_seal_open(&many[i], &key, &record, pool), APR_SUCCESS);
        }
    }
}
END_TEST

START_TEST(limits_are_those_of_the_plain_record)
{
    bsession_record_t plain = { .meta = { "meta", 4 }, .fields = { fields, 2 } }, record;
    bsession_save_t save = { .mode = BSESSION_REPLACE, .base = 5, .record = &plain }, out;

    save.max_bytes = 14;
    save.max_fields = 2;
    ck_assert_int_eq(bs_seal_close(&keys, &key, &save, &out, &record, pool), APR_SUCCESS);
    ck_assert(out.max_bytes == 0 && out.max_fields == 0 && out.nchanges == 0);
    save.max_bytes = 13;
    ck_assert_int_eq(bs_seal_close(&keys, &key, &save, &out, &record, pool), APR_ENOSPC);
    save.max_bytes = 0;
    save.max_fields = 1;
    ck_assert_int_eq(bs_seal_close(&keys, &key, &save, &out, &record, pool), APR_ENOSPC);
}
END_TEST

/* ---- sessions with a secret ---- */

static bs_token_t sealed_session(void)
{
    bed_terms.keys = bed_terms.seal = &keys;
    return bed_session("user", "alice", NULL);
}

START_TEST(a_forged_token_asks_no_store)
{
    bs_token_t token = sealed_session();
    int asked = bed_all_calls(), bit;

    for (bit = 0; bit < 8 * 48; bit += 5) {
        bs_token_t forged = token;

        ((unsigned char *)&forged)[bit / 8] ^= (unsigned char)(1 << bit % 8);
        bed_is(bs_session_load(bed_request(&forged)), APR_NOTFOUND);
    }
    token.maced = 0;                    /* one from before there was a secret */
    bed_is(bs_session_load(bed_request(&token)), APR_NOTFOUND);
    ck_assert_int_eq(bed_all_calls(), asked);
    bed_terms.keys = bed_terms.seal = NULL;
    token.maced = 1;                    /* and one from before there was none any more */
    bed_is(bs_session_load(bed_request(&token)), APR_NOTFOUND);
    ck_assert_int_eq(bed_all_calls(), asked);
}
END_TEST

START_TEST(sessions_are_sealed_and_live_on)
{
    bs_token_t token = sealed_session();
    bs_session_t *s = bed_request(&token);
    bs_caller_t plainly = { .pool = pool };
    bsession_record_t stored;
    bsession_key_t at;

    bs_token_key(&token, &at);
    bed_is(bs_store_load(&bed_store, &plainly, &at, &stored), APR_SUCCESS);
    ck_assert_int_eq(stored.fields.count, 1);
    ck_assert_str_eq(stored.fields.list[0].name.data, bs_seal_field.data);
    ck_assert_str_eq(bed_get(s, "user"), "alice");
    ck_assert_int_eq(s->token.secret_index, 0);
    bed_is(bed_set(s, "seen", "yes"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(s->token.maced && memcmp(s->token.verifier, token.verifier, BS_VERIFIER_SIZE) != 0);
    token = s->token;
    ck_assert_str_eq(bed_get(bed_request(&token), "seen"), "yes");
}
END_TEST

static bs_token_t raced;

static void race(void)
{
    bs_session_t *other = bed_request(&raced);

    bed_is(bed_set(other, "other", "1"), APR_SUCCESS);
    bed_is(bs_session_save(other, 0), APR_SUCCESS);
}

START_TEST(changes_of_two_requests_both_win)
{
    bs_session_t *s;

    raced = sealed_session();
    s = bed_request(&raced);
    bed_is(bed_set(s, "mine", "1"), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, race);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    s = bed_request(&raced);
    ck_assert_str_eq(bed_get(s, "mine"), "1");
    ck_assert_str_eq(bed_get(s, "other"), "1");
}
END_TEST

START_TEST(what_cannot_be_opened_is_an_empty_session)
{
    bs_token_t token = sealed_session();
    bs_session_t *s;
    bs_keys_t lost;

    ck_assert_int_eq(bs_keys_derive(&lost, secrets + 1, 1, realm), APR_SUCCESS);
    bed_terms.seal = &lost;
    s = bed_request(&token);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_int_eq(bed_last_level(), BS_LOG_WARNING);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "cannot be opened"));
    bed_is(bed_set(s, "user", "bob"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert(memcmp(s->token.selector, token.selector, BS_SELECTOR_SIZE) != 0);
}
END_TEST

START_TEST(with_the_seal_off_a_sealed_one_is_not_read)
{
    bs_token_t token = sealed_session();

    bed_terms.seal = NULL;
    bed_is(bs_session_load(bed_request(&token)), APR_NOTFOUND);
    token = bed_session("user", "alice", NULL);
    ck_assert_str_eq(bed_value(&token, "user"), "alice");
    ck_assert_str_eq(bed_get(bed_request(&token), "user"), "alice");
    bed_terms.seal = &keys;
    bed_is(bs_session_load(bed_request(&token)), APR_NOTFOUND);
}
END_TEST

Suite *seal_suite(void)
{
    Suite *suite = suite_create("seal");
    TCase *tests = tcase_create("seal");

    tcase_add_checked_fixture(tests, seal_setup, bed_teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_was_sealed_is_opened);
    tcase_add_test(tests, no_two_are_the_same);
    tcase_add_test(tests, any_bit_flipped_or_byte_cut_is_refused);
    tcase_add_test(tests, nothing_around_it_may_change);
    tcase_add_test(tests, a_plain_record_is_refused);
    tcase_add_test(tests, the_secret_is_one_of_those_listed);
    tcase_add_test(tests, another_realm_has_another_seal);
    tcase_add_test(tests, each_day_has_a_key_of_its_own);
    tcase_add_test(tests, a_record_says_the_day_of_its_sealing);
    tcase_add_test(tests, any_number_of_realms);
    tcase_add_test(tests, limits_are_those_of_the_plain_record);
    tcase_add_test(tests, a_forged_token_asks_no_store);
    tcase_add_test(tests, sessions_are_sealed_and_live_on);
    tcase_add_test(tests, changes_of_two_requests_both_win);
    tcase_add_test(tests, what_cannot_be_opened_is_an_empty_session);
    tcase_add_test(tests, with_the_seal_off_a_sealed_one_is_not_read);
    suite_add_tcase(suite, tests);
    return suite;
}
