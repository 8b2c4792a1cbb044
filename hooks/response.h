/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file response.h
 * @brief What a response says about its session: the cookie, and who may keep a copy.
 */
#ifndef BS_RESPONSE_H
#define BS_RESPONSE_H

#include "attach.h"

/** Whether anybody asked for a session, so that the answer is for one visitor. */
int  bs_response_was_made_for_one(const bs_visit_t *visit);

/** The cookies alone, for an answer that may bypass the filters. */
void bs_response_cookies(request_rec *r, bs_visit_t *visit);

/** Cache-Control alone, where the session was first asked for when the rest had been said. */
void bs_response_keep_private(request_rec *r, const bs_visit_t *visit);

/** Puts the visit's cookies and Cache-Control into the headers of this response. Idempotent: each
 *  instance of the filter does so anew, since httpd clears or moves these tables in between. */
void bs_response_finish(request_rec *r, bs_visit_t *visit);

#endif
