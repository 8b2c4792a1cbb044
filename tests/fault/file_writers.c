/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Writers of one record: one that is stopped while it holds the lock, and several that are killed
 * while they count. */

#include "file_fault.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "file.h"

#define WRITERS    4
#define INCREMENTS 200                  /* of each; 800 together */
#define BOUND      300                  /* milliseconds of a save that waits in vain */

typedef struct {
    long acknowledged, asked;
    long done[WRITERS];
} writers_journal_t;

static bsession_backend_t *backend;
static bsession_key_t      key;
static writers_journal_t  *journal;

/* ------------------------------------------------------------------ stopped */

/* The record's file, as any other process would lock it. */
static int writers_open(const char *directory, apr_pool_t *pool)
{
    char text[BSESSION_KEY_TEXT_SIZE];
    int file, i;

    text[0] = key.space;
    for (i = 0; i < 16; i++) {
        apr_snprintf(text + 1 + 2 * i, 3, "%02x", key.bytes[i]);
    }
    file = open(apr_psprintf(pool, "%s/%.1s/%.2s/%s", directory, text + 1, text + 2, text),
                O_RDONLY);
    if (file < 0 || flock(file, LOCK_EX) != 0) {
        fault_fail("cannot lock a record");
    }
    return file;
}

static pid_t writers_holder(const char *directory, apr_pool_t *pool)
{
    pid_t child = fault_fork();
    int status;

    if (child == 0) {
        writers_open(directory, pool);
        raise(SIGSTOP);
        _exit(EXIT_SUCCESS);
    }
    if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status)) {
        fault_fail("no process stops with the lock");
    }
    return child;
}

/* Loads go on; who would write is told in time that it is not known; neighbours notice nothing. */
void fault_stop(apr_pool_t *pool)
{
    bsession_call_t call = fault_call(pool, 20000);
    bsession_key_t other = fault_key('s');
    bsession_record_t record;
    const char *directory;
    apr_time_t began;
    pid_t holder;
    int status;

    backend = fault_open(&directory, "off", pool);
    key = fault_key('s');
    if (fault_save(backend, BSESSION_CREATE, &key, 5, 1, 0, &call) != APR_SUCCESS) {
        fault_fail("cannot create");
    }
    holder = writers_holder(directory, pool);
    if (fault_number(backend, &key, &record, pool) != 1) {
        fault_fail("a load waits for a lock");
    }
    began = apr_time_now();
    call = fault_call(pool, BOUND);
    status = fault_save(backend, BSESSION_REPLACE, &key, 5, 2, BSESSION_KEEP, &call);
    if (!APR_STATUS_IS_TIMEUP(status) || apr_time_now() - began < apr_time_from_msec(BOUND)
        || apr_time_now() - began > apr_time_from_msec(20 * BOUND)) {
        fault_fail("a save under a lock is answered with %d after %ld us", status,
                   (long)(apr_time_now() - began));
    }
    call = fault_call(pool, 20000);
    if (fault_save(backend, BSESSION_CREATE, &other, 5, 1, 0, &call) != APR_SUCCESS) {
        fault_fail("one lock stops others");
    }
    kill(holder, SIGKILL);
    waitpid(holder, &status, 0);
    if (fault_save(backend, BSESSION_REPLACE, &key, 5, 2, BSESSION_KEEP, &call) != APR_SUCCESS) {
        fault_fail("a lock outlives its holder");
    }
    printf("file_kill: a stopped holder of a lock: ok\n");
}

/* ------------------------------------------------------------------ killed */

static void __attribute__((noreturn)) writers_run(int number)
{
    bsession_record_t record;
    apr_pool_t *p;

    apr_pool_create(&p, NULL);
    while (journal->done[number] < INCREMENTS) {
        long stored = fault_number(backend, &key, &record, p);
        bsession_call_t call = fault_call(p, 20000);
        apr_status_t status;

        __atomic_fetch_add(&journal->asked, 1, __ATOMIC_SEQ_CST);
        status = fault_save(backend, BSESSION_MERGE, &key, record.revision, stored + 1,
                            BSESSION_KEEP, &call);
        if (status == APR_SUCCESS) {
            __atomic_fetch_add(&journal->acknowledged, 1, __ATOMIC_SEQ_CST);
            __atomic_fetch_add(&journal->done[number], 1, __ATOMIC_SEQ_CST);
        }
        else if (status == APR_EMISMATCH) {
            __atomic_fetch_sub(&journal->asked, 1, __ATOMIC_SEQ_CST);
        }
        else {
            fault_fail("a merge is answered with %d: %s", status, call.why);
        }
        apr_pool_clear(p);
    }
    _exit(EXIT_SUCCESS);
}

static pid_t writers_start(int number)
{
    pid_t child = fault_fork();

    if (child == 0) {
        writers_run(number);
    }
    return child;
}

/* A random while after it was begun. */
static void writers_kill(pid_t *writer, int number)
{
    unsigned short spins;
    int status, i;

    apr_generate_random_bytes((unsigned char *)&spins, sizeof(spins));
    for (i = 0; i < spins * 8; i++) {
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
    }
    kill(*writer, SIGKILL);
    if (waitpid(*writer, &status, 0) != *writer || (WIFEXITED(status) && WEXITSTATUS(status))) {
        fault_fail("writer %d ended by itself: %x", number, status);
    }
    *writer = writers_start(number);
}

/* `rounds` kills while they count, and then the rest of their increments. */
void fault_writers(int rounds, apr_pool_t *pool)
{
    bsession_call_t call = fault_call(pool, 20000);
    bsession_record_t record;
    const char *directory;
    pid_t writers[WRITERS];
    long stored;
    int i, status;

    backend = fault_open(&directory, "off", pool);
    key = fault_key('s');
    journal = fault_shared(sizeof(*journal));
    if (fault_save(backend, BSESSION_CREATE, &key, 5, 0, 0, &call) != APR_SUCCESS) {
        fault_fail("cannot create");
    }
    for (i = 0; i < WRITERS; i++) {
        writers[i] = writers_start(i);
    }
    for (i = 0; i < rounds; i++) {
        __atomic_store_n(&journal->done[i % WRITERS], 0, __ATOMIC_SEQ_CST);
        writers_kill(&writers[i % WRITERS], i % WRITERS);
    }
    for (i = 0; i < WRITERS; i++) {
        if (waitpid(writers[i], &status, 0) != writers[i] || status != 0) {
            fault_fail("writer %d ended with %x", i, status);
        }
    }
    stored = fault_number(backend, &key, &record, pool);
    if (stored < journal->acknowledged || stored > journal->asked
        || journal->asked > journal->acknowledged + rounds
        || record.revision != 5 + (apr_uint64_t)stored) {
        fault_fail("%ld acknowledged, %ld asked for, and now %ld at revision %" APR_UINT64_T_FMT,
                   journal->acknowledged, journal->asked, stored, record.revision);
    }
    printf("file_kill: %d kills of those who count, %ld increments: ok\n", rounds,
           journal->acknowledged);
}
