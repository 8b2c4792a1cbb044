/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file users.h
 * @brief Whose sessions are which: for each user name of a realm one record that lists them.
 *
 *     key      'u', and 16 bytes of a hash of the realm and the name. With secrets it is a keyed
 *              one, and there is a place for each secret: what is written goes to the newest's,
 *              what others hold is moved there then, and what is looked for is looked for in all
 *     fields   the key of a session, 32 hex digits, and what is known of it: `since until by`, in
 *              microseconds since 1970
 *
 * A session is entered before it is stored, so that whoever ends all sessions of a user finds it.
 * What is listed may therefore be stored only a moment later, or never; and a session that ended by
 * itself is listed until somebody writes the list. So the sessions' own records decide, which have
 * the name of their owner, and this list only says where to look.
 *
 * A list is written as a whole, at the revision at which it was read: two logins cannot both take
 * the last place. A store may drop a list, as it may drop all it keeps: sessions enter themselves
 * again now and then (session_owner.c).
 *
 * While a site changes its store, what the older one lists is moved as what older secrets' keys
 * hold.
 */
#ifndef BS_USERS_H
#define BS_USERS_H

#include "terms.h"

/** Of one user, the list apart: whoever logs in once more ends the oldest. */
#define BS_OWNED_MAX     1000
/* A list for each secret there may be, in each of two stores. */
#define BS_USER_PLACES_MAX (2 * BS_SECRETS_MAX)

/** For so long after the time that a login has to store its session it is taken to be about to. */
#define BS_LOGIN_MARGIN  apr_time_from_sec(60)

typedef struct {
    bsession_key_t key;             /* the session's */
    apr_time_t     since;           /* of the login; in one list no two are the same */
    apr_time_t     until;           /* it has ended by then */
    apr_time_t     by;              /* until then it may be about to be stored */
} bs_owned_t;

typedef struct {
    bs_owned_t *list;
    int         count;
} bs_owned_list_t;

/* What a login has changed in the list. */
typedef struct {
    bs_owned_t entry;               /* as it is listed */
    bs_owned_t before;              /* in whose place, where there was one for the same session */
    int        had;
    int        count;               /* of all that are listed */
} bs_entered_t;

/** What the sessions' own records say of `count` entries: APR_SUCCESS: it is there, and this
 *  user's; APR_NOTFOUND; an outage. */
typedef void (bs_look_t)(void *baton, const bs_owned_t *list, int count, apr_status_t *statuses);
/** Ends a session, if it is there and this user's: as bs_look_t says. */
typedef apr_status_t (bs_end_t)(void *baton, const bsession_key_t *key);

/* Where a list may be. */
typedef struct {
    bs_store_t    *store;
    bsession_key_t key;
} bs_users_place_t;

/** One user, for one use of these functions. */
typedef struct {
    bs_store_t  *store;
    bs_store_t  *older;             /* BSessionMigrateFrom, or NULL */
    bs_caller_t  caller;            /* without a deadline each call has the store's own */
    bs_users_place_t places[BS_USER_PLACES_MAX];    /* the first is the one that is written to */
    int          nplaces;
    bs_look_t   *look;
    bs_end_t    *end;
    void        *baton;             /* of these two */
} bs_user_t;

/** Sets places and nplaces. */
apr_status_t bs_user_name(bs_user_t *user, const bs_terms_t *terms, const bsession_bytes_t *name);

/* Statuses are those of a store; APR_TIMEUP: others were faster until the deadline. */

/** A login: `mine` is listed, in the place of what was listed for its key; `since` is chosen here.
 *  `most` others and itself may be there, 0 = any number: if there are more BSESSION_EMANY, and
 *  nothing was changed. */
apr_status_t bs_users_enter(const bs_user_t *user, const bs_owned_t *mine, int most,
                            bs_entered_t *entered);
/** It was not stored, and will not be: what the login has changed in the list is undone, unless
 *  another one has entered the same session since. */
apr_status_t bs_users_withdraw(const bs_user_t *user, const bs_entered_t *entered);
/** The same for a session that is there already: written only where it is missing, or listed for
 *  less long. */
apr_status_t bs_users_assert(const bs_user_t *user, const bs_owned_t *mine);
/** The session's entry goes; that it is not there is no failure. */
apr_status_t bs_users_leave(const bs_user_t *user, const bsession_key_t *key);
/** Ends the oldest where there are more than `most`. */
apr_status_t bs_users_trim(const bs_user_t *user, int most);
/** All that is listed and has not run out, the latest login first. */
apr_status_t bs_users_list(const bs_user_t *user, bs_owned_list_t *list);

/** Which of them. */
typedef struct {
    const bsession_key_t *but;      /* all but this one; or NULL */
    const unsigned char  *tag;      /* those alone whose key begins with these 6 bytes; or NULL */
} bs_which_t;

int          bs_which_is(const bs_which_t *which, const bsession_key_t *key);
/** Ends those that are listed. What cannot be found, and may be about to be stored, stays listed.
 *  `ended` counts on. BSESSION_ECORRUPT: a list cannot be read; those of the others have ended. */
apr_status_t bs_users_end(const bs_user_t *user, const bs_which_t *which, int *ended);

#endif
