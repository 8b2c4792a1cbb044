/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_sentinel.h
 * @brief Which server is the master, as the Sentinels have it.
 */
#ifndef REDIS_SENTINEL_H
#define REDIS_SENTINEL_H

#include <hiredis/hiredis.h>

#include "redis_conf.h"

/**
 * Asks the Sentinels in turn. One that does not answer soon, does not know the service, or names a
 * server that cannot be reached or is no master by its own word, is passed over.
 * @param first   with which of them to begin; the one that was right, afterwards
 * @param known   the master so far, which needs no second word for it; NULL: whoever it is does
 * @param master  lives in call->pool
 */
apr_status_t redis_sentinel_look(const redis_conf_t *conf, int *first, const redis_address_t *known,
                                 redis_address_t *master, bsession_call_t *call);

/** What get-master-addr-by-name answers: an address as two strings, in call->pool, or nothing. */
apr_status_t redis_sentinel_read(const redis_conf_t *conf, const redis_address_t *sentinel,
                                 const redisReply *reply, redis_address_t *master,
                                 bsession_call_t *call);

#endif
