/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file cache_entry.h
 * @brief How the entries of a cache lie in its store: cache.c alone uses this.
 *
 * An entry is a record of the key space 'c' with one field, its value. Where it lies is a digest of
 * the cache's name, the generation and the entry's key; all three stand in its meta and are
 * compared on reading, so that what collides with it is a miss and never somebody else's value:
 *
 *      offset  size
 *      0       1     version, BS_CACHE_VERSION
 *      1       1     'e' an entry; 'd' one of a key so long that its SHA-256 stands for it; 'g' the
 *                    generation
 *      2       2     length of the cache's name, little-endian
 *      4       8     generation; zeros where the store scans
 *      12      -     the cache's name, then the entry's key
 *
 * CLEARING. Where the store scans, the entries of this cache are looked for and removed. Elsewhere
 * a record holds the cache's generation, a random number that each call reads first; to clear is to
 * remove that record, and the next who stores something makes another one. It is random and no
 * counter, since a store may drop it for room: that empties the cache, and brings nothing old back.
 *
 * Each whole save gives the record another epoch, so that a store that adds to a number in place
 * does so only to the one that was judged to be a number.
 */
#ifndef BS_CACHE_ENTRY_H
#define BS_CACHE_ENTRY_H

#include "cache.h"

#define BS_CACHE_VERSION         1
#define BS_CACHE_GENERATION_SIZE 8

typedef enum {
    BS_CACHE_ENTRY = 'e', BS_CACHE_DIGEST = 'd', BS_CACHE_GENERATION = 'g'
} bs_cache_kind_t;

/** One call of the cache, with a pool of its own. */
typedef struct {
    const bs_cache_t *c;
    bs_caller_t       caller;
    unsigned char     generation[BS_CACHE_GENERATION_SIZE];
} bs_cache_op_t;

/** Where an entry lies, and what its meta must be. */
typedef struct {
    bsession_key_t   key;
    bsession_bytes_t meta;
} bs_cache_spot_t;

/** The name of the one field. */
extern const bsession_bytes_t bs_cache_field;

/** Begins a call, which must be ended whatever this returns. APR_NOTFOUND: nothing is in this
 *  cache, and `make` did not ask for a generation in which something could be. */
apr_status_t bs_cache_begin(bs_cache_op_t *op, const bs_cache_t *c, int make);
/** What the call returns: what is not this entry is no entry. */
apr_status_t bs_cache_end(bs_cache_op_t *op, apr_status_t status);
apr_status_t bs_cache_locate(bs_cache_spot_t *spot, const bs_cache_op_t *op, bs_cache_kind_t kind,
                             const bsession_bytes_t *key);

/** What a load found: APR_SUCCESS, APR_NOTFOUND, an outage, or BSESSION_ECORRUPT for what is not
 *  this entry: damaged, which is worth a line, or another one that lies in the same place. */
apr_status_t bs_cache_judge(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                            apr_status_t status, bsession_record_t *record);
/** A load, judged. The record lives in the pool. */
apr_status_t bs_cache_look(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                           bsession_record_t *record, apr_pool_t *pool);
apr_status_t bs_cache_put(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                          bsession_save_mode_t mode, const bsession_bytes_t *value,
                          apr_time_t expires);
/** APR_EEXIST: the entry is there. */
apr_status_t bs_cache_put_absent(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                                 const bsession_bytes_t *value, apr_time_t expires);
/** What lies there and is not this entry goes. APR_SUCCESS, or an outage. */
apr_status_t bs_cache_make_room(const bs_cache_op_t *op, const bs_cache_spot_t *spot,
                                apr_uint64_t revision);
/** Whether there is time for another try; waits a moment, if so. */
int          bs_cache_try_again(const bs_cache_op_t *op, int tries);

/** Whether a record with this meta belongs to this cache. */
int          bs_cache_owns(const bs_cache_t *c, const bsession_bytes_t *meta);
/** Whether it is an entry of this cache whose key is known, which it tells. */
int          bs_cache_entry(const bs_cache_t *c, const bsession_record_t *record,
                            bsession_bytes_t *key);
apr_status_t bs_cache_forget_generation(const bs_cache_t *c, const bs_caller_t *caller);

#endif
