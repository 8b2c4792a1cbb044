/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The sweep of the file store: what goes, what stays, who goes beyond a threshold, and what it
 * counts. */

#include "test_file.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#define RECORDS 300

static apr_time_t in(int seconds)
{
    return apr_time_now() + apr_time_from_sec(seconds);
}

static void sweep(bsession_backend_t *backend, apr_time_t now)
{
    apr_status_t status = bsession_file_provider.sweep(backend, now, files_call());

    ck_assert_msg(status == APR_SUCCESS || status == APR_INCOMPLETE, "%d: %s", status,
                  files_last.why);
}

/* Slices until so many rounds have ended. The one that is under way may have passed by already. */
static void sweep_rounds(bsession_backend_t *backend, int rounds, apr_time_t now)
{
    int slices = 0;

    while (rounds) {
        apr_uint32_t before = backend->shared->at;

        sweep(backend, now);
        rounds -= backend->shared->at <= before;
        ck_assert_int_lt(++slices, 10000);
    }
}

static bsession_stats_t stats_of(bsession_backend_t *backend)
{
    bsession_stats_t stats;

    bsession_file_provider.stats(backend, &stats, files_call());
    return stats;
}

static int is_there(const bsession_key_t *key)
{
    struct stat about;

    return lstat(files_path(key), &about) == 0;
}

START_TEST(what_is_over_goes)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t over[RECORDS], live[RECORDS];
    int i;

    for (i = 0; i < RECORDS; i++) {
        over[i] = files_add(backend, "sluc"[i % 4], in(-10));
        live[i] = files_add(backend, "sluc"[i % 4], i % 3 ? in(1000) : 0);
    }
    sweep_rounds(backend, 1, apr_time_now());
    for (i = 0; i < RECORDS; i++) {
        ck_assert(!is_there(&over[i]));
        ck_assert_int_eq(files_load(backend, &live[i]), APR_SUCCESS);
    }
    ck_assert_uint_eq(stats_of(backend).swept, RECORDS);
    sweep_rounds(backend, 2, in(2000));
    for (i = 0; i < RECORDS; i++) {
        ck_assert_int_eq(is_there(&live[i]), i % 3 == 0);
    }
}
END_TEST

/* Damage, somebody's files, links, and what is in use right now. */
START_TEST(one_bad_file_stops_nothing)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t over = files_add(backend, 's', in(-10)), next = over, used = over;
    struct stat about;
    int file;

    next.bytes[15] ^= 1;
    used.bytes[15] ^= 2;
    ck_assert_int_eq(mkdir(files_path(&next), 0700), 0);
    ck_assert_int_eq(truncate(files_path(&over), 3), 0);
    ck_assert_int_eq(files_save(backend, BSESSION_CREATE, &used, in(-10)), APR_SUCCESS);
    ck_assert_int_eq(symlink("nowhere", files_at("store/link")), 0);
    ck_assert_int_eq(symlink(files, files_at(over.bytes[0] >> 4 ? "store/0" : "store/1")), 0);
    ck_assert_int_ge(creat(files_at("store/theirs"), 0644), 0);
    file = open(files_path(&used), O_RDONLY);
    ck_assert_int_eq(flock(file, LOCK_EX | LOCK_NB), 0);
    while (is_there(&over)) {
        bsession_file_provider.sweep(backend, in(10), files_call());
    }
    ck_assert(is_there(&used));
    close(file);
    while (is_there(&used)) {
        bsession_file_provider.sweep(backend, in(10), files_call());
    }
    ck_assert(is_there(&next));
    ck_assert_int_eq(lstat(files_at("store/theirs"), &about), 0);
    ck_assert_int_eq(lstat(files_at("store/link"), &about), 0);
}
END_TEST

typedef int (locker_t)(int file, int how);

static const char *touched;             /* before it is locked */

/* In place of the C library's. */
int flock(int file, int how)
{
    locker_t *lock = (locker_t *)dlsym(RTLD_NEXT, "flock");

    if (touched && how & LOCK_EX) {
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 4000000000 } };

        ck_assert_int_eq(utimensat(AT_FDCWD, touched, times, 0), 0);
        touched = NULL;
    }
    return lock(file, how);
}

/* A touch between the look and the lock: the file's time is looked at again. */
START_TEST(what_is_prolonged_meanwhile_stays)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t key = files_add(backend, 's', in(-10));

    touched = files_path(&key);
    sweep_rounds(backend, 1, apr_time_now());
    ck_assert_ptr_null(touched);
    ck_assert_int_eq(files_load(backend, &key), APR_SUCCESS);
    ck_assert_uint_eq(stats_of(backend).swept, 0);
}
END_TEST

START_TEST(what_was_prolonged_stays)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t key = files_add(backend, 's', in(10));

    ck_assert_int_eq(bsession_file_provider.touch(backend, &key, in(1000), files_call()),
                     APR_SUCCESS);
    sweep_rounds(backend, 2, in(500));
    ck_assert_int_eq(files_load(backend, &key), APR_SUCCESS);
}
END_TEST

START_TEST(one_sweeps_at_a_time)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t over = files_add(backend, 's', in(-10));
    apr_time_t other;

    backend->shared->sweeper = other = in(1);
    sweep(backend, apr_time_now());
    ck_assert(is_there(&over) || apr_time_now() >= other);
    backend->shared->sweeper = in(-1);      /* it was killed */
    sweep_rounds(backend, 1, apr_time_now());
    ck_assert(!is_there(&over));
    over = files_add(backend, 's', in(-10));
    backend->shared->sweeper = in(3600);    /* it was, and then the clock was set back */
    sweep_rounds(backend, 1, apr_time_now());
    ck_assert(!is_there(&over));
}
END_TEST

START_TEST(one_bad_directory_stops_nothing)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t over = files_add(backend, 's', in(-10));
    apr_status_t status;

    ck_assert_int_eq(symlink(files, files_at(over.bytes[0] >> 4 ? "store/0" : "store/1")), 0);
    do {
        status = bsession_file_provider.sweep(backend, apr_time_now(), files_call());
    } while (status == APR_INCOMPLETE);
    ck_assert(!is_there(&over));
}
END_TEST

START_TEST(it_counts)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t keys[10];
    bsession_stats_t stats;
    struct stat about;
    int i;

    for (i = 0; i < 10; i++) {
        keys[i] = files_add(backend, 's', 0);
    }
    ck_assert_uint_eq(stats_of(backend).records, BSESSION_UNKNOWN);
    sweep_rounds(backend, 1, apr_time_now());
    ck_assert_int_eq(stat(files_path(&keys[0]), &about), 0);
    stats = stats_of(backend);
    ck_assert_uint_eq(stats.records, 10);
    ck_assert_uint_eq(stats.bytes, 10 * (apr_uint64_t)about.st_size);
    ck_assert_int_eq(files_remove(backend, &keys[3]), APR_SUCCESS);
    ck_assert_int_eq(files_save(backend, BSESSION_PUT, &keys[4], 0), APR_SUCCESS);
    files_add(backend, 's', 0);
    files_add(backend, 's', 0);
    stats = stats_of(backend);
    ck_assert_uint_eq(stats.records, 11);
    ck_assert_uint_eq(stats.bytes, 11 * (apr_uint64_t)about.st_size);
    sweep_rounds(backend, 2, apr_time_now());
    ck_assert_uint_eq(stats_of(backend).records, 11);
}
END_TEST

/* P02: the expired and then the oldest go; never what has no end, while there is anything else; and
 * never leases and users. */
START_TEST(beyond_the_threshold_the_oldest_go)
{
    bsession_backend_t *backend = files_open("threshold", "100");
    bsession_key_t keys[RECORDS], never[20], over, lease, user;
    apr_time_t first = in(1000);                /* of all: to make them may take seconds */
    int i, gone = 0;

    for (i = 0; i < 20; i++) {
        never[i] = files_add(backend, "sc"[i % 2], 0);
    }
    for (i = 0; i < RECORDS; i++) {
        keys[i] = files_add(backend, "sc"[i % 2], first + apr_time_from_sec(i * 37 % RECORDS));
    }
    over = files_add(backend, 's', in(-1));
    lease = files_add(backend, 'l', in(900));
    user = files_add(backend, 'u', in(900));
    sweep_rounds(backend, 1, apr_time_now());
    while (backend->shared->excess) {
        sweep_rounds(backend, 1, apr_time_now());
    }
    for (i = 0; i < RECORDS; i++) {
        int rank = i * 37 % RECORDS;

        ck_assert_int_eq(is_there(&keys[i]), rank >= RECORDS + 20 - 100);
        gone += !is_there(&keys[i]);
    }
    for (i = 0; i < 20; i++) {
        ck_assert(is_there(&never[i]));
    }
    ck_assert(!is_there(&over) && is_there(&lease) && is_there(&user));
    ck_assert_uint_eq(stats_of(backend).evicted, (apr_uint64_t)gone);
    sweep_rounds(backend, 2, apr_time_now());
    ck_assert_uint_eq(stats_of(backend).records, 102);
}
END_TEST

START_TEST(an_operator_is_told_that_live_ones_went)
{
    bsession_backend_t *backend = files_open("threshold", "1");
    int told = 0, slices;

    files_add(backend, 's', in(1000));
    files_add(backend, 's', in(2000));
    for (slices = 0; !told && slices < 10000; slices++) {
        sweep(backend, apr_time_now());
        told = strstr(files_last.why, "more than threshold=1") != NULL;
    }
    ck_assert(told);
}
END_TEST

/* More than the sample holds: not exactly the oldest any more, but none of the youngest, and
 * never more than too many. */
START_TEST(of_very_many_roughly_the_oldest_go)
{
    bsession_backend_t *backend = files_open("threshold", "1500");
    bsession_key_t keys[2000];
    int i, gone = 0;

    for (i = 0; i < 2000; i++) {
        keys[i] = files_add(backend, 's', in(1000 + i));
    }
    for (i = 0; i < 30; i++) {
        sweep_rounds(backend, 1, apr_time_now());
    }
    for (i = 0; i < 2000; i++) {
        gone += !is_there(&keys[i]);
        ck_assert(i < 1000 || is_there(&keys[i]));
    }
    ck_assert_int_eq(gone, 500);
}
END_TEST

TCase *file_sweep_case(void)
{
    TCase *tests = tcase_create("sweep");

    tcase_add_checked_fixture(tests, files_setup, files_teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_is_over_goes);
    tcase_add_test(tests, one_bad_file_stops_nothing);
    tcase_add_test(tests, what_is_prolonged_meanwhile_stays);
    tcase_add_test(tests, what_was_prolonged_stays);
    tcase_add_test(tests, one_sweeps_at_a_time);
    tcase_add_test(tests, one_bad_directory_stops_nothing);
    tcase_add_test(tests, it_counts);
    tcase_add_test(tests, beyond_the_threshold_the_oldest_go);
    tcase_add_test(tests, an_operator_is_told_that_live_ones_went);
    tcase_add_test(tests, of_very_many_roughly_the_oldest_go);
    return tests;
}
