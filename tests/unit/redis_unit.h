/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_unit.h
 * @brief What the tests of the Redis store that need no server have in common.
 */
#ifndef BS_TEST_REDIS_UNIT_H
#define BS_TEST_REDIS_UNIT_H

#include <check.h>

#include "redis_conf.h"

/* New for each test. */
extern apr_pool_t   *pool;
extern redis_conf_t  conf;

/** The clock goes before by so much: what takes minutes is said, not waited for. */
extern apr_interval_time_t later;
/** Seconds by which the clock that nobody sets goes before. */
extern int                 passed;

redis_address_t at(const char *host, apr_port_t port);

TCase *redis_links_case(void);
void   redis_replies_add(TCase *tests);

#endif
