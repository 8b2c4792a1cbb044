/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include <string.h>

#include <apr_strings.h>

#include "memory.h"
#include "memory_file.h"
#include "memory_kept.h"
#include "memory_place.h"
#include "memory_room.h"
#include "memory_scan.h"
#include "memory_segment.h"
#include "memory_shard.h"

#define MEMORY_SWEEP_SLOTS  16384u      /* of one shard, in one sweep */
#define MEMORY_SWEEP_TIME   (10 * 1000) /* and all of it together */

struct bsession_backend_t {
    const char                 *name;
    const char                 *path;       /* NULL: in no file */
    const bsession_services_t  *services;
    apr_uint64_t                size;
    memory_segment_t            segment;
    int                         descriptor;
};

const memory_segment_t *memory_backend_segment(const bsession_backend_t *backend)
{
    return &backend->segment;
}

/* ------------------------------------------------------------------ configuration and start */

static const char *memory_path_wrong(const char *path)
{
    if (*path == '\0') {
        return NULL;
    }
    if (path[0] != '/' || path[1] == '/') {
        return "expected memory: alone, or memory: and the path of a file, which begins with one /";
    }
    return path[strlen(path) - 1] == '/' ? "expected the path of a file, not of a directory" : NULL;
}

static const char *memory_create(bsession_backend_t **backend, const char *name, const char *url,
                                 const bsession_options_t *options,
                                 const bsession_services_t *services, apr_pool_t *pconf)
{
    static const char *const known[] = { "size", NULL };
    const char *size, *expected;
    apr_uint64_t bytes = MEMORY_SIZE_DEFAULT;

    if (strncmp(url, "memory:", 7) != 0) {
        return apr_psprintf(pconf, "'%s' is no URL of a memory store; expected memory:", url);
    }
    if ((expected = memory_path_wrong(url + 7)) != NULL) {
        return apr_psprintf(pconf, "'%s': %s", url, expected);
    }
    if ((expected = services->check_options(options, known, pconf)) != NULL) {
        return expected;
    }
    if ((size = services->option(options, "size")) != NULL) {
        if ((expected = services->parse_size(&bytes, size)) != NULL) {
            return apr_psprintf(pconf, "size=%s: expected %s", size, expected);
        }
        if (bytes < MEMORY_SIZE_MIN || bytes > MEMORY_SIZE_MAX) {
            return apr_psprintf(pconf, "size=%s: expected a size from 1M to 1T", size);
        }
    }
    *backend = apr_pcalloc(pconf, sizeof(**backend));
    (*backend)->name = apr_pstrdup(pconf, name);
    (*backend)->path = url[7] ? apr_pstrdup(pconf, url + 7) : NULL;
    (*backend)->services = services;
    (*backend)->size = bytes;
    return NULL;
}

/* Two stores in one file would see each other's records. */
static apr_status_t memory_note_path(const bsession_backend_t *backend, bsession_call_t *call)
{
    const char *key = apr_pstrcat(call->pool, "mod_bsession memory of ", backend->path, NULL);
    void *other = NULL;

    apr_pool_userdata_get(&other, key, call->pool);
    if (other && strcmp(other, backend->name) != 0) {
        return memory_say(APR_EBUSY, call, "store %.64s has this file already",
                          (const char *)other);
    }
    return apr_pool_userdata_setn(backend->name, key, NULL, call->pool);
}

/* The children inherit the mapping, so whom they run as does not matter: a file stays its maker's.
 * */
static apr_status_t memory_open(bsession_backend_t *backend, apr_int64_t uid, apr_int64_t gid,
                                bsession_call_t *call)
{
    apr_status_t status = APR_SUCCESS;

    (void)uid;
    (void)gid;
    if (backend->path) {
        status = memory_place_path(&backend->path, backend->path, call);
        if (status == APR_SUCCESS) {
            status = memory_note_path(backend, call);
        }
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    return memory_kept_open(&backend->segment, &backend->descriptor, backend->name, backend->path,
                            backend->size, backend->services->process_pool, call);
}

static apr_status_t memory_close(bsession_backend_t *backend, bsession_call_t *call)
{
    return backend->path ? memory_file_leave(&backend->segment, backend->descriptor, call)
                         : APR_SUCCESS;
}

/* ------------------------------------------------------------------ the five verbs */

/* The live record of the key, or NULL. */
static memory_slot_t *memory_find(const memory_locked_t *at, const memory_key_t *key)
{
    uint32_t reference = *memory_shard_link(at, key->words, key->space);
    memory_slot_t *slot = reference ? memory_slot_at(at, reference) : NULL;

    return slot && !memory_slot_expired(slot, at->now) ? slot : NULL;
}

static apr_status_t memory_lock(memory_locked_t *at, memory_key_t *parsed,
                                const bsession_backend_t *backend, const bsession_key_t *key,
                                bsession_call_t *call)
{
    apr_status_t status = memory_key_parse(parsed, key, &backend->segment, call);

    return status != APR_SUCCESS ? status
                                 : memory_shard_lock(at, &backend->segment, parsed->shard, call);
}

/* Copied out under the lock, decoded outside of it. */
static apr_status_t memory_load(bsession_backend_t *backend, const bsession_key_t *key,
                                bsession_record_t *record, bsession_call_t *call)
{
    memory_locked_t at;
    memory_key_t parsed;
    memory_slot_t *slot;
    apr_size_t bytes;
    apr_time_t expires;
    apr_uint64_t revision;
    void *copy;
    apr_status_t status = memory_lock(&at, &parsed, backend, key, call);

    if (status != APR_SUCCESS) {
        return status;
    }
    if (!(slot = memory_find(&at, &parsed))) {
        memory_shard_unlock(&at);
        return APR_NOTFOUND;
    }
    bytes = memory_slot_bytes(slot);
    copy = apr_palloc(call->pool, bytes);
    memcpy(copy, slot->body, bytes);
    expires = slot->expires;
    revision = slot->state;
    memory_slot_see(slot, MEMORY_SEEN_USED);
    memory_shard_unlock(&at);
    status = backend->services->record_read(record, copy, bytes, call->pool);
    record->expires = expires;
    record->revision = revision;
    return status;
}

/* What the mode says to the record that is there, or is not. */
static apr_status_t memory_may_save(const bsession_save_t *save, const memory_slot_t *live)
{
    switch (save->mode) {
    case BSESSION_CREATE:
        return live ? APR_EEXIST : APR_SUCCESS;
    case BSESSION_MERGE:
    case BSESSION_REPLACE:
        return !live ? APR_NOTFOUND : live->state != save->base ? APR_EMISMATCH : APR_SUCCESS;
    case BSESSION_PUT:
        return APR_SUCCESS;
    }
    return APR_EINVAL;
}

static int memory_save_is_new(const bsession_save_t *save)
{
    return save->mode == BSESSION_CREATE || save->mode == BSESSION_PUT;
}

/* A revision of 0 would be a free slot, and only what is stored can be kept. */
static const char *memory_save_wrong(const bsession_save_t *save)
{
    if (save->base == 0 || (!memory_save_is_new(save) && save->base == APR_UINT64_MAX)) {
        return "a save of an impossible revision";
    }
    if (memory_save_is_new(save) && save->record->expires == BSESSION_KEEP) {
        return "a new record cannot keep a life";
    }
    return NULL;
}

static int memory_over_limits(const bsession_backend_t *backend, const bsession_save_t *save,
                              apr_size_t bytes)
{
    const bsession_fields_t *fields = &save->record->fields;

    return bytes > memory_segment_largest(&backend->segment)
           || (save->max_bytes && bsession_fields_bytes(fields) > save->max_bytes)
           || (save->max_fields && (apr_size_t)fields->count > save->max_fields);
}

/* A save may prolong a life and not shorten it: a touch may have come since its record was
 * loaded. */
static apr_time_t memory_later_end(const bsession_save_t *save, const memory_slot_t *live)
{
    apr_time_t end = save->record->expires;

    if (!live || memory_save_is_new(save)) {
        return end;
    }
    if (end == BSESSION_KEEP || live->expires == 0 || (end != 0 && end < live->expires)) {
        return live->expires;
    }
    return end;
}

/* Room is made, the record written and published, and then the old one dropped. What is there but
 * expired goes first: the new record may have a lower revision than it, and a rebuild keeps the
 * higher. */
static apr_status_t memory_store(memory_locked_t *at, const memory_key_t *key,
                                 const bsession_backend_t *backend, const bsession_save_t *save,
                                 memory_slot_t *live, apr_size_t bytes)
{
    const memory_segment_t *segment = at->segment;
    uint32_t stale = live ? 0 : *memory_shard_link(at, key->words, key->space);
    uint32_t seen = live ? MEMORY_SEEN_USED : MEMORY_SEEN_NEW;
    memory_slot_t *slot;

    if (stale) {
        memory_slot_drop(at, memory_slot_at(at, stale));
        at->shard->swept++;
    }
    slot = memory_room_take(at, memory_code(memory_segment_class(segment, bytes + MEMORY_SLOT_HEAD),
                                            memory_space_guarded(key->space)), live);
    if (!slot) {
        return APR_ENOMEM;
    }
    slot->expires = memory_later_end(save, live);
    slot->key[0] = key->words[0];
    slot->key[1] = key->words[1];
    slot->word = (uint32_t)bytes | key->space << MEMORY_SPACE_SHIFT | seen << MEMORY_SEEN_SHIFT;
    backend->services->record_write(save->record, slot->body);
    memory_room_note_expiry(at, slot->expires);
    memory_slot_publish(at, slot, save->base + (memory_save_is_new(save) ? 0 : 1), live);
    return APR_SUCCESS;
}

static apr_status_t memory_save(bsession_backend_t *backend, const bsession_key_t *key,
                                const bsession_save_t *save, bsession_saved_t *saved,
                                bsession_call_t *call)
{
    memory_locked_t at;
    memory_key_t parsed;
    memory_slot_t *live;
    apr_uint64_t evicted;
    apr_size_t bytes = backend->services->record_size(save->record);
    const char *wrong = memory_save_wrong(save);
    apr_status_t status;

    if (wrong) {
        apr_cpystrn(call->why, wrong, sizeof(call->why));
        return APR_EINVAL;
    }
    if ((status = memory_lock(&at, &parsed, backend, key, call)) != APR_SUCCESS) {
        return status;
    }
    live = memory_find(&at, &parsed);
    evicted = at.shard->evicted;
    status = memory_may_save(save, live);
    if (status == APR_SUCCESS) {
        status = memory_over_limits(backend, save, bytes)
                 ? APR_ENOSPC : memory_store(&at, &parsed, backend, save, live, bytes);
    }
    evicted = at.shard->evicted - evicted;
    memory_shard_unlock(&at);
    if (status == APR_SUCCESS) {
        saved->revision = save->base + (memory_save_is_new(save) ? 0 : 1);
    }
    else if (status == APR_ENOMEM) {
        apr_snprintf(call->why, sizeof(call->why), "shard %u has no room", at.index);
    }
    if (evicted) {
        apr_snprintf(call->why, sizeof(call->why), "it is full: live records are evicted; "
                     "give it more with size=");
    }
    return status;
}

static apr_status_t memory_touch(bsession_backend_t *backend, const bsession_key_t *key,
                                 apr_time_t expires, bsession_call_t *call)
{
    memory_locked_t at;
    memory_key_t parsed;
    memory_slot_t *slot;
    apr_status_t status = memory_lock(&at, &parsed, backend, key, call);

    if (status != APR_SUCCESS) {
        return status;
    }
    if ((slot = memory_find(&at, &parsed)) != NULL) {
        if (slot->expires != 0 && (expires == 0 || expires > slot->expires)) {
            __atomic_store_n(&slot->expires, expires, __ATOMIC_RELEASE);
        }
        memory_slot_see(slot, MEMORY_SEEN_USED);
    }
    memory_shard_unlock(&at);
    return slot ? APR_SUCCESS : APR_NOTFOUND;
}

static apr_status_t memory_remove(bsession_backend_t *backend, const bsession_key_t *key,
                                  apr_uint64_t revision, bsession_call_t *call)
{
    memory_locked_t at;
    memory_key_t parsed;
    memory_slot_t *slot;
    apr_status_t status = memory_lock(&at, &parsed, backend, key, call);

    if (status != APR_SUCCESS) {
        return status;
    }
    if (!(slot = memory_find(&at, &parsed))) {
        status = APR_NOTFOUND;
    }
    else if (revision != 0 && slot->state != revision) {
        status = APR_EMISMATCH;
    }
    else {
        memory_slot_drop(&at, slot);
    }
    memory_shard_unlock(&at);
    return status;
}

/* ------------------------------------------------------------------ the rest */

static apr_status_t memory_scan(bsession_backend_t *backend, char space, bsession_cursor_t *cursor,
                                bsession_visitor_t *visit, void *baton, bsession_call_t *call)
{
    return memory_scan_slice(&backend->segment, backend->services, space, cursor, visit, baton,
                             call);
}

static unsigned memory_node_of(bsession_backend_t *backend, const bsession_key_t *key)
{
    uint64_t word;

    memcpy(&word, key->bytes, sizeof(word));
    return memory_shard_of(&backend->segment, word);
}

/* Each call goes on with the shard after the last one, whichever child made it. One whose lock is
 * held for long is not waited for. */
static apr_status_t memory_sweep(bsession_backend_t *backend, apr_time_t now, bsession_call_t *call)
{
    memory_header_t *header = backend->segment.header;
    apr_time_t began = apr_time_now();
    int more = 0;
    uint32_t i;

    for (i = 0; i < header->shards && apr_time_now() - began < MEMORY_SWEEP_TIME; i++) {
        uint32_t index = __atomic_fetch_add(&header->sweep_at, 1, __ATOMIC_RELAXED);
        memory_locked_t at;
        apr_status_t status;

        status = memory_shard_lock(&at, &backend->segment, index % header->shards, call);
        if (status == APR_TIMEUP) {
            more = 1;
            break;
        }
        if (status != APR_SUCCESS) {
            return status;
        }
        at.now = now;
        if (at.shard->soonest <= now) {
            memory_room_sweep(&at, MEMORY_SWEEP_SLOTS);
            more |= at.shard->soonest <= now;
        }
        memory_shard_unlock(&at);
    }
    call->why[0] = '\0';
    return more || i < header->shards ? APR_INCOMPLETE : APR_SUCCESS;
}

/* Read without the locks: numbers for a page, and each of them is one word. */
static void memory_stats(bsession_backend_t *backend, bsession_stats_t *stats,
                         bsession_call_t *call)
{
    const memory_header_t *header = backend->segment.header;
    const unsigned char *base = (const unsigned char *)header + MEMORY_HEADER_SIZE;
    uint32_t i;

    (void)call;
    memset(stats, 0, sizeof(*stats));
    for (i = 0; i < header->shards; i++) {
        const memory_shard_t *shard = (const memory_shard_t *)(base + i * header->stride);

        stats->records += __atomic_load_n(&shard->records, __ATOMIC_RELAXED);
        stats->bytes += __atomic_load_n(&shard->bytes, __ATOMIC_RELAXED);
        stats->evicted += __atomic_load_n(&shard->evicted, __ATOMIC_RELAXED);
        stats->swept += __atomic_load_n(&shard->swept, __ATOMIC_RELAXED);
        stats->repaired += __atomic_load_n(&shard->repaired, __ATOMIC_RELAXED);
        stats->capacity += (uint64_t)__atomic_load_n(&shard->pages, __ATOMIC_RELAXED)
                           * header->page_size;
    }
}

const bsession_provider_t bsession_memory_provider = {
    .abi = BSESSION_PROVIDER_ABI,
    .name = "memory",
    .create = memory_create,
    .open = memory_open,
    .close = memory_close,
    .load = memory_load,
    .save = memory_save,
    .touch = memory_touch,
    .remove = memory_remove,
    .scan = memory_scan,
    .node_of = memory_node_of,
    .sweep = memory_sweep,
    .stats = memory_stats,
    .makes_way = 1
};
