/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "meta.h"

#include <string.h>

#include <apr_lib.h>
#include <openssl/evp.h>

#define FIXED       33
#define TAG_RETIRED 'h'
#define RETIRED_LEN 24
#define TAG_BOUND   'b'
#define BOUND_LEN   19
#define TAG_ISSUED  'i'
#define ISSUED_LEN  8
#define TAG_ASIDE   's'
#define ASIDE_LEN   25
#define ASIDE_OPEN  1
#define ASIDE_SEEN  2
#define TAG_SPENT   'r'
#define SPENT_LEN   16
#define TAG_OWNER   'o'
#define NAME_MAX    255
#define TIME_MOST   (APR_INT64_MAX / 2)

static void put_time(unsigned char *to, apr_time_t time)
{
    int i;

    for (i = 0; i < 8; i++) {
        to[i] = (unsigned char)((apr_uint64_t)time >> 8 * i);
    }
}

/* Compilers make one plain load of it. 0 where it is no time: to the others any span that there is
 * may be added. */
static int get_time(apr_time_t *time, const unsigned char *from)
{
    *time = (apr_time_t)((apr_uint64_t)from[0] | (apr_uint64_t)from[1] << 8
                         | (apr_uint64_t)from[2] << 16 | (apr_uint64_t)from[3] << 24
                         | (apr_uint64_t)from[4] << 32 | (apr_uint64_t)from[5] << 40
                         | (apr_uint64_t)from[6] << 48 | (apr_uint64_t)from[7] << 56);
    return *time >= -TIME_MOST && *time <= TIME_MOST;
}

void bs_meta_retire(bs_meta_t *meta, const unsigned char *digest, apr_time_t now, apr_time_t forget)
{
    int drop = 0;

    while (drop < meta->nretired
           && (meta->retired[drop].at < forget || meta->nretired - drop == BS_RETIRED_MAX)) {
        drop++;
    }
    meta->nretired -= drop;
    memmove(meta->retired, meta->retired + drop,
            (size_t)meta->nretired * sizeof meta->retired[0]);
    memcpy(meta->retired[meta->nretired].digest, digest, BS_DIGEST_SIZE);
    meta->retired[meta->nretired++].at = now;
}

/* ---- writing ---- */

/** A section's tag and length; where its contents go. */
static unsigned char *section(unsigned char **at, unsigned char tag, unsigned char len)
{
    unsigned char *contents = *at + 2;

    (*at)[0] = tag;
    (*at)[1] = len;
    *at += 2 + len;
    return contents;
}

static void write_bound(const bs_meta_t *meta, unsigned char **at)
{
    int kind;

    for (kind = 0; kind < BS_BINDS; kind++) {
        const bs_bound_t *bound = &meta->bound[kind];

        if (bound->is) {
            unsigned char *to = section(at, TAG_BOUND, BOUND_LEN);

            to[0] = (unsigned char)kind;
            memcpy(to + 1, bound->bits, 2);
            memcpy(to + 3, bound->digest, BS_DIGEST_SIZE);
        }
    }
}

static void write_rotation(const bs_meta_t *meta, unsigned char **at)
{
    unsigned char *to;
    int i;

    if (meta->issued) {
        put_time(section(at, TAG_ISSUED, ISSUED_LEN), meta->issued);
    }
    for (i = 0; i < meta->naside; i++) {
        const bs_aside_t *aside = &meta->aside[i];

        to = section(at, TAG_ASIDE, ASIDE_LEN);
        memcpy(to, aside->digest, BS_DIGEST_SIZE);
        put_time(to + BS_DIGEST_SIZE, aside->until);
        to[ASIDE_LEN - 1] = (unsigned char)((aside->open ? ASIDE_OPEN : 0)
                                            | (aside->seen ? ASIDE_SEEN : 0));
    }
    for (i = 0; i < meta->nspent; i++) {
        memcpy(section(at, TAG_SPENT, SPENT_LEN), meta->spent[i], BS_DIGEST_SIZE);
    }
}

apr_size_t bs_meta_write(const bs_meta_t *meta, unsigned char to[BS_META_MAX])
{
    unsigned char *at = to + FIXED;
    int i;

    to[0] = BS_META_VERSION;
    put_time(to + 1, meta->created);
    memcpy(to + 9, meta->realm, BS_REALM_SIZE);
    memcpy(to + 17, meta->digest, BS_DIGEST_SIZE);
    for (i = 0; i < meta->nretired; i++) {
        unsigned char *retired = section(&at, TAG_RETIRED, RETIRED_LEN);

        memcpy(retired, meta->retired[i].digest, BS_DIGEST_SIZE);
        put_time(retired + BS_DIGEST_SIZE, meta->retired[i].at);
    }
    write_bound(meta, &at);
    write_rotation(meta, &at);
    if (meta->owner.len) {
        memcpy(section(&at, TAG_OWNER, (unsigned char)meta->owner.len), meta->owner.data,
               meta->owner.len);
    }
    return (apr_size_t)(at - to);
}

/* ---- reading: 1 = it can have been written by us ---- */

static int read_retired(bs_meta_t *meta, const unsigned char *from, unsigned len)
{
    if (len != RETIRED_LEN || meta->nretired == BS_RETIRED_MAX) {
        return 0;
    }
    memcpy(meta->retired[meta->nretired].digest, from, BS_DIGEST_SIZE);
    return get_time(&meta->retired[meta->nretired++].at, from + BS_DIGEST_SIZE);
}

static int read_issued(bs_meta_t *meta, const unsigned char *from, unsigned len)
{
    return len == ISSUED_LEN && get_time(&meta->issued, from);
}

static int read_aside(bs_meta_t *meta, const unsigned char *from, unsigned len)
{
    bs_aside_t *aside = &meta->aside[meta->naside];

    if (len != ASIDE_LEN || meta->naside == BS_ASIDE_MAX) {
        return 0;
    }
    memcpy(aside->digest, from, BS_DIGEST_SIZE);
    aside->open = (from[ASIDE_LEN - 1] & ASIDE_OPEN) != 0;
    aside->seen = (from[ASIDE_LEN - 1] & ASIDE_SEEN) != 0;
    meta->naside++;
    return get_time(&aside->until, from + BS_DIGEST_SIZE);
}

static int read_spent(bs_meta_t *meta, const unsigned char *from, unsigned len)
{
    if (len != SPENT_LEN || meta->nspent == BS_SPENT_MAX) {
        return 0;
    }
    memcpy(meta->spent[meta->nspent++], from, BS_DIGEST_SIZE);
    return 1;
}

static int read_bound(bs_meta_t *meta, const unsigned char *from, unsigned len)
{
    bs_bound_t *bound;

    if (len != BOUND_LEN || from[0] >= BS_BINDS || meta->bound[from[0]].is) {
        return 0;
    }
    bound = &meta->bound[from[0]];
    bound->is = 1;
    memcpy(bound->bits, from + 1, 2);
    memcpy(bound->digest, from + 3, BS_DIGEST_SIZE);
    return 1;
}

static int read_owner(bs_meta_t *meta, const unsigned char *from, unsigned len)
{
    if (len == 0 || meta->owner.len) {
        return 0;
    }
    meta->owner.data = (const char *)from;
    meta->owner.len = len;
    return 1;
}

static int read_section(bs_meta_t *meta, const unsigned char *at)
{
    switch (at[0]) {
    case TAG_RETIRED:
        return read_retired(meta, at + 2, at[1]);
    case TAG_BOUND:
        return read_bound(meta, at + 2, at[1]);
    case TAG_ISSUED:
        return read_issued(meta, at + 2, at[1]);
    case TAG_ASIDE:
        return read_aside(meta, at + 2, at[1]);
    case TAG_SPENT:
        return read_spent(meta, at + 2, at[1]);
    case TAG_OWNER:
        return read_owner(meta, at + 2, at[1]);
    default:
        return 1;
    }
}

apr_status_t bs_meta_read(bs_meta_t *meta, const bsession_bytes_t *from)
{
    const unsigned char *data = (const unsigned char *)from->data;
    apr_size_t at = FIXED;

    if (from->len < FIXED || data[0] != BS_META_VERSION || !get_time(&meta->created, data + 1)) {
        return BSESSION_ECORRUPT;
    }
    memcpy(meta->realm, data + 9, BS_REALM_SIZE);
    memcpy(meta->digest, data + 17, BS_DIGEST_SIZE);
    memset(meta->bound, 0, sizeof meta->bound);
    meta->nretired = meta->naside = meta->nspent = 0;
    meta->issued = 0;
    meta->owner.len = 0;
    while (at < from->len) {
        if (from->len - at < 2 || from->len - at - 2 < data[at + 1]
            || !read_section(meta, data + at)) {
            return BSESSION_ECORRUPT;
        }
        at += 2u + data[at + 1];
    }
    return APR_SUCCESS;
}

apr_status_t bs_realm_digest(const char *name, unsigned char realm[BS_REALM_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char folded[NAME_MAX];
    size_t len = strlen(name), i;

    if (len > sizeof folded) {
        return APR_EINVAL;
    }
    for (i = 0; i < len; i++) {
        folded[i] = (char)apr_tolower(name[i]);
    }
    if (!EVP_Digest(folded, len, digest, NULL, EVP_sha256(), NULL)) {
        return APR_EGENERAL;
    }
    memcpy(realm, digest, BS_REALM_SIZE);
    return APR_SUCCESS;
}
