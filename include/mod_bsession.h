/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file mod_bsession.h
 * @brief For modules that use sessions.
 *
 *     #include "httpd.h"
 *     #include "mod_bsession.h"
 *
 *     const bsession_api_t *bs = bsession_api();      // NULL where mod_bsession is not loaded
 *     bsession_t *s = bs ? bs->of(r) : NULL;          // NULL where BSession is Off here
 *     const char *user = s ? bs->get(s, "user") : NULL;
 *
 * Builds with `apxs -c -i` and nothing else; mod_bsession may be loaded before or after.
 *
 * WHEN THINGS HAPPEN. Nothing is asked of the store until the first call that needs the session's
 * data. Changes are remembered as changes, and saved before the first byte of the response leaves;
 * two requests that change different keys of one session at once both win. What is changed later,
 * while the body streams, is saved when the request ends.
 *
 * WHERE MEMORY IS. All that a call returns lives until the end of the client's request, and all
 * that a call is given is copied.
 *
 * THREADS. A session belongs to its request, and so to one thread at a time.
 */
#ifndef MOD_BSESSION_H
#define MOD_BSESSION_H

#include <apr.h>
#include <apr_errno.h>
#include <apr_optional.h>
#include <apr_pools.h>
#include <apr_time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct request_rec;
struct server_rec;

#define BSESSION_VERSION_STRING "0.1.0"

/** Grows when members are added at the end of bsession_api_t. */
#define BSESSION_API_VERSION 3

/** The session of one request, as one place of the configuration sees it; or one that `open`
 *  gave. */
typedef struct bsession_t bsession_t;

/*
 * What calls that change something may return, beside APR_SUCCESS:
 *
 *     APR_EINVAL       the key or number is not one; or incr met a value that is no number
 *     APR_EACCES       `BSession ReadOnly` here
 *     APR_ENOSPC       over a limit of BSessionLimit
 *     APR_EEXIST       add: the key is there
 *     APR_NOTFOUND     save, touch: there is no record
 *     BSESSION_ELATE   the response's headers have left, and this would need a cookie
 *     BSESSION_EGONE   the session was destroyed in another request while this one ran, or its
 *                      token replaced by a login then or less than 30 s before, or the grace of one
 *                      that BSessionRotate replaced was over then; this one's changes are dropped,
 *                      and its answer touches no cookie. `set` and its like do not know
 *                      yet: `save` says so
 *     BSESSION_EBUSY   where the session is locked: another request has its lock, and did not give
 *                      it back within wait=; or this one had it for longer than lease=, and may
 *                      write nothing any more. The answer becomes a 503 while that is possible, but
 *                      where `lock` said so
 *     BSESSION_EMANY   save: the owner has as many sessions as BSessionUser max= deny allows; all
 *                      that was changed is dropped
 *     anything else    the store could not be asked, or did not answer: an outage
 *
 * They change nothing unless they return APR_SUCCESS.
 */
#define BSESSION_ELATE (APR_OS_START_USERERR + 7302)
#define BSESSION_EGONE (APR_OS_START_USERERR + 7303)
#define BSESSION_EBUSY (APR_OS_START_USERERR + 7305)
#define BSESSION_EMANY (APR_OS_START_USERERR + 7306)

/** Called for each key; return 0 to stop. */
typedef int (bsession_each_t)(void *baton, const char *key, const char *value, apr_size_t len);

/** A key that begins with this belongs to a module alone, whose name should follow: no variable,
 *  header, expression or log shows it, and no write-back header reaches it by name. */
#define BSESSION_PRIVATE "~"

/* What happened to a session in this request, so far. */
#define BSESSION_WAS_CREATED   0x01u    /**< a record was made */
#define BSESSION_WAS_CHANGED   0x02u    /**< a key was changed, saved or not yet */
#define BSESSION_WAS_ROTATED   0x04u    /**< a new token was made, or will be with the save */
#define BSESSION_WAS_DESTROYED 0x08u
#define BSESSION_WAS_MISSING   0x10u    /**< a token came, and there was no session for it */
#define BSESSION_WAS_ANSWERED  0x20u    /**< headers have left: what needs a cookie is
                                             BSESSION_ELATE */
#define BSESSION_WAS_REPLACED  0x40u    /**< the token that came was good until a moment ago, when
                                             another request logged in, or its grace ended: changes
                                             are BSESSION_EGONE */

/** One of the sessions of a user. */
typedef struct {
    const char *tag;        /**< valid until the call returns */
    apr_time_t  created;
    apr_time_t  since;      /**< of the login that made it this user's, or created */
    apr_time_t  expires;
    int         current;    /**< it is the session that asks */
} bsession_of_user_t;

/** Called for each session, the latest login first; return 0 to stop. */
typedef int (bsession_each_user_t)(void *baton, const bsession_of_user_t *session);

/** A general cache on a store, beside the sessions. */
typedef struct bsession_cache_t bsession_cache_t;

/** How long an entry of a cache lives: a time, or one of these. */
#define BSESSION_FOR_EVER      ((apr_interval_time_t)0)
#define BSESSION_DEFAULT_LIFE  ((apr_interval_time_t)-1)    /**< what `cache` was given */

/**
 * Keys are 1 to 128 bytes of UTF-8 without control characters, case-sensitive, and do not begin
 * with "_bs". Values are any bytes; one NUL that the length does not count always follows.
 */
typedef struct {
    int        version;             /**< BSESSION_API_VERSION of the module that is loaded */
    apr_size_t size;                /**< sizeof, there: a member beyond it does not exist */

    /** The session of this request here; NULL where `BSession Off` holds. Costs nothing yet.
     *  Subrequests, internal redirects and error documents are one request with their initial
     *  one. */
    bsession_t  *(*of)(struct request_rec *r);

    /* Reading. A missing key is NULL, never an error; so is every key during an outage, which
     * `load` tells apart. */
    apr_status_t (*load)(bsession_t *s);    /**< APR_SUCCESS; APR_NOTFOUND: none; else an outage */
    const char  *(*get)(bsession_t *s, const char *key);
    const char  *(*getn)(bsession_t *s, const char *key, apr_size_t *len);
    int          (*has)(bsession_t *s, const char *key);
    int          (*count)(bsession_t *s);
    void         (*each)(bsession_t *s, bsession_each_t *call, void *baton);

    /* Changing. Setting the value a key already has is no change. */
    apr_status_t (*set)(bsession_t *s, const char *key, const char *value);
    apr_status_t (*setn)(bsession_t *s, const char *key, const void *value, apr_size_t len);
    apr_status_t (*add)(bsession_t *s, const char *key, const void *value, apr_size_t len);
    apr_status_t (*unset)(bsession_t *s, const char *key);
    apr_status_t (*clear)(bsession_t *s);   /**< no keys but private ones; the session stays */
    /** Get and unset; NULL where it is missing or may not be changed. */
    const char  *(*pop)(bsession_t *s, const char *key, apr_size_t *len);
    /** Adds to a decimal integer (absent = 0), and loses no step against other requests. `now`, if
     *  not NULL, is the number as this request sees it. */
    apr_status_t (*incr)(bsession_t *s, const char *key, apr_int64_t by, apr_int64_t *now);

    /* Lives. */
    /** A new token for the same data; the old one is dead once this request's changes are saved.
     *  Call it at login, before or after the `set` that says who it is. */
    apr_status_t (*rotate)(bsession_t *s);
    /** The record is gone when this returns; the cookie expires with the response. A `set` that
     *  follows starts a fresh session. */
    apr_status_t (*destroy)(bsession_t *s);
    /** Save now, for those who will work long before they answer. */
    apr_status_t (*save)(bsession_t *s);
    /** Prolong the life now. */
    apr_status_t (*touch)(bsession_t *s);

    /* Facts. */
    int          (*is_new)(bsession_t *s);  /**< no record had been made when the request came */
    apr_time_t   (*created)(bsession_t *s); /**< 0 where there is no session */
    apr_time_t   (*expires)(bsession_t *s); /**< 0 where there is no session */
    /** 12 hex digits that name the session in logs, and open nothing; NULL where there is none. */
    const char  *(*tag)(bsession_t *s);

    /* ---- since version 2 ---- */

    /** BSESSION_WAS_... ; asks the store, as every fact does. */
    unsigned     (*facts)(bsession_t *s);
    /** The token that opens the session: what the cookie holds, and what `open`
     *  takes. NULL where there is no record. It is a secret: no log, no address, no page. */
    const char  *(*token)(bsession_t *s);

    /** A session outside of a request (at a connection's end, in a thread or process of a module):
     *  the one that this token opens or, without one (NULL), one that the first change makes.
     *  Lives, limits and store are those that this server's own lines name, outside of every
     *  <Location>; `store` takes another one's place. NULL: there is no such store. Asks nothing
     *  yet. Where the token opens nothing, `load` and every change are APR_NOTFOUND. */
    bsession_t  *(*open)(struct server_rec *server, const char *store, const char *token,
                         apr_pool_t *pool);
    /** Saves what was changed, and ends the use of it. Without `close`, or `save`, changes are
     *  lost. */
    apr_status_t (*close)(bsession_t *s);

    /**
     * The general cache: keys of any length, values of any bytes, each with a life of its own, in a
     * store that holds sessions too and is shared by all that share it. Two caches of one store
     * that have different names know nothing of each other. What is in it may go at any time
     * where the store is short of room; what is returned lives as long as the pool of `cache`,
     * and one cache object serves one thread at a time.
     *
     * `store` NULL is the default one; `name` has 255 bytes at most; `life` is what
     * BSESSION_DEFAULT_LIFE stands for. NULL: there is no such store, or the name is too long.
     */
    bsession_cache_t *(*cache)(const char *store, const char *name, apr_interval_time_t life,
                               apr_pool_t *pool);

    /* APR_SUCCESS: it happened. APR_NOTFOUND: there is no such entry; APR_EEXIST: there is;
     * APR_EINVAL: the value is no number, or the result no 64-bit one, or the life is below 0;
     * APR_ENOSPC: too large; anything else: an outage. A value is followed by a NUL that its
     * length does not count; `len` and `now` may be NULL. */
    apr_status_t (*cache_get)(bsession_cache_t *c, const char *key, const char **value,
                              apr_size_t *len);
    apr_status_t (*cache_has)(bsession_cache_t *c, const char *key);
    apr_status_t (*cache_set)(bsession_cache_t *c, const char *key, const void *value,
                              apr_size_t len, apr_interval_time_t life);
    /** Only where it is not there; of several callers at once one succeeds. */
    apr_status_t (*cache_add)(bsession_cache_t *c, const char *key, const void *value,
                              apr_size_t len, apr_interval_time_t life);
    apr_status_t (*cache_delete)(bsession_cache_t *c, const char *key);
    /** Adds to a decimal integer, losing no step; an entry that is there keeps its life, one that
     *  is not begins at 0 and gets this one. */
    apr_status_t (*cache_incr)(bsession_cache_t *c, const char *key, apr_int64_t by,
                               apr_interval_time_t life, apr_int64_t *now);
    apr_status_t (*cache_decr)(bsession_cache_t *c, const char *key, apr_int64_t by,
                               apr_interval_time_t life, apr_int64_t *now);

    /* Several at once; `statuses`, which may be NULL, tells of each. They return APR_SUCCESS where
     * all were APR_SUCCESS or APR_NOTFOUND, else the first that was neither. */
    apr_status_t (*cache_get_many)(bsession_cache_t *c, const char *const *keys, int count,
                                   const char **values, apr_size_t *lens, apr_status_t *statuses);
    apr_status_t (*cache_set_many)(bsession_cache_t *c, const char *const *keys, int count,
                                   const void *const *values, const apr_size_t *lens,
                                   apr_interval_time_t life, apr_status_t *statuses);
    apr_status_t (*cache_delete_many)(bsession_cache_t *c, const char *const *keys, int count,
                                      apr_status_t *statuses);
    /** Every entry of this cache, and nothing else in the store. */
    apr_status_t (*cache_clear)(bsession_cache_t *c);

    /* ---- since version 3 ---- */

    /**
     * Has the session alone from here on, among all requests on all servers that lock it too, until
     * `unlock`, the answer, `close` or the end. BSessionLock On does so by itself at the first use;
     * its wait= (10s) and lease= (30s) hold here, too. What is read then is what the holder before
     * left, and what this request had changed is put on that. APR_NOTFOUND: there is no record;
     * `save` makes one. BSESSION_EBUSY: waited in vain, nothing is locked, and the session is as it
     * was. Called again the lease begins anew, for those who work longer than that.
     */
    apr_status_t (*lock)(bsession_t *s);
    /** Saves what was changed, as `save` does, since others would otherwise build on what was
     *  before; and gives the lock back, whatever the save returns. Without a lock: nothing. */
    apr_status_t (*unlock)(bsession_t *s);

    /** Says whose session it is: 1 to 255 bytes of UTF-8 without control characters; NULL:
     *  nobody's. Another owner is a login or a logout: the save that stores it replaces the token,
     *  too. The key of BSessionUser does the same by itself. BSESSION_ELATE once headers have
     *  left. */
    apr_status_t (*set_user)(bsession_t *s, const char *name);
    /** Whose it is, or NULL. */
    const char  *(*user)(bsession_t *s);

    /* The sessions of one user, in the store and realm of this session, which need not be his.
     * `name` NULL: those of its owner, as it is stored; APR_NOTFOUND where it has none. */
    apr_status_t (*user_sessions)(bsession_t *s, const char *name, bsession_each_user_t *call,
                                  void *baton);
    /* They end at once, whatever is under way in them. APR_SUCCESS: all that were stored when this
     * was called have ended; after an outage some may have, and it can be called again. Where this
     * session is one of them it is destroyed. */
    /** The one with this tag; APR_NOTFOUND: he has none; APR_EINVAL: that is no tag. */
    apr_status_t (*revoke)(bsession_t *s, const char *name, const char *tag);
    /** All of them. */
    apr_status_t (*revoke_user)(bsession_t *s, const char *name);
    /** All but this one, of its owner: "log out everywhere else". */
    apr_status_t (*revoke_others)(bsession_t *s);
    /** The key that BSessionUser names here, or NULL: for a login that is in no key of its own, and
     *  names the owner by set_user where the site has asked for owners. */
    const char  *(*user_key)(bsession_t *s);
} bsession_api_t;

/*
 * WHAT ELSE ONE CAN HEAR OF: APR's optional hooks, to be registered in register_hooks, whichever of
 * the two modules is loaded first:
 *
 *     APR_OPTIONAL_HOOK(bsession, bsession_created, my_function, NULL, NULL, APR_HOOK_MIDDLE);
 *
 * `r` is the client's request, or NULL for a session that `open` gave. A function may read the
 * session; what it changes is saved when the request ends.
 */

/** A record was made, in this request. */
typedef void bsession_HOOK_bsession_created_t(bsession_t *s, struct request_rec *r);
/** The token was replaced, and the new one is stored. */
typedef void bsession_HOOK_bsession_rotated_t(bsession_t *s, struct request_rec *r);
/** The record was removed: by `destroy`, or since its token may be stolen (BSessionRotate
 *  reuse=revoke, BSessionBind action=revoke); the table is empty already. Not of sessions that
 *  `revoke` and its like ended from another one. */
typedef void bsession_HOOK_bsession_destroyed_t(bsession_t *s, struct request_rec *r);
/** A token came that has the right form, and there is no session for it: its time was over, the
 *  store had no room for it, or somebody made it up. Not of one that a login has just replaced. */
typedef void bsession_HOOK_bsession_expired_t(bsession_t *s, struct request_rec *r);
/** The answer of `r` is about to leave (or, a second time, the request is over), and what changed
 *  in the session is saved next: the last chance to put something there. 0: the answer says what is
 *  not so, such as a login that could not be stored; while that is possible it becomes a 503,
 *  whatever BSessionOnOutage says. Else 1. */
typedef int bsession_HOOK_bsession_saving_t(struct request_rec *r);

APR_DECLARE_OPTIONAL_FN(const bsession_api_t *, bsession_api_of_version, (int version));

/** The functions, or NULL where mod_bsession is not loaded or too old for this header. Valid from
 *  post_config on; it is cheap, but a module that wants to may keep it from there. */
static inline const bsession_api_t *bsession_api(void)
{
    APR_OPTIONAL_FN_TYPE(bsession_api_of_version) *of_version =
        APR_RETRIEVE_OPTIONAL_FN(bsession_api_of_version);

    return of_version ? of_version(BSESSION_API_VERSION) : NULL;
}

#ifdef __cplusplus
}
#endif

#endif /* MOD_BSESSION_H */
