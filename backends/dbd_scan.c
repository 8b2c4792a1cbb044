/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include <string.h>

#include "dbd_backend.h"

/* Where a scan stands, in bsession_cursor_t.at: the text of the last key, without its space. */
#define SCAN_TEXT (BSESSION_KEY_TEXT_SIZE - 2)

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** Of the length of a key it is; a row that somebody else has put there may have any id beyond
 *  that. */
static int key_read(bsession_key_t *key, const char *id)
{
    apr_size_t i;

    key->space = *id++;
    for (i = 0; i < sizeof key->bytes; i++, id += 2) {
        int high = hex_digit(id[0]), low = hex_digit(id[1]);

        if (high < 0 || low < 0) {
            return 0;
        }
        key->bytes[i] = (unsigned char)(high << 4 | low);
    }
    return 1;
}

/** One that cannot be read is passed over: who loads it will hear of it. */
static apr_status_t show(const bsession_backend_t *backend, const dbd_row_t *row,
                         bsession_visitor_t *visit, void *baton, apr_pool_t *pool)
{
    bsession_record_t record;
    bsession_key_t key;

    return key_read(&key, row->id)
           && dbd_row_record(backend, row, &record, pool) == APR_SUCCESS
           ? visit(baton, &key, &record) : APR_SUCCESS;
}

apr_status_t dbd_scan(bsession_backend_t *backend, char space, bsession_cursor_t *cursor,
                      bsession_visitor_t *visit, void *baton, bsession_call_t *call)
{
    char after[BSESSION_KEY_TEXT_SIZE] = { space, '\0' }, before[2] = { (char)(space + 1), '\0' };
    const void *values[] = { after, before };
    dbd_question_t question = { .statement = DBD_SCAN, .values = values, .reads = 1 };
    dbd_answer_t answer;
    apr_status_t status;
    int i;

    if (cursor->done) {
        return APR_SUCCESS;
    }
    memcpy(after + 1, cursor->at, SCAN_TEXT);
    status = dbd_ask(backend, &question, &answer, call);
    if (status != APR_SUCCESS) {
        return status;
    }
    for (i = 0; i < answer.rows->nelts && status == APR_SUCCESS; i++) {
        const dbd_row_t *row = &APR_ARRAY_IDX(answer.rows, i, dbd_row_t);

        memcpy(cursor->at, row->id + 1, SCAN_TEXT);
        status = show(backend, row, visit, baton, call->pool);
    }
    cursor->done = answer.rows->nelts < DBD_SCAN_ROWS;
    return status;
}

/** Statements of a hundred rows each, so that none holds others up; what is in the way can be swept
 *  later. Where the last one ended is where the table's index begins. */
apr_status_t dbd_sweep(bsession_backend_t *backend, apr_time_t now, bsession_call_t *call)
{
    apr_int64_t skew = now - apr_time_now();
    const void *values[] = { &skew, &skew };
    dbd_question_t question = { .statement = DBD_SWEEP, .values = values, .again = 1 };
    dbd_answer_t answer;
    apr_status_t status;

    do {
        status = dbd_ask(backend, &question, &answer, call);
        if (status == APR_EBUSY || status == APR_EOF) {
            call->why[0] = '\0';
            return APR_INCOMPLETE;
        }
        if (status != APR_SUCCESS) {
            return status;
        }
        if (answer.affected < DBD_SWEEP_ROWS) {
            return APR_SUCCESS;
        }
    } while (apr_time_now() < call->deadline);
    return APR_INCOMPLETE;
}

/** Counting is dear where there is much to count. */
void dbd_stats(bsession_backend_t *backend, bsession_stats_t *stats, bsession_call_t *call)
{
    const void *nothing = NULL;
    dbd_question_t question = { .statement = DBD_COUNT, .values = &nothing, .reads = 1 };
    dbd_answer_t answer;

    memset(stats, 0xFF, sizeof *stats);         /* BSESSION_UNKNOWN, all of them */
    if (dbd_ask(backend, &question, &answer, call) == APR_SUCCESS && answer.rows->nelts) {
        apr_int64_t counted = APR_ARRAY_IDX(answer.rows, 0, dbd_row_t).revision;

        if (counted < DBD_COUNT_LIMIT) {
            stats->records = (apr_uint64_t)counted;
        }
    }
}
