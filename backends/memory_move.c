/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memory_move.h"

#include <stdlib.h>
#include <string.h>

#include "memory_room.h"
#include "memory_shard.h"

/* A record that is to move, and what its turn depends on. */
typedef struct {
    int64_t              ends;
    const memory_slot_t *slot;
} move_record_t;

typedef struct {
    move_record_t *list;
    uint64_t       count;
    apr_time_t     now;
} move_list_t;

static int move_compare(const void *a, const void *b)
{
    int64_t one = ((const move_record_t *)a)->ends, other = ((const move_record_t *)b)->ends;

    return one < other ? 1 : one > other ? -1 : 0;
}

static void move_note(move_list_t *list, const memory_slot_t *slot)
{
    move_record_t *record;

    if (slot->state == 0 || memory_slot_expired(slot, list->now)) {
        return;
    }
    record = &list->list[list->count++];
    record->slot = slot;
    record->ends = memory_space_guarded(memory_slot_space(slot)) ? INT64_MAX
                   : slot->expires == 0 ? INT64_MAX - 1 : slot->expires;
}

static void move_note_shard(move_list_t *list, const memory_locked_t *at)
{
    uint32_t page, i;

    for (page = 0; page < at->shard->pages; page++) {
        uint32_t code = at->pages[page].code;

        for (i = 0; code && i < at->segment->slots[memory_code_class(code)]; i++) {
            move_note(list, memory_page_slot(at, page, i));
        }
    }
}

/* Into a free slot; nobody has to go for it. */
static int move_one(const memory_segment_t *to, const memory_slot_t *from, apr_time_t now)
{
    uint32_t bytes = memory_slot_bytes(from);
    memory_locked_t at;
    memory_slot_t *slot;

    if (bytes > memory_segment_largest(to)) {
        return 0;
    }
    memory_shard_view(&at, to, memory_shard_of(to, from->key[0]));
    at.now = now;
    slot = memory_room_free(&at, memory_code(memory_segment_class(to, bytes + MEMORY_SLOT_HEAD),
                                             memory_space_guarded(memory_slot_space(from))));
    if (!slot) {
        return 0;
    }
    slot->expires = from->expires;
    memcpy(slot->key, from->key, sizeof(slot->key));
    slot->word = from->word;
    memcpy(slot->body, from->body, bytes);
    memory_room_note_expiry(&at, slot->expires);
    memory_slot_publish(&at, slot, from->state, NULL);
    return 1;
}

apr_status_t memory_move(const memory_segment_t *to, const memory_segment_t *from,
                         apr_uint64_t *moved, apr_uint64_t *live)
{
    move_list_t list = { NULL, 0, apr_time_now() };
    memory_locked_t at;
    uint64_t records = 0, i;
    uint32_t shard;

    for (shard = 0; shard < from->header->shards; shard++) {
        memory_shard_view(&at, from, shard);
        records += at.shard->records;
    }
    list.list = calloc(records + 1, sizeof(*list.list));
    if (!list.list) {
        return APR_ENOMEM;
    }
    for (shard = 0; shard < from->header->shards; shard++) {
        memory_shard_view(&at, from, shard);
        move_note_shard(&list, &at);
    }
    qsort(list.list, list.count, sizeof(*list.list), move_compare);
    *moved = 0;
    *live = list.count;
    for (i = 0; i < list.count; i++) {
        *moved += (uint64_t)move_one(to, list.list[i].slot, list.now);
    }
    free(list.list);
    return APR_SUCCESS;
}
