/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Workers with mixed load, killed at random instants. Each keeps a journal, in memory of its own,
 * of what the store has acknowledged to it and of what it is about to ask; whoever comes after it,
 * and the test in the end, hold the store against that. */

#include "memory_fault.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>

#include "memory.h"

#define KILL_WORKERS  3
#define KILL_OWN      64            /* records that only one worker writes */
#define KILL_COMMON   16            /* records that all of them increment */
#define KILL_ABSENT   (-1L)

/* A record of one worker. While `asked` differs from `acknowledged` a request is under way, and
 * either may be stored. */
typedef struct {
    bsession_key_t key;
    long           acknowledged, asked;
    apr_time_t     expires;         /* at least this is its life */
} kill_own_t;

typedef struct {
    bsession_key_t key;
    long           acknowledged, asked;     /* increments */
} kill_common_t;

typedef struct {
    kill_own_t    own[KILL_WORKERS][KILL_OWN];
    kill_common_t common[KILL_COMMON];
    long          done[KILL_WORKERS];       /* requests answered; never goes back */
    int           die[KILL_WORKERS];        /* die in the next save, under the lock */
    int           end;
    int           forgets;                  /* a small store evicts: absent is always an answer */
} kill_journal_t;

static kill_journal_t     *journal;
static bsession_backend_t *backend;
static int                 self;

static void kill_in_write(void)
{
    if (__atomic_load_n(&journal->die[self], __ATOMIC_SEQ_CST)) {
        raise(SIGKILL);
    }
}

/* ------------------------------------------------------------------ own records */

/* What the store has must be what was acknowledged, or what was asked for last. */
static long kill_settle(kill_own_t *own, apr_uint64_t *revision, apr_pool_t *p)
{
    bsession_record_t record;
    apr_status_t status = fault_load(backend, &own->key, &record, p);
    long found = KILL_ABSENT;

    if (status == APR_SUCCESS) {
        found = fault_number(&record);
        *revision = record.revision;
    }
    else if (status != APR_NOTFOUND) {
        fault_fail("a load is answered with %d", status);
    }
    if (found != own->acknowledged && found != own->asked
        && !(found == KILL_ABSENT && journal->forgets)) {
        fault_fail("%ld is stored, %ld was acknowledged, %ld asked for", found, own->acknowledged,
                   own->asked);
    }
    if (found != KILL_ABSENT && record.expires < own->expires) {
        fault_fail("a life is shorter than what was acknowledged");
    }
    own->acknowledged = own->asked = found;
    return found;
}

static void kill_touch(kill_own_t *own, apr_pool_t *p)
{
    apr_time_t expires = apr_time_now() + apr_time_from_sec(3600);
    bsession_call_t call = fault_call(p, 20000);
    apr_status_t status = bsession_memory_provider.touch(backend, &own->key, expires, &call);

    if (status == APR_SUCCESS) {
        own->expires = expires;
    }
    else if (status != APR_NOTFOUND || !journal->forgets) {
        fault_fail("a touch is answered with %d: %s", status, call.why);
    }
}

static apr_status_t kill_remove(kill_own_t *own, apr_uint64_t revision, apr_pool_t *p)
{
    bsession_call_t call = fault_call(p, 20000);

    own->asked = KILL_ABSENT;
    own->expires = 0;
    return bsession_memory_provider.remove(backend, &own->key, revision, &call);
}

/* One request for one of our records, after a look at what is there. */
static void kill_own_request(kill_own_t *own, unsigned dice, apr_pool_t *p)
{
    apr_uint64_t revision = 0;
    long number = kill_settle(own, &revision, p), next = (long)(dice >> 8 & 0xffff);
    apr_status_t status;

    if (number == KILL_ABSENT) {
        own->asked = next;
        own->expires = apr_time_now() + apr_time_from_sec(1800);
        status = fault_save(backend, BSESSION_CREATE, &own->key, 1 + (dice >> 4 & 0xff), next,
                            own->expires, p);
    }
    else if (dice % 8 == 0) {
        status = kill_remove(own, revision, p);
    }
    else if (dice % 8 == 1) {
        kill_touch(own, p);
        return;
    }
    else {
        own->asked = next;
        status = fault_save(backend, BSESSION_REPLACE, &own->key, revision, next, BSESSION_KEEP, p);
    }
    if (status == APR_NOTFOUND && journal->forgets) {
        own->asked = KILL_ABSENT;
    }
    else if (status != APR_SUCCESS) {
        fault_fail("a request for a record of our own is answered with %d", status);
    }
    own->acknowledged = own->asked;
}

/* ------------------------------------------------------------------ common records */

static void kill_common_request(kill_common_t *common, apr_pool_t *p)
{
    bsession_record_t record;
    apr_status_t status = fault_load(backend, &common->key, &record, p);

    if (status == APR_NOTFOUND && journal->forgets) {
        return;
    }
    if (status != APR_SUCCESS) {
        fault_fail("a load of a common record is answered with %d", status);
    }
    __atomic_fetch_add(&common->asked, 1, __ATOMIC_SEQ_CST);
    status = fault_save(backend, BSESSION_MERGE, &common->key, record.revision,
                        fault_number(&record) + 1, BSESSION_KEEP, p);
    if (status == APR_SUCCESS) {
        __atomic_fetch_add(&common->acknowledged, 1, __ATOMIC_SEQ_CST);
    }
    else if (status == APR_EMISMATCH || (status == APR_NOTFOUND && journal->forgets)) {
        __atomic_fetch_sub(&common->asked, 1, __ATOMIC_SEQ_CST);
    }
    else {
        fault_fail("a merge is answered with %d", status);
    }
}

static void kill_common_verify(kill_common_t *common, apr_pool_t *p)
{
    bsession_record_t record;
    apr_status_t status = fault_load(backend, &common->key, &record, p);

    if (status == APR_NOTFOUND && journal->forgets) {
        return;
    }
    if (status != APR_SUCCESS || fault_number(&record) < common->acknowledged
        || fault_number(&record) > common->asked) {
        fault_fail("a counter: %ld acknowledged, %ld asked for, and now %ld (%d)",
                   common->acknowledged, common->asked,
                   status == APR_SUCCESS ? fault_number(&record) : KILL_ABSENT, status);
    }
}

/* ------------------------------------------------------------------ workers */

static void __attribute__((noreturn)) kill_worker(int number)
{
    unsigned dice = (unsigned)getpid() * 2654435761u;
    apr_pool_t *p;

    self = number;
    fault_in_write = kill_in_write;
    apr_pool_create(&p, NULL);
    while (!__atomic_load_n(&journal->end, __ATOMIC_SEQ_CST)) {
        dice = dice * 1664525u + 1013904223u;
        if (dice >> 30) {
            kill_own_request(&journal->own[number][(dice >> 20) % KILL_OWN], dice >> 4, p);
        }
        else {
            kill_common_request(&journal->common[(dice >> 20) % KILL_COMMON], p);
        }
        __atomic_fetch_add(&journal->done[number], 1, __ATOMIC_SEQ_CST);
        apr_pool_clear(p);
    }
    _exit(EXIT_SUCCESS);
}

static pid_t kill_start(int number)
{
    pid_t child = fault_fork();

    if (child == 0) {
        kill_worker(number);
    }
    return child;
}

/* Once it has answered something; then a random while later, or, every fourth time, under the
 * lock. */
static void kill_one(pid_t *workers, int round)
{
    int number = round % KILL_WORKERS, status, under_lock = round % 4 == 0;
    long before = __atomic_load_n(&journal->done[number], __ATOMIC_SEQ_CST), i;
    unsigned short spins;

    while (__atomic_load_n(&journal->done[number], __ATOMIC_SEQ_CST) == before) {
        if (waitpid(workers[number], &status, WNOHANG) != 0) {
            fault_fail("worker %d ended by itself: %x", number, status);
        }
        sched_yield();
    }
    apr_generate_random_bytes((unsigned char *)&spins, sizeof(spins));
    for (i = 0; i < spins; i++) {
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
    }
    if (under_lock) {
        __atomic_store_n(&journal->die[number], 1, __ATOMIC_SEQ_CST);
    }
    else {
        kill(workers[number], SIGKILL);
    }
    if (waitpid(workers[number], &status, 0) != workers[number] || !WIFSIGNALED(status)
        || WTERMSIG(status) != SIGKILL) {
        fault_fail("worker %d ended by itself: %x", number, status);
    }
    __atomic_store_n(&journal->die[number], 0, __ATOMIC_SEQ_CST);
    workers[number] = kill_start(number);
}

static void kill_begin(const char *size, int forgets, apr_pool_t *pool)
{
    int i, j;

    journal = fault_shared(sizeof(*journal));
    journal->forgets = forgets;
    backend = fault_open(size, pool);
    for (i = 0; i < KILL_WORKERS; i++) {
        for (j = 0; j < KILL_OWN; j++) {
            kill_own_t *own = &journal->own[i][j];

            own->key = fault_key("sluc"[j % 4]);
            own->acknowledged = own->asked = KILL_ABSENT;
        }
    }
    for (j = 0; j < KILL_COMMON; j++) {
        journal->common[j].key = fault_key('s');
        if (fault_save(backend, BSESSION_CREATE, &journal->common[j].key, 1, 0, 0, pool)
            != APR_SUCCESS) {
            fault_fail("cannot create");
        }
    }
}

/* A store that is full before the first kill, with records that nobody asks for again. */
static void kill_crowd(apr_pool_t *pool)
{
    bsession_call_t call = fault_call(pool, 1000);
    bsession_stats_t stats;
    long number = 0;
    apr_pool_t *p;

    apr_pool_create(&p, pool);
    do {
        bsession_key_t key = fault_key('s');

        if (fault_save(backend, BSESSION_CREATE, &key, 1, number++, 0, p) != APR_SUCCESS) {
            fault_fail("a full store refuses a record");
        }
        apr_pool_clear(p);
        bsession_memory_provider.stats(backend, &stats, &call);
    } while (stats.evicted < 100);
    apr_pool_destroy(p);
}

static void kill_verify(int rounds, apr_pool_t *pool)
{
    apr_uint64_t revision, repaired = fault_repaired(backend, pool);
    int i, j;

    fault_check(backend, pool);
    for (i = 0; i < KILL_WORKERS; i++) {
        for (j = 0; j < KILL_OWN; j++) {
            kill_settle(&journal->own[i][j], &revision, pool);
        }
    }
    for (j = 0; j < KILL_COMMON; j++) {
        kill_common_verify(&journal->common[j], pool);
    }
    if (repaired < (apr_uint64_t)(rounds + 3) / 4) {
        fault_fail("%" APR_UINT64_T_FMT " rebuilds after %d kills", repaired, rounds);
    }
    printf("memory_kill: %d kills, %" APR_UINT64_T_FMT " rebuilds, %ld requests%s: ok\n", rounds,
           repaired, journal->done[0] + journal->done[1] + journal->done[2],
           journal->forgets ? " in a full store" : "");
}

static void kill_rounds(const char *size, int forgets, int rounds, apr_pool_t *pool)
{
    pid_t workers[KILL_WORKERS];
    int i, status;

    kill_begin(size, forgets, pool);
    if (forgets) {
        kill_crowd(pool);
    }
    for (i = 0; i < KILL_WORKERS; i++) {
        workers[i] = kill_start(i);
    }
    for (i = 0; i < rounds; i++) {
        kill_one(workers, i);
    }
    __atomic_store_n(&journal->end, 1, __ATOMIC_SEQ_CST);
    for (i = 0; i < KILL_WORKERS; i++) {
        if (waitpid(workers[i], &status, 0) != workers[i] || status != 0) {
            fault_fail("worker %d ended with %x", i, status);
        }
    }
    kill_verify(rounds, pool);
}

void fault_kill(int rounds, apr_pool_t *pool)
{
    kill_rounds("4M", 0, rounds, pool);
    kill_rounds("1M", 1, rounds, pool);
}
