/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file rotation.h
 * @brief Which verifiers of a session are good, as its meta says, and what becomes of them when a
 *        newer one is made.
 *
 *     CURRENT   the newest one.
 *     ASIDE     one that a newer has replaced, from time to time (BSessionRotate). It is *open* as
 *               long as the newest has not come: the answer that carried it may be lost, and who
 *               has only this one must get in. When the newest comes, it is closed: requests that
 *               are under way have the grace. One that was replaced before it ever came (*unseen*)
 *               is good for as long as it would have been, since its answer may come last.
 *     REUSED    one that came once, was aside, and is past its time. Who comes with it has a copy.
 *               The latest of them are remembered: the spent ones.
 *     RETIRED   one that a login has replaced, a moment ago.
 *
 * A login ends them all: what was aside is retired with the current one, and nothing is remembered
 * as spent. So a token from before it, which somebody may have planted, raises no alarm.
 */
#ifndef BS_ROTATION_H
#define BS_ROTATION_H

#include "meta.h"
#include "terms.h"

typedef enum {
    BS_IS_UNKNOWN, BS_IS_CURRENT, BS_IS_ASIDE, BS_IS_RETIRED, BS_IS_REUSED
} bs_standing_t;

/** For so long a token that a login replaced, or whose grace has ended, is one of a request that
 *  was under way. */
#define BS_STRAGGLER_TIME apr_time_from_sec(30)

bs_standing_t bs_rotation_standing(const bs_meta_t *meta, const unsigned char *digest,
                                   apr_time_t now);

/** Whether the one who came with it, REUSED, may be a request that was under way. */
int           bs_rotation_is_late(const bs_meta_t *meta, const unsigned char *digest, apr_time_t now);

/** Whether the current verifier has not come yet, as far as the record knows. */
int           bs_rotation_is_awaited(const bs_meta_t *meta);

/** Whether a request with this verifier, CURRENT or ASIDE, is to get a new one.
 *  @param at_once  the current one is to be replaced whatever its age */
int           bs_rotation_is_due(const bs_meta_t *meta, const unsigned char *digest,
                                 const bs_rotate_rule_t *rule, int at_once, apr_time_t now);

/** The current verifier has come. */
void          bs_rotation_came(bs_meta_t *meta, const bs_rotate_rule_t *rule, apr_time_t now);

/** A new verifier is current, its digest `fresh`, for a request that came with `digest`. */
void          bs_rotation_renew(bs_meta_t *meta, const unsigned char *digest,
                                const unsigned char *fresh, const bs_rotate_rule_t *rule,
                                apr_time_t now);

/** A login: a new verifier is current, and no other is good any more. */
void          bs_rotation_login(bs_meta_t *meta, const unsigned char *fresh, apr_time_t now);

#endif
