/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What is the file store's own: its directory, and in the files beside this one what it finds
 * there, and the sweep. What every store must do is in tests/contract, and what killed processes
 * and full disks do to it in tests/fault. */

#include "test_file.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "store_call.h"

const char     *files;
bsession_call_t files_last;

/* ------------------------------------------------------------------ words */

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *at)
{
    (void)about;
    (void)kind;
    (void)at;
    return remove(path);
}

void files_setup(void)
{
    pool_setup();
    files = mkdtemp(apr_pstrdup(pool, "/tmp/bsession-unit-XXXXXX"));
    ck_assert_ptr_nonnull(files);
}

void files_teardown(void)
{
    nftw(files, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    pool_teardown();
}

bsession_call_t *files_call(void)
{
    memset(&files_last, 0, sizeof(files_last));
    files_last.deadline = apr_time_now() + apr_time_from_sec(20);
    files_last.pool = pool;
    return &files_last;
}

const char *files_at(const char *name)
{
    return apr_pstrcat(pool, files, "/", name, NULL);
}

const char *files_create(bsession_backend_t **backend, const char *url, const char *name,
                         const char *value)
{
    static bsession_services_t services;
    bsession_option_t option = { name, value };
    bsession_options_t options = { &option, name ? 1 : 0 };

    bs_services_init(&services, pool);
    return bsession_file_provider.create(backend, "default", url, &options, &services, pool);
}

static const char *store_url(void)
{
    return apr_pstrcat(pool, "file:", files_at("store"), NULL);
}

bsession_backend_t *files_open(const char *name, const char *value)
{
    bsession_backend_t *backend = NULL;
    const char *sentence = files_create(&backend, store_url(), name, value);

    ck_assert_msg(!sentence, "%s", sentence);
    ck_assert_msg(bsession_file_provider.open(backend, -1, -1, files_call()) == APR_SUCCESS, "%s",
                  files_last.why);
    return backend;
}

bsession_key_t files_key(char space)
{
    bsession_key_t key = { space, { 0 } };

    ck_assert_int_eq(apr_generate_random_bytes(key.bytes, sizeof(key.bytes)), APR_SUCCESS);
    return key;
}

const char *files_path(const bsession_key_t *key)
{
    char *text = apr_psprintf(pool, "%c", key->space);
    apr_size_t i;

    for (i = 0; i < sizeof(key->bytes); i++) {
        text = apr_psprintf(pool, "%s%02x", text, key->bytes[i]);
    }
    return apr_psprintf(pool, "%s/store/%.1s/%.2s/%s", files, text + 1, text + 2, text);
}

apr_status_t files_save(bsession_backend_t *backend, bsession_save_mode_t mode,
                        const bsession_key_t *key, apr_time_t expires)
{
    bsession_field_t field = { { "v", 1 }, { "value", 5 } };
    bsession_record_t record = { .expires = expires, .fields = { &field, 1 } };
    bsession_save_t save = { .mode = mode, .base = 7, .record = &record };
    bsession_saved_t saved = { 0, NULL };

    return bsession_file_provider.save(backend, key, &save, &saved, files_call());
}

bsession_key_t files_add(bsession_backend_t *backend, char space, apr_time_t expires)
{
    bsession_key_t key = files_key(space);

    ck_assert_msg(files_save(backend, BSESSION_CREATE, &key, expires) == APR_SUCCESS, "%s",
                  files_last.why);
    return key;
}

apr_status_t files_load(bsession_backend_t *backend, const bsession_key_t *key)
{
    bsession_record_t record;

    return bsession_file_provider.load(backend, key, &record, files_call());
}

apr_status_t files_remove(bsession_backend_t *backend, const bsession_key_t *key)
{
    return bsession_file_provider.remove(backend, key, 0, files_call());
}

apr_status_t files_touch(bsession_backend_t *backend, const bsession_key_t *key)
{
    return bsession_file_provider.touch(backend, key, 0, files_call());
}

void files_refused(apr_status_t status, const char *why)
{
    ck_assert_int_eq(bs_is_outage(status), 1);
    ck_assert_msg(strstr(files_last.why, why) != NULL, "it says \"%s\"", files_last.why);
}

/* ------------------------------------------------------------------ the line of the store */

START_TEST(what_is_wrong_gets_a_sentence)
{
    static const char *const wrong[][3] = {
        { "file:", NULL, "file:/var/lib/httpd-sessions" },
        { "file:/", NULL, "expected the directory" },
        { "file:sessions", NULL, "expected the directory" },
        { "file://host/dir", NULL, "expected the directory" },
        { "mode", "rw", "0600" }, { "mode", "0700", "0600" }, { "mode", "0660", "else may write" },
        { "mode", "0400", "0600" }, { "mode", "", "0600" },
        { "threshold", "-1", "a number of records" },
        { "threshold", "many", "a number of records" },
        { "sync", "perhaps", "sync=perhaps: expected" }, { "size", "1M", "size" }
    };
    apr_size_t i;

    for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        int url = strncmp(wrong[i][0], "file:", 5) == 0;
        bsession_backend_t *backend;
        const char *said = files_create(&backend, url ? wrong[i][0] : "file:/d",
                                        url ? NULL : wrong[i][0], wrong[i][1]);

        ck_assert_msg(said && strstr(said, wrong[i][2]), "%s: %s", wrong[i][0],
                      said ? said : "taken");
    }
}
END_TEST

START_TEST(what_is_right_is_taken)
{
    static const char *const right[][3] = {
        { "file:/d", NULL, NULL }, { "file:///d", NULL, NULL }, { "file:/d//", NULL, NULL },
        { "file:/d", "mode", "600" }, { "file:/d", "mode", "0644" },
        { "file:/d", "threshold", "0" }, { "file:/d", "threshold", "500" },
        { "file:/d", "sync", "on" }
    };
    apr_size_t i;

    for (i = 0; i < sizeof(right) / sizeof(*right); i++) {
        bsession_backend_t *backend;

        ck_assert_ptr_null(files_create(&backend, right[i][0], right[i][1], right[i][2]));
        ck_assert_str_eq(backend->path, "/d");
    }
}
END_TEST

/* ------------------------------------------------------------------ modes and places */

static mode_t mode_of(const char *path)
{
    struct stat about;

    ck_assert_msg(lstat(path, &about) == 0, "%s is not there", path);
    return about.st_mode & 07777;
}

/* The directory, the two in it, and the file. */
static void has_modes(const bsession_key_t *key, mode_t directories, mode_t file)
{
    char *path = apr_pstrdup(pool, files_path(key));
    int i;

    ck_assert_uint_eq(mode_of(path), file);
    for (i = 0; i < 3; i++) {
        *strrchr(path, '/') = '\0';
        ck_assert_uint_eq(mode_of(path), directories);
    }
}

START_TEST(nobody_else_can_look)
{
    bsession_key_t key;

    umask(0);
    key = files_add(files_open(NULL, NULL), 's', 0);
    has_modes(&key, 0700, 0600);
    ck_assert_int_eq(files_save(files_open(NULL, NULL), BSESSION_PUT, &key, 0), APR_SUCCESS);
    has_modes(&key, 0700, 0600);
}
END_TEST

START_TEST(some_may_look_where_it_says_so)
{
    bsession_key_t key;

    umask(077);
    key = files_add(files_open("mode", "0640"), 's', 0);
    has_modes(&key, 0750, 0640);
}
END_TEST

START_TEST(all_directories_are_there_before_a_durable_save)
{
    struct stat about;

    files_open("sync", "on");
    ck_assert_int_eq(stat(files_at("store/0/00"), &about), 0);
    ck_assert_int_eq(stat(files_at("store/f/ff"), &about), 0);
    ck_assert_int_eq(stat(files_at("store"), &about), 0);
    ck_assert_uint_eq(about.st_nlink, 18);
}
END_TEST

/* A parent opens it anew at each restart. */
START_TEST(no_descriptor_is_left)
{
    bsession_backend_t *backend = NULL;
    apr_pool_t *pconf;
    int first = -1, i;

    for (i = 0; i < 5; i++) {
        bsession_call_t *call = files_call();

        apr_pool_create(&pconf, pool);
        call->pool = pconf;
        files_create(&backend, store_url(), NULL, NULL);
        ck_assert_int_eq(bsession_file_provider.open(backend, -1, -1, call), APR_SUCCESS);
        ck_assert_int_eq(fcntl(backend->root, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        first = i == 0 ? backend->root : first;
        ck_assert_int_eq(backend->root, first);
        apr_pool_destroy(pconf);
    }
}
END_TEST

/* ------------------------------------------------------------------ whom it trusts */

static apr_status_t try_to_open(apr_int64_t uid)
{
    bsession_backend_t *backend;

    files_create(&backend, store_url(), NULL, NULL);
    return bsession_file_provider.open(backend, uid, uid, files_call());
}

START_TEST(a_directory_that_is_not_ours_alone_is_refused)
{
    bsession_backend_t *backend;

    ck_assert_int_eq(symlink(files, files_at("store")), 0);
    files_refused(try_to_open(-1), "a link or file stands");
    unlink(files_at("store"));
    ck_assert_int_ge(open(files_at("store"), O_CREAT | O_WRONLY, 0600), 0);
    files_refused(try_to_open(-1), "a link or file stands");
    unlink(files_at("store"));
    ck_assert_int_eq(mkdir(files_at("store"), 0700), 0);
    chmod(files_at("store"), 0720);
    files_refused(try_to_open(-1), "others can write in the directory");
    chmod(files_at("store"), 01777);
    files_refused(try_to_open(-1), "its mode is 1777");
    chmod(files_at("store"), 0755);
    ck_assert_int_eq(try_to_open(-1), APR_SUCCESS);
    files_create(&backend, apr_pstrcat(pool, "file:", files_at("a/b"), NULL), NULL, NULL);
    files_refused(bsession_file_provider.open(backend, -1, -1, files_call()),
                  "there is no directory to make it in");
}
END_TEST

static uid_t owner_of(const char *path)
{
    struct stat about;

    ck_assert_int_eq(stat(path, &about), 0);
    return about.st_uid;
}

/* Root gives away what it makes, and an empty directory of its own; never one with something in it,
 * which may be any. */
START_TEST(root_gives_it_to_the_children)
{
    if (geteuid() != 0) {
        printf("root_gives_it_to_the_children: skipped, this is not root\n");
        return;
    }
    ck_assert_int_eq(try_to_open(33), APR_SUCCESS);
    ck_assert_uint_eq(owner_of(files_at("store")), 33);
    files_refused(try_to_open(34), "belongs to user 33, not to httpd's, 34");
    ck_assert_int_eq(rmdir(files_at("store")), 0);
    ck_assert_int_eq(mkdir(files_at("store"), 0700), 0);
    ck_assert_int_eq(try_to_open(33), APR_SUCCESS);
    ck_assert_uint_eq(owner_of(files_at("store")), 33);
    ck_assert_int_eq(chown(files_at("store"), 0, 0), 0);
    ck_assert_int_eq(mkdir(files_at("store/etc"), 0700), 0);
    files_refused(try_to_open(33), "belongs to user 0");
    ck_assert_uint_eq(owner_of(files_at("store")), 0);
}
END_TEST

/* What holds at the start is looked at again: by loads once in a second. */
START_TEST(a_directory_that_others_get_hold_of_is_left_alone)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t key = files_add(backend, 's', 0);

    ck_assert_int_eq(files_load(backend, &key), APR_SUCCESS);
    chmod(files_at("store"), 0777);
    ck_assert_int_eq(files_load(backend, &key), APR_SUCCESS);
    backend->checked -= apr_time_from_sec(2);
    files_refused(files_load(backend, &key), "others can write in the directory, its mode is 0777");
    files_refused(files_save(backend, BSESSION_PUT, &key, 0), "others can write");
    files_refused(files_touch(backend, &key), "others can write");
    files_refused(files_remove(backend, &key), "others can write");
    files_refused(bsession_file_provider.sweep(backend, apr_time_now(), files_call()),
                  "others can write");
    chmod(files_at("store"), 0700);
    ck_assert_int_eq(files_load(backend, &key), APR_SUCCESS);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(files_at("store"), 33, 33), 0);
        backend->checked = 0;
        files_refused(files_load(backend, &key), "belongs to user 33");
        ck_assert_int_eq(chown(files_at("store"), 0, 0), 0);
        ck_assert_int_eq(files_load(backend, &key), APR_SUCCESS);
    }
}
END_TEST

/* Nor is what lies in it believed: an older file of ours, perhaps, that was kept aside. */
START_TEST(nor_is_one_in_it_that_others_get_hold_of)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t key = files_add(backend, 's', 0);
    unsigned leaf = (unsigned)key.bytes[0] << 4 | key.bytes[1] >> 4;
    char *path = apr_pstrdup(pool, files_path(&key));
    int up;

    for (up = 0; up < 2; up++) {
        *strrchr(path, '/') = '\0';
        ck_assert_int_eq(files_load(backend, &key), APR_SUCCESS);
        chmod(path, 0777);
        backend->leaves_checked[leaf] -= apr_time_from_sec(2);
        files_refused(files_load(backend, &key),
                      "others can write in a directory in it, its mode is 0777");
        files_refused(files_touch(backend, &key), "others can write in a directory in it");
        chmod(path, 0700);
        ck_assert_int_eq(files_load(backend, &key), APR_SUCCESS);
        if (geteuid() == 0) {
            ck_assert_int_eq(chown(path, 33, 33), 0);
            backend->leaves_checked[leaf] = 0;
            files_refused(files_load(backend, &key), "a directory in it belongs to user 33");
            ck_assert_int_eq(chown(path, 0, 0), 0);
        }
    }
}
END_TEST

START_TEST(a_directory_that_was_removed_and_made_again)
{
    bsession_backend_t *backend = files_open(NULL, NULL);
    bsession_key_t key = files_add(backend, 's', 0);
    int root = backend->root;

    ck_assert_int_eq(files_load(backend, &key), APR_SUCCESS);
    nftw(files_at("store"), remove_one, 16, FTW_DEPTH | FTW_PHYS);
    ck_assert_int_eq(files_load(backend, &key), APR_NOTFOUND);
    backend->checked = 0;
    files_refused(files_load(backend, &key), "the directory was removed");
    ck_assert_int_eq(mkdir(files_at("store"), 0777), 0);
    chmod(files_at("store"), 0777);
    files_refused(files_load(backend, &key), "others can write");
    chmod(files_at("store"), 0700);
    ck_assert_int_eq(files_load(backend, &key), APR_NOTFOUND);
    ck_assert_int_eq(backend->root, root);
    files_add(backend, 's', 0);
}
END_TEST

Suite *file_suite(void)
{
    Suite *suite = suite_create("file");
    TCase *tests = tcase_create("what is its own");

    tcase_add_checked_fixture(tests, files_setup, files_teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_is_wrong_gets_a_sentence);
    tcase_add_test(tests, what_is_right_is_taken);
    tcase_add_test(tests, nobody_else_can_look);
    tcase_add_test(tests, some_may_look_where_it_says_so);
    tcase_add_test(tests, all_directories_are_there_before_a_durable_save);
    tcase_add_test(tests, no_descriptor_is_left);
    tcase_add_test(tests, a_directory_that_is_not_ours_alone_is_refused);
    tcase_add_test(tests, root_gives_it_to_the_children);
    tcase_add_test(tests, a_directory_that_others_get_hold_of_is_left_alone);
    tcase_add_test(tests, nor_is_one_in_it_that_others_get_hold_of);
    tcase_add_test(tests, a_directory_that_was_removed_and_made_again);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, file_damage_case());
    suite_add_tcase(suite, file_sweep_case());
    return suite;
}
