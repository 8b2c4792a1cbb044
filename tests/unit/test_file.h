/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file test_file.h
 * @brief A file store in a directory of the test's, for the tests of what is its own.
 */
#ifndef BS_TEST_FILE_H
#define BS_TEST_FILE_H

#include "suites.h"

#include "file.h"
#include "file_backend.h"

extern const char     *files;               /* a directory that goes with the test */
extern bsession_call_t files_last;          /* the call of the last verb: its why */

void                files_setup(void);
void                files_teardown(void);

TCase              *file_damage_case(void);
TCase              *file_sweep_case(void);

bsession_call_t    *files_call(void);
/** `name` = NULL: no option. */
const char         *files_create(bsession_backend_t **backend, const char *url, const char *name,
                                 const char *value);
/** The store `files`/store, made and opened with this option. */
bsession_backend_t *files_open(const char *name, const char *value);
bsession_key_t      files_key(char space);
/** The path of the key's record. */
const char         *files_path(const bsession_key_t *key);
/** A path below `files`. */
const char         *files_at(const char *name);

apr_status_t        files_save(bsession_backend_t *backend, bsession_save_mode_t mode,
                               const bsession_key_t *key, apr_time_t expires);
/** A new record. */
bsession_key_t      files_add(bsession_backend_t *backend, char space, apr_time_t expires);
apr_status_t        files_load(bsession_backend_t *backend, const bsession_key_t *key);
apr_status_t        files_remove(bsession_backend_t *backend, const bsession_key_t *key);
apr_status_t        files_touch(bsession_backend_t *backend, const bsession_key_t *key);
/** An outage, of which the last call says this. */
void                files_refused(apr_status_t status, const char *why);

#endif
