/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file store_call.h
 * @brief A named store, and the one way to call it: with a deadline, behind the circuit breaker,
 *        counted, and with one log line for each change of state.
 */
#ifndef BS_STORE_CALL_H
#define BS_STORE_CALL_H

#include "breaker.h"
#include "log.h"
#include "bsession_provider.h"
#include "secret.h"

typedef enum {
    BS_VERB_LOAD, BS_VERB_SAVE, BS_VERB_TOUCH, BS_VERB_REMOVE, BS_VERB_SCAN, BS_VERB_SWEEP,
    BS_VERBS
} bs_verb_t;

typedef enum {
    BS_DONE,                    /* success */
    BS_MISSED,                  /* NOTFOUND */
    BS_CONFLICT,                /* EEXIST, EMISMATCH */
    BS_UNFIT,                   /* ENOSPC, ECORRUPT, ENOTIMPL */
    BS_UNKNOWN,                 /* an outage */
    BS_SPARED,                  /* not asked: the breaker is open */
    BS_OUTCOMES
} bs_outcome_t;

typedef enum {
    BS_CREATED, BS_ROTATED, BS_DESTROYED,
    BS_UNKNOWN_TOKENS,          /* of the right form, and nothing is there: expired, evicted,
                                   invented */
    BS_DROPPED_CHANGES, BS_RETIRED_TOKENS,
    BS_REUSED_TOKENS,           /* replaced from time to time, and copies of them came too late */
    BS_UNKNOWN_BESIDE,          /* unknown tokens beside one that was good, or had been */
    BS_MIGRATED,                /* sessions that came here from the store of BSessionMigrateFrom */
    BS_EVENTS
} bs_event_t;

/** What the log is told of a session, which a visitor can bring about by each request. */
typedef enum {
    BS_TOLD_DAMAGED,            /* its record cannot be read or opened */
    BS_TOLD_ELSEWHERE,          /* it is used from elsewhere: BSessionBind action=log */
    BS_TOLD_REUSED,             /* its old token came: BSessionRotate reuse=log */
    BS_TOLD_LOCKED,             /* another request of its visitor's had its lock, or was faster */
    BS_TOLD_KINDS
} bs_told_t;

#define BS_WARNINGS_A_MINUTE 20

/** How long calls took: bucket n counts those of 2^n up to 2^(n+1) nanoseconds. */
#define BS_TIME_BUCKETS 36

/** What all children share of a store. All zeros is its beginning. */
typedef struct {
    bs_breaker_t nodes[BSESSION_NODES];
    apr_uint64_t outcomes[BS_VERBS][BS_OUTCOMES];       /* DONE is what the times leave over */
    apr_uint64_t times[BS_VERBS][BS_TIME_BUCKETS];
    apr_uint64_t events[BS_EVENTS];
    apr_uint32_t failing[BSESSION_NODES];               /* 1 << verb: of that the log was told, and
                                                           it has not succeeded since */
    apr_uint64_t noticed;                               /* when a notice was last logged */
    apr_uint64_t told[BS_TOLD_KINDS];                   /* since when, and how many warnings */
    apr_uint64_t sweep_due;                             /* when the next is due, or the lease of the
                                                           one that is at work ends */
    int          warned_secure;                         /* a Secure cookie left without TLS, and the
                                                           log says so */
    int          scans;                                 /* 1 = it can scan, -1 = it cannot, 0 = it
                                                           was not asked yet */
} bs_store_shared_t;

typedef struct {
    const char                *name;
    const bsession_provider_t *provider;
    bsession_backend_t        *backend;
    apr_interval_time_t        timeout;
    bs_breaker_rule_t          breaker;
    bs_store_shared_t         *shared;
} bs_store_t;

/** Who calls. */
typedef struct {
    apr_pool_t *pool;           /* what is loaded lives here */
    void       *where;          /* for bs_log */
    apr_time_t  deadline;       /* 0 = the store's timeout= from now */
    unsigned    flags;
    const bs_keys_t *seal;      /* records are sealed on their way in and opened on their way out;
                                   NULL: they are plain */
} bs_caller_t;

/** The store was not asked, since the breaker is open. An outage like any other. */
#define BS_ESPARED (APR_OS_START_USERERR + 7310)

apr_status_t bs_store_load(bs_store_t *store, const bs_caller_t *caller,
                           const bsession_key_t *key, bsession_record_t *record);
apr_status_t bs_store_save(bs_store_t *store, const bs_caller_t *caller,
                           const bsession_key_t *key, const bsession_save_t *save,
                           bsession_saved_t *saved);
apr_status_t bs_store_touch(bs_store_t *store, const bs_caller_t *caller,
                            const bsession_key_t *key, apr_time_t expires);
apr_status_t bs_store_remove(bs_store_t *store, const bs_caller_t *caller,
                             const bsession_key_t *key, apr_uint64_t revision);
/** One slice; what the visitor ends it with is no failure of the store. */
apr_status_t bs_store_scan(bs_store_t *store, const bs_caller_t *caller, char space,
                           bsession_cursor_t *cursor, bsession_visitor_t *visit, void *baton);
/** Whether the store can scan: APR_SUCCESS, APR_ENOTIMPL, or an outage. It is asked once. */
apr_status_t bs_store_can_scan(bs_store_t *store, const bs_caller_t *caller);

/** Many loads at once, in one call where the store has one for that. Each status is that of a load
 *  of its own; after an outage that has taken the store's whole time the rest is not asked. */
void         bs_store_load_many(bs_store_t *store, const bs_caller_t *caller,
                                const bsession_key_t *keys, int n, bsession_record_t *records,
                                apr_status_t *statuses);

/** Some of the expired are dropped, for a bounded time, where the store does not do that by itself.
 *  It is due once a minute, and once a second while there is more to look at: for all children
 *  together, who may all call this as often as they like. */
void         bs_store_sweep_if_due(bs_store_t *store, const bs_caller_t *caller);

/** Before try number `tries` + 1 of what others were faster at: a random pause, of more and more
 *  time at most, and not past the deadline. */
void         bs_store_pause(int tries, apr_time_t deadline);
/** The same, of anything up to `first`, which doubles with each try up to `longest`. */
void         bs_pause(apr_interval_time_t first, apr_interval_time_t longest, int tries,
                      apr_time_t deadline);

/** Whether a status of the store says nothing of what is stored. */
int          bs_is_outage(apr_status_t status);

/** Whether calls for this key would be refused now. */
int          bs_store_is_open(const bs_store_t *store, const bsession_key_t *key);

void         bs_store_count(bs_store_t *store, bs_event_t event);

/** The level of such a line: of each kind so many a minute are warnings, the rest is
 *  information. */
bs_level_t   bs_store_warning(bs_store_t *store, bs_told_t of);

/** A line for a change of state: of this part of the store, or with NULL of all of it. */
void         bs_store_tell(const bs_store_t *store, void *where, bs_breaker_news_t news,
                           const char *verb, const char *part, const char *why);

/* In store_conf.c. */

void         bs_store_stats(bs_store_t *store, const bs_caller_t *caller, bsession_stats_t *stats);

/** The text of timeout=, breaker=: NULL, or a sentence. */
const char  *bs_store_option(bs_store_t *store, const char *name, const char *value,
                             apr_pool_t *pool, int *taken);

/** What the core does for backends. */
void         bs_services_init(bsession_services_t *services, apr_pool_t *process_pool);

#endif
