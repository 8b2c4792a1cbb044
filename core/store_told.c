/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What the log is told of a store, and how loudly of what any visitor can bring about again and
 * again. */

#include "store_call.h"

/* A window and the lines in it share a word: seconds, and a count below 256. */
#define WINDOW 60
#define LINES  BS_WARNINGS_A_MINUTE

bs_level_t bs_store_warning(bs_store_t *store, bs_told_t of)
{
    apr_uint64_t *told = &store->shared->told[of], then, next;
    apr_uint64_t now = bs_monotonic() / 1000000000 + 1;

    then = __atomic_load_n(told, __ATOMIC_RELAXED);
    do {
        if (now - (then >> 8) >= WINDOW) {
            next = now << 8 | 1;
        }
        else if ((then & 255) >= LINES) {
            return BS_LOG_INFO;
        }
        else {
            next = then + 1;
        }
    } while (!__atomic_compare_exchange_n(told, &then, next, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return BS_LOG_WARNING;
}

void bs_store_tell(const bs_store_t *store, void *where, bs_breaker_news_t news, const char *verb,
                   const char *part, const char *why)
{
    const char *name = store->name, *space = part ? " " : "";

    part = part ? part : "";
    switch (news) {
    case BS_FIRST_FAILURE:
        bs_log(where, BS_LOG_WARNING, "store %s: %s failed: %s", name, verb, why);
        break;
    case BS_OPENED:
        bs_log(where, BS_LOG_ERROR, "store %s: %s%sfailed %u times in a row, and is left alone for "
               "a while (the last: %s: %s)", name, part, space, store->breaker.failures, verb, why);
        break;
    case BS_OPENED_AGAIN:
        bs_log(where, BS_LOG_INFO, "store %s: %s%sstill failing: %s: %s", name, part, space, verb,
               why);
        break;
    case BS_CLOSED:
        bs_log(where, BS_LOG_WARNING, "store %s: %s%sanswers again", name, part, space);
        break;
    case BS_SAME:
        break;
    }
}
