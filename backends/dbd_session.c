/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "dbd_session.h"

#include <string.h>

#include <apr_buckets.h>
#include <apr_lib.h>
#include <apr_strings.h>

#define ROW_REVISION 0
#define ROW_EXPIRES  1
#define ROW_LEFT     2
#define ROW_DATA     3
#define ROW_ID       4

/* Of a statement that stores, what is not the record: more than it has. */
#define AROUND_A_RECORD 1024

/* ------------------------------------------------------------------ life */

dbd_session_t *dbd_session_of(const dbd_connection_t *connection, const dbd_dialect_t *dialect,
                              const char *table, apr_pool_t *scratch)
{
    const char *label = apr_pstrcat(scratch, "bsession_dbd ", table, NULL);
    dbd_session_t *session;
    void *known = NULL;

    apr_pool_userdata_get(&known, label, connection->pool);
    if (known) {
        session = known;
        session->connection.owner = connection->owner;
        return session;
    }
    session = apr_pcalloc(connection->pool, sizeof *session);
    session->dialect = dialect;
    session->table = apr_pstrdup(connection->pool, table);
    session->connection = *connection;
    /* goes before the connection's own cleanup closes it */
    if (apr_pool_create(&session->pool, connection->pool) != APR_SUCCESS) {
        return NULL;
    }
    apr_pool_tag(session->pool, "bsession_dbd statements");
    apr_pool_userdata_set(session, label, apr_pool_cleanup_null, connection->pool);
    return session;
}

void dbd_session_forget(dbd_session_t *session)
{
    memset(session->prepared, 0, sizeof session->prepared);
    apr_pool_clear(session->pool);
    session->serial++;
    session->greeted = 0;
}

/* ------------------------------------------------------------------ preparing */

static const char *error_text(const dbd_session_t *session, int code)
{
    const char *text = apr_dbd_error(session->connection.driver, session->connection.handle, code);

    return text ? text : "";
}

/** Text that has no parameters; 0 or the driver's number. */
static int say(dbd_session_t *session, const char *text)
{
    int rows;

    return apr_dbd_query(session->connection.driver, session->connection.handle, &rows, text);
}

static int select_text(dbd_session_t *session, const char *text, apr_pool_t *pool)
{
    apr_dbd_results_t *results = NULL;

    return apr_dbd_select(session->connection.driver, pool, session->connection.handle, &results,
                          text, 1);
}

/** In small letters: PostgreSQL folds the name under which a statement is prepared, and not the one
 *  by which it is asked for. */
static const char *label_of(const dbd_session_t *session, dbd_statement_t which, apr_pool_t *pool)
{
    char *label = apr_psprintf(pool, "%s_%u_%d", session->table, session->serial, which);
    char *c;

    for (c = label; *c; c++) {
        *c = apr_tolower(*c);
    }
    return label;
}

/** In a pool of its own: what a driver leaves of one that it could not prepare goes with that. What
 *  the failure was is asked before, for that may say something else to the driver. */
static dbd_outcome_t prepare(dbd_session_t *session, dbd_statement_t which, const char **sentence)
{
    const dbd_connection_t *on = &session->connection;
    dbd_outcome_t outcome = DBD_DONE;
    const char *text, *label;
    apr_pool_t *own;
    int code;

    if (apr_pool_create(&own, session->pool) != APR_SUCCESS) {
        return DBD_REFUSED;
    }
    text = dbd_dialect_statement(session->dialect, which, session->table, own);
    label = label_of(session, which, own);
    code = apr_dbd_prepare(on->driver, own, on->handle, text, label, &session->prepared[which]);
    if (code) {
        outcome = session->dialect->fault(code, error_text(session, code), sentence);
        session->prepared[which] = NULL;
        apr_pool_destroy(own);
    }
    return outcome;
}

/** The table is made where it is missing; several children may be at it. 0: it is there, as it must
 *  be. */
static int make_table(dbd_session_t *session, apr_pool_t *pool)
{
    const char *probe = dbd_dialect_probe(session->dialect, session->table, pool);

    if (select_text(session, probe, pool) == 0) {
        return 0;
    }
    say(session, dbd_dialect_layout(session->dialect, session->table, pool));
    return select_text(session, probe, pool);
}

/** A number that a statement without parameters finds; 0 where it finds none. */
static apr_int64_t select_number(dbd_session_t *session, const char *text, apr_pool_t *pool)
{
    const dbd_connection_t *on = &session->connection;
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL;
    const char *number;

    if (apr_dbd_select(on->driver, pool, on->handle, &results, text, 1) != 0
        || apr_dbd_get_row(on->driver, pool, results, &row, 1) != 0) {
        return 0;
    }
    number = apr_dbd_get_entry(on->driver, row, 0);
    return number ? apr_atoi64(number) : 0;
}

/** The first word on a connection. Its ping is prepared with it: one that a later connection knows
 *  under the same handle, since a driver has connected again, tells nothing of this one's. */
static void greet(dbd_session_t *session, apr_pool_t *pool)
{
    const char *sentence;

    if (session->dialect->greeting) {
        say(session, session->dialect->greeting);
    }
    if (session->dialect->most) {
        session->most = select_number(session, session->dialect->most, pool);
    }
    session->greeted = prepare(session, DBD_PING, &sentence) == DBD_DONE;
}

static dbd_outcome_t get_prepared(dbd_session_t *session, dbd_statement_t which,
                                  const char **sentence, apr_pool_t *pool)
{
    dbd_outcome_t outcome;
    const char *again;

    if (session->prepared[which]) {
        return DBD_DONE;
    }
    if (!session->greeted) {
        greet(session, pool);
    }
    outcome = prepare(session, which, sentence);
    if (outcome == DBD_DONE || outcome == DBD_AGAIN) {
        return outcome;
    }
    if (make_table(session, pool) == 0 && prepare(session, which, &again) == DBD_DONE) {
        return DBD_DONE;
    }
    if (select_text(session, "SELECT 1", pool) != 0) {
        return DBD_LOST;
    }
    if (!*sentence) {
        *sentence = apr_psprintf(pool, "the table %s must be there with id (its primary key), "
                                 "revision, expires and data, or the user able to make it",
                                 session->table);
    }
    return DBD_REFUSED;
}

/* ------------------------------------------------------------------ reading */

static int unhex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 0;
}

static int read_hex(dbd_row_t *row, const char *text, apr_pool_t *pool)
{
    char *bytes;
    apr_size_t i;

    if (!text) {
        return 0;
    }
    row->size = strlen(text) / 2;
    row->data = bytes = apr_palloc(pool, row->size + 1);
    for (i = 0; i < row->size; i++) {
        bytes[i] = (char)(unhex_digit(text[2 * i]) << 4 | unhex_digit(text[2 * i + 1]));
    }
    return 1;
}

/** Not by get_entry, which ends at a NUL in SQLite, and after 64 KB in MariaDB. */
static int read_blob(dbd_row_t *row, const dbd_session_t *session, apr_dbd_row_t *from,
                     apr_pool_t *pool)
{
    apr_bucket_alloc_t *buckets = apr_bucket_alloc_create(pool);
    apr_bucket_brigade *brigade = apr_brigade_create(pool, buckets);
    char *bytes;

    if (apr_dbd_datum_get(session->connection.driver, from, ROW_DATA, APR_DBD_TYPE_BLOB, brigade)
            != APR_SUCCESS
        || apr_brigade_pflatten(brigade, &bytes, &row->size, pool) != APR_SUCCESS) {
        return 0;
    }
    row->data = bytes;
    return 1;
}

static int read_row(dbd_row_t *row, const dbd_session_t *session, apr_dbd_row_t *from, int columns,
                    apr_pool_t *pool)
{
    const apr_dbd_driver_t *driver = session->connection.driver;
    const char *id;

    memset(row, 0, sizeof *row);
    if (apr_dbd_datum_get(driver, from, ROW_REVISION, APR_DBD_TYPE_LONGLONG, &row->revision)) {
        return 0;
    }
    if (columns <= ROW_DATA) {
        return 1;
    }
    if (apr_dbd_datum_get(driver, from, ROW_EXPIRES, APR_DBD_TYPE_LONGLONG, &row->expires)
        || apr_dbd_datum_get(driver, from, ROW_LEFT, APR_DBD_TYPE_LONGLONG, &row->left)
        || !(session->dialect->hex ? read_hex(row, apr_dbd_get_entry(driver, from, ROW_DATA), pool)
                                   : read_blob(row, session, from, pool))) {
        return 0;
    }
    if (columns > ROW_ID) {
        id = apr_dbd_get_entry(driver, from, ROW_ID);
        row->id = id ? apr_pstrdup(pool, id) : "";
    }
    return 1;
}

/** What a driver returns may point into the connection: all is copied before that is released. */
static int read_rows(const dbd_session_t *session, apr_dbd_results_t *results,
                     dbd_answer_t *answer, apr_pool_t *pool)
{
    const apr_dbd_driver_t *driver = session->connection.driver;
    int columns = apr_dbd_num_cols(driver, results), count, i;

    count = apr_dbd_num_tuples(driver, results);
    for (i = 1; i <= count; i++) {
        apr_dbd_row_t *row = NULL;

        if (apr_dbd_get_row(driver, pool, results, &row, i) != 0
            || !read_row(apr_array_push(answer->rows), session, row, columns, pool)) {
            return 0;
        }
    }
    return 1;
}

/* ------------------------------------------------------------------ asking */

static apr_int64_t life_of(apr_time_t expires)
{
    apr_int64_t life;

    if (expires == 0) {
        return 0;
    }
    if (expires == BSESSION_KEEP) {
        return -DBD_LIFE_MOST;
    }
    life = expires - apr_time_now();
    return life > DBD_LIFE_MOST ? 0 : life < -DBD_LIFE_MOST ? -DBD_LIFE_MOST : life ? life : -1;
}

/* apr_dbd's driver for MariaDB describes parameters and results in memory of the pool, and leaves
 * some of what libmariadb reads there as it is: where in a value to begin, for one. In memory that
 * had been used before, that was anywhere, and the process ended by a signal. So it is given a pool
 * that begins with zeros, more of them than it takes. */
#define CLEAN 4096

static apr_pool_t *clean_pool(const dbd_dialect_t *dialect, apr_pool_t *pool)
{
    apr_pool_t *clean;

    if (!dialect->wants_zeros || apr_pool_create(&clean, pool) != APR_SUCCESS) {
        return pool;
    }
    memset(apr_palloc(clean, CLEAN), 0, CLEAN);
    apr_pool_clear(clean);
    return clean;
}

dbd_outcome_t dbd_session_run(dbd_session_t *session, const dbd_question_t *question,
                              dbd_answer_t *answer, const char **sentence, apr_pool_t *pool)
{
    const dbd_connection_t *on = &session->connection;
    apr_pool_t *clean = clean_pool(session->dialect, pool);
    apr_dbd_results_t *results = NULL;
    dbd_outcome_t outcome = get_prepared(session, question->statement, sentence, pool);
    apr_dbd_prepared_t *prepared = session->prepared[question->statement];
    int code;

    if (outcome != DBD_DONE) {
        return outcome;
    }
    if (session->most && question->size + AROUND_A_RECORD > (apr_uint64_t)session->most) {
        *sentence = session->dialect->too_long;
        return DBD_TOO_LARGE;
    }
    if (question->life) {
        *question->life = life_of(question->expires);
    }
    answer->affected = 0;
    answer->rows = apr_array_make(pool, 1, sizeof(dbd_row_t));
    code = question->reads
         ? apr_dbd_pbselect(on->driver, clean, on->handle, &results, prepared, 1, question->values)
         : apr_dbd_pbquery(on->driver, clean, on->handle, &answer->affected, prepared,
                           question->values);
    if (code != 0) {
        outcome = session->dialect->fault(code, error_text(session, code), sentence);
        if (outcome != DBD_THERE) {
            return outcome;
        }
        answer->affected = 0;
    }
    session->answered = apr_time_now();
    if (question->reads && !read_rows(session, results, answer, pool)) {
        *sentence = "a row could not be read";
        return DBD_UNSURE;
    }
    return DBD_DONE;
}

int dbd_session_is_alive(dbd_session_t *session, apr_pool_t *pool)
{
    const void *nothing = NULL;
    dbd_question_t question = { .statement = DBD_PING, .values = &nothing, .reads = 1 };
    const char *sentence = NULL;
    dbd_answer_t answer;

    return session->greeted
           && dbd_session_run(session, &question, &answer, &sentence, pool) == DBD_DONE;
}
