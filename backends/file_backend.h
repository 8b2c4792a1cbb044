/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file file_backend.h
 * @brief What the parts of the file store share: the backend, and what all children know of it.
 */
#ifndef FILE_BACKEND_H
#define FILE_BACKEND_H

#include <sys/stat.h>
#include <sys/types.h>

#include "bsession_provider.h"

/** The directories that hold records: 16 with 256 each. */
#define FILE_LEAVES  4096u

/** How many ends of life the sweeper remembers of a round, to know which are the oldest. */
#define FILE_SAMPLE  512u

/** File systems end at different times, some of them in 2446. A life that ends after this (in
 *  2400) has this as its file's time, and its end in the record's head. */
#define FILE_FAR     (APR_INT64_C(13569465600) * APR_USEC_PER_SEC)

/** Memory that the children share, and that outlives graceful restarts: only numbers, and nothing
 *  that a killed process could leave broken. Where another httpd uses the directory, too, each
 *  counts for itself; every round of sweeping counts anew. */
typedef struct {
    apr_time_t   sweeper;           /* until when somebody is at it; 0: nobody */
    apr_uint32_t at;                /* the directory to be swept next */
    apr_int32_t  known;             /* a whole round has counted */
    apr_int64_t  records, bytes;    /* by the last round, and by what was made and removed since */
    apr_uint64_t swept, evicted;
    /* of the round that is under way: */
    apr_int64_t  counted, weighed;
    apr_uint64_t evictable;         /* sessions and what is cached; not leases, not users */
    apr_uint32_t sampled;
    apr_time_t   sample[FILE_SAMPLE];
    /* what the last round says should go, beyond the threshold: so many, and none later than
     * this */
    apr_uint64_t excess;
    apr_time_t   oldest;
} file_shared_t;

struct bsession_backend_t {
    const char                *name;
    const char                *path;
    const bsession_services_t *services;
    apr_uint64_t               threshold;
    mode_t                     mode;            /* of a record's file */
    mode_t                     directory_mode;  /* to be walked by whom `mode` lets read */
    int                        sync;
    uid_t                      owner;           /* of the directory and all that is in it */
    gid_t                      group;
    pid_t                      opened_by;
    int                        root;            /* the directory */
    apr_time_t                 checked;         /* when this process last looked whose it is, */
    apr_time_t                *leaves_checked;  /* and whose each of those in it are */
    apr_uint32_t               temporaries;     /* that this process has made */
    file_shared_t             *shared;
};

/** Atomic: how the store changed by one call. */
static inline void file_counts(const bsession_backend_t *backend, apr_int64_t records,
                               apr_int64_t bytes)
{
    __atomic_fetch_add(&backend->shared->records, records, __ATOMIC_RELAXED);
    __atomic_fetch_add(&backend->shared->bytes, bytes, __ATOMIC_RELAXED);
}

/** When a life ends, by the file; 0 = never. To the microsecond, where the file system keeps
 *  that. */
static inline apr_time_t file_end(const struct stat *file)
{
    apr_int64_t seconds = file->st_mtim.tv_sec;

    if (seconds >= FILE_FAR / APR_USEC_PER_SEC) {
        return FILE_FAR;
    }
    return seconds < 0 ? 1 : seconds * APR_USEC_PER_SEC + file->st_mtim.tv_nsec / 1000;
}

static inline int file_is_over(const struct stat *file, apr_time_t now)
{
    apr_time_t end = file_end(file);

    return end != 0 && end <= now;
}

#endif
