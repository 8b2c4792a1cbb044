/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memory_room.h
 * @brief Room for a record: where it comes from, and who has to go.
 *
 * In this order: a free slot of the class; pages without a record; what has expired; live records.
 * Of the live ones those go that a clock's hand finds unused since its last visit, in pages of the
 * same class. A class that has no page, or whose records turn over more than twice as fast as those
 * of another, takes pages from there, those with the least and least used records. Users and leases
 * go last of all.
 *
 * The order is roughly least recently used, not exactly.
 */
#ifndef MEMORY_ROOM_H
#define MEMORY_ROOM_H

#include "memory_shard.h"

/** A free slot that has no state yet. `keep`, which may be NULL, is not dropped for it.
 *  @return NULL only where the shard has no room for such a slot beside `keep` at all */
memory_slot_t *memory_room_take(memory_locked_t *at, uint32_t code, const memory_slot_t *keep);

/** The same, where there is room without anybody having to go; else NULL. */
memory_slot_t *memory_room_free(memory_locked_t *at, uint32_t code);

/** A record whose life ends then is, or is about to be, in the shard. */
void memory_room_note_expiry(memory_locked_t *at, apr_time_t expires);

/** Drops what had expired `at->now`, going on with the pass over the shard where the last call
 *  stopped, for about `slots` slots. */
void memory_room_sweep(memory_locked_t *at, uint32_t slots);

#endif
