/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* httpds that have a memory store in a file, start and end, for the tests of that. */

#include "test_memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "memory_segment.h"
#include "store_call.h"

char        file_path[64];
char        file_directory[32];

void file_setup(void)
{
    pool_setup();
    /* no disk, where there is such a thing: some tests start many times */
    apr_cpystrn(file_directory, access("/dev/shm", W_OK) == 0 ? "/dev/shm/bsession-XXXXXX"
                                                              : "/tmp/bsession-XXXXXX",
                sizeof(file_directory));
    ck_assert_ptr_nonnull(mkdtemp(file_directory));
    apr_snprintf(file_path, sizeof(file_path), "%s/sessions", file_directory);
}

const char *file_beside(const char *suffix)
{
    return apr_pstrcat(pool, file_path, suffix, NULL);
}

void file_teardown(void)
{
    unlink(file_path);
    unlink(file_beside(".new"));
    unlink(file_beside(".aside"));
    unlink(file_beside(".other"));
    ck_assert_int_eq(rmdir(file_directory), 0);
    pool_teardown();
}

/* For others to let go of the file: until it is clear that they do not, or all that a busy machine
 * takes. */
static apr_interval_time_t patience = apr_time_from_msec(50);

bsession_backend_t *file_start_as(const char *name, const char *size, apr_pool_t *process)
{
    bsession_option_t option = { "size", size };
    bsession_options_t options = { &option, 1 };
    bsession_backend_t *backend = NULL;
    bsession_services_t *services = apr_pcalloc(process, sizeof(*services));
    const char *sentence;

    bs_services_init(services, process);
    sentence = bsession_memory_provider.create(&backend, name, apr_pstrcat(pool, "memory:",
                                               file_path, NULL), &options, services, process);
    ck_assert_msg(!sentence, "%s", sentence);
    store_call();
    store_last.pool = process;
    store_last.deadline = apr_time_now() + patience;
    return bsession_memory_provider.open(backend, -1, -1, &store_last) == APR_SUCCESS ? backend
                                                                                      : NULL;
}

bsession_backend_t *file_start(const char *size)
{
    apr_pool_t *process;

    apr_pool_create(&process, pool);
    return file_start_as("default", size, process);
}

bsession_backend_t *file_started(const char *size, const char *notice)
{
    bsession_backend_t *backend;

    patience = apr_time_from_sec(30);
    backend = file_start(size);
    patience = apr_time_from_msec(50);
    ck_assert_msg(backend != NULL, "%s", store_last.why);
    ck_assert_msg(*notice ? strstr(store_last.why, notice) != NULL : !store_last.why[0],
                  "'%s' and not '%s'", store_last.why, notice);
    return backend;
}

/* The descriptors of the file, which nobody but a process pool knows. */
static void close_all(void)
{
    struct stat file, mine;
    int descriptor;

    ck_assert_int_eq(stat(file_path, &file), 0);
    for (descriptor = 3; descriptor < 64; descriptor++) {
        if (fstat(descriptor, &mine) == 0 && mine.st_dev == file.st_dev
            && mine.st_ino == file.st_ino) {
            close(descriptor);
        }
    }
}

void file_kill(bsession_backend_t *backend)
{
    const memory_segment_t *segment = memory_backend_segment(backend);

    munmap(segment->header, segment->header->reserve);
    close_all();
}

void file_stop(bsession_backend_t *backend)
{
    ck_assert_int_eq(bsession_memory_provider.close(backend, store_call()), APR_SUCCESS);
    file_kill(backend);
}

void file_write(apr_size_t at, const void *bytes, apr_size_t count)
{
    int descriptor = open(file_path, O_WRONLY);

    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(pwrite(descriptor, bytes, count, (off_t)at), (ssize_t)count);
    close(descriptor);
}

int file_has(const char *suffix)
{
    return access(file_beside(suffix), F_OK) == 0;
}
