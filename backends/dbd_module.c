/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* mod_bsession_dbd.so: httpd's side of the SQL store, whose connections are mod_dbd's. */

#include <strings.h>

#include <apr_cstr.h>
#include <apr_strings.h>

#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "http_main.h"
#include "ap_mpm.h"
#include "ap_provider.h"

#include "dbd.h"        /* before mod_dbd.h, which needs apr_dbd's types */
#include "mod_dbd.h"

#define MOST_OF_MOD_DBD 10          /* DBDMax, where nothing says */

extern module AP_MODULE_DECLARE_DATA bsession_dbd_module __attribute__((visibility("default")));

/* ------------------------------------------------------------------ where connections come from */

/* mod_dbd shows its configuration to nobody; the lines that it has read stand in the tree. The
 * last one outside of all sections is the main server's, and those of <IfModule> and its like
 * stand there as if without it. */
static const char *main_server_says(const char *directive, apr_pool_t *pool)
{
    const ap_directive_t *line;
    const char *args = NULL;

    for (line = ap_conftree; line; line = line->next) {
        if (strcasecmp(line->directive, directive) == 0) {
            args = line->args;
        }
    }
    return args ? ap_getword_conf(pool, &args) : NULL;
}

static int source_most(void)
{
    const char *most;
    apr_pool_t *pool;
    int number = 0;

    if (apr_pool_create(&pool, NULL) == APR_SUCCESS) {
        most = main_server_says("DBDMax", pool);
        if (!most || apr_cstr_atoi(&number, most) != APR_SUCCESS) {
            number = 0;                 /* mod_dbd refuses to start over what is no number */
        }
        apr_pool_destroy(pool);
    }
    return number > 0 ? number : MOST_OF_MOD_DBD;
}

/* By ap_dbd_open, which takes a connection for as long as we want; ap_dbd_acquire would take the
 * request's own, which is in whatever state its handler has left it in. */
static int source_acquire(dbd_connection_t *connection, apr_pool_t *pool)
{
    APR_OPTIONAL_FN_TYPE(ap_dbd_open) *dbd_open_one = APR_RETRIEVE_OPTIONAL_FN(ap_dbd_open);
    ap_dbd_t *dbd = dbd_open_one ? dbd_open_one(pool, ap_server_conf) : NULL;

    if (!dbd) {
        return 0;
    }
    connection->driver = dbd->driver;
    connection->handle = dbd->handle;
    connection->pool = dbd->pool;
    connection->owner = dbd;
    return 1;
}

static void source_release(dbd_connection_t *connection)
{
    APR_OPTIONAL_FN_TYPE(ap_dbd_close) *dbd_close_one = APR_RETRIEVE_OPTIONAL_FN(ap_dbd_close);

    if (dbd_close_one) {
        dbd_close_one(ap_server_conf, connection->owner);
    }
}

static const dbd_source_t source = { source_most, source_acquire, source_release };

/* ------------------------------------------------------------------ the provider */

static const char *create(bsession_backend_t **backend, const char *name, const char *url,
                          const bsession_options_t *options, const bsession_services_t *services,
                          apr_pool_t *pconf)
{
    const char *driver;

    (void)name;
    if (!APR_RETRIEVE_OPTIONAL_FN(ap_dbd_open)) {
        return "dbd: needs mod_dbd: LoadModule dbd_module modules/mod_dbd.so";
    }
    driver = main_server_says("DBDriver", pconf);
    if (!driver || !main_server_says("DBDParams", pconf)) {
        return "dbd: needs DBDriver and DBDParams in the main server, outside of any <VirtualHost>";
    }
    return dbd_create(backend, url, options, services, driver, &source, pconf);
}

/* A module that takes the request's own connection has it until the request ends, also while that
 * waits for one of ours; and mod_dbd lets whoever waits for one wait for ever. */
static const char *who_holds_connections(void)
{
    static const char *const modules[] = { "mod_authn_dbd", "mod_authz_dbd", "mod_session_dbd" };
    apr_size_t i;

    for (i = 0; i < sizeof modules / sizeof *modules; i++) {
        char file[24];

        apr_snprintf(file, sizeof file, "%s.c", modules[i]);
        if (ap_find_linked_module(file)) {
            return modules[i];
        }
    }
    return NULL;
}

static apr_status_t open_store(bsession_backend_t *backend, apr_int64_t uid, apr_int64_t gid,
                               bsession_call_t *call)
{
    const char *who = who_holds_connections(), *keeps = main_server_says("DBDPersist", call->pool);
    int threads = 1, most = source_most();

    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    if (who && most <= threads && !(keeps && strcasecmp(keeps, "off") == 0)) {
        apr_snprintf(call->why, sizeof call->why, "DBDMax, %d, is not above ThreadsPerChild, %d: "
                     "with %s requests may wait for each other for ever", most, threads, who);
    }
    return dbd_open(backend, uid, gid, call);
}

static const bsession_provider_t provider = DBD_PROVIDER(create, open_store);

/* ------------------------------------------------------------------ the module */

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf, (void)plog, (void)ptemp;
    if (ap_lookup_provider(BSESSION_PROVIDER_GROUP, "memory", BSESSION_PROVIDER_VERSION)) {
        return OK;
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "mod_bsession_dbd needs mod_bsession: LoadModule "
                 "bsession_module modules/mod_bsession.so");
    return HTTP_INTERNAL_SERVER_ERROR;
}

static void register_hooks(apr_pool_t *p)
{
    ap_register_provider(p, BSESSION_PROVIDER_GROUP, provider.name, BSESSION_PROVIDER_VERSION,
                         &provider);
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(bsession_dbd) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, AP_MODULE_FLAG_NONE
};
