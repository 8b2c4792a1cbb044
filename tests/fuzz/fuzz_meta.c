/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What the core keeps in a record beside the session's keys. Any bytes: they are refused, or what
 * was read is written within its bounds, and read again as the same. */

#include <string.h>

#include "fuzz.h"
#include "rotation.h"

/* Blocks of exactly their size, so that a sanitizer sees a step beyond them. */
static apr_size_t read_and_write(const unsigned char *data, apr_size_t size,
                                 unsigned char to[BS_META_MAX])
{
    unsigned char *block = malloc(size ? size : 1);
    bsession_bytes_t bytes = { (const char *)block, size };
    apr_status_t status;
    apr_size_t written = 0;
    bs_meta_t meta;

    MUST(block);
    memcpy(block, data, size);
    memset(&meta, 0xa5, sizeof(meta));
    status = bs_meta_read(&meta, &bytes);
    MUST(status == APR_SUCCESS || status == BSESSION_ECORRUPT);
    if (status == APR_SUCCESS) {
        MUST(meta.nretired >= 0 && meta.nretired <= BS_RETIRED_MAX);
        written = bs_meta_write(&meta, to);
        MUST(written && written <= BS_META_MAX);
    }
    free(block);
    return written;
}

/* One more login than is remembered pushes the oldest out, and nothing over the end. */
static void retire(const unsigned char *data, apr_size_t size)
{
    bsession_bytes_t bytes = { (const char *)data, size };
    unsigned char to[BS_META_MAX];
    bs_meta_t meta;
    int i;

    MUST(bs_meta_read(&meta, &bytes) == APR_SUCCESS);
    for (i = 0; i <= BS_RETIRED_MAX; i++) {
        bs_meta_retire(&meta, meta.digest, 1000 + i, (apr_time_t)data[1]);
        MUST(meta.nretired > 0 && meta.nretired <= BS_RETIRED_MAX);
        MUST(meta.retired[meta.nretired - 1].at == 1000 + i);
        MUST(bs_meta_write(&meta, to) <= BS_META_MAX);
    }
}

/* Whatever a record says of its verifiers, one more is made for who comes with any of them. */
static void rotate(const unsigned char *data, apr_size_t size)
{
    static const bs_rotate_rule_t rule = { .every = 100, .grace = 10 };
    bsession_bytes_t bytes = { (const char *)data, size };
    unsigned char to[BS_META_MAX], fresh[BS_DIGEST_SIZE], mine[BS_DIGEST_SIZE];
    bs_meta_t meta;
    int i;

    MUST(bs_meta_read(&meta, &bytes) == APR_SUCCESS);
    for (i = 0; i < 16; i++) {
        int which = meta.naside ? i % (meta.naside + 1) : 0;
        apr_time_t now = 1000 * i;

        memcpy(mine, which ? meta.aside[which - 1].digest : meta.digest, BS_DIGEST_SIZE);
        memset(fresh, i, sizeof(fresh));
        if (i % 3 == 0) {
            bs_rotation_came(&meta, &rule, now);
        }
        if (bs_rotation_is_due(&meta, mine, &rule, 1, now)) {
            bs_rotation_renew(&meta, mine, fresh, &rule, now);
            MUST(bs_rotation_standing(&meta, fresh, now) == BS_IS_CURRENT);
            MUST(bs_rotation_is_awaited(&meta));
        }
        MUST(meta.naside <= BS_ASIDE_MAX && meta.nspent <= BS_SPENT_MAX);
        MUST(bs_meta_write(&meta, to) <= BS_META_MAX);
    }
    bs_rotation_login(&meta, mine, 100000);
    MUST(!meta.naside && !meta.nspent && bs_meta_write(&meta, to) <= BS_META_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char once[BS_META_MAX], twice[BS_META_MAX];
    apr_size_t written = read_and_write(data, size, once);

    if (written) {
        MUST(read_and_write(once, written, twice) == written);
        MUST(!memcmp(once, twice, written));
        retire(once, written);
        rotate(once, written);
    }
    return 0;
}
