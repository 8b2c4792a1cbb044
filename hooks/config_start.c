/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What happens between the reading of the configuration and the first request: stores are opened
 * by the parent, and prepared by each child. */

#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ap_mpm.h"
#include "apr_hash.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "unixd.h"

#include "guesses.h"
#include "lifecycle.h"
#include "log.h"
#include "secrets.h"
#include "sweep.h"

APLOG_USE_MODULE(bsession);

/* Part of the name under which a store's counters outlive a graceful restart: another layout of
 * bs_store_shared_t must not find them. */
#define SHARED_LAYOUT   6

static void log_for_core(void *where, bs_level_t level, const char *text)
{
    static const int levels[] = { APLOG_ERR, APLOG_WARNING, APLOG_INFO, APLOG_DEBUG };
    const request_rec *r = where;

    if (r) {
        ap_log_rerror(APLOG_MARK, levels[level], 0, r, "%s", text);
    }
    else {
        ap_log_error(APLOG_MARK, levels[level], 0, ap_server_conf, "%s", text);
    }
}

/** Breakers and counters, which outlive graceful restarts as the children that use them do,
 *  while the store is defined as it was. */
static apr_status_t share(bs_store_conf_t *conf, apr_pool_t *process_pool, apr_pool_t *p)
{
    bs_store_t *store = &conf->store;
    apr_ssize_t all = APR_HASH_KEY_STRING;
    unsigned definition = conf->definition ? apr_hashfunc_default(conf->definition, &all) : 0;
    const char *key = apr_psprintf(p, "mod_bsession:shared:%d:%" APR_SIZE_T_FMT ":%x:%s",
                                   SHARED_LAYOUT, sizeof(bs_store_shared_t), definition,
                                   store->name);
    void *found = NULL;

    apr_pool_userdata_get(&found, key, process_pool);
    if (!found) {
        found = mmap(NULL, sizeof(bs_store_shared_t), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (found == MAP_FAILED) {
            return errno;
        }
        apr_pool_userdata_set(found, key, apr_pool_cleanup_null, process_pool);
    }
    store->shared = found;
    store->shared->warned_secure = 0;
    return APR_SUCCESS;
}

/** Who opened a store, and is to close it. */
typedef struct {
    const bs_store_t *store;
    pid_t             parent;
    apr_pool_t       *pconf;
} opened_t;

/** Whether this is httpd's orderly end. At a restart its children go on; also at one that fails,
 *  after which the parent ends and they do not. */
static int is_the_end(void)
{
    int state = AP_MPMQ_STARTING, generation = 0;

    ap_mpm_query(AP_MPMQ_MPM_STATE, &state);
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING
           && (state == AP_MPMQ_STOPPING || generation == 0);
}

/** Before pconf goes, of which children have a copy. The MPM can still be asked, and the main
 *  server still has its error log. */
static apr_status_t close_store(void *baton)
{
    const opened_t *opened = baton;
    const bs_store_t *store = opened->store;
    bsession_call_t call = { .deadline = apr_time_now() + store->timeout, .pool = opened->pconf };

    if (getpid() == opened->parent && is_the_end()
        && store->provider->close(store->backend, &call) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, ap_server_conf, "BSessionStore %s was not closed in "
                     "order: %s", store->name, call.why);
    }
    return APR_SUCCESS;
}

static void close_at_the_end(const bs_store_t *store, apr_pool_t *pconf)
{
    opened_t *opened = apr_pcalloc(pconf, sizeof *opened);

    opened->store = store;
    opened->parent = getpid();
    opened->pconf = pconf;
    apr_pool_pre_cleanup_register(pconf, opened, close_store);
}

apr_status_t bs_open_store(bs_store_conf_t *conf, server_rec *s, apr_pool_t *pconf)
{
    bs_store_t *store = &conf->store;
    bsession_call_t call = { .deadline = apr_time_now() + store->timeout, .pool = pconf };
    int as_root = geteuid() == 0;
    apr_status_t status;

    if (store->shared) {
        return APR_SUCCESS;
    }
    status = share(conf, s->process->pool, pconf);
    if (status == APR_SUCCESS) {
        status = store->provider->open(store->backend,
                                       as_root ? (apr_int64_t)ap_unixd_config.user_id : -1,
                                       as_root ? (apr_int64_t)ap_unixd_config.group_id : -1, &call);
    }
    if (status != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, status, s, "BSessionStore %s cannot be opened: %s",
                     store->name, call.why);
    }
    else if (call.why[0]) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "BSessionStore %s: %s", store->name, call.why);
    }
    if (status == APR_SUCCESS && store->provider->close) {
        close_at_the_end(store, pconf);
    }
    return status;
}

/** What a server's applications must not see, and who may share its sessions. A virtual host that
 *  says nothing of ours has the main server's struct, but a realm of its own. */
static apr_status_t settle_server(server_rec *s, const server_rec *main_server, apr_pool_t *pconf)
{
    bs_server_conf_t *conf = bs_server_conf(s);
    const char **hidden = apr_pcalloc(pconf, (apr_size_t)(conf->cookie_names->nelts + 2)
                                             * sizeof *hidden);

    if (s != main_server && conf == bs_server_conf(main_server)) {
        conf = apr_pmemdup(pconf, conf, sizeof *conf);
        ap_set_module_config(s->module_config, &bsession_module, conf);
    }
    memcpy(hidden, conf->cookie_names->elts,
           (apr_size_t)conf->cookie_names->nelts * sizeof *hidden);
    hidden[conf->cookie_names->nelts] = BS_COOKIE_DEFAULT_NAME;
    conf->hidden = hidden;
    if (bs_realm_digest(conf->realm ? conf->realm : s->server_hostname, conf->realm_digest)
        != APR_SUCCESS) {
        return APR_EGENERAL;
    }
    return bs_settle_keys(conf, pconf);
}

/** The parent unloads this object at each restart; in a child threads may still be at work when its
 *  pools go. */
static apr_status_t end_tokens(void *parent)
{
    if (getpid() == (pid_t)(intptr_t)parent) {
        bs_crypto_end();
    }
    return APR_SUCCESS;
}

/** Whether any place wants sessions: a module that is only loaded takes no memory for them. */
static int is_wanted(const bs_stores_t *stores)
{
    int i;

    for (i = 0; i < stores->places->nelts; i++) {
        if (APR_ARRAY_IDX(stores->places, i, bs_place_t).conf->mode > BS_OFF) {
            return 1;
        }
    }
    return 0;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server)
{
    bs_stores_t *stores = bs_server_conf(main_server)->stores;
    apr_status_t status = bs_crypto_init();
    server_rec *s;
    int i;

    (void)plog;
    (void)ptemp;
    bs_log_install(log_for_core);
    bs_lifecycle_start();
    apr_pool_cleanup_register(pconf, (void *)(intptr_t)getpid(), end_tokens, apr_pool_cleanup_null);
    for (s = main_server; s && status == APR_SUCCESS; s = s->next) {
        status = settle_server(s, main_server, pconf);
    }
    if (status == APR_SUCCESS) {
        status = bs_settle_cache_keys(bs_server_conf(main_server), pconf);
    }
    bs_forget_secrets(main_server, pconf);
    if (status != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, status, main_server, "OpenSSL offers no SHA-256, or not "
                     "what BSessionSecret needs (HKDF, BLAKE2b, AES-256-GCM): sessions cannot be had");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;                      /* the first of two readings: nothing is opened yet */
    }
    for (i = 0; i < stores->list->nelts; i++) {
        bs_store_conf_t *store = APR_ARRAY_IDX(stores->list, i, bs_store_conf_t *);

        if (!store->store.provider || (store->implied && !is_wanted(stores))) {
            continue;
        }
        if (bs_open_store(store, main_server, pconf) != APR_SUCCESS) {
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    if (is_wanted(stores) && bs_guesses_open(stores, main_server, pconf) != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    bs_sweep_start(main_server, pconf);
    return OK;
}

static void child_init(apr_pool_t *pchild, server_rec *s)
{
    bs_stores_t *stores = bs_server_conf(s)->stores;
    int i;

    bs_sweep_child(pchild);
    for (i = 0; i < stores->list->nelts; i++) {
        bs_store_t *store = &APR_ARRAY_IDX(stores->list, i, bs_store_conf_t *)->store;
        bsession_call_t call = { .deadline = apr_time_now() + store->timeout, .pool = pchild };

        if (store->shared && store->provider->child_init
            && store->provider->child_init(store->backend, pchild, &call) != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "BSessionStore %s: a child could not prepare: "
                         "%s", store->name, call.why);
        }
    }
}

void bs_register_config_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_check_config(bs_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_REALLY_FIRST);  /* others may use a cache */
}
