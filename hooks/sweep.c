/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The sweep: by a thread of mod_watchdog in each child, of which whoever is first does what is due
 * for all of them, and also where there are no requests; or else, where there is no mod_watchdog,
 * or the MPM has no threads and the store can wait, by requests that have written. */

#include "sweep.h"

#include "ap_mpm.h"
#include "mod_watchdog.h"

/* How often a child looks whether something is due. */
#define LOOK_EVERY apr_time_from_sec(1)
/* A thread of our own: a database that has stopped must not keep others' work from being done. */
#define WATCHDOG   "_bsession_"

/* mod_watchdog's thread outlives the child's pool, and with that what stores keep in it. So the
 * pool waits for a sweep, which is short, and none begins after. */
#define DRAIN_TIME apr_time_from_sec(5)
#define DRAIN_STEP apr_time_from_msec(2)

enum { RESTING, SWEEPING, OVER };

static apr_uint32_t phase;

typedef enum { NOBODY, BY_REQUESTS, BY_THREAD } sweeper_t;

int bs_sweep_by_requests;

static int enter(apr_uint32_t from, apr_uint32_t to)
{
    return __atomic_compare_exchange_n(&phase, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static apr_status_t drain(void *unused)
{
    apr_time_t end = apr_time_now() + DRAIN_TIME;

    (void)unused;
    while (!enter(RESTING, OVER) && apr_time_now() < end) {
        apr_sleep(DRAIN_STEP);
    }
    return APR_SUCCESS;
}

void bs_sweep_child(apr_pool_t *pchild)
{
    phase = RESTING;
    apr_pool_pre_cleanup_register(pchild, NULL, drain);
}

static apr_status_t look(int state, void *baton, apr_pool_t *p)
{
    const bs_stores_t *stores = baton;
    bs_caller_t caller = { 0 };
    int i;

    if (state != AP_WATCHDOG_STATE_RUNNING || !enter(RESTING, SWEEPING)) {
        return APR_SUCCESS;
    }
    apr_pool_create(&caller.pool, p);
    for (i = 0; i < stores->list->nelts; i++) {
        bs_store_t *store = &APR_ARRAY_IDX(stores->list, i, bs_store_conf_t *)->store;

        if (store->shared) {
            bs_store_sweep_if_due(store, &caller);
        }
    }
    apr_pool_destroy(caller.pool);
    __atomic_store_n(&phase, RESTING, __ATOMIC_RELEASE);
    return APR_SUCCESS;
}

void bs_sweep_store(bs_store_t *store, request_rec *r)
{
    bs_caller_t caller = { .pool = r->pool, .where = r };

    bs_store_sweep_if_due(store, &caller);
}

/** A process that has more than one thread pays for that at each system call and each lock. */
static sweeper_t wanted(const bs_stores_t *stores)
{
    sweeper_t by = NOBODY;
    int i, threaded = 0;

    ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    for (i = 0; i < stores->list->nelts; i++) {
        const bs_store_t *store = &APR_ARRAY_IDX(stores->list, i, bs_store_conf_t *)->store;

        if (store->shared && store->provider->sweep) {
            if (threaded || !store->provider->makes_way) {
                return BY_THREAD;
            }
            by = BY_REQUESTS;
        }
    }
    return by;
}

void bs_sweep_start(server_rec *main_server, apr_pool_t *pconf)
{
    APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get =
        APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *watch =
        APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    bs_stores_t *stores = bs_server_conf(main_server)->stores;
    ap_watchdog_t *watchdog;
    sweeper_t by = wanted(stores);

    bs_sweep_by_requests = by == BY_REQUESTS;
    if (by != BY_THREAD) {
        return;
    }
    if (!get || !watch || get(&watchdog, WATCHDOG, 0, 0, pconf) != APR_SUCCESS
        || watch(watchdog, LOOK_EVERY, stores, look) != APR_SUCCESS) {
        bs_sweep_by_requests = 1;
    }
}
