/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memcached_item.h"

#include <string.h>

#include <apr_time.h>

#define ITEM_SUM      4
#define ITEM_KEY      12
#define ITEM_REVISION 29
#define ITEM_EXPIRES  37
/* Longer times than this are moments, to the server, by what its clock said when it was started. */
#define ITEM_RELATIVE (30 * 86400)
#define ITEM_SKEW     86400

static void put64(char *to, apr_uint64_t number)
{
    int i;

    for (i = 0; i < 8; i++) {
        to[i] = (char)(unsigned char)(number >> (8 * i));
    }
}

static apr_uint64_t get64(const char *from)
{
    apr_uint64_t number = 0;
    int i;

    for (i = 7; i >= 0; i--) {
        number = number << 8 | (unsigned char)from[i];
    }
    return number;
}

static apr_uint64_t item_sum(const mc_item_t *item)
{
    apr_uint64_t sum = APR_UINT64_C(0xcbf29ce484222325);
    apr_size_t i;

    for (i = ITEM_KEY; i < item->size; i++) {
        sum = (sum ^ (unsigned char)item->bytes[i]) * APR_UINT64_C(0x100000001b3);
    }
    return sum;
}

void mc_item_write(mc_item_t *item, const bsession_key_t *key)
{
    memcpy(item->bytes, "BSm1", 4);
    item->bytes[ITEM_KEY] = key->space;
    memcpy(item->bytes + ITEM_KEY + 1, key->bytes, sizeof key->bytes);
    put64(item->bytes + ITEM_REVISION, item->revision);
    put64(item->bytes + ITEM_EXPIRES, (apr_uint64_t)item->expires);
    put64(item->bytes + ITEM_SUM, item_sum(item));
}

apr_status_t mc_item_read(mc_item_t *item, const bsession_key_t *key)
{
    if (item->size < MC_ITEM_HEAD || memcmp(item->bytes, "BSm1", 4) != 0
        || item->bytes[ITEM_KEY] != key->space
        || memcmp(item->bytes + ITEM_KEY + 1, key->bytes, sizeof key->bytes) != 0
        || get64(item->bytes + ITEM_SUM) != item_sum(item)) {
        return BSESSION_ECORRUPT;
    }
    item->revision = get64(item->bytes + ITEM_REVISION);
    item->expires = (apr_time_t)get64(item->bytes + ITEM_EXPIRES);
    return APR_SUCCESS;
}

int mc_item_is_over(const mc_item_t *item)
{
    return item->expires && item->expires <= apr_time_now();
}

apr_time_t mc_later(apr_time_t one, apr_time_t other)
{
    return one == 0 || other == 0 ? 0 : one > other ? one : other;
}

/** Rounded up, for 0 is for ever; and a second more, since the server's clock ticks once a second;
 *  and a day more for a moment, since that clock may be another than ours. The life in the item is
 *  the one that counts. */
time_t mc_exptime(apr_time_t expires)
{
    apr_time_t now = apr_time_now(), seconds;

    if (expires == 0) {
        return 0;
    }
    if (expires <= now) {
        return MC_PAST;
    }
    seconds = apr_time_sec(expires - now) + 2;
    if (seconds <= ITEM_RELATIVE) {
        return (time_t)seconds;
    }
    seconds += apr_time_sec(now) + ITEM_SKEW;
    return seconds > APR_INT32_MAX ? 0 : (time_t)seconds;
}
