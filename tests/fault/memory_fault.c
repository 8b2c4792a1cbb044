/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memory_fault.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_tables.h>

#include "memory.h"
#include "memory_check.h"
#include "store_call.h"

#define FAULT_FILL 3000

void (*fault_in_write)(void);
void (*fault_after_write)(void);

static const bsession_provider_t *const memory = &bsession_memory_provider;
static bsession_services_t services;
static void (*record_write)(const bsession_record_t *record, void *to);

void fault_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("memory_kill: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(EXIT_FAILURE);
}

/* A record is written in two steps, so that one can be caught between them. */
static void fault_record_write(const bsession_record_t *record, void *to)
{
    if (fault_in_write) {
        memset(to, 0xa5, services.record_size(record) / 2);
        fault_in_write();
    }
    record_write(record, to);
    if (fault_after_write) {
        fault_after_write();
    }
}

bsession_backend_t *fault_open(const char *size, apr_pool_t *pool)
{
    static int stores;
    bsession_option_t option = { "size", size };
    bsession_options_t options = { &option, 1 };
    bsession_call_t call = fault_call(pool, 1000);
    bsession_backend_t *backend;
    const char *sentence;

    if (!record_write) {
        bs_services_init(&services, pool);
        record_write = services.record_write;
        services.record_write = fault_record_write;
    }
    sentence = memory->create(&backend, apr_itoa(pool, ++stores), "memory:", &options, &services,
                              pool);
    if (sentence || memory->open(backend, -1, -1, &call) != APR_SUCCESS) {
        fault_fail("cannot open a store: %s", sentence ? sentence : call.why);
    }
    return backend;
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

void *fault_shared(apr_size_t size)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED) {
        fault_fail("no shared memory");
    }
    return shared;
}

/* ------------------------------------------------------------------ records */

/* How many bytes of which letter go with a number: many sizes, so that pages change their class. */
static apr_size_t fault_fill(long number, char *letter)
{
    *letter = (char)('a' + number % 26);
    return (apr_size_t)(number * 7919 % FAULT_FILL);
}

apr_status_t fault_load(bsession_backend_t *backend, const bsession_key_t *key,
                        bsession_record_t *record, apr_pool_t *pool)
{
    bsession_call_t call = fault_call(pool, 20000);

    return memory->load(backend, key, record, &call);
}

apr_status_t fault_save(bsession_backend_t *backend, bsession_save_mode_t mode,
                        const bsession_key_t *key, apr_uint64_t base, long number,
                        apr_time_t expires, apr_pool_t *pool)
{
    char text[32], fill[FAULT_FILL], letter;
    apr_size_t count = fault_fill(number, &letter);
    bsession_field_t fields[] = { { { "n", 1 }, { text, 0 } }, { { "fill", 4 }, { fill, count } } };
    bsession_record_t record = { .expires = expires, .epoch = 1, .fields = { fields, 2 } };
    bsession_save_t save = { .mode = mode, .base = base, .record = &record };
    bsession_saved_t saved = { 0, NULL };
    bsession_call_t call = fault_call(pool, 20000);

    memset(fill, letter, sizeof(fill));
    fields[0].value.len = (apr_size_t)apr_snprintf(text, sizeof(text), "%ld", number);
    return memory->save(backend, key, &save, &saved, &call);
}

long fault_number(const bsession_record_t *record)
{
    const bsession_field_t *field = record->fields.list;
    apr_size_t count, i;
    char letter;
    long number;

    if (record->fields.count != 2) {
        fault_fail("a record of %d fields", record->fields.count);
    }
    number = atol(field[0].value.data);
    count = fault_fill(number, &letter);
    if (field[1].value.len != count) {
        fault_fail("record %ld has %lu bytes", number, (unsigned long)field[1].value.len);
    }
    for (i = 0; i < count; i++) {
        if (field[1].value.data[i] != letter) {
            fault_fail("record %ld is not what was saved", number);
        }
    }
    return number;
}

/* ------------------------------------------------------------------ the store as a whole */

void fault_check(bsession_backend_t *backend, apr_pool_t *pool)
{
    apr_array_header_t *sentences = apr_array_make(pool, 8, sizeof(const char *));
    bsession_call_t call = fault_call(pool, 20000);
    apr_status_t status = memory_check(memory_backend_segment(backend), sentences, &call);
    int i;

    for (i = 0; i < sentences->nelts; i++) {
        fprintf(stderr, "%s\n", APR_ARRAY_IDX(sentences, i, const char *));
    }
    if (status != APR_SUCCESS) {
        fault_fail("the checker found %d things (%s)", sentences->nelts, call.why);
    }
}

apr_uint64_t fault_repaired(bsession_backend_t *backend, apr_pool_t *pool)
{
    bsession_call_t call = fault_call(pool, 1000);
    bsession_stats_t stats;

    memory->stats(backend, &stats, &call);
    return stats.repaired;
}

/* A round that hangs is a failure too: SIGALRM ends the program. */
int main(int argc, char **argv)
{
    int rounds = argc > 1 ? (int)apr_atoi64(argv[1]) : 300;
    int stride = argc > 2 ? (int)apr_atoi64(argv[2]) : 37;
    apr_pool_t *pool;

    if (rounds <= 0 || stride <= 0) {
        fprintf(stderr, "usage: %s [rounds [stride]]\n", argv[0]);
        return EXIT_FAILURE;
    }
    apr_initialize();
    apr_pool_create(&pool, NULL);
    alarm(60 + (unsigned)rounds / 2);
    fault_stop(pool);
    fault_kill(rounds, pool);
    alarm(60 + 3600 / (unsigned)stride);
    fault_step(stride, pool);
    apr_pool_destroy(pool);
    apr_terminate();
    return EXIT_SUCCESS;
}
