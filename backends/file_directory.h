/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file file_directory.h
 * @brief The store's directory and those in it: made, checked, and entered through no link.
 */
#ifndef FILE_DIRECTORY_H
#define FILE_DIRECTORY_H

#include "file_backend.h"

/** Why a system call failed, by errno, as a sentence that begins with what was `done`; the result
 *  is an outage. */
apr_status_t file_outage(const bsession_backend_t *backend, const char *done,
                         bsession_call_t *call);

/** The parent: opens the directory, makes it where it is missing, and refuses it where it is not
 *  the owner's alone. backend->owner and ->group are set. */
apr_status_t file_root_open(bsession_backend_t *backend, bsession_call_t *call);

/** It is still the owner's alone. One that was removed and made again is taken into use. */
apr_status_t file_root_check(bsession_backend_t *backend, bsession_call_t *call);

/** In which directory a key's record is. */
unsigned     file_leaf_of(const bsession_key_t *key);

/** The same of it and of that directory, where this process has not looked for a second: for loads,
 *  which have few other system calls. APR_NOTFOUND where there is no such directory. */
apr_status_t file_check_again(bsession_backend_t *backend, unsigned index, apr_time_t now,
                              bsession_call_t *call);

/** That directory, to be closed by the caller. APR_NOTFOUND where it is missing and not to be
 *  made. */
apr_status_t file_leaf_open(int *leaf, const bsession_backend_t *backend, unsigned index, int make,
                            bsession_call_t *call);

/** All of them are made, and durable. */
apr_status_t file_leaves_make(const bsession_backend_t *backend, bsession_call_t *call);

#endif
