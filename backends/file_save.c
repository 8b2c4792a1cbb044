/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "file_save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "file_directory.h"
#include "file_lock.h"
#include "file_record.h"

/* One save under way. */
typedef struct {
    bsession_backend_t    *backend;
    const bsession_key_t  *key;
    const bsession_save_t *save;
    bsession_call_t       *call;
    int                    leaf;                /* the directory, */
    char                   name[BSESSION_KEY_TEXT_SIZE];
    char                   temporary[40];       /* and the two names in it */
    apr_size_t             size;                /* of the file */
} file_saving_t;

/* ------------------------------------------------------------------ what may be saved */

static int file_is_new(const bsession_save_t *save)
{
    return save->mode == BSESSION_CREATE || save->mode == BSESSION_PUT;
}

/* A revision of 0 says "any" to remove, and only what is stored can be kept. */
static const char *file_save_wrong(const bsession_save_t *save)
{
    if (save->base == 0 || (!file_is_new(save) && save->base == APR_UINT64_MAX)) {
        return "a save of an impossible revision";
    }
    if (file_is_new(save) && save->record->expires == BSESSION_KEEP) {
        return "a new record cannot keep a life";
    }
    return NULL;
}

static int file_over_limits(const bsession_backend_t *backend, const bsession_save_t *save)
{
    const bsession_fields_t *fields = &save->record->fields;

    return backend->services->record_size(save->record) > FILE_LARGEST
           || (save->max_bytes && bsession_fields_bytes(fields) > save->max_bytes)
           || (save->max_fields && (apr_size_t)fields->count > save->max_fields);
}

/* A save may prolong a life and not shorten it: a touch may have come since its record was
 * loaded. */
static apr_time_t file_later_end(apr_time_t wanted, apr_time_t stored)
{
    if (wanted == BSESSION_KEEP || stored == 0 || (wanted != 0 && wanted < stored)) {
        return stored;
    }
    return wanted;
}

/* ------------------------------------------------------------------ the new file */

/* 0 would be a life without an end, also where a file system keeps whole seconds only. */
int file_set_end(int file, apr_time_t end)
{
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

    if (end != 0) {
        end = end > FILE_FAR ? FILE_FAR : end < APR_USEC_PER_SEC ? APR_USEC_PER_SEC : end;
        times[1].tv_sec = (time_t)apr_time_sec(end);
        times[1].tv_nsec = (long)apr_time_usec(end) * 1000;
    }
    return futimens(file, times);
}

int file_sync_leaf(const bsession_backend_t *backend, int leaf)
{
    return backend->sync ? fsync(leaf) : 0;
}

static int file_write_all(int file, const char *from, apr_size_t size)
{
    while (size) {
        ssize_t part = write(file, from, size);

        if (part < 0 && errno != EINTR) {
            return -1;
        }
        if (part > 0) {
            from += part;
            size -= (apr_size_t)part;
        }
    }
    return 0;
}

/* A name that nobody else uses; processes of two containers may have the same number. */
static int file_temporary_open(file_saving_t *at)
{
    int file;

    do {
        apr_uint32_t number = __atomic_fetch_add(&at->backend->temporaries, 1, __ATOMIC_RELAXED);

        apr_snprintf(at->temporary, sizeof(at->temporary), FILE_TEMPORARY "%lx.%x", (long)getpid(),
                     number);
        file = openat(at->leaf, at->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                      0600);
    } while (file < 0 && errno == EEXIST);
    return file;
}

/* The life is a part of the record, and so fsync and not fdatasync, which may leave out the
 * time. Root saves only while httpd starts, for others. */
static int file_fill(const file_saving_t *at, int file, const char *image, apr_time_t end)
{
    const bsession_backend_t *backend = at->backend;

    if (file_write_all(file, image, at->size) != 0
        || (backend->mode != 0600 && fchmod(file, backend->mode) != 0)
        || (geteuid() != backend->owner && fchown(file, backend->owner, backend->group) != 0)
        || file_set_end(file, end) != 0) {
        return -1;
    }
    return backend->sync ? fsync(file) : 0;
}

static void file_temporary_drop(const file_saving_t *at)
{
    int error = errno;

    unlinkat(at->leaf, at->temporary, 0);
    errno = error;
}

static apr_status_t file_temporary_write(file_saving_t *at, apr_uint64_t revision, apr_time_t end)
{
    char *image = file_image(at->backend, at->key, at->save->record, revision, end, &at->size,
                             at->call->pool);
    int file = file_temporary_open(at), failed;

    if (file < 0) {
        return file_outage(at->backend, "a record cannot be written", at->call);
    }
    failed = file_fill(at, file, image, end);
    if (failed) {
        file_temporary_drop(at);
    }
    if (close(file) != 0 && !failed) {
        file_temporary_drop(at);
        failed = -1;
    }
    return failed ? file_outage(at->backend, "a record cannot be written", at->call) : APR_SUCCESS;
}

/* ------------------------------------------------------------------ its place */

/* Over what is there, whose lock is held; `old` is its size. */
static apr_status_t file_move(const file_saving_t *at, apr_int64_t old)
{
    if (renameat(at->leaf, at->temporary, at->leaf, at->name) != 0) {
        return file_outage(at->backend, "a record cannot be moved to its place", at->call);
    }
    file_counts(at->backend, 0, (apr_int64_t)at->size - old);
    return APR_SUCCESS;
}

/* Where something is there already: a create takes the place of what is over, a put of anything. */
static apr_status_t file_move_over(const file_saving_t *at)
{
    int any = at->save->mode == BSESSION_PUT;
    file_locked_t old;
    apr_status_t status = file_lock(&old, at->backend, at->leaf, at->name, at->call);

    if (status == BSESSION_ECORRUPT) {
        return any ? file_move(at, 0) : APR_EEXIST;
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    status = any || file_is_over(&old.about, apr_time_now()) ? file_move(at, old.about.st_size)
                                                             : APR_EEXIST;
    file_unlock(&old);
    return status;
}

/* A link says whether the name was free, which a rename does not. What was there may be gone by the
 * time that it is to be locked, and then the name is free again. */
static apr_status_t file_place(const file_saving_t *at)
{
    apr_status_t status;

    do {
        if (linkat(at->leaf, at->temporary, at->leaf, at->name, 0) == 0) {
            file_temporary_drop(at);
            file_counts(at->backend, 1, (apr_int64_t)at->size);
            return APR_SUCCESS;
        }
        if (errno != EEXIST) {
            return file_outage(at->backend, "a record cannot be linked to its place", at->call);
        }
        status = file_move_over(at);
    } while (status == APR_NOTFOUND);
    return status;
}

static apr_status_t file_save_new(file_saving_t *at)
{
    apr_status_t status = file_temporary_write(at, at->save->base, at->save->record->expires);

    if (status != APR_SUCCESS) {
        return status;
    }
    status = file_place(at);
    if (status != APR_SUCCESS) {
        file_temporary_drop(at);
    }
    return status;
}

/* Under the lock of what is stored: its revision is compared, and its life is kept. */
static apr_status_t file_save_locked(file_saving_t *at, const file_locked_t *old)
{
    file_head_t head;
    apr_status_t status;

    if (file_is_over(&old->about, apr_time_now())) {
        return APR_NOTFOUND;
    }
    if ((status = file_head_read(&head, old->file)) != APR_SUCCESS) {
        return status == BSESSION_ECORRUPT ? status
             : file_outage(at->backend, "a record cannot be read", at->call);
    }
    if (head.revision != at->save->base) {
        return APR_EMISMATCH;
    }
    status = file_temporary_write(at, at->save->base + 1,
                                  file_later_end(at->save->record->expires,
                                                 file_head_end(&head, &old->about)));
    if (status != APR_SUCCESS) {
        return status;
    }
    status = file_move(at, old->about.st_size);
    if (status != APR_SUCCESS) {
        file_temporary_drop(at);
    }
    return status;
}

static apr_status_t file_save_over(file_saving_t *at)
{
    file_locked_t old;
    apr_status_t status = file_lock(&old, at->backend, at->leaf, at->name, at->call);

    if (status == APR_SUCCESS) {
        status = file_save_locked(at, &old);
        file_unlock(&old);
    }
    return status;
}

apr_status_t file_save(bsession_backend_t *backend, const bsession_key_t *key,
                       const bsession_save_t *save, bsession_saved_t *saved, bsession_call_t *call)
{
    file_saving_t at = { .backend = backend, .key = key, .save = save, .call = call };
    const char *wrong = file_save_wrong(save);
    apr_status_t status;

    if (wrong) {
        apr_cpystrn(call->why, wrong, sizeof(call->why));
        return APR_EINVAL;
    }
    if (file_over_limits(backend, save)) {
        return APR_ENOSPC;
    }
    backend->services->key_text(key, at.name);
    status = file_root_check(backend, call);
    if (status == APR_SUCCESS) {
        status = file_leaf_open(&at.leaf, backend, file_leaf_of(key), file_is_new(save), call);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    status = file_is_new(save) ? file_save_new(&at) : file_save_over(&at);
    if (status == APR_SUCCESS && file_sync_leaf(backend, at.leaf) != 0) {
        status = file_outage(backend, "a record cannot be made durable", call);
    }
    close(at.leaf);
    if (status == APR_SUCCESS) {
        saved->revision = save->base + (file_is_new(save) ? 0 : 1);
    }
    return status;
}
