/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memory_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#define PLACE_LOOK_AGAIN (20 * 1000)    /* while somebody else has it locked */

apr_status_t memory_say(apr_status_t status, bsession_call_t *call, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    apr_vsnprintf(call->why, sizeof(call->why), format, arguments);
    va_end(arguments);
    return status;
}

/* ------------------------------------------------------------------ names */

apr_status_t memory_place_path(const char **path, const char *given, bsession_call_t *call)
{
    const char *name = strrchr(given, '/');
    char *directory = apr_pstrmemdup(call->pool, given, (apr_size_t)(name - given) + 1);
    char *real = realpath(directory, NULL);
    struct stat status;

    if (!real || stat(real, &status) != 0) {
        apr_status_t error = errno;

        free(real);
        return memory_say(error, call, "its directory cannot be used: %s", strerror(error));
    }
    *path = apr_pstrcat(call->pool, strcmp(real, "/") == 0 ? "" : real, name, NULL);
    free(real);
    /* who owns it can put an older file of ours in the place of this one, sticky bit or not */
    if (status.st_uid != 0 && status.st_uid != geteuid()) {
        return memory_say(APR_EACCES, call, "its directory belongs to user %ld; expected user %ld",
                          (long)status.st_uid, (long)geteuid());
    }
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (status.st_mode & S_ISVTX) == 0) {
        return memory_say(APR_EACCES, call, "others may write its directory; expected one of mode "
                          "0755 or less");
    }
    return APR_SUCCESS;
}

int memory_place_is_at(int descriptor, const char *path)
{
    struct stat mine, there;

    return fstat(descriptor, &mine) == 0 && lstat(path, &there) == 0
           && mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

int memory_place_is_ours(int descriptor)
{
    char magic[sizeof(MEMORY_MAGIC)];

    return pread(descriptor, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic)
           && memcmp(magic, MEMORY_MAGIC, sizeof(magic)) == 0;
}

int memory_place_is_foreign(int descriptor)
{
    struct stat status;

    return fstat(descriptor, &status) != 0
           || (status.st_size != 0 && !memory_place_is_ours(descriptor));
}

int memory_place_is_used(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0 && (!S_ISREG(status.st_mode) || status.st_size != 0);
}

apr_status_t memory_place_aside(const char *path, bsession_call_t *call)
{
    const char *aside = apr_pstrcat(call->pool, path, ".aside", NULL);
    int descriptor = open(aside, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK), in_the_way;

    in_the_way = descriptor < 0 ? errno != ENOENT : memory_place_is_foreign(descriptor);
    if (descriptor >= 0) {
        close(descriptor);
    }
    if (in_the_way) {
        return memory_say(APR_EEXIST, call, "it cannot be set aside: a file with .aside behind its "
                          "name is in the way");
    }
    if (rename(path, aside) != 0) {
        return memory_say(errno, call, "it cannot be set aside: %s", strerror(errno));
    }
    return APR_SUCCESS;
}

/* ------------------------------------------------------------------ to have it */

static apr_status_t place_check(int descriptor, bsession_call_t *call)
{
    struct stat status;

    if (fstat(descriptor, &status) != 0) {
        return memory_say(errno, call, "the file cannot be used: %s", strerror(errno));
    }
    if (!S_ISREG(status.st_mode) || status.st_nlink > 1) {
        return memory_say(APR_EINVAL, call, "expected a file with one name, and no directory or "
                          "device");
    }
    if (status.st_uid != geteuid() || (status.st_mode & 07177) != 0) {
        return memory_say(APR_EACCES, call, "the file belongs to user %ld and has mode %04o; "
                          "expected user %ld and mode 0600", (long)status.st_uid,
                          (unsigned)status.st_mode & 07777, (long)geteuid());
    }
    return APR_SUCCESS;
}

static apr_status_t place_lock(int descriptor, bsession_call_t *call)
{
    while (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return memory_say(errno, call, "the file cannot be locked: %s", strerror(errno));
        }
        if (apr_time_now() >= call->deadline) {
            return memory_say(APR_EBUSY, call, "another httpd has it, or processes that one left "
                              "behind; 'fuser -v' and the path show them");
        }
        apr_sleep(PLACE_LOOK_AGAIN);
    }
    return APR_SUCCESS;
}

/* Whoever had it may have given its name to another file meanwhile. */
apr_status_t memory_place_take(int *descriptor, const char *path, int flags, bsession_call_t *call)
{
    apr_status_t status;

    for (;;) {
        *descriptor = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | flags, 0600);
        if (*descriptor < 0) {
            return memory_say(errno, call, "the file cannot be opened: %s",
                              errno == ELOOP ? "it is a link" : strerror(errno));
        }
        status = place_check(*descriptor, call);
        if (status == APR_SUCCESS) {
            status = place_lock(*descriptor, call);
        }
        if (status == APR_SUCCESS && memory_place_is_at(*descriptor, path)) {
            return APR_SUCCESS;
        }
        close(*descriptor);
        if (status != APR_SUCCESS) {
            return status;
        }
    }
}

/* Once it has the name, it is the file, whether or not the disk knows the name already. */
apr_status_t memory_place_name(const char *from, const char *to, bsession_call_t *call)
{
    char *directory = apr_pstrmemdup(call->pool, to, (apr_size_t)(strrchr(to, '/') - to) + 1);
    int descriptor;

    if (rename(from, to) != 0) {
        return memory_say(errno, call, "a new file cannot be made: %s", strerror(errno));
    }
    descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
    return APR_SUCCESS;
}
