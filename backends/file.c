/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "file_directory.h"
#include "file_lock.h"
#include "file_record.h"
#include "file_save.h"
#include "file_scan.h"
#include "file_sweep.h"

/* Part of the name under which the numbers outlive a graceful restart. */
#define FILE_SHARED_LAYOUT 1

/* ------------------------------------------------------------------ configuration */

/* file:/dir or file:///dir, and no slash behind it: "dir/" would be followed where dir is a
 * link. */
static const char *file_parse_url(bsession_backend_t *backend, const char *url, apr_pool_t *pconf)
{
    const char *path = strncmp(url, "file:", 5) == 0 ? url + 5 : "";
    apr_size_t length;

    if (strncmp(path, "///", 3) == 0) {
        path += 2;
    }
    length = strlen(path);
    while (length && path[length - 1] == '/') {
        length--;
    }
    if (length == 0 || path[0] != '/' || path[1] == '/') {
        return apr_psprintf(pconf, "'%s' is no URL of a file store; expected the directory, as in "
                            "file:/var/lib/httpd-sessions", url);
    }
    backend->path = apr_pstrmemdup(pconf, path, length);
    return NULL;
}

/* Who may read the files may walk to them. */
static const char *file_parse_mode(bsession_backend_t *backend, const char *text, apr_pool_t *pconf)
{
    char *end = NULL;
    long mode = text && apr_isdigit(text[0]) ? strtol(text, &end, 8) : -1;

    if (text && (mode < 0 || *end || (mode & 0600) != 0600 || (mode & ~0644L))) {
        return apr_psprintf(pconf, "mode=%s: expected 0600, 0640, 0604 or 0644; nobody else may "
                            "write", text);
    }
    backend->mode = text ? (mode_t)mode : 0600;
    backend->directory_mode = 0700 | ((backend->mode & 0044) + ((backend->mode & 0044) >> 2));
    return NULL;
}

static const char *file_parse_threshold(bsession_backend_t *backend, const char *text,
                                        apr_pool_t *pconf)
{
    char *end = NULL;
    apr_int64_t number = text && apr_isdigit(text[0]) ? apr_strtoi64(text, &end, 10) : -1;

    if (text && (number < 0 || *end || number > APR_INT64_C(1000000000000))) {
        return apr_psprintf(pconf, "threshold=%s: expected a number of records such as 100000, or "
                            "0 for no limit", text);
    }
    backend->threshold = text ? (apr_uint64_t)number : 0;
    return NULL;
}

static const char *file_create(bsession_backend_t **backend, const char *name, const char *url,
                               const bsession_options_t *options,
                               const bsession_services_t *services, apr_pool_t *pconf)
{
    static const char *const known[] = { "mode", "threshold", "sync", NULL };
    bsession_backend_t *made = apr_pcalloc(pconf, sizeof(*made));
    const char *wrong = file_parse_url(made, url, pconf);
    const char *sync = services->option(options, "sync"), *expected;

    if (!wrong) {
        wrong = services->check_options(options, known, pconf);
    }
    if (!wrong) {
        wrong = file_parse_mode(made, services->option(options, "mode"), pconf);
    }
    if (!wrong) {
        wrong = file_parse_threshold(made, services->option(options, "threshold"), pconf);
    }
    if (!wrong && sync && (expected = services->parse_flag(&made->sync, sync)) != NULL) {
        wrong = apr_psprintf(pconf, "sync=%s: expected %s", sync, expected);
    }
    made->name = apr_pstrdup(pconf, name);
    made->services = services;
    made->root = -1;
    made->leaves_checked = apr_pcalloc(pconf, FILE_LEAVES * sizeof(*made->leaves_checked));
    *backend = made;
    return wrong;
}

/* ------------------------------------------------------------------ start */

static apr_status_t file_shared_open(bsession_backend_t *backend, bsession_call_t *call)
{
    apr_pool_t *process = backend->services->process_pool;
    const char *key = apr_psprintf(call->pool, "mod_bsession file %d %" APR_SIZE_T_FMT " %s %s",
                                   FILE_SHARED_LAYOUT, sizeof(file_shared_t), backend->name,
                                   backend->path);
    void *found = NULL;

    apr_pool_userdata_get(&found, key, process);
    if (!found) {
        found = mmap(NULL, sizeof(file_shared_t), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (found == MAP_FAILED) {
            apr_cpystrn(call->why, "there is no shared memory for its counters", sizeof(call->why));
            return APR_ENOMEM;
        }
        apr_pool_userdata_set(found, key, apr_pool_cleanup_null, process);
    }
    backend->shared = found;
    return APR_SUCCESS;
}

/* The next generation opens the directory anew. A child's threads may be at work until it is
 * gone. */
static apr_status_t file_close(void *data)
{
    bsession_backend_t *backend = data;

    if (backend->root >= 0 && backend->opened_by == getpid()) {
        close(backend->root);
    }
    return APR_SUCCESS;
}

static apr_status_t file_open(bsession_backend_t *backend, apr_int64_t uid, apr_int64_t gid,
                              bsession_call_t *call)
{
    apr_status_t status = file_shared_open(backend, call);

    backend->owner = uid < 0 ? geteuid() : (uid_t)uid;
    backend->group = gid < 0 ? getegid() : (gid_t)gid;
    backend->opened_by = getpid();
    backend->temporaries = (apr_uint32_t)apr_time_now();
    apr_pool_cleanup_register(call->pool, backend, file_close, apr_pool_cleanup_null);
    if (status == APR_SUCCESS) {
        status = file_root_open(backend, call);
    }
    if (status == APR_SUCCESS && backend->sync) {
        status = file_leaves_make(backend, call);
    }
    return status;
}

/* ------------------------------------------------------------------ verbs */

/* No lock: a file of a record's name is never written to. */
static apr_status_t file_load(bsession_backend_t *backend, const bsession_key_t *key,
                              bsession_record_t *record, bsession_call_t *call)
{
    apr_time_t now = apr_time_now();
    apr_status_t status = file_check_again(backend, file_leaf_of(key), now, call);
    struct stat about;
    int file;

    if (status == APR_SUCCESS) {
        status = file_record_open(&file, &about, backend, key, call);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    status = file_is_over(&about, now) ? APR_NOTFOUND
           : file_record_read(record, file, &about, backend, key, call);
    close(file);
    return status;
}

/* A live record, locked, and its directory; both are given back by file_live_unlock. */
static apr_status_t file_live_lock(file_locked_t *at, int *leaf, char *name,
                                   bsession_backend_t *backend, const bsession_key_t *key,
                                   bsession_call_t *call)
{
    apr_status_t status = file_root_check(backend, call);

    if (status == APR_SUCCESS) {
        status = file_leaf_open(leaf, backend, file_leaf_of(key), 0, call);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    status = file_lock(at, backend, *leaf, backend->services->key_text(key, name), call);
    if (status == APR_SUCCESS && file_is_over(&at->about, apr_time_now())) {
        file_unlock(at);
        status = APR_NOTFOUND;
    }
    if (status != APR_SUCCESS) {
        close(*leaf);
    }
    return status;
}

static void file_live_unlock(file_locked_t *at, int leaf)
{
    file_unlock(at);
    close(leaf);
}

static apr_status_t file_touch(bsession_backend_t *backend, const bsession_key_t *key,
                               apr_time_t expires, bsession_call_t *call)
{
    char name[BSESSION_KEY_TEXT_SIZE];
    file_locked_t at;
    apr_time_t end;
    int leaf;
    apr_status_t status = file_live_lock(&at, &leaf, name, backend, key, call);

    if (status != APR_SUCCESS) {
        return status;
    }
    end = file_end(&at.about);
    if (end != 0 && (expires == 0 || expires > end) && file_set_end(at.file, expires) != 0) {
        status = file_outage(backend, "a life cannot be prolonged", call);
    }
    file_live_unlock(&at, leaf);
    return status;
}

static apr_status_t file_remove_locked(const bsession_backend_t *backend, const file_locked_t *at,
                                       int leaf, const char *name, apr_uint64_t revision,
                                       bsession_call_t *call)
{
    file_head_t head;

    if (revision != 0) {
        apr_status_t status = file_head_read(&head, at->file);

        if (status != APR_SUCCESS) {
            return status == BSESSION_ECORRUPT ? status
                 : file_outage(backend, "a record cannot be read", call);
        }
        if (head.revision != revision) {
            return APR_EMISMATCH;
        }
    }
    if (unlinkat(leaf, name, 0) != 0 || file_sync_leaf(backend, leaf) != 0) {
        return file_outage(backend, "a record cannot be removed", call);
    }
    file_counts(backend, -1, -(apr_int64_t)at->about.st_size);
    return APR_SUCCESS;
}

static apr_status_t file_remove(bsession_backend_t *backend, const bsession_key_t *key,
                                apr_uint64_t revision, bsession_call_t *call)
{
    char name[BSESSION_KEY_TEXT_SIZE];
    file_locked_t at;
    int leaf;
    apr_status_t status = file_live_lock(&at, &leaf, name, backend, key, call);

    if (status == APR_SUCCESS) {
        status = file_remove_locked(backend, &at, leaf, name, revision, call);
        file_live_unlock(&at, leaf);
    }
    return status;
}

/* ------------------------------------------------------------------ the rest */

/* Until a whole round was swept, nobody has counted. */
static void file_stats(bsession_backend_t *backend, bsession_stats_t *stats, bsession_call_t *call)
{
    const file_shared_t *shared = backend->shared;
    apr_int64_t records = __atomic_load_n(&shared->records, __ATOMIC_RELAXED);
    apr_int64_t bytes = __atomic_load_n(&shared->bytes, __ATOMIC_RELAXED);
    int known = __atomic_load_n(&shared->known, __ATOMIC_RELAXED);

    (void)call;
    stats->records = !known ? BSESSION_UNKNOWN : records > 0 ? (apr_uint64_t)records : 0;
    stats->bytes = !known ? BSESSION_UNKNOWN : bytes > 0 ? (apr_uint64_t)bytes : 0;
    stats->capacity = BSESSION_UNKNOWN;
    stats->evicted = __atomic_load_n(&shared->evicted, __ATOMIC_RELAXED);
    stats->swept = __atomic_load_n(&shared->swept, __ATOMIC_RELAXED);
    stats->repaired = BSESSION_UNKNOWN;
}

const bsession_provider_t bsession_file_provider = {
    .abi = BSESSION_PROVIDER_ABI,
    .name = "file",
    .create = file_create,
    .open = file_open,
    .load = file_load,
    .save = file_save,
    .touch = file_touch,
    .remove = file_remove,
    .scan = file_scan,
    .sweep = file_sweep,
    .stats = file_stats
};
