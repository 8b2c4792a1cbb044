/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file file_fault.h
 * @brief What the parts of file_kill share: a file store in a process that kills others.
 *
 *     file_kill [rounds]
 *
 * Kills a process before and after each system call of each verb; stops one that holds a lock; and
 * kills writers at random instants, `rounds` times. Exits 0 if nothing that was acknowledged was
 * lost.
 */
#ifndef BS_TEST_FILE_FAULT_H
#define BS_TEST_FILE_FAULT_H

#include <sys/types.h>

#include "bsession_provider.h"

#define FAULT_ABSENT (-1L)

/** Ends the program with a sentence, and the children with it. */
void fault_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/** A store in a new directory, which is removed by fault_remove. */
bsession_backend_t *fault_open(const char **directory, const char *sync, apr_pool_t *pool);
void                fault_remove(const char *directory);

/** A child that dies with this program. */
pid_t fault_fork(void);

/** Memory that children share, zeroed. */
void *fault_shared(apr_size_t size);

/** A cleared call with this many milliseconds. */
bsession_call_t fault_call(apr_pool_t *pool, int milliseconds);

bsession_key_t  fault_key(char space);

/** Saves {"n": number, "fill": what follows from number}; `expires` may be BSESSION_KEEP. */
apr_status_t fault_save(bsession_backend_t *backend, bsession_save_mode_t mode,
                        const bsession_key_t *key, apr_uint64_t base, long number,
                        apr_time_t expires, bsession_call_t *call);

/** The number of what is stored, or FAULT_ABSENT; fails where the rest does not follow from it,
 *  or the store has another answer. */
long fault_number(bsession_backend_t *backend, const bsession_key_t *key, bsession_record_t *record,
                  apr_pool_t *pool);

/** The parts. */
void fault_step(const char *sync, apr_pool_t *pool);
void fault_stop(apr_pool_t *pool);
void fault_writers(int rounds, apr_pool_t *pool);

#endif
