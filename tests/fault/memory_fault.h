/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memory_fault.h
 * @brief What the parts of memory_kill share: a memory store in a process that kills others.
 *
 *     memory_kill [rounds [stride]]
 *
 * Kills workers at random instants, `rounds` times; stops one under a lock; and walks through each
 * verb killing at every `stride`th instruction. Exits 0 if nothing that was acknowledged was lost
 * and the checker found nothing.
 */
#ifndef BS_TEST_MEMORY_FAULT_H
#define BS_TEST_MEMORY_FAULT_H

#include <sys/types.h>

#include "bsession_provider.h"

/** Ends the program with a sentence, and the children with it. */
void fault_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/** A new store of this size, opened. */
bsession_backend_t *fault_open(const char *size, apr_pool_t *pool);

/** What the codec calls while a shard is locked, half of the record being written. NULL:
 *  nothing. */
extern void (*fault_in_write)(void);
/** The same, when the record is written, and not stored yet. */
extern void (*fault_after_write)(void);

/** A child that dies with this program. */
pid_t fault_fork(void);

/** A cleared call with this many milliseconds. */
bsession_call_t fault_call(apr_pool_t *pool, int milliseconds);

apr_status_t fault_load(bsession_backend_t *backend, const bsession_key_t *key,
                        bsession_record_t *record, apr_pool_t *pool);
/** Saves {"n": number, "fill": what follows from number}; `expires` may be BSESSION_KEEP. */
apr_status_t fault_save(bsession_backend_t *backend, bsession_save_mode_t mode,
                        const bsession_key_t *key, apr_uint64_t base, long number,
                        apr_time_t expires, apr_pool_t *pool);
/** The number of such a record; fails if the rest does not follow from it. */
long fault_number(const bsession_record_t *record);

bsession_key_t fault_key(char space);
void           fault_check(bsession_backend_t *backend, apr_pool_t *pool);
apr_uint64_t   fault_repaired(bsession_backend_t *backend, apr_pool_t *pool);
/** Memory that children share, zeroed. */
void          *fault_shared(apr_size_t size);

/** The parts. */
void fault_kill(int rounds, apr_pool_t *pool);
void fault_stop(apr_pool_t *pool);
void fault_step(int stride, apr_pool_t *pool);

#endif
