/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Owners while a store fails: whatever call it is that fails, what was acknowledged is so. */

#include "test_users.h"

#include <string.h>

#include <apr_strings.h>

#include "memory.h"
#include "mod_bsession.h"
#include "seal.h"

static bs_verb_t awaited;
static int       left;
static void    (*what)(void);

static void count_down(void)
{
    if (--left == 0) {
        what();
    }
    else {
        bed_before(awaited, count_down);
    }
}

void users_before(bs_verb_t verb, int n, void (*happen)(void))
{
    awaited = verb;
    left = n;
    what = happen;
    bed_before(verb, count_down);
}

int users_came_to_it(void)
{
    bed_before(awaited, NULL);
    return left == 0;
}

void users_cannot_scan(void)
{
    bed_shared.scans = -1;
    if (bed_terms.older) {
        bed_terms.older->shared->scans = -1;
    }
}

/* ---- users ---- */

bs_session_t *users_named(const bs_token_t *token, const char *name)
{
    bs_session_t *s = bed_request(token);

    bed_is(bs_session_set_owner(s, name), APR_SUCCESS);
    return s;
}

bs_session_t *users_login(const char *name)
{
    bs_session_t *s = users_named(NULL, name);

    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    return s;
}

typedef struct {
    bsession_bytes_t name;
    bs_session_t    *s;
    int              count;
} census_t;

static apr_status_t take_in(void *baton, const bsession_key_t *key, const bsession_record_t *record)
{
    census_t *census = baton;
    bsession_record_t plain = *record;

    if (!bed_terms.seal || bs_seal_open(bed_terms.seal, key, &plain, pool) == APR_SUCCESS) {
        census->count += bs_session_is_of(census->s, &plain, &census->name, NULL);
    }
    return APR_SUCCESS;
}

static void take_census(census_t *census, const bs_store_t *store)
{
    bsession_call_t call = { .deadline = apr_time_now() + apr_time_from_sec(60), .pool = pool };
    bsession_cursor_t cursor = { .done = 0 };

    while (!cursor.done) {
        bed_is(bsession_memory_provider.scan(store->backend, 's', &cursor, take_in, census, &call),
               APR_SUCCESS);
    }
}

int users_alive(const char *name)
{
    census_t census = { { name, strlen(name) }, bed_request(NULL), 0 };

    take_census(&census, &bed_store);
    if (bed_terms.older) {
        take_census(&census, bed_terms.older);
    }
    return census.count;
}

static int count_one(void *baton, const bsession_of_user_t *session)
{
    (void)session;
    ++*(int *)baton;
    return 1;
}

int users_listed(const char *name)
{
    int count = 0;

    bed_is(bs_session_list_user(bed_request(NULL), name, count_one, &count), APR_SUCCESS);
    return count;
}

static bs_user_t *open_user(const char *name)
{
    bs_user_call_t *call = apr_pcalloc(pool, sizeof *call);
    bsession_bytes_t bytes = { name, strlen(name) };

    bed_is(bs_session_begin_user(call, bed_request(NULL), &bytes, 0), APR_SUCCESS);
    return &call->user;
}

int users_entries(const char *name)
{
    bs_owned_list_t list;

    bed_is(bs_users_list(open_user(name), &list), APR_SUCCESS);
    return list.count;
}

void users_age(const char *name, apr_interval_time_t time)
{
    bs_user_t *user = open_user(name);
    bs_book_t book;
    int i;

    bed_is(bs_book_read_all(&book, user), APR_SUCCESS);
    for (i = 0; i < book.owned.count; i++) {
        book.owned.list[i].since -= time;
        book.owned.list[i].until -= time;
        book.owned.list[i].by -= time;
    }
    bed_is(bs_book_write_all(&book, user), APR_SUCCESS);
}

void users_lose_list(const char *name)
{
    bs_user_t *user = open_user(name);
    bs_book_t book;

    bed_is(bs_book_read_all(&book, user), APR_SUCCESS);
    book.owned.count = 0;
    bed_is(bs_book_write_all(&book, user), APR_SUCCESS);
}

apr_status_t users_revoke(const char *name)
{
    return bs_session_revoke_user(bed_request(NULL), name);
}

/* ---- each call fails once ---- */

static const bs_verb_t verbs[] = { BS_VERB_LOAD, BS_VERB_SAVE, BS_VERB_REMOVE, BS_VERB_SCAN };

static bs_verb_t failing;
static void    (*fail)(void);

static void refuse(void)
{
    bed_answer(failing, BED_OUTAGE, 1);
}

static void lose(void)
{
    bed_lose_answers(failing, 1);
}

static void arm(int n)
{
    users_before(failing, n, fail);
}

static apr_status_t disarm(apr_status_t status)
{
    users_came_to_it();
    return status;
}

/** `test` is run once for each call that is made between arm() and disarm(), which fails then; and
 *  once more. */
static void fail_each(void (*test)(int n, const char *name))
{
    static void (*const ways[])(void) = { refuse, lose };
    size_t verb, way;
    int n;

    for (verb = 0; verb < sizeof verbs / sizeof *verbs; verb++) {
        for (way = 0; way < 2; way++) {
            failing = verbs[verb];
            fail = ways[way];
            n = 0;
            do {
                n++;
                test(n, apr_psprintf(pool, "user %d %d %d", (int)verb, (int)way, n));
            } while (users_came_to_it());
        }
    }
}

/** All that can be alive is where the list leads, and ends when it is to. */
static void check_revoked_in_the_end(const char *name)
{
    int scans = bed_shared.scans;

    bed_shared.scans = -1;
    bed_is(users_revoke(name), APR_SUCCESS);
    ck_assert_int_eq(users_alive(name), 0);
    bed_shared.scans = scans;
}

static void check_login(bs_session_t *s, apr_status_t status, const char *name)
{
    if (status == APR_SUCCESS) {
        ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
        ck_assert_int_eq(users_alive(name), 1);
        ck_assert_int_eq(users_listed(name), 1);
    }
    else {
        bed_is(status, BED_OUTAGE);
        ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
        bed_is(s->outage, BED_OUTAGE);
    }
    check_revoked_in_the_end(name);
}

static void log_in_anew(int n, const char *name)
{
    bs_session_t *s = users_named(NULL, name);

    arm(n);
    check_login(s, disarm(bs_session_save(s, 0)), name);
}

static void log_in(int n, const char *name)
{
    bs_token_t token = bed_session("a", "1", NULL);
    bs_session_t *s = users_named(&token, name);

    arm(n);
    check_login(s, disarm(bs_session_save(s, 0)), name);
}

static void log_in_where_there_is_room(int n, const char *name)
{
    bs_session_t *old = users_login(name), *s = users_named(NULL, name);
    apr_status_t status;

    arm(n);
    status = disarm(bs_session_save(s, 0));
    if (status == BSESSION_EMANY) {
        ck_assert_ptr_nonnull(bed_stored(&old->token));
    }
    ck_assert_int_le(users_alive(name), bed_terms.user.evict ? 2 : 1);
    ck_assert(status != APR_SUCCESS || bed_stored(&s->token));
    check_revoked_in_the_end(name);
}

START_TEST(a_login)
{
    fail_each(log_in_anew);
    fail_each(log_in);
}
END_TEST

START_TEST(a_login_where_there_is_a_limit)
{
    bed_terms.user.max = 1;
    fail_each(log_in_where_there_is_room);
    bed_terms.user.evict = 1;
    fail_each(log_in_where_there_is_room);
}
END_TEST

static void change_owner(int n, const char *name)
{
    const char *next = apr_pstrcat(pool, "next ", name, NULL);
    bs_session_t *before = users_login(name), *s = users_named(&before->token, next);
    apr_status_t status;

    arm(n);
    status = disarm(bs_session_save(s, 0));
    if (status == APR_SUCCESS) {
        ck_assert_int_eq(users_alive(name), 0);
        ck_assert_int_eq(users_listed(next), 1);
    }
    ck_assert(status == APR_SUCCESS || s->cookie == BS_COOKIE_KEEP);
    ck_assert_int_eq(users_alive(name) + users_alive(next), 1);
    check_revoked_in_the_end(name);
    check_revoked_in_the_end(next);
}

static void log_out(int n, const char *name)
{
    bs_session_t *before = users_login(name), *s = bed_request(&before->token);
    apr_status_t status;

    bed_is(bs_session_load(s), APR_SUCCESS);
    arm(n);
    status = disarm(bs_session_destroy(s));
    ck_assert(status != APR_SUCCESS || users_alive(name) == 0);
    ck_assert(status == APR_SUCCESS || s->cookie == BS_COOKIE_KEEP);
    check_revoked_in_the_end(name);
}

START_TEST(another_owner)
{
    fail_each(change_owner);
}
END_TEST

START_TEST(a_logout)
{
    fail_each(log_out);
}
END_TEST

static void list(int n, const char *name)
{
    bs_session_t *asks = bed_request(NULL);
    apr_status_t status;
    int count = 0;

    users_login(name);
    users_login(name);
    arm(n);
    status = disarm(bs_session_list_user(asks, name, count_one, &count));
    bed_is(status, count == 2 ? APR_SUCCESS : BED_OUTAGE);
    check_revoked_in_the_end(name);
}

START_TEST(the_list)
{
    fail_each(list);
    bed_load_many_at_once();
    fail_each(list);
}
END_TEST

/* An end whose answer is lost is no success, but another one finds that it was done. */
static void revoke_all(int n, const char *name)
{
    bs_session_t *one = users_login(name), *other = users_login(name);
    apr_status_t status;

    arm(n);
    status = disarm(users_revoke(name));
    ck_assert(status == APR_SUCCESS || status == BED_OUTAGE);
    if (status == APR_SUCCESS) {
        ck_assert(!bed_stored(&one->token) && !bed_stored(&other->token));
    }
    bed_is(users_revoke(name), APR_SUCCESS);
    ck_assert_int_eq(users_alive(name), 0);
}

static void revoke_others(int n, const char *name)
{
    bs_session_t *mine = users_login(name), *other = users_login(name);
    bs_session_t *s = bed_request(&mine->token);
    apr_status_t status;

    bed_is(bs_session_load(s), APR_SUCCESS);
    arm(n);
    status = disarm(bs_session_revoke_others(s));
    ck_assert(status != APR_SUCCESS || !bed_stored(&other->token));
    ck_assert_ptr_nonnull(bed_stored(&mine->token));
}

static void revoke_one(int n, const char *name)
{
    bs_session_t *mine = users_login(name), *other = users_login(name);
    char tag[BS_TAG_SIZE];
    apr_status_t status;

    bs_key_tag(&other->key, tag);
    arm(n);
    status = disarm(bs_session_revoke(bed_request(NULL), name, tag));
    ck_assert(status != APR_SUCCESS || !bed_stored(&other->token));
    ck_assert(status != APR_NOTFOUND);
    ck_assert_ptr_nonnull(bed_stored(&mine->token));
}

START_TEST(an_end_of_all)
{
    fail_each(revoke_all);
    users_cannot_scan();
    fail_each(revoke_all);
}
END_TEST

START_TEST(an_end_of_others)
{
    fail_each(revoke_others);
    fail_each(revoke_one);
    users_cannot_scan();
    fail_each(revoke_others);
    fail_each(revoke_one);
}
END_TEST

static void revoke_in_both(int n, const char *name)
{
    bs_terms_t both = bed_terms;
    bs_session_t *old;
    apr_status_t status;

    bed_terms.store = bed_terms.older;
    bed_terms.older = NULL;
    old = users_login(name);
    bed_terms = both;
    users_login(name);
    arm(n);
    status = disarm(users_revoke(name));
    if (status == APR_SUCCESS) {
        ck_assert_int_eq(users_alive(name), 0);
        bed_is(bs_session_load(bed_request(&old->token)), APR_NOTFOUND);
    }
    check_revoked_in_the_end(name);
}

START_TEST(an_end_in_two_stores)
{
    bed_change_store();
    fail_each(revoke_in_both);
    users_cannot_scan();
    fail_each(revoke_in_both);
}
END_TEST

static void too_large(void)
{
    bed_answer(BS_VERB_SAVE, APR_ENOSPC, 1);
}

/* Nothing is left of it that would count. */
START_TEST(a_login_that_is_refused)
{
    bs_token_t token = bed_session("a", "1", NULL);
    int anew;

    bed_terms.user.max = 1;
    for (anew = 0; anew < 2; anew++) {
        bs_session_t *s = users_named(anew ? NULL : &token, "ann");

        users_before(BS_VERB_SAVE, 2, too_large);
        bed_is(bs_session_save(s, 0), APR_ENOSPC);
        ck_assert(users_came_to_it());
        ck_assert_int_eq(users_entries("ann"), 0);
        ck_assert_int_eq(users_alive("ann"), 0);
    }
    users_login("ann");
}
END_TEST

Suite *users_suite(void)
{
    Suite *suite = suite_create("users");
    TCase *fails = tcase_create("each call fails");

    tcase_set_timeout(fails, 60);
    tcase_add_checked_fixture(fails, bed_setup, bed_teardown);
    tcase_add_test(fails, a_login);
    tcase_add_test(fails, a_login_where_there_is_a_limit);
    tcase_add_test(fails, another_owner);
    tcase_add_test(fails, a_logout);
    tcase_add_test(fails, the_list);
    tcase_add_test(fails, an_end_of_all);
    tcase_add_test(fails, an_end_of_others);
    tcase_add_test(fails, an_end_in_two_stores);
    tcase_add_test(fails, a_login_that_is_refused);
    suite_add_tcase(suite, fails);
    return suite;
}
