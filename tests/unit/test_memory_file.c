/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A memory store in a file: what a start finds there. What a damaged one does is in
 * test_memory_damage.c. */

#include "test_memory.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "memory_segment.h"
#include "store_call.h"

static void refuses(const char *why)
{
    bsession_backend_t *backend = file_start("1M");

    ck_assert_msg(!backend, "it started where '%s' was expected", why);
    ck_assert_msg(strstr(store_last.why, why), "'%s' and not '%s'", store_last.why, why);
}

static void make_file(const char *path, const char *text, mode_t mode)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(fchmod(descriptor, mode), 0);
    close(descriptor);
}

static void another_boot(void)
{
    file_write(offsetof(memory_header_t, boot_id), "0", 1);
    file_write(offsetof(memory_header_t, boot_id) + 1, "1", 1);
    file_write(offsetof(memory_header_t, boot_id) + 2, "!", 1);
}

/* ------------------------------------------------------------------ stop and start */

static bsession_key_t keys[1200];

static void fill(bsession_backend_t *store)
{
    int i;

    for (i = 0; i < 1200; i++) {
        keys[i] = store_key(i % 100 == 1 ? 'u' : i % 100 == 2 ? 'c' : 's');
        store_add(store, &keys[i], (apr_size_t)i * 37 % 900);
    }
    keys[7] = store_key('s');
    store_add(store, &keys[7], 60000);
}

static void has_all(bsession_backend_t *store)
{
    int i;

    for (i = 0; i < 1200; i++) {
        ck_assert_int_eq(store_load(store, &keys[i]), APR_SUCCESS);
    }
    store_is_sound(store);
}

START_TEST(records_outlive_a_stop)
{
    bsession_backend_t *store = file_started("2M", "");
    bsession_key_t removed, expired, later;
    struct stat status;

    fill(store);
    removed = store_key('s');
    store_add(store, &removed, 10);
    ck_assert_int_eq(bsession_memory_provider.remove(store, &removed, 0, store_call()),
                     APR_SUCCESS);
    expired = store_key('s');
    ck_assert_int_eq(store_save(store, BSESSION_CREATE, &expired, 1, 10,
                                apr_time_now() + apr_time_from_msec(1)), APR_SUCCESS);
    later = store_key('s');
    ck_assert_int_eq(store_save(store, BSESSION_CREATE, &later, 9, 10,
                                apr_time_now() + apr_time_from_sec(1000)), APR_SUCCESS);
    if (_i) {
        file_stop(store);
    }
    else {
        file_kill(store);
    }
    ck_assert_int_eq(stat(file_path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    apr_sleep(2000);
    store = file_started("2M", "");
    has_all(store);
    ck_assert_int_eq(store_load(store, &removed), APR_NOTFOUND);
    ck_assert_int_eq(store_load(store, &expired), APR_NOTFOUND);
    ck_assert_int_eq(store_save(store, BSESSION_REPLACE, &later, 8, 20, 0), APR_EMISMATCH);
    ck_assert_int_eq(store_save(store, BSESSION_REPLACE, &later, 9, 20, 0), APR_SUCCESS);
    ck_assert(!file_has(".aside") && !file_has(".new"));
    file_stop(store);
}
END_TEST

/* A mutex that is locked in the file, and a shard that somebody was at work in. */
START_TEST(whoever_died_at_work_leaves_no_lock)
{
    bsession_backend_t *store = file_started("2M", "");
    pid_t child;
    int status;

    fill(store);
    child = fork();
    if (child == 0) {
        const memory_segment_t *segment = memory_backend_segment(store);
        unsigned char *shard = (unsigned char *)segment->header + MEMORY_HEADER_SIZE;

        pthread_mutex_lock((pthread_mutex_t *)shard);
        memset(shard + segment->buckets_at, 0xa5, 4096);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    file_kill(store);
    store = file_started("2M", "");
    has_all(store);
    ck_assert_uint_eq(store_stats(store).repaired, 0);
    file_stop(store);
}
END_TEST

START_TEST(after_another_boot_only_what_was_left_in_order_counts)
{
    bsession_backend_t *store = file_started("2M", "");
    char boot_id[sizeof(memory_backend_segment(store)->header->boot_id)];

    fill(store);
    memcpy(boot_id, memory_backend_segment(store)->header->boot_id, sizeof(boot_id));
    ck_assert_uint_eq(strlen(boot_id), 36);
    /* in order, in another boot: as it is when the machine was shut down */
    memory_backend_segment(store)->header->boot_id[0] = '!';
    file_stop(store);
    store = file_started("2M", "");
    has_all(store);
    ck_assert_mem_eq(boot_id, memory_backend_segment(store)->header->boot_id, sizeof(boot_id));
    file_kill(store);
    another_boot();
    store = file_started("2M", "set aside, with .aside behind its name: the machine ended");
    ck_assert(file_has(".aside"));
    ck_assert_int_eq(store_load(store, &keys[0]), APR_NOTFOUND);
    store_is_sound(store);
    fill(store);
    file_stop(store);
    store = file_started("2M", "");
    has_all(store);
    file_stop(store);
}
END_TEST

/* ------------------------------------------------------------------ whose file it is */

START_TEST(what_is_no_file_of_ours_is_refused)
{
    char text[64] = { 0 };
    const char *other = file_beside(".other");
    int descriptor;

    make_file(other, "secret", 0600);
    ck_assert_int_eq(symlink(other, file_path), 0);
    refuses("it is a link");
    unlink(file_path);
    ck_assert_int_eq(link(other, file_path), 0);
    refuses("expected a file with one name");
    unlink(file_path);
    ck_assert_int_eq(mkfifo(file_path, 0600), 0);
    refuses("expected a file with one name");
    unlink(file_path);
    make_file(file_path, "", 0640);
    refuses("has mode 0640; expected user");
    unlink(file_path);
    make_file(file_path, "a private key of somebody", 0600);
    refuses("this module has not made");
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(file_path, 65534, 0), 0);
        refuses("belongs to user 65534");
    }
    descriptor = open(file_path, O_RDONLY);
    ck_assert_int_eq(read(descriptor, text, sizeof(text)), 25);
    ck_assert_str_eq(text, "a private key of somebody");
    close(descriptor);
}
END_TEST

START_TEST(nor_is_what_is_in_the_way)
{
    struct stat status;

    make_file(file_beside(".new"), "mine", 0600);
    refuses(".new behind its name is in the way");
    unlink(file_beside(".new"));
    make_file(file_beside(".new"), "mine", 0644);
    refuses("mode 0600; the one with .new behind its name");
    unlink(file_beside(".new"));
    ck_assert_int_eq(symlink(file_path, file_beside(".new")), 0);
    refuses("it is a link; the one with .new behind its name");
    unlink(file_beside(".new"));
    file_kill(file_started("1M", ""));
    another_boot();
    make_file(file_beside(".aside"), "mine", 0644);
    refuses(".aside behind its name is in the way");
    ck_assert_int_eq(stat(file_beside(".aside"), &status), 0);
    ck_assert_int_eq(status.st_size, 4);
}
END_TEST

START_TEST(its_directory_must_be_safe)
{
    ck_assert_int_eq(chmod(file_directory, 0775), 0);
    refuses("others may write its directory");
    ck_assert_int_eq(chmod(file_directory, 01777), 0);       /* as /tmp */
    file_stop(file_started("1M", ""));
    apr_snprintf(file_path, sizeof(file_path), "%s/nowhere/sessions", file_directory);
    refuses("its directory cannot be used: No such file");
    apr_snprintf(file_path, sizeof(file_path), "%s/sessions", file_directory);
}
END_TEST

/* What a process leaves that is killed while it makes a file, and an empty file that is no harm. */
START_TEST(a_file_that_was_half_made_is_made)
{
    bsession_backend_t *store;

    make_file(file_beside(".new"), "", 0600);
    store = file_started("1M", "");
    file_kill(store);
    ck_assert_int_eq(rename(file_path, file_beside(".new")), 0);
    make_file(file_path, "", 0600);
    store = file_started("1M", "");
    ck_assert(!file_has(".new"));
    file_stop(store);
}
END_TEST

/* ------------------------------------------------------------------ who has it */

START_TEST(one_httpd_at_a_time)
{
    bsession_backend_t *store = file_started("1M", "");
    apr_time_t began = apr_time_now();
    int status, ready[2];
    pid_t child;

    refuses("another httpd has it");
    ck_assert_int_ge(apr_time_now() - began, apr_time_from_msec(50));
    /* a child that outlives its parent has it too */
    ck_assert_int_eq(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        char byte;

        close(ready[1]);
        _exit(read(ready[0], &byte, 1) < 0);
    }
    file_kill(store);
    refuses("or processes that one left behind");
    close(ready[1]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    file_stop(file_started("1M", ""));
}
END_TEST

/* Who is about to end is waited for. */
START_TEST(the_wait_ends_with_the_other)
{
    bsession_backend_t *store = file_started("1M", "");
    int status;
    pid_t child = fork();

    if (child == 0) {
        apr_sleep(20 * 1000);
        _exit(0);
    }
    file_kill(store);
    file_stop(file_started("1M", ""));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
}
END_TEST

/* Whoever had it gave its name to another file: at the path there is none any more. */
START_TEST(what_was_waited_for_may_be_another_file)
{
    bsession_backend_t *store = file_started("1M", "");
    int status;
    pid_t child = fork();

    if (child == 0) {
        apr_sleep(10 * 1000);
        _exit(rename(file_path, file_beside(".other")));
    }
    file_kill(store);
    store = file_started("1M", "");
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(file_has("") && file_has(".other"));
    file_stop(store);
}
END_TEST

/* Whether the process has a file open of which we hold the descriptor. */
static int has_open(pid_t process, int descriptor)
{
    struct stat file, other;
    int i;

    ck_assert_int_eq(fstat(descriptor, &file), 0);
    for (i = 3; i < 64; i++) {
        if (stat(apr_psprintf(pool, "/proc/%ld/fd/%d", (long)process, i), &other) == 0
            && other.st_dev == file.st_dev && other.st_ino == file.st_ino) {
            return 1;
        }
    }
    return 0;
}

/* Two httpds that find no file begin to make one. Who comes second uses what the first has left. */
START_TEST(who_waits_to_make_one_takes_no_name_away)
{
    bsession_backend_t *store = file_started("2M", "");
    pid_t parent = getpid(), child;
    int descriptor, status, gone[2];

    fill(store);
    file_stop(store);
    ck_assert_int_eq(rename(file_path, file_beside(".other")), 0);
    descriptor = open(file_beside(".new"), O_RDWR | O_CREAT, 0600);
    ck_assert_int_eq(flock(descriptor, LOCK_EX), 0);
    ck_assert_int_eq(pipe(gone), 0);
    child = fork();
    if (child == 0) {
        char byte;

        close(gone[1]);
        while (read(gone[0], &byte, 1) != 0 || !has_open(parent, descriptor)) {
            apr_sleep(1000);
        }
        _exit(rename(file_beside(".other"), file_path) || unlink(file_beside(".new")));
    }
    close(descriptor);
    close(gone[1]);
    store = file_started("2M", "");
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    close(gone[0]);
    has_all(store);
    file_stop(store);
}
END_TEST

START_TEST(one_store_a_file)
{
    bsession_backend_t *store;
    apr_pool_t *process;

    apr_pool_create(&process, pool);
    store = file_start_as("default", "1M", process);
    ck_assert_ptr_nonnull(store);
    ck_assert_ptr_null(file_start_as("carts", "1M", process));
    ck_assert_str_eq(store_last.why, "store default has this file already");
    file_stop(store);
}
END_TEST

TCase *memory_file_case(void)
{
    TCase *tests = tcase_create("in a file");

    tcase_add_checked_fixture(tests, file_setup, file_teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, records_outlive_a_stop, 0, 2);
    tcase_add_test(tests, whoever_died_at_work_leaves_no_lock);
    tcase_add_test(tests, after_another_boot_only_what_was_left_in_order_counts);
    tcase_add_test(tests, what_is_no_file_of_ours_is_refused);
    tcase_add_test(tests, nor_is_what_is_in_the_way);
    tcase_add_test(tests, its_directory_must_be_safe);
    tcase_add_test(tests, a_file_that_was_half_made_is_made);
    tcase_add_test(tests, one_httpd_at_a_time);
    tcase_add_test(tests, the_wait_ends_with_the_other);
    tcase_add_test(tests, what_was_waited_for_may_be_another_file);
    tcase_add_test(tests, who_waits_to_make_one_takes_no_name_away);
    tcase_add_test(tests, one_store_a_file);
    return tests;
}
