/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef BS_API_H
#define BS_API_H

#include <apr_pools.h>

/** Offers the functions of include/mod_bsession.h to other modules. */
void bs_register_api(apr_pool_t *p);

#endif
