/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file write_back.h
 * @brief BSession-* headers of responses, by which CGI and proxied applications change the session.
 */
#ifndef BS_WRITE_BACK_H
#define BS_WRITE_BACK_H

#include "attach.h"

/** Takes every header of ours out of this request's response tables, and does what they say where
 *  `BSessionWriteBack On` holds for this request. */
void bs_write_back_obey(request_rec *r);

/** The same, where there may be any. */
static inline void bs_write_back_take(request_rec *r)
{
    if ((bs_initials(r->headers_out) | bs_initials(r->err_headers_out)) & BS_INITIAL('b')) {
        bs_write_back_obey(r);
    }
}

#endif
