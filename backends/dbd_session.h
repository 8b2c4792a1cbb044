/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file dbd_session.h
 * @brief One connection, as the store knows it: its prepared statements, and how to run one.
 *
 * What is known hangs on the connection's own pool and goes with it. Only who holds the connection
 * looks at it.
 */
#ifndef DBD_SESSION_H
#define DBD_SESSION_H

#include <apr_tables.h>

#include "dbd.h"
#include "dbd_dialect.h"

typedef struct {
    const dbd_dialect_t  *dialect;
    const char           *table;
    dbd_connection_t      connection;
    apr_pool_t           *pool;         /* of the statements */
    apr_dbd_prepared_t   *prepared[DBD_STATEMENTS];
    unsigned              serial;       /* names of statements are not used twice */
    int                   greeted;
    apr_int64_t           most;         /* bytes of a statement, values and all; 0 = not known */
    apr_time_t            answered;     /* the last time */
} dbd_session_t;

typedef struct {
    dbd_statement_t  statement;
    const void     **values;            /* as apr_dbd_pbquery takes them */
    apr_size_t       size;              /* of the record among them, or 0 */
    int              reads;             /* it returns rows */
    apr_int64_t     *life;              /* the one among the values, or NULL; see DBD_LIFE_MOST. */
    apr_time_t       expires;           /* It is filled in when it is asked, and ends then. */
    int              again;             /* though it may have been done, it may be sent again: what
                                           comes back then tells less, see `repeated` */
} dbd_question_t;

typedef struct {
    apr_int64_t revision, expires, left;
    const char *data;
    apr_size_t  size;
    const char *id;
} dbd_row_t;

typedef struct {
    int                 affected;       /* rows that were changed */
    apr_array_header_t *rows;           /* of dbd_row_t, that were read */
    int                 repeated;       /* sent again after a connection was lost: that rows were
                                           changed is sure, that none were may be our own doing */
} dbd_answer_t;

/** What is known of the connection; made where nothing is yet. NULL: no memory. */
dbd_session_t *dbd_session_of(const dbd_connection_t *connection, const dbd_dialect_t *dialect,
                              const char *table, apr_pool_t *scratch);

/** Prepares what is not prepared, makes the table where it is missing, and asks. `sentence` is set
 *  where there is something to say, and names neither database nor user nor key. */
dbd_outcome_t dbd_session_run(dbd_session_t *session, const dbd_question_t *question,
                              dbd_answer_t *answer, const char **sentence, apr_pool_t *pool);

/** Whether it still answers, and knows our statements. */
int dbd_session_is_alive(dbd_session_t *session, apr_pool_t *pool);

/** The statements are to be prepared anew. */
void dbd_session_forget(dbd_session_t *session);

#endif
