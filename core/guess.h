/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file guess.h
 * @brief Who sends tokens that open nothing: counted for each address in memory that all children
 *        share.
 *
 * It counts, and says when a line is due: nobody is ever refused for it. The room is fixed, and
 * takes no lock:
 *
 *     +------+-------+--------+-------------------------------+
 *     | seed | lines | others | slots[0] ... slots[SLOTS - 1] |
 *     +------+-------+--------+-------------------------------+
 *
 * An address (of IPv6 its /64) has one of BS_GUESS_PROBES slots, chosen by a hash that nobody
 * outside knows; where all are taken, the one that counted least makes way. A count halves with
 * each minute. Several at once may lose a step, or give one to who came after: that is good enough
 * for a line in a log.
 *
 * The same token again, as a browser sends an expired cookie with every picture of a page, is no
 * guess.
 */
#ifndef BS_GUESS_H
#define BS_GUESS_H

#include "address.h"
#include "token.h"

/* So many tokens in about a minute are worth a line; pages behind one address that are left open
 * while their sessions end come to far less. */
#define BS_GUESS_MANY    100
/* Addresses that are named in one minute. */
#define BS_GUESS_LINES   10
#define BS_GUESS_SLOTS   1024
#define BS_GUESS_PROBES  8

typedef struct {
    apr_uint64_t who;               /* 0 = nobody */
    apr_uint64_t tally;             /* the minute, whether it was named in it, the count */
    apr_uint32_t unsaid;            /* tokens since it was named last */
    apr_uint32_t last;              /* of the token that came last: a hash */
} bs_guess_slot_t;

/** All zeros but the seed is its beginning. */
typedef struct bs_guesses_t {
    apr_uint64_t    seed;           /* random */
    apr_uint64_t    lines;          /* the minute, and how many were named in it */
    apr_uint64_t    others;         /* that were not, since a line was written last */
    bs_guess_slot_t slots[BS_GUESS_SLOTS];
} bs_guesses_t;

/** A line that is due. */
typedef struct {
    apr_uint32_t tokens;            /* since this address was named last */
    apr_uint64_t others;            /* addresses that could not be named since the line before */
    int          is_last;           /* no other is named in this minute */
} bs_guess_line_t;

/** Minutes of a clock that is never set, for bs_guess(). */
apr_uint32_t bs_guess_minute(void);

/** One token that opens nothing, from an address that is known. 1: a line is due. */
int bs_guess(bs_guesses_t *guesses, const bs_address_t *from, const bs_token_t *token,
             apr_uint32_t minute, bs_guess_line_t *line);

#endif
