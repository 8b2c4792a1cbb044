/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Connections to a node: who may have one, when it ends, and what makes it unfit for the next. */

#include "redis_unit.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "redis_node.h"

typedef apr_status_t (resolver_t)(apr_sockaddr_t **, const char *, apr_int32_t, apr_port_t, apr_int32_t,
                                  apr_pool_t *);

/* In place of APR's: a name with two addresses. */
apr_status_t apr_sockaddr_info_get(apr_sockaddr_t **to, const char *host, apr_int32_t family,
                                   apr_port_t port, apr_int32_t flags, apr_pool_t *p)
{
    resolver_t *resolve = (resolver_t *)dlsym(RTLD_NEXT, "apr_sockaddr_info_get");
    apr_status_t status;

    if (strcmp(host, "two.example") != 0) {
        return resolve(to, host, family, port, flags, p);
    }
    status = resolve(to, "127.0.0.2", family, port, flags, p);
    return status == APR_SUCCESS ? resolve(&(*to)->next, "127.0.0.1", family, port, flags, p) : status;
}

/* ------------------------------------------------------------------ connections */

static redis_node_t *narrow_node(void)
{
    static redis_address_t address = { "127.0.0.1", 1, NULL };
    redis_node_t *node;

    conf.pool = 1;
    conf.login.connect_timeout = apr_time_from_sec(50);
    node = redis_node_make(&conf, &address, pool);
    ck_assert_ptr_nonnull(node);
    return node;
}

static bsession_call_t call_until(apr_interval_time_t left)
{
    bsession_call_t call = { .pool = pool, .deadline = redis_clock() + left };

    return call;
}

START_TEST(nobody_waits_for_a_connection_beyond_the_deadline)
{
    redis_node_t *node = narrow_node();
    bsession_call_t call = call_until(apr_time_from_msec(100));
    redis_link_t *link, *none;

    ck_assert_int_eq(redis_node_acquire(node, &link, &call), APR_SUCCESS);
    ck_assert_int_eq(redis_node_acquire(node, &none, &call), APR_TIMEUP);
    ck_assert_int_ge(redis_clock(), call.deadline);
    ck_assert_int_lt(redis_clock(), call.deadline + apr_time_from_sec(10));
    ck_assert_str_eq(call.why, "127.0.0.1:1: all connections of pool=1 are in use");
    call = call_until(-1);
    ck_assert_int_eq(redis_node_acquire(node, &none, &call), APR_TIMEUP);
    redis_node_release(node, link);
    ck_assert_int_eq(redis_node_acquire(node, &none, &call), APR_SUCCESS);
    ck_assert_ptr_eq(link, none);
    redis_node_release(node, link);
}
END_TEST

typedef struct {
    redis_node_t *node;
    redis_link_t *link;
} lender_t;

static void *APR_THREAD_FUNC lend(apr_thread_t *thread, void *data)
{
    lender_t *lender = data;

    apr_sleep(apr_time_from_msec(50));
    redis_node_release(lender->node, lender->link);
    apr_thread_exit(thread, APR_SUCCESS);
    return NULL;
}

START_TEST(whoever_waits_gets_what_is_given_back)
{
    redis_node_t *node = narrow_node();
    bsession_call_t call = call_until(apr_time_from_sec(30));
    lender_t lender = { node, NULL };
    apr_thread_t *thread;
    apr_status_t status;
    redis_link_t *link;

    ck_assert_int_eq(redis_node_acquire(node, &lender.link, &call), APR_SUCCESS);
    ck_assert_int_eq(apr_thread_create(&thread, NULL, lend, &lender, pool), APR_SUCCESS);
    ck_assert_int_eq(redis_node_acquire(node, &link, &call), APR_SUCCESS);
    ck_assert_int_lt(redis_clock(), call.deadline - apr_time_from_sec(10));
    apr_thread_join(&status, thread);
    redis_node_release(node, link);
}
END_TEST

/* Somewhere that takes connections and says nothing. */
static redis_address_t silent_server(int backlog)
{
    apr_sockaddr_t *here;
    apr_socket_t *socket;

    apr_sockaddr_info_get(&here, "127.0.0.1", APR_INET, 0, 0, pool);
    ck_assert_int_eq(apr_socket_create(&socket, APR_INET, SOCK_STREAM, APR_PROTO_TCP, pool),
                     APR_SUCCESS);
    ck_assert_int_eq(apr_socket_bind(socket, here), APR_SUCCESS);
    ck_assert_int_eq(apr_socket_listen(socket, backlog), APR_SUCCESS);
    apr_socket_addr_get(&here, APR_LOCAL, socket);
    return at("127.0.0.1", here->port);
}

/** Sockets of this process. */
static int open_sockets(void)
{
    struct stat is;
    int fd, count = 0;

    for (fd = 0; fd < 1024; fd++) {
        count += fstat(fd, &is) == 0 && S_ISSOCK(is.st_mode);
    }
    return count;
}

/* Of many that were in use at once, those that nobody has use for any more end. */
START_TEST(connections_that_nobody_needs_end)
{
    redis_address_t address = silent_server(5);
    bsession_call_t call = call_until(apr_time_from_sec(30));
    redis_link_t *links[5], *link;
    int before = open_sockets(), i;
    redis_node_t *node;

    conf.login.connect_timeout = apr_time_from_sec(5);
    node = redis_node_make(&conf, &address, pool);
    for (i = 0; i < 5; i++) {
        ck_assert_int_eq(redis_node_acquire(node, &links[i], &call), APR_SUCCESS);
        ck_assert_int_eq(redis_link_ready(links[i], &call), APR_SUCCESS);
    }
    for (i = 0; i < 5; i++) {
        redis_node_release(node, links[i]);
    }
    for (i = 0; i < 4; i++) {
        later += apr_time_from_sec(30);
        ck_assert_int_eq(redis_node_acquire(node, &link, &call), APR_SUCCESS);
        redis_node_release(node, link);
    }
    ck_assert_int_eq(open_sockets(), before + 1);
}
END_TEST

/* ------------------------------------------------------------------ one connection */

/* The shorter of connect_timeout= and what is left of the call, where nobody takes connections. */
START_TEST(connecting_ends_in_time)
{
    static const apr_interval_time_t patience[][2] = {
        { apr_time_from_msec(50), apr_time_from_sec(40) },
        { apr_time_from_sec(40), apr_time_from_msec(50) }
    };
    redis_address_t address = silent_server(0);
    apr_size_t i;
    int waiting;

    for (i = 0; i < 2; i++) {
        apr_time_t began = redis_clock();
        bsession_call_t call = call_until(patience[i][1]);
        apr_status_t status = APR_SUCCESS;

        conf.login.connect_timeout = patience[i][0];
        for (waiting = 0; waiting < 10 && status == APR_SUCCESS; waiting++) {
            redis_link_t *link;
            apr_pool_t *own;

            apr_pool_create(&own, pool);
            link = redis_link_make(&address, &conf.login, own);
            status = redis_link_ready(link, &call);
        }
        ck_assert_int_eq(status, APR_TIMEUP);
        ck_assert_int_lt(redis_clock() - began, apr_time_from_sec(20));
    }
}
END_TEST

START_TEST(what_waits_for_an_answer_serves_nobody_else)
{
    redis_address_t address = silent_server(5);
    redis_word_t ping = redis_word("PING");
    bsession_call_t call = call_until(apr_time_from_sec(30));
    redis_node_t *node;
    redis_link_t *link;
    int send;

    conf.login.connect_timeout = apr_time_from_sec(20);
    node = redis_node_make(&conf, &address, pool);
    for (send = 0; send < 2; send++) {
        ck_assert_int_eq(redis_node_acquire(node, &link, &call), APR_SUCCESS);
        ck_assert(!redis_link_is_open(link));
        ck_assert_int_eq(redis_link_ready(link, &call), APR_SUCCESS);
        ck_assert(redis_link_is_clean(link));
        ck_assert_int_eq(redis_link_add(link, &ping, 1), APR_SUCCESS);
        ck_assert(!redis_link_is_clean(link));
        if (send) {
            ck_assert_int_eq(redis_link_send(link, &call), APR_SUCCESS);
            ck_assert(!redis_link_is_clean(link));
        }
        redis_node_release(node, link);
    }
    ck_assert_int_eq(redis_node_acquire(node, &link, &call), APR_SUCCESS);
    ck_assert_int_eq(redis_link_ready(link, &call), APR_SUCCESS);
    redis_node_release(node, link);
    ck_assert_int_eq(redis_node_acquire(node, &link, &call), APR_SUCCESS);
    ck_assert(redis_link_is_open(link));
    redis_node_release(node, link);
}
END_TEST

/* The first takes no connections, and does not say so. */
START_TEST(one_address_of_a_name_does_not_hide_the_next)
{
    redis_address_t address = silent_server(5), name = at("two.example", address.port);
    bsession_call_t call = call_until(apr_time_from_sec(30));
    apr_socket_t *hole, *waiting;
    apr_sockaddr_t *there;
    redis_link_t *link;
    apr_pool_t *own;
    int i;

    apr_sockaddr_info_get(&there, "127.0.0.2", APR_INET, address.port, 0, pool);
    apr_socket_create(&hole, APR_INET, SOCK_STREAM, APR_PROTO_TCP, pool);
    ck_assert_int_eq(apr_socket_bind(hole, there), APR_SUCCESS);
    ck_assert_int_eq(apr_socket_listen(hole, 0), APR_SUCCESS);
    for (i = 0; i < 3; i++) {
        apr_socket_create(&waiting, APR_INET, SOCK_STREAM, APR_PROTO_TCP, pool);
        apr_socket_timeout_set(waiting, 0);
        apr_socket_connect(waiting, there);
    }
    conf.login.connect_timeout = apr_time_from_sec(2);
    apr_pool_create(&own, pool);
    link = redis_link_make(&name, &conf.login, own);
    ck_assert_int_eq(redis_link_ready(link, &call), APR_SUCCESS);
    redis_link_free(link);
}
END_TEST

/* AUTH goes first, and its answer is due. */
START_TEST(what_has_not_said_who_it_is_serves_nobody_else)
{
    redis_address_t address = silent_server(5);
    bsession_call_t call = call_until(apr_time_from_sec(30));
    redis_link_t *link;
    apr_pool_t *own;

    conf.login.connect_timeout = apr_time_from_sec(20);
    conf.login.password = "pass";
    apr_pool_create(&own, pool);
    link = redis_link_make(&address, &conf.login, own);
    ck_assert_int_eq(redis_link_ready(link, &call), APR_SUCCESS);
    ck_assert(!redis_link_is_settled(link));
    ck_assert_int_eq(redis_link_send(link, &call), APR_SUCCESS);
    ck_assert(!redis_link_is_clean(link));
    call = call_until(apr_time_from_msec(100));
    ck_assert_int_eq(redis_link_settle(link, &call), APR_TIMEUP);
    ck_assert(!redis_link_is_open(link));
    redis_link_free(link);
}
END_TEST

/* Whom we listen to, and who says to be a master. */
static redis_link_t *link_to_a_master(apr_socket_t **listening, apr_socket_t **master,
                                      bsession_call_t *call)
{
    static const char answer[] = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
    static redis_address_t address;
    apr_size_t len = sizeof answer - 1;
    apr_sockaddr_t *here;
    redis_link_t *link;
    apr_pool_t *own;

    apr_sockaddr_info_get(&here, "127.0.0.1", APR_INET, 0, 0, pool);
    apr_socket_create(listening, APR_INET, SOCK_STREAM, APR_PROTO_TCP, pool);
    ck_assert_int_eq(apr_socket_bind(*listening, here), APR_SUCCESS);
    ck_assert_int_eq(apr_socket_listen(*listening, 1), APR_SUCCESS);
    apr_socket_addr_get(&here, APR_LOCAL, *listening);
    address = at("127.0.0.1", here->port);
    conf.login.connect_timeout = apr_time_from_sec(20);
    conf.login.master = 1;
    apr_pool_create(&own, pool);
    link = redis_link_make(&address, &conf.login, own);
    ck_assert_int_eq(redis_link_ready(link, call), APR_SUCCESS);
    ck_assert_int_eq(redis_link_send(link, call), APR_SUCCESS);
    ck_assert_int_eq(apr_socket_accept(master, *listening, pool), APR_SUCCESS);
    ck_assert_int_eq(apr_socket_send(*master, answer, &len), APR_SUCCESS);
    ck_assert_int_eq(redis_link_settle(link, call), APR_SUCCESS);
    ck_assert(redis_link_is_clean(link));
    return link;
}

/* What a server was a second ago it may not be any more, whatever the clock on the wall says. */
START_TEST(a_clock_that_is_set_back_lets_no_master_be_believed_for_longer)
{
    bsession_call_t call = call_until(apr_time_from_sec(30));
    apr_socket_t *listening, *master;
    redis_link_t *link = link_to_a_master(&listening, &master, &call);

    later = -apr_time_from_sec(3600);
    passed += 2;
    ck_assert_int_eq(redis_link_ready(link, &call), APR_SUCCESS);
    ck_assert(!redis_link_is_clean(link));
    redis_link_free(link);
}
END_TEST

/* Nor is a silent server waited for. */
START_TEST(a_clock_that_is_set_back_prolongs_no_wait)
{
    redis_address_t address = silent_server(5);
    bsession_call_t call = call_until(apr_time_from_sec(20));
    redis_link_t *link = redis_link_make(&address, &conf.login, pool);
    redis_word_t ping = redis_word("PING");
    redisReply *reply;

    conf.login.connect_timeout = apr_time_from_sec(20);
    ck_assert_int_eq(redis_link_ready(link, &call), APR_SUCCESS);
    ck_assert_int_eq(redis_link_add(link, &ping, 1), APR_SUCCESS);
    ck_assert_int_eq(redis_link_send(link, &call), APR_SUCCESS);
    later = -apr_time_from_sec(3600);
    call = call_until(apr_time_from_msec(50));
    ck_assert_int_eq(redis_link_read(link, &reply, &call), APR_TIMEUP);
    ck_assert_int_ge(redis_clock(), call.deadline);
}
END_TEST

TCase *redis_links_case(void)
{
    TCase *tests = tcase_create("connections");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, nobody_waits_for_a_connection_beyond_the_deadline);
    tcase_add_test(tests, whoever_waits_gets_what_is_given_back);
    tcase_add_test(tests, connections_that_nobody_needs_end);
    tcase_add_test(tests, connecting_ends_in_time);
    tcase_add_test(tests, what_waits_for_an_answer_serves_nobody_else);
    tcase_add_test(tests, one_address_of_a_name_does_not_hide_the_next);
    tcase_add_test(tests, what_has_not_said_who_it_is_serves_nobody_else);
    tcase_add_test(tests, a_clock_that_is_set_back_lets_no_master_be_believed_for_longer);
    tcase_add_test(tests, a_clock_that_is_set_back_prolongs_no_wait);
    return tests;
}
