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
#define NAME_MAX    255

static void put_time(unsigned char *to, apr_time_t time)
{
    int i;

    for (i = 0; i < 8; i++) {
        to[i] = (unsigned char)((apr_uint64_t)time >> 8 * i);
    }
}

static apr_time_t get_time(const unsigned char *from)
{
    apr_uint64_t time = 0;
    int i;

    for (i = 8; i-- > 0; ) {
        time = time << 8 | from[i];
    }
    return (apr_time_t)time;
}

void bs_meta_retire(bs_meta_t *meta, apr_time_t now, apr_time_t forget)
{
    int drop = 0;

    while (drop < meta->nretired
           && (meta->retired[drop].at < forget || meta->nretired - drop == BS_RETIRED_MAX)) {
        drop++;
    }
    meta->nretired -= drop;
    memmove(meta->retired, meta->retired + drop,
            (size_t)meta->nretired * sizeof meta->retired[0]);
    memcpy(meta->retired[meta->nretired].digest, meta->digest, BS_DIGEST_SIZE);
    meta->retired[meta->nretired++].at = now;
}

static unsigned char *write_bound(const bs_meta_t *meta, unsigned char *at)
{
    int kind;

    for (kind = 0; kind < BS_BINDS; kind++) {
        const bs_bound_t *bound = &meta->bound[kind];

        if (bound->is) {
            at[0] = TAG_BOUND;
            at[1] = BOUND_LEN;
            at[2] = (unsigned char)kind;
            memcpy(at + 3, bound->bits, 2);
            memcpy(at + 5, bound->digest, BS_DIGEST_SIZE);
            at += 2 + BOUND_LEN;
        }
    }
    return at;
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
        at[0] = TAG_RETIRED;
        at[1] = RETIRED_LEN;
        memcpy(at + 2, meta->retired[i].digest, BS_DIGEST_SIZE);
        put_time(at + 2 + BS_DIGEST_SIZE, meta->retired[i].at);
        at += 2 + RETIRED_LEN;
    }
    at = write_bound(meta, at);
    return (apr_size_t)(at - to);
}

static apr_status_t read_retired(bs_meta_t *meta, const unsigned char *section)
{
    if (section[1] != RETIRED_LEN || meta->nretired == BS_RETIRED_MAX) {
        return BSESSION_ECORRUPT;
    }
    memcpy(meta->retired[meta->nretired].digest, section + 2, BS_DIGEST_SIZE);
    meta->retired[meta->nretired++].at = get_time(section + 2 + BS_DIGEST_SIZE);
    return APR_SUCCESS;
}

static apr_status_t read_bound(bs_meta_t *meta, const unsigned char *section)
{
    bs_bound_t *bound;

    if (section[1] != BOUND_LEN || section[2] >= BS_BINDS || meta->bound[section[2]].is) {
        return BSESSION_ECORRUPT;
    }
    bound = &meta->bound[section[2]];
    bound->is = 1;
    memcpy(bound->bits, section + 3, 2);
    memcpy(bound->digest, section + 5, BS_DIGEST_SIZE);
    return APR_SUCCESS;
}

apr_status_t bs_meta_read(bs_meta_t *meta, const bsession_bytes_t *from)
{
    const unsigned char *data = (const unsigned char *)from->data;
    apr_size_t at = FIXED;

    if (from->len < FIXED || data[0] != BS_META_VERSION) {
        return BSESSION_ECORRUPT;
    }
    meta->created = get_time(data + 1);
    memcpy(meta->realm, data + 9, BS_REALM_SIZE);
    memcpy(meta->digest, data + 17, BS_DIGEST_SIZE);
    meta->nretired = 0;
    memset(meta->bound, 0, sizeof meta->bound);
    while (at < from->len) {
        const unsigned char *section = data + at;

        if (from->len - at < 2 || from->len - at - 2 < section[1]
            || (section[0] == TAG_RETIRED && read_retired(meta, section) != APR_SUCCESS)
            || (section[0] == TAG_BOUND && read_bound(meta, section) != APR_SUCCESS)) {
            return BSESSION_ECORRUPT;
        }
        at += 2u + section[1];
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
