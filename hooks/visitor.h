/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file visitor.h
 * @brief What a visitor shows of itself, beside the cookie: what BSessionBind ties a session to.
 *
 * Always of the initial request; the address is the one that mod_remoteip vouches for, where it is
 * loaded, and never a header.
 */
#ifndef BS_VISITOR_H
#define BS_VISITOR_H

#include "attach.h"

#include "address.h"

/** The User-Agent, before mod_headers changes it for the application. Again it does nothing. */
void bs_visitor_note(bs_visit_t *visit);

/** bs_shown_t; the visitor is a bs_visit_t. */
bsession_bytes_t bs_visitor_shows(void *visitor, bs_bind_kind_t kind);

void bs_visitor_address(bs_address_t *address, const request_rec *r);

#endif
