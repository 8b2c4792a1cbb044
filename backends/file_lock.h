/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file file_lock.h
 * @brief One record, locked: nobody else changes it, and it is the one that its name stands for.
 *
 * The lock is flock on the record's file, by a descriptor of this call alone. It ends with the
 * process, however that ends. Readers take none.
 */
#ifndef FILE_LOCK_H
#define FILE_LOCK_H

#include "file_backend.h"

typedef struct {
    int         file;
    struct stat about;
} file_locked_t;

/** Waits up to call->deadline. APR_NOTFOUND; BSESSION_ECORRUPT where the file is not ours. */
apr_status_t file_lock(file_locked_t *at, const bsession_backend_t *backend, int leaf,
                       const char *name, bsession_call_t *call);

/** The same, waiting for nobody: APR_TIMEUP where somebody else has it. */
apr_status_t file_trylock(file_locked_t *at, const bsession_backend_t *backend, int leaf,
                          const char *name, bsession_call_t *call);

void         file_unlock(file_locked_t *at);

#endif
