/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* For tests: httpd as it is where mod_watchdog, which most distributions build in, is not there. */

#include "httpd.h"
#include "http_config.h"
#include "mod_watchdog.h"

static apr_status_t there_is_none(ap_watchdog_t **watchdog, const char *name, int parent, int singleton,
                                  apr_pool_t *p)
{
    return APR_ENOTIMPL;
}

static void register_hooks(apr_pool_t *p)
{
    apr_dynamic_fn_register("ap_watchdog_get_instance", (apr_opt_fn_t *)there_is_none);
}

AP_DECLARE_MODULE(no_watchdog) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, AP_MODULE_FLAG_NONE
};
