/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file bed.h
 * @brief A store for tests of the core: the real memory store, behind a provider that on command
 *        refuses, loses answers, merges in place, or lets something else happen first.
 *
 * What happens between two calls of a request is so decided by the test and not by chance. Lives
 * are tested by moving the moments that a record holds, and nothing waits.
 */
#ifndef BS_TEST_BED_H
#define BS_TEST_BED_H

#include "suites.h"

#include "log.h"
#include "session.h"

#define BED_IDLE     apr_time_from_sec(1000)
#define BED_ABSOLUTE apr_time_from_sec(100000)
#define BED_OUTAGE   APR_ECONNREFUSED

extern bs_store_t        bed_store;
extern bs_store_t        bed_older;         /* after bed_change_store() */
extern bs_terms_t        bed_terms;         /* of the sessions opened next */
extern bs_store_shared_t bed_shared;

/** Fixtures; `pool` of suites.h is there as well. */
void bed_setup(void);
void bed_teardown(void);
/** Sessions are kept in another store from now on, and what is there moves: BSessionMigrateFrom.
 *  Orders are for the next call to whichever of the two, and calls are counted together. */
void bed_change_store(void);

/* ---- what the provider does, and was asked: bed_provider.c ---- */

/** As if nothing had been ordered yet. */
const bsession_provider_t *bed_provider(void);

/** The next calls of this verb are not done, and answer this. */
void bed_answer(bs_verb_t verb, apr_status_t status, int times);
/** The next calls of this verb are done, and their answer is lost. */
void bed_lose_answers(bs_verb_t verb, int times);
/** Once, before the next call of this verb. */
void bed_before(bs_verb_t verb, void (*happen)(void));
/** MERGE is applied to what is stored, as Redis does it. */
void bed_merge_in_place(void);
/** The store loads many at once; a call of it counts as one load. */
void bed_load_many_at_once(void);
/** With the next success this notice comes. */
void bed_notice(const char *notice);

int  bed_calls(bs_verb_t verb);
int  bed_all_calls(void);
/** Of the last call, by the wall clock; 0 = none was made. */
apr_time_t bed_deadline(void);

/* ---- what was logged ---- */

int         bed_lines(void);
const char *bed_last_line(void);
bs_level_t  bed_last_level(void);

/* ---- what is stored, past the provider ---- */

typedef struct {
    bsession_record_t record;
    bs_meta_t         meta;
} bed_stored_t;

apr_uint64_t  bed_records(void);
/** That were counted. */
apr_uint64_t  bed_events(bs_event_t event);
/** NULL where nothing live is. */
bed_stored_t *bed_stored(const bs_token_t *token);
bed_stored_t *bed_stored_in(const bs_store_t *store, const bs_token_t *token);
/** Takes the place of what is stored. */
void          bed_put(const bs_token_t *token, bed_stored_t *stored);
/** A value, or NULL. */
const char   *bed_value(const bs_token_t *token, const char *key);
int           bed_count(const bs_token_t *token);
/** Its life ends so long from now. */
void          bed_ends_in(const bs_token_t *token, apr_interval_time_t left);
/** Its token was replaced so long ago, and not just now. */
void          bed_retired_before(const bs_token_t *token, apr_interval_time_t ago);
/** What its verifiers' times say was so much longer ago. */
void          bed_time_passes(const bs_token_t *token, apr_interval_time_t time);

/* ---- requests ---- */

/** A request with this cookie, or with none. */
bs_session_t *bed_request(const bs_token_t *token);
/** A session that is stored and has these keys: name, value .. NULL. */
bs_token_t    bed_session(const char *name, ...) __attribute__((sentinel));
apr_status_t  bed_set(bs_session_t *s, const char *key, const char *value);
/** As the request sees it; NULL where it is missing. */
const char   *bed_get(bs_session_t *s, const char *key);

#define bed_is(status, expected) ck_assert_int_eq((status), (expected))

#endif
