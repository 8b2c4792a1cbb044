/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file seal.h
 * @brief Records that a store keeps and cannot read: all of one, its meta and its keys, in one
 *        field.
 *
 * To a store a sealed record is like any other. Its meta is in clear:
 *
 *      offset  size
 *      0       1     'S', which begins no other meta
 *      1       1     version, BS_SEAL_VERSION
 *      2       4     id of the secret (secret.h)
 *      6       4     day of sealing, since 1970, little-endian: which of its keys
 *
 * and its one field, whose name no application can use, is a nonce (12 bytes), what bs_record_write
 * made of the whole record, encrypted with AES-256-GCM, and the tag (16). The tag also covers where
 * the record lies and what the store itself compares: key, epoch, revision and the meta. So none
 * can be edited, moved to another key or given another revision. What is left to who can write to
 * the store: to remove it, to change when its idle time ends (never its absolute time-out, which is
 * inside), and to put back a whole older state of it.
 */
#ifndef BS_SEAL_H
#define BS_SEAL_H

#include "secret.h"

#define BS_SEAL_VERSION   1
#define BS_SEAL_META_SIZE 10

/** The name of the field. */
extern const bsession_bytes_t bs_seal_field;

/** What is to be asked of the store in place of a plain save: a MERGE becomes a REPLACE. Each call
 *  has a nonce of its own, so none may be used for a second try. APR_ENOSPC: the plain record is
 *  over the save's limits, which a store could not see any more.
 *  @param save, record  filled; the record is what the save points to */
apr_status_t bs_seal_close(const bs_keys_t *keys, const bsession_key_t *key, const bsession_save_t *plain,
                           bsession_save_t *save, bsession_record_t *record, apr_pool_t *pool);

/** Makes the plain record of one that was loaded: meta and fields; what lies in the store is not
 *  touched. BSESSION_ECORRUPT for one that is not sealed, or not by one of these secrets, or not as
 *  it is; then the record stays what it was. */
apr_status_t bs_seal_open(const bs_keys_t *keys, const bsession_key_t *key, bsession_record_t *record,
                          apr_pool_t *pool);

#endif
