/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file commit.h
 * @brief The moment before headers leave: what changed is saved, and the cookie goes out.
 */
#ifndef BS_COMMIT_H
#define BS_COMMIT_H

#include "attach.h"

/** mod_headers, behind the commit filter, was the first to ask for the session, or to learn that it
 *  cannot be had: the answer is not for everybody, or is not to leave. */
void bs_asked_late(request_rec *r, const bs_slot_t *slot);

/** For hooks before the handler: sets Retry-After, and returns the status of the refusal. */
int  bs_refuse_early(request_rec *r);

void bs_register_commit_hooks(apr_pool_t *p);

#endif
