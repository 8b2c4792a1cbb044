/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file users_book.h
 * @brief A user's list of sessions while it is worked on: read, changed, and written as a whole.
 */
#ifndef BS_USERS_BOOK_H
#define BS_USERS_BOOK_H

#include "users.h"

/* Of several places' lists all that they hold together. */
typedef struct {
    bs_owned_list_t owned;
    int             room;
    apr_uint64_t    revisions[BS_USER_PLACES_MAX];  /* 0: there is none */
} bs_book_t;

/* Of any time in a list: to it any span that there is may be added. */
#define BS_OWNED_TIME_MOST (APR_INT64_MAX / 2)

/** Adds what is in one of the user's places and has not run out. Of one session, whatever a store
 *  hands out, there is one entry. */
apr_status_t bs_book_read(bs_book_t *book, const bs_user_t *user, int which);
/** What is in all of them. */
apr_status_t bs_book_read_all(bs_book_t *book, const bs_user_t *user);
/** APR_EMISMATCH: somebody was faster. */
apr_status_t bs_book_write(const bs_book_t *book, const bs_user_t *user, int which);
/** In the first place; what came from others leaves them. */
apr_status_t bs_book_write_all(const bs_book_t *book, const bs_user_t *user);
/** Whether some of it is not in the first place. */
int          bs_book_is_moving(const bs_book_t *book, const bs_user_t *user);

bs_owned_t  *bs_book_find(const bs_book_t *book, const bsession_key_t *key);
/** The last one takes its place. */
void         bs_book_drop(bs_book_t *book, int i);
void         bs_book_put(bs_book_t *book, const bs_owned_t *entry, apr_pool_t *pool);

/** Whether it may be about to be stored. */
static inline int bs_owned_is_coming(const bs_owned_t *entry, apr_time_t now)
{
    return entry->by >= now;
}

#endif
