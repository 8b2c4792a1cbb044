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

/** Before the handlers of a request with an Upgrade. Where httpd itself changes to HTTP/2, which its
 *  own handler does before all others, the request begins anew there, from the headers that it has
 *  then: until that has had its turn they have our cookie. */
void bs_environment_before_upgrade(request_rec *r, bs_visit_t *visit);

void bs_register_environment_hooks(apr_pool_t *p);

#endif
