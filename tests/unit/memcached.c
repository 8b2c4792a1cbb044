/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What of the Memcached store needs no Memcached: who may have a connection, and when it ends. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <apr_general.h>
#include <apr_network_io.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "memcached_ring.h"

#define MINUTE apr_time_from_sec(61)

static apr_pool_t         *pool;
static mc_conf_t           conf;
static mc_server_t         server;
static apr_interval_time_t later;

/* In place of APR's, whose lists of connections ask it too: what takes minutes is said, and not
 * waited for. */
apr_time_t apr_time_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000 + later;
}

static void setup(void)
{
    ck_assert_int_eq(apr_pool_create(&pool, NULL), APR_SUCCESS);
    memset(&conf, 0, sizeof conf);
    server.host = "127.0.0.1";
    server.port = 1;
    server.weight = 1;
    conf.servers = &server;
    conf.nservers = 1;
    conf.connect_timeout = apr_time_from_sec(50);
}

static void teardown(void)
{
    apr_pool_destroy(pool);
}

static mc_pools_t *pools_of(int most)
{
    mc_pools_t *pools;

    conf.pool = most;
    pools = mc_pools_make(&conf, pool);
    ck_assert_ptr_nonnull(pools);
    return pools;
}

static bsession_call_t call_until(apr_interval_time_t left)
{
    bsession_call_t call = { .pool = pool, .deadline = apr_time_now() + left };

    return call;
}

/* ------------------------------------------------------------------ who waits */

START_TEST(nobody_waits_for_a_connection_beyond_the_deadline)
{
    mc_pools_t *pools = pools_of(1);
    bsession_call_t call = call_until(apr_time_from_msec(100));
    mc_link_t *link, *none;

    ck_assert_int_eq(mc_pools_acquire(pools, 0, &link, &call), APR_SUCCESS);
    ck_assert_int_eq(mc_pools_acquire(pools, 0, &none, &call), APR_TIMEUP);
    ck_assert_int_ge(apr_time_now(), call.deadline);
    ck_assert_int_lt(apr_time_now(), call.deadline + apr_time_from_sec(10));
    ck_assert_str_eq(call.why, "127.0.0.1:1: all connections of pool=1 are in use");
    mc_pools_release(pools, 0, link);
    ck_assert_int_eq(mc_pools_acquire(pools, 0, &none, &call), APR_SUCCESS);
    ck_assert_ptr_eq(link, none);
    mc_pools_release(pools, 0, link);
}
END_TEST

typedef struct {
    mc_pools_t *pools;
    mc_link_t  *link;
} lender_t;

static void *APR_THREAD_FUNC lend(apr_thread_t *thread, void *data)
{
    lender_t *lender = data;

    apr_sleep(apr_time_from_msec(50));
    mc_pools_release(lender->pools, 0, lender->link);
    apr_thread_exit(thread, APR_SUCCESS);
    return NULL;
}

START_TEST(whoever_waits_gets_what_is_given_back)
{
    bsession_call_t call = call_until(apr_time_from_sec(30));
    lender_t lender = { pools_of(1), NULL };
    apr_thread_t *thread;
    apr_status_t status;
    mc_link_t *link;

    ck_assert_int_eq(mc_pools_acquire(lender.pools, 0, &lender.link, &call), APR_SUCCESS);
    ck_assert_int_eq(apr_thread_create(&thread, NULL, lend, &lender, pool), APR_SUCCESS);
    ck_assert_int_eq(mc_pools_acquire(lender.pools, 0, &link, &call), APR_SUCCESS);
    ck_assert_int_lt(apr_time_now(), call.deadline - apr_time_from_sec(10));
    apr_thread_join(&status, thread);
    mc_pools_release(lender.pools, 0, link);
}
END_TEST

/* ------------------------------------------------------------------ when they end */

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

/* Visitors who come once a minute: each finds a connection that has been idle for too long. */
START_TEST(a_child_does_not_grow)
{
    mc_pools_t *pools = pools_of(0);
    long before = 0;
    int i;

    for (i = 0; i < 12000; i++) {
        bsession_call_t call = call_until(apr_time_from_sec(1));
        mc_link_t *link;

        if (i == 3000) {            /* a sanitizer has all that it wants by then */
            before = pages();
        }
        ck_assert_int_eq(mc_pools_acquire(pools, 0, &link, &call), APR_SUCCESS);
        mc_pools_release(pools, 0, link);
        later += MINUTE;
    }
    ck_assert_int_lt(pages(), before + 1000);
}
END_TEST

/* It greets whoever connects, and says nothing more. */
static void *APR_THREAD_FUNC greet(apr_thread_t *thread, void *listener)
{
    apr_pool_t *own = apr_thread_pool_get(thread);
    apr_socket_t *socket;

    while (apr_socket_accept(&socket, listener, own) == APR_SUCCESS) {
        apr_size_t size = strlen("VERSION 1.6.18\r\n");

        apr_socket_send(socket, "VERSION 1.6.18\r\n", &size);
    }
    return NULL;
}

static void begin_server(void)
{
    apr_sockaddr_t *here;
    apr_thread_t *thread;
    apr_socket_t *socket;

    apr_sockaddr_info_get(&here, "127.0.0.1", APR_INET, 0, 0, pool);
    ck_assert_int_eq(apr_socket_create(&socket, APR_INET, SOCK_STREAM, APR_PROTO_TCP, pool),
                     APR_SUCCESS);
    ck_assert_int_eq(apr_socket_bind(socket, here), APR_SUCCESS);
    ck_assert_int_eq(apr_socket_listen(socket, 5), APR_SUCCESS);
    apr_socket_addr_get(&here, APR_LOCAL, socket);
    server.port = here->port;
    ck_assert_int_eq(apr_thread_create(&thread, NULL, greet, socket, pool), APR_SUCCESS);
}

/* Sockets of this process that lead to the server. */
static int open_connections(void)
{
    int fd, count = 0;

    for (fd = 0; fd < 1024; fd++) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;

        count += getpeername(fd, (struct sockaddr *)&peer, &size) == 0
                 && peer.sin_family == AF_INET && ntohs(peer.sin_port) == server.port;
    }
    return count;
}

/* Of many that were in use at once, those that nobody has use for any more end. */
START_TEST(connections_that_nobody_needs_end)
{
    mc_link_t *links[5], *link;
    bsession_call_t call;
    mc_pools_t *pools;
    int i;

    begin_server();
    pools = pools_of(0);
    call = call_until(apr_time_from_sec(30));
    for (i = 0; i < 5; i++) {
        ck_assert_int_eq(mc_pools_acquire(pools, 0, &links[i], &call), APR_SUCCESS);
        ck_assert_msg(mc_link_ready(links[i], &call) == APR_SUCCESS, "%s", call.why);
    }
    for (i = 0; i < 5; i++) {
        mc_pools_release(pools, 0, links[i]);
    }
    ck_assert_int_eq(mc_pools_acquire(pools, 0, &link, &call), APR_SUCCESS);
    mc_pools_release(pools, 0, link);
    ck_assert_int_eq(open_connections(), 5);
    for (i = 0; i < 3; i++) {               /* one is enough for those who come now */
        later += MINUTE / 2;
        call = call_until(apr_time_from_sec(30));
        ck_assert_int_eq(mc_pools_acquire(pools, 0, &link, &call), APR_SUCCESS);
        ck_assert_msg(mc_link_ready(link, &call) == APR_SUCCESS, "%s", call.why);
        mc_pools_release(pools, 0, link);
    }
    ck_assert_int_eq(open_connections(), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memcached");
    TCase *tests = tcase_create("connections");
    SRunner *runner;
    int failed;

    apr_initialize();
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, nobody_waits_for_a_connection_beyond_the_deadline);
    tcase_add_test(tests, whoever_waits_gets_what_is_given_back);
    tcase_add_test(tests, a_child_does_not_grow);
    tcase_add_test(tests, connections_that_nobody_needs_end);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    apr_terminate();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
