/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file request_headers.h
 * @brief What BSessionHeader tells the application of a request, as lines of its headers.
 */
#ifndef BS_REQUEST_HEADERS_H
#define BS_REQUEST_HEADERS_H

#include "attach.h"

/** Gives them to the request, and notes in `prepared` that it has them. */
void bs_request_headers_give(request_rec *r, bs_prepared_t *prepared, const bs_session_t *s);

/** Of headers that begin like ours only those stay that the request was given, and as they were
 *  given: what a trailer has put beside them or in their place goes. */
void bs_request_headers_keep(request_rec *r);

#endif
