/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file afterwards.h
 * @brief What becomes of sessions once headers have left: while the body streams, at its end, and
 *        when the request is over.
 */
#ifndef BS_AFTERWARDS_H
#define BS_AFTERWARDS_H

#include "attach.h"

/** A long answer is use, too. */
void bs_touch_while_streaming(bs_visit_t *visit);

/** With the end of the body, where a change that came behind the headers took a lock: the next
 *  request on this connection may come before the end of this one is told of, and would wait for it
 *  in vain. */
void bs_finish_locked(const bs_visit_t *visit);

/** All is over: what was changed late is saved, what was only read is prolonged. */
void bs_finish(request_rec *r, bs_visit_t *visit);

/** Locks that no brigade has met, or of late changes. */
void bs_give_back(const bs_visit_t *visit);

#endif
