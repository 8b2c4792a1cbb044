/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file dbd.h
 * @brief The SQL store, `dbd:`. A row for each record, in a table of PostgreSQL, SQLite or MariaDB.
 *
 * It speaks through apr_dbd, and does not know where connections come from: whoever offers the
 * provider brings a dbd_source_t along. dbd_module.c has mod_dbd's. (mod_dbd.h is where DBD_H is
 * defined.)
 */
#ifndef BS_DBD_H
#define BS_DBD_H

#include <apr_dbd.h>

#include "bsession_provider.h"

typedef struct {
    const apr_dbd_driver_t *driver;
    apr_dbd_t              *handle;
    apr_pool_t             *pool;       /* lives as long as the connection does */
    void                   *owner;      /* the source's own */
} dbd_connection_t;

/** Called from any thread of a process that has gone through child_init. */
typedef struct {
    /** How many connections a process may have at once. */
    int  (*most)(void);
    /** A connection that nobody else has until it is released; one that is known to be dead has
     *  been replaced. It may wait for as long as it likes. 0: there is none. */
    int  (*acquire)(dbd_connection_t *connection, apr_pool_t *pool);
    void (*release)(dbd_connection_t *connection);
} dbd_source_t;

/** What is behind a provider's create. `driver`: that of all connections of the source. */
const char *dbd_create(bsession_backend_t **backend, const char *url,
                       const bsession_options_t *options, const bsession_services_t *services,
                       const char *driver, const dbd_source_t *source, apr_pool_t *pconf);

apr_status_t dbd_open(bsession_backend_t *backend, apr_int64_t uid, apr_int64_t gid,
                      bsession_call_t *call);
apr_status_t dbd_child_init(bsession_backend_t *backend, apr_pool_t *pchild,
                            bsession_call_t *call);
apr_status_t dbd_load(bsession_backend_t *backend, const bsession_key_t *key,
                      bsession_record_t *record, bsession_call_t *call);
apr_status_t dbd_save(bsession_backend_t *backend, const bsession_key_t *key,
                      const bsession_save_t *save, bsession_saved_t *saved,
                      bsession_call_t *call);
apr_status_t dbd_touch(bsession_backend_t *backend, const bsession_key_t *key, apr_time_t expires,
                       bsession_call_t *call);
apr_status_t dbd_remove(bsession_backend_t *backend, const bsession_key_t *key,
                        apr_uint64_t revision, bsession_call_t *call);
apr_status_t dbd_scan(bsession_backend_t *backend, char space, bsession_cursor_t *cursor,
                      bsession_visitor_t *visit, void *baton, bsession_call_t *call);
apr_status_t dbd_sweep(bsession_backend_t *backend, apr_time_t now, bsession_call_t *call);
void         dbd_stats(bsession_backend_t *backend, bsession_stats_t *stats,
                       bsession_call_t *call);

#define DBD_PROVIDER(create_function, open_function) \
    {                                                \
        .abi        = BSESSION_PROVIDER_ABI,         \
        .name       = "dbd",                         \
        .create     = create_function,               \
        .open       = open_function,                 \
        .child_init = dbd_child_init,                \
        .load       = dbd_load,                      \
        .save       = dbd_save,                      \
        .touch      = dbd_touch,                     \
        .remove     = dbd_remove,                    \
        .scan       = dbd_scan,                      \
        .sweep      = dbd_sweep,                     \
        .stats      = dbd_stats                      \
    }

#endif
