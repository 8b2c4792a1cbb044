/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* How loudly the log is told of what any visitor can bring about again and again. */

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
