/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A module that was built when bsession_api_t ended with `tag`: beside it is the header of then. */

#include "httpd.h"
#include "http_config.h"
#include "http_protocol.h"

#include "mod_bsession.h"

#if BSESSION_API_VERSION != 1
#error "this is not the header of version 1"
#endif

static const char *of_the_future(void)
{
    APR_OPTIONAL_FN_TYPE(bsession_api_of_version) *of_version =
        APR_RETRIEVE_OPTIONAL_FN(bsession_api_of_version);

    return of_version && of_version(1000) ? "one" : "none";
}

static int old_handler(request_rec *r)
{
    const bsession_api_t *bs = bsession_api();
    bsession_t *s = bs ? bs->of(r) : NULL;
    const char *by;

    if (!r->handler || strcmp(r->handler, "bsession-old")) {
        return DECLINED;
    }
    if (!s) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    by = bs->get(s, "by");
    if (!by && bs->set(s, "by", "old") != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    ap_rprintf(r, "version %d: %s %s; of the future: %s\n", BSESSION_API_VERSION, by ? by : "-",
               bs->tag(s) ? "there" : "set", of_the_future());
    return OK;
}

static void old_register(apr_pool_t *p)
{
    ap_hook_handler(old_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(old) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, old_register, AP_MODULE_FLAG_NONE
};
