/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include <apr_strings.h>

#include "dbd_backend.h"

/* A connection that has not answered for so long may have been closed. */
#define ASK_IDLE        apr_time_from_msec(20)
/* Connections that were lost, and statements that were stale, within one call. */
#define ASK_LOST_MOST   3
#define ASK_FIRST_PAUSE 500
#define ASK_PAUSES      6           /* times two, so many times */

typedef struct {
    int stale;                      /* the statements had to be prepared anew, so often */
    int lost;                       /* a connection was, so often */
    int pauses;
} ask_tries_t;

/** Somewhere between nothing and half a millisecond, times two with each try; 0: no time left. */
static int ask_pause(ask_tries_t *tries, const bsession_call_t *call)
{
    apr_time_t now = apr_time_now();
    int doubled = tries->pauses < ASK_PAUSES ? tries->pauses : ASK_PAUSES;
    apr_uint64_t mixed = ((apr_uint64_t)now ^ (apr_uint64_t)(apr_uintptr_t)tries)
                         * APR_UINT64_C(0x9E3779B97F4A7C15);
    apr_interval_time_t pause = (apr_interval_time_t)((mixed >> 33)
                                                      % (ASK_FIRST_PAUSE << doubled));

    if (now + pause >= call->deadline) {
        return 0;
    }
    tries->pauses++;
    apr_sleep(pause);
    return 1;
}

/** The driver gives back a connection that has died, and with it, sometimes, the next one. */
static int ask_acquire(const bsession_backend_t *backend, dbd_connection_t *connection,
                       const bsession_call_t *call)
{
    int i;

    for (i = 0; i < ASK_LOST_MOST && (i == 0 || apr_time_now() < call->deadline); i++) {
        if (backend->source->acquire(connection, call->pool)) {
            return 1;
        }
    }
    return 0;
}

/** Once, on this connection. A write that may not be sent again is not the way to learn that an
 *  idle connection was closed. */
static dbd_outcome_t ask_once(dbd_session_t *session, const dbd_question_t *question,
                              dbd_answer_t *answer, int *begun, const char **sentence,
                              apr_pool_t *pool)
{
    dbd_outcome_t outcome;

    *begun = 0;
    if (session->dialect->is_server && session->greeted && !question->reads && !question->again
        && apr_time_now() - session->answered > ASK_IDLE && !dbd_session_is_alive(session, pool)) {
        dbd_session_forget(session);
        return DBD_LOST;
    }
    outcome = dbd_session_run(session, question, answer, sentence, pool);
    *begun = outcome == DBD_UNSURE;
    if (outcome == DBD_UNSURE) {
        outcome = dbd_session_is_alive(session, pool) ? DBD_REFUSED : DBD_LOST;
    }
    if (outcome == DBD_LOST || outcome == DBD_UNPREPARED) {
        dbd_session_forget(session);
    }
    return outcome;
}

/** Whether to try again. */
static int ask_again(dbd_outcome_t outcome, int begun, const dbd_question_t *question,
                     dbd_answer_t *answer, ask_tries_t *tries, bsession_call_t *call)
{
    switch (outcome) {
    case DBD_AGAIN:
        return ask_pause(tries, call);
    case DBD_UNPREPARED:
        return tries->stale++ < ASK_LOST_MOST;
    case DBD_LOST:
        if (begun && !question->reads) {
            if (!question->again) {
                return 0;
            }
            answer->repeated = 1;
        }
        return tries->lost++ < ASK_LOST_MOST && apr_time_now() < call->deadline;
    default:
        return 0;
    }
}

static const char *ask_why(dbd_outcome_t outcome, const char *sentence)
{
    if (outcome == DBD_LOST) {
        return "the connection to the database was lost";
    }
    return sentence ? sentence : "the database refused it; its own log may say why";
}

static apr_status_t ask(bsession_backend_t *backend, const dbd_question_t *question,
                        dbd_answer_t *answer, bsession_call_t *call)
{
    ask_tries_t tries = { 0, 0, 0 };
    dbd_connection_t connection;
    dbd_outcome_t outcome;
    const char *sentence;
    int begun;

    do {
        dbd_session_t *session;

        sentence = NULL;
        if (!ask_acquire(backend, &connection, call)) {
            apr_cpystrn(call->why, "no connection to the database can be had", sizeof call->why);
            return APR_EGENERAL;
        }
        session = dbd_session_of(&connection, backend->dialect, backend->table, call->pool);
        if (!session) {
            backend->source->release(&connection);
            apr_cpystrn(call->why, "no memory", sizeof call->why);
            return APR_ENOMEM;
        }
        outcome = ask_once(session, question, answer, &begun, &sentence, call->pool);
        backend->source->release(&connection);
    } while (outcome != DBD_DONE && ask_again(outcome, begun, question, answer, &tries, call));
    if (outcome != DBD_DONE) {
        apr_cpystrn(call->why, ask_why(outcome, sentence), sizeof call->why);
    }
    return outcome == DBD_DONE ? APR_SUCCESS : outcome == DBD_AGAIN ? APR_EBUSY
         : outcome == DBD_TOO_LARGE ? APR_ENOSPC
         : outcome == DBD_FULL ? BSESSION_EFULL : APR_EGENERAL;
}

apr_status_t dbd_ask(bsession_backend_t *backend, const dbd_question_t *question,
                     dbd_answer_t *answer, bsession_call_t *call)
{
    apr_status_t status;
    int place;

    answer->repeated = 0;
    if (!backend->gate) {
        apr_cpystrn(call->why, "connections to the database are the children's",
                    sizeof call->why);
        return APR_EGENERAL;
    }
    status = dbd_gate_enter(backend->gate, &place, call);
    if (status != APR_SUCCESS) {
        return status;
    }
    status = ask(backend, question, answer, call);
    dbd_gate_leave(backend->gate, place);
    return status;
}
