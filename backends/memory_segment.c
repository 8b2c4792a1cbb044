/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <apr_strings.h>

#include "memory_segment.h"
#include "memory_shard.h"

_Static_assert(sizeof(memory_header_t) <= MEMORY_HEADER_SIZE, "the header has its own page");
_Static_assert(sizeof(memory_shard_t) <= MEMORY_SHARD_SIZE, "see memory_segment.h");

#define MEMORY_SHARD_RESERVE    ((uint64_t)16 << 20)    /* below this no second shard */
#define MEMORY_SHARD_MAX        ((uint64_t)64 << 30)    /* what a reference can reach */
#define MEMORY_PAGE_MIN         (16u << 10)
#define MEMORY_PAGE_MAX         (1u << 20)
#define MEMORY_BYTES_A_BUCKET   256u
#define MEMORY_SLOT_MIN         64u

static uint64_t memory_floor_power(uint64_t n)
{
    return (uint64_t)1 << (63 - __builtin_clzll(n));
}

static uint64_t memory_round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

uint32_t memory_segment_buckets(uint64_t shard_limit)
{
    return (uint32_t)memory_floor_power(shard_limit / MEMORY_BYTES_A_BUCKET);
}

/* What more buckets would take is left for them before they are doubled: with a higher limit there
 * are never fewer pages. */
uint32_t memory_segment_pages(uint64_t shard_limit, uint32_t page_size)
{
    uint64_t taken = MEMORY_SHARD_SIZE + shard_limit / MEMORY_BYTES_A_BUCKET * sizeof(uint32_t);

    return (uint32_t)((shard_limit - taken) / (page_size + sizeof(memory_page_t)));
}

/* Sizes grow by an eighth to a fifth, four to a doubling, so that rounding up costs a tenth on
 * average; each is then stretched to what its number of slots leaves of the page. */
static void memory_segment_classes(memory_segment_t *segment)
{
    uint32_t page = segment->header->page_size, size, step, n = 0;

    for (size = MEMORY_SLOT_MIN; size <= page; size += step) {
        uint32_t slots = page / size, stretched = page / slots / MEMORY_UNIT * MEMORY_UNIT;

        step = (uint32_t)memory_floor_power(size) / 4;
        if (n == 0 || stretched != segment->slot_size[n - 1]) {
            segment->slot_size[n] = stretched;
            segment->slots[n] = slots;
            segment->span[n++] = 1;
        }
    }
    for (size = 2; n < MEMORY_CLASSES; size += step) {
        step = size < 8 ? 1 : (uint32_t)memory_floor_power(size) / 4;
        segment->slot_size[n] = size * page;
        segment->slots[n] = 1;
        segment->span[n++] = size;
        if ((uint64_t)size * page > MEMORY_LARGEST) {
            break;
        }
    }
    segment->classes = n;
}

/* Where things lie follows from the reserve alone. */
void memory_segment_places(memory_segment_t *segment, memory_header_t *header)
{
    memset(segment, 0, sizeof(*segment));
    segment->header = header;
    segment->page_shift = (uint32_t)__builtin_ctz(header->page_size);
    segment->pages_max = memory_segment_pages(header->shard_reserve, header->page_size);
    segment->page_table_at = MEMORY_SHARD_SIZE;
    segment->buckets_at = memory_round_up(segment->page_table_at + (uint64_t)segment->pages_max
                                          * sizeof(memory_page_t), 64);
    segment->data_at = memory_round_up(segment->buckets_at + sizeof(uint32_t)
                                       * (uint64_t)memory_segment_buckets(header->shard_reserve),
                                       MEMORY_HEADER_SIZE);
    memory_segment_classes(segment);
}

/* The rest of a header, of which shards, shard_reserve and page_size are known. */
static void memory_header_lay_out(memory_header_t *header)
{
    memory_segment_t plan;

    memory_segment_places(&plan, header);
    header->stride = memory_round_up(plan.data_at + ((uint64_t)plan.pages_max << plan.page_shift),
                                     MEMORY_HEADER_SIZE);
    header->reserve = MEMORY_HEADER_SIZE + header->shards * header->stride;
}

void memory_header_plan(memory_header_t *header, uint64_t limit, uint64_t reserve)
{
    uint64_t shards = reserve / MEMORY_SHARD_RESERVE, page;

    shards = shards < 1 ? 1 : shards > MEMORY_SHARDS ? MEMORY_SHARDS : shards;
    page = memory_floor_power(limit / shards / 1024);
    page = page < MEMORY_PAGE_MIN ? MEMORY_PAGE_MIN
           : page > MEMORY_PAGE_MAX ? MEMORY_PAGE_MAX : page;
    memset(header, 0, sizeof(*header));
    memcpy(header->magic, MEMORY_MAGIC, sizeof(MEMORY_MAGIC));
    header->layout = MEMORY_LAYOUT;
    header->shards = (uint32_t)shards;
    header->limit = limit;
    header->page_size = (uint32_t)page;
    header->shard_reserve = reserve / shards;
    if (header->shard_reserve > MEMORY_SHARD_MAX) {
        header->shard_reserve = MEMORY_SHARD_MAX;
    }
    memory_header_lay_out(header);
}

uint64_t memory_header_most(const memory_header_t *header)
{
    uint64_t most = header->shard_reserve * header->shards;

    return most > MEMORY_SIZE_MAX ? MEMORY_SIZE_MAX : most;
}

/* First what the computing leans on, and then that it comes to the same. */
int memory_header_is_sound(const memory_header_t *header)
{
    memory_header_t again = *header;

    if (memcmp(header->magic, MEMORY_MAGIC, sizeof(MEMORY_MAGIC)) != 0
        || header->layout != MEMORY_LAYOUT
        || header->shards < 1 || header->shards > MEMORY_SHARDS
        || header->page_size < MEMORY_PAGE_MIN || header->page_size > MEMORY_PAGE_MAX
        || (header->page_size & (header->page_size - 1)) != 0
        || header->shard_reserve > MEMORY_SHARD_MAX
        || header->limit / header->shards < MEMORY_SIZE_MIN
        || header->limit / header->shards / header->page_size < MEMORY_SIZE_MIN / MEMORY_PAGE_MIN
        || header->limit / header->shards > header->shard_reserve) {
        return 0;
    }
    memory_header_lay_out(&again);
    return again.stride == header->stride && again.reserve == header->reserve;
}

static void *memory_segment_map(memory_header_t *plan, uint64_t limit)
{
    uint64_t times;

    for (times = MEMORY_RESERVE_TIMES; times >= 1; times /= 2) {
        void *base;

        memory_header_plan(plan, limit, limit * times);
        if (plan->reserve > APR_SIZE_MAX) {
            errno = ENOMEM;                 /* a machine of 32 bits has no such addresses */
            continue;
        }
        base = mmap(NULL, plan->reserve, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base != MAP_FAILED) {
            return base;
        }
    }
    return NULL;
}

apr_status_t memory_segment_format(const memory_segment_t *segment, bsession_call_t *call)
{
    apr_status_t status = APR_SUCCESS;
    uint32_t i;

    for (i = 0; i < segment->header->shards && status == APR_SUCCESS; i++) {
        status = memory_shard_format(segment, i);
    }
    if (status != APR_SUCCESS) {
        apr_cpystrn(call->why, "this system has no robust mutexes shared by processes",
                    sizeof(call->why));
    }
    return status;
}

apr_status_t memory_segment_new(memory_segment_t *segment, apr_uint64_t size,
                                bsession_call_t *call)
{
    memory_header_t plan;
    apr_status_t status;
    void *base = memory_segment_map(&plan, size);

    if (!base) {
        status = apr_get_os_error();
        apr_snprintf(call->why, sizeof(call->why), "cannot map %" APR_UINT64_T_FMT
                     " bytes of shared memory: %s", (apr_uint64_t)plan.reserve, strerror(status));
        return status;
    }
    memcpy(base, &plan, sizeof(plan));
    memory_segment_places(segment, base);
    status = memory_segment_format(segment, call);
    if (status != APR_SUCCESS) {
        munmap(base, plan.reserve);
    }
    return status;
}

const char *memory_size_text(char text[MEMORY_SIZE_TEXT], apr_uint64_t size)
{
    static const char unit[] = "BKMGT";
    int i = 0;

    while (i < 4 && size % 1024 == 0) {
        size /= 1024;
        i++;
    }
    apr_snprintf(text, MEMORY_SIZE_TEXT, "%" APR_UINT64_T_FMT "%c", size, unit[i]);
    return text;
}

apr_size_t memory_segment_largest(const memory_segment_t *segment)
{
    uint64_t slot = segment->header->limit / segment->header->shards / 8;

    return (slot > MEMORY_LARGEST ? MEMORY_LARGEST : slot) - MEMORY_SLOT_HEAD;
}

uint32_t memory_segment_class(const memory_segment_t *segment, apr_size_t bytes)
{
    uint32_t low = 0, high = segment->classes - 1;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (segment->slot_size[middle] < bytes) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low;
}
