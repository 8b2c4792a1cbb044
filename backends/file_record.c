/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "file_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SYS_openat2
#include <linux/openat2.h>
#endif

#include <apr_strings.h>

#include "file_directory.h"

/* A pipe that somebody has put there must not be waited for. */
#define FILE_AS_RECORD (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static const char file_magic[8] = { 'b', 's', 'e', 's', 's', 'i', 'o', '1' };

/* ------------------------------------------------------------------ content */

/* Finds damage, not forgery. Each step can be undone, so that one changed word always shows. */
static apr_uint64_t file_mix(apr_uint64_t sum, const void *bytes, apr_size_t size)
{
    const unsigned char *at = bytes;

    while (size) {
        apr_size_t part = size < sizeof(sum) ? size : sizeof(sum);
        apr_uint64_t word = 0;

        memcpy(&word, at, part);
        sum = (sum ^ word) * APR_UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 32;
        at += part;
        size -= part;
    }
    return sum;
}

/* The key is in it, so that a file that was moved to another name is none. */
static apr_uint64_t file_sum(const file_head_t *head, const bsession_key_t *key, const void *bytes)
{
    apr_uint64_t sum = file_mix((unsigned char)key->space, key->bytes, sizeof(key->bytes));

    sum = file_mix(sum, head, offsetof(file_head_t, check));
    return file_mix(sum, bytes, head->size);
}

void *file_image(const bsession_backend_t *backend, const bsession_key_t *key,
                 const bsession_record_t *record, apr_uint64_t revision, apr_time_t expires,
                 apr_size_t *size, apr_pool_t *pool)
{
    file_head_t head = { .revision = revision, .expires = expires,
                         .size = backend->services->record_size(record) };
    char *image = apr_palloc(pool, sizeof(head) + head.size);

    memcpy(head.magic, file_magic, sizeof(file_magic));
    backend->services->record_write(record, image + sizeof(head));
    head.check = file_sum(&head, key, image + sizeof(head));
    memcpy(image, &head, sizeof(head));
    *size = sizeof(head) + head.size;
    return image;
}

static apr_ssize_t file_read_all(int file, char *to, apr_size_t size)
{
    apr_size_t done = 0;

    while (done < size) {
        ssize_t part = read(file, to + done, size - done);

        if (part < 0 && errno == EINTR) {
            continue;
        }
        if (part <= 0) {
            return part < 0 ? -1 : (apr_ssize_t)done;
        }
        done += (apr_size_t)part;
    }
    return (apr_ssize_t)done;
}

static int file_head_is_ours(const file_head_t *head)
{
    return memcmp(head->magic, file_magic, sizeof(file_magic)) == 0 && head->revision != 0;
}

apr_time_t file_head_end(const file_head_t *head, const struct stat *about)
{
    apr_time_t end = file_end(about);

    return end == FILE_FAR && head->expires > end ? head->expires : end;
}

apr_status_t file_head_read(file_head_t *head, int file)
{
    apr_ssize_t got = file_read_all(file, (char *)head, sizeof(*head));

    if (got < 0) {
        return APR_EGENERAL;
    }
    return got == (apr_ssize_t)sizeof(*head) && file_head_is_ours(head) ? APR_SUCCESS
                                                                        : BSESSION_ECORRUPT;
}

apr_status_t file_record_read(bsession_record_t *record, int file, const struct stat *about,
                              const bsession_backend_t *backend, const bsession_key_t *key,
                              bsession_call_t *call)
{
    apr_size_t size = (apr_size_t)about->st_size;
    file_head_t head;
    apr_status_t status;
    apr_ssize_t got;
    char *image;

    if (about->st_size < (off_t)sizeof(head) || size - sizeof(head) > FILE_LARGEST) {
        return BSESSION_ECORRUPT;
    }
    image = apr_palloc(call->pool, size);
    if ((got = file_read_all(file, image, size)) < 0) {
        return file_outage(backend, "a record cannot be read", call);
    }
    memcpy(&head, image, sizeof(head));
    if ((apr_size_t)got != size || !file_head_is_ours(&head) || head.size != size - sizeof(head)
        || head.check != file_sum(&head, key, image + sizeof(head))) {
        return BSESSION_ECORRUPT;
    }
    status = backend->services->record_read(record, image + sizeof(head), head.size, call->pool);
    record->revision = head.revision;
    record->expires = file_head_end(&head, about);
    return status;
}

/* ------------------------------------------------------------------ opening */

/* A record is a plain file of ours that nobody else can have written. */
static apr_status_t file_look(int *file, struct stat *about, const bsession_backend_t *backend,
                              bsession_call_t *call)
{
    apr_status_t status = APR_SUCCESS;

    if (fstat(*file, about) != 0) {
        status = file_outage(backend, "a record cannot be looked at", call);
    }
    else if (!S_ISREG(about->st_mode) || about->st_uid != backend->owner
             || (about->st_mode & (S_IWGRP | S_IWOTH))) {
        status = BSESSION_ECORRUPT;
    }
    if (status != APR_SUCCESS) {
        close(*file);
    }
    return status;
}

apr_status_t file_record_open_in(int *file, struct stat *about, const bsession_backend_t *backend,
                                 int leaf, const char *name, bsession_call_t *call)
{
    *file = openat(leaf, name, FILE_AS_RECORD);
    if (*file >= 0) {
        return file_look(file, about, backend, call);
    }
    switch (errno) {
    case ENOENT:
        return APR_NOTFOUND;
    case ELOOP:                         /* a link, */
    case ENXIO:                         /* a socket, */
    case EACCES:                        /* somebody else's */
        return BSESSION_ECORRUPT;
    default:
        return file_outage(backend, "a record cannot be opened", call);
    }
}

/* In one call, where the system can refuse links all along a path; ENOSYS or EPERM elsewhere. */
static int file_open_path(const bsession_backend_t *backend, const char *name)
{
#ifdef SYS_openat2
    struct open_how how = { .flags = FILE_AS_RECORD,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    char path[6 + BSESSION_KEY_TEXT_SIZE];

    path[0] = name[1];
    path[1] = path[4] = '/';
    memcpy(path + 2, name + 2, 2);
    memcpy(path + 5, name, BSESSION_KEY_TEXT_SIZE);
    return (int)syscall(SYS_openat2, backend->root, path, &how, sizeof(how));
#else
    (void)backend;
    (void)name;
    errno = ENOSYS;
    return -1;
#endif
}

apr_status_t file_record_open(int *file, struct stat *about, bsession_backend_t *backend,
                              const bsession_key_t *key, bsession_call_t *call)
{
    char name[BSESSION_KEY_TEXT_SIZE];
    apr_status_t status;
    int leaf;

    backend->services->key_text(key, name);
    *file = file_open_path(backend, name);
    if (*file >= 0) {
        return file_look(file, about, backend, call);
    }
    if (errno == ENOENT) {
        return APR_NOTFOUND;
    }
    status = file_leaf_open(&leaf, backend, file_leaf_of(key), 0, call);
    if (status == APR_SUCCESS) {
        status = file_record_open_in(file, about, backend, leaf, name, call);
        close(leaf);
    }
    return status;
}
