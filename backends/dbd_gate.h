/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file dbd_gate.h
 * @brief How many threads of a process may be with the database, and for how long they are believed.
 *
 * apr_dbd knows no time-outs: who asks a server that has stopped is held until it goes on. So only as
 * many go in as there are connections; the others wait until their deadline; and once one has been
 * held for longer than its deadline allows, all others are turned back at once. Those failures
 * are what the circuit breaker counts.
 */
#ifndef DBD_GATE_H
#define DBD_GATE_H

#include "bsession_provider.h"

typedef struct dbd_gate_t dbd_gate_t;

/** NULL: out of memory. */
dbd_gate_t *dbd_gate_make(int most, apr_pool_t *pool);

/** A place to be given back, or -1 with call->why. */
int  dbd_gate_enter(dbd_gate_t *gate, bsession_call_t *call);
void dbd_gate_leave(dbd_gate_t *gate, int place);

#endif
