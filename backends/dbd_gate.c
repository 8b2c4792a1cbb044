/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "dbd_gate.h"

#include <pthread.h>
#include <time.h>

#include <apr_strings.h>

/* Beyond a deadline, before a server is thought to have stopped: sweeps have short ones. */
#define GATE_GRACE   apr_time_from_sec(1)
/* For those inside to leave, when the process ends. */
#define GATE_CLOSING apr_time_from_sec(4)

/* Not APR's locks, which go with a pool: whoever comes late finds the gate closed. */
struct dbd_gate_t {
    pthread_mutex_t mutex;
    pthread_cond_t  left;
    int             most;
    int             holds;
    int             closed;
    apr_time_t      deadlines[];        /* of who is in, by gate_now(); 0: a free place */
};

/** The wall clock may be set while somebody is in, or waits. */
static apr_time_t gate_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000;
}

static void wait_until(dbd_gate_t *gate, apr_time_t then)
{
    struct timespec until = { .tv_sec = (time_t)apr_time_sec(then),
                              .tv_nsec = (long)apr_time_usec(then) * 1000 };

    pthread_cond_timedwait(&gate->left, &gate->mutex, &until);
}

static int is_empty(const dbd_gate_t *gate)
{
    int i;

    for (i = 0; i < gate->most; i++) {
        if (gate->deadlines[i]) {
            return 0;
        }
    }
    return 1;
}

static apr_status_t close_gate(void *data)
{
    dbd_gate_t *gate = data;
    apr_time_t end = gate_now() + GATE_CLOSING;

    pthread_mutex_lock(&gate->mutex);
    gate->closed = 1;
    pthread_cond_broadcast(&gate->left);    /* or who waits to enter hears of the last to leave */
    while (!is_empty(gate) && gate_now() < end) {
        wait_until(gate, end);
    }
    pthread_mutex_unlock(&gate->mutex);
    return APR_SUCCESS;
}

dbd_gate_t *dbd_gate_make(int most, int holds, apr_pool_t *pchild, apr_pool_t *process)
{
    dbd_gate_t *gate = apr_pcalloc(process, sizeof *gate
                                            + (apr_size_t)most * sizeof *gate->deadlines);
    pthread_condattr_t attributes;

    gate->most = most;
    gate->holds = holds;
    pthread_mutex_init(&gate->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&gate->left, &attributes);
    pthread_condattr_destroy(&attributes);
    apr_pool_pre_cleanup_register(pchild, gate, close_gate);
    return gate;
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
        else if (gate->holds && now > gate->deadlines[i] + GATE_GRACE) {
            *held = 1;
        }
    }
    return place;
}

apr_status_t dbd_gate_enter(dbd_gate_t *gate, int *place, bsession_call_t *call)
{
    apr_time_t now = gate_now(), deadline = now + call->deadline - apr_time_now();
    int held, closed;

    pthread_mutex_lock(&gate->mutex);
    while ((*place = find_place(gate, now, &held)) < 0 && !held && !gate->closed
           && now < deadline) {
        wait_until(gate, deadline);
        now = gate_now();
    }
    closed = gate->closed;
    if (*place >= 0 && !held && !closed) {
        gate->deadlines[*place] = deadline > 0 ? deadline : 1;
    }
    pthread_mutex_unlock(&gate->mutex);
    if (closed) {
        apr_cpystrn(call->why, "httpd ends", sizeof call->why);
        return APR_EOF;
    }
    if (held) {
        apr_cpystrn(call->why, "the database does not answer, and holds a thread that asked it",
                    sizeof call->why);
        return APR_TIMEUP;
    }
    if (*place < 0) {
        apr_snprintf(call->why, sizeof call->why, "all %d connections of DBDMax are in use",
                     gate->most);
        return APR_TIMEUP;
    }
    return APR_SUCCESS;
}

void dbd_gate_leave(dbd_gate_t *gate, int place)
{
    pthread_mutex_lock(&gate->mutex);
    gate->deadlines[place] = 0;
    pthread_cond_signal(&gate->left);
    pthread_mutex_unlock(&gate->mutex);
}
