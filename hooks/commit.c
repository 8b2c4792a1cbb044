/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The commit filter stands where content is set (AP_FTYPE_CONTENT_SET): before mod_cache, which
 * would otherwise keep cookies and write-back headers, and before mod_headers. Its first brigade,
 * whatever it holds, is the last moment before headers leave. At the end of the request what came
 * later is saved.
 */

#include "commit.h"

#include <string.h>

#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "util_filter.h"

#include "afterwards.h"
#include "environment.h"
#include "lifecycle.h"
#include "log.h"
#include "request_headers.h"
#include "response.h"
#include "write_back.h"

APLOG_USE_MODULE(bsession);

#define RETRY_AFTER "2"

static ap_filter_rec_t *commit_filter_rec, *late_filter_rec, *trailers_filter_rec;

/* How far an instance of the filter has come: f->ctx, which is NULL while nothing has passed. */
static const char PASSING[]    = "passing";
static const char REPLACING[]  = "the 503's own page passes, to its end";
static const char SWALLOWING[] = "what a handler still writes after its page was replaced";

static void set_stage(ap_filter_t *f, const char *stage)
{
    f->ctx = (void *)stage;
}

/* ---- refusing ---- */

int bs_refuse_early(request_rec *r)
{
    bs_visit_of(r)->refusing = 1;
    apr_table_setn(r->err_headers_out, "Retry-After", RETRY_AFTER);
    return HTTP_SERVICE_UNAVAILABLE;
}

/**
 * The response becomes one clean 503. Each step is needed: cookies of the application must not ride
 * on it (clear), ErrorDocument is skipped while r->status says that an error is being handled
 * (HTTP_OK), and a handler that ignores write errors would send the rest of its page behind it
 * (swallow).
 */
static apr_status_t refuse(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;

    bs_visit_of(r)->refusing = 1;
    set_stage(f, SWALLOWING);
    apr_brigade_cleanup(bb);
    apr_table_clear(r->err_headers_out);
    apr_table_setn(r->err_headers_out, "Retry-After", RETRY_AFTER);
    r->status = HTTP_OK;
    r->status_line = NULL;
    ap_die(HTTP_SERVICE_UNAVAILABLE, r);
    return AP_FILTER_ERROR;
}

/* ---- saving ---- */

/** Whether the response may still go out as it is. */
static int save_slot(bs_slot_t *slot, apr_time_t deadline)
{
    bs_session_t *s = slot->session;
    apr_status_t status;

    if (s->state == BS_UNASKED) {
        return 1;
    }
    if (s->outage) {
        return bs_slot_may_do_without(slot);
    }
    status = bs_session_save(s, deadline);
    if (status == BSESSION_EGONE) {
        bs_log(s->where, BS_LOG_INFO, "changes dropped: %s", bs_status_text(status));
    }
    if (s->outage) {
        return bs_slot_may_do_without(slot);
    }
    if (s->terms.cookie_follows) {
        bs_session_touch_if_due(s, deadline);
    }
    return 1;
}

/** Who waits for a lock is not to wait for the body, too. After an outage the end of the request is
 *  time enough. `early`: the application has not answered yet, and may do so past us. */
static void let_go_all(bs_visit_t *visit, int early)
{
    bs_slot_t *slot;

    for (slot = visit->slots; slot; slot = slot->next) {
        apr_status_t outage = slot->session->outage;

        if (outage != 0 && outage != BSESSION_EBUSY) {
            continue;
        }
        if (early) {
            bs_session_let_go_early(slot->session);
        }
        else {
            bs_session_let_go(slot->session, 0);
        }
    }
}

/** 0 where the response must become a 503. */
static int save_all(request_rec *r, bs_visit_t *visit)
{
    bs_slot_t *slot;
    int good = bs_lifecycle_saving(r) && !visit->must_refuse;

    for (slot = visit->slots; slot; slot = slot->next) {
        if (!save_slot(slot, 0)) {
            good = 0;
        }
    }
    return good;
}

/** Once all is stored, and no earlier: a 503 would not tell of the new token. */
static void keep_up(bs_visit_t *visit)
{
    bs_slot_t *slot;

    for (slot = visit->slots; slot; slot = slot->next) {
        bs_session_upkeep(slot->session, 0);
    }
}

static void headers_leave(bs_visit_t *visit)
{
    bs_slot_t *slot;

    visit->committed = 1;
    for (slot = visit->slots; slot; slot = slot->next) {
        slot->session->headers_gone = 1;
        slot->touched = slot->session->used_at;
    }
}

/* ---- the filter ---- */

/** A page whose session is first asked for by what it includes has told caches already that they
 *  may keep it. mod_cache's stores look at this once more when the page is complete. */
static void keep_late_answer_out_of_caches(request_rec *r, const bs_visit_t *visit)
{
    if (visit->committed && bs_response_was_made_for_one(visit)) {
        for (; r; r = r->main) {
            r->no_cache = 1;
        }
    }
}

/** Whether the answer may leave as it is: nobody has asked for a session yet, and nobody wants to
 *  know what becomes of it. */
static int nothing_to_do(const bs_visit_t *visit)
{
    return !visit->slots && !visit->required && !visit->must_refuse && !visit->refusing
           && !bs_lifecycle_savers;
}

static void drop_trailers(apr_table_t *trailers)
{
    const apr_array_header_t *list = apr_table_elts(trailers);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)list->elts;
    int i;

    for (i = 0; i < list->nelts; i++) {
        if (bs_is_our_header(entries[i].key)) {
            apr_table_unset(trailers, entries[i].key);
            i = -1;                     /* the table has moved */
        }
    }
}

static int ends_with_eos(const apr_bucket_brigade *bb)
{
    const apr_bucket *b;

    for (b = APR_BRIGADE_LAST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_PREV(b)) {
        if (APR_BUCKET_IS_EOS(b)) {
            return 1;
        }
        if (!APR_BUCKET_IS_METADATA(b)) {
            return 0;
        }
    }
    return 0;
}

static int has_trailers(const request_rec *r)
{
    return r->trailers_out && !apr_is_empty_table(r->trailers_out);
}

/** Passes a brigade on, without trailers of our names; behind the end of a 503's page nothing
 *  follows. */
static BS_RARE apr_status_t pass(ap_filter_t *f, apr_bucket_brigade *bb)
{
    int last = (f->ctx == REPLACING || has_trailers(f->r)) && ends_with_eos(bb);
    apr_status_t status;

    if (last && has_trailers(f->r)) {
        drop_trailers(f->r->trailers_out);
    }
    status = ap_pass_brigade(f->next, bb);
    if (last && f->ctx == REPLACING) {
        set_stage(f, SWALLOWING);
        bs_visit_of(f->r)->refused = 1;
    }
    return status;
}

/** The first brigade of an answer that a session has to do with. */
static BS_RARE apr_status_t commit(ap_filter_t *f, bs_visit_t *visit, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    int good;

    if (r->main) {                      /* what a subrequest changes, its main request saves */
        keep_late_answer_out_of_caches(r, visit);
        return pass(f, bb);
    }
    if (visit->refusing) {
        let_go_all(visit, 0);
        set_stage(f, REPLACING);
        return pass(f, bb);
    }
    good = save_all(r, visit);
    let_go_all(visit, 0);
    if (!good) {
        return refuse(f, bb);
    }
    keep_up(visit);
    if (visit->slots || visit->required) {
        bs_response_finish(r, visit);
    }
    headers_leave(visit);
    return pass(f, bb);
}

static BS_RARE apr_status_t later_brigade(ap_filter_t *f, apr_bucket_brigade *bb)
{
    bs_visit_t *visit = bs_visit_of(f->r);

    if (APR_BRIGADE_EMPTY(bb)) {
        return APR_SUCCESS;
    }
    if (f->ctx == SWALLOWING) {
        apr_brigade_cleanup(bb);
        return APR_SUCCESS;
    }
    if (visit) {
        bs_touch_while_streaming(visit);
        if (visit->slots && !f->r->main && ends_with_eos(bb)) {
            bs_finish_locked(visit);
        }
    }
    return pass(f, bb);
}

static apr_status_t commit_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    bs_visit_t *visit;

    if (f->ctx || APR_BRIGADE_EMPTY(bb)) {
        return later_brigade(f, bb);
    }
    set_stage(f, PASSING);
    bs_write_back_take(r);
    visit = bs_visit_of(r);
    if (visit && !nothing_to_do(visit)) {
        return commit(f, visit, bb);
    }
    if (visit && !r->main) {
        visit->committed = 1;
    }
    return has_trailers(r) ? pass(f, bb) : ap_pass_brigade(f->next, bb);
}

/* ---- who asks behind it ---- */

/** Stands behind mod_headers, for the one answer that must not leave. */
static apr_status_t late_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    if (f->ctx == SWALLOWING) {
        apr_brigade_cleanup(bb);
        return APR_SUCCESS;
    }
    return APR_BRIGADE_EMPTY(bb) ? APR_SUCCESS : refuse(f, bb);
}

void bs_asked_late(request_rec *r, const bs_slot_t *slot)
{
    bs_visit_t *visit = bs_visit_of(r);

    if (!visit->committed || visit->refusing) {
        return;
    }
    if (r->main) {
        keep_late_answer_out_of_caches(r, visit);
    }
    else if (!bs_slot_may_do_without(slot)) {
        ap_add_output_filter_handle(late_filter_rec, NULL, r, r->connection);
        visit->refusing = 1;            /* nobody else adds another one */
    }
    else {
        bs_response_keep_private(r, visit);
    }
}

/* ---- where filters come from ---- */

/** mod_proxy and CGI answers to an `Upgrade` bypass the filters with their 101. What cannot be
 *  saved must not be bypassed: without the header there is an ordinary answer, and it becomes a
 *  503. */
static BS_RARE void save_before_upgrade(request_rec *r, bs_visit_t *visit)
{
    if (r->main || !apr_table_get(r->headers_in, "Upgrade")) {
        return;
    }
    if (save_all(r, visit)) {
        bs_response_cookies(r, visit);
        let_go_all(visit, 1);
    }
    else {
        apr_table_unset(r->headers_in, "Upgrade");
        let_go_all(visit, 0);
    }
}

/* ---- trailers of the request, which MergeTrailers puts among its headers ---- */

static apr_status_t trailers_filter(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                                    apr_read_type_e block, apr_off_t readbytes)
{
    apr_status_t status = ap_get_brigade(f->next, bb, mode, block, readbytes);

    if (status == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb)
        && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(bb))) {
        bs_request_headers_keep(f->r);
    }
    return status;
}

static BS_RARE void keep_out_trailers(request_rec *r)
{
    bs_request_headers_keep(r);         /* a fixup may have read the body already */
    ap_add_input_filter_handle(trailers_filter_rec, NULL, r, r->connection);
}

/** After a 503 is complete nothing may follow it, whoever still thinks that this went wrong. */
static void insert_commit_filter(request_rec *r, const bs_visit_t *visit)
{
    const char *stage = visit && visit->refused ? SWALLOWING : NULL;

    ap_add_output_filter_handle(commit_filter_rec, (void *)stage, r, r->connection);
}

static void insert_filters(request_rec *r)
{
    bs_visit_t *visit = bs_visit_of(r);

    insert_commit_filter(r, visit);
    if (!visit) {
        return;
    }
    if (!bs_environment_is_prepared(visit, r)) {
        bs_environment_prepare(r);      /* an outage is for the filter to judge */
    }
    if (visit->chunked) {
        keep_out_trailers(r);
    }
    if (!nothing_to_do(visit)) {
        save_before_upgrade(r, visit);
    }
}

/** ap_send_error_response has not yet swapped the tables that the handler filled. */
static void insert_filters_for_error(request_rec *r)
{
    bs_write_back_take(r);
    insert_commit_filter(r, bs_visit_of(r));
}

static int afterwards(request_rec *r)
{
    bs_visit_t *visit = bs_visit_of(r);

    if (visit && !visit->refusing && !nothing_to_do(visit)) {
        bs_finish(r, visit);
    }
    if (visit && visit->slots) {
        bs_give_back(visit);
    }
    return DECLINED;
}

void bs_register_commit_hooks(apr_pool_t *p)
{
    static const char *const after[] = { "mod_session.c", NULL };
    static const char *const before[] = { "mod_headers.c", NULL };

    (void)p;
    commit_filter_rec = ap_register_output_filter("BSESSION_COMMIT", commit_filter, NULL,
                                                  AP_FTYPE_CONTENT_SET);
    late_filter_rec = ap_register_output_filter("BSESSION_LATE", late_filter, NULL,
                                                AP_FTYPE_CONTENT_SET);
    trailers_filter_rec = ap_register_input_filter("BSESSION_TRAILERS", trailers_filter, NULL,
                                                   AP_FTYPE_CONTENT_SET);
    ap_hook_insert_filter(insert_filters, after, before, APR_HOOK_LAST);
    ap_hook_insert_error_filter(insert_filters_for_error, after, before, APR_HOOK_LAST);
    ap_hook_log_transaction(afterwards, NULL, NULL, APR_HOOK_REALLY_LAST);
}
