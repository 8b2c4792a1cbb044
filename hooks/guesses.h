/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file guesses.h
 * @brief Tokens that open nothing, counted for each address: core/guess.h, as httpd feeds it.
 */
#ifndef BS_GUESSES_H
#define BS_GUESSES_H

#include "attach.h"

/** In the parent, once the stores are open: the memory, which outlives graceful restarts. What is
 *  wrong is logged. */
apr_status_t bs_guesses_open(bs_stores_t *stores, server_rec *s, apr_pool_t *pconf);

/** None of the tokens that came with this request opens anything. */
void         bs_guesses_count(request_rec *r, const bs_session_t *session);

#endif
