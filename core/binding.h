/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file binding.h
 * @brief BSessionBind: a session is tied to what it was created from, or logged in from last.
 *
 * Its record keeps a digest of each, in which the session's own selector is mixed, so that no table
 * made beforehand tells what it is of. How many bits of an address count is kept beside it: a
 * change of the directive concerns the sessions that begin after it. A session that was there
 * before is tied to nothing, and so is one that a module opened outside of a request.
 *
 * What the visitor shows is asked of the hooks, and only for a session that is, or is to be, tied.
 */
#ifndef BS_BINDING_H
#define BS_BINDING_H

#include "session.h"

/** The record that is about to be made, or to get a new token by a login, is tied to who asks for
 *  that. */
apr_status_t bs_binding_tie(const bs_session_t *s, bs_meta_t *meta);

/** While PRESENT: 1 if the session may be used. Otherwise it was ended, or could not be, and its
 *  state says which. */
int          bs_binding_admits(bs_session_t *s, const bs_bind_rule_t *rule);

#endif
