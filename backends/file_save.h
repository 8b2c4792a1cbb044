/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file file_save.h
 * @brief Saving: a new file is written beside the record's place, and moved there under the lock.
 */
#ifndef FILE_SAVE_H
#define FILE_SAVE_H

#include "file_backend.h"

/** What the names of files begin with that are not records yet; a process that was killed leaves
 *  one. */
#define FILE_TEMPORARY "tmp."

/** See bsession_provider_t. */
apr_status_t file_save(bsession_backend_t *backend, const bsession_key_t *key,
                       const bsession_save_t *save, bsession_saved_t *saved, bsession_call_t *call);

/** Gives the file this end of life. */
int          file_set_end(int file, apr_time_t end);

/** Where saves are to be durable, so is what was done to the names in the directory. */
int          file_sync_leaf(const bsession_backend_t *backend, int leaf);

#endif
