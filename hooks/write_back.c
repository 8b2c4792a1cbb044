/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Taken in at four points, always under the configuration of the request that made them: when it is
 * redirected internally (attach), when its error response begins and before its tables are swapped
 * (insert_error_filter), at its first brigade, and at a subrequest's first brigade (commit).
 */

#include "write_back.h"

#include <string.h>

#include "apr_strings.h"
#include "http_log.h"

#include "log.h"
#include "write_back_parse.h"

APLOG_USE_MODULE(bsession);

/* CGI loses the order of headers, so it is always this one. */
enum { DESTROY, CLEAR, UNSET, SET, INCR, USER, ROTATE, ORDERS };

static const struct {
    const char           *name;
    bs_write_back_form_t  form;
} orders[ORDERS] = {
    [DESTROY] = { "BSession-Destroy", BS_YES },
    [CLEAR]   = { "BSession-Clear",   BS_YES },
    [UNSET]   = { "BSession-Unset",   BS_NAMES },
    [SET]     = { "BSession-Set",     BS_PAIRS },
    [INCR]    = { "BSession-Incr",    BS_NUMBERS },
    [USER]    = { "BSession-User",    BS_NAME },
    [ROTATE]  = { "BSession-Rotate",  BS_YES }
};

/* What one request's tables held. */
typedef struct {
    request_rec        *r;
    apr_array_header_t *lines[ORDERS];  /* of const char *; NULL = none */
    int                 obeyed;
} harvest_t;

/* ---- taking them out ---- */

static void harvest_line(harvest_t *harvest, const char *name, const char *line)
{
    int i;

    for (i = 0; i < ORDERS; i++) {
        if (strcasecmp(name, orders[i].name) == 0) {
            if (!harvest->lines[i]) {
                harvest->lines[i] = apr_array_make(harvest->r->pool, 2, sizeof(const char *));
            }
            APR_ARRAY_PUSH(harvest->lines[i], const char *) = line;
            return;
        }
    }
    if (harvest->obeyed) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, harvest->r, "an application sent a header \"%s\": "
                      "there is none of this name, it is dropped",
                      ap_escape_logitem(harvest->r->pool, name));
    }
}

/** Returns whether there were any. */
static int harvest_table(harvest_t *harvest, apr_table_t *table)
{
    const apr_array_header_t *headers = apr_table_elts(table);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)headers->elts;
    int before = headers->nelts, i;

    for (i = 0; i < headers->nelts; i++) {
        if (bs_is_our_header(entries[i].key)) {
            harvest_line(harvest, entries[i].key, entries[i].val);
        }
    }
    for (i = 0; i < headers->nelts; i++) {
        if (bs_is_our_header(entries[i].key)) {
            apr_table_unset(table, entries[i].key);
            i = -1;                     /* the table has moved */
        }
    }
    return headers->nelts < before;
}

/* ---- doing what they say ---- */

static apr_status_t obey_pair(bs_session_t *s, int order, const bsession_field_t *pair)
{
    apr_int64_t by = 0;

    switch (order) {
    case DESTROY:
        return bs_session_destroy(s);
    case CLEAR:
        return bs_session_clear(s);
    case UNSET:
        return bs_session_unset(s, pair->name.data);
    case SET:
        return bs_session_set(s, pair->name.data, pair->value.data, pair->value.len);
    case INCR:
        bs_number_parse(&by, pair->value.data, pair->value.len);
        return bs_session_incr(s, pair->name.data, by, NULL);
    case USER:
        return bs_session_set_owner(s, pair->value.data);
    default:
        return bs_session_rotate(s);
    }
}

/** Keys were looked at when the line was read: a value that cannot be set names an owner. */
static const char *why_not(int order, apr_status_t status)
{
    if (status == APR_EINVAL && order == INCR) {
        return "its value is no whole number, or would become one of more than 64 bits";
    }
    if (status == APR_EINVAL && order == SET) {
        return "it names the owner (BSessionUser), which is 1 to 255 bytes of UTF-8 without control "
               "characters";
    }
    if (status == APR_EINVAL && order == USER) {
        return "a name is 1 to 255 bytes of UTF-8, urlencoded, without control characters";
    }
    return bs_status_text(status);
}

static void complain(request_rec *r, int order, const bsession_field_t *pair, apr_status_t status)
{
    bs_visit_t *visit = bs_visit_of(r);

    if (status == BSESSION_ELATE) {
        if (visit->complained) {
            return;
        }
        visit->complained = 1;
    }
    ap_log_rerror(APLOG_MARK, status == BSESSION_EGONE ? APLOG_INFO : APLOG_WARNING, 0, r,
                  "%s of \"%s\" was not done: %s", orders[order].name,
                  ap_escape_logitem(r->pool, pair->name.data), why_not(order, status));
}

static void obey_line(request_rec *r, bs_session_t *s, int order, const char *line)
{
    apr_array_header_t *pairs;
    const char *wrong = bs_write_back_parse(&pairs, line, orders[order].form, r->pool);
    int i, over = 0;

    if (wrong) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, "a %s header is dropped: %s",
                      orders[order].name, wrong);
        return;
    }
    for (i = 0; i < pairs->nelts; i++) {
        const bsession_field_t *pair = &APR_ARRAY_IDX(pairs, i, bsession_field_t);
        apr_status_t status = obey_pair(s, order, pair);

        if (s->outage) {
            return;                     /* said by the store's own line; the commit decides */
        }
        over += status == APR_ENOSPC;
        if (status != APR_SUCCESS && (status != APR_ENOSPC || over == 1)) {
            complain(r, order, pair, status);
        }
    }
    if (over > 1) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "nor were %d more of this %s, for the same reason",
                      over - 1, orders[order].name);
    }
}

static void obey(harvest_t *harvest)
{
    request_rec *r = harvest->r;
    bsession_t *handle = bs_handle_of(r);
    int order, i;

    if (!handle) {
        return;
    }
    if (handle->read_only) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, "BSession-* headers are dropped: the session is "
                      "ReadOnly here");
        return;
    }
    for (order = 0; order < ORDERS; order++) {
        for (i = 0; harvest->lines[order] && i < harvest->lines[order]->nelts; i++) {
            obey_line(r, handle->slot->session, order,
                      APR_ARRAY_IDX(harvest->lines[order], i, const char *));
        }
    }
}

void bs_write_back_obey(request_rec *r)
{
    const bs_dir_conf_t *conf = bs_dir_conf(r);
    harvest_t harvest = { .r = r };
    int found;

    harvest.obeyed = conf->write_back == 1 && bs_mode(conf) != BS_OFF;
    found = harvest_table(&harvest, r->headers_out);
    found |= harvest_table(&harvest, r->err_headers_out);
    if (!found) {
        return;
    }
    if (harvest.obeyed) {
        obey(&harvest);
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "BSession-* headers are dropped: BSessionWriteBack "
                      "is Off here");
    }
}
