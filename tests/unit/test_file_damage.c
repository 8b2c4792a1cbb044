/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What the file store finds where its records should be: links and other things that somebody has
 * planted, and files that are damaged. */

#include "test_file.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

/* ------------------------------------------------------------------ planted */

/* Where the file, or one of the directories above it, has been. */
static const char *move_away(const bsession_key_t *key, int up)
{
    char *path = apr_pstrdup(pool, files_path(key));

    while (up--) {
        *strrchr(path, '/') = '\0';
    }
    ck_assert_int_eq(rename(path, files_at("elsewhere")), 0);
    return path;
}

/* Behind the link is what was there: were it followed, the record would be found. */
START_TEST(no_link_is_followed)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t key = files_add(backend, 's', 0);
    const char *path = move_away(&key, _i);
    apr_status_t wanted = _i == 0 ? BSESSION_ECORRUPT : APR_EGENERAL;
    struct stat about;

    ck_assert_int_eq(symlink(files_at("elsewhere"), path), 0);
    ck_assert_int_eq(files_load(backend, &key), wanted);
    ck_assert_int_eq(files_save(backend, BSESSION_REPLACE, &key, 0), wanted);
    ck_assert_int_eq(files_touch(backend, &key), wanted);
    ck_assert_int_eq(files_remove(backend, &key), wanted);
    ck_assert_int_eq(files_save(backend, BSESSION_CREATE, &key, 0), _i ? wanted : APR_EEXIST);
    if (_i) {
        files_refused(files_save(backend, BSESSION_PUT, &key, 0), "a link or file stands");
        ck_assert_int_eq(lstat(path, &about), 0);
        ck_assert(S_ISLNK(about.st_mode));
    }
    else {
        ck_assert_int_eq(files_save(backend, BSESSION_PUT, &key, 0), APR_SUCCESS);
        ck_assert_int_eq(files_load(backend, &key), APR_SUCCESS);
        ck_assert_int_eq(lstat(files_at("elsewhere"), &about), 0);
        ck_assert_uint_eq(about.st_nlink, 1);
    }
}
END_TEST

START_TEST(what_is_no_plain_file_of_ours_is_no_record)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t key = files_add(backend, 's', 0);
    const char *path = files_path(&key);

    chmod(path, 0622);
    ck_assert_int_eq(files_load(backend, &key), BSESSION_ECORRUPT);
    chmod(path, 0600);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 33, 33), 0);
        ck_assert_int_eq(files_load(backend, &key), BSESSION_ECORRUPT);
    }
    unlink(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(files_load(backend, &key), BSESSION_ECORRUPT);
    ck_assert_int_eq(files_remove(backend, &key), BSESSION_ECORRUPT);
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(files_load(backend, &key), BSESSION_ECORRUPT);
}
END_TEST

/* ------------------------------------------------------------------ damaged */

static char *content(const char *path, apr_size_t *size)
{
    char *bytes = apr_pcalloc(pool, 1000);
    int file = open(path, O_RDONLY);

    *size = (apr_size_t)read(file, bytes, 1000);
    close(file);
    return bytes;
}

static void put_content(const char *path, const char *bytes, apr_size_t size)
{
    struct timespec never[2] = { { 0, 0 }, { 0, 0 } };
    int file = open(path, O_WRONLY | O_TRUNC);

    ck_assert_int_eq(write(file, bytes, size), (ssize_t)size);
    futimens(file, never);
    close(file);
}

START_TEST(any_damage_is_seen)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t key = files_add(backend, 's', 0), other = files_key('s');
    const char *path = files_path(&key);
    apr_size_t size, i;
    char *bytes = content(path, &size);

    for (i = 0; i < size; i++) {
        bytes[i] ^= 0x20;
        put_content(path, bytes, size);
        ck_assert_int_eq(files_load(backend, &key), BSESSION_ECORRUPT);
        bytes[i] ^= 0x20;
        put_content(path, bytes, i);
        ck_assert_int_eq(files_load(backend, &key), BSESSION_ECORRUPT);
    }
    put_content(path, bytes, size + 1);
    ck_assert_int_eq(files_load(backend, &key), BSESSION_ECORRUPT);
    put_content(path, bytes, size);
    ck_assert_int_eq(files_load(backend, &key), APR_SUCCESS);
    memcpy(other.bytes, key.bytes, 2);
    ck_assert_int_eq(rename(path, files_path(&other)), 0);
    ck_assert_int_eq(files_load(backend, &other), BSESSION_ECORRUPT);
}
END_TEST

/* ------------------------------------------------------------------ directories */

typedef DIR *(lister_t)(int file);
typedef struct dirent *(reader_t)(DIR *list);

static int inheritable;                 /* a list was begun of what programs would inherit */
static int entries_left = -1;         /* that can be read, before the disk fails; -1: it does not */

/* In place of the C library's. */
DIR *fdopendir(int file)
{
    lister_t *list = (lister_t *)dlsym(RTLD_NEXT, "fdopendir");

    inheritable |= !(fcntl(file, F_GETFD) & FD_CLOEXEC);
    return list(file);
}

struct dirent *readdir(DIR *list)
{
    reader_t *read_on = (reader_t *)dlsym(RTLD_NEXT, sizeof(ino_t) == 8 ? "readdir64" : "readdir");

    if (entries_left == 0) {
        errno = EIO;
        return NULL;
    }
    entries_left -= entries_left > 0;
    return read_on(list);
}

static apr_status_t see(void *seen, const bsession_key_t *key, const bsession_record_t *record)
{
    (void)key, (void)record;
    ++*(int *)seen;
    return APR_SUCCESS;
}

static apr_status_t scan_all(bsession_backend_t *backend, int *seen)
{
    bsession_cursor_t cursor = { 0 };
    apr_status_t status = APR_SUCCESS;

    for (*seen = 0; status == APR_SUCCESS && !cursor.done; ) {
        status = bsession_file_provider.scan(backend, 's', &cursor, see, seen, files_call());
    }
    return status;
}

START_TEST(what_cannot_be_read_to_its_end_is_not_scanned)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    int seen;

    files_add(backend, 's', 0);
    ck_assert_int_eq(scan_all(backend, &seen), APR_SUCCESS);
    ck_assert_int_eq(seen, 1);
    entries_left = 1;
    files_refused(scan_all(backend, &seen), "a directory in it cannot be read");
    ck_assert_int_eq(seen, 0);
    ck_assert(!inheritable);
}
END_TEST

static int descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    int count = 0;

    ck_assert_ptr_nonnull(list);
    while (readdir(list)) {
        count++;
    }
    closedir(list);
    return count;
}

/* ------------------------------------------------------------------ limits */

/* Of what this process may have, 0 of one kind: what a save, or a load, is answered with. */
static apr_status_t ask_without(int resource, bsession_backend_t *backend,
                                const bsession_key_t *key, int saves)
{
    struct rlimit was, none;
    apr_status_t status;

    ck_assert_int_eq(getrlimit(resource, &was), 0);
    none = was;
    none.rlim_cur = 0;
    ck_assert_int_eq(setrlimit(resource, &none), 0);
    status = saves ? files_save(backend, BSESSION_REPLACE, key, 0) : files_load(backend, key);
    ck_assert_int_eq(setrlimit(resource, &was), 0);
    return status;
}

START_TEST(what_the_process_may_not_have_is_told)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t key = files_add(backend, 's', 0);
    int seen, before = descriptors();

    files_refused(ask_without(RLIMIT_NOFILE, backend, &key, 0), "too many open files");
    files_refused(ask_without(RLIMIT_NOFILE, backend, &key, 1), "too many open files");
    signal(SIGXFSZ, SIG_IGN);               /* as httpd does */
    ck_assert_int_eq(ask_without(RLIMIT_FSIZE, backend, &key, 1), BSESSION_EFULL);
    ck_assert_ptr_nonnull(strstr(files_last.why, "a file may not be so large"));
    ck_assert_int_eq(descriptors(), before);
    ck_assert_int_eq(scan_all(backend, &seen), APR_SUCCESS);
    ck_assert_int_eq(seen, 1);
    ck_assert_int_eq(files_save(backend, BSESSION_REPLACE, &key, 0), APR_SUCCESS);
}
END_TEST

/* ------------------------------------------------------------------ clocks */

static apr_interval_time_t back;        /* by so much it is set back */
static int                 looks_left;  /* when somebody has looked at it so often */

/* In place of APR's. */
apr_time_t apr_time_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    looks_left -= looks_left > 0;
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000 - (looks_left ? 0 : back);
}

START_TEST(a_clock_that_is_set_back_prolongs_no_wait)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t key = files_add(backend, 's', 0);
    int holder = open(files_path(&key), O_RDONLY | O_CLOEXEC);
    bsession_call_t *call = files_call();
    int before = descriptors();

    ck_assert_int_eq(flock(holder, LOCK_EX), 0);
    call->deadline = apr_time_now() + apr_time_from_msec(50);
    looks_left = 3;
    back = apr_time_from_sec(3600);
    ck_assert_int_eq(bsession_file_provider.touch(backend, &key, 0, call), APR_TIMEUP);
    back = 0;
    ck_assert_int_eq(descriptors(), before);
    ck_assert_int_eq(close(holder), 0);
    ck_assert_int_eq(files_touch(backend, &key), APR_SUCCESS);
}
END_TEST

/* ------------------------------------------------------------------ descriptors */

typedef int (closer_t)(int file);

/* In place of the C library's. */
int close(int file)
{
    closer_t *end = (closer_t *)dlsym(RTLD_NEXT, "close");

    inheritable |= file >= 0 && !(fcntl(file, F_GETFD) & FD_CLOEXEC);
    return end(file);
}

/* All that can be asked of a store, at the revision that is there and at another. */
static void ask_all(bsession_backend_t *backend, const bsession_key_t *key)
{
    static const bsession_save_mode_t modes[] = {
        BSESSION_CREATE, BSESSION_REPLACE, BSESSION_MERGE, BSESSION_PUT
    };
    int i, seen;

    for (i = 0; i < 4; i++) {
        files_load(backend, key);
        files_touch(backend, key);
        bsession_file_provider.remove(backend, key, 3, files_call());
        files_save(backend, modes[i], key, 0);
        scan_all(backend, &seen);
        bsession_file_provider.sweep(backend, apr_time_now(), files_call());
    }
    files_remove(backend, key);
}

static void spoil(const char *path, int how)
{
    switch (how) {
    case 0:
        ck_assert_int_eq(unlink(path), 0);
        break;
    case 1:
        ck_assert_int_eq(truncate(path, 9), 0);
        break;
    case 2:
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(symlink("/dev/null", path), 0);
        break;
    case 3:
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        break;
    case 4:
        put_content(path, "", 0);
        chmod(path, 0666);
        break;
    case 5:
        utimensat(AT_FDCWD, path, (struct timespec[2]){ { 1, 0 }, { 1, 0 } }, 0);
        break;
    default:                            /* the directories above it */
        path = apr_pstrmemdup(pool, path, (apr_size_t)(strrchr(path, '/') - path) - (how - 6u) * 3);
        chmod(path, 0777);
        break;
    }
}

/* Whatever it is answered with. Nor is there one for a moment that a program would inherit. */
START_TEST(no_call_keeps_a_descriptor)
{
    bsession_backend_t *backend = files_open("sync", "on");
    bsession_key_t key = files_add(backend, 's', 0);
    int before;

    ask_all(backend, &key);             /* what is opened once may stay */
    before = descriptors();
    ck_assert_int_eq(files_save(backend, BSESSION_CREATE, &key, 0), APR_SUCCESS);
    spoil(files_path(&key), _i);
    backend->checked = 0;
    memset(backend->leaves_checked, 0, FILE_LEAVES * sizeof(*backend->leaves_checked));
    inheritable = 0;
    ask_all(backend, &key);
    ck_assert(!inheritable);
    ck_assert_int_eq(descriptors(), before);
}
END_TEST

TCase *file_damage_case(void)
{
    TCase *tests = tcase_create("planted and damaged");

    tcase_add_checked_fixture(tests, files_setup, files_teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, no_link_is_followed, 0, 3);
    tcase_add_test(tests, what_is_no_plain_file_of_ours_is_no_record);
    tcase_add_test(tests, any_damage_is_seen);
    tcase_add_test(tests, what_cannot_be_read_to_its_end_is_not_scanned);
    tcase_add_test(tests, what_the_process_may_not_have_is_told);
    tcase_add_test(tests, a_clock_that_is_set_back_prolongs_no_wait);
    tcase_add_loop_test(tests, no_call_keeps_a_descriptor, 0, 8);
    return tests;
}
