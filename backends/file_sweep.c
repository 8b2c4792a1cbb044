/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "file_sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "file_directory.h"
#include "file_lock.h"
#include "file_save.h"
#include "file_scan.h"

#define FILE_SWEEP_TIME     (50 * 1000)
/* A sweeper that was killed holds the place no longer than this. */
#define FILE_SWEEPER_SLACK  apr_time_from_sec(1)
/* A file that is not a record yet is old when no save can still be at it. */
#define FILE_TEMPORARY_LIFE apr_time_from_sec(3600)

/* One slice. */
typedef struct {
    bsession_backend_t *backend;
    bsession_call_t    *call;
    apr_time_t          now, until;
    apr_uint64_t        evicted;
    apr_uint64_t        random;
    int                 leaf, dropped;          /* of the directory it is at: */
    apr_int64_t         counted, weighed;
    apr_uint64_t        evictable;
} file_slice_t;

static int file_time_is_up(const file_slice_t *slice)
{
    return apr_time_now() >= slice->until;
}

/* ------------------------------------------------------------------ one file */

static apr_time_t file_changed(const struct stat *file)
{
    return (apr_time_t)file->st_ctim.tv_sec * APR_USEC_PER_SEC + file->st_ctim.tv_nsec / 1000;
}

/* The order in which live records go beyond the threshold: who ends first, and then, of those
 * without an end, who was not changed for longest. */
static apr_time_t file_rank(const struct stat *file)
{
    apr_time_t end = file_end(file);

    return end != 0 ? end : FILE_FAR + file_changed(file);
}

/* Under its lock, if it is still what it was when it was looked at. Who has the lock is using
 * it. */
static int file_drop(file_slice_t *slice, const char *name, const struct stat *seen)
{
    bsession_call_t call = *slice->call;        /* what is wrong with one file is no matter */
    file_locked_t at;
    int dropped;

    if (file_trylock(&at, slice->backend, slice->leaf, name, &call) != APR_SUCCESS) {
        return 0;
    }
    dropped = at.about.st_ino == seen->st_ino && file_end(&at.about) == file_end(seen)
              && unlinkat(slice->leaf, name, 0) == 0;
    file_unlock(&at);
    slice->dropped += dropped;
    return dropped;
}

/* Each of them is in the sample with the same chance. */
static void file_sample(file_slice_t *slice, apr_time_t rank)
{
    file_shared_t *shared = slice->backend->shared;
    apr_uint64_t place = shared->evictable + slice->evictable++;
    apr_uint32_t sampled = __atomic_load_n(&shared->sampled, __ATOMIC_RELAXED);

    if (sampled < FILE_SAMPLE) {
        shared->sample[sampled] = rank;
        __atomic_store_n(&shared->sampled, sampled + 1, __ATOMIC_RELAXED);
        return;
    }
    slice->random = slice->random * APR_UINT64_C(6364136223846793005) + 1442695040888963407u;
    place = (slice->random >> 16) % (place + 1);
    if (place < FILE_SAMPLE) {
        shared->sample[place] = rank;
    }
}

static void file_sweep_record(file_slice_t *slice, const char *name, const struct stat *file)
{
    file_shared_t *shared = slice->backend->shared;
    int evictable = name[0] == 's' || name[0] == 'c';
    apr_time_t rank = file_rank(file);

    if (file_is_over(file, slice->now)) {
        if (file_drop(slice, name, file)) {
            __atomic_fetch_add(&shared->swept, 1, __ATOMIC_RELAXED);
            return;
        }
    }
    else if (evictable && shared->excess && rank <= shared->oldest
             && file_drop(slice, name, file)) {
        shared->excess--;
        slice->evicted++;
        __atomic_fetch_add(&shared->evicted, 1, __ATOMIC_RELAXED);
        return;
    }
    slice->counted++;
    slice->weighed += file->st_size;
    if (evictable) {
        file_sample(slice, rank);
    }
}

/* Of a file that is not a record yet the time of modification says nothing. */
static void file_sweep_entry(file_slice_t *slice, const char *name)
{
    int temporary = strncmp(name, FILE_TEMPORARY, sizeof(FILE_TEMPORARY) - 1) == 0;
    bsession_key_t key;
    struct stat file;

    if ((!temporary && !file_key_read(&key, name))
        || fstatat(slice->leaf, name, &file, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(file.st_mode)) {
        return;
    }
    if (!temporary) {
        file_sweep_record(slice, name, &file);
    }
    else if (file_changed(&file) < slice->now - FILE_TEMPORARY_LIFE) {
        unlinkat(slice->leaf, name, 0);
    }
}

/* ------------------------------------------------------------------ directories and rounds */

/* 0 where the time was up before its end; what was dropped until then is the way that was made. */
static int file_sweep_list(file_slice_t *slice, DIR *list)
{
    struct dirent *entry;

    while ((entry = readdir(list)) != NULL) {
        if (slice->dropped && file_time_is_up(slice)) {
            return 0;
        }
        file_sweep_entry(slice, entry->d_name);
    }
    return 1;
}

static apr_status_t file_sweep_leaf(file_slice_t *slice)
{
    file_shared_t *shared = slice->backend->shared;
    apr_status_t status;
    DIR *list;
    int all = 0;

    slice->dropped = 0;
    slice->counted = slice->weighed = 0;
    slice->evictable = 0;
    status = file_leaf_open(&slice->leaf, slice->backend, shared->at, 0, slice->call);
    if (status == APR_NOTFOUND) {
        shared->at++;
        return APR_SUCCESS;
    }
    if (status != APR_SUCCESS) {
        shared->at++;                   /* one that cannot be opened does not stop the others */
        return status;
    }
    if ((list = fdopendir(slice->leaf)) != NULL) {
        all = file_sweep_list(slice, list);
        closedir(list);
    }
    else {
        status = file_outage(slice->backend, "a directory in it cannot be read", slice->call);
        close(slice->leaf);
    }
    if (all || status != APR_SUCCESS) {
        shared->counted += slice->counted;
        shared->weighed += slice->weighed;
        shared->evictable += slice->evictable;
        shared->at++;
    }
    return status;
}

static int file_time_order(const void *one, const void *other)
{
    apr_time_t a = *(const apr_time_t *)one, b = *(const apr_time_t *)other;

    return a < b ? -1 : a > b;
}

/* How many are too many, and by the sample which of them: exact while all of them are in it. Each
 * number is read once: a sweeper who was stopped for longer than he has may be at them, too. */
static void file_round_judge(const bsession_backend_t *backend)
{
    file_shared_t *shared = backend->shared;
    apr_uint64_t evictable = __atomic_load_n(&shared->evictable, __ATOMIC_RELAXED), excess;
    apr_uint32_t sampled = __atomic_load_n(&shared->sampled, __ATOMIC_RELAXED);

    shared->excess = 0;
    if (backend->threshold == 0 || evictable <= backend->threshold || sampled == 0) {
        return;
    }
    excess = evictable - backend->threshold;
    qsort(shared->sample, sampled, sizeof(*shared->sample), file_time_order);
    shared->oldest = shared->sample[(excess * sampled + evictable - 1) / evictable - 1];
    shared->excess = excess;
}

static void file_round_end(const bsession_backend_t *backend)
{
    file_shared_t *shared = backend->shared;

    __atomic_store_n(&shared->records, shared->counted, __ATOMIC_RELAXED);
    __atomic_store_n(&shared->bytes, shared->weighed, __ATOMIC_RELAXED);
    __atomic_store_n(&shared->known, 1, __ATOMIC_RELAXED);
    file_round_judge(backend);
    shared->at = 0;
    shared->counted = shared->weighed = 0;
    shared->evictable = 0;
    shared->sampled = 0;
}

/* To the end of the round, and, where that found too many, through another one that drops them.
 * What is wrong with a directory keeps nobody from the others. */
static apr_status_t file_sweep_on(file_slice_t *slice)
{
    file_shared_t *shared = slice->backend->shared;
    apr_status_t status = APR_SUCCESS;
    int rounds = 0;

    while (!file_time_is_up(slice)) {
        apr_status_t one = file_sweep_leaf(slice);

        if (one != APR_SUCCESS) {
            status = one;
        }
        if (shared->at >= FILE_LEAVES) {
            file_round_end(slice->backend);
            if (!shared->excess || ++rounds == 2) {
                return status;
            }
        }
    }
    return APR_INCOMPLETE;
}

/* One at a time. */
static int file_sweeper_enter(file_shared_t *shared, apr_time_t now, apr_time_t until)
{
    apr_time_t other = __atomic_load_n(&shared->sweeper, __ATOMIC_ACQUIRE);

    if (other > now && other < until + FILE_SWEEPER_SLACK + FILE_SWEEP_TIME) {
        return 0;
    }
    return __atomic_compare_exchange_n(&shared->sweeper, &other, until + FILE_SWEEPER_SLACK, 0,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

apr_status_t file_sweep(bsession_backend_t *backend, apr_time_t now, bsession_call_t *call)
{
    apr_time_t began = apr_time_now();
    file_slice_t slice = { .backend = backend, .call = call, .now = now,
                           .until = began + FILE_SWEEP_TIME, .random = (apr_uint64_t)began };
    apr_status_t status;

    slice.until = slice.until < call->deadline ? slice.until : call->deadline;
    if (!file_sweeper_enter(backend->shared, began, slice.until)) {
        return APR_SUCCESS;
    }
    status = file_root_check(backend, call);
    if (status == APR_SUCCESS) {
        status = file_sweep_on(&slice);
    }
    __atomic_store_n(&backend->shared->sweeper, 0, __ATOMIC_RELEASE);
    if ((status == APR_SUCCESS || status == APR_INCOMPLETE) && slice.evicted) {
        apr_snprintf(call->why, sizeof(call->why), "it holds more than threshold=%" APR_UINT64_T_FMT
                     " records: live ones were dropped", backend->threshold);
    }
    return status;
}
