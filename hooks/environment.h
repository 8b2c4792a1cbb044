/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file environment.h
 * @brief What applications see: the session's keys as variables and as request headers, and no
 *        cookie of ours.
 */
#ifndef BS_ENVIRONMENT_H
#define BS_ENVIRONMENT_H

#include "attach.h"

/** Whether this request was prepared under the configuration it has now. */
static inline int bs_environment_is_prepared(bs_visit_t *visit, const request_rec *r)
{
    const bs_prepared_t *prepared = bs_prepared_of(visit, r);

    return prepared && prepared->under == r->per_dir_config;
}

/** Idempotent. 0 where the session is wanted here and cannot be had. */
int  bs_environment_prepare(request_rec *r);

void bs_register_environment_hooks(apr_pool_t *p);

#endif
