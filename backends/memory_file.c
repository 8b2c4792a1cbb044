/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "memory_move.h"
#include "memory_place.h"
#include "memory_shard.h"
#include "memory_truth.h"

/* What a look at the header comes to. */
typedef enum {
    FILE_FOREIGN,
    FILE_EMPTY,
    FILE_USE,
    FILE_ASIDE                          /* with why */
} file_verdict_t;

/* ------------------------------------------------------------------ room */

static apr_status_t file_allocate(int descriptor, uint64_t from, uint64_t bytes)
{
    while (fallocate(descriptor, 0, (off_t)from, (off_t)bytes) != 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return APR_SUCCESS;
}

/* The parts in use of the drawing in memory_segment.h. */
static apr_status_t file_room_of_shard(int descriptor, const memory_segment_t *plan, uint32_t index,
                                       uint64_t limit)
{
    const memory_header_t *header = plan->header;
    uint64_t base = MEMORY_HEADER_SIZE + index * header->stride, mine = limit / header->shards;
    uint64_t pages = memory_segment_pages(mine, header->page_size);
    apr_status_t status;

    status = file_allocate(descriptor, base,
                           plan->page_table_at + pages * sizeof(memory_page_t));
    if (status == APR_SUCCESS) {
        status = file_allocate(descriptor, base + plan->buckets_at,
                               (uint64_t)memory_segment_buckets(mine) * sizeof(uint32_t));
    }
    if (status == APR_SUCCESS) {
        status = file_allocate(descriptor, base + plan->data_at, pages << plan->page_shift);
    }
    return status;
}

/* fallocate() itself: what stands in for it in the C library, where a file system has none, writes
 * to pages that others are writing to. */
apr_status_t memory_file_room(int descriptor, const memory_header_t *header, apr_uint64_t limit,
                              bsession_call_t *call)
{
    memory_header_t copy = *header;
    memory_segment_t plan;
    apr_status_t status = file_allocate(descriptor, 0, MEMORY_HEADER_SIZE);
    char text[MEMORY_SIZE_TEXT];
    uint32_t i;

    memory_segment_places(&plan, &copy);
    for (i = 0; i < header->shards && status == APR_SUCCESS; i++) {
        status = file_room_of_shard(descriptor, &plan, i, limit);
    }
    if (status == EOPNOTSUPP) {
        return memory_say(status, call, "its file system cannot set room aside for a file");
    }
    if (status != APR_SUCCESS) {
        return memory_say(status, call, "there is no room for %s: %s",
                          memory_size_text(text, limit), strerror(status));
    }
    return APR_SUCCESS;
}

static apr_status_t file_map(memory_segment_t *segment, int descriptor, uint64_t bytes)
{
    void *base;

    if (bytes > APR_SIZE_MAX) {             /* a machine of 32 bits has no such addresses */
        return ENOMEM;
    }
    base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (base == MAP_FAILED) {
        return errno;
    }
    segment->header = base;
    return APR_SUCCESS;
}

/* ------------------------------------------------------------------ a new one */

static void file_boot_id(char id[40])
{
    int descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    memset(id, 0, 40);
    if (descriptor >= 0) {
        if (read(descriptor, id, 36) < 0) {
            id[0] = '\0';
        }
        close(descriptor);
    }
}

/* As long as what is reserved, with room for the limit, and mapped. What begins it says at once
 * whose it is, should this process end here. */
static apr_status_t file_lay_out(memory_segment_t *segment, int descriptor, uint64_t size,
                                 bsession_call_t *call)
{
    memory_header_t plan;
    apr_status_t status = APR_ENOMEM;
    uint64_t times;

    for (times = MEMORY_RESERVE_TIMES; times >= 1 && status != APR_SUCCESS; times /= 2) {
        memory_header_plan(&plan, size, size * times);
        file_boot_id(plan.boot_id);
        if (ftruncate(descriptor, 0) != 0
            || pwrite(descriptor, &plan, sizeof(plan), 0) != (ssize_t)sizeof(plan)
            || ftruncate(descriptor, (off_t)plan.reserve) != 0) {
            status = errno;
        }
        else {
            status = file_map(segment, descriptor, plan.reserve);
        }
    }
    if (status != APR_SUCCESS) {
        return memory_say(status, call, "a file of %" APR_UINT64_T_FMT " bytes cannot be made: %s",
                          (apr_uint64_t)plan.reserve, strerror(status));
    }
    status = memory_file_room(descriptor, &plan, size, call);
    if (status == APR_SUCCESS) {
        memory_segment_places(segment, segment->header);
        status = memory_segment_format(segment, call);
    }
    if (status != APR_SUCCESS) {
        munmap(segment->header, plan.reserve);
    }
    return status;
}

/* `from`, which may be NULL: the records that are to be in it, as far as there is room. Only who has
 * the temporary file gives the name to a new one; APR_EAGAIN where another httpd has done so since
 * nothing was there. */
static apr_status_t file_new(memory_segment_t *segment, int *descriptor, const char *path,
                             uint64_t size, const memory_segment_t *from, bsession_call_t *call)
{
    const char *temporary = apr_pstrcat(call->pool, path, ".new", NULL);
    apr_uint64_t moved = 0, live = 0;
    apr_status_t status = memory_place_take(descriptor, temporary, O_CREAT, call);
    char text[MEMORY_SIZE_TEXT];

    if (status != APR_SUCCESS) {
        return memory_say(status, call, "%s; the one with .new behind its name",
                          apr_pstrdup(call->pool, call->why));
    }
    if (memory_place_is_foreign(*descriptor)) {
        close(*descriptor);
        return memory_say(APR_EEXIST, call, "a file with .new behind its name is in the way");
    }
    if (!from && memory_place_is_used(path)) {
        unlink(temporary);
        close(*descriptor);
        return APR_EAGAIN;
    }
    status = file_lay_out(segment, *descriptor, size, call);
    if (status == APR_SUCCESS) {
        status = from ? memory_move(segment, from, &moved, &live) : APR_SUCCESS;
        if (status == APR_SUCCESS) {
            status = memory_place_name(temporary, path, call);
        }
        if (status != APR_SUCCESS) {
            munmap(segment->header, segment->header->reserve);
        }
    }
    if (status != APR_SUCCESS) {
        unlink(temporary);
        close(*descriptor);
    }
    else if (moved < live) {
        memory_say(status, call, "of %" APR_UINT64_T_FMT " records only %" APR_UINT64_T_FMT
                   " have room in %s, and the others are gone", live, moved,
                   memory_size_text(text, size));
    }
    return status;
}

/* ------------------------------------------------------------------ the one that is there */

static file_verdict_t file_look(int descriptor, memory_header_t *header, const char **why)
{
    struct stat status;
    char boot_id[40];

    memset(header, 0, sizeof(*header));
    if (fstat(descriptor, &status) == 0 && status.st_size == 0) {
        return FILE_EMPTY;
    }
    if (!memory_place_is_ours(descriptor)) {
        return FILE_FOREIGN;
    }
    if (pread(descriptor, header, sizeof(*header), 0) != (ssize_t)sizeof(*header)) {
        *why = "it was cut off";
        return FILE_ASIDE;
    }
    if (header->layout != MEMORY_LAYOUT) {
        *why = "it was laid out by another version";
        return FILE_ASIDE;
    }
    if (!memory_header_is_sound(header)
        || (header->clean == 1 && !memory_truth_is_header(header))) {
        *why = "it was damaged";
        return FILE_ASIDE;
    }
    if ((uint64_t)status.st_size != header->reserve) {
        *why = "it was cut off, or added to";
        return FILE_ASIDE;
    }
    file_boot_id(boot_id);
    if (header->clean != 1
        && (!boot_id[0] || memcmp(header->boot_id, boot_id, sizeof(boot_id)) != 0)) {
        *why = "the machine ended before httpd did";
        return FILE_ASIDE;
    }
    return FILE_USE;
}

/* From here on it is being changed; the disk knows that first. */
static apr_status_t file_begin(const memory_segment_t *segment, int descriptor,
                               bsession_call_t *call)
{
    memory_header_t *header = segment->header;
    apr_status_t status = APR_SUCCESS;
    uint32_t i;

    header->clean = 0;
    file_boot_id(header->boot_id);
    if (fdatasync(descriptor) != 0) {
        return memory_say(errno, call, "the file cannot be written: %s", strerror(errno));
    }
    for (i = 0; i < header->shards && status == APR_SUCCESS; i++) {
        status = memory_shard_reopen(segment, i);
    }
    return status;
}

/* APR_EGENERAL, with why: it is damaged. */
static apr_status_t file_use(memory_segment_t *segment, int descriptor,
                             const memory_header_t *header, bsession_call_t *call)
{
    apr_status_t status = memory_file_room(descriptor, header, header->limit, call);

    if (status != APR_SUCCESS) {
        return status;
    }
    status = file_map(segment, descriptor, header->reserve);
    if (status != APR_SUCCESS) {
        return memory_say(status, call, "%" APR_UINT64_T_FMT " bytes cannot be mapped: %s",
                          (apr_uint64_t)header->reserve, strerror(status));
    }
    memory_segment_places(segment, segment->header);
    status = memory_truth_check(segment, header->clean == 1, call);
    if (status == APR_SUCCESS) {
        status = file_begin(segment, descriptor, call);
    }
    if (status != APR_SUCCESS) {
        munmap(segment->header, header->reserve);
    }
    return status;
}

static apr_status_t file_replace(memory_segment_t *segment, int *descriptor, const char *path,
                                 uint64_t size, const char *wrong, bsession_call_t *call)
{
    char why[sizeof(call->why)];
    apr_status_t status;

    apr_cpystrn(why, wrong, sizeof(why));
    status = memory_place_aside(path, call);
    close(*descriptor);
    if (status == APR_SUCCESS) {
        status = file_new(segment, descriptor, path, size, NULL, call);
    }
    if (status == APR_SUCCESS) {
        memory_say(status, call, "begins empty: the file was set aside, with .aside behind its "
                   "name: %s", why);
    }
    return status;
}

/* In place where that can be; or else all moves to a new file. Where neither can be, it stays. */
static void file_resize(memory_segment_t *segment, int *descriptor, const char *path, uint64_t size,
                        bsession_call_t *call)
{
    memory_segment_t other;
    char why[sizeof(call->why)], text[MEMORY_SIZE_TEXT];
    apr_status_t status;
    int of_other;

    if (size > segment->header->limit && size <= memory_header_most(segment->header)) {
        status = memory_file_room(*descriptor, segment->header, size, call);
        if (status == APR_SUCCESS) {
            segment->header->limit = size;
        }
    }
    else {
        status = file_new(&other, &of_other, path, size, segment, call);
        if (status == APR_SUCCESS) {
            munmap(segment->header, segment->header->reserve);
            close(*descriptor);
            *segment = other;
            *descriptor = of_other;
        }
    }
    if (status != APR_SUCCESS) {
        apr_cpystrn(why, call->why, sizeof(why));
        memory_say(status, call, "stays at %s: %s",
                   memory_size_text(text, segment->header->limit), why);
    }
}

static apr_status_t file_open_once(memory_segment_t *segment, int *descriptor, const char *path,
                                   apr_uint64_t size, bsession_call_t *call)
{
    memory_header_t header;
    const char *why = "";
    apr_status_t status = memory_place_take(descriptor, path, 0, call);

    if (APR_STATUS_IS_ENOENT(status)) {
        call->why[0] = '\0';
        return file_new(segment, descriptor, path, size, NULL, call);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    switch (file_look(*descriptor, &header, &why)) {
    case FILE_FOREIGN:
        close(*descriptor);
        return memory_say(APR_EINVAL, call, "there is a file that this module has not made; move "
                          "it away, or name another");
    case FILE_EMPTY:
        close(*descriptor);
        return file_new(segment, descriptor, path, size, NULL, call);
    case FILE_ASIDE:
        return file_replace(segment, descriptor, path, size, why, call);
    case FILE_USE:
        break;
    }
    status = file_use(segment, *descriptor, &header, call);
    if (status == APR_EGENERAL) {
        return file_replace(segment, descriptor, path, size, call->why, call);
    }
    if (status != APR_SUCCESS) {
        close(*descriptor);
    }
    else if (size != segment->header->limit) {
        file_resize(segment, descriptor, path, size, call);
    }
    return status;
}

apr_status_t memory_file_open(memory_segment_t *segment, int *descriptor, const char *path,
                              apr_uint64_t size, bsession_call_t *call)
{
    apr_status_t status;

    do {
        status = file_open_once(segment, descriptor, path, size, call);
    } while (status == APR_EAGAIN);
    return status;
}

/* ------------------------------------------------------------------ the end */

apr_status_t memory_file_leave(const memory_segment_t *segment, int descriptor,
                               bsession_call_t *call)
{
    memory_truth_seal(segment);
    if (fdatasync(descriptor) == 0) {
        segment->header->clean = 1;
        if (fdatasync(descriptor) == 0) {
            return APR_SUCCESS;
        }
        segment->header->clean = 0;
    }
    return memory_say(errno, call, "the file cannot be written: %s", strerror(errno));
}
