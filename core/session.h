/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file session.h
 * @brief One session in one client request: found by its token on first use, read and changed as a
 *        table, saved as a list of changes.
 *
 * THE STATES
 *
 *     UNASKED ──load──> PRESENT    a record is there, and the token may open it
 *                       ABSENT     none: the first change that is saved creates one
 *                       RETIRED    the token was replaced by a login less than 30 s ago, or from
 *                                  time to time and its grace ended then: reads as empty; changes
 *                                  are dropped, unless this request logs in itself
 *                       OUTAGE     could not be asked; stays so for this request
 *     PRESENT ──save──> GONE       another request destroyed it, or logged in: nothing of this
 *                                  request is kept, and no cookie is touched
 *     PRESENT ─destroy> ABSENT
 *
 * With terms.lock.on the load takes the session's lock, and a change takes it again where it was
 * given back; where that is in vain, `outage` is BSESSION_EBUSY, and all is as after an outage.
 *
 * WHO DECIDES WHAT. This file and session_save.c know when a record is made, kept or dropped. What
 * an outage does to the response, and when headers leave, is the hooks' business: they read
 * `outage`, and set `headers_gone`.
 */
#ifndef BS_SESSION_H
#define BS_SESSION_H

#include "cookie.h"
#include "lock.h"
#include "merge.h"
#include "rotation.h"
#include "terms.h"
#include "users.h"

typedef enum {
    BS_UNASKED, BS_PRESENT, BS_ABSENT, BS_RETIRED, BS_OUTAGE, BS_GONE
} bs_state_t;

typedef enum { BS_COOKIE_KEEP, BS_COOKIE_SET, BS_COOKIE_DELETE } bs_cookie_due_t;

/** A token and its digest, remembered from one request of a connection to the next, since to
 *  compute it is half of what a session costs. It tells no more than that: records are asked all
 *  the same. All zeros is its beginning; one thread at a time. */
typedef struct {
    int              filled;
    const bs_keys_t *keys;              /* that vouch for it, or NULL */
    bs_token_t       token;
    unsigned char    digest[BS_DIGEST_SIZE];
} bs_digest_memo_t;

/** Told of what has happened, when all is settled: BS_CREATED, _ROTATED, _DESTROYED,
 *  _UNKNOWN_TOKENS. It may change the session; a later save is needed then. */
typedef void (bs_watch_t)(void *watcher, bs_event_t event);

/** What the visitor shows of this kind; an address is its 4 or 16 bytes. It is empty where there is
 *  none, and lives as long as the session. */
typedef bsession_bytes_t (bs_shown_t)(void *visitor, bs_bind_kind_t kind);

/** Of several cookies of our name this many are looked up. */
#define BS_PRESENTED_MAX 2

typedef struct bs_session_t bs_session_t;

struct bs_session_t {
    apr_pool_t        *pool;                /* the initial request's */
    void              *where;               /* for bs_log */
    bs_digest_memo_t  *memo;                /* or NULL */
    bs_terms_t         terms;
    bs_state_t         state;
    apr_status_t       outage;              /* the first one this request met; 0 = none */
    bs_token_t         presented[BS_PRESENTED_MAX];
    int                npresented;
    unsigned           unknown;             /* 1 << which of them: it opens nothing */
    bs_token_t         token;               /* while PRESENT */
    unsigned char      digest[BS_DIGEST_SIZE];      /* of the one that came */
    bs_standing_t      standing;            /* of it: CURRENT, or ASIDE; anything else where it has
                                               ceased to be good since it was let in */
    bs_store_t        *home;                /* where it is: terms.store, or still terms.older */
    bsession_key_t     key;
    bsession_record_t  record;              /* as stored: revision, expires, epoch */
    bs_session_t      *suspect;             /* the session whose replaced token came too late, or
                                               NULL */
    bs_table_t         table;
    bs_cookie_due_t    cookie;              /* what the response must say */
    int                had_record;          /* when the request came */
    bsession_bytes_t   named;               /* whose it is to be, while `naming` */
    bs_entered_t      *entered;             /* in its owner's list, by a login of this request; or
                                               NULL */
    unsigned           rotating : 1;        /* the next save changes the token */
    unsigned           naming : 1;          /* the next save changes the owner: see set_user */
    unsigned           stale : 1;           /* a merge in place met somebody else's changes */
    unsigned           headers_gone : 1;    /* nothing that needs a cookie can be done any more */
    unsigned           existing_only : 1;   /* where there is none, none is made */
    unsigned           touched : 1;
    unsigned           prolonging : 1;      /* the next save moves the end of the life */
    unsigned           noting : 1;          /* the next save says that the current token has come */
    unsigned           renewing : 1;        /* the next save replaces it, and a login does not */
    unsigned           kept_up : 1;         /* neither any more: tried, or this request has made the
                                               current token itself */
    unsigned           detached : 1;        /* outside of requests: no visitor brings or gets a
                                               token */
    apr_time_t         came_at;             /* when it was loaded first */
    apr_time_t         used_at;             /* and last */
    unsigned           let_go : 1;          /* the lock was given back: no read takes it again */
    unsigned           let_go_early : 1;    /* before the application: see
                                               bs_session_let_go_early */
    unsigned           waited : 1;          /* in vain, for the lock, with a change */
    unsigned           gives_back : 1;      /* whatever happens, at the end of the pool */
    bs_lock_t          lock;                /* of this session, or of one that it had before */
    unsigned           facts;               /* BSESSION_WAS_... of mod_bsession.h */
    unsigned           untold;              /* 1 << bs_event_t: what the watch is to hear of */
    bs_shown_t        *shown;               /* NULL: nobody is there whom it could be tied to */
    void              *visitor;
    bs_watch_t        *watch;               /* or NULL */
    void              *watcher;
    bs_meta_t          meta;                /* the last: to clear its lists is much of the work */
};

bs_session_t *bs_session_open(apr_pool_t *pool, const bs_terms_t *terms, const bs_token_t *presented,
                              int npresented, bs_digest_memo_t *memo, void *where);

/** Ask the store, unless that was done. APR_SUCCESS: a record is there, or changes wait for one
 *  to be made; APR_NOTFOUND: no session; BSESSION_EGONE; anything else is an outage. */
apr_status_t  bs_session_load(bs_session_t *s);

/* Statuses as in mod_bsession.h; keys are C strings there, and so here. */
const bsession_field_t *bs_session_get(bs_session_t *s, const char *key);
apr_status_t  bs_session_set(bs_session_t *s, const char *key, const void *value, apr_size_t len);
apr_status_t  bs_session_add(bs_session_t *s, const char *key, const void *value, apr_size_t len);
apr_status_t  bs_session_unset(bs_session_t *s, const char *key);
apr_status_t  bs_session_incr(bs_session_t *s, const char *key, apr_int64_t by, apr_int64_t *now);
apr_status_t  bs_session_clear(bs_session_t *s);
apr_status_t  bs_session_rotate(bs_session_t *s);
apr_status_t  bs_session_destroy(bs_session_t *s);

/** BSESSION_WAS_... of mod_bsession.h, so far. */
unsigned      bs_session_facts(bs_session_t *s);

/** Whether a save has something to do. */
int           bs_session_dirty(const bs_session_t *s);
/** Whether there is one: a record, or changes that will make one. */
int           bs_session_exists(const bs_session_t *s);

/** Store what changed, now. After an outage nothing is tried again: it may have been done.
 *  `deadline` 0 = the store's own. */
apr_status_t  bs_session_save(bs_session_t *s, apr_time_t deadline);

/** Before headers leave, and when all is saved: what timed rotation asks for. A new token, or the
 *  note that the newest has come, is stored; a failure changes nothing, and the next request tries
 *  again. */
void          bs_session_upkeep(bs_session_t *s, apr_time_t deadline);
/** Whether there is any. */
int           bs_session_upkeep_is_due(bs_session_t *s);

/** Prolong the life, and the cookie's where it follows. */
apr_status_t  bs_session_touch(bs_session_t *s, apr_time_t deadline);
/** The same, if this request's use asks for it and it is worth a write: where it moves the end
 *  of the life by more than a tenth of the idle time. */
apr_status_t  bs_session_touch_if_due(bs_session_t *s, apr_time_t deadline);
int           bs_session_touch_is_due(const bs_session_t *s);

/** Seconds for Max-Age of a cookie whose life follows the record's. */
apr_int64_t   bs_session_seconds_left(const bs_session_t *s, apr_time_t now);

/** From now on; what is over it already may stay, and shrink. */
void          bs_session_limit(bs_session_t *s, apr_size_t max_bytes, apr_size_t max_fields);

/** What BSessionBind says, at another place of the same request; from now on. */
void          bs_session_bind(bs_session_t *s, const bs_bind_rule_t *rule);

/* ---- owners: session_owner.c, session_users.c; see mod_bsession.h ---- */

apr_status_t  bs_session_set_owner(bs_session_t *s, const char *name);
/** With what this request has changed. NULL: nobody's. */
const char   *bs_session_owner(bs_session_t *s);
apr_status_t  bs_session_list_user(bs_session_t *s, const char *name, bsession_each_user_t *each,
                                   void *baton);
apr_status_t  bs_session_revoke(bs_session_t *s, const char *name, const char *tag);
apr_status_t  bs_session_revoke_user(bs_session_t *s, const char *name);
apr_status_t  bs_session_revoke_others(bs_session_t *s);

/** Has the session alone from here on, and as others left it: what was changed already is put on
 *  that. APR_NOTFOUND where there is no record; BSESSION_EBUSY. Again: the lease begins anew. */
apr_status_t  bs_session_lock(bs_session_t *s);
/** Saves, and gives the lock back. */
apr_status_t  bs_session_unlock(bs_session_t *s);
/** Gives the lock back, if there is one, and does not save. */
apr_status_t  bs_session_let_go(bs_session_t *s, apr_time_t deadline);
/** The same before an application that may answer past us, and so be the last that is heard of it.
 *  Where it changes something all the same, before headers leave, it has what others have not
 *  changed meanwhile, or BSESSION_EBUSY: it is as if it had kept the lock. */
apr_status_t  bs_session_let_go_early(bs_session_t *s);
/** The same when all is over: one short attempt, and none while the store is being left alone. */
void          bs_session_let_go_shortly(bs_session_t *s);
int           bs_session_is_locked(const bs_session_t *s);

/* Between the files. */

/** After a load: takes the lock, where the terms say so. */
void          bs_session_lock_first(bs_session_t *s);
/** Before a change: the same, where it was given back. */
apr_status_t  bs_session_lock_again(bs_session_t *s);
/** Under a lock only: it will not end before the deadline; it is still ours. Else BSESSION_EBUSY,
 *  and nothing may be written. */
apr_status_t  bs_session_keep_lock(bs_session_t *s, apr_time_t deadline);
apr_status_t  bs_session_check_lock(bs_session_t *s, apr_time_t deadline);
/** APR_ENOSPC, BSESSION_EMANY: what was stored stays. */
void          bs_session_drop_changes(bs_session_t *s, apr_status_t status);

/** Before a change: is there, or can there be, something to change? */
apr_status_t  bs_session_may_change(bs_session_t *s);

/** Looks a token up, unless no secret vouches for it. On success the session's home, record, meta
 *  and key are this token's, which knows its secret; otherwise they are untouched. BSESSION_EGONE:
 *  it was retired just now. */
apr_status_t  bs_session_find(bs_session_t *s, bs_token_t *token, apr_time_t deadline);
/** A save of what is still in the older store. APR_EMISMATCH: somebody was faster; find it
 *  again. */
apr_status_t  bs_session_move(bs_session_t *s, const bs_caller_t *caller, const bsession_save_t *wanted,
                              bsession_saved_t *saved);
/** Without a change, a login or a longer life there is nothing to do. The deadline is not 0. */
apr_status_t  bs_session_update(bs_session_t *s, apr_time_t deadline);
/** The record is loaded again, and the changes put on it. */
apr_status_t  bs_session_rebase(bs_session_t *s, apr_time_t deadline);
/** Says in `noting` and `renewing` what timed rotation asks for, as the record is now. */
void          bs_session_plan_upkeep(bs_session_t *s);
/** While PRESENT, whoever has its lock: the record goes, and its cookie. To be told:
 *  bs_session_tell(). */
apr_status_t  bs_session_end(bs_session_t *s);
/** The end of what this request's token may speak for, in both stores. */
apr_status_t  bs_session_remove(bs_session_t *s, apr_time_t deadline);
/** Somebody came with the token of s->suspect, and with none that is good. */
void          bs_session_alarm(bs_session_t *s);
apr_time_t    bs_session_new_end(const bs_session_t *s, apr_time_t now);
void          bs_session_lose(bs_session_t *s);
void          bs_session_is_retired(bs_session_t *s);
apr_status_t  bs_session_failed(bs_session_t *s, apr_status_t status);
/** It is counted, and told by bs_session_tell(). */
void          bs_session_happened(bs_session_t *s, bs_event_t event);
/** It is told only: whoever did it has counted it. */
void          bs_session_learnt(bs_session_t *s, bs_event_t event);
void          bs_session_tell(bs_session_t *s);
bs_caller_t   bs_session_caller(const bs_session_t *s, apr_time_t deadline);

/* Between them, on owners. */

int              bs_same_bytes(const bsession_bytes_t *one, const bsession_bytes_t *other);
/** Whose it is once what this request has changed is saved; empty: nobody's. */
bsession_bytes_t bs_session_next_owner(const bs_session_t *s);
int              bs_session_changes_owner(const bs_session_t *s);
/** Whether the key that names the owner may get this value; and may go. Only where there is such a
 *  key. */
apr_status_t     bs_session_may_put(const bs_session_t *s, const char *key, const void *value,
                                    apr_size_t len);
apr_status_t     bs_session_may_drop(const bs_session_t *s);

/** Before a save of s->key for the owner in this meta: the list says so first. */
apr_status_t     bs_session_enter(bs_session_t *s, const bs_meta_t *meta, apr_time_t end, int login,
                                  apr_time_t deadline);
/** After such a save that was refused, and will not be done later: that login has not been. */
void             bs_session_withdraw(bs_session_t *s, const bsession_bytes_t *name,
                                     apr_time_t deadline);
/** After a login: the oldest end where there are too many. BSESSION_EGONE: this was one of them. */
apr_status_t     bs_session_make_room(bs_session_t *s, apr_time_t deadline);
/** After it was prolonged: now and then the list is told again. */
void             bs_session_enter_again(bs_session_t *s, apr_time_t end_before, apr_time_t deadline);
/** After a save: of a new owner, and of the one before, as it may be the same one, prolonged.
 *  BSESSION_EGONE as bs_session_make_room. */
apr_status_t     bs_session_tell_lists(bs_session_t *s, const bsession_bytes_t *before,
                                       apr_time_t end_before, apr_time_t deadline);
/** It is no longer this one's. Nothing depends on it. */
void             bs_session_leave(bs_session_t *s, const bsession_bytes_t *name, apr_time_t deadline);

/** One use of users.h for this session's realm and store. What it allocates goes with it. */
typedef struct {
    bs_user_t   user;
    apr_pool_t *scratch;
} bs_user_call_t;

/* What is seen of a session in passing. */
typedef struct {
    apr_time_t created, expires;
} bs_seen_t;

apr_status_t     bs_session_begin_user(bs_user_call_t *call, bs_session_t *s,
                                       const bsession_bytes_t *name, apr_time_t deadline);
void             bs_session_end_user(bs_user_call_t *call);
void             bs_session_look(bs_user_call_t *call, const bs_owned_list_t *list,
                                 apr_status_t *statuses, bs_seen_t *seen);
/** Whether a record is a session of this owner in this realm. */
int              bs_session_is_of(const bs_session_t *s, const bsession_record_t *record,
                                  const bsession_bytes_t *name, bs_seen_t *seen);

#endif
