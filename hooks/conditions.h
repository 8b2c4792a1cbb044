/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file conditions.h
 * @brief Require bsession, Require bsession key, Require bsession key value ...
 */
#ifndef BS_CONDITIONS_H
#define BS_CONDITIONS_H

#include "attach.h"

void bs_register_conditions(apr_pool_t *p);

#endif
