/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_unit.h
 * @brief The tests of what of the Redis store needs no server.
 */
#ifndef BS_TEST_REDIS_UNIT_H
#define BS_TEST_REDIS_UNIT_H

#include <apr_pools.h>
#include <check.h>

extern apr_pool_t *pool;                    /* of the running test */

void redis_replies_add(TCase *tests);

#endif
