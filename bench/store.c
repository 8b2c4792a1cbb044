/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The memory store alone, or the file store: the provider that mod_bsession registers, called as
 * the core calls it but without the core, in the objects that the module is linked from.
 *
 *     store time RECORDS PROCESSES [URL [SYNC]]   how many loads and saves in a second
 *     store count RECORDS [1 URL]     for callgrind: 100, 2000 and 6000 loads, then as many saves
 *     store bytes RECORDS             memory a record, of memory: alone
 *
 * Prints "name number" lines. A record is a session of five keys, with the 33 bytes that the core
 * adds: 200 bytes encoded.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <valgrind/callgrind.h>

#include "file.h"
#include "memory.h"
#include "memory_segment.h"
#include "memory_shard.h"
#include "record.h"
#include "store_call.h"
#include "token.h"

#define FIELDS  5
#define META    33
#define VALUE   19
#define ENCODED 200
#define BATCH   64          /* calls that share a pool and a deadline */
#define SECONDS 1.0

typedef struct {
    const bsession_provider_t *provider;
    bsession_backend_t     *backend;
    const memory_segment_t *segment;    /* of memory: */
    apr_pool_t             *pool;       /* of the calls; emptied with each batch */
    apr_size_t              records;
    bsession_key_t         *keys;       /* in the order in which they are asked for */
    apr_uint64_t           *revisions;
    unsigned char          *resident;   /* for mincore */
} bench_t;

static void __attribute__((noreturn)) die(const char *what, const char *why)
{
    fprintf(stderr, "store: %s: %s\n", what, why);
    exit(1);
}

static void expect(apr_status_t status, const char *what, const bsession_call_t *call)
{
    if (status != APR_SUCCESS) {
        die(what, call->why[0] ? call->why : "refused");
    }
}

static double now(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void begin(bench_t *bench, bsession_call_t *call)
{
    apr_pool_clear(bench->pool);
    call->deadline = apr_time_now() + apr_time_from_sec(2);
    call->pool = bench->pool;
    call->flags = 0;
    call->why[0] = '\0';
}

/* ---------------------------------------------------------------------------- the two verbs */

static void load_one(bench_t *bench, apr_size_t at, bsession_call_t *call)
{
    bsession_record_t record;

    expect(bench->provider->load(bench->backend, &bench->keys[at], &record, call), "load", call);
    if (record.fields.count != FIELDS) {
        die("load", "another record");
    }
}

static void save_as(bench_t *bench, apr_size_t at, bsession_save_mode_t mode,
                    bsession_call_t *call)
{
    static char meta[META];
    static char names[FIELDS][5] = { "user", "role", "lang", "cart", "seen" };
    static char values[FIELDS][VALUE + 2];
    bsession_field_t fields[FIELDS];
    bsession_record_t record = { .expires = call->deadline + apr_time_from_sec(3600) };
    bsession_save_t save = { .mode = mode, .base = bench->revisions[at], .record = &record };
    bsession_saved_t saved = { 0, NULL };
    int i;

    values[0][0]++;             /* another value each time */
    for (i = 0; i < FIELDS; i++) {
        fields[i].name.data = names[i];
        fields[i].name.len = 4;
        fields[i].value.data = values[i];
        fields[i].value.len = VALUE + (i == 0);
    }
    record.meta.data = meta;
    record.meta.len = META;
    record.fields.list = fields;
    record.fields.count = FIELDS;
    if (bs_record_size(&record) != ENCODED) {
        die("save", "the record is not what the table says");
    }
    expect(bench->provider->save(bench->backend, &bench->keys[at], &save, &saved, call), "save",
           call);
    bench->revisions[at] = saved.revision;
}

static void save_one(bench_t *bench, apr_size_t at, bsession_call_t *call)
{
    save_as(bench, at, BSESSION_REPLACE, call);
}

typedef void (verb_t)(bench_t *bench, apr_size_t at, bsession_call_t *call);

/* `times` calls over the keys from `low` up to `high`, beginning with `at`; returns the next. */
static apr_size_t repeat(bench_t *bench, verb_t *verb, apr_size_t low, apr_size_t high,
                         apr_size_t at, apr_size_t times)
{
    bsession_call_t call;
    apr_size_t i;

    for (i = 0; i < times; i++) {
        if (i % BATCH == 0) {
            begin(bench, &call);
        }
        verb(bench, at, &call);
        at = at + 1 < high ? at + 1 : low;
    }
    return at;
}

/* ---------------------------------------------------------------------------- the records */

static apr_size_t resident(const bench_t *bench)
{
    apr_size_t page = (apr_size_t)sysconf(_SC_PAGESIZE), bytes = bench->segment->header->reserve;
    apr_size_t pages = bytes / page, i, count = 0;

    if (mincore(bench->segment->header, bytes, bench->resident) != 0) {
        die("mincore", "failed");
    }
    for (i = 0; i < pages; i++) {
        count += bench->resident[i] & 1;
    }
    return count * page;
}

static void fill(bench_t *bench)
{
    apr_size_t i;
    bsession_call_t call;
    bsession_stats_t stats;

    for (i = 0; i < bench->records; i++) {
        apr_uint64_t random;

        if (i % BATCH == 0) {
            begin(bench, &call);
        }
        bench->keys[i].space = 's';
        if (bs_random_bytes(bench->keys[i].bytes, sizeof(bench->keys[i].bytes)) != APR_SUCCESS
            || bs_random_revision(&random) != APR_SUCCESS) {
            die("fill", "no random bytes");
        }
        bench->revisions[i] = random;
        save_as(bench, i, BSESSION_CREATE, &call);
    }
    bench->provider->stats(bench->backend, &stats, &call);
    if (bench->segment && (stats.records != bench->records || stats.evicted)) {
        die("fill", "the segment is too small");
    }
}

/* Asked for in the order of creation, records would come out of neighbouring memory. */
static void shuffle(bench_t *bench)
{
    apr_size_t i;

    for (i = bench->records - 1; i > 0; i--) {
        apr_uint64_t random, revision = bench->revisions[i];
        bsession_key_t key = bench->keys[i];
        apr_size_t other;

        memcpy(&random, key.bytes, sizeof(random));
        other = (apr_size_t)((random * 0x9e3779b97f4a7c15u >> 11) % (i + 1));
        bench->keys[i] = bench->keys[other];
        bench->revisions[i] = bench->revisions[other];
        bench->keys[other] = key;
        bench->revisions[other] = revision;
    }
}

/* memory: with room for all of them, or the URL with sync=. */
static void open_store(bench_t *bench, apr_size_t records, const char *url, const char *sync,
                       apr_pool_t *pool)
{
    static bsession_services_t services;
    apr_size_t size = records * 512 < 64u << 20 ? 64u << 20 : records * 512;
    int is_file = strncmp(url, "file:", 5) == 0;
    bsession_option_t option = { is_file ? "sync" : "size",
                                 is_file ? sync : apr_psprintf(pool, "%" APR_SIZE_T_FMT, size) };
    bsession_options_t options = { &option, 1 };
    bsession_call_t call = { .pool = pool, .deadline = apr_time_now() + apr_time_from_sec(60) };
    const char *sentence;

    bench->provider = is_file ? &bsession_file_provider : &bsession_memory_provider;
    bs_services_init(&services, pool);
    sentence = bench->provider->create(&bench->backend, "bench", url, &options, &services, pool);
    if (sentence) {
        die("create", sentence);
    }
    expect(bench->provider->open(bench->backend, -1, -1, &call), "open", &call);
    bench->segment = is_file ? NULL : memory_backend_segment(bench->backend);
    bench->records = records;
    bench->keys = calloc(records, sizeof(*bench->keys));
    bench->revisions = calloc(records, sizeof(*bench->revisions));
    bench->resident = calloc(is_file ? 1 : bench->segment->header->reserve / 4096 + 1, 1);
    if (!bench->keys || !bench->revisions || !bench->resident
        || apr_pool_create(&bench->pool, pool) != APR_SUCCESS) {
        die("open", "no memory");
    }
}

/* ---------------------------------------------------------------------------- what is measured */

/* Two lengths each, so that what does not grow with the number drops out; the first warms up. */
static void count(bench_t *bench)
{
    static verb_t *const verbs[] = { load_one, save_one };
    static const apr_size_t runs[] = { 100, 2000, 6000 };
    apr_size_t verb, run, at = 0;

    fill(bench);
    shuffle(bench);
    CALLGRIND_START_INSTRUMENTATION;
    for (verb = 0; verb < sizeof(verbs) / sizeof(verbs[0]); verb++) {
        for (run = 0; run < sizeof(runs) / sizeof(runs[0]); run++) {
            at = repeat(bench, verbs[verb], 0, bench->records, at, runs[run]);
            CALLGRIND_DUMP_STATS_AT("bench");
        }
    }
}

/* Of the memory that the segment has touched: all of it, and what was touched before there was any
 * record; and how much larger a slot is than it need be. */
static void bytes(bench_t *bench)
{
    apr_size_t slot = bench->segment->slot_size[memory_segment_class(
        bench->segment, MEMORY_SLOT_HEAD + ENCODED)];
    apr_size_t empty = resident(bench);

    fill(bench);
    printf("all %" APR_SIZE_T_FMT "\nempty %" APR_SIZE_T_FMT "\nrounding %" APR_SIZE_T_FMT "\n"
           "payload %d\n", resident(bench), empty, slot - MEMORY_SLOT_HEAD - ENCODED, ENCODED);
}

/* Calls in SECONDS by this one of `processes`, which saves its own part of the records. */
static void run(bench_t *bench, verb_t *verb, int which, int processes, int out)
{
    int all = verb == load_one;
    apr_size_t part = bench->records / (apr_size_t)processes;
    apr_size_t low = all ? 0 : part * (apr_size_t)which;
    apr_size_t high = all ? bench->records : low + part;
    apr_size_t at = part * (apr_size_t)which, calls = 0;
    double figures[2], wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);

    do {
        at = repeat(bench, verb, low, high, at, BATCH * 16);
        calls += BATCH * 16;
        figures[0] = now(CLOCK_MONOTONIC) - wall;
    } while (figures[0] < SECONDS);
    figures[1] = (double)calls / (now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    figures[0] = (double)calls / figures[0];
    if (write(out, figures, sizeof(figures)) != (ssize_t)sizeof(figures)) {
        die("run", "the result cannot be written");
    }
}

static void together(bench_t *bench, const char *name, verb_t *verb, int processes)
{
    double figures[2], wall = 0, cpu = 0;
    int pipes[2], i, status;

    if (pipe(pipes) != 0) {
        die("run", "no pipe");
    }
    for (i = 0; i < processes; i++) {
        pid_t pid = fork();

        if (pid < 0) {
            die("run", "no process");
        }
        if (pid == 0) {
            run(bench, verb, i, processes, pipes[1]);
            _exit(0);
        }
    }
    close(pipes[1]);
    while (read(pipes[0], figures, sizeof(figures)) == (ssize_t)sizeof(figures)) {
        wall += figures[0];
        cpu += figures[1] / processes;
    }
    close(pipes[0]);
    for (i = 0; i < processes; i++) {
        if (wait(&status) < 0 || status != 0) {
            die("run", "a process failed");
        }
    }
    printf("%s_wall %.0f\n%s_core %.0f\n", name, wall, name, cpu);
}

int main(int argc, char **argv)
{
    bench_t bench = { 0 };
    apr_pool_t *pool;
    apr_size_t records = argc > 2 ? (apr_size_t)apr_atoi64(argv[2]) : 0;

    if (records < 1000 || apr_initialize() != APR_SUCCESS
        || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        die("usage", "store time|count|bytes RECORDS [PROCESSES [URL [SYNC]]]");
    }
    open_store(&bench, records, argc > 4 ? argv[4] : "memory:", argc > 5 ? argv[5] : "off", pool);
    if (!strcmp(argv[1], "count")) {
        count(&bench);
    }
    else if (!strcmp(argv[1], "bytes")) {
        bytes(&bench);
    }
    else {
        int processes = argc > 3 ? (int)apr_atoi64(argv[3]) : 1;

        fill(&bench);
        shuffle(&bench);
        together(&bench, "loads", load_one, processes);
        together(&bench, "saves", save_one, processes);
    }
    return 0;
}
