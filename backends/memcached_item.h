/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memcached_item.h
 * @brief The bytes of an item.
 *
 *      0  4  "BSm1"
 *      4  8  a check sum of all that follows (FNV-1a)
 *     12 17  the key: its space, and the 16 bytes
 *     29  8  the revision
 *     37  8  when its life ends, in microseconds since 1970; 0: never
 *     45     the record, by the core's codec
 *
 * Numbers have their lowest byte first. The key is in there, so that what a server (or somebody who
 * stands for one) answers to another question is never taken for this record; and the life, which
 * the server does not tell. The check sum is against damage, not against forgers.
 */
#ifndef MEMCACHED_ITEM_H
#define MEMCACHED_ITEM_H

#include "bsession_provider.h"

#define MC_ITEM_HEAD 45

typedef struct {
    apr_uint64_t  revision;
    apr_time_t    expires;
    char         *bytes;                    /* head and record */
    apr_size_t    size;
} mc_item_t;

/** Fills the head of `item->bytes`, behind which the record is already. */
void mc_item_write(mc_item_t *item, const bsession_key_t *key);

/** Reads the head of `item->bytes`. BSESSION_ECORRUPT: it is none of ours, or not this key's. */
apr_status_t mc_item_read(mc_item_t *item, const bsession_key_t *key);

/** Whether its life is over. */
int          mc_item_is_over(const mc_item_t *item);

/** The later of two lives. */
apr_time_t   mc_later(apr_time_t one, apr_time_t other);

/** What to tell the server of a life. */
time_t       mc_exptime(apr_time_t expires);

/** The past, for servers: an item that is stored so is gone at once. */
#define MC_PAST 2592001

#endif
