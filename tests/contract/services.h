/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file services.h
 * @brief What the core does for backends, for tests that run a backend without httpd.
 */
#ifndef BS_TEST_SERVICES_H
#define BS_TEST_SERVICES_H

#include "bsession_provider.h"

void services_fill(bsession_services_t *services, apr_pool_t *process_pool);

#endif
