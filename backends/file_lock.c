/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "file_directory.h"
#include "file_record.h"

#define FILE_FIRST_PAUSE   50
#define FILE_LONGEST_PAUSE 2000

/* The wall clock may be set while somebody waits. */
static apr_time_t file_monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000;
}

/* Full jitter, so that those who wait do not wake together. */
static void file_pause(apr_interval_time_t *most, apr_time_t left)
{
    apr_uint64_t dice = (apr_uint64_t)apr_time_now() * APR_UINT64_C(0x9e3779b97f4a7c15) >> 32;
    apr_interval_time_t pause = (apr_interval_time_t)(dice % (apr_uint64_t)*most) + 1;

    apr_sleep(pause < left ? pause : left);
    *most = *most * 2 < FILE_LONGEST_PAUSE ? *most * 2 : FILE_LONGEST_PAUSE;
}

/* flock knows no time-out, and a signal that would end it is not ours to send. */
static apr_status_t file_flock(int file, apr_time_t end, const bsession_backend_t *backend,
                               bsession_call_t *call)
{
    apr_interval_time_t most = FILE_FIRST_PAUSE;

    while (flock(file, LOCK_EX | LOCK_NB) != 0) {
        apr_time_t left = end - file_monotonic();

        if (errno != EWOULDBLOCK && errno != EINTR) {
            return file_outage(backend, "a record cannot be locked", call);
        }
        if (left <= 0) {
            apr_snprintf(call->why, sizeof(call->why), "another process holds the lock of a "
                         "record, and did not give it back in time: %s", backend->path);
            return APR_TIMEUP;
        }
        file_pause(&most, left);
    }
    return APR_SUCCESS;
}

/* Whoever waited may hold the lock of a file that was replaced, or removed, meanwhile. */
static int file_is_current(const file_locked_t *at, int leaf, const char *name)
{
    struct stat named;

    return fstatat(leaf, name, &named, AT_SYMLINK_NOFOLLOW) == 0
           && named.st_ino == at->about.st_ino && named.st_dev == at->about.st_dev;
}

static apr_status_t file_lock_until(file_locked_t *at, apr_time_t end,
                                    const bsession_backend_t *backend, int leaf, const char *name,
                                    bsession_call_t *call)
{
    for (;;) {
        apr_status_t status = file_record_open_in(&at->file, &at->about, backend, leaf, name, call);

        if (status != APR_SUCCESS) {
            return status;
        }
        status = file_flock(at->file, end, backend, call);
        if (status != APR_SUCCESS) {
            close(at->file);
            return status;
        }
        if (file_is_current(at, leaf, name)) {
            break;
        }
        file_unlock(at);
        if (file_monotonic() >= end) {
            apr_snprintf(call->why, sizeof(call->why), "others changed a record again and again, "
                         "and no turn came in time: %s", backend->path);
            return APR_TIMEUP;
        }
    }
    /* a touch may have come since the file was opened */
    if (fstat(at->file, &at->about) != 0) {
        file_unlock(at);
        return file_outage(backend, "a record cannot be looked at", call);
    }
    return APR_SUCCESS;
}

apr_status_t file_lock(file_locked_t *at, const bsession_backend_t *backend, int leaf,
                       const char *name, bsession_call_t *call)
{
    apr_time_t end = file_monotonic() + call->deadline - apr_time_now();

    return file_lock_until(at, end, backend, leaf, name, call);
}

apr_status_t file_trylock(file_locked_t *at, const bsession_backend_t *backend, int leaf,
                          const char *name, bsession_call_t *call)
{
    return file_lock_until(at, 0, backend, leaf, name, call);
}

/* Said aloud, for another thread of this process may have forked a program meanwhile, which has a
 * copy of the descriptor until it is run. */
void file_unlock(file_locked_t *at)
{
    flock(at->file, LOCK_UN);
    close(at->file);
}
