/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What a rebuild finds, and what the checker sees. */

#include "test_memory.h"

#include <string.h>

#include "memory_shard.h"

static memory_locked_t lock_of(bsession_backend_t *store, const bsession_key_t *key)
{
    memory_locked_t at;
    unsigned shard = bsession_memory_provider.node_of(store, key);

    ck_assert_int_eq(memory_shard_lock(&at, memory_backend_segment(store), shard, store_call()),
                     APR_SUCCESS);
    return at;
}

static memory_slot_t *slot_of(const memory_locked_t *at, const bsession_key_t *key)
{
    uint64_t words[2];
    uint32_t reference;

    memcpy(words, key->bytes, sizeof(words));
    reference = *memory_shard_link(at, words, 0);
    ck_assert_uint_ne(reference, 0);
    return memory_slot_at(at, reference);
}

/* The derived is scribbled over; the truth is enough. */
START_TEST(a_rebuild_needs_the_truth_alone)
{
    bsession_backend_t *store = store_open("1M");
    bsession_key_t keys[900];
    memory_locked_t at;
    uint32_t i;

    for (i = 0; i < 900; i++) {
        keys[i] = store_key('s');
        store_add(store, &keys[i], i * 31 % 700);
    }
    store_add(store, &(bsession_key_t){ 's', "a run of pages" }, 50000);
    at = lock_of(store, &keys[0]);
    memset(at.buckets, 0xa5, ((size_t)at.shard->mask + 1) * sizeof(*at.buckets));
    memset(at.shard->classes, 0xa5, sizeof(at.shard->classes));
    at.shard->records = at.shard->bytes = at.shard->spare = 12345;
    for (i = 0; i < at.shard->pages; i++) {
        uint8_t code = at.pages[i].code;

        memset(&at.pages[i], 0xa5, sizeof(at.pages[i]));
        at.pages[i].code = code;
    }
    memory_shard_rebuild(&at);
    memory_shard_unlock(&at);
    for (i = 0; i < 900; i++) {
        ck_assert_int_eq(store_load(store, &keys[i]), APR_SUCCESS);
    }
    ck_assert_uint_eq(store_stats(store).records, 901);
    store_is_sound(store);
}
END_TEST

START_TEST(of_two_slots_with_one_key_the_higher_revision_stays)
{
    bsession_backend_t *store = store_open("1M");
    bsession_key_t first = store_key('s'), second = store_key('s');
    memory_locked_t at;

    ck_assert_int_eq(store_save(store, BSESSION_CREATE, &first, 7, 100, 0), APR_SUCCESS);
    ck_assert_int_eq(store_save(store, BSESSION_CREATE, &second, 8, 300, 0), APR_SUCCESS);
    at = lock_of(store, &first);
    memcpy(slot_of(&at, &second)->key, first.bytes, sizeof(first.bytes));
    memory_shard_rebuild(&at);
    ck_assert_uint_eq(slot_of(&at, &first)->state, 8);
    memory_shard_unlock(&at);
    ck_assert_uint_eq(store_stats(store).records, 1);
    store_is_sound(store);
}
END_TEST

typedef struct {
    const char *expected;
    void      (*damage)(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other);
} damage_t;

static void damage_chain(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    (void)other;
    at->buckets[(uint32_t)slot->key[1] & at->shard->mask] = 0;
}

static void damage_reference(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    (void)at;
    (void)other;
    slot->next = 0xfffffff0u;
}

static void damage_loop(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    (void)other;
    slot->next = memory_reference(at, slot);
}

static void damage_bucket(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    (void)at;
    (void)other;
    slot->key[1] ^= 1;
}

static void damage_twice(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    damage_chain(at, other, slot);
    memcpy(other->key, slot->key, sizeof(slot->key));
    slot->next = memory_reference(at, other);
}

static void damage_state(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    (void)at;
    (void)other;
    slot->state = 0;
}

static void damage_size(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    (void)at;
    (void)other;
    slot->word |= MEMORY_BYTES_MASK;
}

static void damage_class(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    (void)other;
    at->pages[memory_page_of(at, slot)].code = 255;
}

static void damage_kind(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    (void)other;
    at->pages[memory_page_of(at, slot)].code++;
}

static void damage_used(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    (void)other;
    at->pages[memory_page_of(at, slot)].used++;
}

static void damage_free(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    (void)other;
    at->pages[memory_page_of(at, slot)].free = memory_reference(at, slot);
}

static void damage_count(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    (void)slot;
    (void)other;
    at->shard->records++;
}

static void damage_limit(memory_locked_t *at, memory_slot_t *slot, memory_slot_t *other)
{
    (void)slot;
    (void)other;
    at->shard->pages++;
}

static const damage_t damages[] = {
    { "a record that nothing leads to", damage_chain },
    { "its chain leads to nowhere", damage_reference },
    { "a slot for the second time", damage_loop },
    { "a record of another bucket", damage_bucket },
    { "a key twice", damage_twice },
    { "its chain leads to no record", damage_state },
    { "bytes in a slot of", damage_size },
    { "impossible class 255", damage_class },
    { "in a page of the other kind", damage_kind },
    { "records, but it counts", damage_used },
    { "its free list leads to no free slot", damage_free },
    { "records of", damage_count },
    { "its size does not follow from the limit", damage_limit }
};

START_TEST(the_checker_sees)
{
    const damage_t *what = &damages[_i];
    bsession_backend_t *store = store_open("1M");
    bsession_key_t key = store_key('s'), other = store_key('s');
    apr_array_header_t *sentences;
    memory_locked_t at;
    int i, seen = 0;

    store_add(store, &key, 100);
    store_add(store, &other, 100);
    store_is_sound(store);
    at = lock_of(store, &key);
    what->damage(&at, slot_of(&at, &key), slot_of(&at, &other));
    memory_shard_unlock(&at);
    sentences = store_check(store);
    for (i = 0; i < sentences->nelts; i++) {
        seen |= strstr(APR_ARRAY_IDX(sentences, i, const char *), what->expected) != NULL;
    }
    ck_assert_msg(seen, "'%s' is not among %d sentences", what->expected, sentences->nelts);
}
END_TEST

TCase *memory_check_case(void)
{
    TCase *tests = tcase_create("rebuilding and the checker");

    tcase_add_checked_fixture(tests, pool_setup, pool_teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_rebuild_needs_the_truth_alone);
    tcase_add_test(tests, of_two_slots_with_one_key_the_higher_revision_stays);
    tcase_add_loop_test(tests, the_checker_sees, 0, (int)(sizeof(damages) / sizeof(*damages)));
    return tests;
}
