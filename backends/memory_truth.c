/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memory_truth.h"

#include <stddef.h>
#include <string.h>

#include <apr_strings.h>

#include "memory_shard.h"

/* ------------------------------------------------------------------ numbers */

/* Against disks that forget, not against people: who may write the file may write the number. */
static uint64_t truth_mix(uint64_t number, uint64_t word)
{
    number = (number ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return number ^ number >> 29;
}

static uint64_t truth_mix_bytes(uint64_t number, const void *from, size_t bytes)
{
    const unsigned char *next = from;
    uint64_t word;

    for (; bytes >= sizeof(word); bytes -= sizeof(word), next += sizeof(word)) {
        memcpy(&word, next, sizeof(word));
        number = truth_mix(number, word);
    }
    word = bytes;
    memcpy(&word, next, bytes);
    return truth_mix(number, word);
}

static uint64_t truth_of_header(const memory_header_t *header)
{
    return truth_mix_bytes(1, header, offsetof(memory_header_t, seal));
}

int memory_truth_is_header(const memory_header_t *header)
{
    return header->seal == truth_of_header(header);
}

/* ------------------------------------------------------------------ shards */

/* The records of a page, or of a run.
 * @return NULL, or what is wrong with them */
static const char *truth_page(const memory_locked_t *at, uint32_t page, uint64_t *number)
{
    uint32_t code = at->pages[page].code, class = memory_code_class(code), i;

    *number = truth_mix(*number, (uint64_t)page << 8 | code);
    for (i = 0; i < at->segment->slots[class]; i++) {
        const memory_slot_t *slot = memory_page_slot(at, page, i);

        if (slot->state == 0) {
            continue;
        }
        if (!memory_slot_sound(at, slot, code)) {
            return "a record that cannot be there";
        }
        *number = truth_mix_bytes(*number, slot, offsetof(memory_slot_t, next));
        *number = truth_mix(*number, (uint64_t)i << 32 | slot->word);
        *number = truth_mix_bytes(*number, slot->body, memory_slot_bytes(slot));
    }
    return NULL;
}

/* How many pages the class takes; 0 where it cannot begin there. */
static uint32_t truth_span(const memory_locked_t *at, uint32_t page, uint32_t pages)
{
    uint32_t code = at->pages[page].code, span, i;

    if (code == 0) {
        return 1;
    }
    if (code > 2 * at->segment->classes) {
        return 0;
    }
    span = at->segment->span[memory_code_class(code)];
    if (span > pages - page) {
        return 0;
    }
    for (i = 1; i < span; i++) {
        if (at->pages[page + i].code != 0) {
            return 0;
        }
    }
    return span;
}

/* NULL, and the number; or what is wrong. */
static const char *truth_shard(const memory_segment_t *segment, uint32_t index, uint64_t *number)
{
    const memory_header_t *header = segment->header;
    uint32_t pages = memory_segment_pages(header->limit / header->shards, header->page_size);
    uint32_t page, span;
    const char *wrong = NULL;
    memory_locked_t at;

    memory_shard_view(&at, segment, index);
    *number = truth_mix(1, index);
    for (page = 0; page < pages && !wrong; page += span) {
        span = truth_span(&at, page, pages);
        if (span == 0) {
            return "a page of an impossible class";
        }
        wrong = at.pages[page].code ? truth_page(&at, page, number) : NULL;
    }
    return wrong;
}

/* ------------------------------------------------------------------ all of it */

void memory_truth_seal(const memory_segment_t *segment)
{
    memory_header_t *header = segment->header, clean;
    uint32_t i;

    for (i = 0; i < header->shards; i++) {
        truth_shard(segment, i, &header->seals[i]);
    }
    clean = *header;
    clean.clean = 1;
    header->seal = truth_of_header(&clean);
}

apr_status_t memory_truth_check(const memory_segment_t *segment, int sealed, bsession_call_t *call)
{
    uint32_t i;

    for (i = 0; i < segment->header->shards; i++) {
        uint64_t number;
        const char *wrong = truth_shard(segment, i, &number);

        if (!wrong && sealed && number != segment->header->seals[i]) {
            wrong = "records that are not those that were left";
        }
        if (wrong) {
            apr_snprintf(call->why, sizeof(call->why), "%s", wrong);
            return APR_EGENERAL;
        }
    }
    return APR_SUCCESS;
}
