/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A site changes its store: sessions are found where they were, and move when they are saved. */

#include "test_move.h"

#include <string.h>

#include "mod_bsession.h"

bs_token_t move_token;

static bs_session_t *other;
static bs_terms_t    old_terms;             /* of a server that knows of the older store only */

void move_setup(void)
{
    bed_setup();
    move_token = bed_session("a", "1", "n", "10", NULL);
    old_terms = bed_terms;
    bed_change_store();
    old_terms.store = &bed_older;
}

bs_session_t *move_loaded(void)
{
    bs_session_t *s = bed_request(&move_token);

    bed_is(bs_session_load(s), APR_SUCCESS);
    return s;
}

static void save_other(void)
{
    bed_is(bs_session_save(other, 0), APR_SUCCESS);
}

static void destroy_other(void)
{
    bed_is(bs_session_destroy(other), APR_SUCCESS);
}

int move_is_in(const bs_store_t *store)
{
    return bed_stored_in(store, &move_token) != NULL;
}

/* ---- one request ---- */

START_TEST(what_is_only_read_stays)
{
    bs_session_t *s = move_loaded();

    ck_assert_str_eq(bed_get(s, "a"), "1");
    ck_assert_int_eq(bed_calls(BS_VERB_LOAD), 2);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(move_is_in(&bed_older) && !move_is_in(&bed_store));
    ck_assert_int_eq(bed_calls(BS_VERB_SAVE), 1);       /* the one that made it */
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
}
END_TEST

START_TEST(what_is_saved_moves)
{
    bs_session_t *s = move_loaded();
    apr_time_t created = s->meta.created;
    int calls;

    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_is(bs_session_incr(s, "n", 1, NULL), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(move_is_in(&bed_store) && !move_is_in(&bed_older));
    ck_assert_str_eq(bed_value(&move_token, "a"), "1");
    ck_assert_str_eq(bed_value(&move_token, "b"), "2");
    ck_assert_str_eq(bed_value(&move_token, "n"), "11");
    ck_assert_int_eq(bed_stored(&move_token)->meta.created, created);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_uint_eq(bed_events(BS_MIGRATED), 1);
    ck_assert_uint_eq(bed_events(BS_CREATED), 0 + 1);   /* before the store was changed */
    /* and from now on it is like any other */
    calls = bed_all_calls();
    bed_is(bed_set(s, "c", "3"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_all_calls(), calls + 1);
    ck_assert_str_eq(bed_get(move_loaded(), "c"), "3");
    ck_assert_uint_eq(bed_events(BS_MIGRATED), 1);
}
END_TEST

START_TEST(its_life_comes_along)
{
    bs_session_t *s;
    bed_stored_t *stored = bed_stored_in(&bed_older, &move_token);
    apr_time_t end = stored->record.expires + apr_time_from_sec(5000);
    bsession_call_t call = { .deadline = apr_time_now() + apr_time_from_sec(60), .pool = pool };
    bsession_key_t key;

    bs_token_key(&move_token, &key);
    bed_is(bed_older.provider->touch(bed_older.backend, &key, end, &call), APR_SUCCESS);
    s = move_loaded();
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_stored(&move_token)->record.expires, end);
    ck_assert_int_eq(s->record.expires, end);
}
END_TEST

START_TEST(a_touch_goes_to_where_it_is)
{
    bs_session_t *s = bed_request(&move_token);
    apr_time_t end = bed_stored_in(&bed_older, &move_token)->record.expires;

    s->terms.idle *= 2;
    bed_is(bs_session_touch(s, 0), APR_SUCCESS);
    ck_assert(bed_stored_in(&bed_older, &move_token)->record.expires > end);
    ck_assert(!move_is_in(&bed_store));
    /* moved in between */
    s = move_loaded();
    other = move_loaded();
    bed_is(bed_set(other, "b", "2"), APR_SUCCESS);
    save_other();
    s->terms.idle *= 4;
    end = bed_stored(&move_token)->record.expires;
    bed_is(bs_session_touch(s, 0), APR_SUCCESS);
    ck_assert(bed_stored(&move_token)->record.expires > end);
}
END_TEST

START_TEST(a_login_moves_and_rotates)
{
    bs_session_t *s = move_loaded(), *late;
    bs_token_t before = move_token;

    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(!move_is_in(&bed_older));
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    late = bed_request(&before);
    bed_is(bs_session_load(late), APR_NOTFOUND);
    ck_assert_int_eq(late->state, BS_RETIRED);
    bed_is(bs_session_load(bed_request(&s->token)), APR_SUCCESS);
}
END_TEST

START_TEST(destroyed_before_it_moved)
{
    bed_is(bs_session_destroy(move_loaded()), APR_SUCCESS);
    ck_assert(!move_is_in(&bed_older) && !move_is_in(&bed_store));
    bed_is(bs_session_load(bed_request(&move_token)), APR_NOTFOUND);
}
END_TEST

START_TEST(an_unknown_token_is_looked_up_in_both)
{
    bs_token_t unknown;

    bed_is(bs_token_new(&unknown), APR_SUCCESS);
    bed_is(bs_session_load(bed_request(&unknown)), APR_NOTFOUND);
    ck_assert_int_eq(bed_calls(BS_VERB_LOAD), 3);
}
END_TEST

START_TEST(a_new_session_is_made_in_the_store_in_use)
{
    bs_session_t *s = bed_request(NULL);

    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_ptr_nonnull(bed_stored_in(&bed_store, &s->token));
    ck_assert_ptr_null(bed_stored_in(&bed_older, &s->token));
    ck_assert_uint_eq(bed_events(BS_MIGRATED), 0);
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    ck_assert_ptr_null(bed_stored_in(&bed_store, &s->token));
}
END_TEST

/* ---- two requests ---- */

START_TEST(two_movers_both_win)
{
    bs_session_t *s = move_loaded();

    other = move_loaded();
    bed_is(bed_set(s, "mine", "m"), APR_SUCCESS);
    bed_is(bs_session_incr(s, "n", 5, NULL), APR_SUCCESS);
    bed_is(bed_set(other, "theirs", "t"), APR_SUCCESS);
    bed_is(bs_session_incr(other, "n", 100, NULL), APR_SUCCESS);
    bed_before(BS_VERB_SAVE, save_other);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&move_token, "mine"), "m");
    ck_assert_str_eq(bed_value(&move_token, "theirs"), "t");
    ck_assert_str_eq(bed_value(&move_token, "n"), "115");
    ck_assert(!move_is_in(&bed_older));
    ck_assert_uint_eq(bed_events(BS_MIGRATED), 1);
}
END_TEST

static apr_time_t touched_until;

static void touch_other(void)
{
    bed_is(bs_session_touch(other, 0), APR_SUCCESS);
    touched_until = other->record.expires;
}

/* Before it is made here, and when it is in both. */
START_TEST(prolonged_while_it_moves)
{
    bs_session_t *s = move_loaded();

    other = move_loaded();
    other->terms.idle *= 2;
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_before(_i == 0 ? BS_VERB_SAVE : BS_VERB_REMOVE, touch_other);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(move_is_in(&bed_store) && !move_is_in(&bed_older));
    ck_assert(touched_until > s->meta.created + s->terms.idle);
    ck_assert_int_eq(bed_stored(&move_token)->record.expires, touched_until);
}
END_TEST

static void move_it(void)
{
    other = move_loaded();
    bed_is(bed_set(other, "b", "2"), APR_SUCCESS);
    save_other();
}

static void move_before_the_next_load(void)
{
    bed_before(BS_VERB_LOAD, move_it);
}

START_TEST(moved_between_the_two_looks)
{
    bs_session_t *s = bed_request(&move_token);

    bed_before(BS_VERB_LOAD, move_before_the_next_load);
    bed_is(bs_session_load(s), APR_SUCCESS);
    ck_assert_str_eq(bed_get(s, "b"), "2");
}
END_TEST

START_TEST(destroyed_while_it_moves)
{
    bs_session_t *s = move_loaded();

    other = move_loaded();
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_before(BS_VERB_LOAD, destroy_other);    /* the record is in both by then */
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert(!move_is_in(&bed_older) && !move_is_in(&bed_store));
    ck_assert_int_eq(s->state, BS_GONE);
    ck_assert_uint_eq(bed_events(BS_MIGRATED), 0);
}
END_TEST

START_TEST(destroyed_when_it_had_moved)
{
    bs_session_t *s = move_loaded();

    other = move_loaded();
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_before(BS_VERB_REMOVE, destroy_other);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert(!move_is_in(&bed_older) && !move_is_in(&bed_store));
    bed_is(bed_set(s, "c", "3"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
}
END_TEST

/* What was built on a session that had ended goes with it. */
static void build_on_it_and_destroy_it(void)
{
    bs_session_t *builder = move_loaded();

    bed_is(bed_set(builder, "c", "3"), APR_SUCCESS);
    bed_is(bs_session_save(builder, 0), APR_SUCCESS);
    destroy_other();
}

START_TEST(destroyed_while_it_moves_and_others_use_it)
{
    bs_session_t *s = move_loaded();

    other = move_loaded();
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_before(BS_VERB_LOAD, build_on_it_and_destroy_it);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert(!move_is_in(&bed_older) && !move_is_in(&bed_store));
}
END_TEST

/* The same by a server that was not told of the new store, and leaves what is there to the mover. */
static void build_on_it_and_destroy_the_older(void)
{
    bs_session_t *builder = move_loaded();
    bs_session_t *old = bs_session_open(pool, &old_terms, &move_token, 1, NULL, NULL);

    bed_is(bed_set(builder, "c", "3"), APR_SUCCESS);
    bed_is(bs_session_save(builder, 0), APR_SUCCESS);
    bed_is(bs_session_destroy(old), APR_SUCCESS);
}

START_TEST(destroyed_in_the_older_while_it_moves_and_others_use_it)
{
    bs_session_t *s = move_loaded();

    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    bed_before(BS_VERB_LOAD, build_on_it_and_destroy_the_older);
    bed_is(bs_session_save(s, 0), BSESSION_EGONE);
    ck_assert(!move_is_in(&bed_older) && !move_is_in(&bed_store));
}
END_TEST

START_TEST(destroyed_after_it_moved)
{
    bs_session_t *s = move_loaded();

    move_it();
    bed_is(bs_session_destroy(s), APR_SUCCESS);
    ck_assert(!move_is_in(&bed_older) && !move_is_in(&bed_store));
    ck_assert_int_eq(s->cookie, BS_COOKIE_DELETE);
}
END_TEST

START_TEST(after_a_login_that_moved_it_others_cannot_destroy_it)
{
    bs_session_t *s = move_loaded(), *login = move_loaded();

    bed_is(bs_session_rotate(login), APR_SUCCESS);
    bed_is(bs_session_save(login, 0), APR_SUCCESS);
    bed_is(bs_session_destroy(s), BSESSION_EGONE);
    bed_is(bs_session_load(bed_request(&login->token)), APR_SUCCESS);
}
END_TEST

/* A server that was not told of the new store changes what we have loaded. */
static void change_in_the_older(void)
{
    bs_session_t *s = bs_session_open(pool, &old_terms, &move_token, 1, NULL, NULL);

    bed_is(bed_set(s, "theirs", "t"), APR_SUCCESS);
    bed_is(bs_session_incr(s, "n", 100, NULL), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
}

START_TEST(changed_in_the_older_while_it_moves)
{
    bs_session_t *s = move_loaded();

    bed_is(bed_set(s, "mine", "m"), APR_SUCCESS);
    bed_is(bs_session_incr(s, "n", 5, NULL), APR_SUCCESS);
    bed_before(BS_VERB_REMOVE, change_in_the_older);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&move_token, "mine"), "m");
    ck_assert_str_eq(bed_value(&move_token, "theirs"), "t");
    ck_assert_str_eq(bed_value(&move_token, "n"), "115");
    ck_assert(!move_is_in(&bed_older));
}
END_TEST

static void change_in_both(void)
{
    bs_session_t *s = move_loaded();

    change_in_the_older();
    bed_is(bed_set(s, "built", "b"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
}

START_TEST(what_others_have_built_on_is_not_taken_back)
{
    bs_session_t *s = move_loaded();

    bed_is(bed_set(s, "mine", "m"), APR_SUCCESS);
    bed_before(BS_VERB_REMOVE, change_in_both);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&move_token, "mine"), "m");
    ck_assert_str_eq(bed_value(&move_token, "built"), "b");
    ck_assert(!move_is_in(&bed_older));
}
END_TEST

Suite *session_move_suite(void)
{
    Suite *suite = suite_create("session_move");
    TCase *one = tcase_create("one"), *two = tcase_create("two");

    tcase_add_checked_fixture(one, move_setup, bed_teardown);
    tcase_add_test(one, what_is_only_read_stays);
    tcase_add_test(one, what_is_saved_moves);
    tcase_add_test(one, its_life_comes_along);
    tcase_add_test(one, a_touch_goes_to_where_it_is);
    tcase_add_test(one, a_login_moves_and_rotates);
    tcase_add_test(one, destroyed_before_it_moved);
    tcase_add_test(one, an_unknown_token_is_looked_up_in_both);
    tcase_add_test(one, a_new_session_is_made_in_the_store_in_use);
    suite_add_tcase(suite, one);
    tcase_add_checked_fixture(two, move_setup, bed_teardown);
    tcase_add_test(two, two_movers_both_win);
    tcase_add_loop_test(two, prolonged_while_it_moves, 0, 2);
    tcase_add_test(two, moved_between_the_two_looks);
    tcase_add_test(two, destroyed_while_it_moves);
    tcase_add_test(two, destroyed_when_it_had_moved);
    tcase_add_test(two, destroyed_while_it_moves_and_others_use_it);
    tcase_add_test(two, destroyed_in_the_older_while_it_moves_and_others_use_it);
    tcase_add_test(two, destroyed_after_it_moved);
    tcase_add_test(two, after_a_login_that_moved_it_others_cannot_destroy_it);
    tcase_add_test(two, changed_in_the_older_while_it_moves);
    tcase_add_test(two, what_others_have_built_on_is_not_taken_back);
    suite_add_tcase(suite, two);
    return suite;
}
