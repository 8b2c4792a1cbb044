/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file dbd_dialect.h
 * @brief What PostgreSQL, SQLite and MariaDB say differently: statements, bytes, failures.
 *
 * Times are microseconds since 1970 by the *database's* clock, so that httpds whose clocks differ
 * agree on who lives. What goes there is how long a life is still to last, and so is what comes
 * back.
 */
#ifndef DBD_DIALECT_H
#define DBD_DIALECT_H

#include <apr_pools.h>

typedef enum {
    DBD_PING,           /* -> a number */
    DBD_LOAD,           /* id -> revision, expires, time left, data */
    DBD_LOOK,           /* id -> revision */
    DBD_CREATE,         /* id, revision, life, life, data; 1 row, or one was there */
    DBD_CLEAR,          /* id: what is over there goes */
    DBD_PUT,            /* as DBD_CREATE */
    DBD_STORE,          /* next revision, data, life, life, life, id, revision */
    DBD_TOUCH,          /* life, life, id, life, life: 1 row, or it need not be, or none is there */
    DBD_REMOVE,         /* id, revision, revision */
    DBD_SCAN,           /* after, before -> as DBD_LOAD, id */
    DBD_SWEEP,          /* skew: DBD_SWEEP_ROWS at most of those that are over */
    DBD_COUNT,          /* -> how many rows, DBD_COUNT_LIMIT at most */
    DBD_STATEMENTS
} dbd_statement_t;

#define DBD_SCAN_ROWS   64
#define DBD_SWEEP_ROWS  100
#define DBD_COUNT_LIMIT 10001

/** A life is how long it is still to last; 0, or a life that is longer than this, is for ever, and
 *  one that has been over for longer leaves what is stored as it is. */
#define DBD_LIFE_MOST (APR_INT64_C(1) << 61)

/** What a failure says of the statement. */
typedef enum {
    DBD_DONE,
    DBD_THERE,          /* not done, for a row is there: an answer */
    DBD_AGAIN,          /* not done, others were in the way: in a moment it may be */
    DBD_UNPREPARED,     /* not done: the statements are not, or no longer, those of the table */
    DBD_REFUSED,        /* not done */
    DBD_TOO_LARGE,      /* not done: this record is more than the database takes */
    DBD_FULL,           /* not done, as all that writes: full, or read-only */
    DBD_UNSURE,         /* the text does not tell; is the connection alive? */
    DBD_LOST            /* the connection was lost, and whether it was done cannot be told */
} dbd_outcome_t;

typedef struct {
    const char *driver;         /* apr_dbd's name of it */
    const char *now;
    const char *data;           /* the column, as it is read */
    int         hex;            /* it is read so */
    int         is_server;      /* which may stop, or close a connection that is idle */
    int         wants_zeros;    /* of the memory it is given; see clean_pool() */
    const char *greeting;       /* said on each new connection, or NULL */
    const char *most;           /* asks how many bytes a statement may have, values and all; or
                                   NULL */
    const char *too_long;       /* the sentence about one that has more */
    const char *layout;         /* makes the table and its index */
    const char *create, *put, *sweep;
    /** What a failure was, and a sentence about it, or NULL. `text` itself may name whom nobody
     *  else is to know: databases, users, keys. */
    dbd_outcome_t (*fault)(int code, const char *text, const char **sentence);
} dbd_dialect_t;

/** NULL: not one of ours. */
const dbd_dialect_t *dbd_dialect_of(const char *driver);

/** The SQL of a statement, for apr_dbd_prepare. */
const char *dbd_dialect_statement(const dbd_dialect_t *dialect, dbd_statement_t which,
                                  const char *table, apr_pool_t *pool);
const char *dbd_dialect_layout(const dbd_dialect_t *dialect, const char *table, apr_pool_t *pool);
/** Whether it is there, and as it must be. */
const char *dbd_dialect_probe(const dbd_dialect_t *dialect, const char *table, apr_pool_t *pool);

#endif
