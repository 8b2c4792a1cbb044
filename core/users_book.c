/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "users_book.h"

#include <string.h>

#include <apr_strings.h>

#include "merge.h"
#include "record.h"
#include "token.h"

/* ---- entries ---- */

bs_owned_t *bs_book_find(const bs_book_t *book, const bsession_key_t *key)
{
    int i;

    for (i = 0; i < book->owned.count; i++) {
        if (memcmp(book->owned.list[i].key.bytes, key->bytes, sizeof key->bytes) == 0) {
            return &book->owned.list[i];
        }
    }
    return NULL;
}

void bs_book_drop(bs_book_t *book, int i)
{
    book->owned.list[i] = book->owned.list[--book->owned.count];
}

static void add(bs_book_t *book, const bs_owned_t *entry, apr_pool_t *pool)
{
    if (book->owned.count == book->room) {
        int room = book->room * 2 + 16;
        bs_owned_t *list = apr_palloc(pool, (apr_size_t)room * sizeof *list);

        if (book->owned.count) {
            memcpy(list, book->owned.list, (apr_size_t)book->owned.count * sizeof *list);
        }
        book->owned.list = list;
        book->room = room;
    }
    book->owned.list[book->owned.count++] = *entry;
}

void bs_book_put(bs_book_t *book, const bs_owned_t *entry, apr_pool_t *pool)
{
    bs_owned_t *old = bs_book_find(book, &entry->key);

    if (old) {
        *old = *entry;
    }
    else {
        add(book, entry, pool);
    }
}

/** What has run out goes whenever a list is read, and is gone when it is written. */
static int has_run_out(const bs_owned_t *entry, apr_time_t now)
{
    return entry->until < now && !bs_owned_is_coming(entry, now);
}

static int read_key(bsession_key_t *key, const bsession_bytes_t *name)
{
    apr_size_t i;

    if (name->len != 2 * sizeof key->bytes) {
        return 0;
    }
    key->space = 's';
    for (i = 0; i < sizeof key->bytes; i++) {
        int high = bs_hex_digit(name->data[2 * i]), low = bs_hex_digit(name->data[2 * i + 1]);

        if (high < 0 || low < 0) {
            return 0;
        }
        key->bytes[i] = (unsigned char)(high << 4 | low);
    }
    return 1;
}

/** What no version of this file wrote is as good as not there. */
static int read_entry(bs_owned_t *entry, const bsession_field_t *field)
{
    apr_time_t *times[] = { &entry->since, &entry->until, &entry->by };
    const char *from = field->value.data, *end = from + field->value.len;
    int i;

    for (i = 0; i < 3; i++) {
        const char *space = memchr(from, ' ', (apr_size_t)(end - from));
        const char *to = i < 2 ? space : end;

        if (!to || !bs_number_parse(times[i], from, (apr_size_t)(to - from)) || *times[i] < 0
            || *times[i] > BS_OWNED_TIME_MOST) {
            return 0;
        }
        from = to + (i < 2);
    }
    return read_key(&entry->key, &field->name);
}

static void write_entry(bsession_field_t *field, const bs_owned_t *entry, apr_pool_t *pool)
{
    char text[BSESSION_KEY_TEXT_SIZE];

    bs_key_text(&entry->key, text);
    field->name.data = apr_pstrdup(pool, text + 1);     /* behind the space */
    field->name.len = strlen(field->name.data);
    field->value.data = apr_psprintf(pool, "%" APR_TIME_T_FMT " %" APR_TIME_T_FMT
                                     " %" APR_TIME_T_FMT, entry->since, entry->until, entry->by);
    field->value.len = strlen(field->value.data);
}

/* ---- reading and writing ---- */

apr_status_t bs_book_read(bs_book_t *book, const bs_user_t *user, int which)
{
    const bs_users_place_t *place = &user->places[which];
    bsession_record_t record;
    apr_time_t now = apr_time_now();
    apr_status_t status = bs_store_load(place->store, &user->caller, &place->key, &record);
    int i;

    book->revisions[which] = 0;
    if (status != APR_SUCCESS) {
        return status == APR_NOTFOUND ? APR_SUCCESS : status;
    }
    if (!record.revision) {
        return BSESSION_ECORRUPT;       /* at which nothing could take its place */
    }
    book->revisions[which] = record.revision;
    for (i = 0; i < record.fields.count; i++) {
        bs_owned_t entry;

        if (read_entry(&entry, &record.fields.list[i]) && !has_run_out(&entry, now)
            && !bs_book_find(book, &entry.key)) {
            add(book, &entry, user->caller.pool);
        }
    }
    return APR_SUCCESS;
}

apr_status_t bs_book_read_all(bs_book_t *book, const bs_user_t *user)
{
    apr_status_t status = APR_SUCCESS;
    int i;

    memset(book, 0, sizeof *book);
    for (i = 0; i < user->nplaces && status == APR_SUCCESS; i++) {
        status = bs_book_read(book, user, i);
    }
    return status;
}

static apr_status_t save(const bs_book_t *book, const bs_user_t *user, int which)
{
    const bs_owned_list_t *owned = &book->owned;
    bsession_record_t record = { .fields = { .count = owned->count } };
    bsession_save_t wanted = { .mode = BSESSION_REPLACE, .record = &record,
                               .base = book->revisions[which] };
    const bs_users_place_t *place = &user->places[which];
    bsession_saved_t saved;
    apr_status_t status = APR_SUCCESS;
    int i;

    record.fields.list = apr_palloc(user->caller.pool,
                                    (apr_size_t)owned->count * sizeof *record.fields.list);
    for (i = 0; i < owned->count; i++) {
        const bs_owned_t *entry = &owned->list[i];
        apr_time_t end = entry->until > entry->by ? entry->until : entry->by;

        write_entry(&record.fields.list[i], entry, user->caller.pool);
        record.expires = record.expires > end ? record.expires : end;
    }
    if (!wanted.base) {
        wanted.mode = BSESSION_CREATE;
        status = bs_random_revision(&wanted.base);
    }
    return status ? status
         : bs_store_save(place->store, &user->caller, &place->key, &wanted, &saved);
}

static apr_status_t take_away(const bs_book_t *book, const bs_user_t *user, int which)
{
    const bs_users_place_t *place = &user->places[which];

    return bs_store_remove(place->store, &user->caller, &place->key, book->revisions[which]);
}

apr_status_t bs_book_write(const bs_book_t *book, const bs_user_t *user, int which)
{
    apr_status_t status = APR_SUCCESS;

    if (book->owned.count) {
        status = save(book, user, which);
    }
    else if (book->revisions[which]) {
        status = take_away(book, user, which);
    }
    return status == APR_EEXIST || status == APR_NOTFOUND ? APR_EMISMATCH : status;
}

/* What stands in another place, and somebody wrote to meanwhile, stays: it is moved another
 * time. */
apr_status_t bs_book_write_all(const bs_book_t *book, const bs_user_t *user)
{
    apr_status_t status = bs_book_write(book, user, 0);
    int i;

    for (i = 1; i < user->nplaces && status == APR_SUCCESS; i++) {
        if (book->revisions[i]) {
            take_away(book, user, i);
        }
    }
    return status;
}

int bs_book_is_moving(const bs_book_t *book, const bs_user_t *user)
{
    int i;

    for (i = 1; i < user->nplaces; i++) {
        if (book->revisions[i]) {
            return 1;
        }
    }
    return 0;
}
