/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file environment.h
 * @brief What applications see: the session's keys as variables, and no cookie of ours.
 */
#ifndef BS_ENVIRONMENT_H
#define BS_ENVIRONMENT_H

#include "attach.h"

/** Whether this request was prepared under the configuration it has now. The initial request
 *  remembers it in the visit, any other where the initial one has its visit. */
static inline int bs_environment_is_prepared(const bs_visit_t *visit, const request_rec *r)
{
    const void *under = r == visit->initial ? visit->prepared_under
                      : ap_get_module_config(r->request_config, &bsession_module);

    return under == r->per_dir_config;
}

/** Idempotent. 0 where the session is wanted here and cannot be had. */
int  bs_environment_prepare(request_rec *r);

void bs_register_environment_hooks(apr_pool_t *p);

#endif
