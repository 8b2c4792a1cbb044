/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "dbd_gate.h"

#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

/* Beyond a deadline, before the database is thought to have stopped: sweeps have short ones. */
#define GATE_GRACE apr_time_from_sec(1)

struct dbd_gate_t {
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t  *left;
    int                 most;
    apr_time_t         *deadlines;      /* of who is in; 0: a free place */
};

dbd_gate_t *dbd_gate_make(int most, apr_pool_t *pool)
{
    dbd_gate_t *gate = apr_pcalloc(pool, sizeof *gate);

    gate->most = most;
    gate->deadlines = apr_pcalloc(pool, (apr_size_t)most * sizeof *gate->deadlines);
    return apr_thread_mutex_create(&gate->mutex, APR_THREAD_MUTEX_DEFAULT, pool) == APR_SUCCESS
           && apr_thread_cond_create(&gate->left, pool) == APR_SUCCESS ? gate : NULL;
}

/** A free place, or -1. `held`: somebody has been in for too long. */
static int find_place(const dbd_gate_t *gate, apr_time_t now, int *held)
{
    int i, place = -1;

    *held = 0;
    for (i = 0; i < gate->most; i++) {
        if (!gate->deadlines[i]) {
            place = i;
        }
        else if (now > gate->deadlines[i] + GATE_GRACE) {
            *held = 1;
        }
    }
    return place;
}

int dbd_gate_enter(dbd_gate_t *gate, bsession_call_t *call)
{
    apr_time_t now = apr_time_now();
    int held, place;

    apr_thread_mutex_lock(gate->mutex);
    while ((place = find_place(gate, now, &held)) < 0 && !held && now < call->deadline) {
        apr_thread_cond_timedwait(gate->left, gate->mutex, call->deadline - now);
        now = apr_time_now();
    }
    if (place >= 0 && !held) {
        gate->deadlines[place] = call->deadline;
    }
    apr_thread_mutex_unlock(gate->mutex);
    if (held) {
        apr_cpystrn(call->why, "the database does not answer, and holds a thread that asked it",
                    sizeof call->why);
        return -1;
    }
    if (place < 0) {
        apr_snprintf(call->why, sizeof call->why, "all %d connections of DBDMax are in use",
                     gate->most);
    }
    return place;
}

void dbd_gate_leave(dbd_gate_t *gate, int place)
{
    apr_thread_mutex_lock(gate->mutex);
    gate->deadlines[place] = 0;
    apr_thread_cond_signal(gate->left);
    apr_thread_mutex_unlock(gate->mutex);
}
