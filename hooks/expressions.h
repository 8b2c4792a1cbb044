/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file expressions.h
 * @brief The session where httpd's configuration asks for it: %{BSESSION:key} and bsession('key')
 *        in expressions, %{key}^BS and %{:tag}^BS in log formats.
 */
#ifndef BS_EXPRESSIONS_H
#define BS_EXPRESSIONS_H

#include <apr_pools.h>

void bs_register_expressions(apr_pool_t *p);

#endif
