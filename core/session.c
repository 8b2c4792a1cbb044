/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "session.h"

#include <string.h>

#include "binding.h"
#include "mod_bsession.h"

/* With less life left than this (or a tenth of the idle time) the touch does not wait for the
 * end. */
#define TOUCH_FIRST    apr_time_from_sec(30)

bs_session_t *bs_session_open(apr_pool_t *pool, const bs_terms_t *terms, const bs_token_t *presented,
                              int npresented, bs_digest_memo_t *memo, void *where)
{
    bs_session_t *s = apr_palloc(pool, sizeof *s);
    int i;

    memset(s, 0, offsetof(bs_session_t, meta) + BS_META_HEAD);
    s->pool = pool;
    s->where = where;
    s->memo = memo;
    s->terms = *terms;
    for (i = 0; i < npresented && i < BS_PRESENTED_MAX; i++) {
        s->presented[s->npresented++] = presented[i];
    }
    bs_table_init(&s->table, pool, terms->max_bytes, terms->max_fields);
    return s;
}

bs_caller_t bs_session_caller(const bs_session_t *s, apr_time_t deadline)
{
    bs_caller_t caller = { s->pool, s->where, deadline, 0, s->terms.seal };

    return caller;
}

void bs_session_limit(bs_session_t *s, apr_size_t max_bytes, apr_size_t max_fields)
{
    s->terms.max_bytes = s->table.max_bytes = max_bytes;
    s->terms.max_fields = s->table.max_fields = max_fields;
}

/* ---- what happened ---- */

void bs_session_learnt(bs_session_t *s, bs_event_t event)
{
    static const unsigned facts[BS_EVENTS] = {
        [BS_CREATED] = BSESSION_WAS_CREATED, [BS_ROTATED] = BSESSION_WAS_ROTATED,
        [BS_DESTROYED] = BSESSION_WAS_DESTROYED, [BS_UNKNOWN_TOKENS] = BSESSION_WAS_MISSING
    };

    s->facts |= facts[event];
    s->untold |= 1u << event;
}

void bs_session_happened(bs_session_t *s, bs_event_t event)
{
    bs_store_count(s->terms.store, event);
    bs_session_learnt(s, event);
}

/** Only when the session is all of a piece again, since the watch may use it. */
void bs_session_tell(bs_session_t *s)
{
    unsigned untold = s->untold;
    int event;

    s->untold = 0;
    for (event = 0; s->watch && untold >> event; event++) {
        if (untold >> event & 1) {
            s->watch(s->watcher, (bs_event_t)event);
        }
    }
}

unsigned bs_session_facts(bs_session_t *s)
{
    bs_session_load(s);
    return s->facts | (s->table.nchanges ? BSESSION_WAS_CHANGED : 0)
           | (s->rotating || (s->state == BS_PRESENT && bs_session_changes_owner(s))
              ? BSESSION_WAS_ROTATED : 0)
           | (s->headers_gone ? BSESSION_WAS_ANSWERED : 0);
}

/** Remember an outage: nothing of this session is asked or tried again in this request. */
apr_status_t bs_session_failed(bs_session_t *s, apr_status_t status)
{
    if (!s->outage) {
        s->outage = status;
    }
    return status;
}

void bs_session_lose(bs_session_t *s)
{
    static const bsession_fields_t none;

    if (bs_session_dirty(s)) {
        bs_store_count(s->terms.store, BS_DROPPED_CHANGES);
    }
    bs_table_adopt(&s->table, &none);
    s->rotating = s->prolonging = s->noting = s->renewing = s->naming = 0;
    s->state = BS_GONE;
    s->cookie = BS_COOKIE_KEEP;
}

/* ---- finding it ---- */

static void found(bs_session_t *s, const bs_token_t *token)
{
    s->token = *token;
    s->state = BS_PRESENT;
    s->facts &= ~BSESSION_WAS_REPLACED;
    s->had_record = 1;
    s->came_at = s->used_at;
    bs_table_adopt(&s->table, &s->record.fields);
}

/** A record that would end while the handler works is prolonged first. */
static void touch_first(bs_session_t *s)
{
    apr_status_t status;
    apr_time_t soon = s->terms.idle / 10;

    if (soon > TOUCH_FIRST) {
        soon = TOUCH_FIRST;
    }
    if (!s->terms.read_prolongs || s->headers_gone || s->record.expires == 0
        || s->record.expires - s->used_at >= soon) {
        return;
    }
    status = bs_session_touch(s, 0);
    if (status == APR_NOTFOUND) {       /* it ended between the load and this */
        s->state = BS_ABSENT;
        s->had_record = 0;
    }
}

void bs_session_is_retired(bs_session_t *s)
{
    bs_store_count(s->terms.store, BS_RETIRED_TOKENS);
    s->facts |= BSESSION_WAS_REPLACED;
    s->state = BS_RETIRED;
}

/** Something that makes a session where there is none. */
static int has_changes(const bs_session_t *s)
{
    return s->table.nchanges || (s->naming && s->named.len);
}

static apr_status_t status_of_state(const bs_session_t *s)
{
    switch (s->state) {
    case BS_PRESENT:
        return APR_SUCCESS;
    case BS_OUTAGE:
        return s->outage;
    case BS_GONE:
        return BSESSION_EGONE;
    case BS_ABSENT:
    case BS_RETIRED:
    case BS_UNASKED:
        break;
    }
    return has_changes(s) ? APR_SUCCESS : APR_NOTFOUND;
}

/** ABSENT and RETIRED leave it to the next token. `*tied`: this one was good, and is another
 *  visitor's. */
static void ask_for(bs_session_t *s, int which, int *tied)
{
    bs_token_t *token = &s->presented[which];
    apr_status_t status = bs_session_find(s, token, 0);

    if (status == APR_SUCCESS) {
        found(s, token);
        s->cookie = BS_COOKIE_KEEP;     /* that of one before it is not deleted: it has the same
                                           name */
        if (s->terms.bind.kinds && !bs_binding_admits(s, &s->terms.bind)) {
            *tied = 1;
        }
        else {
            touch_first(s);
        }
    }
    else if (status == BSESSION_EGONE) {
        s->cookie = BS_COOKIE_KEEP;
        bs_session_is_retired(s);
    }
    else if (status == APR_NOTFOUND) {
        s->unknown |= 1u << which;
    }
    else {
        bs_session_failed(s, status);
        s->state = BS_OUTAGE;
    }
}

/** Nobody hides his guesses by a good token of his own that comes with each of them. */
static void tell_of_unknown(bs_session_t *s, int tied)
{
    if (s->state == BS_ABSENT && s->npresented && !tied) {
        bs_session_happened(s, BS_UNKNOWN_TOKENS);
        bs_session_tell(s);
    }
    else if (s->unknown) {
        bs_session_happened(s, BS_UNKNOWN_BESIDE);
        bs_session_tell(s);
    }
}

static void ask(bs_session_t *s)
{
    int i, tied = 0;

    s->state = BS_ABSENT;
    for (i = 0; i < s->npresented && (s->state == BS_ABSENT || s->state == BS_RETIRED); i++) {
        ask_for(s, i, &tied);
    }
    if (s->suspect && (s->state == BS_ABSENT || s->state == BS_RETIRED)) {
        bs_session_alarm(s);
    }
    tell_of_unknown(s, tied);
}

apr_status_t bs_session_load(bs_session_t *s)
{
    if (s->state == BS_UNASKED) {
        ask(s);
    }
    if (s->terms.lock.on) {
        bs_session_lock_first(s);
    }
    return status_of_state(s);
}

/* ---- the table ---- */

const bsession_field_t *bs_session_get(bs_session_t *s, const char *key)
{
    return bs_session_load(s) == APR_SUCCESS ? bs_table_find(&s->table, key, strlen(key)) : NULL;
}

int bs_session_dirty(const bs_session_t *s)
{
    return has_changes(s)
           || (s->state == BS_PRESENT && (s->rotating || s->prolonging || s->noting || s->renewing
                                          || s->naming));
}

int bs_session_exists(const bs_session_t *s)
{
    return s->state == BS_PRESENT || ((s->state == BS_ABSENT || s->state == BS_RETIRED)
                                      && has_changes(s));
}

static apr_status_t load_to_change(bs_session_t *s)
{
    apr_status_t status = bs_session_load(s);

    if (s->outage) {
        return s->outage;
    }
    if (status != APR_SUCCESS && status != APR_NOTFOUND) {
        return status;
    }
    if (s->existing_only && s->state != BS_PRESENT) {
        return APR_NOTFOUND;
    }
    return APR_SUCCESS;
}

apr_status_t bs_session_may_change(bs_session_t *s)
{
    apr_status_t status = load_to_change(s);

    if (status != APR_SUCCESS) {
        return status;
    }
    return s->headers_gone && s->state != BS_PRESENT ? BSESSION_ELATE : bs_session_lock_again(s);
}

static int is_owner_key(const bs_session_t *s, const char *key)
{
    return s->terms.user.key && strcmp(s->terms.user.key, key) == 0;
}

/** The same of a key that is to get a value. */
static apr_status_t may_put(bs_session_t *s, const char *key, const void *value, apr_size_t len)
{
    apr_status_t status = bs_session_may_change(s);

    return status || !s->terms.user.key ? status : bs_session_may_put(s, key, value, len);
}

apr_status_t bs_session_set(bs_session_t *s, const char *key, const void *value, apr_size_t len)
{
    apr_status_t status = may_put(s, key, value, len);

    return status ? status : bs_table_set(&s->table, key, strlen(key), value, len);
}

apr_status_t bs_session_add(bs_session_t *s, const char *key, const void *value, apr_size_t len)
{
    apr_status_t status = may_put(s, key, value, len);

    return status ? status : bs_table_add(&s->table, key, strlen(key), value, len);
}

apr_status_t bs_session_incr(bs_session_t *s, const char *key, apr_int64_t by, apr_int64_t *now)
{
    apr_status_t status = bs_session_may_change(s);

    if (status == APR_SUCCESS && s->headers_gone && by && is_owner_key(s, key)) {
        status = BSESSION_ELATE;
    }
    return status ? status : bs_table_incr(&s->table, key, strlen(key), by, now);
}

/* Unset and clear of what was never stored leave nothing to create. */

static void forget_if_nothing_is_left(bs_session_t *s)
{
    if (s->state != BS_PRESENT && s->table.fields.count == 0) {
        bs_table_saved(&s->table);
    }
}

apr_status_t bs_session_unset(bs_session_t *s, const char *key)
{
    apr_status_t status = bs_session_may_change(s);

    if (status == BSESSION_ELATE) {
        return APR_SUCCESS;             /* no session, no key */
    }
    if (status == APR_SUCCESS && is_owner_key(s, key)) {
        status = bs_session_may_drop(s);
    }
    if (status == APR_SUCCESS) {
        status = bs_table_unset(&s->table, key, strlen(key));
        forget_if_nothing_is_left(s);
    }
    return status;
}

/** An application that begins afresh does not log out who is logged in by a module of httpd:
 *  private keys stay. Where there are none, the one change says that nothing is to be left. */
static void clear(bs_table_t *table)
{
    int i, private = 0;

    for (i = 0; i < table->fields.count; i++) {
        private |= bs_key_is_private(table->fields.list[i].name.data);
    }
    if (!private) {
        bs_table_clear(table);
        return;
    }
    for (i = table->fields.count - 1; i >= 0; i--) {
        const bsession_field_t *field = &table->fields.list[i];

        if (!bs_key_is_private(field->name.data)) {
            bs_table_unset(table, field->name.data, field->name.len);
        }
    }
}

apr_status_t bs_session_clear(bs_session_t *s)
{
    apr_status_t status = bs_session_may_change(s);

    if (status == BSESSION_ELATE) {
        return APR_SUCCESS;
    }
    if (status == APR_SUCCESS && s->terms.user.key) {
        status = bs_session_may_drop(s);
    }
    if (status == APR_SUCCESS) {
        clear(&s->table);
        forget_if_nothing_is_left(s);
    }
    return status;
}

apr_status_t bs_session_rotate(bs_session_t *s)
{
    apr_status_t status = load_to_change(s);

    if (status == APR_SUCCESS) {
        status = s->headers_gone ? BSESSION_ELATE : bs_session_lock_again(s);
    }
    if (status == APR_SUCCESS) {
        s->rotating = 1;
    }
    return status;
}

/* ---- lives ---- */

apr_time_t bs_session_new_end(const bs_session_t *s, apr_time_t now)
{
    apr_time_t end = now + s->terms.idle;

    if (s->terms.absolute && end > s->meta.created + s->terms.absolute) {
        end = s->meta.created + s->terms.absolute;
    }
    return end;
}

apr_int64_t bs_session_seconds_left(const bs_session_t *s, apr_time_t now)
{
    apr_time_t left = s->record.expires - now;

    return left > 0 ? (left + APR_USEC_PER_SEC - 1) / APR_USEC_PER_SEC : 0;
}

/** Where the cookie follows, the token goes out again: only a save makes sure that it is good
 *  still. One that was replaced does not take the new one's place at the visitor's: who has that
 *  prolongs. */
static apr_status_t renew(bs_session_t *s, apr_time_t deadline)
{
    if (s->standing != BS_IS_CURRENT) {
        return APR_SUCCESS;
    }
    if (s->headers_gone) {
        return BSESSION_ELATE;
    }
    s->prolonging = 1;
    return bs_session_save(s, deadline);
}

/** One that was found in the older store may have moved since, or be about to: session_move.c. */
static apr_status_t touch_where_it_is(const bs_session_t *s, const bs_caller_t *caller,
                                      apr_time_t end)
{
    apr_status_t status = bs_store_touch(s->home, caller, &s->key, end), moved;

    if (s->home != s->terms.older || bs_is_outage(status)) {
        return status;
    }
    moved = bs_store_touch(s->terms.store, caller, &s->key, end);
    return moved == APR_NOTFOUND ? status : moved;
}

apr_status_t bs_session_touch(bs_session_t *s, apr_time_t deadline)
{
    bs_caller_t caller = bs_session_caller(s, deadline);
    apr_status_t status = bs_session_load(s);
    apr_time_t end;

    if (s->outage) {
        return s->outage;
    }
    if (s->state != BS_PRESENT) {
        return status == APR_SUCCESS ? APR_NOTFOUND : status;
    }
    end = bs_session_new_end(s, apr_time_now());
    if (s->record.expires == 0 || end <= s->record.expires) {
        return APR_SUCCESS;
    }
    if (s->terms.cookie_follows) {
        return renew(s, deadline);
    }
    s->touched = 1;
    status = touch_where_it_is(s, &caller, end);
    if (status == APR_SUCCESS) {
        apr_time_t before = s->record.expires;

        s->record.expires = end;
        if (s->meta.owner.len) {
            bs_session_enter_again(s, before, deadline);
        }
    }
    else if (status == APR_NOTFOUND) {
        bs_session_lose(s);
    }
    return status;
}

int bs_session_touch_is_due(const bs_session_t *s)
{
    if (s->state != BS_PRESENT || !s->terms.read_prolongs || s->touched || s->outage
        || s->record.expires == 0
        || (s->terms.cookie_follows && (s->headers_gone || s->standing != BS_IS_CURRENT))) {
        return 0;
    }
    return bs_session_new_end(s, s->used_at) - s->record.expires > s->terms.idle / 10;
}

apr_status_t bs_session_touch_if_due(bs_session_t *s, apr_time_t deadline)
{
    return bs_session_touch_is_due(s) ? bs_session_touch(s, deadline) : APR_SUCCESS;
}
