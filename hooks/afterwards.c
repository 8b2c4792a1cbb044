/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "afterwards.h"

#include "lifecycle.h"
#include "log.h"
#include "mod_bsession.h"
#include "sweep.h"

/* The next request on this connection waits for what is done after the response: not for long. */
#define AFTERWARDS apr_time_from_msec(500)

void bs_touch_while_streaming(bs_visit_t *visit)
{
    bs_slot_t *slot;

    for (slot = visit->slots; slot; slot = slot->next) {
        bs_session_t *s = slot->session;
        apr_time_t now;

        if (s->state == BS_PRESENT && s->terms.read_prolongs && !s->terms.cookie_follows
            && !s->outage && (now = apr_time_now()) - slot->touched > s->terms.idle / 2) {
            slot->touched = now;
            bs_session_touch(s, now + AFTERWARDS);
        }
    }
}

/** What was changed while the body streamed is saved, and what was only read is prolonged. One
 *  bounded attempt each; none while the store is being left alone. */
static void finish_slot(bs_slot_t *slot)
{
    bs_session_t *s = slot->session;
    apr_time_t deadline;
    apr_status_t status;

    s->headers_gone = 1;
    if (s->state != BS_PRESENT || s->outage
        || (!bs_session_dirty(s) && !bs_session_touch_is_due(s) && !bs_session_upkeep_is_due(s))
        || bs_store_is_open(s->terms.store, &s->key)) {
        return;
    }
    deadline = apr_time_now() + AFTERWARDS;
    status = bs_session_save(s, deadline);
    if (status != APR_SUCCESS) {
        bs_log(s->where, BS_LOG_WARNING, "what was changed while the response was on its way could "
               "not be saved: %s", bs_status_text(status));
        return;
    }
    bs_session_touch_if_due(s, deadline);
    bs_session_upkeep(s, deadline);
}

void bs_finish_locked(const bs_visit_t *visit)
{
    bs_slot_t *slot;

    for (slot = visit->slots; slot; slot = slot->next) {
        if (bs_session_is_locked(slot->session)) {
            finish_slot(slot);
            bs_session_let_go_shortly(slot->session);
        }
    }
}

BS_RARE void bs_finish(request_rec *r, bs_visit_t *visit)
{
    bs_slot_t *slot;

    bs_lifecycle_saving(r);
    for (slot = visit->slots; slot; slot = slot->next) {
        finish_slot(slot);
        if (slot->session->facts & (BSESSION_WAS_CREATED | BSESSION_WAS_CHANGED)) {
            bs_sweep_after_write(slot->session->terms.store, r);
        }
    }
}

BS_RARE void bs_give_back(const bs_visit_t *visit)
{
    const bs_slot_t *slot;

    for (slot = visit->slots; slot; slot = slot->next) {
        bs_session_let_go_shortly(slot->session);
    }
}
