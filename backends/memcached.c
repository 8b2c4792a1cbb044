/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memcached.h"

#include <string.h>

#include <apr_strings.h>

#include "memcached_ask.h"
#include "memcached_many.h"

/* Servers take no larger item, whatever they are started with. */
#define MC_LARGEST ((apr_size_t)1 << 30)

/* ------------------------------------------------------------------ configuration */

static const char *mc_create(bsession_backend_t **backend, const char *name, const char *url,
                             const bsession_options_t *options,
                             const bsession_services_t *services, apr_pool_t *pconf)
{
    bsession_backend_t *made = apr_pcalloc(pconf, sizeof *made);
    const char *wrong;

    (void)name;
    made->services = services;
    *backend = made;
    wrong = mc_conf_parse(&made->conf, url, options, services, pconf);
    if (!wrong) {
        made->ring = mc_ring_make(&made->conf, &wrong, pconf);
    }
    return made->ring ? NULL : wrong;
}

/* ------------------------------------------------------------------ load */

static apr_status_t mc_load(bsession_backend_t *backend, const bsession_key_t *key,
                            bsession_record_t *record, bsession_call_t *call)
{
    mc_ask_t ask;
    apr_status_t status = mc_ask_begin(&ask, backend, key, call);

    if (status == APR_SUCCESS) {
        status = mc_ask_get(&ask);
    }
    if (status == APR_SUCCESS) {
        status = mc_read(backend, &ask.item, record, call);
    }
    return mc_ask_end(&ask, status);
}

/* ------------------------------------------------------------------ save */

/** All but the head. */
static apr_status_t mc_prepare(bsession_backend_t *backend, const bsession_save_t *save,
                               mc_item_t *item, bsession_call_t *call)
{
    const bsession_fields_t *fields = &save->record->fields;

    if ((save->max_bytes && bsession_fields_bytes(fields) > save->max_bytes)
        || (save->max_fields && (apr_size_t)fields->count > save->max_fields)) {
        return APR_ENOSPC;
    }
    item->size = MC_ITEM_HEAD + backend->services->record_size(save->record);
    if (item->size > MC_LARGEST) {
        return APR_ENOSPC;
    }
    item->bytes = apr_palloc(call->pool, item->size);
    backend->services->record_write(save->record, item->bytes + MC_ITEM_HEAD);
    return APR_SUCCESS;
}

/** `life` is what is stored already, for one that is kept or prolonged. */
static void mc_write(mc_ask_t *ask, const bsession_save_t *save, const apr_time_t *life,
                     mc_item_t *item)
{
    item->expires = !life ? save->record->expires
                  : save->record->expires == BSESSION_KEEP ? *life
                  : mc_later(save->record->expires, *life);
    mc_item_write(item, ask->key);
}

/** Between a get and its cas, others may come. Tried until the time is up: a touch is no reason to
 *  give up. */
static apr_status_t mc_replace(mc_ask_t *ask, const bsession_save_t *save, mc_item_t *item)
{
    apr_status_t status;

    item->revision = save->base + 1;
    do {
        status = mc_ask_get(ask);
        if (status == APR_SUCCESS && ask->item.revision != save->base) {
            return APR_EMISMATCH;
        }
        if (status == APR_SUCCESS) {
            mc_write(ask, save, &ask->item.expires, item);
            status = mc_ask_cas(ask, item);
        }
    } while (status == APR_EEXIST);
    return status;
}

/** An add that was sent twice, and finds a record of its own (random) revision, has made it. One of
 *  its own meta may be what somebody has made of it since. */
static apr_status_t mc_is_ours(mc_ask_t *ask, const bsession_save_t *save, const mc_item_t *item)
{
    const bsession_bytes_t *meta = &save->record->meta;
    bsession_record_t found;

    if (ask->item.revision == item->revision) {
        return APR_SUCCESS;
    }
    if (mc_read(ask->backend, &ask->item, &found, ask->call) != APR_SUCCESS
        || found.meta.len != meta->len
        || (meta->len && memcmp(found.meta.data, meta->data, meta->len) != 0)) {
        return APR_EEXIST;
    }
    apr_cpystrn(ask->call->why, "the connection was lost, and whether it had been done by then "
                "cannot be told", sizeof ask->call->why);
    return APR_EGENERAL;
}

/** What is over gives way. */
static apr_status_t mc_create_over(mc_ask_t *ask, const bsession_save_t *save, mc_item_t *item)
{
    apr_status_t status = mc_ask_get(ask);

    if (status == APR_SUCCESS) {
        return ask->repeated ? mc_is_ours(ask, save, item) : APR_EEXIST;
    }
    if (status != APR_NOTFOUND) {
        return status;
    }
    status = ask->cas ? mc_ask_cas(ask, item) : mc_ask_add(ask, item);
    return status == APR_EEXIST || status == APR_NOTFOUND ? APR_EAGAIN : status;
}

static apr_status_t mc_make(mc_ask_t *ask, const bsession_save_t *save, mc_item_t *item)
{
    apr_status_t status;

    item->revision = save->base;
    mc_write(ask, save, NULL, item);
    status = mc_ask_add(ask, item);
    if (status == APR_EEXIST) {
        do {
            status = mc_create_over(ask, save, item);
        } while (status == APR_EAGAIN);
    }
    return status;
}

/** Not by set: the server drops what it has when it refuses a set, and a set on a connection that
 *  lay idle could not be sent again. */
static apr_status_t mc_put(mc_ask_t *ask, const bsession_save_t *save, mc_item_t *item)
{
    apr_status_t status;

    item->revision = save->base;
    mc_write(ask, save, NULL, item);
    do {
        status = mc_ask_get(ask);
        if (status == APR_SUCCESS || status == APR_NOTFOUND || status == BSESSION_ECORRUPT) {
            status = ask->cas ? mc_ask_cas(ask, item) : mc_ask_add(ask, item);
        }
    } while (status == APR_EEXIST || status == APR_NOTFOUND);
    return status;
}

static apr_status_t mc_save(bsession_backend_t *backend, const bsession_key_t *key,
                            const bsession_save_t *save, bsession_saved_t *saved,
                            bsession_call_t *call)
{
    mc_item_t item = { 0 };
    apr_status_t status = mc_prepare(backend, save, &item, call);
    mc_ask_t ask;

    if (status != APR_SUCCESS) {
        return status;
    }
    status = mc_ask_begin(&ask, backend, key, call);
    if (status == APR_SUCCESS) {
        status = save->mode == BSESSION_CREATE ? mc_make(&ask, save, &item)
               : save->mode == BSESSION_PUT ? mc_put(&ask, save, &item)
               : mc_replace(&ask, save, &item);
    }
    saved->revision = item.revision;
    return mc_ask_end(&ask, status);
}

/* ------------------------------------------------------------------ touch, remove */

static apr_status_t mc_prolong(mc_ask_t *ask, apr_time_t expires)
{
    apr_status_t status;

    do {
        status = mc_ask_get(ask);
        if (status == APR_SUCCESS) {
            apr_time_t later = mc_later(ask->item.expires, expires);

            if (later == ask->item.expires) {
                return APR_SUCCESS;
            }
            ask->item.expires = later;
            mc_item_write(&ask->item, ask->key);
            status = mc_ask_cas(ask, &ask->item);
        }
    } while (status == APR_EEXIST);
    return status;
}

static apr_status_t mc_touch(bsession_backend_t *backend, const bsession_key_t *key,
                             apr_time_t expires, bsession_call_t *call)
{
    mc_ask_t ask;
    apr_status_t status = mc_ask_begin(&ask, backend, key, call);

    if (status == APR_SUCCESS) {
        status = mc_prolong(&ask, expires);
    }
    return mc_ask_end(&ask, status);
}

/** There is no delete of one revision: an empty item that is over takes its place. */
static apr_status_t mc_drop(mc_ask_t *ask, apr_uint64_t revision)
{
    apr_status_t status;

    do {
        status = mc_ask_get(ask);
        if (!revision && (status == APR_SUCCESS || status == BSESSION_ECORRUPT)) {
            return mc_ask_delete(ask);
        }
        if (status == APR_SUCCESS) {
            status = ask->item.revision == revision ? mc_ask_cas_away(ask) : APR_EMISMATCH;
        }
    } while (status == APR_EEXIST);
    return status;
}

static apr_status_t mc_remove(bsession_backend_t *backend, const bsession_key_t *key,
                              apr_uint64_t revision, bsession_call_t *call)
{
    mc_ask_t ask;
    apr_status_t status = mc_ask_begin(&ask, backend, key, call);

    if (status == APR_SUCCESS) {
        status = mc_drop(&ask, revision);
    }
    return mc_ask_end(&ask, status);
}

static apr_status_t mc_scan(bsession_backend_t *backend, char space, bsession_cursor_t *cursor,
                            bsession_visitor_t *visit, void *baton, bsession_call_t *call)
{
    (void)backend, (void)space, (void)cursor, (void)visit, (void)baton;
    apr_cpystrn(call->why, "Memcached does not list what it has", sizeof call->why);
    return APR_ENOTIMPL;
}

/* ------------------------------------------------------------------ numbers */

static void mc_number(void *baton, const char *name, const char *value)
{
    bsession_stats_t *sum = baton;
    const struct {
        const char   *name;
        apr_uint64_t *number;
    } known[] = {
        { "curr_items", &sum->records }, { "bytes", &sum->bytes },
        { "limit_maxbytes", &sum->capacity }, { "evictions", &sum->evicted }
    };
    apr_size_t i;

    for (i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i].name) == 0) {
            *known[i].number += (apr_uint64_t)apr_strtoi64(value, NULL, 10);
        }
    }
}

/** Of all servers together, whoever else keeps something there; or unknown. */
static void mc_stats(bsession_backend_t *backend, bsession_stats_t *stats, bsession_call_t *call)
{
    mc_pools_t *pools = mc_pools_of(backend, call);
    apr_status_t status = pools ? APR_SUCCESS : APR_ENOMEM;
    bsession_stats_t sum = { 0 };
    int i;

    for (i = 0; i < backend->conf.nservers && status == APR_SUCCESS; i++) {
        mc_link_t *link;

        status = mc_pools_acquire(pools, i, &link, call);
        if (status == APR_SUCCESS) {
            status = mc_link_ready(link, call);
            if (status == APR_SUCCESS) {
                status = mc_link_stats(link, mc_number, &sum, call);
            }
            mc_pools_release(pools, i, link);
        }
    }
    memset(stats, 0xff, sizeof *stats);     /* BSESSION_UNKNOWN */
    if (status == APR_SUCCESS) {
        sum.swept = sum.repaired = BSESSION_UNKNOWN;
        *stats = sum;
    }
}

/* ------------------------------------------------------------------ start */

/** Whether the servers can be asked is worth a line at the start, and no more: it heals by itself.
 *  No child inherits a connection. */
static apr_status_t mc_open(bsession_backend_t *backend, apr_int64_t uid, apr_int64_t gid,
                            bsession_call_t *call)
{
    bsession_call_t own = { .deadline = call->deadline };
    apr_status_t status = apr_pool_create(&own.pool, call->pool);
    int i;

    (void)uid;
    (void)gid;
    if (status != APR_SUCCESS) {
        return status;
    }
    for (i = 0; i < backend->conf.nservers && status == APR_SUCCESS; i++) {
        status = mc_link_ready(mc_link_make(&backend->conf, &backend->conf.servers[i], own.pool),
                               &own);
    }
    apr_pool_destroy(own.pool);
    if (status != APR_SUCCESS) {
        apr_snprintf(call->why, sizeof call->why, "cannot be asked yet: %s", own.why);
    }
    return APR_SUCCESS;
}

static apr_status_t mc_child_init(bsession_backend_t *backend, apr_pool_t *pchild,
                                  bsession_call_t *call)
{
    backend->pools = mc_pools_make(&backend->conf, pchild);
    if (!backend->pools) {
        apr_cpystrn(call->why, "no pool of connections could be made", sizeof call->why);
        return APR_ENOMEM;
    }
    return APR_SUCCESS;
}

const bsession_provider_t bsession_memcached_provider = {
    .abi        = BSESSION_PROVIDER_ABI,
    .name       = "memcached",
    .create     = mc_create,
    .open       = mc_open,
    .child_init = mc_child_init,
    .load       = mc_load,
    .save       = mc_save,
    .touch      = mc_touch,
    .remove     = mc_remove,
    .scan       = mc_scan,
    .load_many  = mc_load_many,
    .node_of    = mc_node_of,
    .node_name  = mc_node_name,
    .stats      = mc_stats
};
