/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file lifecycle.h
 * @brief Tells other modules what happens to sessions: the optional hooks of mod_bsession.h.
 */
#ifndef BS_LIFECYCLE_H
#define BS_LIFECYCLE_H

#include "attach.h"

/** Once the configuration is read: looks for who listens. */
void bs_lifecycle_start(void);

/** From now on what happens to this slot's session is told to those who listen, if any do. `r` is
 *  the client's request, or NULL. */
void bs_lifecycle_watch(bs_slot_t *slot, request_rec *r);

/* How many want to know of a save: mostly none. */
extern int bs_lifecycle_savers;
int        bs_lifecycle_ask_savers(request_rec *r);

/** The answer is about to leave, or the request is over: the session is saved next. 0 where
 *  somebody knows that the answer must not leave. */
static inline int bs_lifecycle_saving(request_rec *r)
{
    return !bs_lifecycle_savers || bs_lifecycle_ask_savers(r);
}

#endif
