/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memcached_ask.h"

#include <string.h>

#include <apr_strings.h>

void mc_name_of(const bsession_backend_t *backend, const bsession_key_t *key, mc_name_t *name)
{
    memcpy(name->text, backend->conf.prefix, backend->conf.prefix_len);
    backend->services->key_text(key, name->text + backend->conf.prefix_len);
    name->len = backend->conf.prefix_len + BSESSION_KEY_TEXT_SIZE - 1;
}

unsigned mc_node_of(bsession_backend_t *backend, const bsession_key_t *key)
{
    mc_name_t name;

    mc_name_of(backend, key, &name);
    return (unsigned)mc_ring_find(backend->ring, &name);
}

const char *mc_node_name(bsession_backend_t *backend, const bsession_key_t *key, apr_pool_t *pool)
{
    const mc_conf_t *conf = &backend->conf;

    return conf->nservers > 1 ? mc_server_text(&conf->servers[mc_node_of(backend, key)], pool)
                              : NULL;
}

apr_status_t mc_read(bsession_backend_t *backend, const mc_item_t *item,
                     bsession_record_t *record, bsession_call_t *call)
{
    record->revision = item->revision;
    record->expires = item->expires;
    return backend->services->record_read(record, item->bytes + MC_ITEM_HEAD,
                                          item->size - MC_ITEM_HEAD, call->pool);
}

mc_pools_t *mc_pools_of(bsession_backend_t *backend, bsession_call_t *call)
{
    return backend->pools ? backend->pools : mc_pools_make(&backend->conf, call->pool);
}

apr_status_t mc_ask_begin(mc_ask_t *ask, bsession_backend_t *backend, const bsession_key_t *key,
                          bsession_call_t *call)
{
    memset(ask, 0, sizeof *ask);
    ask->backend = backend;
    ask->key = key;
    ask->call = call;
    ask->pools = mc_pools_of(backend, call);
    mc_name_of(backend, key, &ask->name);
    ask->server = mc_ring_find(backend->ring, &ask->name);
    return ask->pools ? mc_pools_acquire(ask->pools, ask->server, &ask->link, call) : APR_ENOMEM;
}

apr_status_t mc_ask_end(mc_ask_t *ask, apr_status_t status)
{
    if (ask->link) {
        mc_pools_release(ask->pools, ask->server, ask->link);
    }
    return status;
}

/* ------------------------------------------------------------------ questions */

typedef apr_status_t (ask_question_t)(mc_ask_t *ask, const mc_item_t *item);

static apr_status_t ask_once(mc_ask_t *ask, ask_question_t *question, const mc_item_t *item)
{
    apr_status_t status;

    ask->proven |= !mc_link_is_open(ask->link);
    status = mc_link_ready(ask->link, ask->call);
    return status == APR_SUCCESS ? question(ask, item) : status;
}

/** A link that is closed afterwards has failed. */
static apr_status_t ask_harmless(mc_ask_t *ask, ask_question_t *question, const mc_item_t *item)
{
    apr_status_t status = ask_once(ask, question, item);

    if (!mc_link_is_open(ask->link) && !ask->proven && ask->call->deadline > apr_time_now()) {
        ask->repeated = 1;
        ask->call->why[0] = '\0';
        status = ask_once(ask, question, item);
    }
    ask->proven |= mc_link_is_open(ask->link);
    return status;
}

static apr_status_t ask_found(void *baton, int which, const char *bytes, apr_size_t size,
                              apr_uint64_t cas, bsession_call_t *call)
{
    mc_ask_t *ask = baton;

    (void)which;
    if (!cas) {
        apr_cpystrn(call->why, "the server keeps no cas numbers (-C), and nothing is safe there",
                    sizeof call->why);
        return APR_EGENERAL;
    }
    ask->cas = cas;
    ask->item.size = size;
    ask->item.bytes = apr_pmemdup(call->pool, bytes ? bytes : "", size);
    return APR_SUCCESS;
}

static apr_status_t ask_get(mc_ask_t *ask, const mc_item_t *unused)
{
    (void)unused;
    ask->cas = 0;
    return mc_link_get(ask->link, &ask->name, 1, ask_found, ask, ask->call);
}

apr_status_t mc_ask_get(mc_ask_t *ask)
{
    apr_status_t status = ask_harmless(ask, ask_get, NULL);

    if (status == APR_SUCCESS && (!ask->cas || ask->item.size == 0)) {
        status = APR_NOTFOUND;          /* empty is what is on its way out */
    }
    if (status == APR_SUCCESS) {
        status = mc_item_read(&ask->item, ask->key);
    }
    if (status == APR_SUCCESS && mc_item_is_over(&ask->item)) {
        status = APR_NOTFOUND;
    }
    return status;
}

static apr_status_t ask_add(mc_ask_t *ask, const mc_item_t *item)
{
    return mc_link_add(ask->link, &ask->name, item->bytes, item->size, mc_exptime(item->expires),
                       ask->call);
}

apr_status_t mc_ask_add(mc_ask_t *ask, const mc_item_t *item)
{
    return ask_harmless(ask, ask_add, item);
}

static apr_status_t ask_delete(mc_ask_t *ask, const mc_item_t *unused)
{
    (void)unused;
    return mc_link_delete(ask->link, &ask->name, ask->call);
}

apr_status_t mc_ask_delete(mc_ask_t *ask)
{
    return ask_harmless(ask, ask_delete, NULL);
}

apr_status_t mc_ask_cas(mc_ask_t *ask, const mc_item_t *item)
{
    apr_status_t status = mc_link_ready(ask->link, ask->call);

    return status != APR_SUCCESS ? status
         : mc_link_cas(ask->link, &ask->name, item->bytes, item->size, mc_exptime(item->expires),
                       ask->cas, ask->call);
}

apr_status_t mc_ask_cas_away(mc_ask_t *ask)
{
    apr_status_t status = mc_link_ready(ask->link, ask->call);

    return status != APR_SUCCESS ? status
         : mc_link_cas(ask->link, &ask->name, "", 0, MC_PAST, ask->cas, ask->call);
}
