/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "file_fault.h"

#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <apr_cstr.h>
#include <apr_general.h>
#include <apr_strings.h>

#include "file.h"
#include "store_call.h"

#define FAULT_FILL   20000
#define FAULT_ROUNDS 300

static const bsession_provider_t *const store = &bsession_file_provider;
static const char *directories[4];

void fault_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("file_kill: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(EXIT_FAILURE);
}

bsession_backend_t *fault_open(const char **directory, const char *sync, apr_pool_t *pool)
{
    static bsession_services_t services;
    static int count;
    const char *temporary = getenv("TMPDIR");
    char *path = apr_pstrcat(pool, temporary ? temporary : "/tmp", "/bsession-file-XXXXXX", NULL);
    bsession_option_t option = { "sync", sync };
    bsession_options_t options = { &option, 1 };
    bsession_call_t call = fault_call(pool, 20000);
    bsession_backend_t *backend;
    const char *sentence;

    if (!mkdtemp(path)) {
        fault_fail("no directory");
    }
    bs_services_init(&services, pool);
    sentence = store->create(&backend, "fault", apr_pstrcat(pool, "file:", path, NULL), &options,
                             &services, pool);
    if (sentence || store->open(backend, -1, -1, &call) != APR_SUCCESS) {
        fault_fail("cannot open a store: %s", sentence ? sentence : call.why);
    }
    *directory = directories[count++] = path;
    return backend;
}

static int fault_remove_one(const char *path, const struct stat *about, int kind, struct FTW *at)
{
    (void)about;
    (void)kind;
    (void)at;
    return remove(path);
}

void fault_remove(const char *directory)
{
    nftw(directory, fault_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

pid_t fault_fork(void)
{
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child < 0) {
        fault_fail("no child");
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return child;
}

void *fault_shared(apr_size_t size)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED) {
        fault_fail("no shared memory");
    }
    return shared;
}

bsession_call_t fault_call(apr_pool_t *pool, int milliseconds)
{
    bsession_call_t call;

    memset(&call, 0, sizeof(call));
    call.deadline = apr_time_now() + apr_time_from_msec(milliseconds);
    call.pool = pool;
    return call;
}

bsession_key_t fault_key(char space)
{
    bsession_key_t key = { space, { 0 } };

    if (apr_generate_random_bytes(key.bytes, sizeof(key.bytes)) != APR_SUCCESS) {
        fault_fail("no random bytes");
    }
    return key;
}

/* ------------------------------------------------------------------ records */

static apr_size_t fault_fill(char *fill, long number)
{
    apr_size_t length = (apr_size_t)(number * 7919 % FAULT_FILL), i;

    for (i = 0; i < length; i++) {
        fill[i] = (char)(number + (long)i * 31);
    }
    return length;
}

apr_status_t fault_save(bsession_backend_t *backend, bsession_save_mode_t mode,
                        const bsession_key_t *key, apr_uint64_t base, long number,
                        apr_time_t expires, bsession_call_t *call)
{
    char fill[FAULT_FILL];
    bsession_field_t fields[2] = { { { "n", 1 }, { (char *)&number, sizeof(number) } },
                                   { { "fill", 4 }, { fill, 0 } } };
    bsession_record_t record = { .expires = expires, .fields = { fields, 2 } };
    bsession_save_t save = { .mode = mode, .base = base, .record = &record };
    bsession_saved_t saved = { 0, NULL };

    fields[1].value.len = fault_fill(fill, number);
    return store->save(backend, key, &save, &saved, call);
}

long fault_number(bsession_backend_t *backend, const bsession_key_t *key, bsession_record_t *record,
                  apr_pool_t *pool)
{
    bsession_call_t call = fault_call(pool, 20000);
    apr_status_t status = store->load(backend, key, record, &call);
    char fill[FAULT_FILL];
    long number;

    if (status == APR_NOTFOUND) {
        return FAULT_ABSENT;
    }
    if (status != APR_SUCCESS) {
        fault_fail("a load is answered with %d: %s", status, call.why);
    }
    if (record->fields.count != 2 || record->fields.list[0].value.len != sizeof(number)) {
        fault_fail("another record is stored");
    }
    memcpy(&number, record->fields.list[0].value.data, sizeof(number));
    if (record->fields.list[1].value.len != fault_fill(fill, number)
        || memcmp(record->fields.list[1].value.data, fill, record->fields.list[1].value.len) != 0) {
        fault_fail("a mixture of records is stored");
    }
    return number;
}

/* ------------------------------------------------------------------ the program */

int main(int argc, char **argv)
{
    int rounds = FAULT_ROUNDS, i;
    apr_pool_t *pool;

    if (argc > 1 && apr_cstr_atoi(&rounds, argv[1]) != APR_SUCCESS) {
        fprintf(stderr, "usage: %s [rounds]\n", argv[0]);
        return 2;
    }

    apr_initialize();
    apr_pool_create(&pool, NULL);
    fault_step("off", pool);
    fault_step("on", pool);
    fault_stop(pool);
    fault_writers(rounds, pool);
    for (i = 0; i < 4; i++) {
        fault_remove(directories[i]);
    }
    return EXIT_SUCCESS;
}
