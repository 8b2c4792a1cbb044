/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "file_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <apr_strings.h>

#define FILE_CHECK_EVERY  APR_USEC_PER_SEC
#define FILE_AS_DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define FILE_NOT_OWNERS   (S_IWGRP | S_IWOTH)
#define FILE_ROOT         "the directory"

/* ------------------------------------------------------------------ sentences */

static const char *file_errno_text(int error, const bsession_backend_t *backend, char *text,
                                   apr_size_t size)
{
    struct statvfs system;

    switch (error) {
    case ENOSPC:
        if (fstatvfs(backend->root, &system) == 0 && system.f_files && system.f_favail == 0) {
            return "its file system has no inodes left";
        }
        return "its file system is full";
    case EDQUOT:
        return "the quota of httpd's user is used up";
    case EFBIG:
        return "a file may not be so large; raise ulimit -f";
    case EROFS:
        return "its file system is read-only";
    case EACCES:
    case EPERM:
        return "permission denied; all in it must belong to httpd's user";
    case ELOOP:
    case ENOTDIR:
        return "a link or file stands in the way";
    case EMFILE:
    case ENFILE:
        return "too many open files; raise ulimit -n";
    default:
        return apr_strerror(error, text, size);
    }
}

apr_status_t file_outage(const bsession_backend_t *backend, const char *done, bsession_call_t *call)
{
    int full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EROFS;
    char text[64];
    const char *reason = file_errno_text(errno, backend, text, sizeof(text));

    apr_snprintf(call->why, sizeof(call->why), "%s: %s: %s", done, reason, backend->path);
    return full ? BSESSION_EFULL : APR_EGENERAL;
}

/* ------------------------------------------------------------------ the store's directory */

/* Why a directory cannot be trusted; APR_SUCCESS where it can. */
static apr_status_t file_distrust(const bsession_backend_t *backend, const struct stat *directory,
                                  const char *what, bsession_call_t *call)
{
    if (directory->st_uid != backend->owner) {
        apr_snprintf(call->why, sizeof(call->why), "%s belongs to user %ld, not to httpd's, %ld: "
                     "%s", what, (long)directory->st_uid, (long)backend->owner, backend->path);
        return APR_EGENERAL;
    }
    if (directory->st_mode & FILE_NOT_OWNERS) {
        apr_snprintf(call->why, sizeof(call->why), "others can write in %s, its mode is %04o: %s",
                     what, (unsigned)directory->st_mode & 07777u, backend->path);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

static int file_is_empty(int directory)
{
    int copy = openat(directory, ".", FILE_AS_DIRECTORY), entries = 0;
    DIR *list = copy < 0 ? NULL : fdopendir(copy);

    if (!list) {
        return 0;
    }
    while (readdir(list)) {
        entries++;
    }
    closedir(list);
    return entries <= 2;                /* . and .. */
}

/* That its own name is durable is as needed as all that is in it. */
static apr_status_t file_root_made(const bsession_backend_t *backend, bsession_call_t *call)
{
    int parent = backend->sync ? openat(backend->root, "..", FILE_AS_DIRECTORY) : -1;
    int failed = fchmod(backend->root, backend->directory_mode) != 0
                 || (backend->sync && (parent < 0 || fsync(parent) != 0));
    apr_status_t status = failed ? file_outage(backend, "the directory cannot be made", call)
                                 : APR_SUCCESS;

    if (parent >= 0) {
        close(parent);
    }
    return status;
}

/* Root gives away what it made, or what somebody made for the purpose: a directory of root's with
 * something in it may be any. */
static apr_status_t file_root_give(const bsession_backend_t *backend, struct stat *directory,
                                   bsession_call_t *call)
{
    if (directory->st_uid == backend->owner || directory->st_uid != 0 || geteuid() != 0
        || !file_is_empty(backend->root)) {
        return APR_SUCCESS;
    }
    if (fchown(backend->root, backend->owner, backend->group) != 0
        || fstat(backend->root, directory) != 0) {
        return file_outage(backend, "it cannot be given to httpd's user", call);
    }
    return APR_SUCCESS;
}

apr_status_t file_root_open(bsession_backend_t *backend, bsession_call_t *call)
{
    int made = mkdir(backend->path, backend->directory_mode) == 0;
    struct stat directory;
    apr_status_t status = APR_SUCCESS;

    backend->root = -1;
    if (!made && errno == ENOENT) {
        apr_snprintf(call->why, sizeof(call->why), "there is no directory to make it in: %s",
                     backend->path);
        return APR_ENOENT;
    }
    backend->root = open(backend->path, FILE_AS_DIRECTORY);
    if (backend->root < 0 || fstat(backend->root, &directory) != 0) {
        return file_outage(backend, "the directory cannot be opened", call);
    }
    if (made) {
        status = file_root_made(backend, call);
    }
    if (status == APR_SUCCESS) {
        status = file_root_give(backend, &directory, call);
    }
    return status == APR_SUCCESS ? file_distrust(backend, &directory, FILE_ROOT, call) : status;
}

/* The directory was removed or moved, and perhaps there is one of its name again. The handle keeps
 * its number, which other threads are using. */
static apr_status_t file_root_again(bsession_backend_t *backend, bsession_call_t *call)
{
    int root = open(backend->path, FILE_AS_DIRECTORY);
    struct stat directory;
    apr_status_t status;

    if (root < 0 || fstat(root, &directory) != 0) {
        status = file_outage(backend, "the directory was removed or moved", call);
    }
    else {
        status = file_distrust(backend, &directory, FILE_ROOT, call);
    }
    if (status == APR_SUCCESS && dup3(root, backend->root, O_CLOEXEC) < 0) {
        status = file_outage(backend, "the directory cannot be opened again", call);
    }
    if (root >= 0) {
        close(root);
    }
    return status;
}

/* What is saved in a directory that has moved away is found by nobody who starts. Where the path is
 * closed to the children, as what root has opened for them may be, they cannot tell. */
static int file_root_is_gone(const bsession_backend_t *backend, const struct stat *directory)
{
    struct stat there;

    if (directory->st_nlink == 0) {
        return 1;
    }
    if (lstat(backend->path, &there) != 0) {
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
    }
    return there.st_dev != directory->st_dev || there.st_ino != directory->st_ino;
}

apr_status_t file_root_check(bsession_backend_t *backend, bsession_call_t *call)
{
    struct stat directory;

    if (fstat(backend->root, &directory) != 0) {
        return file_outage(backend, "the directory cannot be looked at", call);
    }
    return file_root_is_gone(backend, &directory)
         ? file_root_again(backend, call) : file_distrust(backend, &directory, FILE_ROOT, call);
}

/* A clock that was set back is no reason to believe what was seen in its future. */
static int file_is_recent(const apr_time_t *checked, apr_time_t now)
{
    apr_time_t since = now - __atomic_load_n(checked, __ATOMIC_RELAXED);

    return since >= 0 && since < FILE_CHECK_EVERY;
}

static apr_status_t file_root_check_again(bsession_backend_t *backend, apr_time_t now,
                                          bsession_call_t *call)
{
    apr_status_t status;

    if (file_is_recent(&backend->checked, now)) {
        return APR_SUCCESS;
    }
    status = file_root_check(backend, call);
    __atomic_store_n(&backend->checked, status == APR_SUCCESS ? now : 0, __ATOMIC_RELAXED);
    return status;
}

/* ------------------------------------------------------------------ the directories in it */

unsigned file_leaf_of(const bsession_key_t *key)
{
    return (unsigned)key->bytes[0] << 4 | key->bytes[1] >> 4;
}

/* The modes are set after the fact, for the umask may take some away. */
static int file_level_make(const bsession_backend_t *backend, int above, const char *name)
{
    int level;

    if (mkdirat(above, name, 0700) != 0 && errno != EEXIST) {
        return -1;
    }
    level = openat(above, name, FILE_AS_DIRECTORY);
    if (level >= 0 && ((backend->directory_mode != 0700
                        && fchmod(level, backend->directory_mode) != 0)
                       || (geteuid() != backend->owner
                           && fchown(level, backend->owner, backend->group) != 0))) {
        close(level);
        return -1;
    }
    return level;
}

static apr_status_t file_level_open(int *level, const bsession_backend_t *backend, int above,
                                    const char *name, int *make, bsession_call_t *call)
{
    struct stat directory;
    apr_status_t status = APR_SUCCESS;

    *level = openat(above, name, FILE_AS_DIRECTORY);
    if (*level >= 0) {
        *make = 0;
    }
    else if (errno == ENOENT) {
        if (!*make) {
            return APR_NOTFOUND;
        }
        *level = file_level_make(backend, above, name);
    }
    if (*level < 0 || fstat(*level, &directory) != 0) {
        status = file_outage(backend, "a directory in it cannot be opened", call);
    }
    else {
        status = file_distrust(backend, &directory, "a directory in it", call);
    }
    if (status != APR_SUCCESS && *level >= 0) {
        close(*level);
    }
    return status;
}

/* What a save finds was there before it, and so is durable where file_leaves_make() has made it. */
static apr_status_t file_durable(const bsession_backend_t *backend, int above, int made,
                                 bsession_call_t *call)
{
    if (made && backend->sync && fsync(above) != 0) {
        return file_outage(backend, "a directory cannot be made durable", call);
    }
    return APR_SUCCESS;
}

apr_status_t file_leaf_open(int *leaf, const bsession_backend_t *backend, unsigned index, int make,
                            bsession_call_t *call)
{
    char name[12];
    int outer, made = make;
    apr_status_t status;

    apr_snprintf(name, sizeof(name), "%x", index >> 8);
    status = file_level_open(&outer, backend, backend->root, name, &made, call);
    if (status != APR_SUCCESS) {
        return status;
    }
    status = file_durable(backend, backend->root, made, call);
    if (status == APR_SUCCESS) {
        made = make;
        apr_snprintf(name, sizeof(name), "%02x", index & 255u);
        status = file_level_open(leaf, backend, outer, name, &made, call);
    }
    if (status == APR_SUCCESS) {
        status = file_durable(backend, outer, made, call);
        if (status != APR_SUCCESS) {
            close(*leaf);
        }
    }
    close(outer);
    return status;
}

/* Made at the start where they must be durable: of two who save into a new directory at the same
 * time, one could not know whether the other has made it so yet. */
apr_status_t file_leaves_make(const bsession_backend_t *backend, bsession_call_t *call)
{
    apr_status_t status = APR_SUCCESS;
    unsigned outer, inner;

    for (outer = 0; outer < 16 && status == APR_SUCCESS; outer++) {
        char name[12];
        int level, leaf, made = 1, any = 0;

        apr_snprintf(name, sizeof(name), "%x", outer);
        status = file_level_open(&level, backend, backend->root, name, &made, call);
        if (status != APR_SUCCESS) {
            return status;
        }
        for (inner = 0; inner < 256 && status == APR_SUCCESS; inner++) {
            made = 1;
            apr_snprintf(name, sizeof(name), "%02x", inner);
            status = file_level_open(&leaf, backend, level, name, &made, call);
            if (status == APR_SUCCESS) {
                close(leaf);
            }
            any |= made;
        }
        if (status == APR_SUCCESS) {
            status = file_durable(backend, level, any, call);
        }
        close(level);
    }
    return status == APR_SUCCESS ? file_durable(backend, backend->root, 1, call) : status;
}

/* Who has got hold of a directory can bring back an older file of ours, though he can make none. */
apr_status_t file_check_again(bsession_backend_t *backend, unsigned index, apr_time_t now,
                              bsession_call_t *call)
{
    apr_time_t *checked = &backend->leaves_checked[index];
    apr_status_t status = file_root_check_again(backend, now, call);
    int leaf;

    if (status != APR_SUCCESS || file_is_recent(checked, now)) {
        return status;
    }
    status = file_leaf_open(&leaf, backend, index, 0, call);
    if (status == APR_SUCCESS) {
        close(leaf);
    }
    __atomic_store_n(checked, status == APR_SUCCESS ? now : 0, __ATOMIC_RELAXED);
    return status;
}
