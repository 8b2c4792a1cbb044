/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include <string.h>

#include <apr_allocator.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>

#include "dbd_backend.h"

/* What every database takes: MariaDB's packets are of 16 MB at most. */
#define DBD_RECORD_MOST  16000000
#define DBD_TABLE_MOST   40
#define DBD_CONNECTIONS_MOST 10000

/* ------------------------------------------------------------------ configuration and start */

static int is_table_name(const char *name)
{
    const char *c = name;

    while (apr_isalnum(*c) || *c == '_') {
        c++;
    }
    return *c == '\0' && c > name && c - name <= DBD_TABLE_MOST && !apr_isdigit(*name);
}

const char *dbd_create(bsession_backend_t **backend, const char *url,
                       const bsession_options_t *options, const bsession_services_t *services,
                       const char *driver, const dbd_source_t *source, apr_pool_t *pconf)
{
    static const char *const known[] = { "table", NULL };
    bsession_backend_t *made = apr_pcalloc(pconf, sizeof *made);
    const char *table = services->option(options, "table");

    if (strcmp(url, "dbd:") != 0) {
        return "the URL is just dbd: and the database that of DBDriver and DBDParams";
    }
    made->dialect = dbd_dialect_of(driver);
    if (!made->dialect) {
        return apr_psprintf(pconf, "dbd: does not speak to DBDriver %s; expected pgsql, sqlite3 or "
                            "mysql", driver);
    }
    if (table && !is_table_name(table)) {
        return apr_psprintf(pconf, "table=%s: expected a name of letters, digits and _, of %d at "
                            "most", table, DBD_TABLE_MOST);
    }
    made->services = services;
    made->source = source;
    made->table = table ? table : "bsession";
    *backend = made;
    return services->check_options(options, known, pconf);
}

/** The parent has no connections: they do not survive a fork, and a file of SQLite that root makes
 *  is of no use to the children. */
apr_status_t dbd_open(bsession_backend_t *backend, apr_int64_t uid, apr_int64_t gid,
                      bsession_call_t *call)
{
    (void)backend, (void)uid, (void)gid, (void)call;
    return APR_SUCCESS;
}

static apr_status_t unguard(void *allocator)
{
    apr_allocator_mutex_set(allocator, NULL);
    return APR_SUCCESS;
}

/** Connections and what belongs to them are made in pools below the child's, by whoever needs one.
 *  That is mod_watchdog's thread, too, which sweeps; and with the prefork MPM, whose children serve
 *  by one thread, these pools take their memory, as those of requests do, where no lock is. */
static apr_status_t guard(apr_pool_t *pchild)
{
    apr_allocator_t *allocator = apr_pool_allocator_get(pchild);
    apr_thread_mutex_t *mutex;
    apr_status_t status;

    if (apr_allocator_mutex_get(allocator)) {
        return APR_SUCCESS;
    }
    status = apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pchild);
    if (status == APR_SUCCESS) {
        apr_allocator_mutex_set(allocator, mutex);
        apr_pool_cleanup_register(pchild, allocator, unguard, apr_pool_cleanup_null);
    }
    return status;
}

apr_status_t dbd_child_init(bsession_backend_t *backend, apr_pool_t *pchild, bsession_call_t *call)
{
    int most = backend->source->most();
    apr_status_t status = guard(pchild);

    if (status != APR_SUCCESS) {
        apr_cpystrn(call->why, "no lock could be made", sizeof call->why);
        return status;
    }
    backend->gate = dbd_gate_make(most < 1 ? 1 : most > DBD_CONNECTIONS_MOST ? DBD_CONNECTIONS_MOST
                                  : most, backend->dialect->is_server, pchild,
                                  backend->services->process_pool);
    return APR_SUCCESS;
}

/* ------------------------------------------------------------------ words */

apr_status_t dbd_row_record(const bsession_backend_t *backend, const dbd_row_t *row,
                            bsession_record_t *record, apr_pool_t *pool)
{
    apr_status_t status = row->revision > 0
                        ? backend->services->record_read(record, row->data, row->size, pool)
                        : BSESSION_ECORRUPT;

    record->revision = (apr_uint64_t)row->revision;
    record->expires = row->expires ? apr_time_now() + row->left : 0;
    return status;
}

/** The revision under the key, 0 where nothing is. */
static apr_status_t look(bsession_backend_t *backend, const char *id, apr_uint64_t *revision,
                         bsession_call_t *call)
{
    const void *values[] = { id };
    dbd_question_t question = { .statement = DBD_LOOK, .values = values, .reads = 1 };
    dbd_answer_t answer;
    apr_status_t status = dbd_ask(backend, &question, &answer, call);

    *revision = 0;
    if (status == APR_SUCCESS && answer.rows->nelts) {
        *revision = (apr_uint64_t)APR_ARRAY_IDX(answer.rows, 0, dbd_row_t).revision;
    }
    return status;
}

static apr_status_t cannot_tell(bsession_call_t *call)
{
    apr_cpystrn(call->why, "the connection to the database was lost, and whether it had been done "
                "by then cannot be told", sizeof call->why);
    return APR_EGENERAL;
}

/* ------------------------------------------------------------------ the verbs */

apr_status_t dbd_load(bsession_backend_t *backend, const bsession_key_t *key,
                      bsession_record_t *record, bsession_call_t *call)
{
    char id[BSESSION_KEY_TEXT_SIZE];
    const void *values[] = { backend->services->key_text(key, id) };
    dbd_question_t question = { .statement = DBD_LOAD, .values = values, .reads = 1 };
    dbd_answer_t answer;
    apr_status_t status = dbd_ask(backend, &question, &answer, call);

    if (status != APR_SUCCESS) {
        return status;
    }
    return answer.rows->nelts == 0 ? APR_NOTFOUND
         : dbd_row_record(backend, &APR_ARRAY_IDX(answer.rows, 0, dbd_row_t), record, call->pool);
}

/** What a save of that record stores. */
typedef struct {
    apr_int64_t revision, base;
    apr_time_t  expires;
    apr_size_t  size;
    void       *bytes;
} stored_t;

/** CREATE. One that is sent again knows its own record by the revision, which is random. */
static apr_status_t create(bsession_backend_t *backend, const char *id, const stored_t *stored,
                           bsession_call_t *call)
{
    apr_int64_t life;
    const void *values[] = { id, &stored->revision, &life, &life, stored->bytes, &stored->size,
                             NULL, NULL };
    dbd_question_t insert = { .statement = DBD_CREATE, .values = values, .size = stored->size,
                              .life = &life, .expires = stored->expires, .again = 1 };
    dbd_question_t clear = { .statement = DBD_CLEAR, .values = values, .again = 1 };
    dbd_answer_t answer, cleared;
    apr_status_t status = dbd_ask(backend, &insert, &answer, call);
    apr_uint64_t there;

    if (status != APR_SUCCESS || answer.affected > 0) {
        return status;
    }
    status = look(backend, id, &there, call);
    if (status != APR_SUCCESS || there) {
        return status != APR_SUCCESS ? status
             : answer.repeated && there == (apr_uint64_t)stored->revision ? APR_SUCCESS
             : APR_EEXIST;
    }
    if (answer.repeated) {
        return cannot_tell(call);
    }
    /* what was there is over: MariaDB cannot replace that in one statement */
    status = dbd_ask(backend, &clear, &cleared, call);
    if (status == APR_SUCCESS) {
        status = dbd_ask(backend, &insert, &answer, call);
    }
    return status != APR_SUCCESS || answer.affected > 0 ? status
         : answer.repeated ? cannot_tell(call) : APR_EEXIST;
}

/** One that is sent again would overwrite what others have put there since. */
static apr_status_t put(bsession_backend_t *backend, const char *id, const stored_t *stored,
                        bsession_call_t *call)
{
    apr_int64_t life;
    const void *values[] = { id, &stored->revision, &life, &life, stored->bytes, &stored->size,
                             NULL, NULL };
    dbd_question_t question = { .statement = DBD_PUT, .values = values, .size = stored->size,
                                .life = &life, .expires = stored->expires };
    dbd_answer_t answer;

    return dbd_ask(backend, &question, &answer, call);
}

/** MERGE and REPLACE, which cannot be done twice: the first moves the revision away. */
static apr_status_t store(bsession_backend_t *backend, const char *id, const stored_t *stored,
                          bsession_call_t *call)
{
    apr_int64_t life;
    const void *values[] = { &stored->revision, stored->bytes, &stored->size, NULL, NULL, &life,
                             &life, &life, id, &stored->base };
    dbd_question_t question = { .statement = DBD_STORE, .values = values, .size = stored->size,
                                .life = &life, .expires = stored->expires, .again = 1 };
    dbd_answer_t answer;
    apr_status_t status = dbd_ask(backend, &question, &answer, call);
    apr_uint64_t there;

    if (status != APR_SUCCESS || answer.affected > 0) {
        return status;
    }
    status = look(backend, id, &there, call);
    return status != APR_SUCCESS ? status
         : !there ? APR_NOTFOUND
         : answer.repeated ? cannot_tell(call) : APR_EMISMATCH;
}

static const char *save_wrong(const bsession_save_t *save, int is_new)
{
    if (save->base == 0 || save->base >= (apr_uint64_t)APR_INT64_MAX) {
        return "a save of an impossible revision";
    }
    return is_new && save->record->expires == BSESSION_KEEP ? "a new record cannot keep a life"
                                                            : NULL;
}

apr_status_t dbd_save(bsession_backend_t *backend, const bsession_key_t *key,
                      const bsession_save_t *save, bsession_saved_t *saved, bsession_call_t *call)
{
    int is_new = save->mode == BSESSION_CREATE || save->mode == BSESSION_PUT;
    const bsession_fields_t *fields = &save->record->fields;
    const char *wrong = save_wrong(save, is_new);
    char id[BSESSION_KEY_TEXT_SIZE];
    apr_status_t status;
    stored_t stored;

    if (wrong) {
        apr_cpystrn(call->why, wrong, sizeof call->why);
        return APR_EINVAL;
    }
    stored.size = backend->services->record_size(save->record);
    if (stored.size > DBD_RECORD_MOST
        || (save->max_bytes && bsession_fields_bytes(fields) > save->max_bytes)
        || (save->max_fields && (apr_size_t)fields->count > save->max_fields)) {
        return APR_ENOSPC;
    }
    backend->services->key_text(key, id);
    stored.bytes = apr_palloc(call->pool, stored.size);
    backend->services->record_write(save->record, stored.bytes);
    stored.base = (apr_int64_t)save->base;
    stored.revision = stored.base + (is_new ? 0 : 1);
    stored.expires = save->record->expires;
    status = save->mode == BSESSION_CREATE ? create(backend, id, &stored, call)
           : save->mode == BSESSION_PUT ? put(backend, id, &stored, call)
           : store(backend, id, &stored, call);
    saved->revision = (apr_uint64_t)stored.revision;
    return status;
}

apr_status_t dbd_touch(bsession_backend_t *backend, const bsession_key_t *key, apr_time_t expires,
                       bsession_call_t *call)
{
    char id[BSESSION_KEY_TEXT_SIZE];
    apr_int64_t life;
    const void *values[] = { &life, &life, backend->services->key_text(key, id), &life, &life };
    dbd_question_t question = { .statement = DBD_TOUCH, .values = values, .life = &life,
                                .expires = expires, .again = 1 };
    dbd_answer_t answer;
    apr_status_t status = dbd_ask(backend, &question, &answer, call);
    apr_uint64_t there;

    if (status != APR_SUCCESS || answer.affected > 0) {
        return status;
    }
    status = look(backend, id, &there, call);
    return status != APR_SUCCESS ? status : there ? APR_SUCCESS : APR_NOTFOUND;
}

apr_status_t dbd_remove(bsession_backend_t *backend, const bsession_key_t *key,
                        apr_uint64_t revision, bsession_call_t *call)
{
    char id[BSESSION_KEY_TEXT_SIZE];
    apr_int64_t only = (apr_int64_t)revision;
    const void *values[] = { backend->services->key_text(key, id), &only, &only };
    dbd_question_t question = { .statement = DBD_REMOVE, .values = values, .again = 1 };
    dbd_answer_t answer;
    apr_status_t status = dbd_ask(backend, &question, &answer, call);
    apr_uint64_t there;

    if (status != APR_SUCCESS || answer.affected > 0) {
        return status;
    }
    status = look(backend, id, &there, call);
    if (status == APR_SUCCESS && !there && answer.repeated && revision) {
        return cannot_tell(call);
    }
    return status != APR_SUCCESS ? status : there ? APR_EMISMATCH : APR_NOTFOUND;
}
