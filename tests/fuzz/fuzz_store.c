/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A BSessionStore line. The input's first line is the URL, each other one an option, `key=value`: a
 * store is made, or a sentence says what was expected. Nothing but that happens: create only
 * parses. */

#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "dbd.h"
#include "file.h"
#include "fuzz.h"
#include "memcached.h"
#include "memory.h"
#include "redis.h"
#include "store_call.h"

#define OPTIONS 16

static apr_pool_t *pool, *process;

/* ---- stores in SQL: as backends/dbd_module.c makes them of what mod_dbd has ---- */

static int most(void)
{
    return 10;
}

/* Nobody asks for a connection while a line is read. */
static int acquire(dbd_connection_t *connection, apr_pool_t *p)
{
    (void)connection;
    (void)p;
    MUST(0);
    return 0;
}

static void release(dbd_connection_t *connection)
{
    (void)connection;
    MUST(0);
}

static const char *dbd_make(bsession_backend_t **backend, const char *name, const char *url,
                            const bsession_options_t *options,
                            const bsession_services_t *services, apr_pool_t *pconf)
{
    static const char *const drivers[] = { "pgsql", "sqlite3", "mysql" };
    static const dbd_source_t source = { most, acquire, release };

    (void)name;
    return dbd_create(backend, url, options, services, drivers[strlen(url) % 3], &source, pconf);
}

static const bsession_provider_t dbd = { .create = dbd_make };

/* ---- the line ---- */

static const struct {
    const char                *scheme;
    const bsession_provider_t *provider;
} stores[] = {
    { "memory:", &bsession_memory_provider }, { "file:", &bsession_file_provider },
    { "redis:", &bsession_redis_provider }, { "rediss:", &bsession_rediss_provider },
    { "redis+unix:", &bsession_redis_unix_provider },
    { "memcached:", &bsession_memcached_provider }, { "dbd:", &dbd }
};

/* What configtest prints is one line that a person can read. */
static void check_sentence(const char *why)
{
    MUST(*why && strlen(why) < 100000);
}

static void create(const bsession_provider_t *provider, const char *url,
                   const bsession_options_t *options)
{
    static bsession_services_t services;
    bsession_backend_t *backend = NULL;
    const char *why;

    bs_services_init(&services, process);
    why = provider->create(&backend, "name", url, options, &services, pool);
    if (why) {
        check_sentence(why);
    }
    else {
        MUST(backend);
    }
}

/* As hooks/config_stores.c does it: the core's are taken, the rest is the backend's. 0 where a
 * sentence ends it. */
static int add_option(bs_store_t *store, bsession_options_t *options, bsession_option_t *list,
                      char *line)
{
    char *value = strchr(line, '=');
    const char *why;
    int taken;

    if (!value || value == line) {
        return 1;
    }
    *value++ = '\0';
    why = bs_store_option(store, line, value, pool, &taken);
    if (why) {
        check_sentence(why);
        return 0;
    }
    MUST(store->timeout >= apr_time_from_msec(1) && store->timeout <= apr_time_from_sec(300));
    MUST(store->breaker.failures <= 1000 && store->breaker.first >= 1000
         && store->breaker.longest >= store->breaker.first);
    if (!taken) {
        list[options->count].name = line;
        list[options->count++].value = value;
    }
    return 1;
}

static void parse_line(char *line)
{
    bs_store_t store = { .timeout = apr_time_from_sec(2), .breaker = BS_BREAKER_DEFAULT };
    bsession_option_t list[OPTIONS];
    bsession_options_t options = { list, 0 };
    char *rest, *url = strsep(&line, "\n");
    size_t i;

    while (options.count < OPTIONS && (rest = strsep(&line, "\n"))) {
        if (!add_option(&store, &options, list, rest)) {
            return;
        }
    }
    for (i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
        if (!strncmp(url, stores[i].scheme, strlen(stores[i].scheme))) {
            create(stores[i].provider, url, &options);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = malloc(size + 1);

    if (!pool) {
        MUST(apr_initialize() == APR_SUCCESS);
        MUST(apr_pool_create(&process, NULL) == APR_SUCCESS);
        MUST(apr_pool_create(&pool, NULL) == APR_SUCCESS);
    }
    MUST(line);
    memcpy(line, data, size);
    line[size] = '\0';
    parse_line(line);
    free(line);
    apr_pool_clear(pool);
    return 0;
}
