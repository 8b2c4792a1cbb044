/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file dbd_gate.h
 * @brief How many threads of a process may be with the database, and how long they are waited for.
 *
 * apr_dbd knows no time-outs: who asks a server that has stopped is held until it goes on. So only
 * as many go in as there are connections; the others wait until their deadline; and once one has
 * been held for longer than its deadline allows, all others are turned back at once. Those
 * failures are what the circuit breaker counts.
 *
 * A process that ends closes the gate, and waits for a while for those inside to leave: their
 * connections go with the process's pool.
 */
#ifndef DBD_GATE_H
#define DBD_GATE_H

#include "bsession_provider.h"

typedef struct dbd_gate_t dbd_gate_t;

/** @param holds    there is a server that may stop and hold who asks
 *  @param pchild   closes it when it is destroyed
 *  @param process  outlives all threads, those of mod_watchdog too */
dbd_gate_t *dbd_gate_make(int most, int holds, apr_pool_t *pchild, apr_pool_t *process);

/** APR_SUCCESS: there is a place, to be given back. APR_EOF: it is closed; otherwise call->why says
 *  why not. */
apr_status_t dbd_gate_enter(dbd_gate_t *gate, int *place, bsession_call_t *call);
void         dbd_gate_leave(dbd_gate_t *gate, int place);

#endif
