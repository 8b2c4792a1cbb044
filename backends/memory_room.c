/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memory_room.h"

#define ROOM_SWEEP_SLOTS    16384u      /* looked at by one save into a full shard */
#define ROOM_CLOCK_SLOTS    512u
#define ROOM_WINDOW_SLOTS   8192u
#define ROOM_IMPOSSIBLE     UINT64_MAX
#define ROOM_GUARDED        ((uint64_t)1 << 48)     /* more than all plain records cost */

/* Whose pages may be taken. */
typedef enum {
    ROOM_RESTING,       /* plain pages of other classes that turn over less than half as fast */
    ROOM_PLAIN,         /* plain pages of other classes */
    ROOM_ANY
} room_whose_t;

/* ------------------------------------------------------------------ free slots, free pages */

static memory_slot_t *room_pop(memory_locked_t *at, uint32_t code)
{
    uint32_t open = at->shard->classes[code].open;
    memory_page_t *page;
    memory_slot_t *slot;

    if (open == 0) {
        return NULL;
    }
    page = &at->pages[open - 1];
    slot = memory_slot_at(at, page->free);
    page->free = slot->next;
    if (page->free == 0) {
        memory_page_unlist(at, open - 1);
    }
    if (page->used++ == 0) {
        at->shard->spare -= at->segment->span[memory_code_class(code)];
    }
    return slot;
}

static int room_page_spare(const memory_page_t *page)
{
    return page->used == 0 && page->tail == 0;
}

/* The first of `span` neighbours without a record, or -1. They begin at a multiple of their number,
 * so that runs leave no gaps too small for the next. */
static int64_t room_find_spare(const memory_locked_t *at, uint32_t span)
{
    uint32_t first, i;

    if (at->shard->spare < span) {
        return -1;
    }
    for (first = 0; first + span <= at->shard->pages; first += span) {
        for (i = 0; i < span && room_page_spare(&at->pages[first + i]); i++) {
            continue;
        }
        if (i == span) {
            return (int64_t)first;
        }
    }
    return -1;
}

/* Pages that have no record become a page, or a run, of this code. The class byte comes last: until
 * then the pages are free, and nobody looks at what is in them. */
static int room_open_page(memory_locked_t *at, uint32_t code)
{
    uint32_t class = memory_code_class(code), span = at->segment->span[class];
    uint32_t size = at->segment->slot_size[class], next = 0, i;
    int64_t first = room_find_spare(at, span);
    memory_page_t *page;
    unsigned char *slots;

    if (first < 0) {
        return 0;
    }
    page = &at->pages[first];
    for (i = 0; i < span; i++) {
        if (page[i].code != 0) {
            memory_page_close(at, (uint32_t)first + i);
        }
        page[i].tail = (uint16_t)i;
    }
    slots = at->base + at->segment->data_at + ((uint64_t)first << at->segment->page_shift);
    for (i = at->segment->slots[class]; i-- > 0; ) {
        memory_slot_t *slot = (memory_slot_t *)(slots + (uint64_t)i * size);

        slot->state = 0;
        slot->next = next;
        next = memory_reference(at, slot);
    }
    memory_store_code(page, (uint8_t)code);
    page->free = next;
    at->shard->classes[code].pages++;
    memory_page_list(at, (uint32_t)first);
    return 1;
}

/* ------------------------------------------------------------------ the expired */

void memory_room_note_expiry(memory_locked_t *at, apr_time_t expires)
{
    memory_shard_t *shard = at->shard;

    if (expires != 0 && expires < shard->soonest) {
        shard->soonest = expires;
    }
    if (expires != 0 && expires < shard->sweep_soonest) {
        shard->sweep_soonest = expires;
    }
}

static void room_drop_expired(memory_locked_t *at, memory_slot_t *slot)
{
    memory_slot_drop(at, slot);
    at->shard->swept++;
}

static void room_sweep_page(memory_locked_t *at, uint32_t number)
{
    uint32_t slots = at->segment->slots[memory_code_class(at->pages[number].code)], i;

    for (i = 0; i < slots && at->pages[number].used; i++) {
        memory_slot_t *slot = memory_page_slot(at, number, i);

        if (slot->state == 0 || slot->expires == 0) {
            continue;
        }
        if (memory_slot_expired(slot, at->now)) {
            room_drop_expired(at, slot);
        }
        else if (slot->expires < at->shard->sweep_soonest) {
            at->shard->sweep_soonest = slot->expires;
        }
    }
}

void memory_room_sweep(memory_locked_t *at, uint32_t slots)
{
    memory_shard_t *shard = at->shard;
    uint32_t looked = 0;

    while (shard->sweep_page < shard->pages && looked < slots) {
        uint32_t number = shard->sweep_page, code = at->pages[number].code;

        shard->sweep_page++;
        looked++;
        if (code != 0) {
            looked += at->segment->slots[memory_code_class(code)];
            room_sweep_page(at, number);
        }
    }
    if (shard->sweep_page >= shard->pages) {
        shard->soonest = shard->sweep_soonest;
        shard->sweep_soonest = INT64_MAX;
        shard->sweep_page = 0;
        shard->sweep_wait = (uint32_t)(shard->records / 16);
        shard->sweep_ended = at->now;
    }
}

/* A full shard asks for the expired at each save. A pass that must find something is worth its
 * time; one for a record whose life was prolonged since is not, so they keep a distance. */
static void room_sweep_if_due(memory_locked_t *at)
{
    memory_shard_t *shard = at->shard;

    if (shard->sweep_wait > 0) {
        shard->sweep_wait--;
    }
    if (shard->soonest <= at->now
        && (shard->sweep_wait == 0 || at->now - shard->sweep_ended >= APR_USEC_PER_SEC)) {
        memory_room_sweep(at, ROOM_SWEEP_SLOTS);
    }
}

/* ------------------------------------------------------------------ the clock */

static void room_evict(memory_locked_t *at, memory_slot_t *slot)
{
    if (memory_slot_expired(slot, at->now)) {
        room_drop_expired(at, slot);
        return;
    }
    memory_slot_drop(at, slot);
    at->shard->evicted++;
}

/* The hand goes over the rest of one page. Who was used since its last visits loses one of them.
 * The least used so far is in *least.
 * @return the slot to drop at once, or NULL */
static memory_slot_t *room_clock_page(memory_locked_t *at, memory_class_t *class,
                                      const memory_slot_t *keep, memory_slot_t **least)
{
    uint32_t code = at->pages[class->hand_page].code;
    uint32_t slots = at->segment->slots[memory_code_class(code)];

    while (class->hand_slot < slots) {
        memory_slot_t *slot = memory_page_slot(at, class->hand_page, class->hand_slot++);
        uint32_t seen = memory_slot_seen(slot);

        if (slot->state == 0 || slot == keep) {
            continue;
        }
        if (seen == 0 || memory_slot_expired(slot, at->now)) {
            return slot;
        }
        memory_slot_see(slot, seen - 1);
        if (!*least || memory_slot_seen(*least) > seen - 1) {
            *least = slot;
        }
    }
    return NULL;
}

/* What was evicted long ago says nothing: each time the shard has turned over, counts half. */
static void room_turn(memory_locked_t *at, uint32_t code)
{
    memory_shard_t *shard = at->shard;
    uint32_t i;

    shard->classes[code].evicted++;
    shard->turned += at->segment->slot_size[memory_code_class(code)];
    if (shard->turned > (uint64_t)shard->pages << at->segment->page_shift) {
        shard->turned = 0;
        for (i = 1; i < MEMORY_CODES; i++) {
            shard->classes[i].evicted /= 2;
        }
    }
}

static int room_clock(memory_locked_t *at, uint32_t code, const memory_slot_t *keep)
{
    memory_class_t *class = &at->shard->classes[code];
    memory_slot_t *victim = NULL, *least = NULL;
    uint32_t looked = 0, passed;

    if (class->pages == 0) {
        return 0;
    }
    for (passed = 0; !victim && passed <= at->shard->pages && looked < ROOM_CLOCK_SLOTS; passed++) {
        if (class->hand_page >= at->shard->pages) {
            class->hand_page = class->hand_slot = 0;
        }
        if (at->pages[class->hand_page].code == code) {
            uint32_t from = class->hand_slot;

            victim = room_clock_page(at, class, keep, &least);
            looked += class->hand_slot - from;
        }
        if (!victim) {
            class->hand_page++;
            class->hand_slot = 0;
        }
    }
    victim = victim ? victim : least;
    if (victim) {
        room_evict(at, victim);
        room_turn(at, code);
    }
    return victim != NULL;
}

/* ------------------------------------------------------------------ pages of others */

/* Do the records of the first turn over less than half as fast as those of the second? Evictions
 * for each slot, compared without dividing. */
static int room_rests(const memory_locked_t *at, uint32_t code, uint32_t than)
{
    const memory_class_t *a = &at->shard->classes[code], *b = &at->shard->classes[than];
    uint64_t slots_a = (uint64_t)a->pages * at->segment->slots[memory_code_class(code)];
    uint64_t slots_b = (uint64_t)b->pages * at->segment->slots[memory_code_class(than)];

    return 2 * a->evicted * slots_b < b->evicted * slots_a;
}

/* What it costs to empty a page: the bytes of its live records, those used of late many times. */
static uint64_t room_page_cost(const memory_locked_t *at, uint32_t number, uint32_t code,
                               room_whose_t whose, const memory_slot_t *keep, uint32_t *looked)
{
    const memory_page_t *page = &at->pages[number];
    uint64_t cost = 0;
    uint32_t slots, i;

    if (page->used == 0) {
        return 0;
    }
    slots = at->segment->slots[memory_code_class(page->code)];
    if (whose != ROOM_ANY
        && (page->code == code || memory_code_guarded(page->code)
            || (whose == ROOM_RESTING && !room_rests(at, page->code, code)))) {
        return ROOM_IMPOSSIBLE;
    }
    for (i = 0; i < slots; i++) {
        const memory_slot_t *slot = memory_page_slot(at, number, i);

        if (slot->state != 0 && slot == keep) {
            return ROOM_IMPOSSIBLE;
        }
        if (slot->state != 0 && !memory_slot_expired(slot, at->now)) {
            cost += (uint64_t)memory_slot_bytes(slot) * (1 + memory_slot_seen(slot));
            cost += memory_code_guarded(page->code) ? ROOM_GUARDED : 0;
        }
    }
    *looked += slots;
    return cost;
}

static uint32_t room_page_span(const memory_locked_t *at, uint32_t page)
{
    uint32_t code = at->pages[page].code;

    return code ? at->segment->span[memory_code_class(code)] : 1;
}

/* The pages first .. first + span - 1; a run that they cut, at either end, goes whole. */
static uint64_t room_window_cost(const memory_locked_t *at, uint32_t first, uint32_t code,
                                 room_whose_t whose, const memory_slot_t *keep, uint32_t *looked)
{
    uint32_t span = at->segment->span[memory_code_class(code)];
    uint32_t page = first - at->pages[first].tail;
    uint64_t cost = 0;

    while (page < first + span) {
        uint64_t more = room_page_cost(at, page, code, whose, keep, looked);

        if (more == ROOM_IMPOSSIBLE) {
            return more;
        }
        cost += more;
        page += room_page_span(at, page);
    }
    return cost;
}

static void room_empty_page(memory_locked_t *at, uint32_t number)
{
    uint32_t slots = at->segment->slots[memory_code_class(at->pages[number].code)], i;

    for (i = 0; i < slots && at->pages[number].used; i++) {
        memory_slot_t *slot = memory_page_slot(at, number, i);

        if (slot->state != 0) {
            room_evict(at, slot);
        }
    }
}

static void room_empty_window(memory_locked_t *at, uint32_t first, uint32_t span)
{
    uint32_t i;

    for (i = first - at->pages[first].tail; i < first + span; i++) {
        if (at->pages[i].code != 0) {
            room_empty_page(at, i);
        }
    }
}

/* The cheapest window of those that a bounded look from the hand on finds. */
static int room_take_window(memory_locked_t *at, uint32_t code, room_whose_t whose,
                            const memory_slot_t *keep)
{
    memory_shard_t *shard = at->shard;
    uint32_t span = at->segment->span[memory_code_class(code)], windows = shard->pages / span;
    uint32_t first = shard->hand / span % windows * span, best = 0, looked = 0, i;
    uint64_t best_cost = ROOM_IMPOSSIBLE;

    for (i = 0; i < windows && (looked < ROOM_WINDOW_SLOTS || best_cost == ROOM_IMPOSSIBLE); i++) {
        uint64_t cost = room_window_cost(at, first, code, whose, keep, &looked);

        if (cost < best_cost) {
            best = first;
            best_cost = cost;
        }
        first = first + 2 * span <= shard->pages ? first + span : 0;
    }
    shard->hand = first;
    if (best_cost == ROOM_IMPOSSIBLE) {
        return 0;
    }
    room_empty_window(at, best, span);
    return 1;
}

/* ------------------------------------------------------------------ taking */

static int room_make(memory_locked_t *at, uint32_t code, const memory_slot_t *keep)
{
    memory_class_t *class = &at->shard->classes[code];

    if (class->pages == 0 || memory_code_guarded(code)) {
        return room_take_window(at, code, ROOM_PLAIN, keep)
               || room_clock(at, code, keep)
               || room_take_window(at, code, ROOM_ANY, keep);
    }
    if (class->wait-- == 0) {
        class->wait = at->segment->slots[memory_code_class(code)];
        if (room_take_window(at, code, ROOM_RESTING, keep)) {
            return 1;
        }
    }
    return room_clock(at, code, keep)
           || room_take_window(at, code, ROOM_PLAIN, keep)
           || room_take_window(at, code, ROOM_ANY, keep);
}

memory_slot_t *memory_room_free(memory_locked_t *at, uint32_t code)
{
    memory_slot_t *slot;

    while (!(slot = room_pop(at, code)) && room_open_page(at, code)) {
        continue;
    }
    return slot;
}

memory_slot_t *memory_room_take(memory_locked_t *at, uint32_t code, const memory_slot_t *keep)
{
    memory_slot_t *slot;
    int swept = 0;

    while (!(slot = room_pop(at, code))) {
        if (room_open_page(at, code)) {
            continue;
        }
        if (!swept) {
            swept = 1;
            room_sweep_if_due(at);
        }
        else if (!room_make(at, code, keep)) {
            return NULL;
        }
    }
    return slot;
}
