/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "users_store.h"

#include <string.h>

#include <apr_strings.h>

#include "merge.h"
#include "record.h"

#define ENTRIES   100                   /* of one input */
#define TIME_MOST (APR_INT64_MAX / 2)   /* of a list */

/* ---- the time ---- */

static apr_time_t now;

/* For the core, too: it goes on where somebody waits. */
apr_time_t apr_time_now(void)
{
    return now;
}

void apr_sleep(apr_interval_time_t time)
{
    now += time + 1;
}

/* ---- the input ---- */

static const uint8_t *at, *end;

void users_input(const uint8_t *data, size_t size)
{
    at = data;
    end = data + size;
    now = apr_time_from_sec(1700000000);
}

unsigned users_next(void)
{
    return at < end ? *at++ : 0;
}

int users_is_over(void)
{
    return at == end;
}

/* In a block of its own size, so that a sanitizer sees a step beyond its NUL. */
static bsession_bytes_t copy_of(const void *data, apr_size_t len)
{
    char *block = malloc(len + 1);

    MUST(block);
    memcpy(block, data, len);
    block[len] = '\0';
    return (bsession_bytes_t){ block, len };
}

static bsession_bytes_t next_bytes(void)
{
    apr_size_t len = users_next(), left = (apr_size_t)(end - at);
    const uint8_t *from = at;

    len = len < left ? len : left;
    at += len;
    return copy_of(from, len);
}

/* Soon, long ago, far ahead, and at the end of what a list may hold. */
static apr_time_t next_time(void)
{
    unsigned which = users_next();
    apr_time_t step = apr_time_from_sec(which & 63);

    switch (which >> 6) {
    case 0:
        return now + step;
    case 1:
        return now - step;
    case 2:
        return step ? now + step * 1000000 : 0;
    default:
        return TIME_MOST - 3 + (apr_time_t)(which & 7);
    }
}

bsession_key_t users_key(unsigned number)
{
    bsession_key_t key = { 's', { (unsigned char)number, (unsigned char)(number >> 8), 7 } };

    return key;
}

/* ---- what the places hold ---- */

typedef struct {
    bsession_key_t    key;
    apr_uint64_t      revision;
    bsession_field_t *fields;           /* NULL: nothing is there */
    int               count;
} shelf_t;

struct bsession_backend_t {
    shelf_t shelves[2];                 /* a list for each of two secrets */
};

static bsession_backend_t backends[2];

static void empty(shelf_t *shelf)
{
    int i;

    for (i = 0; i < shelf->count; i++) {
        free((void *)shelf->fields[i].name.data);
        free((void *)shelf->fields[i].value.data);
    }
    free(shelf->fields);
    shelf->fields = NULL;
    shelf->count = 0;
}

static void make(shelf_t *shelf, int room, apr_uint64_t revision)
{
    shelf->fields = calloc((size_t)room, sizeof *shelf->fields);
    MUST(shelf->fields);
    shelf->revision = revision;
}

static void add_entry(shelf_t *shelf, unsigned number, apr_time_t since, apr_time_t until,
                      apr_time_t by)
{
    char text[BSESSION_KEY_TEXT_SIZE], value[80];
    bsession_key_t key = users_key(number);
    int len = apr_snprintf(value, sizeof value, "%" APR_TIME_T_FMT " %" APR_TIME_T_FMT
                           " %" APR_TIME_T_FMT, since, until, by);

    bs_key_text(&key, text);
    shelf->fields[shelf->count].name = copy_of(text + 1, strlen(text) - 1);
    shelf->fields[shelf->count++].value = copy_of(value, (apr_size_t)len);
}

/* Any bytes, an entry, or many of them. */
static void add_next(shelf_t *shelf, int *room)
{
    unsigned kind = users_next(), number, count;
    apr_time_t since, until, by;

    if (kind % 3 == 0) {
        shelf->fields[shelf->count].name = next_bytes();
        shelf->fields[shelf->count++].value = next_bytes();
        --*room;
        return;
    }
    number = users_next();
    since = next_time();
    until = next_time();
    by = next_time();
    for (count = kind % 3 == 1 ? 1 : kind / 4; count && *room; count--, --*room) {
        add_entry(shelf, number++, since++, until, by);
    }
}

static void fill(shelf_t *shelf, int *room)
{
    unsigned head = users_next(), count;

    if (head & 1) {
        make(shelf, *room + 1, head & 2 ? head >> 2 : APR_UINT64_MAX - (head >> 2));
        for (count = users_next() % 8; count && *room; count--) {
            add_next(shelf, room);
        }
    }
}

static shelf_t *find(bsession_backend_t *backend, const bsession_key_t *key)
{
    int i;

    MUST(key->space == 'u');
    for (i = 0; i < 2; i++) {
        if (memcmp(backend->shelves[i].key.bytes, key->bytes, sizeof key->bytes) == 0) {
            return &backend->shelves[i];
        }
    }
    MUST(!"it is one of the user's");
    return NULL;
}

void users_fill(const bs_user_t *user)
{
    int i, room = ENTRIES, secrets = user->older ? user->nplaces / 2 : user->nplaces;

    for (i = 0; i < user->nplaces; i++) {
        shelf_t *shelf = &user->places[i].store->backend->shelves[i % secrets];

        shelf->key = user->places[i].key;
        fill(shelf, &room);
    }
}

void users_empty(void)
{
    int i;

    for (i = 0; i < 4; i++) {
        empty(&backends[i / 2].shelves[i % 2]);
    }
}

/* ---- what goes wrong ---- */

typedef enum {
    NOTHING,
    REFUSED,                            /* the call is not done, and so answered */
    LOST,                               /* it is done, and so answered */
    RACE, RACES                         /* others write before it; before each */
} wrong_t;

static struct {
    wrong_t      what;
    unsigned     calls;                 /* before that one */
    apr_status_t answer;
} plan;

static int disturbed;

void users_plan(void)
{
    static const apr_status_t answers[] = { APR_EGENERAL, APR_TIMEUP, BSESSION_ECORRUPT,
                                            APR_ENOSPC };
    unsigned head = users_next();

    plan.what = head % 8 <= RACES ? (wrong_t)(head % 8) : NOTHING;
    plan.answer = answers[head >> 3 & 3];
    plan.calls = head >> 5;
    disturbed = 0;
}

void users_settle(void)
{
    plan.what = NOTHING;
}

int users_were_disturbed(void)
{
    return disturbed;
}

int users_are_stuck(void)
{
    int i, stuck = 0;

    for (i = 0; i < 4; i++) {
        const shelf_t *shelf = &backends[i / 2].shelves[i % 2];

        stuck |= shelf->fields && !shelf->revision;
    }
    return stuck;
}

static void others_write(shelf_t *shelf)
{
    if (!shelf->fields) {
        make(shelf, 1, 1);
        add_entry(shelf, 0x100, now, now + apr_time_from_sec(3600), 0);
    }
    else if (shelf->revision < APR_UINT64_MAX) {
        shelf->revision++;
    }
}

static wrong_t wrong_with(shelf_t *shelf)
{
    wrong_t what = plan.what;

    if (what == NOTHING || plan.calls > 0) {
        plan.calls -= plan.calls > 0;
        return NOTHING;
    }
    disturbed = 1;
    if (what != RACES) {
        plan.what = NOTHING;
    }
    if (what == RACE || what == RACES) {
        others_write(shelf);
        return NOTHING;
    }
    return what;
}

/* ---- the store ---- */

static apr_status_t load(bsession_backend_t *backend, const bsession_key_t *key,
                         bsession_record_t *record, bsession_call_t *call)
{
    shelf_t *shelf = find(backend, key);

    (void)call;
    if (wrong_with(shelf)) {
        return plan.answer;
    }
    if (!shelf->fields) {
        return APR_NOTFOUND;
    }
    memset(record, 0, sizeof *record);
    record->meta.data = "";
    record->revision = shelf->revision;
    record->fields.list = shelf->fields;
    record->fields.count = shelf->count;
    return APR_SUCCESS;
}

/* `since until by` as a list can be read; the later one of the last two. */
static apr_time_t check_value(const bsession_bytes_t *value)
{
    const char *from = value->data, *stop = from + value->len;
    apr_int64_t numbers[3];
    int i;

    for (i = 0; i < 3; i++) {
        const char *to = i < 2 ? memchr(from, ' ', (apr_size_t)(stop - from)) : stop;

        MUST(to && bs_number_parse(&numbers[i], from, (apr_size_t)(to - from)));
        MUST(numbers[i] >= 0 && numbers[i] <= TIME_MOST);
        from = to + 1;
    }
    return numbers[1] > numbers[2] ? numbers[1] : numbers[2];
}

static int by_name(const void *one, const void *other)
{
    const bsession_field_t *a = one, *b = other;

    return memcmp(a->name.data, b->name.data, 32);
}

static void check_list(const bsession_record_t *record)
{
    const bsession_fields_t *fields = &record->fields;
    apr_time_t last = 0, ends;
    int i, j;

    MUST(fields->count > 0 && !record->meta.len && !record->epoch);
    for (i = 0; i < fields->count; i++) {
        MUST(fields->list[i].name.len == 32);
        for (j = 0; j < 32; j++) {
            MUST(bs_hex_digit(fields->list[i].name.data[j]) >= 0);
        }
        ends = check_value(&fields->list[i].value);
        last = ends > last ? ends : last;
    }
    MUST(record->expires == last && last > 0);
    qsort(fields->list, (size_t)fields->count, sizeof *fields->list, by_name);
    for (i = 1; i < fields->count; i++) {
        MUST(by_name(&fields->list[i - 1], &fields->list[i]) != 0);
    }
}

static void keep(shelf_t *shelf, const bsession_fields_t *fields, apr_uint64_t revision)
{
    int i;

    empty(shelf);
    make(shelf, fields->count, revision ? revision : 1);
    for (i = 0; i < fields->count; i++) {
        const bsession_field_t *field = &fields->list[i];

        shelf->fields[i].name = copy_of(field->name.data, field->name.len);
        shelf->fields[i].value = copy_of(field->value.data, field->value.len);
    }
    shelf->count = fields->count;
}

static apr_status_t save(bsession_backend_t *backend, const bsession_key_t *key,
                         const bsession_save_t *wanted, bsession_saved_t *saved,
                         bsession_call_t *call)
{
    shelf_t *shelf = find(backend, key);
    wrong_t wrong = wrong_with(shelf);
    int creates = wanted->mode == BSESSION_CREATE;

    (void)call;
    MUST(creates || wanted->mode == BSESSION_REPLACE);
    MUST(wanted->base);
    check_list(wanted->record);
    if (wrong == REFUSED) {
        return plan.answer;
    }
    if (creates == (shelf->fields != NULL)) {
        return creates ? APR_EEXIST : APR_NOTFOUND;
    }
    if (!creates && shelf->revision != wanted->base) {
        return APR_EMISMATCH;
    }
    keep(shelf, &wanted->record->fields, creates ? wanted->base : wanted->base + 1);
    saved->revision = shelf->revision;
    return wrong == LOST ? plan.answer : APR_SUCCESS;
}

static apr_status_t take_away(bsession_backend_t *backend, const bsession_key_t *key,
                              apr_uint64_t revision, bsession_call_t *call)
{
    shelf_t *shelf = find(backend, key);
    wrong_t wrong = wrong_with(shelf);

    (void)call;
    if (wrong == REFUSED) {
        return plan.answer;
    }
    if (!shelf->fields) {
        return APR_NOTFOUND;
    }
    if (revision && revision != shelf->revision) {
        return APR_EMISMATCH;
    }
    empty(shelf);
    return wrong == LOST ? plan.answer : APR_SUCCESS;
}

static const bsession_provider_t provider = {
    .abi = BSESSION_PROVIDER_ABI, .name = "fuzz", .load = load, .save = save, .remove = take_away
};

static bs_store_shared_t shared;

bs_store_t users_stores[2] = {
    { .name = "new", .provider = &provider, .backend = &backends[0], .timeout = 50000,
      .shared = &shared },
    { .name = "old", .provider = &provider, .backend = &backends[1], .timeout = 50000,
      .shared = &shared }
};
