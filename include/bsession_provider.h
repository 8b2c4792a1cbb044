/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file bsession_provider.h
 * @brief For people who write a backend of mod_bsession.
 *
 * A backend keeps *records* under *keys* and does five things with them: load, save, touch,
 * remove, scan. Each is atomic for one key; that is all the atomicity there is and all that is
 * needed. Merging, locks, rotation, lists of a user's sessions, the general cache and encryption
 * are built once, above these verbs, and so work on every backend.
 *
 * A backend is one struct of functions, registered in the module's register_hooks with
 *
 *     ap_register_provider(p, BSESSION_PROVIDER_GROUP, "redis", BSESSION_PROVIDER_VERSION,
 *                          &redis_provider);
 *
 * where "redis" is the scheme of the URLs it serves. It refers to no symbol of mod_bsession: what
 * it shares with the others (the record codec above all) reaches it as a table of functions.
 *
 * THE VOCABULARY OF RESULTS
 *
 *     APR_SUCCESS        done
 *     APR_NOTFOUND       the store answered: nothing live is under this key (absent or expired)
 *     APR_EEXIST         a create met a live record
 *     APR_EMISMATCH      the base revision or the epoch is no longer the stored one
 *     APR_ENOSPC         one of *our* limits (max_bytes, max_fields, the largest record the store
 *                        takes); nothing was changed. A full disk or a full server is not this.
 *     BSESSION_ECORRUPT  something is there that is no record
 *     BSESSION_EFULL     the store answered, and takes nothing more for now: its disk or its memory
 *                        is full, or it is read-only. Nothing was changed. An outage of this call
 *                        alone: the circuit breaker does not count it, for what is there can be
 *                        read.
 *     APR_ENOTIMPL       the store has no such verb (scan)
 *     anything else      *unknown*: an outage. The store could not be asked, or did not answer, and
 *                        the core must not conclude anything, neither that the record is absent nor
 *                        that a change was not made.
 *
 * A miss is an answer; an outage is not a miss. Never return APR_NOTFOUND because of a time-out.
 *
 * load, save, touch and remove are what sessions need, and PUT, scan, stats and load_many what the
 * cache does beside them. sweep drops what has ended: on time where httpd has mod_watchdog, and
 * else when requests write, which may be never.
 *
 * WHAT EVERY BACKEND PROMISES
 *
 *     - A record whose life is over is APR_NOTFOUND from that moment on, swept or not.
 *     - CREATE is the only mode (beside PUT, for caches) that makes a record appear; MERGE and
 *       REPLACE of an absent record are APR_NOTFOUND. So a removed record cannot come back.
 *     - What was answered with APR_SUCCESS is there for the next call, whoever makes it.
 *     - Nothing blocks past bsession_call_t.deadline (dbd: its libraries cannot promise it).
 *     - Data calls come from any thread of any child; locking is the store's own business.
 *     - No logging, no output: the reason of a failure goes to bsession_call_t.why, and it
 *       contains no field's value and no key, whose text form would name a session.
 */
#ifndef BSESSION_PROVIDER_H
#define BSESSION_PROVIDER_H

#include <apr.h>
#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BSESSION_PROVIDER_GROUP   "bsession"
#define BSESSION_PROVIDER_VERSION "0"

/** The value of bsession_provider_t.abi; a provider with another one is refused at start. */
#define BSESSION_PROVIDER_ABI     1

/** Something lies under this key that is no record, or one that was damaged. An answer, not an
 *  outage: the session is empty and one line is logged. */
#define BSESSION_ECORRUPT         (APR_OS_START_USERERR + 7301)

/** Full, or read-only: see above. */
#define BSESSION_EFULL            (APR_OS_START_USERERR + 7304)

/** Bytes with a length. Behind each name and value that a backend hands out (load, scan) stands one
 *  NUL that the length does not count, so that what contains no NUL itself is a C string. */
typedef struct {
    const char *data;
    apr_size_t  len;
} bsession_bytes_t;

/** One key of a session and its value. Names are UTF-8 without control characters; values are any
 *  bytes, and the empty value is a value. */
typedef struct {
    bsession_bytes_t name;
    bsession_bytes_t value;
} bsession_field_t;

/** No name occurs twice; the order means nothing. */
typedef struct {
    bsession_field_t *list;
    int               count;
} bsession_fields_t;

/** The sum of the lengths of all names and values: what BSessionLimit size= limits. */
static inline apr_size_t bsession_fields_bytes(const bsession_fields_t *fields)
{
    apr_size_t bytes = 0;
    int i;

    for (i = 0; i < fields->count; i++) {
        bytes += fields->list[i].name.len + fields->list[i].value.len;
    }
    return bytes;
}

/** Where a record lives: a kind of record, and 16 bytes that are random or a digest, so that any
 *  of them may choose a shard, a node or a directory. */
typedef struct {
    char          space;            /**< 's' session, 'l' lease, 'u' user, 'c' cache */
    unsigned char bytes[16];
} bsession_key_t;

/** The text form of a key, the same on every store: the space and 32 lower-case hex digits. */
#define BSESSION_KEY_TEXT_SIZE 34

/** What a store keeps under one key. */
typedef struct {
    apr_time_t        expires;      /**< when its life ends; 0 = never */
    apr_uint64_t      revision;     /**< never 0; chosen by the core; another one with each save */
    apr_uint32_t      epoch;        /**< a merge made under another epoch is refused */
    bsession_bytes_t  meta;         /**< the core's own; a backend only keeps it. 1,024 bytes at
                                         most in a session, and 17,000 in the cache: its names and
                                         keys */
    bsession_fields_t fields;
} bsession_record_t;

/** bsession_record_t.expires on MERGE and REPLACE: as it is stored. Any other value there
 *  prolongs a life and never shortens it: the store takes the later one of this and its own, 0
 *  being the latest, since a touch from elsewhere may have come between without a new revision. */
#define BSESSION_KEEP ((apr_time_t)-1)

typedef enum {
    BSESSION_SET = 1,               /**< name = value */
    BSESSION_ADD,                   /**< name = value, where the name is absent */
    BSESSION_UNSET,                 /**< the name is absent */
    BSESSION_INCR,                  /**< add `by` to the decimal integer; absent counts as 0 */
    BSESSION_CLEAR                  /**< no names at all; epoch, meta and life stay */
} bsession_change_kind_t;

/** One thing a request did to its table. */
typedef struct {
    bsession_change_kind_t kind;
    bsession_bytes_t       name;    /**< not with CLEAR */
    bsession_bytes_t       value;   /**< with SET and ADD */
    apr_int64_t            by;      /**< with INCR */
} bsession_change_t;

typedef enum {
    BSESSION_CREATE = 1,            /**< APR_EEXIST if a live record is there */
    BSESSION_MERGE,                 /**< apply `changes` to what is stored, in place, if the epoch
                                         is record->epoch, and leave the meta that is there; or,
                                         where the store cannot do that, store `record` if the
                                         stored revision is `base`, and answer APR_EMISMATCH
                                         otherwise: the core merges and asks again */
    BSESSION_REPLACE,               /**< store `record` only if the stored revision is `base` */
    BSESSION_PUT                    /**< store `record` whatever is there: caches only */
} bsession_save_mode_t;

typedef struct {
    bsession_save_mode_t     mode;
    apr_uint64_t             base;      /**< MERGE, REPLACE: the revision that was loaded; the
                                             stored one becomes base + 1. CREATE, PUT: the revision
                                             to store */
    const bsession_record_t *record;    /**< the whole record after the changes; its `revision` is
                                             not looked at, its `expires` may be BSESSION_KEEP */
    const bsession_change_t *changes;   /**< MERGE: what changed, to be applied in this order */
    apr_size_t               nchanges;
    apr_size_t               max_bytes; /**< 0 = no limit; see bsession_fields_bytes() */
    apr_size_t               max_fields;/**< 0 = no limit */
} bsession_save_t;

/** What a save answers beside its status; the core has cleared it. */
typedef struct {
    apr_uint64_t revision;              /**< now stored. base + 1 says that `record` is what is
                                             stored; another one that somebody else was there too */
    apr_int64_t *incr;                  /**< MERGE in place: the number after each INCR, indexed as
                                             `changes` is, in call->pool; NULL: as in `record` */
} bsession_saved_t;

/** Every data call gets one. */
typedef struct {
    apr_time_t  deadline;               /**< wall clock; nothing blocks past it */
    apr_pool_t *pool;                   /**< what the call returns lives here */
    unsigned    flags;                  /**< BSESSION_DURABLE or 0 */
    char        why[128];               /**< empty when called. On an outage what went wrong, for
                                             the one log line; with APR_SUCCESS or APR_ENOSPC a
                                             notice for the operator (logged once a minute at most),
                                             or left empty */
} bsession_call_t;

/** On a save or remove: answer only when the replicas that the store's options ask for have it. */
#define BSESSION_DURABLE 1u

/** One `key=value` of a BSessionStore line. `timeout=` and `breaker=` belong to the core, which has
 *  taken them out. */
typedef struct {
    const char *name;
    const char *value;
} bsession_option_t;

typedef struct {
    const bsession_option_t *list;
    int                      count;
} bsession_options_t;

/** Where a scan has come to; all zeros at its beginning, and the backend's own from then on. It is
 *  plain data, and valid in any process. */
typedef struct {
    apr_uint64_t at[4];
    int          done;                  /**< set by the backend when nothing is left */
} bsession_cursor_t;

/** Called for each live record of a slice of a scan; the record lives until it returns. No lock of
 *  the store is held. Anything but APR_SUCCESS ends the scan, and is what scan returns; the
 *  cursor is of no use then. */
typedef apr_status_t (bsession_visitor_t)(void *baton, const bsession_key_t *key,
                                          const bsession_record_t *record);

/** Numbers for the operator's page; what a store cannot know is BSESSION_UNKNOWN. */
#define BSESSION_UNKNOWN APR_UINT64_MAX

typedef struct {
    apr_uint64_t records;               /**< stored, the expired ones that are not swept included */
    apr_uint64_t bytes;                 /**< used by them */
    apr_uint64_t capacity;              /**< bytes there is room for */
    apr_uint64_t evicted;               /**< live records dropped to make room, since the start */
    apr_uint64_t swept;                 /**< expired records dropped, since the start */
    apr_uint64_t repaired;              /**< rebuilds after a killed process, since the start */
} bsession_stats_t;

/** What the core does for backends. */
typedef struct {
    int         abi;                    /**< BSESSION_PROVIDER_ABI */

    /** Outlives graceful restarts, and this DSO: only data that needs no cleanup may be put here
     *  (apr_pool_userdata_set with apr_pool_cleanup_null, never apr_pool_userdata_setn). */
    apr_pool_t *process_pool;

    /** The codec: epoch, meta and fields as bytes. Life and revision are not in there, since every
     *  store compares these two and so keeps them in its own way beside the bytes. */
    apr_size_t   (*record_size)(const bsession_record_t *record);
    void         (*record_write)(const bsession_record_t *record, void *to /* record_size bytes */);
    /** Fills epoch, meta and fields, pointing into `from`; only the list itself is from the pool.
     *  BSESSION_ECORRUPT for anything but what record_write wrote. */
    apr_status_t (*record_read)(bsession_record_t *record, const void *from, apr_size_t size,
                                apr_pool_t *pool);

    /** The text form; returns `text`. */
    char        *(*key_text)(const bsession_key_t *key, char text[BSESSION_KEY_TEXT_SIZE]);

    /** "64M" -> bytes, "2s" -> microseconds, "on" -> 1. NULL, or what was expected ("a size such as
     *  64M"), to be put into create's sentence. */
    const char  *(*parse_size)(apr_uint64_t *bytes, const char *text);
    const char  *(*parse_time)(apr_interval_time_t *time, const char *text);
    const char  *(*parse_flag)(int *on, const char *text);

    /** NULL, or a sentence that names the first option that is not in `known` (ended by NULL), or
     *  occurs twice, and lists what is known. */
    const char  *(*check_options)(const bsession_options_t *options, const char *const *known,
                                  apr_pool_t *pool);
    /** The value of an option, or NULL. */
    const char  *(*option)(const bsession_options_t *options, const char *name);
} bsession_services_t;

/** A backend's own state; each backend defines the struct. */
typedef struct bsession_backend_t bsession_backend_t;

/** A backend. Every member must be set unless it is said to be optional. */
typedef struct {
    int         abi;                    /**< BSESSION_PROVIDER_ABI */
    const char *name;                   /**< the scheme, "redis" */

    /** Parse, and nothing more: called at configuration (also by `apachectl configtest`), in the
     *  parent, twice at a start, in pconf. No side effects.
     *  @param name  the store's name, unique in the server
     *  @param url   as configured, with its scheme
     *  @return NULL, or a sentence that says what was expected */
    const char  *(*create)(bsession_backend_t **backend, const char *name, const char *url,
                           const bsession_options_t *options,
                           const bsession_services_t *services, apr_pool_t *pconf);

    /** The parent, after the configuration was read, as root where httpd is started so, at each
     *  start and restart: segments, directories, keys. An unreachable server is
     *  no failure here; it heals. call->pool is pconf.
     *  @param uid, gid  what the children will run as, to own what they must write; -1 = as now
     *  @return other than APR_SUCCESS keeps httpd from starting, with `why` */
    apr_status_t (*open)(bsession_backend_t *backend, apr_int64_t uid, apr_int64_t gid,
                         bsession_call_t *call);

    /** Optional. The parent, when httpd ends in order and all its children have: what can still be
     *  done so that the store is found as it was. Not called where httpd is killed: nothing that
     *  was acknowledged may depend on it. Of all calls it alone may outlast its deadline. */
    apr_status_t (*close)(bsession_backend_t *backend, bsession_call_t *call);

    /** Optional. Each child, before it serves: pools of connections, threads. */
    apr_status_t (*child_init)(bsession_backend_t *backend, apr_pool_t *pchild,
                               bsession_call_t *call);

    /** The live record under the key. */
    apr_status_t (*load)(bsession_backend_t *backend, const bsession_key_t *key,
                         bsession_record_t *record, bsession_call_t *call);

    /** See bsession_save_t. On anything but APR_SUCCESS nothing was stored, or it is unknown. */
    apr_status_t (*save)(bsession_backend_t *backend, const bsession_key_t *key,
                         const bsession_save_t *save, bsession_saved_t *saved,
                         bsession_call_t *call);

    /** Prolong a life to `expires` (0 = for ever); never shortens it: the store itself takes the
     *  later one. The revision stays. */
    apr_status_t (*touch)(bsession_backend_t *backend, const bsession_key_t *key,
                          apr_time_t expires, bsession_call_t *call);

    /** Drop the record, if its revision is this one; 0 = any. APR_NOTFOUND, APR_EMISMATCH. */
    apr_status_t (*remove)(bsession_backend_t *backend, const bsession_key_t *key,
                           apr_uint64_t revision, bsession_call_t *call);

    /** Show a slice of the records of one space to the visitor, and move the cursor on. What is
     *  there from beginning to end of a scan is shown at least once. */
    apr_status_t (*scan)(bsession_backend_t *backend, char space, bsession_cursor_t *cursor,
                         bsession_visitor_t *visit, void *baton, bsession_call_t *call);

    /** Optional: many loads at once; each record is there where its status is APR_SUCCESS. */
    apr_status_t (*load_many)(bsession_backend_t *backend, const bsession_key_t *keys, int count,
                              bsession_record_t *records, apr_status_t *statuses,
                              bsession_call_t *call);

    /** Optional: which part that fails by itself this key lives on, below BSESSION_NODES, for the
     *  circuit breaker. Calls without a key, such as scan, count as 0. */
    unsigned     (*node_of)(bsession_backend_t *backend, const bsession_key_t *key);

    /** Optional, beside node_of: what people call the part that this key lives on now, from `pool`,
     *  for the log; NULL where there is nothing to call it by. */
    const char  *(*node_name)(bsession_backend_t *backend, const bsession_key_t *key,
                              apr_pool_t *pool);

    /** Optional: drop some of the expired, until the deadline, which is near. Each call goes on
     *  where the last one ended, in whatever process that was. APR_SUCCESS: all records were looked
     *  at, a minute is time enough for the next; APR_INCOMPLETE: there are more. What one damaged
     *  record does must not keep the others from being looked at. */
    apr_status_t (*sweep)(bsession_backend_t *backend, apr_time_t now, bsession_call_t *call);

    /** Cheap; no I/O beyond one short question. */
    void         (*stats)(bsession_backend_t *backend, bsession_stats_t *stats,
                          bsession_call_t *call);

    /** 1: what has ended makes way by itself for what needs its room, so that the sweep can wait
     *  for requests that write. A process that has one thread is not given another one for it
     *  then. */
    int           makes_way;
} bsession_provider_t;

/** How many nodes of one store the breaker tells apart. */
#define BSESSION_NODES 64

#ifdef __cplusplus
}
#endif

#endif /* BSESSION_PROVIDER_H */
