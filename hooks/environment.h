/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file environment.h
 * @brief What applications see: the session's keys as variables, and no cookie of ours.
 */
#ifndef BS_ENVIRONMENT_H
#define BS_ENVIRONMENT_H

#include "attach.h"

static inline int bs_environment_is_prepared(const bs_visit_t *visit, const request_rec *r)
{
    return visit->exported == r && visit->exported_under == r->per_dir_config;
}

/** Idempotent. OK, or a 503 where the session is wanted and cannot be had. */
int  bs_environment_prepare(request_rec *r);

void bs_register_environment_hooks(apr_pool_t *p);

#endif
