/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Each verb, killed after its first instruction, after its second, and so on to its end (every
 * `stride`th of them; and each single one from where a record is written, as it is stored): a child
 * is single-stepped through one request by ptrace. What is found then is what was there before or
 * what was asked for; its neighbours are untouched, and the checker agrees. */

#include "memory_fault.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"

#define STEP_NEIGHBOURS 40
#define STEP_MOST       500000L     /* of one request's kills together; so long ones have fewer */
#define STEP_END        4000000L
#define STEP_ABSENT     (-1L)
#define STEP_EXPIRED    (-2L)       /* absent, but there, at a higher revision */

/* What is asked of the store, and what it makes of the record. */
typedef struct {
    const char *name;
    int         full;               /* in a store that must evict for it */
    int         write;              /* begin where the record is written, and miss nothing */
    long        before, after;      /* numbers; STEP_ABSENT; STEP_EXPIRED */
    apr_status_t (*request)(void);
} step_t;

static bsession_backend_t *backend;
static bsession_key_t      key, neighbours[STEP_NEIGHBOURS];
static apr_pool_t         *step_pool;

static apr_status_t step_create(void)
{
    return fault_save(backend, BSESSION_CREATE, &key, 5, 2, 0, step_pool);
}

static apr_status_t step_replace(void)
{
    return fault_save(backend, BSESSION_REPLACE, &key, 100, 2, BSESSION_KEEP, step_pool);
}

static apr_status_t step_put(void)
{
    return fault_save(backend, BSESSION_PUT, &key, 3, 2, 0, step_pool);
}

static apr_status_t step_remove(void)
{
    bsession_call_t call = fault_call(step_pool, 20000);

    return bsession_memory_provider.remove(backend, &key, 100, &call);
}

static apr_status_t step_touch(void)
{
    bsession_call_t call = fault_call(step_pool, 20000);

    return bsession_memory_provider.touch(backend, &key, 0, &call);
}

static apr_status_t step_load(void)
{
    bsession_record_t record;

    return fault_load(backend, &key, &record, step_pool);
}

static apr_status_t step_sweep(void)
{
    bsession_call_t call = fault_call(step_pool, 20000);
    apr_status_t status = bsession_memory_provider.sweep(backend, apr_time_now()
                                                         + apr_time_from_sec(7200), &call);

    return status == APR_INCOMPLETE ? APR_SUCCESS : status;
}

static const step_t steps[] = {
    { "create", 0, 0, STEP_ABSENT, 2, step_create },
    { "create, written", 0, 1, STEP_ABSENT, 2, step_create },
    { "create over an expired one, written", 0, 1, STEP_EXPIRED, 2, step_create },
    { "replace", 0, 0, 1, 2, step_replace },
    { "replace, written", 0, 1, 1, 2, step_replace },
    { "put at a lower revision", 0, 0, 1, 2, step_put },
    { "put at a lower revision, written", 0, 1, 1, 2, step_put },
    { "remove", 0, 0, 1, STEP_ABSENT, step_remove },
    { "touch", 0, 0, 1, 1, step_touch },
    { "load", 0, 0, 1, 1, step_load },
    { "sweep", 0, 0, 1, STEP_ABSENT, step_sweep },
    { "create in a full store", 1, 0, STEP_ABSENT, 2, step_create },
    { "replace in a full store", 1, 0, 1, 2, step_replace }
};

/* ------------------------------------------------------------------ before and after */

static void step_must(apr_status_t status, const char *what)
{
    if (status != APR_SUCCESS) {
        fault_fail("%s: %d", what, status);
    }
}

static apr_uint64_t step_evicted(void)
{
    bsession_call_t call = fault_call(step_pool, 20000);
    bsession_stats_t stats;

    bsession_memory_provider.stats(backend, &stats, &call);
    return stats.evicted;
}

/* No slot is free for the record that will be asked for. */
static void step_fill(void)
{
    apr_uint64_t evicted = step_evicted();

    while (step_evicted() == evicted) {
        bsession_key_t other = fault_key('s');

        step_must(fault_save(backend, BSESSION_CREATE, &other, 1, 2, 0, step_pool), "create");
    }
}

/* The record as it is before the request, at revision 100 and with an hour to live. */
static void step_prepare(const step_t *step)
{
    bsession_call_t call = fault_call(step_pool, 20000);
    apr_status_t status = bsession_memory_provider.remove(backend, &key, 0, &call);

    if (status != APR_NOTFOUND) {
        step_must(status, "remove");
    }
    if (step->full) {
        step_fill();
    }
    if (step->before == STEP_EXPIRED) {
        step_must(fault_save(backend, BSESSION_CREATE, &key, 100, 1,
                             apr_time_now() - apr_time_from_sec(1), step_pool), "create");
    }
    else if (step->before != STEP_ABSENT) {
        step_must(fault_save(backend, BSESSION_CREATE, &key, 100, step->before,
                             apr_time_now() + apr_time_from_sec(3600), step_pool), "create");
    }
}

static void step_verify(const step_t *step, long killed_at)
{
    bsession_record_t record;
    apr_status_t status = fault_load(backend, &key, &record, step_pool);
    long found = status == APR_SUCCESS ? fault_number(&record) : STEP_ABSENT;
    long before = step->before == STEP_EXPIRED ? STEP_ABSENT : step->before;
    int i;

    if ((status != APR_SUCCESS && status != APR_NOTFOUND)
        || (found != before && found != step->after)) {
        fault_fail("%s, killed at step %ld: found %ld (%d)", step->name, killed_at, found, status);
    }
    for (i = 0; i < STEP_NEIGHBOURS && !step->full; i++) {
        step_must(fault_load(backend, &neighbours[i], &record, step_pool), "a neighbour");
        if (fault_number(&record) != i) {
            fault_fail("%s, killed at step %ld: a neighbour changed", step->name, killed_at);
        }
    }
    fault_check(backend, step_pool);
    apr_pool_clear(step_pool);
}

/* ------------------------------------------------------------------ stepping */

static void step_stop(void)
{
    raise(SIGSTOP);
}

/* A child that waits, stopped, before the request or in it. -1: not allowed here. */
static pid_t step_child(const step_t *step)
{
    pid_t child = fault_fork();
    int status;

    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(77);
        }
        if (step->write) {
            fault_after_write = step_stop;
        }
        else {
            step_stop();
        }
        _exit(step->request() == APR_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    if (waitpid(child, &status, 0) != child) {
        fault_fail("no child");
    }
    return WIFSTOPPED(status) ? child : -1;
}

/* Up to `most` steps.
 * @return how many there were; fewer where the child came to its end */
static long step_run(const step_t *step, pid_t child, long most)
{
    long count = 0;
    int status;

    while (count < most) {
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0
            || waitpid(child, &status, 0) != child) {
            fault_fail("cannot step: errno %d", errno);
        }
        if (WIFEXITED(status)) {
            if (WEXITSTATUS(status) != EXIT_SUCCESS) {
                fault_fail("%s failed", step->name);
            }
            return count;
        }
        if (!WIFSTOPPED(status)) {
            fault_fail("%s ended with %x", step->name, status);
        }
        count++;
    }
    kill(child, SIGKILL);
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) {
        fault_fail("%s outlived its kill", step->name);
    }
    return count;
}

/* @return how often it was killed, or -1 where stepping is not allowed */
static long step_through(const step_t *step, int stride, long *length)
{
    pid_t child;
    long at, by, kills = 0;

    step_prepare(step);
    if ((child = step_child(step)) < 0) {
        return -1;
    }
    *length = step_run(step, child, STEP_END);
    step_verify(step, *length);
    by = (step->write ? 1 : stride) + *length * *length / 2 / STEP_MOST;
    for (at = 1; at < *length; at += by) {
        step_prepare(step);
        step_run(step, step_child(step), at);
        step_verify(step, at);
        kills++;
    }
    return kills;
}

static void step_open(int full, apr_pool_t *pool)
{
    int i;

    backend = fault_open("1M", pool);
    key = fault_key('s');
    for (i = 0; i < STEP_NEIGHBOURS; i++) {
        neighbours[i] = fault_key('s');
        step_must(fault_save(backend, BSESSION_CREATE, &neighbours[i], 1, i, 0, step_pool),
                  "create");
    }
    while (full && step_evicted() < 100) {
        bsession_key_t other = fault_key('s');

        step_must(fault_save(backend, BSESSION_CREATE, &other, 1, i++, 0, step_pool), "create");
        apr_pool_clear(step_pool);
    }
}

void fault_step(int stride, apr_pool_t *pool)
{
    int i;

    apr_pool_create(&step_pool, pool);
    for (i = 0; i < (int)(sizeof(steps) / sizeof(*steps)); i++) {
        long kills, length = 0;

        if (i == 0 || steps[i].full != steps[i - 1].full) {
            step_open(steps[i].full, pool);
        }
        kills = step_through(&steps[i], stride, &length);
        if (kills < 0) {
            printf("memory_kill: stepping: skipped, ptrace is not allowed here\n");
            return;
        }
        printf("memory_kill: %s: %ld instructions, killed at %ld of them: ok\n", steps[i].name,
               length, kills);
    }
}
