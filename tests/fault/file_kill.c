/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Each verb, killed before each of its system calls and after it: ptrace stops a child there.
 * What is found then is what was there before or what was asked for, whole; the next save works
 * at once; and a sweep leaves nothing of it. The order of those calls that make a save durable
 * is looked at, too. */

#include "file_fault.h"

#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

#include <apr_strings.h>

#include "file.h"
#include "file_backend.h"

#define STEP_NEIGHBOURS 20
#define STEP_MOST       200         /* stops of one request; a sweep has more, and no work there */
#define STEP_END        100000L
#define STEP_EXPIRED    (-2L)       /* absent, but there */

/* What is asked of the store, what it makes of the record, and in which order it writes: the
 * file made durable (F), linked (L), moved (R); a name removed (U); the directory made durable
 * (D). */
typedef struct {
    const char *name;
    long        before, after;      /* numbers; FAULT_ABSENT; STEP_EXPIRED */
    const char *order, *order_sync;
    apr_status_t (*request)(bsession_call_t *call);
} step_t;

static bsession_backend_t *backend;
static bsession_key_t      key, neighbours[STEP_NEIGHBOURS];
static apr_pool_t         *step_pool;

static apr_status_t step_create(bsession_call_t *call)
{
    return fault_save(backend, BSESSION_CREATE, &key, 5, 2, 0, call);
}

static apr_status_t step_replace(bsession_call_t *call)
{
    return fault_save(backend, BSESSION_REPLACE, &key, 100, 2, BSESSION_KEEP, call);
}

static apr_status_t step_put(bsession_call_t *call)
{
    return fault_save(backend, BSESSION_PUT, &key, 3, 2, 0, call);
}

static apr_status_t step_remove(bsession_call_t *call)
{
    return bsession_file_provider.remove(backend, &key, 100, call);
}

static apr_status_t step_touch(bsession_call_t *call)
{
    return bsession_file_provider.touch(backend, &key, 0, call);
}

static apr_status_t step_load(bsession_call_t *call)
{
    bsession_record_t record;

    return bsession_file_provider.load(backend, &key, &record, call);
}

static apr_status_t step_sweep(bsession_call_t *call)
{
    return bsession_file_provider.sweep(backend, apr_time_now(), call);
}

static apr_status_t step_nothing(bsession_call_t *call)
{
    (void)call;
    return APR_SUCCESS;
}

static const step_t steps[] = {
    { "create", FAULT_ABSENT, 2, "LU", "FLUD", step_create },
    { "create over an expired one", STEP_EXPIRED, 2, "LR", "FLRD", step_create },
    { "replace", 1, 2, "R", "FRD", step_replace },
    { "put", FAULT_ABSENT, 2, "LU", "FLUD", step_put },
    { "put over another", 1, 2, "LR", "FLRD", step_put },
    { "remove", 1, FAULT_ABSENT, "U", "UD", step_remove },
    { "touch", 1, 1, "", "", step_touch },
    { "load", 1, 1, "", "", step_load },
    { "sweep", STEP_EXPIRED, FAULT_ABSENT, "U", "U", step_sweep }
};

/* ------------------------------------------------------------------ before and after */

static void step_must(apr_status_t status, const char *what)
{
    if (status != APR_SUCCESS) {
        fault_fail("%s is answered with %d", what, status);
    }
}

/* One that was killed keeps the others away for a while. The next one begins where the key is. */
static void step_sweeper_free(void)
{
    backend->shared->sweeper = 0;
    backend->shared->at = 0;
}

/* The record as it is before the request, at revision 100 and with an hour to live. */
static void step_prepare(const step_t *step)
{
    bsession_call_t call = fault_call(step_pool, 20000);
    apr_time_t expires = apr_time_now() + apr_time_from_sec(3600);
    long number = step->before;

    bsession_file_provider.remove(backend, &key, 0, &call);
    step_sweeper_free();
    if (number == STEP_EXPIRED) {
        expires = apr_time_now() - apr_time_from_sec(1);
        number = 1;
    }
    if (number != FAULT_ABSENT) {
        step_must(fault_save(backend, BSESSION_PUT, &key, 100, number, expires, &call), "a put");
    }
}

static void step_verify(const step_t *step, long killed_at)
{
    bsession_call_t call = fault_call(step_pool, 1000);
    long before = step->before == STEP_EXPIRED ? FAULT_ABSENT : step->before, found;
    bsession_record_t record;
    int i;

    found = fault_number(backend, &key, &record, step_pool);
    if (found != before && found != step->after) {
        fault_fail("%s, killed at %ld: found %ld", step->name, killed_at, found);
    }
    if (found != FAULT_ABSENT) {
        step_must(fault_save(backend, BSESSION_REPLACE, &key, record.revision, 3, BSESSION_KEEP,
                             &call), "a replace after a kill");
    }
    for (i = 0; i < STEP_NEIGHBOURS; i++) {
        if (fault_number(backend, &neighbours[i], &record, step_pool) != i) {
            fault_fail("%s, killed at %ld: a neighbour changed", step->name, killed_at);
        }
    }
    apr_pool_clear(step_pool);
}

/* ------------------------------------------------------------------ stepping */

/* A child that waits, stopped, before the request, and again behind it. -1: not allowed here. */
static pid_t step_child(const step_t *step)
{
    pid_t child = fault_fork();
    int status;

    if (child == 0) {
        bsession_call_t call = fault_call(step_pool, 20000);

        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(77);
        }
        raise(SIGSTOP);
        step->request(&call);
        raise(SIGSTOP);
        _exit(EXIT_SUCCESS);
    }
    if (waitpid(child, &status, 0) != child) {
        fault_fail("no child");
    }
    if (!WIFSTOPPED(status)) {
        return -1;
    }
    ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD);
    return child;
}

static int step_is_directory(pid_t child, apr_uint64_t descriptor)
{
    char path[64];
    struct stat about;

    apr_snprintf(path, sizeof(path), "/proc/%ld/fd/%" APR_UINT64_T_FMT, (long)child, descriptor);
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* The letter of the system call that the child is about to make; 0: none that matters here. */
static char step_letter(pid_t child)
{
    struct __ptrace_syscall_info info;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) <= 0
        || info.op != PTRACE_SYSCALL_INFO_ENTRY) {
        return 0;
    }
    switch (info.entry.nr) {
    case SYS_fsync:
        return step_is_directory(child, info.entry.args[0]) ? 'D' : 'F';
    case SYS_linkat:
        return 'L';
#ifdef SYS_renameat
    case SYS_renameat:
#endif
    case SYS_renameat2:
        return 'R';
    case SYS_unlinkat:
        return 'U';
    default:
        return 0;
    }
}

/* Up to `most` stops, each before a system call or after it; then it is killed.
 * @return how many there were; fewer where the request came to its end
 * @param order  the letters of the calls that it came to */
static long step_run(const step_t *step, pid_t child, long most, char *order)
{
    long count = 0;
    int status;

    while (count < most) {
        char letter;

        if (ptrace(PTRACE_SYSCALL, child, NULL, NULL) != 0 || waitpid(child, &status, 0) != child) {
            fault_fail("cannot step: errno %d", errno);
        }
        if (!WIFSTOPPED(status)) {
            fault_fail("%s ended with %x", step->name, status);
        }
        if (WSTOPSIG(status) == SIGSTOP) {
            break;                      /* behind the request */
        }
        if ((letter = step_letter(child)) != 0 && strlen(order) < 30) {
            order[strlen(order)] = letter;
        }
        count++;
    }
    kill(child, SIGKILL);
    while (waitpid(child, &status, 0) == child && !WIFSIGNALED(status)) {
        continue;
    }
    return count;
}

/* A load is one open, fstat, read and close, and at times a look at the directory. Where the system
 * cannot refuse links along a path, there are more. */
static void step_load_is_short(void)
{
    static const step_t nothing = { "nothing", FAULT_ABSENT, FAULT_ABSENT, "", "", step_nothing };
    static const step_t load = { "load", 1, 1, "", "", step_load };
    bsession_record_t record;
    char order[32] = "";
    long without, with;
    int tries = 0;

    if (syscall(SYS_openat2, -1, "", NULL, 0) == -1 && (errno == ENOSYS || errno == EPERM)) {
        printf("file_kill: system calls of a load: skipped, there is no openat2 here\n");
        return;
    }
    step_prepare(&load);
    /* where a second passes between the two, directories are looked at again */
    do {
        fault_number(backend, &key, &record, step_pool);
        without = step_run(&nothing, step_child(&nothing), STEP_END, order);
        with = step_run(&load, step_child(&load), STEP_END, order);
    } while ((with - without) / 2 > 4 && ++tries < 20);
    if ((with - without) / 2 > 4) {
        fault_fail("a load makes %ld system calls", (with - without) / 2);
    }
    printf("file_kill: a load makes %ld system calls: ok\n", (with - without) / 2);
}

/* @return at how many places it was killed, or -1 where ptrace is not allowed */
static long step_through(const step_t *step, int sync)
{
    const char *expected = sync ? step->order_sync : step->order;
    char order[32] = "";
    pid_t child;
    long at, length;

    step_prepare(step);
    if ((child = step_child(step)) < 0) {
        return -1;
    }
    length = step_run(step, child, STEP_END, order);
    if (strcmp(order, expected) != 0) {
        fault_fail("%s writes in the order %s, not %s", step->name, order, expected);
    }
    step_verify(step, length);
    for (at = 1; at < length && at < STEP_MOST; at++) {
        step_prepare(step);
        step_run(step, step_child(step), at, order);
        step_verify(step, at);
    }
    return at - 1;
}

/* ------------------------------------------------------------------ what is left behind */

static apr_size_t step_temporaries(const char *directory)
{
    glob_t found;
    apr_size_t count;

    count = glob(apr_pstrcat(step_pool, directory, "/*/*/tmp.*", NULL), 0, NULL, &found) == 0
          ? found.gl_pathc : 0;
    globfree(&found);
    return count;
}

/* They go when they are old, and not before: a save may be at it. */
static void step_left_behind(const char *directory)
{
    apr_size_t left = step_temporaries(directory);
    apr_time_t now = apr_time_now();
    int i;

    step_sweeper_free();
    if (left == 0) {
        fault_fail("kills leave no temporary files");
    }
    for (i = 0; i < 100 && step_temporaries(directory); i++) {
        bsession_call_t call = fault_call(step_pool, 20000);

        if (i == 1 && step_temporaries(directory) != left) {
            fault_fail("a new temporary file was swept");
        }
        bsession_file_provider.sweep(backend, i < 1 ? now : now + apr_time_from_sec(3700), &call);
    }
    if (step_temporaries(directory)) {
        fault_fail("temporary files stay for ever");
    }
}

void fault_step(const char *sync, apr_pool_t *pool)
{
    const char *directory;
    int i;

    apr_pool_create(&step_pool, pool);
    backend = fault_open(&directory, sync, pool);
    key = fault_key('s');
    key.bytes[0] = key.bytes[1] = 0;
    for (i = 0; i < STEP_NEIGHBOURS; i++) {
        bsession_call_t call = fault_call(step_pool, 20000);

        neighbours[i] = fault_key('s');
        memcpy(neighbours[i].bytes, key.bytes, 2);      /* in the same directory */
        step_must(fault_save(backend, BSESSION_CREATE, &neighbours[i], 1, i, 0, &call), "a create");
    }
    for (i = 0; i < (int)(sizeof(steps) / sizeof(*steps)); i++) {
        long places = step_through(&steps[i], strcmp(sync, "on") == 0);

        if (places < 0) {
            printf("file_kill: system calls: skipped, ptrace is not allowed here\n");
            return;
        }
        printf("file_kill: sync=%s: %s: killed at %ld places: ok\n", sync, steps[i].name, places);
    }
    step_load_is_short();
    step_left_behind(directory);
}
