/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* One request at a time: what it finds, changes and stores, and what it does not. */

#include "bed.h"

#include <string.h>

#include "mod_bsession.h"

/* ---- what costs nothing ---- */

START_TEST(nothing_is_asked_before_the_first_use)
{
    bs_token_t token = bed_session("a", "1", NULL);
    int calls = bed_all_calls();
    bs_session_t *s = bed_request(&token);

    ck_assert_int_eq(s->state, BS_UNASKED);
    ck_assert(!bs_session_dirty(s));
    ck_assert(!bs_session_exists(s));
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_touch_if_due(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_all_calls(), calls);
    ck_assert_str_eq(bed_get(s, "a"), "1");
    ck_assert_ptr_null(bed_get(s, "b"));
    bed_is(bs_session_load(s), APR_SUCCESS);
    ck_assert_int_eq(bed_all_calls(), calls + 1);       /* one load for all of them */
}
END_TEST

START_TEST(a_reader_without_a_cookie_costs_no_call_and_leaves_no_record)
{
    bs_session_t *s = bed_request(NULL);

    ck_assert_ptr_null(bed_get(s, "a"));
    bed_is(bs_session_load(s), APR_NOTFOUND);
    bed_is(bs_session_unset(s, "a"), APR_SUCCESS);
    bed_is(bs_session_clear(s), APR_SUCCESS);
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_touch(s, 0), APR_NOTFOUND);
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    ck_assert(!bs_session_dirty(s));
    ck_assert(!bs_session_exists(s));
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_int_eq(bed_all_calls(), 0);
    ck_assert_uint_eq(bed_records(), 0);
}
END_TEST

START_TEST(what_was_set_and_taken_back_makes_no_record)
{
    bs_session_t *s = bed_request(NULL);

    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    ck_assert(bs_session_exists(s));
    bed_is(bs_session_unset(s, "a"), APR_SUCCESS);
    ck_assert(!bs_session_exists(s));
    bed_is(bed_set(s, "b", "1"), APR_SUCCESS);
    bed_is(bs_session_clear(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(bed_all_calls(), 0);
}
END_TEST

START_TEST(a_clean_session_is_never_written)
{
    bs_token_t token = bed_session("a", "1", "e", "", NULL);
    apr_uint64_t revision = bed_stored(&token)->record.revision;
    int saves = bed_calls(BS_VERB_SAVE);
    bs_session_t *s = bed_request(&token);

    ck_assert_str_eq(bed_get(s, "e"), "");
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);          /* what it has */
    bed_is(bed_set(s, "e", ""), APR_SUCCESS);
    bed_is(bs_session_unset(s, "absent"), APR_SUCCESS);
    bed_is(bs_session_add(s, "a", "2", 1), APR_EEXIST);
    bed_is(bs_session_incr(s, "e", 1, NULL), APR_EINVAL);
    ck_assert(!bs_session_dirty(s));
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), saves);
    ck_assert_uint_eq(bed_stored(&token)->record.revision, revision);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

/* ---- a record is made ---- */

START_TEST(the_first_set_makes_a_record_and_a_cookie)
{
    bs_session_t *s = bed_request(NULL);
    apr_time_t before = apr_time_now();
    bed_stored_t *stored;

    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    ck_assert(bs_session_dirty(s));
    bed_is(bs_session_load(s), APR_SUCCESS);            /* changes wait for it to be made */
    ck_assert_int_eq(bed_all_calls(), 0);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_int_eq(s->state, BS_PRESENT);
    ck_assert_int_eq(s->had_record, 0);
    ck_assert(!bs_session_dirty(s));
    ck_assert_uint_eq(bed_records(), 1);
    ck_assert_uint_eq(bed_events(BS_CREATED), 1);
    stored = bed_stored(&s->token);
    ck_assert_int_ge(stored->record.expires, before + BED_IDLE);
    ck_assert_int_le(stored->record.expires, apr_time_now() + BED_IDLE);
    ck_assert_int_eq(stored->record.expires, s->record.expires);
    ck_assert_uint_eq(stored->record.revision, s->record.revision);
    ck_assert_int_ge(stored->meta.created, before);
    ck_assert_int_eq(memcmp(stored->meta.realm, bed_terms.realm, BS_REALM_SIZE), 0);
    ck_assert_str_eq(bed_value(&s->token, "a"), "1");
}
END_TEST

START_TEST(the_store_holds_only_a_digest)
{
    bs_token_t token = bed_session("a", "1", NULL);
    bed_stored_t *stored = bed_stored(&token);
    unsigned char digest[BS_DIGEST_SIZE];

    ck_assert_int_eq(bs_token_digest(&token, digest), APR_SUCCESS);
    ck_assert(bs_digest_equal(digest, stored->meta.digest));
    ck_assert_ptr_null(memmem(stored->record.meta.data, stored->record.meta.len, token.verifier,
                              BS_VERIFIER_SIZE));
}
END_TEST

START_TEST(a_second_save_of_the_same_request_is_an_update)
{
    bs_session_t *s = bed_request(NULL);
    bs_token_t token;

    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    token = s->token;
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), 2);
    ck_assert_int_eq(bed_calls(BS_VERB_LOAD), 0);
    ck_assert_uint_eq(bed_records(), 1);
    ck_assert_int_eq(memcmp(&token, &s->token, sizeof(token)), 0);
    ck_assert_str_eq(bed_value(&token, "a"), "1");
    ck_assert_str_eq(bed_value(&token, "b"), "2");
}
END_TEST

START_TEST(a_mere_change_sets_no_cookie)
{
    bs_token_t token = bed_session("a", "1", NULL);
    bs_session_t *s = bed_request(&token);

    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_int_eq(s->had_record, 1);
    ck_assert_str_eq(bed_value(&token, "b"), "2");
    ck_assert_uint_eq(bed_events(BS_CREATED), 1);
}
END_TEST

START_TEST(values_come_back_as_they_were)
{
    static const char binary[] = "a\0b\r\n\xFF\xFE";
    bs_token_t token = bed_session("empty", "", NULL);
    bs_session_t *s = bed_request(&token);
    const bsession_field_t *field;

    bed_is(bs_session_set(s, "bin", binary, 7), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    s = bed_request(&token);
    field = bs_session_get(s, "bin");
    ck_assert_ptr_nonnull(field);
    ck_assert_uint_eq(field->value.len, 7);
    ck_assert_int_eq(memcmp(field->value.data, binary, 8), 0);
    ck_assert_str_eq(bed_get(s, "empty"), "");
}
END_TEST

START_TEST(keys_that_are_changed)
{
    bs_token_t token = bed_session("a", "1", "n", "41", "gone", "x", NULL);
    bs_session_t *s = bed_request(&token);
    apr_int64_t now = 0;

    bed_is(bs_session_incr(s, "n", 1, &now), APR_SUCCESS);
    ck_assert_int_eq(now, 42);
    bed_is(bs_session_unset(s, "gone"), APR_SUCCESS);
    bed_is(bs_session_add(s, "new", "v", 1), APR_SUCCESS);
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bed_set(s, "", "x"), APR_EINVAL);
    bed_is(bed_set(s, "_bs", "x"), APR_EINVAL);
    bed_is(bed_set(s, "\n", "x"), APR_EINVAL);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&token, "n"), "42");
    ck_assert_str_eq(bed_value(&token, "new"), "v");
    ck_assert_str_eq(bed_value(&token, "a"), "2");
    ck_assert_int_eq(bed_count(&token), 3);
}
END_TEST

START_TEST(clear_spares_private_keys)
{
    bs_token_t token = bed_session("a", "1", "~module", "ann", "b", "2", NULL);
    bs_session_t *s = bed_request(&token);

    bed_is(bs_session_clear(s), APR_SUCCESS);
    bed_is(bed_set(s, "c", "3"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_count(&token), 2);
    ck_assert_str_eq(bed_value(&token, "~module"), "ann");
    ck_assert_str_eq(bed_value(&token, "c"), "3");
}
END_TEST

START_TEST(clear_keeps_the_session)
{
    bs_token_t token = bed_session("a", "1", "b", "2", NULL);
    bed_stored_t *before = bed_stored(&token), *after;
    bs_session_t *s = bed_request(&token);

    bed_is(bs_session_clear(s), APR_SUCCESS);
    ck_assert(bs_session_exists(s));
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_count(&token), 0);
    after = bed_stored(&token);
    ck_assert_int_eq(after->meta.created, before->meta.created);
    ck_assert_uint_eq(after->record.epoch, before->record.epoch);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    s = bed_request(&token);
    bed_is(bs_session_load(s), APR_SUCCESS);            /* empty, and there */
    bed_is(bed_set(s, "c", "3"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&token, "c"), "3");
}
END_TEST

/* ---- which session ---- */

START_TEST(an_unknown_token_is_no_session)
{
    bs_token_t token;
    bs_session_t *s;

    ck_assert_int_eq(bs_token_new(&token), APR_SUCCESS);
    s = bed_request(&token);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(bed_lines(), 0);
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_ne(memcmp(s->token.selector, token.selector, BS_SELECTOR_SIZE), 0);
    ck_assert_ptr_null(bed_stored(&token));             /* keys are ours to choose */
}
END_TEST

START_TEST(a_wrong_verifier_is_an_unknown_token)
{
    bs_token_t token = bed_session("a", "1", NULL), forged = token;
    bs_session_t *s;

    forged.verifier[15] ^= 1;
    s = bed_request(&forged);
    ck_assert_ptr_null(bed_get(s, "a"));
    bed_is(bs_session_load(s), APR_NOTFOUND);
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_str_eq(bed_value(&token, "a"), "1");      /* another one was made */
    ck_assert_str_eq(bed_value(&s->token, "a"), "2");
    ck_assert_uint_eq(bed_records(), 2);
}
END_TEST

START_TEST(another_realms_token_is_unknown)
{
    bs_token_t token = bed_session("a", "1", NULL);

    ck_assert_int_eq(bs_realm_digest("other.org", bed_terms.realm), APR_SUCCESS);
    bed_is(bs_session_load(bed_request(&token)), APR_NOTFOUND);
    ck_assert_int_eq(bs_realm_digest("EXAMPLE.org", bed_terms.realm), APR_SUCCESS);
    bed_is(bs_session_load(bed_request(&token)), APR_SUCCESS);
}
END_TEST

START_TEST(of_two_cookies_the_valid_one_wins)
{
    bs_token_t good = bed_session("a", "1", NULL), tokens[3];
    bs_session_t *s;
    int at;

    for (at = 0; at < 2; at++) {
        ck_assert_int_eq(bs_token_new(&tokens[1 - at]), APR_SUCCESS);
        tokens[at] = good;
        s = bs_session_open(pool, &bed_terms, tokens, 2, NULL, NULL);
        ck_assert_str_eq(bed_get(s, "a"), "1");
        ck_assert_int_eq(memcmp(&s->token, &good, sizeof(good)), 0);
    }
    ck_assert_int_eq(bed_calls(BS_VERB_LOAD), 1 + 2);   /* the first that is good ends the search */
    ck_assert_int_eq(bs_token_new(&tokens[0]), APR_SUCCESS);
    tokens[2] = good;
    ck_assert_int_eq(bs_token_new(&tokens[1]), APR_SUCCESS);
    s = bs_session_open(pool, &bed_terms, tokens, 3, NULL, NULL);
    bed_is(bs_session_load(s), APR_NOTFOUND);           /* no third is looked up */
}
END_TEST

START_TEST(a_damaged_record_is_an_empty_session_and_one_line)
{
    static const char junk[] = "\xFFjunk";
    bs_token_t token = bed_session("a", "1", NULL);
    bsession_save_t put = { .mode = BSESSION_PUT, .base = 7 };
    bed_stored_t *stored = bed_stored(&token);
    bs_caller_t caller = { pool, NULL, 0, 0, NULL };
    char tag[BS_TAG_SIZE];
    bsession_saved_t saved;
    bsession_key_t key;
    bs_session_t *s;

    bs_token_key(&token, &key);
    bs_key_tag(&key, tag);
    stored->record.meta.data = junk;
    stored->record.meta.len = sizeof(junk);
    put.record = &stored->record;
    bed_is(bs_store_save(&bed_store, &caller, &key, &put, &saved), APR_SUCCESS);
    s = bed_request(&token);
    ck_assert_ptr_null(bed_get(s, "a"));
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_int_eq(bed_last_level(), BS_LOG_WARNING);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), tag));
    bed_is(bed_set(s, "b", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_ne(memcmp(s->key.bytes, key.bytes, sizeof(key.bytes)), 0);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
}
END_TEST

START_TEST(a_record_the_store_calls_damaged_is_the_same)
{
    bs_token_t token = bed_session("a", "1", NULL);
    bs_session_t *s = bed_request(&token);

    bed_answer(BS_VERB_LOAD, BSESSION_ECORRUPT, 1);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(bed_lines(), 1);
    bed_is(bed_set(s, "b", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->outage, 0);
}
END_TEST

Suite *session_suite(void)
{
    Suite *suite = suite_create("session");
    TCase *tests = tcase_create("session");

    tcase_add_checked_fixture(tests, bed_setup, bed_teardown);
    tcase_add_test(tests, nothing_is_asked_before_the_first_use);
    tcase_add_test(tests, a_reader_without_a_cookie_costs_no_call_and_leaves_no_record);
    tcase_add_test(tests, what_was_set_and_taken_back_makes_no_record);
    tcase_add_test(tests, a_clean_session_is_never_written);
    tcase_add_test(tests, the_first_set_makes_a_record_and_a_cookie);
    tcase_add_test(tests, the_store_holds_only_a_digest);
    tcase_add_test(tests, a_second_save_of_the_same_request_is_an_update);
    tcase_add_test(tests, a_mere_change_sets_no_cookie);
    tcase_add_test(tests, values_come_back_as_they_were);
    tcase_add_test(tests, keys_that_are_changed);
    tcase_add_test(tests, clear_spares_private_keys);
    tcase_add_test(tests, clear_keeps_the_session);
    tcase_add_test(tests, an_unknown_token_is_no_session);
    tcase_add_test(tests, a_wrong_verifier_is_an_unknown_token);
    tcase_add_test(tests, another_realms_token_is_unknown);
    tcase_add_test(tests, of_two_cookies_the_valid_one_wins);
    tcase_add_test(tests, a_damaged_record_is_an_empty_session_and_one_line);
    tcase_add_test(tests, a_record_the_store_calls_damaged_is_the_same);
    suite_add_tcase(suite, tests);
    return suite;
}
