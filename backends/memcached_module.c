/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* mod_bsession_memcached.so: httpd's side of the Memcached store, all there is of it here. */

#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "ap_provider.h"

#include "memcached.h"

extern module AP_MODULE_DECLARE_DATA bsession_memcached_module
    __attribute__((visibility("default")));

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf, (void)plog, (void)ptemp;
    if (ap_lookup_provider(BSESSION_PROVIDER_GROUP, "memory", BSESSION_PROVIDER_VERSION)) {
        return OK;
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "mod_bsession_memcached needs mod_bsession: "
                 "LoadModule bsession_module modules/mod_bsession.so");
    return HTTP_INTERNAL_SERVER_ERROR;
}

static void register_hooks(apr_pool_t *p)
{
    ap_register_provider(p, BSESSION_PROVIDER_GROUP, bsession_memcached_provider.name,
                         BSESSION_PROVIDER_VERSION, &bsession_memcached_provider);
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(bsession_memcached) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, AP_MODULE_FLAG_NONE
};
