/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Sessions outside of a request: a slot without a visit, which nobody but its maker saves. */

#include "api.h"

#include <string.h>

#include "http_core.h"

#include "attach.h"
#include "lifecycle.h"

bsession_t *bs_api_open(server_rec *server, const char *name, const char *text, apr_pool_t *pool)
{
    const bs_dir_conf_t *conf = ap_get_module_config(server->lookup_defaults, &bsession_module);
    bs_store_conf_t *store = name ? bs_find_store(bs_server_conf(server)->stores, name)
                                  : bs_conf_store(conf, server);
    bs_token_t token;
    bs_terms_t terms;
    bs_slot_t *slot;
    int presented;

    if (!store || !store->store.shared) {
        return NULL;
    }
    presented = text && bs_token_parse(&token, text, strlen(text));
    bs_conf_terms(conf, &store->store, server, &terms);
    terms.cookie_follows = 0;           /* there is none */
    terms.max_bytes = bs_conf_max_bytes(conf);
    terms.max_fields = bs_conf_max_fields(conf);
    slot = apr_pcalloc(pool, sizeof *slot);
    slot->session = bs_session_open(pool, &terms, &token, presented, NULL, NULL);
    slot->session->existing_only = text != NULL;
    slot->session->detached = 1;
    slot->store = store;
    slot->handles[0].slot = slot;
    bs_lifecycle_watch(slot, NULL);
    return &slot->handles[0];
}

apr_status_t bs_api_close(bsession_t *s)
{
    bs_session_t *session = s->slot->session;
    apr_status_t status;

    if (session->state == BS_UNASKED) {
        return APR_SUCCESS;
    }
    status = bs_session_save(session, 0);
    if (status == APR_SUCCESS && session->state == BS_PRESENT) {
        bs_session_touch_if_due(session, 0);
    }
    bs_session_let_go_shortly(session);
    return status;
}
