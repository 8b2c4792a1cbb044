/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The list of a user's sessions: what stays in it, what leaves it, where it is, and when it is
 * lost. */

#include "test_users.h"

#include <string.h>

#include <apr_strings.h>

#include "mod_bsession.h"

static bs_keys_t old_keys, both_keys;

static void list_setup(void)
{
    const bsession_bytes_t secrets[] = { { "the newest secret, 32 bytes long", 32 },
                                         { "an older secret, 32 bytes long..", 32 } };

    bed_setup();
    bed_is(bs_keys_derive(&both_keys, secrets, 2, bed_terms.realm), APR_SUCCESS);
    bed_is(bs_keys_derive(&old_keys, secrets + 1, 1, bed_terms.realm), APR_SUCCESS);
}

static void use(const bs_keys_t *keys)
{
    bed_terms.keys = bed_terms.seal = keys;
}

static void end_behind_its_back(const bs_session_t *s)
{
    bs_caller_t caller = bs_session_caller(s, 0);

    bed_is(bs_store_remove(&bed_store, &caller, &s->key, 0), APR_SUCCESS);
}

static apr_status_t prolong(const bs_session_t *session)
{
    bs_session_t *s = bed_request(&session->token);

    bed_is(bs_session_load(s), APR_SUCCESS);
    return bs_session_touch(s, 0);
}

/* ---- what stays in it ---- */

START_TEST(what_has_run_out_leaves)
{
    users_login("ann");
    users_login("ann");
    users_age("ann", BED_ABSOLUTE + 2 * BS_LOGIN_MARGIN + 1);
    users_login("ann");
    ck_assert_int_eq(users_entries("ann"), 1);
}
END_TEST

START_TEST(what_ended_by_itself_makes_room)
{
    bs_session_t *gone = users_login("ann");

    bed_terms.user.max = 1;
    end_behind_its_back(gone);
    bed_is(bs_session_save(users_named(NULL, "ann"), 0), BSESSION_EMANY);   /* it may be coming */
    users_age("ann", 2 * BS_LOGIN_MARGIN + bed_store.timeout);
    users_login("ann");
    ck_assert_int_eq(users_entries("ann"), 1);
}
END_TEST

START_TEST(of_very_many_the_oldest_goes)
{
    bs_session_t **all = apr_palloc(pool, BS_OWNED_MAX * sizeof *all), *last;
    bs_user_call_t call;
    const bsession_bytes_t name = { "ann", 3 };
    bs_book_t book = { { NULL, 0 }, 0, { 0 } };
    int i;

    for (i = 0; i < BS_OWNED_MAX; i++) {
        bs_owned_t entry = { .since = apr_time_now() - BS_OWNED_MAX + i,
                             .until = apr_time_now() + BED_ABSOLUTE };

        all[i] = users_login("ann");
        users_lose_list("ann");         /* for it takes long to write it so often */
        entry.key = all[i]->key;
        bs_book_put(&book, &entry, pool);
    }
    bed_is(bs_session_begin_user(&call, bed_request(NULL), &name, 0), APR_SUCCESS);
    bed_is(bs_book_write(&book, &call.user, 0), APR_SUCCESS);
    last = users_login("ann");
    ck_assert_int_eq(users_listed("ann"), BS_OWNED_MAX);
    ck_assert_ptr_null(bed_stored(&all[0]->token));
    ck_assert(bed_stored(&all[1]->token) && bed_stored(&last->token));
    bed_is(users_revoke("ann"), APR_SUCCESS);
    ck_assert_int_eq(users_alive("ann"), 0);
}
END_TEST

/* ---- where it is ---- */

START_TEST(an_older_secrets_list_is_found_and_moved)
{
    bs_session_t *old, *fresh;

    use(&old_keys);
    old = users_login("ann");
    use(&both_keys);
    ck_assert_int_eq(users_listed("ann"), 1);
    fresh = users_login("ann");
    ck_assert_int_eq(users_listed("ann"), 2);
    use(&old_keys);
    ck_assert_int_eq(users_entries("ann"), 0);
    use(&both_keys);
    users_cannot_scan();
    bed_is(users_revoke("ann"), APR_SUCCESS);
    ck_assert(!bed_stored(&old->token) && !bed_stored(&fresh->token));
}
END_TEST

START_TEST(what_an_older_secrets_list_holds_counts_and_ends)
{
    bs_session_t *old;

    users_cannot_scan();
    bed_terms.user.max = 1;
    use(&old_keys);
    old = users_login("ann");
    use(&both_keys);
    bed_is(bs_session_save(users_named(NULL, "ann"), 0), BSESSION_EMANY);
    bed_is(users_revoke("ann"), APR_SUCCESS);
    ck_assert_ptr_null(bed_stored(&old->token));
    users_login("ann");
}
END_TEST

START_TEST(lists_of_both_secrets_are_one)
{
    use(&both_keys);
    users_login("ann");
    use(&old_keys);
    users_login("ann");                 /* on a server that does not know of the new one yet */
    use(&both_keys);
    users_cannot_scan();
    ck_assert_int_eq(users_listed("ann"), 2);
    bed_is(users_revoke("ann"), APR_SUCCESS);
    ck_assert_int_eq(users_alive("ann"), 0);
}
END_TEST

/* ---- a change of stores ---- */

static bs_session_t *moved, *unmoved;

static void change_stores(void)
{
    bs_session_t *s;

    moved = users_login("ann");
    unmoved = users_login("ann");
    bed_change_store();
    users_cannot_scan();
    s = bed_request(&moved->token);
    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(bed_stored(&moved->token) && bed_stored_in(&bed_older, &unmoved->token));
}

START_TEST(all_are_listed_and_ended_wherever_they_are)
{
    change_stores();
    ck_assert_int_eq(users_listed("ann"), 2);
    bed_is(users_revoke("ann"), APR_SUCCESS);
    ck_assert_int_eq(users_alive("ann"), 0);
}
END_TEST

START_TEST(before_any_has_moved)
{
    users_login("ann");
    bed_change_store();
    users_cannot_scan();
    ck_assert_int_eq(users_listed("ann"), 1);
    bed_terms.user.max = 1;
    bed_is(bs_session_save(users_named(NULL, "ann"), 0), BSESSION_EMANY);
    bed_is(users_revoke("ann"), APR_SUCCESS);
    ck_assert_int_eq(users_alive("ann"), 0);
}
END_TEST

START_TEST(a_login_moves_the_list)
{
    change_stores();
    users_login("ann");
    bed_terms.older = NULL;
    ck_assert_int_eq(users_entries("ann"), 3);
    bed_terms.older = &bed_older;
    bed_terms.user.max = 2;
    bed_terms.user.evict = 1;
    users_login("ann");
    ck_assert_int_eq(users_alive("ann"), 2);
    ck_assert(!bed_stored(&moved->token) && !bed_stored_in(&bed_older, &unmoved->token));
}
END_TEST

/* ---- lost, or damaged ---- */

static void lose_and_end(const bs_keys_t *keys)
{
    bs_session_t *one, *bob, *s;
    char tag[BS_TAG_SIZE];

    use(keys);
    one = users_login("ann");
    users_login("ann");
    bob = users_login("bob");
    users_lose_list("ann");
    ck_assert_int_eq(users_listed("ann"), 0);
    bs_key_tag(&one->key, tag);
    s = bed_request(NULL);
    bed_is(bs_session_revoke(s, "ann", NULL), APR_EINVAL);
    bed_is(bs_session_revoke(s, "ann", "ann"), APR_EINVAL);
    bed_is(bs_session_revoke(s, "ann", tag), APR_SUCCESS);
    ck_assert_int_eq(users_alive("ann"), 1);
    bed_is(users_revoke("ann"), APR_SUCCESS);
    ck_assert_int_eq(users_alive("ann"), 0);
    bed_is(bs_session_load(bed_request(&bob->token)), APR_SUCCESS);
}

START_TEST(without_the_list_the_store_is_looked_through)
{
    lose_and_end(NULL);
}
END_TEST

START_TEST(and_what_is_sealed_is_found_too)
{
    lose_and_end(&both_keys);
}
END_TEST

START_TEST(so_is_the_older_store)
{
    users_login("ann");
    users_lose_list("ann");
    bed_change_store();
    bed_is(users_revoke("ann"), APR_SUCCESS);
    ck_assert_int_eq(users_alive("ann"), 0);
}
END_TEST

/* Each hour of its life at most. */
START_TEST(a_session_that_is_prolonged_enters_itself_again)
{
    bs_session_t *s = users_login("ann");

    users_lose_list("ann");
    bed_is(prolong(s), APR_SUCCESS);
    ck_assert_int_eq(users_entries("ann"), 0);
    bed_time_passes(&s->token, apr_time_from_sec(3000));
    bed_ends_in(&s->token, apr_time_from_sec(10));
    bed_is(prolong(s), APR_SUCCESS);
    ck_assert_int_eq(users_entries("ann"), 1);
    users_cannot_scan();
    bed_is(users_revoke("ann"), APR_SUCCESS);
    ck_assert_ptr_null(bed_stored(&s->token));
}
END_TEST

static void damage(void)
{
    bed_answer(BS_VERB_LOAD, BSESSION_ECORRUPT, 1);
}

START_TEST(a_login_begins_a_damaged_list_anew)
{
    users_login("ann");
    damage();
    users_login("ann");
    ck_assert_int_eq(users_entries("ann"), 1);
    ck_assert_int_eq(users_alive("ann"), 2);
}
END_TEST

START_TEST(without_a_list_that_can_be_read_the_store_is_looked_through)
{
    users_login("ann");
    damage();
    bed_is(users_revoke("ann"), APR_SUCCESS);
    ck_assert_int_eq(users_alive("ann"), 0);
}
END_TEST

START_TEST(where_that_cannot_be_done_it_is_no_success)
{
    users_login("ann");
    users_cannot_scan();
    damage();
    bed_is(users_revoke("ann"), BSESSION_ECORRUPT);
    ck_assert_int_eq(users_alive("ann"), 1);
    bed_is(users_revoke("ann"), APR_SUCCESS);   /* it could be read after all */
    ck_assert_int_eq(users_alive("ann"), 0);
}
END_TEST

static void put_nonsense(const bs_user_t *user)
{
    static const char *const lines[][2] = {
        { "", "1 2 3" }, { "00112233445566778899aabbccddeeff", "" },
        { "00112233445566778899aabbccddeef0", "1 2" }, { "00112233445566778899aabbccddeef1", "1 2 x" },
        { "00112233445566778899aabbccddeegg", "1 9000000000000000 3" },
        { "00112233445566778899aabbccddeef", "1 9000000000000000 3" }
    };
    bsession_field_t fields[sizeof lines / sizeof *lines];
    bsession_record_t record = { .fields = { fields, 0 } };
    bsession_save_t save = { .mode = BSESSION_CREATE, .base = 1, .record = &record };
    bsession_saved_t saved;
    size_t i;

    for (i = 0; i < sizeof lines / sizeof *lines; i++) {
        fields[i].name = (bsession_bytes_t){ lines[i][0], strlen(lines[i][0]) };
        fields[i].value = (bsession_bytes_t){ lines[i][1], strlen(lines[i][1]) };
        record.fields.count++;
    }
    bed_is(bs_store_save(&bed_store, &user->caller, &user->places[0].key, &save, &saved), APR_SUCCESS);
}

START_TEST(what_is_no_entry_is_not_there)
{
    const bsession_bytes_t name = { "ann", 3 };
    bs_user_call_t call;

    bed_is(bs_session_begin_user(&call, bed_request(NULL), &name, 0), APR_SUCCESS);
    put_nonsense(&call.user);
    ck_assert_int_eq(users_entries("ann"), 0);
    users_login("ann");
    ck_assert_int_eq(users_entries("ann"), 1);
}
END_TEST

Suite *users_list_suite(void)
{
    Suite *suite = suite_create("users_list");
    TCase *kept = tcase_create("kept"), *lost = tcase_create("lost");

    tcase_set_timeout(kept, 60);
    tcase_add_checked_fixture(kept, list_setup, bed_teardown);
    tcase_add_test(kept, what_has_run_out_leaves);
    tcase_add_test(kept, what_ended_by_itself_makes_room);
    tcase_add_test(kept, of_very_many_the_oldest_goes);
    tcase_add_test(kept, an_older_secrets_list_is_found_and_moved);
    tcase_add_test(kept, what_an_older_secrets_list_holds_counts_and_ends);
    tcase_add_test(kept, lists_of_both_secrets_are_one);
    tcase_add_test(kept, all_are_listed_and_ended_wherever_they_are);
    tcase_add_test(kept, before_any_has_moved);
    tcase_add_test(kept, a_login_moves_the_list);
    suite_add_tcase(suite, kept);
    tcase_add_checked_fixture(lost, list_setup, bed_teardown);
    tcase_add_test(lost, without_the_list_the_store_is_looked_through);
    tcase_add_test(lost, and_what_is_sealed_is_found_too);
    tcase_add_test(lost, so_is_the_older_store);
    tcase_add_test(lost, a_session_that_is_prolonged_enters_itself_again);
    tcase_add_test(lost, a_login_begins_a_damaged_list_anew);
    tcase_add_test(lost, without_a_list_that_can_be_read_the_store_is_looked_through);
    tcase_add_test(lost, where_that_cannot_be_done_it_is_no_success);
    tcase_add_test(lost, what_is_no_entry_is_not_there);
    suite_add_tcase(suite, lost);
    return suite;
}
