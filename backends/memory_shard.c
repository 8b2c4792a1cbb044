/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include <apr_strings.h>

#include "memory_shard.h"

static const char memory_spaces[] = "sluc";

apr_status_t memory_key_parse(memory_key_t *parsed, const bsession_key_t *key,
                              const memory_segment_t *segment, bsession_call_t *call)
{
    switch (key->space) {
    case 's': parsed->space = 0; break;
    case 'l': parsed->space = 1; break;
    case 'u': parsed->space = 2; break;
    case 'c': parsed->space = 3; break;
    default:
        apr_cpystrn(call->why, "a key of an unknown space", sizeof(call->why));
        return APR_EINVAL;
    }
    memcpy(parsed->words, key->bytes, sizeof(parsed->words));
    parsed->shard = memory_shard_of(segment, parsed->words[0]);
    return APR_SUCCESS;
}

char memory_space_letter(uint32_t space)
{
    return memory_spaces[space & 3u];
}

void memory_shard_view(memory_locked_t *at, const memory_segment_t *segment, uint32_t index)
{
    at->segment = segment;
    at->index = index;
    at->base = (unsigned char *)segment->header + MEMORY_HEADER_SIZE
               + index * segment->header->stride;
    at->shard = (memory_shard_t *)at->base;
    at->pages = (memory_page_t *)(at->base + segment->page_table_at);
    at->buckets = (uint32_t *)(at->base + segment->buckets_at);
}

/* The slow path: somebody has the mutex. He may be stopped, so the wait has an end; it is measured
 * by the monotonic clock, since the wall clock may be set meanwhile. */
static int memory_shard_wait(memory_locked_t *at, bsession_call_t *call)
{
    apr_interval_time_t bound = call->deadline > at->now ? call->deadline - at->now : 0;
    struct timespec until;
    int error;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(bound / APR_USEC_PER_SEC);
    until.tv_nsec += (long)(bound % APR_USEC_PER_SEC) * 1000;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    error = pthread_mutex_clocklock(&at->shard->mutex, CLOCK_MONOTONIC, &until);
    if (error == ETIMEDOUT) {
        apr_snprintf(call->why, sizeof(call->why), "shard %u was locked for %" APR_TIME_T_FMT " ms",
                     at->index, bound / 1000);
    }
    at->now = apr_time_now();
    return error;
}

apr_status_t memory_shard_lock(memory_locked_t *at, const memory_segment_t *segment, uint32_t index,
                               bsession_call_t *call)
{
    int error;

    memory_shard_view(at, segment, index);
    at->now = apr_time_now();
    error = pthread_mutex_trylock(&at->shard->mutex);
    if (error == EBUSY) {
        error = memory_shard_wait(at, call);
    }
    if (error == EOWNERDEAD) {
        memory_shard_rebuild(at);
        at->shard->repaired++;
        error = pthread_mutex_consistent(&at->shard->mutex);
    }
    if (error == 0) {
        if (__builtin_expect(at->shard->limit != segment->header->limit, 0)) {
            memory_shard_rebuild(at);
        }
        return APR_SUCCESS;
    }
    if (error == ETIMEDOUT) {
        return APR_TIMEUP;
    }
    apr_snprintf(call->why, sizeof(call->why), "shard %u cannot be locked: %s", index,
                 strerror(error));
    return APR_FROM_OS_ERROR(error);
}

void memory_shard_unlock(memory_locked_t *at)
{
    pthread_mutex_unlock(&at->shard->mutex);
}

/* ------------------------------------------------------------------ pages */

void memory_page_list(memory_locked_t *at, uint32_t page)
{
    memory_page_t *this = &at->pages[page];
    uint32_t *open = &at->shard->classes[this->code].open;

    this->listed = 1;
    this->prev = 0;
    this->next = *open;
    if (*open) {
        at->pages[*open - 1].prev = page + 1;
    }
    *open = page + 1;
}

void memory_page_unlist(memory_locked_t *at, uint32_t page)
{
    memory_page_t *this = &at->pages[page];

    if (this->prev) {
        at->pages[this->prev - 1].next = this->next;
    }
    else {
        at->shard->classes[this->code].open = this->next;
    }
    if (this->next) {
        at->pages[this->next - 1].prev = this->prev;
    }
    this->listed = 0;
}

void memory_page_close(memory_locked_t *at, uint32_t page)
{
    memory_page_t *this = &at->pages[page];
    uint32_t span = at->segment->span[memory_code_class(this->code)];
    uint32_t i;

    if (this->listed) {
        memory_page_unlist(at, page);
    }
    at->shard->classes[this->code].pages--;
    memory_store_code(this, 0);
    for (i = 1; i < span; i++) {
        this[i].tail = 0;
    }
}

/* ------------------------------------------------------------------ slots */

/* Like memory_shard_link(), for this slot and not for another one with its key. */
static uint32_t *memory_slot_link(const memory_locked_t *at, const memory_slot_t *slot)
{
    uint32_t reference = memory_reference(at, slot);
    uint32_t *link = &at->buckets[(uint32_t)slot->key[1] & at->shard->mask];

    while (*link && *link != reference) {
        link = &memory_slot_at(at, *link)->next;
    }
    return link;
}

/* A slot whose state is 0, and that nothing links, goes back to its page. An empty page stays with
 * its class while it is the only one there with a free slot, so that a record that comes and goes
 * does not cut up a page each time. */
static void memory_slot_return(memory_locked_t *at, memory_slot_t *slot)
{
    uint32_t number = memory_page_of(at, slot);
    memory_page_t *page = &at->pages[number];
    uint32_t span = at->segment->span[memory_code_class(page->code)];

    slot->next = page->free;
    page->free = memory_reference(at, slot);
    page->used--;
    if (!page->listed) {
        memory_page_list(at, number);
    }
    if (page->used == 0) {
        at->shard->spare += span;
        if (span > 1 || page->prev || page->next) {
            memory_page_close(at, number);
        }
    }
}

static void memory_slot_count(memory_locked_t *at, const memory_slot_t *slot, int by)
{
    uint32_t code = at->pages[memory_page_of(at, slot)].code;
    uint64_t size = at->segment->slot_size[memory_code_class(code)];

    at->shard->records += (uint64_t)by;
    at->shard->bytes += (uint64_t)by * size;
}

void memory_slot_publish(memory_locked_t *at, memory_slot_t *slot, apr_uint64_t revision,
                         memory_slot_t *old)
{
    uint32_t *link = old ? memory_slot_link(at, old)
                         : &at->buckets[(uint32_t)slot->key[1] & at->shard->mask];

    slot->next = old ? old->next : *link;
    memory_store_state(slot, revision);
    *link = memory_reference(at, slot);
    memory_slot_count(at, slot, 1);
    if (old) {
        memory_store_state(old, 0);
        memory_slot_count(at, old, -1);
        memory_slot_return(at, old);
    }
}

void memory_slot_drop(memory_locked_t *at, memory_slot_t *slot)
{
    memory_store_state(slot, 0);
    *memory_slot_link(at, slot) = slot->next;
    memory_slot_count(at, slot, -1);
    memory_slot_return(at, slot);
}

/* ------------------------------------------------------------------ rebuilding */

int memory_slot_sound(const memory_locked_t *at, const memory_slot_t *slot, uint32_t code)
{
    return memory_slot_bytes(slot) + MEMORY_SLOT_HEAD
               <= at->segment->slot_size[memory_code_class(code)]
           && memory_shard_of(at->segment, slot->key[0]) == at->index
           && memory_space_guarded(memory_slot_space(slot)) == memory_code_guarded(code);
}

/* Links a record that the walk has met. Its page counts the slot as used. */
static void memory_rebuild_slot(memory_locked_t *at, memory_slot_t *slot)
{
    uint32_t *link = memory_shard_link(at, slot->key, memory_slot_space(slot));
    memory_slot_t *other = *link ? memory_slot_at(at, *link) : NULL;

    if (other && other->state >= slot->state) {
        memory_store_state(slot, 0);
        memory_slot_return(at, slot);
        return;
    }
    slot->next = other ? other->next : 0;
    *link = memory_reference(at, slot);
    memory_slot_count(at, slot, 1);
    if (other) {
        memory_store_state(other, 0);
        memory_slot_count(at, other, -1);
        memory_slot_return(at, other);
    }
    if (slot->expires && slot->expires < at->shard->soonest) {
        at->shard->soonest = slot->expires;
    }
}

/* A page of slots, or a run. First who is free, so that the page is in order; then who is not. */
static void memory_rebuild_page(memory_locked_t *at, uint32_t number)
{
    memory_page_t *page = &at->pages[number];
    uint32_t class = memory_code_class(page->code), i;

    at->shard->classes[page->code].pages++;
    page->used = (uint16_t)at->segment->slots[class];
    at->shard->spare -= at->segment->span[class];
    for (i = 1; i < at->segment->span[class]; i++) {
        memory_store_code(&page[i], 0);
        page[i].tail = (uint16_t)i;
    }
    for (i = at->segment->slots[class]; i-- > 0 && page->code; ) {
        memory_slot_t *slot = memory_page_slot(at, number, i);

        if (slot->state == 0 || !memory_slot_sound(at, slot, page->code)) {
            memory_store_state(slot, 0);
            memory_slot_return(at, slot);
        }
    }
    for (i = 0; page->code && i < at->segment->slots[class]; i++) {
        memory_slot_t *slot = memory_page_slot(at, number, i);

        if (slot->state != 0) {
            memory_rebuild_slot(at, slot);
        }
    }
}

/* All that is derived, as in an empty shard, but for the buckets: in fresh memory they are zero,
 * and to touch them would use it. */
static void memory_rebuild_clear(memory_locked_t *at)
{
    memory_shard_t *shard = at->shard;
    uint64_t limit = at->segment->header->limit;
    uint64_t mine = limit / at->segment->header->shards;
    uint32_t i;

    shard->limit = limit;
    shard->pages = memory_segment_pages(mine, at->segment->header->page_size);
    shard->mask = memory_segment_buckets(mine) - 1;
    shard->hand = shard->sweep_page = shard->sweep_wait = 0;
    shard->records = shard->bytes = 0;
    shard->sweep_soonest = shard->soonest = INT64_MAX;
    shard->spare = shard->pages;
    memset(shard->classes, 0, sizeof(shard->classes));
    for (i = 0; i < shard->pages; i++) {
        memory_page_t *page = &at->pages[i];

        page->listed = 0;
        page->tail = page->used = 0;
        page->free = page->prev = page->next = 0;
    }
}

void memory_shard_rebuild(memory_locked_t *at)
{
    uint32_t page = 0;

    memory_rebuild_clear(at);
    memset(at->buckets, 0, ((size_t)at->shard->mask + 1) * sizeof(uint32_t));
    while (page < at->shard->pages) {
        uint32_t code = at->pages[page].code, span = 1;

        if (code != 0) {
            span = code <= 2 * at->segment->classes
                   ? at->segment->span[memory_code_class(code)] : 0;
            if (span == 0 || page + span > at->shard->pages) {
                memory_store_code(&at->pages[page], 0);
                span = 1;
            }
            else {
                memory_rebuild_page(at, page);
            }
        }
        page += span;
    }
}

static apr_status_t memory_shard_mutex(memory_shard_t *shard)
{
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);

    if (error != 0) {
        return APR_FROM_OS_ERROR(error);
    }
    error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (error == 0) {
        error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    }
    if (error == 0) {
        error = pthread_mutex_init(&shard->mutex, &attributes);
    }
    pthread_mutexattr_destroy(&attributes);
    return APR_FROM_OS_ERROR(error);
}

apr_status_t memory_shard_format(const memory_segment_t *segment, uint32_t index)
{
    memory_locked_t at;
    apr_status_t status;

    memory_shard_view(&at, segment, index);
    status = memory_shard_mutex(at.shard);
    if (status == APR_SUCCESS) {
        memory_rebuild_clear(&at);
    }
    return status;
}

apr_status_t memory_shard_reopen(const memory_segment_t *segment, uint32_t index)
{
    memory_locked_t at;
    apr_status_t status;

    memory_shard_view(&at, segment, index);
    memset(at.shard, 0, sizeof(*at.shard));
    status = memory_shard_mutex(at.shard);
    if (status == APR_SUCCESS) {
        memory_shard_rebuild(&at);
    }
    return status;
}
