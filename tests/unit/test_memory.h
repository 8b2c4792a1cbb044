/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file test_memory.h
 * @brief A memory store, for the tests of what is its own.
 */
#ifndef BS_TEST_MEMORY_H
#define BS_TEST_MEMORY_H

#include "suites.h"

#include <apr_tables.h>

#include "memory.h"

extern bsession_services_t store_services;
extern bsession_call_t     store_last;      /* the call of the last verb: its why */

TCase *memory_full_case(void);
TCase *memory_check_case(void);
TCase *memory_file_case(void);
TCase *memory_damage_case(void);
TCase *memory_grow_case(void);

bsession_call_t    *store_call(void);
const char         *store_create(bsession_backend_t **backend, const char *url, const char *name,
                                 const char *value);
/** A store named "default", of this size. */
bsession_backend_t *store_open(const char *size);
/** Keys are uniform; these are the same in each run. */
bsession_key_t      store_key(char space);

/** A record of one value with so many bytes. */
apr_status_t        store_save(bsession_backend_t *backend, bsession_save_mode_t mode,
                               const bsession_key_t *key, apr_uint64_t base, apr_size_t bytes,
                               apr_time_t expires);
void                store_add(bsession_backend_t *backend, const bsession_key_t *key,
                              apr_size_t bytes);
/** APR_SUCCESS only if the value is as it was saved. */
apr_status_t        store_load(bsession_backend_t *backend, const bsession_key_t *key);
bsession_stats_t    store_stats(bsession_backend_t *backend);
/** What the checker says. */
apr_array_header_t *store_check(bsession_backend_t *backend);
void                store_is_sound(bsession_backend_t *backend);


/* ---- in a file: bed_memory_file.c ---- */

/** Between these, for each test, is a directory with no file in it. */
extern char file_path[64], file_directory[32];
void        file_setup(void);
void        file_teardown(void);

/** An httpd of its own that has the store in the file; NULL where it refuses to start, and why is
 *  in store_last. It waits 50 ms for others. */
bsession_backend_t *file_start(const char *size);
/** The same for a store of this name, which ends with the pool. */
bsession_backend_t *file_start_as(const char *name, const char *size, apr_pool_t *process);
/** As file_start, which must start and say this. */
bsession_backend_t *file_started(const char *size, const char *notice);
/** Its end: in order, or killed. */
void                file_stop(bsession_backend_t *backend);
void                file_kill(bsession_backend_t *backend);

/** Changes bytes of the file. */
void                file_write(apr_size_t at, const void *bytes, apr_size_t count);
/** The file's name with this behind it, from the test's pool; and whether that is there. */
const char         *file_beside(const char *suffix);
int                 file_has(const char *suffix);

#endif
