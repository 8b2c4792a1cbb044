/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memory_kept.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <apr_strings.h>

#include "memory_file.h"
#include "memory_place.h"

/* What the process pool keeps over a graceful restart. The next generation's code may be another
 * build: this struct never changes, and `layout` tells it whether it may look at the rest. */
typedef struct {
    uint32_t   layout;
    int        descriptor;          /* of the file; -1 */
    void      *base;
    apr_size_t size;
} memory_kept_t;

/* Children of the old generation read the limit too: from now on whoever locks a shard makes use of
 * it, whichever generation he is of. */
static void kept_grow(const memory_segment_t *segment, int descriptor, uint64_t size,
                      bsession_call_t *call)
{
    memory_header_t *header = segment->header;
    uint64_t most = memory_header_most(header), to = size < most ? size : most;
    char text[MEMORY_SIZE_TEXT], why[sizeof(call->why)];

    if (to > header->limit && descriptor >= 0
        && memory_file_room(descriptor, header, to, call) != APR_SUCCESS) {
        apr_cpystrn(why, call->why, sizeof(why));
        memory_say(APR_SUCCESS, call, "stays at %s: %s", memory_size_text(text, header->limit),
                   why);
        return;
    }
    if (to > header->limit) {
        __atomic_store_n(&header->limit, to, __ATOMIC_RELEASE);
    }
    if (to < size) {
        memory_say(APR_SUCCESS, call, "has %s, the most that it can grow to until httpd is "
                   "stopped and started", memory_size_text(text, header->limit));
    }
}

static void kept_resize(const memory_segment_t *segment, int descriptor, uint64_t size,
                        bsession_call_t *call)
{
    uint64_t limit = segment->header->limit;
    char text[MEMORY_SIZE_TEXT];

    if (size > limit) {
        kept_grow(segment, descriptor, size, call);
    }
    else if (size < limit) {
        memory_say(APR_SUCCESS, call, "stays at %s until httpd is stopped and started: it cannot "
                   "shrink while it is in use", memory_size_text(text, limit));
    }
}

/* Laid out by another build, for which the children of the old generation go on with it. */
static apr_status_t kept_give_up(const memory_kept_t *kept, const char *path, bsession_call_t *call)
{
    if (kept->descriptor >= 0 && memory_place_is_at(kept->descriptor, path)) {
        apr_status_t status = memory_place_aside(path, call);

        if (status != APR_SUCCESS) {
            return status;
        }
    }
    if (kept->descriptor >= 0) {
        close(kept->descriptor);
    }
    munmap(kept->base, kept->size);
    return APR_SUCCESS;
}

static apr_status_t kept_begin(memory_kept_t *kept, memory_segment_t *segment, const char *path,
                               uint64_t size, bsession_call_t *call)
{
    int descriptor = -1;
    apr_status_t status = path ? memory_file_open(segment, &descriptor, path, size, call)
                               : memory_segment_new(segment, size, call);

    if (status == APR_SUCCESS) {
        kept->layout = MEMORY_LAYOUT;
        kept->descriptor = descriptor;
        kept->base = segment->header;
        kept->size = segment->header->reserve;
    }
    return status;
}

apr_status_t memory_kept_open(memory_segment_t *segment, int *descriptor, const char *name,
                              const char *path, apr_uint64_t size, apr_pool_t *process_pool,
                              bsession_call_t *call)
{
    const char *key = apr_pstrcat(call->pool, "mod_bsession memory ", path ? path : name, NULL);
    memory_kept_t *kept;
    void *found = NULL;
    apr_status_t status = APR_SUCCESS;

    apr_pool_userdata_get(&found, key, process_pool);
    kept = found;
    if (kept && kept->layout == MEMORY_LAYOUT) {
        memory_segment_places(segment, kept->base);
        *descriptor = kept->descriptor;
        kept_resize(segment, kept->descriptor, size, call);
        if (path && !memory_place_is_at(kept->descriptor, path)) {
            memory_say(status, call, "its file was removed or replaced while httpd ran: what it "
                       "holds will end with httpd");
        }
        return status;
    }
    if (kept) {
        status = kept_give_up(kept, path, call);
    }
    else {
        kept = apr_pcalloc(process_pool, sizeof(*kept));
    }
    if (status == APR_SUCCESS) {
        status = kept_begin(kept, segment, path, size, call);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    if (found) {
        memory_say(status, call, "begins empty: it was laid out by another version");
    }
    *descriptor = kept->descriptor;
    return apr_pool_userdata_set(kept, key, apr_pool_cleanup_null, process_pool);
}
