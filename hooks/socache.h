/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file socache.h
 * @brief The stores as caches of httpd's own: `SSLSessionCache bsession:name` and its like.
 */
#ifndef BS_SOCACHE_H
#define BS_SOCACHE_H

#include "httpd.h"

/** Registers the provider "bsession" of small objects. */
void bs_register_socache(apr_pool_t *p);
/** For check_config: whether each store that such a line names is defined. OK, or what was
 *  logged. */
int  bs_check_socaches(apr_pool_t *pconf, const server_rec *s);

#endif
