/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include <stdarg.h>
#include <string.h>

#include <apr_strings.h>

#include "memory_check.h"
#include "memory_shard.h"

#define CHECK_SENTENCES 32      /* a shard that is wrong at all is often wrong everywhere */

/* One shard while it is looked at. `marks` has two bits for each unit of 16 bytes a slot can begin
 * at: a record begins here; a chain or a free list came here. */
typedef struct {
    memory_locked_t     at;
    apr_array_header_t *sentences;
    unsigned char      *marks;
    apr_size_t          units;
    uint64_t            records, bytes;
    uint32_t            spare;
    int                 wrong;
} memory_check_t;

enum { CHECK_RECORD = 1, CHECK_FREE = 2, CHECK_REACHED = 4 };

static void __attribute__((format(printf, 2, 3)))
check_say(memory_check_t *check, const char *format, ...)
{
    apr_pool_t *pool = check->sentences->pool;
    va_list arguments;

    if (check->wrong++ < CHECK_SENTENCES) {
        va_start(arguments, format);
        APR_ARRAY_PUSH(check->sentences, const char *)
            = apr_psprintf(pool, "shard %u: %s", check->at.index,
                           apr_pvsprintf(pool, format, arguments));
        va_end(arguments);
    }
}

/* The marks of a reference, or NULL where it leads out of the pages in use. */
static unsigned char *check_mark(memory_check_t *check, uint32_t reference)
{
    uint64_t first = check->at.segment->data_at / MEMORY_UNIT;

    return reference >= first && reference - first < check->units
           ? &check->marks[reference - first] : NULL;
}

/* ------------------------------------------------------------------ the truth */

static void check_record(memory_check_t *check, uint32_t page, const memory_slot_t *slot,
                         uint32_t size)
{
    uint32_t code = check->at.pages[page].code;

    if (memory_slot_bytes(slot) + MEMORY_SLOT_HEAD > size) {
        check_say(check, "page %u: a record of %u bytes in a slot of %u", page,
                  memory_slot_bytes(slot), size);
    }
    if (memory_shard_of(check->at.segment, slot->key[0]) != check->at.index) {
        check_say(check, "page %u: a record that belongs to another shard", page);
    }
    if (memory_space_guarded(memory_slot_space(slot)) != memory_code_guarded(code)) {
        check_say(check, "page %u: a record of space %c in a page of the other kind", page,
                  memory_space_letter(memory_slot_space(slot)));
    }
    if (slot->expires != 0 && slot->expires < check->at.shard->soonest
        && slot->expires < check->at.shard->sweep_soonest) {
        check_say(check, "page %u: a record ends before the soonest that is known", page);
    }
}

/* The slots of a page or run, against what the page says of them. */
static void check_page(memory_check_t *check, uint32_t number)
{
    const memory_page_t *page = &check->at.pages[number];
    uint32_t class = memory_code_class(page->code), used = 0, i;
    uint32_t size = check->at.segment->slot_size[class];

    for (i = 0; i < check->at.segment->slots[class]; i++) {
        const memory_slot_t *slot = memory_page_slot(&check->at, number, i);
        unsigned char *mark = check_mark(check, memory_reference(&check->at, slot));

        *mark |= slot->state ? CHECK_RECORD : CHECK_FREE;
        if (slot->state) {
            used++;
            check_record(check, number, slot, size);
        }
    }
    check->records += used;
    check->bytes += (uint64_t)used * size;
    if (used == 0) {
        check->spare += check->at.segment->span[class];
    }
    if (used != page->used) {
        check_say(check, "page %u: %u records, but it counts %u", number, used, page->used);
    }
    if ((used < check->at.segment->slots[class]) != (page->listed != 0)) {
        check_say(check, "page %u: %s listed with %u of %u slots used", number,
                  page->listed ? "is" : "is not", used, check->at.segment->slots[class]);
    }
}

static uint32_t check_span(memory_check_t *check, uint32_t number)
{
    uint32_t code = check->at.pages[number].code, span, i;

    if (code == 0) {
        if (check->at.pages[number].tail != 0 || check->at.pages[number].used != 0) {
            check_say(check, "page %u: free, but not in order", number);
        }
        check->spare++;
        return 1;
    }
    span = code <= 2 * check->at.segment->classes
           ? check->at.segment->span[memory_code_class(code)] : 0;
    if (span == 0 || number + span > check->at.shard->pages) {
        check_say(check, "page %u: impossible class %u", number, code);
        return 1;
    }
    for (i = 1; i < span; i++) {
        const memory_page_t *page = &check->at.pages[number + i];

        if (page->code != 0 || page->tail != i || page->used != 0) {
            check_say(check, "page %u: not in order inside the run from page %u", number + i,
                      number);
        }
    }
    check_page(check, number);
    return span;
}

/* ------------------------------------------------------------------ the derived */

/* Whether the same key comes again further down; chains are short. */
static int check_twice(memory_check_t *check, const memory_slot_t *slot)
{
    uint32_t reference = slot->next, steps = 0;

    while (reference && check_mark(check, reference) && steps++ < check->units) {
        const memory_slot_t *other = memory_slot_at(&check->at, reference);

        if (memcmp(other->key, slot->key, sizeof(slot->key)) == 0
            && memory_slot_space(other) == memory_slot_space(slot)) {
            return 1;
        }
        reference = other->next;
    }
    return 0;
}

static void check_chain(memory_check_t *check, uint32_t bucket)
{
    uint32_t reference = check->at.buckets[bucket];

    while (reference) {
        const memory_slot_t *slot = memory_slot_at(&check->at, reference);
        unsigned char *mark = check_mark(check, reference);

        if (!mark || !(*mark & CHECK_RECORD) || *mark & CHECK_REACHED) {
            check_say(check, "bucket %u: its chain leads to %s", bucket, !mark ? "nowhere"
                      : *mark & CHECK_REACHED ? "a slot for the second time" : "no record");
            return;
        }
        *mark |= CHECK_REACHED;
        if (((uint32_t)slot->key[1] & check->at.shard->mask) != bucket) {
            check_say(check, "bucket %u: a record of another bucket", bucket);
        }
        if (check_twice(check, slot)) {
            check_say(check, "bucket %u: a key twice", bucket);
        }
        reference = slot->next;
    }
}

static void check_free_list(memory_check_t *check, uint32_t number)
{
    uint32_t reference = check->at.pages[number].free;

    while (reference) {
        const memory_slot_t *slot = memory_slot_at(&check->at, reference);
        unsigned char *mark = check_mark(check, reference);

        if (!mark || !(*mark & CHECK_FREE) || *mark & CHECK_REACHED
            || memory_page_of(&check->at, slot) != number) {
            check_say(check, "page %u: its free list leads to no free slot of its own", number);
            return;
        }
        *mark |= CHECK_REACHED;
        reference = slot->next;
    }
}

static void check_class(memory_check_t *check, uint32_t code)
{
    uint32_t page = check->at.shard->classes[code].open, prev = 0, pages = 0, i;

    for (i = 0; page && i <= check->at.shard->pages; i++) {
        if (page > check->at.shard->pages || check->at.pages[page - 1].code != code
            || check->at.pages[page - 1].prev != prev || !check->at.pages[page - 1].listed) {
            check_say(check, "class %u: its list leads to a page that is not listed so", code);
            return;
        }
        check_free_list(check, page - 1);
        prev = page;
        page = check->at.pages[page - 1].next;
    }
    for (i = 0; i < check->at.shard->pages; i++) {
        pages += check->at.pages[i].code == code;
    }
    if (pages != check->at.shard->classes[code].pages) {
        check_say(check, "class %u: %u pages, but it counts %u", code, pages,
                  check->at.shard->classes[code].pages);
    }
}

static void check_counts(memory_check_t *check)
{
    const memory_shard_t *shard = check->at.shard;
    apr_size_t i;

    for (i = 0; i < check->units; i++) {
        if (check->marks[i] && !(check->marks[i] & CHECK_REACHED)) {
            check_say(check, "a %s that nothing leads to",
                      check->marks[i] & CHECK_RECORD ? "record" : "free slot");
        }
    }
    if (shard->records != check->records || shard->bytes != check->bytes) {
        check_say(check, "%" APR_UINT64_T_FMT " records of %" APR_UINT64_T_FMT " bytes, but it "
                  "counts %" APR_UINT64_T_FMT " of %" APR_UINT64_T_FMT,
                  (apr_uint64_t)check->records, (apr_uint64_t)check->bytes,
                  (apr_uint64_t)shard->records, (apr_uint64_t)shard->bytes);
    }
    if (shard->spare != check->spare) {
        check_say(check, "%u pages without a record, but it counts %u", check->spare, shard->spare);
    }
}

/* ------------------------------------------------------------------ all of it */

/* What the walk leans on: without it there is no walking. */
static int check_frame(memory_check_t *check)
{
    const memory_shard_t *shard = check->at.shard;
    uint64_t mine = shard->limit / check->at.segment->header->shards;

    if (shard->limit != check->at.segment->header->limit
        || shard->pages != memory_segment_pages(mine, check->at.segment->header->page_size)
        || shard->pages > check->at.segment->pages_max
        || shard->mask != memory_segment_buckets(mine) - 1) {
        check_say(check, "its size does not follow from the limit");
        return 0;
    }
    if (shard->hand >= shard->pages || shard->sweep_page >= shard->pages) {
        check_say(check, "a hand stands outside of the pages");
    }
    return 1;
}

static void check_shard(memory_check_t *check, apr_pool_t *pool)
{
    const memory_shard_t *shard = check->at.shard;
    uint32_t i;

    if (!check_frame(check)) {
        return;
    }
    check->units = ((apr_size_t)shard->pages << check->at.segment->page_shift) / MEMORY_UNIT;
    check->marks = apr_pcalloc(pool, check->units);
    for (i = 0; i < shard->pages; ) {
        i += check_span(check, i);
    }
    for (i = 0; i <= shard->mask; i++) {
        check_chain(check, i);
    }
    for (i = 1; i <= 2 * check->at.segment->classes; i++) {
        check_class(check, i);
    }
    check_counts(check);
}

apr_status_t memory_check(const memory_segment_t *segment, apr_array_header_t *sentences,
                          bsession_call_t *call)
{
    apr_status_t status = APR_SUCCESS;
    int before = sentences->nelts;
    apr_pool_t *pool;
    uint32_t i;

    if (memcmp(segment->header->magic, MEMORY_MAGIC, sizeof(MEMORY_MAGIC)) != 0
        || segment->header->layout != MEMORY_LAYOUT) {
        APR_ARRAY_PUSH(sentences, const char *) = "the header is no header of this layout";
        return APR_EGENERAL;
    }
    apr_pool_create(&pool, call->pool);
    for (i = 0; i < segment->header->shards && status == APR_SUCCESS; i++) {
        memory_check_t check;

        memset(&check, 0, sizeof(check));
        check.sentences = sentences;
        status = memory_shard_lock(&check.at, segment, i, call);
        if (status == APR_SUCCESS) {
            check_shard(&check, pool);
            memory_shard_unlock(&check.at);
        }
        apr_pool_clear(pool);
    }
    apr_pool_destroy(pool);
    return status != APR_SUCCESS ? status
                                 : sentences->nelts > before ? APR_EGENERAL : APR_SUCCESS;
}
