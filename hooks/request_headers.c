/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Names and values are urlencoded, so that nothing in them ends a line, a pair or a name. */

#include "request_headers.h"

#include <stdlib.h>
#include <string.h>

#include "apr_strings.h"
#include "http_log.h"

#include "urlencode.h"

APLOG_USE_MODULE(bsession);

/* Servers of applications take lines of 8,190 bytes, or a little less. */
#define LONGEST_LINE 8000

enum { DATA, TAG, NEW, EXPIRES, USER, HEADERS };

static const char *const names[HEADERS] = {
    [DATA]    = "BSession-Data",
    [TAG]     = "BSession-Tag",
    [NEW]     = "BSession-New",
    [EXPIRES] = "BSession-Expires",
    [USER]    = "BSession-User"
};

/* NULL = there is no such line */
struct bs_given_t {
    const char *values[HEADERS];
};

/* ---- BSession-Data ---- */

/** Once a visit: DirectoryIndex alone prepares two requests for one page. */
static void complain(request_rec *r, const apr_array_header_t *left_out)
{
    bs_visit_t *visit = bs_visit_of(r);

    if (!visit->overfull) {
        visit->overfull = 1;
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, "left out of BSession-Data, a line of %d "
                      "bytes at most, for want of room: %s", LONGEST_LINE,
                      apr_array_pstrcat(r->pool, left_out, ' '));
    }
}

/** The room of a pair: with its "=", and a "&" or the end behind it. */
static apr_size_t pair_room(const bsession_field_t *field)
{
    return bs_urlencoded_len(&field->name, LONGEST_LINE) + bs_urlencoded_len(&field->value, LONGEST_LINE) + 2;
}

static apr_size_t all_room(const bs_selected_t *selected)
{
    apr_size_t room = 0;
    int i;

    for (i = 0; i < selected->count && room <= LONGEST_LINE; i++) {
        room += pair_room(selected->list[i]);
    }
    return room;
}

static int by_name(const void *one, const void *other)
{
    const bsession_field_t *a = *(const bsession_field_t *const *)one;
    const bsession_field_t *b = *(const bsession_field_t *const *)other;

    return strcmp(a->name.data, b->name.data);
}

/** Leaves of what is selected what the line has room for, and returns the room that this takes.
 *  Stores give the keys in any order: which of All are left out is decided by their names. */
static apr_size_t fit(bs_selected_t *selected, request_rec *r)
{
    const apr_size_t most = LONGEST_LINE - strlen(names[DATA]) - strlen(": ") + 1;
    apr_array_header_t *left_out = NULL;
    apr_size_t room = all_room(selected);
    int i, kept = 0;

    if (room <= most) {
        return room;
    }
    if (bs_dir_conf(r)->header.which == BS_SELECT_ALL) {
        qsort(selected->list, (size_t)selected->count, sizeof *selected->list, by_name);
    }
    for (i = 0, room = 0; i < selected->count; i++) {
        const bsession_field_t *field = selected->list[i];
        apr_size_t len = pair_room(field);

        if (room + len <= most) {
            room += len;
            selected->list[kept++] = field;
        }
        else {
            left_out = left_out ? left_out : apr_array_make(r->pool, 2, sizeof(const char *));
            APR_ARRAY_PUSH(left_out, const char *) = apr_psprintf(r->pool, "\"%s\"",
                ap_escape_logitem(r->pool, field->name.data));
        }
    }
    selected->count = kept;
    complain(r, left_out);
    return room;
}

/** NULL where there is nothing to say. */
static const char *data_value(request_rec *r, const bs_session_t *s)
{
    bs_selected_t selected;
    apr_size_t room;
    char *value, *to;
    int i;

    bs_selected_fields(&selected, &bs_dir_conf(r)->header, &s->table, r->pool);
    room = fit(&selected, r);
    if (!room) {
        return NULL;
    }
    value = to = apr_palloc(r->pool, room);
    for (i = 0; i < selected.count; i++) {
        to = bs_urlencode(to, &selected.list[i]->name);
        *to++ = '=';
        to = bs_urlencode(to, &selected.list[i]->value);
        *to++ = '&';
    }
    to[-1] = '\0';
    return value;
}

static const char *encoded(const bsession_bytes_t *bytes, apr_pool_t *p)
{
    char *text = apr_palloc(p, 3 * bytes->len + 1);

    *bs_urlencode(text, bytes) = '\0';
    return text;
}

/* ---- among the headers ---- */

/** In the place of all that begins like ours, and out of reach of Connection, which would have
 *  mod_proxy delete them. */
static void put(request_rec *r, const bs_given_t *given)
{
    int i;

    bs_drop_spoofed(r);
    for (i = 0; i < HEADERS; i++) {
        if (given->values[i]) {
            apr_table_addn(r->headers_in, names[i], given->values[i]);
        }
    }
}

void bs_request_headers_give(request_rec *r, bs_prepared_t *prepared, const bs_session_t *s)
{
    bs_given_t *given = apr_pcalloc(r->pool, sizeof *given);
    bs_facts_t facts;

    given->values[DATA] = data_value(r, s);
    if (s->state == BS_PRESENT) {
        bs_facts_of(&facts, s, r->pool);
        given->values[TAG] = facts.tag;
        given->values[NEW] = facts.is_new;
        given->values[EXPIRES] = facts.expires;
        if (s->meta.owner.len) {
            given->values[USER] = encoded(&s->meta.owner, r->pool);
        }
    }
    prepared->given = given;
    put(r, given);
}

/** One that mod_headers has unset since then stays away. */
void bs_request_headers_keep(request_rec *r)
{
    const bs_prepared_t *prepared = bs_prepared_of(bs_visit_of(r), r);
    bs_given_t standing = { { NULL } };
    int i;

    for (i = 0; i < HEADERS && prepared && prepared->given; i++) {
        if (apr_table_get(r->headers_in, names[i])) {
            standing.values[i] = prepared->given->values[i];
        }
    }
    put(r, &standing);
}
