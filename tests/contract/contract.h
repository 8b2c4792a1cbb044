/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file contract.h
 * @brief The words the contract suite is written in: one store, and the five verbs said briefly.
 *
 * Every sentence of bsession_provider.h that a caller can see is tested here, against whichever
 * store the command line names, and once more with sealed records (contract_seal.c). A store that
 * merges in place and one that compares revisions both pass.
 */
#ifndef BS_TEST_CONTRACT_H
#define BS_TEST_CONTRACT_H

#include <check.h>

#include "bsession_provider.h"

#define CONTRACT_MINUTE apr_time_from_sec(60)

/** Before main: a file for each backend calls this, see contract_memory.c. */
void contract_offer(const bsession_provider_t *one);

extern const bsession_provider_t *provider;
extern bsession_backend_t        *backend;
extern apr_pool_t                *pool;         /* of the running test */

void contract_setup(void);
void contract_teardown(void);

/** The store itself, where what is tested has a seal before it. */
extern const bsession_provider_t *contract_plain;

/** The same with a seal before the store. */
void contract_seal_setup(void);
void contract_seal_teardown(void);

/** One test case with a pool and a child's set-up. */
TCase *contract_case(const char *name);

TCase *contract_save_case(void);
TCase *contract_merge_case(void);
TCase *contract_life_case(void);
TCase *contract_values_case(void);
TCase *contract_scan_case(void);
TCase *contract_many_case(void);
TCase *contract_seal_case(void);

bsession_key_t     contract_key(char space);
apr_uint64_t       contract_revision(void);
bsession_bytes_t   contract_bytes(const char *text);

/** A record of names and values in turn, ended by NULL; ends in a minute; meta "meta", epoch 7. */
bsession_record_t *contract_record(const char *name, ...);
void               contract_field(bsession_record_t *record, const char *name, apr_size_t name_len,
                                  const char *value, apr_size_t value_len);

/** A call that may take 5 seconds, cleared. */
bsession_call_t   *contract_call(apr_pool_t *call_pool);

apr_status_t contract_load(const bsession_key_t *key, bsession_record_t *record);
/** Where `saved` is NULL and the save succeeds, its revision must be what the mode says. */
apr_status_t contract_save(bsession_save_mode_t mode, const bsession_key_t *key, apr_uint64_t base,
                           const bsession_record_t *record);
apr_status_t contract_merge(const bsession_key_t *key, apr_uint64_t base,
                            const bsession_record_t *record, const bsession_change_t *changes,
                            apr_size_t count, bsession_saved_t *saved);
apr_status_t contract_touch(const bsession_key_t *key, apr_time_t expires);
apr_status_t contract_remove(const bsession_key_t *key, apr_uint64_t revision);

/** A key under which this record was just created at the revision. */
bsession_key_t contract_created(const bsession_record_t *record, apr_uint64_t revision);

/** The value of a name, or NULL. */
const bsession_bytes_t *contract_value(const bsession_record_t *record, const char *name);

/** What is loaded under the key is this record at this revision. */
void contract_holds(const bsession_key_t *key, const bsession_record_t *record,
                    apr_uint64_t revision);
/** Nothing is there. */
void contract_absent(const bsession_key_t *key);
/** The record's life ends then. Stores may keep it to the millisecond, and by another clock. */
void contract_ends(const bsession_key_t *key, apr_time_t expires);

/** An answer of the store, and not an outage. */
int contract_is_answer(apr_status_t status);

/** ck_assert with the status by its name, and what the store said. */
#define contract_is(status, expected)                                                              \
    do {                                                                                           \
        apr_status_t contract_is_ = (status);                                                      \
        ck_assert_msg(contract_is_ == (expected), "%s is %s, not %s (%s)", #status,                \
                      contract_name(contract_is_), contract_name(expected), contract_why());       \
    } while (0)

const char *contract_name(apr_status_t status);
const char *contract_why(void);         /* of the last call */

#endif
