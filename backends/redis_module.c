/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* mod_bsession_redis.so: httpd's side of the Redis store, which is all there is of it here. */

#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "ap_provider.h"

#include "redis.h"

extern module AP_MODULE_DECLARE_DATA bsession_redis_module __attribute__((visibility("default")));

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf, (void)plog, (void)ptemp;
    if (ap_lookup_provider(BSESSION_PROVIDER_GROUP, "memory", BSESSION_PROVIDER_VERSION)) {
        return OK;
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "mod_bsession_redis needs mod_bsession: LoadModule "
                 "bsession_module modules/mod_bsession.so");
    return HTTP_INTERNAL_SERVER_ERROR;
}

static void register_hooks(apr_pool_t *p)
{
    static const bsession_provider_t *const providers[] = {
        &bsession_redis_provider, &bsession_rediss_provider, &bsession_redis_unix_provider
    };
    apr_size_t i;

    for (i = 0; i < sizeof providers / sizeof *providers; i++) {
        ap_register_provider(p, BSESSION_PROVIDER_GROUP, providers[i]->name,
                             BSESSION_PROVIDER_VERSION, providers[i]);
    }
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(bsession_redis) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, AP_MODULE_FLAG_NONE
};
