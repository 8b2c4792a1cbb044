/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Connections without mod_dbd: of the driver and the parameters that the environment names, kept by
 * each process for itself. */

#include "contract.h"

#include <stdlib.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_thread_mutex.h>

#include "dbd.h"

#define CONTRACT_CONNECTIONS 8

static struct {
    apr_thread_mutex_t *mutex;
    pid_t               process;        /* whose connections these are */
    apr_pool_t         *pool;
    dbd_connection_t    idle[CONTRACT_CONNECTIONS];
    int                 nidle;
} have;

static int most(void)
{
    return CONTRACT_CONNECTIONS;
}

/** What a process inherits is its parent's. */
static void begin(void)
{
    if (have.process != getpid()) {
        have.process = getpid();
        have.nidle = 0;
        apr_pool_create_unmanaged_ex(&have.pool, NULL, NULL);
        apr_thread_mutex_create(&have.mutex, APR_THREAD_MUTEX_DEFAULT, have.pool);
    }
}

static apr_status_t close_one(void *data)
{
    dbd_connection_t *connection = data;

    return apr_dbd_close(connection->driver, connection->handle);
}

static int open_one(dbd_connection_t *connection)
{
    const char *driver = getenv("DBD_DRIVER"), *parameters = getenv("DBD_PARAMS"), *error = NULL;

    apr_pool_create(&connection->pool, have.pool);
    connection->owner = NULL;
    if (driver && parameters
        && apr_dbd_get_driver(have.pool, driver, &connection->driver) == APR_SUCCESS
        && apr_dbd_open_ex(connection->driver, connection->pool, parameters, &connection->handle,
                           &error) == APR_SUCCESS) {
        apr_pool_cleanup_register(connection->pool,
                                  apr_pmemdup(connection->pool, connection, sizeof *connection),
                                  close_one, apr_pool_cleanup_null);
        return 1;
    }
    apr_pool_destroy(connection->pool);
    return 0;
}

static int acquire(dbd_connection_t *connection, apr_pool_t *call_pool)
{
    int found = 0;

    apr_thread_mutex_lock(have.mutex);
    if (have.nidle) {
        *connection = have.idle[--have.nidle];
        found = 1;
    }
    else {
        found = open_one(connection);
    }
    apr_thread_mutex_unlock(have.mutex);
    if (found && apr_dbd_check_conn(connection->driver, call_pool, connection->handle)
                 != APR_SUCCESS) {
        apr_pool_destroy(connection->pool);
        return 0;
    }
    return found;
}

static void release(dbd_connection_t *connection)
{
    apr_thread_mutex_lock(have.mutex);
    have.idle[have.nidle++] = *connection;
    apr_thread_mutex_unlock(have.mutex);
}

static const dbd_source_t source = { most, acquire, release };

static const char *create(bsession_backend_t **made, const char *name, const char *url,
                          const bsession_options_t *options, const bsession_services_t *services,
                          apr_pool_t *pconf)
{
    const char *driver = getenv("DBD_DRIVER");

    (void)name;
    apr_dbd_init(pconf);
    return driver && getenv("DBD_PARAMS")
         ? dbd_create(made, url, options, services, driver, &source, pconf)
         : "DBD_DRIVER and DBD_PARAMS must be in the environment";
}

static apr_status_t child_init(bsession_backend_t *one, apr_pool_t *pchild, bsession_call_t *call)
{
    begin();
    return dbd_child_init(one, pchild, call);
}

static bsession_provider_t offered = DBD_PROVIDER(create, dbd_open);

static void __attribute__((constructor)) offer(void)
{
    offered.child_init = child_init;
    contract_offer(&offered);
}
