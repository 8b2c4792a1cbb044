/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "dbd_dialect.h"

#include <string.h>

#include <apr_strings.h>

#define LITERAL_(number) #number
#define LITERAL(number)  LITERAL_(number)

/* In the texts stand {table}, {now}, {live}, {data}, and the life that parameters bring: */
#define NEW_END   "CASE WHEN %lld = 0 THEN 0 ELSE {now} + %lld END"
#define LATER_END "CASE WHEN expires = 0 OR %lld = 0 THEN 0 WHEN {now} + %lld > expires " \
                  "THEN {now} + %lld ELSE expires END"
#define NEW_ROW   "INSERT INTO {table} (id, revision, expires, data) " \
                  "VALUES (%s, %lld, " NEW_END ", %pDb)"
#define ROW       "revision, expires, expires - {now}, {data}"

/* The same everywhere; NULL: the dialect's. */
static const char *const dialect_statements[DBD_STATEMENTS] = {
    [DBD_PING]   = "SELECT 1",
    [DBD_LOAD]   = "SELECT " ROW " FROM {table} WHERE id = %s AND {live}",
    [DBD_LOOK]   = "SELECT revision FROM {table} WHERE id = %s AND {live}",
    [DBD_CLEAR]  = "DELETE FROM {table} WHERE id = %s AND expires BETWEEN 1 AND {now}",
    [DBD_STORE]  = "UPDATE {table} SET revision = %lld, data = %pDb, expires = " LATER_END
                   " WHERE id = %s AND revision = %lld AND {live}",
    [DBD_TOUCH]  = "UPDATE {table} SET expires = " NEW_END " WHERE id = %s AND expires > {now} "
                   "AND (%lld = 0 OR expires < {now} + %lld)",
    [DBD_REMOVE] = "DELETE FROM {table} WHERE id = %s AND {live} AND (%lld = 0 OR revision = %lld)",
    [DBD_SCAN]   = "SELECT " ROW ", id FROM {table} WHERE id > %s AND id < %s "
                   "AND length(id) = 33 AND {live} ORDER BY id LIMIT " LITERAL(DBD_SCAN_ROWS),
    [DBD_COUNT]  = "SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT " LITERAL(DBD_COUNT_LIMIT)
                   ") AS counted"
};

/* ------------------------------------------------------------------ failures */

typedef struct {
    int           code;                 /* 0: any */
    const char   *text;                 /* NULL: any */
    dbd_outcome_t outcome;
    const char   *sentence;
} fault_t;

static dbd_outcome_t fault_find(const fault_t *faults, int code, const char *text,
                                const char **sentence)
{
    while ((faults->code && faults->code != code)
           || (faults->text && !strstr(text, faults->text))) {
        faults++;
    }
    *sentence = faults->sentence;
    return faults->outcome;
}

#define IN_THE_WAY  "others were in the way until timeout= was over"
/* in our statements nothing else can be one */
#define WORD_OF_SQL "what table= names is a word of the database's own; it needs another name"

/* Of the driver there is one number for all failures, and the texts are the server's, in its
 * language: what is not found here costs one question more. */
static dbd_outcome_t fault_pgsql(int code, const char *text, const char **sentence)
{
    static const fault_t faults[] = {
        { 0, "could not serialize access", DBD_AGAIN, IN_THE_WAY },
        { 0, "deadlock detected", DBD_AGAIN, IN_THE_WAY },
        { 0, "lock timeout", DBD_AGAIN, IN_THE_WAY },
        { 0, "server closed the connection", DBD_UNSURE, NULL },
        { 0, "database system is", DBD_UNSURE, NULL },
        { 0, "does not exist", DBD_UNPREPARED, NULL },
        { 0, "cached plan must not change", DBD_UNPREPARED, NULL },
        { 0, "No space left on device", DBD_FULL, "the disk of PostgreSQL is full" },
        { 0, "read-only transaction", DBD_FULL, "PostgreSQL is read-only here" },
        { 0, "permission denied", DBD_REFUSED, "the user of DBDParams may not do that" },
        { 0, "no unique or exclusion constraint", DBD_REFUSED,
          "id is not the table's primary key" },
        { 0, "statement timeout", DBD_REFUSED, "it took longer than PostgreSQL's own time-out" },
        { 0, "syntax error", DBD_REFUSED, WORD_OF_SQL },
        { 0, NULL, DBD_UNSURE, NULL }
    };

    return fault_find(faults, code, text, sentence);
}

/* Statements are prepared in SQLite's old way, in which they end with the schema they were made
 * for. A locked database has its own code, but not where a SELECT meets it. */
static dbd_outcome_t fault_sqlite3(int code, const char *text, const char **sentence)
{
    static const fault_t faults[] = {
        { 5, NULL, DBD_AGAIN, "the database was locked until timeout= was over" },
        { 6, NULL, DBD_AGAIN, "the database was locked until timeout= was over" },
        { 0, "is locked", DBD_AGAIN, "the database was locked until timeout= was over" },
        { 0, "schema has changed", DBD_UNPREPARED, NULL },
        { 0, "no such", DBD_UNPREPARED, NULL },
        { 0, "too big", DBD_TOO_LARGE, "the record is longer than SQLite's SQLITE_MAX_LENGTH" },
        { 0, "disk is full", DBD_FULL, "its disk is full" },
        { 0, "readonly", DBD_FULL, "the children may not write to it, or to its directory" },
        { 0, "unable to open", DBD_REFUSED, "the children may not open it, or not its directory" },
        { 0, "disk I/O error", DBD_REFUSED, "its disk fails" },
        { 0, "malformed", DBD_REFUSED, "the file is damaged" },
        { 0, "not a database", DBD_REFUSED, "the file is no database" },
        { 0, "syntax error", DBD_REFUSED, WORD_OF_SQL },
        { 0, NULL, DBD_REFUSED, NULL }
    };

    return fault_find(faults, code, text, sentence);
}

#define TOO_LONG "the record is longer than MariaDB's max_allowed_packet"

static dbd_outcome_t fault_mysql(int code, const char *text, const char **sentence)
{
    static const fault_t faults[] = {
        { 1205, NULL, DBD_AGAIN, IN_THE_WAY },
        { 1213, NULL, DBD_AGAIN, IN_THE_WAY },
        { 1020, NULL, DBD_AGAIN, IN_THE_WAY },
        /* INSERT IGNORE would cut off what a column is too short for, and call it done */
        { 1062, NULL, DBD_THERE, NULL },
        { 1146, NULL, DBD_UNPREPARED, NULL },                   /* no table */
        { 1054, NULL, DBD_UNPREPARED, NULL },                   /* no column */
        { 1243, NULL, DBD_UNPREPARED, NULL },                   /* another session's statement */
        { 1615, NULL, DBD_UNPREPARED, NULL },
        { 1021, NULL, DBD_FULL, "the disk of MariaDB is full" },
        { 1114, NULL, DBD_FULL, "the table is full, or the disk" },
        { 1290, NULL, DBD_FULL, "MariaDB is read-only" },
        { 1836, NULL, DBD_FULL, "MariaDB is read-only" },
        { 1142, NULL, DBD_REFUSED, "the user of DBDParams may not do that" },
        { 1143, NULL, DBD_REFUSED, "the user of DBDParams may not do that" },
        { 1153, NULL, DBD_TOO_LARGE, TOO_LONG },
        { 1406, NULL, DBD_TOO_LARGE, "a column of the table is too short" },
        { 1461, NULL, DBD_REFUSED, "MariaDB prepares no more than max_prepared_stmt_count" },
        { 1064, NULL, DBD_REFUSED, WORD_OF_SQL },
        { 0, NULL, DBD_UNSURE, NULL }
    };

    return fault_find(faults, code, text, sentence);
}

/* ------------------------------------------------------------------ dialects */

/* A row that is over is replaced, in the same statement. */
#define OVER_THE_OVER " ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, " \
                      "expires = excluded.expires, data = excluded.data " \
                      "WHERE {table}.expires BETWEEN 1 AND {now}"
#define OVER_ANY      " ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, " \
                      "expires = excluded.expires, data = excluded.data"

static const dbd_dialect_t dialects[] = {
    {
        .driver = "pgsql",
        .now = "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS bigint)",
        .data = "encode(data, 'hex')",
        .hex = 1,
        .is_server = 1,
        .layout = "CREATE TABLE IF NOT EXISTS {table} ("
                  "id varchar(33) COLLATE \"C\" PRIMARY KEY, revision bigint NOT NULL, "
                  "expires bigint NOT NULL, data bytea NOT NULL); "
                  "CREATE INDEX IF NOT EXISTS {table}_expires ON {table} (expires)",
        .create = NEW_ROW OVER_THE_OVER,
        .put = NEW_ROW OVER_ANY,
        .sweep = "DELETE FROM {table} WHERE expires BETWEEN 1 AND {now} + %lld AND id IN ("
                 "SELECT id FROM {table} WHERE expires BETWEEN 1 AND {now} + %lld "
                 "ORDER BY expires LIMIT " LITERAL(DBD_SWEEP_ROWS) " FOR UPDATE SKIP LOCKED)",
        .fault = fault_pgsql
    },
    {
        .driver = "sqlite3",
        .now = "CAST((julianday('now') - 2440587.5) * 86400000000 AS integer)",
        .data = "data",
        /* the driver's own wait is for a tenth of a second at a time, up to sixteen times */
        .greeting = "PRAGMA busy_timeout = 50",
        .layout = "CREATE TABLE IF NOT EXISTS {table} (id varchar(33) NOT NULL PRIMARY KEY, "
                  "revision integer NOT NULL, expires integer NOT NULL, data blob NOT NULL); "
                  "CREATE INDEX IF NOT EXISTS {table}_expires ON {table} (expires)",
        .create = NEW_ROW OVER_THE_OVER,
        .put = NEW_ROW OVER_ANY,
        .sweep = "DELETE FROM {table} WHERE expires BETWEEN 1 AND {now} + %lld AND id IN ("
                 "SELECT id FROM {table} WHERE expires BETWEEN 1 AND {now} + %lld "
                 "ORDER BY expires LIMIT " LITERAL(DBD_SWEEP_ROWS) ")",
        .fault = fault_sqlite3
    },
    {
        .driver = "mysql",
        .now = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
        .data = "data",
        .is_server = 1,
        /* the server's own may be 0, and then nothing that was acknowledged would stay; and it may
         * cut off what a column is too short for, and call it done */
        .greeting = "SET autocommit = 1, sql_mode = TRIM(LEADING ',' FROM "
                    "CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'))",
        /* sent all the same, it may be answered by the end of the connection alone */
        .most = "SELECT @@max_allowed_packet",
        .too_long = TOO_LONG,
        .wants_zeros = 1,
        .layout = "CREATE TABLE IF NOT EXISTS {table} ("
                  "id varchar(33) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, "
                  "revision bigint NOT NULL, expires bigint NOT NULL, data mediumblob NOT NULL, "
                  "KEY {table}_expires (expires)) ENGINE = InnoDB",
        .create = NEW_ROW,
        .put = NEW_ROW " ON DUPLICATE KEY UPDATE revision = VALUES(revision), "
               "expires = VALUES(expires), data = VALUES(data)",
        .sweep = "DELETE FROM {table} WHERE expires BETWEEN 1 AND {now} + %lld "
                 "AND expires <= {now} + %lld ORDER BY expires LIMIT " LITERAL(DBD_SWEEP_ROWS),
        .fault = fault_mysql
    }
};

const dbd_dialect_t *dbd_dialect_of(const char *driver)
{
    apr_size_t i;

    for (i = 0; i < sizeof dialects / sizeof *dialects; i++) {
        if (strcmp(driver, dialects[i].driver) == 0) {
            return &dialects[i];
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ texts */

/** The text with its {words} filled in; what is filled in has words of its own. */
static const char *fill(const dbd_dialect_t *dialect, const char *table, const char *text,
                        apr_pool_t *pool)
{
    const struct {
        const char *word, *means;
    } words[] = {
        { "{live}", "(expires = 0 OR expires > {now})" }, { "{now}", dialect->now },
        { "{data}", dialect->data }, { "{table}", table }
    };
    apr_size_t i;

    for (i = 0; i < sizeof words / sizeof *words; i++) {
        const char *at;

        while ((at = strstr(text, words[i].word)) != NULL) {
            text = apr_pstrcat(pool, apr_pstrmemdup(pool, text, (apr_size_t)(at - text)),
                               words[i].means, at + strlen(words[i].word), NULL);
        }
    }
    return text;
}

const char *dbd_dialect_statement(const dbd_dialect_t *dialect, dbd_statement_t which,
                                  const char *table, apr_pool_t *pool)
{
    const char *text = which == DBD_CREATE ? dialect->create
                     : which == DBD_PUT ? dialect->put
                     : which == DBD_SWEEP ? dialect->sweep : dialect_statements[which];

    return fill(dialect, table, text, pool);
}

const char *dbd_dialect_layout(const dbd_dialect_t *dialect, const char *table, apr_pool_t *pool)
{
    return fill(dialect, table, dialect->layout, pool);
}

const char *dbd_dialect_probe(const dbd_dialect_t *dialect, const char *table, apr_pool_t *pool)
{
    return fill(dialect, table, "SELECT id, revision, expires, data FROM {table} WHERE 1 = 0",
                pool);
}
