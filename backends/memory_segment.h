/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file memory_segment.h
 * @brief The memory itself, cut into shards. memory_kept.h finds it again at a graceful restart,
 * and
 *        memory_file.h after a stop.
 *
 * Far more addresses are reserved than memory is used (16 times, where the system allows it); what
 * is reserved and not used costs nothing. So the segment can grow in place, under children of the
 * old generation that still write to it: a copy would lose what they write after it was made. What
 * grows is `limit`; where things lie follows from the reserve, and never moves.
 *
 *   +----------+-----------+-----------+-- ... --+-----------+
 *   | header   | shard 0   | shard 1   |         | shard n-1 |      reserve bytes
 *   +----------+-----------+-----------+-- ... --+-----------+
 *    4096       stride      stride
 *
 * One shard (its struct is in memory_shard.h). The parts in use are filled with #; their size
 * follows from limit / shards:
 *
 *   0           page_table_at       buckets_at          data_at
 *   +-----------+-------------------+-------------------+-----------------------------------+
 *   | mutex,    | one memory_page_t | one reference for | page 0 | page 1 | page 2 | ...     |
 *   | counters, | for each page     | each bucket       |        |        |        |         |
 *   | classes   | ######..........  | ######..........  | #######################.......... |
 *   +-----------+-------------------+-------------------+-----------------------------------+
 *
 * A page holds slots of one size, its class; or it is free; or it begins a run of pages that is one
 * large slot:
 *
 *   +------+------+------+------+-----+   +-----------+-----------+   +--------------------------+
 *   | slot | slot | slot | slot |     |   | slot      | slot      |   | slot                     |
 *   +------+------+------+------+-----+   +-----------+-----------+   +--------------------------+
 *    page, a small class                   page, a larger class        run of three pages
 *
 * A reference is the place of a slot in its shard in units of 16 bytes; 0 is none. There are no
 * pointers in the segment.
 */
#ifndef MEMORY_SEGMENT_H
#define MEMORY_SEGMENT_H

#include <stdint.h>

#include "bsession_provider.h"

/* The number of the layout drawn above and in memory_shard.h: change one, change the other. */
#define MEMORY_LAYOUT       2
#define MEMORY_MAGIC        "bsession memory"
#define MEMORY_HEADER_SIZE  4096u
#define MEMORY_UNIT         16u             /* slots begin at multiples of it */
#define MEMORY_SHARDS       64u             /* at most */
#define MEMORY_CLASSES      80u             /* at most */
#define MEMORY_LARGEST      ((1u << 24) - 1)    /* bytes of a slot: the size has 24 bits in it */

#define MEMORY_SIZE_DEFAULT ((apr_uint64_t)64 << 20)
#define MEMORY_SIZE_MIN     ((apr_uint64_t)1 << 20)
#define MEMORY_SIZE_MAX     ((apr_uint64_t)1 << 40)

/* The first bytes of the segment. What comes after page_size, but for sweep_at, belongs to a
 * segment in a file, which must know whether it was left in order and whether the machine ran on;
 * without one it is zero. */
typedef struct {
    char     magic[16];
    uint32_t layout;
    uint32_t shards;
    uint64_t limit;                 /* bytes that may be used: size= */
    uint64_t reserve;               /* bytes that are mapped */
    uint64_t shard_reserve;         /* what a shard's limit may grow to */
    uint64_t stride;                /* from one shard to the next: that, and the alignment */
    uint32_t page_size;
    uint32_t clean;
    char     boot_id[40];
    uint32_t sweep_at;              /* the shard that the next sweep begins with */
    uint32_t unused;
    uint64_t seals[MEMORY_SHARDS];  /* where it is clean: what memory_truth.h makes of a shard, */
    uint64_t seal;                  /* and of all that is above */
} memory_header_t;

/* What one process knows about a segment: computed from the header, and constant. */
typedef struct memory_segment_t {
    memory_header_t *header;
    uint32_t         page_shift;
    uint32_t         pages_max;     /* in a shard, once all that is reserved is used */
    uint64_t         page_table_at; /* places in a shard */
    uint64_t         buckets_at;
    uint64_t         data_at;
    uint32_t         classes;
    uint32_t         slot_size[MEMORY_CLASSES];
    uint32_t         slots[MEMORY_CLASSES];     /* in a page; 1 for runs */
    uint32_t         span[MEMORY_CLASSES];      /* pages of a run; 1 for pages of slots */
} memory_segment_t;

/** The header of a new segment with such a limit and reserve. */
void memory_header_plan(memory_header_t *header, uint64_t limit, uint64_t reserve);

/** Whether a header that was found somewhere is one that memory_header_plan() could have made, and
 *  its limit one that could have been grown to. */
int  memory_header_is_sound(const memory_header_t *header);

/** What the limit may grow to in place. */
uint64_t memory_header_most(const memory_header_t *header);

/** How much may be reserved for a limit: so many times as much; tried from the first on, each half
 *  of the one before, until one is to be had. A system that counts reserved addresses as memory,
 *  or limits them, gives less. */
#define MEMORY_RESERVE_TIMES 16u

/** What a process knows about the segment that begins with this header. */
void memory_segment_places(memory_segment_t *segment, memory_header_t *header);

/** A new segment with empty shards; mapped for good, by the parent before it forks. */
apr_status_t memory_segment_new(memory_segment_t *segment, apr_uint64_t size,
                                bsession_call_t *call);

/** Makes its shards, which are zero, empty ones. */
apr_status_t memory_segment_format(const memory_segment_t *segment, bsession_call_t *call);

/** A size as people write it. */
#define MEMORY_SIZE_TEXT 24
const char *memory_size_text(char text[MEMORY_SIZE_TEXT], apr_uint64_t size);

/** What follows from the limit, for one shard. */
uint32_t memory_segment_buckets(uint64_t shard_limit);
uint32_t memory_segment_pages(uint64_t shard_limit, uint32_t page_size);

/** The largest encoded record that is taken: with its slot an eighth of a shard. */
apr_size_t memory_segment_largest(const memory_segment_t *segment);

/** The smallest class whose slots have this many bytes. */
uint32_t memory_segment_class(const memory_segment_t *segment, apr_size_t bytes);

#endif
