/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What of the Redis store needs no server: which slot a key falls into, and who owns it. */

#include "redis_unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "redis_slots.h"
#include "redis_topology.h"

#define HOUR     3600
#define LONG_AGO apr_time_from_sec(HOUR)
#define NUMBERS  (BSESSION_NODES - 1)       /* that nodes can have */

apr_pool_t         *pool;
redis_conf_t        conf;
apr_interval_time_t later;
int                 passed;

static redis_slots_t slots;

/* In place of APR's, whose lists of connections ask it too. */
apr_time_t apr_time_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000 + later;
}

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    long error = syscall(SYS_clock_gettime, clock, now);

    now->tv_sec += clock == CLOCK_MONOTONIC ? passed : 0;
    return (int)error;
}

static void setup(void)
{
    ck_assert_int_eq(apr_pool_create(&pool, NULL), APR_SUCCESS);
    memset(&conf, 0, sizeof conf);
    conf.layout = REDIS_CLUSTER;
    ck_assert(redis_slots_init(&slots, &conf, pool));
}

static void teardown(void)
{
    apr_pool_destroy(pool);
}

redis_address_t at(const char *host, apr_port_t port)
{
    redis_address_t address = { host, port, NULL };

    return address;
}

/* ------------------------------------------------------------------ where a key is */

START_TEST(a_key_falls_into_the_slot_that_servers_say)
{
    /* as a server answers CLUSTER KEYSLOT */
    static const struct {
        const char *key;
        int         slot;
    } known[] = {
        { "", 0 }, { "123456789", 12739 }, { "foo", 12182 }, { "user1000", 3443 },
        { "{user1000}.following", 3443 }, { "foo{}{bar}", 8363 }, { "foo{{bar}}zap", 4015 },
        { "{bar", 4015 }, { "foo{bar}{zap}", 5061 }, { "bar", 5061 }, { "foo{bar", 15278 },
        { "}{a}", 15495 }, { "bs:s5f0c8a31d2b74e6690aa41c7e2d8b935", 7431 }
    };
    apr_size_t i;

    for (i = 0; i < sizeof known / sizeof *known; i++) {
        ck_assert_int_eq(redis_cluster_slot(known[i].key, strlen(known[i].key)), known[i].slot);
    }
}
END_TEST

START_TEST(a_redirection_says_where)
{
    redis_address_t from = at("10.0.0.1", 7000), to;

    ck_assert_int_eq(redis_cluster_redirection("MOVED 3999 10.0.0.2:6381", &from, &to, pool), 3999);
    ck_assert_str_eq(to.host, "10.0.0.2");
    ck_assert_int_eq(to.port, 6381);
    ck_assert_int_eq(redis_cluster_redirection("ASK 0 ::1:6381", &from, &to, pool), 0);
    ck_assert_str_eq(to.host, "::1");
    ck_assert_int_eq(redis_cluster_redirection("MOVED 16383 node.example:1", &from, &to, pool),
                     16383);
    ck_assert_str_eq(to.host, "node.example");
    /* one that does not know its own name leaves it out: it is where it was asked */
    ck_assert_int_eq(redis_cluster_redirection("MOVED 5 :65535", &from, &to, pool), 5);
    ck_assert_str_eq(to.host, "10.0.0.1");
    ck_assert_int_eq(to.port, 65535);
}
END_TEST

START_TEST(a_redirection_that_says_nothing)
{
    static const char *const said[] = {
        "MOVED", "MOVED ", "MOVED 5", "MOVED 5 ", "MOVED 5 host", "MOVED 5 host:", "MOVED 5 host:0",
        "MOVED 5 host:65536", "MOVED 5 host:-1", "MOVED -1 host:1", "MOVED 16384 host:1",
        "MOVED 5 ?:6379", "MOVED 5x host:1", "MOVED x host:1", "MOVED  5 host:1", "MOVED +5 host:1",
        "MOVED 5 host:1x", "MOVED 5 host: 1", "MOVED 5 host:+1", "MOVED 0x5 host:1",
        "MOVED 99999999999999999999 host:1", "MOVED 5 host:99999999999999999999"
    };
    redis_address_t from = at("10.0.0.1", 7000), to;
    apr_size_t i;

    for (i = 0; i < sizeof said / sizeof *said; i++) {
        ck_assert_int_eq(redis_cluster_redirection(said[i], &from, &to, pool), -1);
    }
}
END_TEST

/* ------------------------------------------------------------------ who owns what */

/* What is read from CLUSTER SLOTS with so many ranges alike, whose ends and address are `range`. */
static apr_status_t told_slots(int count, const char *range, apr_array_header_t *ranges,
                               bsession_call_t *call)
{
    redis_address_t from = at("10.0.0.1", 7000);
    redisReader *reader = redis_reader_make();
    redisReply *reply;
    char head[16];
    apr_status_t status;

    redisReaderFeed(reader, head, (size_t)apr_snprintf(head, sizeof head, "*%d\r\n", count));
    while (count--) {
        redisReaderFeed(reader, range, strlen(range));
    }
    ck_assert_int_eq(redis_reader_next(reader, &reply, pool), REDIS_OK);
    ck_assert_ptr_nonnull(reply);
    status = redis_cluster_read(&from, reply, ranges, call);
    redisReaderFree(reader);
    return status;
}

START_TEST(slots_have_owners_by_the_word_of_a_node)
{
    static const struct {
        const char *master;             /* of all slots */
        const char *host;               /* NULL: nobody is named */
        int         port;
    } told[] = {
        { "*2\r\n$9\r\n127.0.0.1\r\n:7001\r\n", "127.0.0.1", 7001 },
        { "*4\r\n$3\r\n::1\r\n:7001\r\n$2\r\nid\r\n*0\r\n", "::1", 7001 },
        { "*4\r\n$4\r\nname\r\n:1\r\n$2\r\nid\r\n*2\r\n$2\r\nip\r\n$3\r\n::1\r\n", "name", 1 },
        /* where it was asked */
        { "*2\r\n$0\r\n\r\n:7001\r\n", "10.0.0.1", 7001 },
        { "*2\r\n$-1\r\n:7001\r\n", "10.0.0.1", 7001 },
        /* a name that it should have, and has not */
        { "*2\r\n$1\r\n?\r\n:7001\r\n", NULL, 0 },
        { "*2\r\n$1\r\na\r\n:0\r\n", NULL, 0 }, { "*2\r\n$1\r\na\r\n:65536\r\n", NULL, 0 },
        { "*2\r\n$1\r\na\r\n$1\r\n1\r\n", NULL, 0 }, { "*1\r\n$1\r\na\r\n", NULL, 0 },
        { "*-1\r\n", NULL, 0 }
    };
    apr_size_t i;

    for (i = 0; i < sizeof told / sizeof *told; i++) {
        apr_array_header_t *ranges = apr_array_make(pool, 1, sizeof(redis_range_t));
        bsession_call_t call = { .pool = pool };
        const char *range = apr_pstrcat(pool, "*3\r\n:0\r\n:16383\r\n", told[i].master, NULL);
        apr_status_t status = told_slots(1, range, ranges, &call);

        ck_assert_msg((status == APR_SUCCESS) == !!told[i].host && ranges->nelts == !!told[i].host
                      && !call.why[0] == !!told[i].host, "%d", (int)i);
        if (told[i].host) {
            ck_assert_str_eq(APR_ARRAY_IDX(ranges, 0, redis_range_t).address.host, told[i].host);
            ck_assert_int_eq(APR_ARRAY_IDX(ranges, 0, redis_range_t).address.port, told[i].port);
        }
    }
}
END_TEST

#define ONE_SLOT  "*3\r\n:7\r\n:7\r\n*2\r\n$1\r\na\r\n:1\r\n"
#define ALL_SLOTS "*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\na\r\n:1\r\n"

/* Nobody walks through all slots as often as a node has the cheek to name them. */
START_TEST(a_slot_is_named_once)
{
    apr_array_header_t *ranges = apr_array_make(pool, 1, sizeof(redis_range_t));
    bsession_call_t call = { .pool = pool };

    ck_assert_int_eq(told_slots(REDIS_SLOTS, ONE_SLOT, ranges, &call), APR_SUCCESS);
    ck_assert_int_eq(ranges->nelts, REDIS_SLOTS);
    ranges->nelts = 0;
    ck_assert_int_ne(told_slots(REDIS_SLOTS + 1, ONE_SLOT, ranges, &call), APR_SUCCESS);
    ck_assert_int_eq(ranges->nelts, 0);
    ck_assert_int_ne(told_slots(200000, ALL_SLOTS, ranges, &call), APR_SUCCESS);
    ck_assert_int_eq(ranges->nelts, 0);
    ck_assert_ptr_nonnull(strstr(call.why, "more slots than there are"));
}
END_TEST

/* The slots, in even parts, of so many of these: `host` is what their addresses begin with. */
static void owned_by(const char *host, int count)
{
    apr_array_header_t *ranges = apr_array_make(pool, count, sizeof(redis_range_t));
    int i;

    for (i = 0; i < count; i++) {
        redis_range_t range = { at(apr_psprintf(pool, "%s%d", host, i), 7000),
                                REDIS_SLOTS * i / count, REDIS_SLOTS * (i + 1) / count - 1 };

        APR_ARRAY_PUSH(ranges, redis_range_t) = range;
    }
    redis_slots_apply(&slots, ranges);
}

static redis_node_t *node_at(const char *host)
{
    redis_address_t address = at(host, 7000);

    return redis_slots_node_at(&slots, &address);
}

START_TEST(owners_are_those_that_were_named_last)
{
    redis_node_t *first;

    owned_by("a", 3);
    first = node_at("a0");
    ck_assert_ptr_eq(slots.owner[0], first);
    ck_assert_ptr_eq(slots.owner[5460], first);
    ck_assert_ptr_eq(slots.owner[5461], node_at("a1"));
    ck_assert_ptr_eq(slots.owner[REDIS_SLOTS - 1], node_at("a2"));
    ck_assert_int_eq(first->slots, 5461);
    ck_assert_int_eq(slots.nodes->nelts, 3);
    owned_by("a", 2);
    ck_assert_ptr_eq(node_at("a0"), first);
    ck_assert_int_eq(first->slots, REDIS_SLOTS / 2);
    ck_assert_int_eq(node_at("a2")->slots, 0);
    redis_slots_apply(&slots, apr_array_make(pool, 1, sizeof(redis_range_t)));
    ck_assert_ptr_null(slots.owner[0]);
    ck_assert_int_eq(first->slots, 0);
}
END_TEST

START_TEST(a_slot_changes_hands)
{
    apr_uint64_t before;

    owned_by("a", 2);
    before = redis_slots_mark(&slots);
    redis_slots_own(&slots, 0, node_at("a0"));
    ck_assert_uint_eq(redis_slots_mark(&slots), before);
    redis_slots_own(&slots, 0, node_at("a1"));
    ck_assert_uint_ne(redis_slots_mark(&slots), before);
    ck_assert_int_eq(node_at("a0")->slots, REDIS_SLOTS / 2 - 1);
    ck_assert_int_eq(node_at("a1")->slots, REDIS_SLOTS / 2 + 1);
    redis_slots_own(&slots, 0, node_at("a0"));
    ck_assert_uint_eq(redis_slots_mark(&slots), before);
    redis_slots_own(&slots, 0, NULL);
    ck_assert_uint_ne(redis_slots_mark(&slots), before);
}
END_TEST

START_TEST(a_doubt_ends_when_owners_are_named)
{
    owned_by("a", 3);
    node_at("a1")->doubted = 1;
    owned_by("a", 3);
    ck_assert_int_eq(node_at("a1")->doubted, 0);
}
END_TEST

/* Children that know of the same owners number them alike, whoever else they knew before. */
START_TEST(owners_have_numbers_of_their_own)
{
    unsigned numbers[NUMBERS];
    char taken[BSESSION_NODES] = "x";       /* 0 is what nobody owns: its failures are no node's */
    int i;

    owned_by("n", NUMBERS);
    for (i = 0; i < NUMBERS; i++) {
        numbers[i] = node_at(apr_psprintf(pool, "n%d", i))->number;
        ck_assert_uint_lt(numbers[i], BSESSION_NODES);
        ck_assert_int_eq(taken[numbers[i]]++, 0);
    }
    teardown();
    setup();
    owned_by("m", 40);
    owned_by("n", NUMBERS);
    for (i = 0; i < NUMBERS; i++) {
        ck_assert_uint_eq(node_at(apr_psprintf(pool, "n%d", i))->number, numbers[i]);
    }
    owned_by("n", 3 * BSESSION_NODES);
    for (i = 0; i < 3 * BSESSION_NODES; i++) {
        ck_assert_uint_lt(node_at(apr_psprintf(pool, "n%d", i))->number, BSESSION_NODES);
        ck_assert_uint_gt(node_at(apr_psprintf(pool, "n%d", i))->number, 0);
    }
}
END_TEST

/* A child's pool is everybody's, and a thread that learns of a node may take nothing from it. */
START_TEST(a_childs_pool_is_left_alone)
{
    const char *before = apr_palloc(pool, 8);

    ck_assert_ptr_nonnull(redis_topology_make(&conf, pool));
    ck_assert_ptr_eq((const char *)apr_palloc(pool, 8), before + 8);
}
END_TEST

/* ------------------------------------------------------------------ who goes */

START_TEST(a_node_goes_when_nobody_needs_it)
{
    redis_node_t *used, *late;

    owned_by("a", 3);
    used = node_at("a0");
    late = node_at("a1");
    used->users = 1;
    owned_by("b", 1);
    node_at("a0")->used = node_at("a2")->used = node_at("b0")->used = redis_clock() - LONG_AGO;
    redis_slots_sweep(&slots);
    ck_assert_int_eq(slots.nodes->nelts, 3);        /* a2 has gone */
    ck_assert_ptr_eq(node_at("a0"), used);
    ck_assert_ptr_eq(node_at("a1"), late);          /* nobody had use for it, but only since now */
    used->users = 0;
    late->used -= LONG_AGO;
    redis_slots_sweep(&slots);
    ck_assert_int_eq(slots.nodes->nelts, 1);
    ck_assert_ptr_eq(slots.owner[0], node_at("b0"));
}
END_TEST

static void link_was_used(redis_node_t *node)
{
    bsession_call_t call = { .pool = pool };
    redis_link_t *link;

    ck_assert_int_eq(redis_node_acquire(node, &link, &call), APR_SUCCESS);
    redis_node_release(node, link);
}

#ifdef __SANITIZE_ADDRESS__
#define GROWTH 100000                   /* it keeps what was freed for a while */
#else
#define GROWTH 300
#endif

/* Pages of this process: APR's pools may take theirs past malloc, which then says nothing. */
static long pages(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long all, resident = 0;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld %ld", &all, &resident), 2);
    fclose(file);
    return resident;
}

/* Failovers to servers that nobody has seen before, on and on. */
START_TEST(a_child_does_not_grow)
{
    apr_pool_t *process = pool;
    long before = 0;
    int i;

    for (i = 0; i < 3000; i++) {
        if (i == 300) {
            before = pages();
        }
        apr_pool_create(&pool, process);
        owned_by(apr_psprintf(pool, "host-%d-", i), 3);
        link_was_used(slots.owner[0]);
        apr_pool_destroy(pool);
        later += LONG_AGO;
        passed += HOUR;
    }
    pool = process;
    redis_slots_sweep(&slots);
    passed = 0;                             /* check measures by that clock */
    ck_assert_int_lt(pages(), before + GROWTH);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis");
    TCase *tests = tcase_create("slots and nodes"), *links = redis_links_case();
    SRunner *runner;
    int failed;

    apr_initialize();
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(links, setup, teardown);
    tcase_add_test(tests, a_key_falls_into_the_slot_that_servers_say);
    tcase_add_test(tests, a_redirection_says_where);
    tcase_add_test(tests, a_redirection_that_says_nothing);
    tcase_add_test(tests, slots_have_owners_by_the_word_of_a_node);
    tcase_add_test(tests, a_slot_is_named_once);
    tcase_add_test(tests, owners_are_those_that_were_named_last);
    tcase_add_test(tests, a_slot_changes_hands);
    tcase_add_test(tests, a_doubt_ends_when_owners_are_named);
    tcase_add_test(tests, owners_have_numbers_of_their_own);
    tcase_add_test(tests, a_childs_pool_is_left_alone);
    tcase_add_test(tests, a_node_goes_when_nobody_needs_it);
    tcase_add_test(tests, a_child_does_not_grow);
    redis_replies_add(tests);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, links);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    apr_terminate();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
