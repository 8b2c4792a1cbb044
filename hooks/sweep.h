/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file sweep.h
 * @brief When expired records are dropped, for the stores that do not drop them by themselves.
 */
#ifndef BS_SWEEP_H
#define BS_SWEEP_H

#include "config.h"

/** In the parent, when the stores are open: mod_watchdog is asked for its thread. */
void bs_sweep_start(server_rec *main_server, apr_pool_t *pconf);

/** In each child, before its stores are prepared: none of them goes while a sweep is at work. */
void bs_sweep_child(apr_pool_t *pchild);

/* There is no such thread: requests that have written sweep. */
extern int bs_sweep_by_requests;
void       bs_sweep_store(bs_store_t *store, request_rec *r);

/** A request has written to the store, and its answer has left. */
static inline void bs_sweep_after_write(bs_store_t *store, request_rec *r)
{
    if (bs_sweep_by_requests) {
        bs_sweep_store(store, r);
    }
}

#endif
