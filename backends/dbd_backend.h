/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file dbd_backend.h
 * @brief Between dbd.c, which has the verbs of one record, dbd_scan.c, which looks at many, and
 *        dbd_ask.c, which asks.
 */
#ifndef DBD_BACKEND_H
#define DBD_BACKEND_H

#include "dbd.h"
#include "dbd_gate.h"
#include "dbd_session.h"

struct bsession_backend_t {
    const bsession_services_t *services;
    const dbd_source_t        *source;
    const dbd_dialect_t       *dialect;
    const char                *table;
    dbd_gate_t                *gate;    /* of this child; NULL in the parent, which has no
                                           connections */
};

/**
 * Asks, again where that is harmless, until the call's deadline. APR_SUCCESS: there is an answer.
 * APR_EBUSY: others were in the way all the time. APR_EOF: the process ends.
 *
 * What failed and was surely not done is done again: the statements were those of an earlier
 * connection, somebody else held a lock. Where a connection was lost in the middle, only a question
 * that may be sent `again` is, and the answer tells (`repeated`).
 */
apr_status_t dbd_ask(bsession_backend_t *backend, const dbd_question_t *question,
                     dbd_answer_t *answer, bsession_call_t *call);

/** What a row says of its record. */
apr_status_t dbd_row_record(const bsession_backend_t *backend, const dbd_row_t *row,
                            bsession_record_t *record, apr_pool_t *pool);

#endif
