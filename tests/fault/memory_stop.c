/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A worker that is stopped, or killed, in the middle of a save: certainly under the lock, since it
 * happens where the record is written. */

#include "memory_fault.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"

static void stop_self(void)
{
    raise(SIGSTOP);
}

static void kill_self(void)
{
    raise(SIGKILL);
}

/* A child that replaces the record and is caught in the middle of it. */
static pid_t stop_child(bsession_backend_t *backend, const bsession_key_t *key, void (*how)(void),
                        apr_pool_t *pool)
{
    pid_t child = fault_fork();
    int status;

    if (child == 0) {
        fault_in_write = how;
        _exit(fault_save(backend, BSESSION_REPLACE, key, 100, 2, BSESSION_KEEP, pool));
    }
    if (waitpid(child, &status, WUNTRACED) != child) {
        fault_fail("no child");
    }
    if (!(how == stop_self ? WIFSTOPPED(status) : WIFSIGNALED(status))) {
        fault_fail("the child was not caught: %x", status);
    }
    return child;
}

static void stop_expect(bsession_backend_t *backend, const bsession_key_t *key, long number,
                        apr_pool_t *pool)
{
    bsession_record_t record;
    apr_status_t status = fault_load(backend, key, &record, pool);

    if (status != APR_SUCCESS || fault_number(&record) != number) {
        fault_fail("record %ld is not there: %d", number, status);
    }
}

/* Whoever meets the stopped one's shard gets *unknown*, and a reason, in bounded time. */
static void stop_expect_unknown(bsession_backend_t *backend, const bsession_key_t *key,
                                apr_pool_t *pool)
{
    bsession_call_t call = fault_call(pool, 100);
    bsession_record_t record;
    apr_status_t status = bsession_memory_provider.load(backend, key, &record, &call);

    if (status != APR_TIMEUP || !strstr(call.why, "was locked for")) {
        fault_fail("a shard whose owner is stopped: %d, '%s'", status, call.why);
    }
    call = fault_call(pool, 100);
    status = bsession_memory_provider.remove(backend, key, 0, &call);
    if (status != APR_TIMEUP || !call.why[0]) {
        fault_fail("a remove in a shard whose owner is stopped: %d", status);
    }
}

void fault_stop(apr_pool_t *pool)
{
    bsession_backend_t *backend = fault_open("4M", pool);
    bsession_key_t key = fault_key('s'), other;
    pid_t child;
    int status;

    do {
        other = fault_key('s');
    } while (bsession_memory_provider.node_of(backend, &other)
             == bsession_memory_provider.node_of(backend, &key));
    if (fault_save(backend, BSESSION_CREATE, &key, 100, 1, 0, pool) != APR_SUCCESS
        || fault_save(backend, BSESSION_CREATE, &other, 100, 3, 0, pool) != APR_SUCCESS) {
        fault_fail("cannot create");
    }
    child = stop_child(backend, &key, stop_self, pool);
    stop_expect_unknown(backend, &key, pool);
    stop_expect(backend, &other, 3, pool);
    kill(child, SIGCONT);
    if (waitpid(child, &status, 0) != child || status != 0) {
        fault_fail("the child did not go on: %x", status);
    }
    stop_expect(backend, &key, 2, pool);
    fault_check(backend, pool);
    stop_child(backend, &other, kill_self, pool);
    stop_expect(backend, &other, 3, pool);
    if (fault_repaired(backend, pool) != 1) {
        fault_fail("the shard of a dead owner was not rebuilt");
    }
    fault_check(backend, pool);
    printf("memory_kill: stopped and killed under a lock: ok\n");
}
