/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memory_shard.h
 * @brief One shard: a mutex and all that it needs. No second lock is ever taken.
 *
 * WHAT IS TRUE AND WHAT IS DERIVED
 *
 * A process may be killed at any instruction, the mutex held. So a few words are the truth, each
 * changed by one store:
 *
 *     the state of each slot      0 = free, else the revision of the record in it
 *     the body of a slot          written only while its state is 0, but for its life (one word)
 *     the class of each page      written only while all its slots are free
 *
 * Everything else, chains, free lists, counts, recency, is derived: whoever finds that the last
 * owner of the mutex died drops it and builds it again from the truth (memory_shard_rebuild).
 *
 *     store a record      fill a free slot, publish its state, link it
 *     replace it          the same, the link swung from the old slot to the new; old state = 0
 *     remove it           state = 0, unlink
 *
 * Between publishing and freeing, two slots hold the same key; a rebuild keeps the higher revision.
 * Neither was acknowledged nor is the other lost: whoever died there had not answered yet.
 */
#ifndef MEMORY_SHARD_H
#define MEMORY_SHARD_H

#include <pthread.h>

#include "memory_segment.h"

/* A slot.
 *
 *   0        8         16                  32     36        40
 *   +--------+---------+-------------------+------+---------+---------------------------+--------+
 *   | state  | expires | key               | next | word    | the record, encoded       | unused |
 *   +--------+---------+-------------------+------+---------+---------------------------+--------+
 *                                                  |
 *                        31  26 25 24 23          0
 *                       +------+-----+-------------+
 *                       | seen |space| bytes       |
 *                       +------+-----+-------------+
 */
typedef struct {
    uint64_t      state;
    int64_t       expires;          /* 0 = never */
    uint64_t      key[2];
    uint32_t      next;             /* derived: in a bucket's chain, or in a page's free list */
    uint32_t      word;
    unsigned char body[];
} memory_slot_t;

#define MEMORY_SLOT_HEAD    40u
#define MEMORY_SEEN_SHIFT   26
#define MEMORY_SPACE_SHIFT  24
#define MEMORY_BYTES_MASK   0xffffffu
#define MEMORY_SEEN_NEW     1u      /* how many visits of the clock's hand a record outlives: */
#define MEMORY_SEEN_USED    3u      /* visitors who come once go before those who come back */

/* A page. Pages are listed under their class while they have a free slot. */
typedef struct {
    uint8_t  code;                  /* the truth: 0 = free or inside a run; see memory_code() */
    uint8_t  listed;                /* all the rest is derived */
    uint16_t tail;                  /* inside a run: pages since its first */
    uint16_t used;                  /* slots with a record */
    uint32_t free;                  /* the first free slot */
    uint32_t prev, next;            /* pages of the list, counted from 1 */
} memory_page_t;

/* What a shard knows about one code. */
typedef struct {
    uint32_t pages;                 /* pages, or runs */
    uint32_t open;                  /* the first page with a free slot, counted from 1 */
    uint32_t hand_page, hand_slot;  /* where the clock's hand stands */
    uint32_t evicted;               /* by its own clock, of late; halved as time goes by */
    uint32_t wait;                  /* evictions until it may look at the pages of others */
} memory_class_t;

/* Records that must outlive sessions (users and leases) have pages of their own, so that a page
 * never mixes what may go with what may not: each class has two codes. */
#define MEMORY_CODES (1 + 2 * MEMORY_CLASSES)

typedef struct {
    pthread_mutex_t mutex;
    uint64_t        limit;          /* of the header, when this was last built */
    uint32_t        pages;
    uint32_t        mask;           /* buckets - 1 */
    uint32_t        hand;           /* where the search for a page to give up goes on */
    uint32_t        spare;          /* pages without a record */
    uint64_t        records;
    uint64_t        bytes;          /* of their slots */
    uint64_t        evicted, swept, repaired;
    uint64_t        turned;         /* bytes evicted since the counts of the classes were halved */
    uint32_t        sweep_page;     /* where the pass stands; see memory_room_sweep() */
    uint32_t        sweep_wait;     /* saves before the next pass that a full shard may ask for */
    int64_t         sweep_soonest;  /* of the pages that the pass has seen */
    int64_t         sweep_ended;
    int64_t         soonest;        /* no record ends before this */
    memory_class_t  classes[MEMORY_CODES];
} memory_shard_t;

#define MEMORY_SHARD_SIZE 8192u

/* A locked shard, as the process that locked it sees it. */
typedef struct {
    const memory_segment_t *segment;
    memory_shard_t         *shard;
    unsigned char          *base;
    memory_page_t          *pages;
    uint32_t               *buckets;
    uint32_t                index;
    apr_time_t              now;
} memory_locked_t;

/* A key, taken apart. Its bytes are uniform, so that any of them may choose shard and bucket. */
typedef struct {
    uint64_t words[2];
    uint32_t shard;
    uint32_t space;
} memory_key_t;

/** APR_EINVAL for a space there is none of. */
apr_status_t memory_key_parse(memory_key_t *parsed, const bsession_key_t *key,
                              const memory_segment_t *segment, bsession_call_t *call);
char         memory_space_letter(uint32_t space);

/** The mutex, within the deadline; rebuilds what a dead owner left. Otherwise *unknown*, with
 *  why. */
apr_status_t memory_shard_lock(memory_locked_t *at, const memory_segment_t *segment, uint32_t index,
                               bsession_call_t *call);
void         memory_shard_unlock(memory_locked_t *at);

/** Fresh memory into an empty shard, by the parent before it forks. */
apr_status_t memory_shard_format(const memory_segment_t *segment, uint32_t index);

/** A shard of which nobody but the caller knows: as it was found in a file, and its truth looked
 *  at. With a mutex as new, and all else built again. */
apr_status_t memory_shard_reopen(const memory_segment_t *segment, uint32_t index);

/** One that nobody else can have locked, for the same. */
void         memory_shard_view(memory_locked_t *at, const memory_segment_t *segment,
                               uint32_t index);

/** A slot that says it has a record: could it? */
int          memory_slot_sound(const memory_locked_t *at, const memory_slot_t *slot, uint32_t code);

/** Derive everything again; also makes use of a limit that was raised. */
void         memory_shard_rebuild(memory_locked_t *at);

/** The slot's record is there from now on; `old`, which may be NULL, no longer. */
void         memory_slot_publish(memory_locked_t *at, memory_slot_t *slot, apr_uint64_t revision,
                                 memory_slot_t *old);
/** The slot's record is gone. */
void         memory_slot_drop(memory_locked_t *at, memory_slot_t *slot);

/** A page leaves its class; it has no record. */
void         memory_page_close(memory_locked_t *at, uint32_t page);
void         memory_page_list(memory_locked_t *at, uint32_t page);
void         memory_page_unlist(memory_locked_t *at, uint32_t page);

/* One store of the truth. The compiler moves no other store across it; the processor's order does
 * not matter here, for what a killed process had stored is all there once the mutex tells of its
 * death. */
static inline void memory_store_state(memory_slot_t *slot, uint64_t state)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&slot->state, state, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void memory_store_code(memory_page_t *page, uint8_t code)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&page->code, code, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline uint32_t memory_shard_of(const memory_segment_t *segment, uint64_t word)
{
    return (uint32_t)((word & 0xffffffffu) * segment->header->shards >> 32);
}

static inline uint32_t memory_code(uint32_t class, int guarded)
{
    return 1 + 2 * class + (guarded ? 1 : 0);
}

static inline uint32_t memory_code_class(uint32_t code)
{
    return (code - 1) / 2;
}

static inline int memory_code_guarded(uint32_t code)
{
    return (code - 1) & 1;
}

static inline memory_slot_t *memory_slot_at(const memory_locked_t *at, uint32_t reference)
{
    return (memory_slot_t *)(at->base + (uint64_t)reference * MEMORY_UNIT);
}

static inline uint32_t memory_reference(const memory_locked_t *at, const memory_slot_t *slot)
{
    return (uint32_t)((uint64_t)((const unsigned char *)slot - at->base) / MEMORY_UNIT);
}

static inline uint32_t memory_page_of(const memory_locked_t *at, const memory_slot_t *slot)
{
    return (uint32_t)(((uint64_t)((const unsigned char *)slot - at->base) - at->segment->data_at)
                      >> at->segment->page_shift);
}

static inline memory_slot_t *memory_page_slot(const memory_locked_t *at, uint32_t page,
                                              uint32_t number)
{
    uint32_t class = memory_code_class(at->pages[page].code);

    return (memory_slot_t *)(at->base + at->segment->data_at
                             + ((uint64_t)page << at->segment->page_shift)
                             + (uint64_t)number * at->segment->slot_size[class]);
}

static inline uint32_t memory_slot_bytes(const memory_slot_t *slot)
{
    return slot->word & MEMORY_BYTES_MASK;
}

static inline uint32_t memory_slot_space(const memory_slot_t *slot)
{
    return slot->word >> MEMORY_SPACE_SHIFT & 3u;
}

static inline uint32_t memory_slot_seen(const memory_slot_t *slot)
{
    return slot->word >> MEMORY_SEEN_SHIFT;
}

static inline void memory_slot_see(memory_slot_t *slot, uint32_t seen)
{
    slot->word = (slot->word & ~(~0u << MEMORY_SEEN_SHIFT)) | seen << MEMORY_SEEN_SHIFT;
}

static inline int memory_slot_expired(const memory_slot_t *slot, apr_time_t now)
{
    return slot->expires != 0 && slot->expires <= now;
}

/** The place that refers to the record of the key, or to 0 at the end of its chain. */
static inline uint32_t *memory_shard_link(const memory_locked_t *at, const uint64_t key[2],
                                          uint32_t space)
{
    uint32_t *link = &at->buckets[(uint32_t)key[1] & at->shard->mask];

    while (*link) {
        memory_slot_t *slot = memory_slot_at(at, *link);

        if (slot->key[0] == key[0] && slot->key[1] == key[1] && memory_slot_space(slot) == space) {
            break;
        }
        link = &slot->next;
    }
    return link;
}

/* Users and leases. */
static inline int memory_space_guarded(uint32_t space)
{
    return space == 1 || space == 2;
}

#endif
