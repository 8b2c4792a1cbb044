/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file mod_bsession.c
 * @brief The front door: what the module is made of, and nothing that it does.
 *
 *     include/   what others build on
 *     core/      the session itself, without httpd
 *     hooks/     what httpd sees of it
 *     backends/  where records are kept
 *     bridges/   httpd's own session on ours: modules of their own, and no part of this one
 *
 * A request meets hooks/attach.c first, then environment.c; its response passes commit.c, which
 * takes in write_back.c's headers, saves, and lets response.c speak.
 */

#include "ap_provider.h"
#include "httpd.h"
#include "http_config.h"

#include "hooks/api.h"
#include "hooks/attach.h"
#include "hooks/commit.h"
#include "hooks/conditions.h"
#include "hooks/config.h"
#include "hooks/environment.h"
#include "hooks/expressions.h"
#include "hooks/socache.h"

#include "backends/file.h"
#include "backends/memory.h"

static void register_hooks(apr_pool_t *p)
{
    ap_register_provider(p, BSESSION_PROVIDER_GROUP, bsession_file_provider.name,
                         BSESSION_PROVIDER_VERSION, &bsession_file_provider);
    ap_register_provider(p, BSESSION_PROVIDER_GROUP, bsession_memory_provider.name,
                         BSESSION_PROVIDER_VERSION, &bsession_memory_provider);
    bs_register_config_hooks(p);
    bs_register_attach_hooks(p);
    bs_register_environment_hooks(p);
    bs_register_commit_hooks(p);
    bs_register_conditions(p);
    bs_register_expressions(p);
    bs_register_api(p);
    bs_register_socache(p);
}

/* The only symbol that leaves this object. */
extern module AP_MODULE_DECLARE_DATA bsession_module __attribute__((visibility("default")));

AP_DECLARE_MODULE(bsession) = {
    STANDARD20_MODULE_STUFF,
    bs_create_dir_conf,
    bs_merge_dir_conf,
    bs_create_server_conf,
    bs_merge_server_conf,
    bs_directives,
    register_hooks,
    AP_MODULE_FLAG_NONE
};
