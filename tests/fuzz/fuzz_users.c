/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The list of a user's sessions. The input is what its places hold: any fields, any revision; and
 * then what is done, while calls fail, answers are lost, and others write the same list. What is
 * written is a list that can be read again, in which no session occurs twice, and that lives until
 * the last has run out: users_store.c. What was to be done is done where the answer says so. */

#include <string.h>

#include <apr_general.h>

#include "mod_bsession.h"
#include "users_book.h"
#include "users_store.h"

static apr_pool_t *pool;
static bs_keys_t keys;
static bs_user_t user;

/* ---- the sessions ---- */

static unsigned char ended[0x10000];

static int is_there(const bsession_key_t *key)
{
    return (key->bytes[0] & 3) != 3 && !ended[key->bytes[0] | key->bytes[1] << 8];
}

static void look(void *baton, const bs_owned_t *list, int count, apr_status_t *statuses)
{
    int i;

    (void)baton;
    for (i = 0; i < count; i++) {
        statuses[i] = is_there(&list[i].key) ? APR_SUCCESS : APR_NOTFOUND;
    }
}

static apr_status_t end_one(void *baton, const bsession_key_t *key)
{
    apr_status_t status = is_there(key) ? APR_SUCCESS : APR_NOTFOUND;

    (void)baton;
    ended[key->bytes[0] | key->bytes[1] << 8] = 1;
    return status;
}

/* ---- the user ---- */

static void begin(void)
{
    static const bsession_bytes_t secrets[] = { { "0123456789abcdef0123456789abcdef", 32 },
                                                { "fedcba9876543210fedcba9876543210", 32 } };
    static const unsigned char realm[BS_REALM_SIZE] = { 1 };

    if (!pool) {
        MUST(apr_initialize() == APR_SUCCESS && bs_crypto_init() == APR_SUCCESS);
        MUST(apr_pool_create(&pool, NULL) == APR_SUCCESS);
        MUST(bs_keys_derive(&keys, secrets, 2, realm) == APR_SUCCESS);
    }
    memset(ended, 0, sizeof ended);
    users_settle();
}

/* With or without an older secret, and an older store. */
static void begin_user(unsigned how)
{
    static const bsession_bytes_t name = { "ann", 3 };
    bs_terms_t terms = { .keys = how & 1 ? &keys : NULL };

    memset(&user, 0, sizeof user);
    user.store = &users_stores[0];
    user.older = how & 2 ? &users_stores[1] : NULL;
    user.caller.pool = pool;
    user.look = look;
    user.end = end_one;
    MUST(bs_user_name(&user, &terms, &name) == APR_SUCCESS);
    MUST(user.nplaces == (how & 1 ? 2 : 1) * (how & 2 ? 2 : 1));
    users_fill(&user);
}

/* As it is, once nothing goes wrong. */
static bs_book_t book_now(void)
{
    bs_book_t book;

    users_settle();
    MUST(bs_book_read_all(&book, &user) == APR_SUCCESS);
    return book;
}

/* Only a login begins a list anew that cannot be read. */
static void check_failure(apr_status_t status)
{
    MUST(status == APR_SUCCESS || users_were_disturbed()
         || (status == BSESSION_ECORRUPT && users_are_stuck()));
}

static bs_owned_t next_owned(void)
{
    bs_owned_t owned = { .key = users_key(users_next()), .since = apr_time_now() };

    owned.until = apr_time_now() + apr_time_from_sec(1 + users_next());
    owned.by = apr_time_now() + apr_time_from_sec(users_next());
    return owned;
}

/* ---- one session ---- */

static bs_entered_t entered;
static int has_entered;

static void enter(void)
{
    bs_owned_t mine = next_owned(), *listed;
    int most = (int)users_next() % 8, i;
    apr_status_t status = bs_users_enter(&user, &mine, most, &entered);
    bs_book_t book;

    has_entered = status == APR_SUCCESS;
    MUST(has_entered || users_were_disturbed() || (most && status == BSESSION_EMANY));
    if (!has_entered) {
        return;
    }
    MUST(!most || entered.count <= most);
    book = book_now();
    listed = bs_book_find(&book, &mine.key);
    MUST(listed && listed->since == entered.entry.since);
    if (users_were_disturbed()) {
        return;
    }
    MUST(book.owned.count == entered.count && !bs_book_is_moving(&book, &user));
    for (i = 0; i < book.owned.count; i++) {
        MUST(book.owned.list[i].since <= listed->since);
    }
}

/* Of the place that is written to. */
static void withdraw(void)
{
    bs_book_t book = { { NULL, 0 }, 0, { 0 } };
    const bs_owned_t *listed;
    apr_status_t status;

    if (!has_entered) {
        return;
    }
    status = bs_users_withdraw(&user, &entered);
    check_failure(status);
    if (status == APR_SUCCESS) {
        users_settle();
        MUST(bs_book_read(&book, &user, 0) == APR_SUCCESS);
        listed = bs_book_find(&book, &entered.entry.key);
        MUST(!listed || listed->since != entered.entry.since
             || (entered.had && entered.before.since == listed->since));
    }
}

static void assert_it(void)
{
    bs_owned_t mine = next_owned();
    apr_status_t status = bs_users_assert(&user, &mine);
    const bs_owned_t *listed;
    bs_book_t book;

    MUST(status == APR_SUCCESS || users_were_disturbed());
    if (status == APR_SUCCESS) {
        book = book_now();
        listed = bs_book_find(&book, &mine.key);
        MUST(listed && listed->until >= mine.until);
        MUST(users_were_disturbed() || !bs_book_is_moving(&book, &user));
    }
}

static void leave(void)
{
    bsession_key_t key = users_key(users_next());
    apr_status_t status = bs_users_leave(&user, &key);
    bs_book_t book;

    check_failure(status);
    if (status == APR_SUCCESS) {
        book = book_now();
        MUST(!bs_book_find(&book, &key));
    }
}

/* ---- all of them ---- */

static void trim(void)
{
    int most = (int)(users_next() % 64), there = 0, i;
    apr_status_t status = bs_users_trim(&user, most);
    bs_book_t book;

    check_failure(status);
    if (status == APR_SUCCESS) {
        book = book_now();
        for (i = 0; i < book.owned.count; i++) {
            there += is_there(&book.owned.list[i].key);
        }
        MUST(there <= most);
    }
}

static void list(void)
{
    bs_owned_list_t all;
    bs_book_t book;
    apr_status_t status = bs_users_list(&user, &all);
    int i;

    check_failure(status);
    for (i = 0; i < all.count; i++) {
        MUST(i == 0 || all.list[i - 1].since >= all.list[i].since);
        MUST(all.list[i].until >= apr_time_now() || all.list[i].by >= apr_time_now());
    }
    if (!users_were_disturbed() && !users_are_stuck()) {
        book = book_now();
        MUST(book.owned.count == all.count);
    }
}

static void end_some(void)
{
    unsigned byte = users_next();
    bsession_key_t key = users_key(users_next());
    bs_which_t which = { byte & 1 ? &key : NULL, byte & 2 ? key.bytes : NULL };
    int count = 0, i;
    apr_status_t status = bs_users_end(&user, &which, &count);
    bs_book_t book;

    check_failure(status);
    MUST(count >= 0);
    if (status != APR_SUCCESS) {
        return;
    }
    book = book_now();
    for (i = 0; i < book.owned.count; i++) {
        const bs_owned_t *entry = &book.owned.list[i];

        MUST(!bs_which_is(&which, &entry->key)
             || (!is_there(&entry->key) && bs_owned_is_coming(entry, apr_time_now())));
    }
}

/* What was read, and is written, is read again. */
static void write_again(void)
{
    bs_book_t book, again;
    int i;

    if (users_are_stuck()) {
        return;
    }
    book = book_now();
    MUST(bs_book_write_all(&book, &user) == APR_SUCCESS);
    again = book_now();
    MUST(again.owned.count == book.owned.count && !bs_book_is_moving(&again, &user));
    for (i = 0; i < book.owned.count; i++) {
        const bs_owned_t *one = &book.owned.list[i], *other = bs_book_find(&again, &one->key);

        MUST(other && one->since == other->since && one->until == other->until
             && one->by == other->by);
        MUST(bs_book_find(&book, &one->key) == one);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const acts[])(void) = { enter, withdraw, assert_it, leave, trim, list, end_some,
                                          write_again };
    int i;

    begin();
    users_input(data, size);
    begin_user(users_next());
    has_entered = 0;
    for (i = 0; i < 16 && !users_is_over(); i++) {
        unsigned act = users_next() % 8;

        users_plan();
        acts[act]();
    }
    users_empty();
    apr_pool_clear(pool);
    return 0;
}
