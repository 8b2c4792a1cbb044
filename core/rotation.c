/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "rotation.h"

#include <string.h>

/* An answer that is not there by then may be lost; with a longer grace, when that is over. */
#define ANSWER_TIME apr_time_from_sec(1)

/** -1 = it is not there. */
static int find_aside(const bs_meta_t *meta, const unsigned char *digest)
{
    int i;

    for (i = 0; i < meta->naside; i++) {
        if (bs_digest_equal(digest, meta->aside[i].digest)) {
            return i;
        }
    }
    return -1;
}

static int is_spent(const bs_meta_t *meta, const unsigned char *digest)
{
    int i;

    for (i = 0; i < meta->nspent; i++) {
        if (bs_digest_equal(digest, meta->spent[i])) {
            return 1;
        }
    }
    return 0;
}

static int is_retired(const bs_meta_t *meta, const unsigned char *digest, apr_time_t now)
{
    int i;

    for (i = 0; i < meta->nretired; i++) {
        if (now < meta->retired[i].at + BS_STRAGGLER_TIME
            && bs_digest_equal(digest, meta->retired[i].digest)) {
            return 1;
        }
    }
    return 0;
}

static int is_good(const bs_aside_t *aside, apr_time_t now)
{
    return aside->open || now < aside->until;
}

bs_standing_t bs_rotation_standing(const bs_meta_t *meta, const unsigned char *digest,
                                   apr_time_t now)
{
    int i;

    if (bs_digest_equal(digest, meta->digest)) {
        return BS_IS_CURRENT;
    }
    i = find_aside(meta, digest);
    if (i >= 0) {
        return is_good(&meta->aside[i], now) ? BS_IS_ASIDE
             : meta->aside[i].seen           ? BS_IS_REUSED : BS_IS_UNKNOWN;
    }
    if (is_spent(meta, digest)) {
        return BS_IS_REUSED;
    }
    return is_retired(meta, digest, now) ? BS_IS_RETIRED : BS_IS_UNKNOWN;
}

int bs_rotation_is_late(const bs_meta_t *meta, const unsigned char *digest, apr_time_t now)
{
    int i = find_aside(meta, digest);

    return i >= 0 && now < meta->aside[i].until + BS_STRAGGLER_TIME;
}

int bs_rotation_is_awaited(const bs_meta_t *meta)
{
    int i;

    for (i = 0; i < meta->naside; i++) {
        if (meta->aside[i].open) {
            return 1;
        }
    }
    return 0;
}

/** When the current verifier was made. */
static apr_time_t born(const bs_meta_t *meta)
{
    return meta->issued         ? meta->issued
         : meta->nretired       ? meta->retired[meta->nretired - 1].at : meta->created;
}

/* ---- when there is no room for one more ---- */

/** The one that can be done without: one past its time, else the oldest that never came; -1 = none,
 *  nor is the one that the request came with. */
static int dispensable(const bs_meta_t *meta, int mine, apr_time_t now)
{
    int i;

    for (i = 0; i < meta->naside; i++) {
        if (i != mine && !is_good(&meta->aside[i], now)) {
            return i;
        }
    }
    for (i = 0; i < meta->naside; i++) {
        if (i != mine && !meta->aside[i].seen) {
            return i;
        }
    }
    return -1;
}

static void spend(bs_meta_t *meta, const unsigned char *digest)
{
    if (meta->nspent == BS_SPENT_MAX) {
        meta->nspent--;
        memmove(meta->spent[0], meta->spent[1], (size_t)meta->nspent * BS_DIGEST_SIZE);
    }
    memcpy(meta->spent[meta->nspent++], digest, BS_DIGEST_SIZE);
}

static void drop_aside(bs_meta_t *meta, int which)
{
    if (meta->aside[which].seen) {
        spend(meta, meta->aside[which].digest);
    }
    meta->naside--;
    memmove(meta->aside + which, meta->aside + which + 1,
            (size_t)(meta->naside - which) * sizeof meta->aside[0]);
}

/* ---- one that is newer ---- */

int bs_rotation_is_due(const bs_meta_t *meta, const unsigned char *digest,
                       const bs_rotate_rule_t *rule, int at_once, apr_time_t now)
{
    apr_interval_time_t wait = rule->grace > ANSWER_TIME ? rule->grace : ANSWER_TIME;
    int mine = find_aside(meta, digest);

    if ((!rule->every && !at_once)
        || (meta->naside == BS_ASIDE_MAX && dispensable(meta, mine, now) < 0)) {
        return 0;
    }
    if (mine < 0) {
        return at_once || now >= born(meta) + rule->every;
    }
    /* the answer with the current one is lost, or came before the one with this */
    return now >= born(meta) + wait && (bs_rotation_is_awaited(meta) || !meta->aside[mine].seen);
}

void bs_rotation_came(bs_meta_t *meta, const bs_rotate_rule_t *rule, apr_time_t now)
{
    int i;

    for (i = 0; i < meta->naside; i++) {
        bs_aside_t *aside = &meta->aside[i];

        if (aside->open) {
            aside->open = 0;
            if (aside->until < now + rule->grace) {
                aside->until = now + rule->grace;
            }
        }
    }
}

void bs_rotation_renew(bs_meta_t *meta, const unsigned char *digest, const unsigned char *fresh,
                       const bs_rotate_rule_t *rule, apr_time_t now)
{
    int mine = find_aside(meta, digest), i;
    bs_aside_t old = { .open = 1, .seen = mine < 0 || !bs_rotation_is_awaited(meta) };

    if (mine >= 0) {
        meta->aside[mine].open = meta->aside[mine].seen = 1;
    }
    if (!old.seen) {
        old.until = born(meta) + rule->every;
    }
    memcpy(old.digest, meta->digest, BS_DIGEST_SIZE);
    for (i = 0; i < meta->naside; ) {
        if (is_good(&meta->aside[i], now - BS_STRAGGLER_TIME)) {
            i++;
        }
        else {
            drop_aside(meta, i);
        }
    }
    if (meta->naside == BS_ASIDE_MAX) {
        drop_aside(meta, dispensable(meta, find_aside(meta, digest), now));
    }
    meta->aside[meta->naside++] = old;
    memcpy(meta->digest, fresh, BS_DIGEST_SIZE);
    meta->issued = now;
}

void bs_rotation_login(bs_meta_t *meta, const unsigned char *fresh, apr_time_t now)
{
    apr_time_t forget = now - BS_STRAGGLER_TIME;
    int i;

    for (i = 0; i < meta->naside; i++) {
        if (is_good(&meta->aside[i], forget)) {
            bs_meta_retire(meta, meta->aside[i].digest, now, forget);
        }
    }
    bs_meta_retire(meta, meta->digest, now, forget);
    meta->naside = meta->nspent = 0;
    meta->issued = 0;
    memcpy(meta->digest, fresh, BS_DIGEST_SIZE);
}
