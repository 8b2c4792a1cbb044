/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "users.h"

#include <stdlib.h>
#include <string.h>

#include "merge.h"
#include "mod_bsession.h"
#include "token.h"
#include "users_book.h"

#define LABEL    "bsession user 1"
#define TAG_SIZE 6

/* ---- where it is ---- */

static void set_key(bsession_key_t *key, const unsigned char *digest)
{
    key->space = 'u';
    memcpy(key->bytes, digest, sizeof key->bytes);
}

static apr_status_t plain_key(bsession_key_t *key, const bs_terms_t *terms,
                              const bsession_bytes_t *name)
{
    unsigned char digest[BS_SHA256_SIZE], text[sizeof LABEL + BS_REALM_SIZE + BS_OWNER_MAX];
    bsession_bytes_t bytes = { (const char *)text, sizeof LABEL + BS_REALM_SIZE + name->len };
    apr_status_t status;

    memcpy(text, LABEL, sizeof LABEL);
    memcpy(text + sizeof LABEL, terms->realm, BS_REALM_SIZE);
    memcpy(text + sizeof LABEL + BS_REALM_SIZE, name->data, name->len);
    status = bs_sha256(&bytes, digest);
    set_key(key, digest);
    return status;
}

/** The realm is in the secret's key already. */
static apr_status_t keyed_key(bsession_key_t *key, const bs_secret_t *secret,
                              const bsession_bytes_t *name)
{
    unsigned char digest[BS_BLAKE2B_SIZE], text[BS_SECRET_SIZE + BS_OWNER_MAX];
    apr_status_t status;

    memcpy(text, secret->user, BS_SECRET_SIZE);
    memcpy(text + BS_SECRET_SIZE, name->data, name->len);
    status = bs_blake2b(text, BS_SECRET_SIZE + name->len, digest);
    set_key(key, digest);
    return status;
}

apr_status_t bs_user_name(bs_user_t *user, const bs_terms_t *terms, const bsession_bytes_t *name)
{
    int i, count = terms->keys ? terms->keys->count : 1;
    apr_status_t status = APR_SUCCESS;

    user->nplaces = user->older ? 2 * count : count;
    for (i = 0; i < count && status == APR_SUCCESS; i++) {
        bs_users_place_t *place = &user->places[i];

        status = terms->keys ? keyed_key(&place->key, &terms->keys->list[i], name)
                             : plain_key(&place->key, terms, name);
        place->store = user->store;
        if (user->older) {
            user->places[count + i] = (bs_users_place_t){ user->older, place->key };
        }
    }
    return status;
}

/* ---- trying again ---- */

static apr_time_t deadline_of(const bs_user_t *user)
{
    return user->caller.deadline ? user->caller.deadline : apr_time_now() + user->store->timeout;
}

/** Whether what was read is to be read again; if not, *status is what comes of it. */
static int again(apr_status_t *status, int tries, apr_time_t deadline)
{
    if (*status != APR_EMISMATCH) {
        return 0;
    }
    if (apr_time_now() >= deadline) {
        *status = APR_TIMEUP;
        return 0;
    }
    bs_store_pause(tries, deadline);
    return 1;
}

/** A list that nobody can read would keep its user from ever logging in again. */
static apr_status_t read_or_begin_anew(const bs_user_t *user, bs_book_t *book, int which)
{
    const bs_users_place_t *place = &user->places[which];
    apr_status_t status = bs_book_read(book, user, which);

    if (status == BSESSION_ECORRUPT) {
        status = bs_store_remove(place->store, &user->caller, &place->key, 0);
        if (status == APR_SUCCESS || status == APR_NOTFOUND) {
            status = bs_book_read(book, user, which);
        }
    }
    return status;
}

static apr_status_t read_all_or_begin_anew(const bs_user_t *user, bs_book_t *book)
{
    apr_status_t status = APR_SUCCESS;
    int i;

    memset(book, 0, sizeof *book);
    for (i = 0; i < user->nplaces && status == APR_SUCCESS; i++) {
        status = read_or_begin_anew(user, book, i);
    }
    return status;
}

/* ---- looking at the sessions ---- */

/** What has ended, or was never stored, leaves the list; *there counts those that are stored, and
 *  `statuses` speaks of those that stay. */
static apr_status_t drop_ended(const bs_user_t *user, bs_book_t *book, apr_status_t *statuses,
                               int *there)
{
    apr_time_t now = apr_time_now();
    int i;

    *there = 0;
    user->look(user->baton, book->owned.list, book->owned.count, statuses);
    for (i = book->owned.count - 1; i >= 0; i--) {
        if (statuses[i] == APR_SUCCESS) {
            ++*there;
        }
        else if (statuses[i] != APR_NOTFOUND) {
            return statuses[i];
        }
        else if (!bs_owned_is_coming(&book->owned.list[i], now)) {
            bs_book_drop(book, i);
            statuses[i] = statuses[book->owned.count];
        }
    }
    return APR_SUCCESS;
}

static apr_status_t *make_statuses(const bs_user_t *user, const bs_book_t *book)
{
    return apr_pcalloc(user->caller.pool,
                       (apr_size_t)(book->owned.count + 1) * sizeof(apr_status_t));
}

static int others(const bs_book_t *book, const bsession_key_t *key)
{
    return book->owned.count - (bs_book_find(book, key) != NULL);
}

/** Only who would be refused has the sessions themselves looked at. */
static apr_status_t find_room(const bs_user_t *user, bs_book_t *book, const bsession_key_t *key,
                              int most)
{
    apr_status_t status = APR_SUCCESS;
    int there;

    if (most && others(book, key) >= most) {
        status = drop_ended(user, book, make_statuses(user, book), &there);
        if (status == APR_SUCCESS && others(book, key) >= most) {
            status = BSESSION_EMANY;
        }
    }
    return status;
}

/* ---- one session ---- */

/** Clocks of several servers differ: what counts is who came after whom. Behind the last moment
 *  that a list can hold nobody comes. */
static apr_time_t after_all(const bs_book_t *book, apr_time_t since)
{
    int i;

    for (i = 0; i < book->owned.count; i++) {
        if (book->owned.list[i].since >= since) {
            since = book->owned.list[i].since + 1;
        }
    }
    return since < BS_OWNED_TIME_MOST ? since : BS_OWNED_TIME_MOST;
}

/** Both are copies: the book does not last. */
static void put(bs_book_t *book, const bs_user_t *user, const bs_owned_t *mine, bs_entered_t *entered)
{
    const bs_owned_t *old = bs_book_find(book, &mine->key);

    entered->had = old != NULL;
    if (old) {
        entered->before = *old;
    }
    entered->entry = *mine;
    entered->entry.since = after_all(book, apr_time_now());
    bs_book_put(book, &entered->entry, user->caller.pool);
    entered->count = book->owned.count;
}

apr_status_t bs_users_enter(const bs_user_t *user, const bs_owned_t *mine, int most,
                            bs_entered_t *entered)
{
    apr_time_t deadline = deadline_of(user);
    apr_status_t status;
    int tries = 0;

    do {
        bs_book_t book;

        status = read_all_or_begin_anew(user, &book);
        if (status == APR_SUCCESS) {
            status = find_room(user, &book, &mine->key, most);
        }
        if (status == APR_SUCCESS) {
            put(&book, user, mine, entered);
            status = bs_book_write_all(&book, user);
        }
    } while (again(&status, tries++, deadline));
    return status;
}

apr_status_t bs_users_assert(const bs_user_t *user, const bs_owned_t *mine)
{
    apr_time_t deadline = deadline_of(user);
    apr_status_t status;
    int tries = 0;

    do {
        bs_owned_t entry = *mine, *old;
        bs_book_t book;

        status = read_all_or_begin_anew(user, &book);
        if (status != APR_SUCCESS) {
            return status;
        }
        old = bs_book_find(&book, &mine->key);
        if (old && old->until >= mine->until && !bs_book_is_moving(&book, user)) {
            return APR_SUCCESS;
        }
        if (old) {
            entry.since = old->since;
            entry.by = old->by;
        }
        bs_book_put(&book, &entry, user->caller.pool);
        status = bs_book_write_all(&book, user);
    } while (again(&status, tries++, deadline));
    return status;
}

/** A session's entry goes; where `login` is not NULL only that login's, and what was there before
 *  it comes back. */
static apr_status_t leave_list(const bs_user_t *user, int which, const bsession_key_t *key,
                               const bs_entered_t *login)
{
    apr_time_t deadline = deadline_of(user);
    apr_status_t status;
    int tries = 0;

    do {
        bs_book_t book = { { NULL, 0 }, 0, { 0 } };
        bs_owned_t *listed;

        status = bs_book_read(&book, user, which);
        listed = status == APR_SUCCESS ? bs_book_find(&book, key) : NULL;
        if (!listed || (login && listed->since != login->entry.since)) {
            return status;
        }
        if (login && login->had) {
            *listed = login->before;
        }
        else {
            bs_book_drop(&book, (int)(listed - book.owned.list));
        }
        status = bs_book_write(&book, user, which);
    } while (again(&status, tries++, deadline));
    return status;
}

apr_status_t bs_users_withdraw(const bs_user_t *user, const bs_entered_t *entered)
{
    return leave_list(user, 0, &entered->entry.key, entered);
}

apr_status_t bs_users_leave(const bs_user_t *user, const bsession_key_t *key)
{
    apr_status_t status = APR_SUCCESS;
    int i;

    for (i = 0; i < user->nplaces && status == APR_SUCCESS; i++) {
        status = leave_list(user, i, key, NULL);
    }
    return status;
}

/* ---- all of them ---- */

static int by_login(const void *one, const void *other)
{
    const bs_owned_t *a = one, *b = other;

    return (a->since < b->since) - (a->since > b->since);
}

apr_status_t bs_users_list(const bs_user_t *user, bs_owned_list_t *list)
{
    bs_book_t book = { { NULL, 0 }, 0, { 0 } };
    apr_status_t status = APR_SUCCESS;
    int i;

    for (i = 0; i < user->nplaces && status == APR_SUCCESS; i++) {
        status = bs_book_read(&book, user, i);
        if (status == BSESSION_ECORRUPT) {
            status = APR_SUCCESS;       /* as good as dropped */
        }
    }
    *list = book.owned;
    if (list->count) {
        qsort(list->list, (size_t)list->count, sizeof *list->list, by_login);
    }
    return status;
}

static int oldest(const bs_book_t *book, const apr_status_t *statuses)
{
    int i, found = -1;

    for (i = 0; i < book->owned.count; i++) {
        if (statuses[i] == APR_SUCCESS
            && (found < 0 || book->owned.list[i].since < book->owned.list[found].since)) {
            found = i;
        }
    }
    return found;
}

/** Those that are not stored yet look for themselves when they are. */
static apr_status_t end_oldest(const bs_user_t *user, bs_book_t *book, int most)
{
    apr_status_t *statuses = make_statuses(user, book), status;
    int there, i;

    status = drop_ended(user, book, statuses, &there);
    for (; status == APR_SUCCESS && there > most; there--) {
        i = oldest(book, statuses);
        status = user->end(user->baton, &book->owned.list[i].key);
        if (status == APR_SUCCESS || status == APR_NOTFOUND) {
            bs_book_drop(book, i);
            statuses[i] = statuses[book->owned.count];
            status = APR_SUCCESS;
        }
    }
    return status;
}

apr_status_t bs_users_trim(const bs_user_t *user, int most)
{
    apr_time_t deadline = deadline_of(user);
    apr_status_t status;
    int tries = 0, listed;

    do {
        bs_book_t book;

        status = bs_book_read_all(&book, user);
        listed = book.owned.count;
        if (status != APR_SUCCESS || listed <= most) {
            return status;
        }
        status = end_oldest(user, &book, most);
        if (status == APR_SUCCESS && book.owned.count < listed) {
            status = bs_book_write_all(&book, user);
        }
    } while (again(&status, tries++, deadline));
    return status;
}

int bs_which_is(const bs_which_t *which, const bsession_key_t *key)
{
    return !(which->but && memcmp(which->but->bytes, key->bytes, sizeof key->bytes) == 0)
           && !(which->tag && memcmp(which->tag, key->bytes, TAG_SIZE) != 0);
}

/** Those that were ended, or are not there, leave the list. */
static apr_status_t end_listed(const bs_user_t *user, const bs_which_t *which, bs_book_t *book,
                               int *ended)
{
    apr_time_t now = apr_time_now();
    int i;

    for (i = book->owned.count - 1; i >= 0; i--) {
        const bs_owned_t *entry = &book->owned.list[i];
        apr_status_t status;

        if (!bs_which_is(which, &entry->key)) {
            continue;
        }
        status = user->end(user->baton, &entry->key);
        if (status == APR_SUCCESS) {
            ++*ended;
        }
        else if (status != APR_NOTFOUND) {
            return status;
        }
        if (status == APR_SUCCESS || !bs_owned_is_coming(entry, now)) {
            bs_book_drop(book, i);
        }
    }
    return APR_SUCCESS;
}

/** For as long as others change the list: who was entered meanwhile is ended, too. */
static apr_status_t end_in_list(const bs_user_t *user, int which, const bs_which_t *chosen,
                                int *ended)
{
    apr_time_t deadline = deadline_of(user);
    apr_status_t status;
    int tries = 0;

    do {
        bs_book_t book = { { NULL, 0 }, 0, { 0 } };
        int listed, before = *ended;

        status = bs_book_read(&book, user, which);
        listed = book.owned.count;
        if (status == APR_SUCCESS) {
            status = end_listed(user, chosen, &book, ended);
        }
        if (status == APR_SUCCESS && book.owned.count < listed) {
            status = bs_book_write(&book, user, which);
        }
        if (*ended > before) {
            deadline = deadline_of(user);
        }
    } while (again(&status, tries++, deadline));
    return status;
}

/* What is moved to the first place meanwhile is found there. */
apr_status_t bs_users_end(const bs_user_t *user, const bs_which_t *which, int *ended)
{
    apr_status_t status = APR_SUCCESS, corrupt = APR_SUCCESS;
    int i;

    for (i = user->nplaces - 1; i >= 0 && status == APR_SUCCESS; i--) {
        status = end_in_list(user, i, which, ended);
        if (status == BSESSION_ECORRUPT) {
            corrupt = status;
            status = APR_SUCCESS;
        }
    }
    return status == APR_SUCCESS ? corrupt : status;
}
