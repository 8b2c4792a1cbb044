/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * A third party's backend, for tests: `fault:<url of another store>` (or `swept:`) with the option
 * control=FILE does what the other store does, except where the file says otherwise. Built by apxs
 * against the installed headers, it proves that bsession_provider.h is all that a backend needs.
 *
 * The control file is mapped by everybody; the test writes the first three numbers of a row:
 *
 *     row = verb (load, create, merge, replace, touch, remove, put, scan, sweep)
 *     +---------+----------+---------+---------+
 *     | mode    | times    | ms      | calls   |   32 bits each, native order
 *     +---------+----------+---------+---------+
 *       what      how many   for       how many calls came in
 *       happens   calls,     DELAY
 *                 -1 = all
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "httpd.h"
#include "http_config.h"
#include "ap_provider.h"
#include "apr_strings.h"

#include "bsession_provider.h"

typedef enum {
    LOAD, CREATE, MERGE, REPLACE, TOUCH, REMOVE, PUT, SCAN, SWEEP, VERBS
} fault_verb_t;

typedef enum {
    PASS,
    FAIL,                               /* not done, unknown */
    LOST,                               /* done, unknown */
    DELAY,                              /* done after `ms` */
    FORGET,                             /* not done, and said to be done; load: nothing there */
    CORRUPT,                            /* load: something that is no record */
    CONFLICT,                           /* save, remove: somebody else was there */
    NOSPACE,
    GARBLE,                             /* load: a record whose meta makes no sense */
    HANG,                               /* waits for the deadline, then unknown */
    UNABLE,                             /* scan: this store has none */
    MORE                                /* sweep: there is more to look at */
} fault_mode_t;

typedef struct {
    int          mode;
    int          times;
    int          ms;
    unsigned int calls;
} fault_row_t;

struct bsession_backend_t {
    const bsession_provider_t *inner;
    bsession_backend_t        *to;
    const char                *control;
    fault_row_t               *rows;
};

static const char *fault_create(bsession_backend_t **backend, const char *name, const char *url,
                                const bsession_options_t *options,
                                const bsession_services_t *services, apr_pool_t *pconf)
{
    bsession_backend_t *b = apr_pcalloc(pconf, sizeof(*b));
    const char *inner_url = url + strlen("fault:" /* or "swept:" */);
    const char *colon = strchr(inner_url, ':');
    bsession_options_t rest = { NULL, 0 };
    bsession_option_t *list = apr_pcalloc(pconf, sizeof(*list) * (options->count + 1));
    int i;

    if (services->abi != BSESSION_PROVIDER_ABI) {
        return "fault: is built for another mod_bsession";
    }
    if (!colon) {
        return "fault: expects the URL of another store behind it";
    }
    b->control = services->option(options, "control");
    if (!b->control) {
        return "fault: expects control=FILE";
    }
    b->inner = ap_lookup_provider(BSESSION_PROVIDER_GROUP,
                                  apr_pstrmemdup(pconf, inner_url, colon - inner_url),
                                  BSESSION_PROVIDER_VERSION);
    if (!b->inner) {
        return "fault: expects the URL of a store that exists";
    }
    rest.list = list;
    for (i = 0; i < options->count; i++) {
        if (strcmp(options->list[i].name, "control")) {
            list[rest.count++] = options->list[i];
        }
    }
    *backend = b;
    return b->inner->create(&b->to, name, inner_url, &rest, services, pconf);
}

static apr_status_t fault_unmap(void *data)
{
    bsession_backend_t *b = data;

    munmap(b->rows, sizeof(*b->rows) * VERBS);
    return APR_SUCCESS;
}

static apr_status_t fault_open(bsession_backend_t *b, apr_int64_t uid, apr_int64_t gid,
                               bsession_call_t *call)
{
    int fd = open(b->control, O_RDWR | O_CLOEXEC);
    void *rows;

    if (fd < 0) {
        apr_snprintf(call->why, sizeof(call->why), "fault: cannot open the control file");
        return APR_FROM_OS_ERROR(errno);
    }
    rows = mmap(NULL, sizeof(*b->rows) * VERBS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (rows == MAP_FAILED) {
        apr_snprintf(call->why, sizeof(call->why), "fault: cannot map the control file");
        return APR_FROM_OS_ERROR(errno);
    }
    b->rows = rows;
    apr_pool_cleanup_register(call->pool, b, fault_unmap, apr_pool_cleanup_null);
    return b->inner->open(b->to, uid, gid, call);
}

static apr_status_t fault_child_init(bsession_backend_t *b, apr_pool_t *pchild,
                                     bsession_call_t *call)
{
    return b->inner->child_init ? b->inner->child_init(b->to, pchild, call) : APR_SUCCESS;
}

/* What is to happen to this call. */
static fault_mode_t fault_mode(bsession_backend_t *b, fault_verb_t verb)
{
    fault_row_t *row = &b->rows[verb];
    fault_mode_t mode = __atomic_load_n(&row->mode, __ATOMIC_ACQUIRE);
    int times = __atomic_load_n(&row->times, __ATOMIC_ACQUIRE);

    __atomic_add_fetch(&row->calls, 1, __ATOMIC_ACQ_REL);
    if (mode == PASS || times < 0) {
        return mode;
    }
    while (times > 0) {
        if (__atomic_compare_exchange_n(&row->times, &times, times - 1, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            return mode;
        }
    }
    return PASS;
}

static apr_status_t fault_unknown(bsession_call_t *call, const char *why)
{
    apr_cpystrn(call->why, why, sizeof(call->why));
    return APR_EGENERAL;
}

/* Sleeps, but not past the deadline; whether there was time for it. */
static int fault_sleep(apr_time_t until, const bsession_call_t *call)
{
    apr_time_t end = until < call->deadline ? until : call->deadline;
    apr_time_t now;

    while ((now = apr_time_now()) < end) {
        apr_sleep(end - now < apr_time_from_msec(20) ? end - now : apr_time_from_msec(20));
    }
    return until < call->deadline;
}

/* What all verbs have in common. APR_SUCCESS: do it. */
static apr_status_t fault_before(bsession_backend_t *b, fault_verb_t verb, fault_mode_t *mode,
                                 bsession_call_t *call)
{
    *mode = fault_mode(b, verb);
    switch (*mode) {
    case FAIL:
        return fault_unknown(call, "fault: was told to fail");
    case NOSPACE:
        return APR_ENOSPC;
    case CONFLICT:
        return APR_EMISMATCH;
    case HANG:
        fault_sleep(call->deadline, call);
        return fault_unknown(call, "fault: timed out");
    case DELAY:
        if (!fault_sleep(apr_time_now() + apr_time_from_msec(b->rows[verb].ms), call)) {
            return fault_unknown(call, "fault: timed out");
        }
        return APR_SUCCESS;
    default:
        return APR_SUCCESS;
    }
}

static apr_status_t fault_after(fault_mode_t mode, apr_status_t status, bsession_call_t *call)
{
    return mode == LOST ? fault_unknown(call, "fault: the answer was lost") : status;
}

static apr_status_t fault_load(bsession_backend_t *b, const bsession_key_t *key,
                               bsession_record_t *record, bsession_call_t *call)
{
    fault_mode_t mode;
    apr_status_t status = fault_before(b, LOAD, &mode, call);

    if (status != APR_SUCCESS) {
        return status;
    }
    if (mode == FORGET) {
        return APR_NOTFOUND;
    }
    if (mode == CORRUPT) {
        return BSESSION_ECORRUPT;
    }
    status = b->inner->load(b->to, key, record, call);
    if (mode == GARBLE && status == APR_SUCCESS) {
        record->meta.data = "\xff\xff\xff";
        record->meta.len = 3;
    }
    return fault_after(mode, status, call);
}

static apr_status_t fault_save(bsession_backend_t *b, const bsession_key_t *key,
                               const bsession_save_t *save, bsession_saved_t *saved,
                               bsession_call_t *call)
{
    fault_verb_t verb = save->mode == BSESSION_MERGE ? MERGE
                      : save->mode == BSESSION_REPLACE ? REPLACE
                      : save->mode == BSESSION_PUT ? PUT : CREATE;
    fault_mode_t mode;
    apr_status_t status = fault_before(b, verb, &mode, call);

    if (status != APR_SUCCESS) {
        return status;
    }
    if (mode == FORGET) {
        saved->revision = verb == CREATE || verb == PUT ? save->base : save->base + 1;
        return APR_SUCCESS;
    }
    return fault_after(mode, b->inner->save(b->to, key, save, saved, call), call);
}

static apr_status_t fault_touch(bsession_backend_t *b, const bsession_key_t *key,
                                apr_time_t expires, bsession_call_t *call)
{
    fault_mode_t mode;
    apr_status_t status = fault_before(b, TOUCH, &mode, call);

    if (status != APR_SUCCESS || mode == FORGET) {
        return status;
    }
    return fault_after(mode, b->inner->touch(b->to, key, expires, call), call);
}

static apr_status_t fault_remove(bsession_backend_t *b, const bsession_key_t *key,
                                 apr_uint64_t revision, bsession_call_t *call)
{
    fault_mode_t mode;
    apr_status_t status = fault_before(b, REMOVE, &mode, call);

    if (status != APR_SUCCESS || mode == FORGET) {
        return status;
    }
    return fault_after(mode, b->inner->remove(b->to, key, revision, call), call);
}

static apr_status_t fault_scan(bsession_backend_t *b, char space, bsession_cursor_t *cursor,
                               bsession_visitor_t *visit, void *baton, bsession_call_t *call)
{
    fault_mode_t mode;
    apr_status_t status = fault_before(b, SCAN, &mode, call);

    if (status != APR_SUCCESS) {
        return status;
    }
    return mode == UNABLE ? APR_ENOTIMPL
         : fault_after(mode, b->inner->scan(b->to, space, cursor, visit, baton, call), call);
}

static apr_status_t fault_sweep(bsession_backend_t *b, apr_time_t now, bsession_call_t *call)
{
    fault_mode_t mode;
    apr_status_t status = fault_before(b, SWEEP, &mode, call);

    if (status == APR_SUCCESS && b->inner->sweep) {
        status = fault_after(mode, b->inner->sweep(b->to, now, call), call);
    }
    return status == APR_SUCCESS && mode == MORE ? APR_INCOMPLETE : status;
}

static void fault_stats(bsession_backend_t *b, bsession_stats_t *stats, bsession_call_t *call)
{
    b->inner->stats(b->to, stats, call);
}

/* The second has a sweep, which the core calls on its own: not for tests that count calls. */
static bsession_provider_t fault_providers[2] = {{
    .abi = BSESSION_PROVIDER_ABI,
    .name = "fault",
    .create = fault_create,
    .open = fault_open,
    .child_init = fault_child_init,
    .load = fault_load,
    .save = fault_save,
    .touch = fault_touch,
    .remove = fault_remove,
    .scan = fault_scan,
    .stats = fault_stats
}};

static void fault_register(apr_pool_t *p)
{
    int i;

    fault_providers[1] = fault_providers[0];
    fault_providers[1].name = "swept";
    fault_providers[1].sweep = fault_sweep;
    for (i = 0; i < 2; i++) {
        ap_register_provider(p, BSESSION_PROVIDER_GROUP, fault_providers[i].name,
                             BSESSION_PROVIDER_VERSION, &fault_providers[i]);
    }
}

AP_DECLARE_MODULE(fault) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, fault_register,
    AP_MODULE_FLAG_NONE
};
