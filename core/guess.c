/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "guess.h"

#include <string.h>

#include "breaker.h"

/* Of a tally and of `lines`: the minute in the upper half. */
#define NAMED  ((apr_uint64_t)1 << 31)
#define COUNT  (NAMED - 1)

#define LOAD(word)  __atomic_load_n(&(word), __ATOMIC_RELAXED)

/* A network of IPv6 begins with none of these: 0000::/8 is nobody's. */
#define IPV4   ((apr_uint64_t)1 << 32)
#define IPV6_0 ((apr_uint64_t)2 << 32)          /* ::/64, where ::1 is */

apr_uint32_t bs_guess_minute(void)
{
    return (apr_uint32_t)(bs_monotonic() / 60000000000u);
}

static apr_uint64_t who_is(const bs_address_t *from)
{
    unsigned bytes = from->len == 4 ? 4 : 8, i;
    apr_uint64_t who = 0;

    for (i = 0; i < bytes; i++) {
        who = who << 8 | from->bytes[i];
    }
    return from->len == 4 ? IPV4 | who : who ? who : IPV6_0;
}

static apr_uint64_t mix(apr_uint64_t hash, apr_uint64_t with)
{
    hash = (hash ^ with) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

static apr_uint32_t hash_of(const bs_guesses_t *guesses, const bs_token_t *token)
{
    unsigned char bytes[BS_SELECTOR_SIZE + BS_VERIFIER_SIZE + BS_MAC_SIZE];
    apr_uint64_t hash = guesses->seed, word;
    size_t i;

    memcpy(bytes, token->selector, BS_SELECTOR_SIZE);
    memcpy(bytes + BS_SELECTOR_SIZE, token->verifier, BS_VERIFIER_SIZE);
    memcpy(bytes + BS_SELECTOR_SIZE + BS_VERIFIER_SIZE, token->mac, BS_MAC_SIZE);
    for (i = 0; i < sizeof bytes; i += sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        hash = mix(hash, word);
    }
    return (apr_uint32_t)(hash ? hash : 1);
}

/** A tally as it is in this minute. */
static apr_uint64_t decayed(apr_uint64_t tally, apr_uint32_t minute)
{
    apr_uint32_t passed = minute - (apr_uint32_t)(tally >> 32);

    if (passed == 0) {
        return tally;
    }
    return (apr_uint64_t)minute << 32 | (passed < 31 ? (tally & COUNT) >> passed : 0);
}

/** The slot of this address, which may have been another's until now. */
static bs_guess_slot_t *slot_of(bs_guesses_t *guesses, apr_uint64_t who, apr_uint32_t minute)
{
    apr_uint64_t hash = mix(guesses->seed, who), found, least = ~(apr_uint64_t)0;
    bs_guess_slot_t *slot, *weakest = NULL;
    unsigned i;

    for (i = 0; i < BS_GUESS_PROBES; i++) {
        slot = &guesses->slots[(hash + i) % BS_GUESS_SLOTS];
        found = LOAD(slot->who);
        if (found == 0 && __atomic_compare_exchange_n(&slot->who, &found, who, 0, __ATOMIC_RELAXED,
                                                      __ATOMIC_RELAXED)) {
            return slot;
        }
        if (found == who) {
            return slot;
        }
        if ((decayed(LOAD(slot->tally), minute) & COUNT) < least) {
            least = decayed(LOAD(slot->tally), minute) & COUNT;
            weakest = slot;
        }
    }
    __atomic_store_n(&weakest->tally, (apr_uint64_t)minute << 32, __ATOMIC_RELAXED);
    __atomic_store_n(&weakest->unsaid, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&weakest->last, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&weakest->who, who, __ATOMIC_RELAXED);
    return weakest;
}

/** 1 where this one makes it worth a line, which happens once a minute. */
static int count_up(bs_guess_slot_t *slot, apr_uint32_t minute)
{
    apr_uint64_t old = LOAD(slot->tally), new;
    int named;

    do {
        new = decayed(old, minute);
        if ((new & COUNT) < COUNT) {
            new++;
        }
        named = !(new & NAMED) && (new & COUNT) >= BS_GUESS_MANY;
        new |= named ? NAMED : 0;
    } while (!__atomic_compare_exchange_n(&slot->tally, &old, new, 1, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return named;
}

/** A place among the lines of this minute. */
static int take_line(bs_guesses_t *guesses, apr_uint32_t minute, bs_guess_line_t *line)
{
    apr_uint64_t old = LOAD(guesses->lines), new;

    do {
        new = (apr_uint32_t)(old >> 32) == minute ? old + 1 : ((apr_uint64_t)minute << 32) + 1;
        if ((new & COUNT) > BS_GUESS_LINES) {
            __atomic_fetch_add(&guesses->others, 1, __ATOMIC_RELAXED);
            return 0;
        }
    } while (!__atomic_compare_exchange_n(&guesses->lines, &old, new, 1, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    line->is_last = (new & COUNT) == BS_GUESS_LINES;
    line->others = __atomic_exchange_n(&guesses->others, 0, __ATOMIC_RELAXED);
    return 1;
}

int bs_guess(bs_guesses_t *guesses, const bs_address_t *from, const bs_token_t *token,
             apr_uint32_t minute, bs_guess_line_t *line)
{
    bs_guess_slot_t *slot = slot_of(guesses, who_is(from), minute);

    if (__atomic_exchange_n(&slot->last, hash_of(guesses, token), __ATOMIC_RELAXED)
        == hash_of(guesses, token)) {
        return 0;
    }
    __atomic_fetch_add(&slot->unsaid, 1, __ATOMIC_RELAXED);
    if (!count_up(slot, minute) || !take_line(guesses, minute, line)) {
        return 0;
    }
    line->tokens = __atomic_exchange_n(&slot->unsaid, 0, __ATOMIC_RELAXED);
    return 1;
}
