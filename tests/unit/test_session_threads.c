/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Eight clients of one session, each in a thread of its own. */

#include "bed.h"

#include <pthread.h>

#include <apr_strings.h>

#define THREADS 8
#define STEPS   100

static bs_token_t token;

static void threads_setup(void)
{
    bed_setup();
    token = bed_session("a", "1", "n", "10", NULL);
}

typedef struct {
    pthread_t thread;
    int       number;
    int       failures;
} client_t;

static void *count_up(void *data)
{
    client_t *client = data;
    char key[8];
    int i;

    apr_snprintf(key, sizeof(key), "k%d", client->number);
    for (i = 0; i < STEPS; i++) {
        apr_pool_t *request;
        bs_session_t *s;

        if (apr_pool_create(&request, NULL) != APR_SUCCESS) {
            client->failures++;
            break;
        }
        s = bs_session_open(request, &bed_terms, &token, 1, NULL, NULL);
        client->failures += bs_session_incr(s, "n", 1, NULL) != APR_SUCCESS;
        client->failures += bs_session_set(s, key, apr_itoa(request, i), i < 10 ? 1 : 2)
                            != APR_SUCCESS;
        client->failures += bs_session_save(s, 0) != APR_SUCCESS;
        apr_pool_destroy(request);
    }
    return NULL;
}

static void eight_clients(void)
{
    client_t clients[THREADS] = { 0 };
    char key[8];
    int i;

    for (i = 0; i < THREADS; i++) {
        clients[i].number = i;
        ck_assert_int_eq(pthread_create(&clients[i].thread, NULL, count_up, &clients[i]), 0);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(clients[i].thread, NULL);
        ck_assert_int_eq(clients[i].failures, 0);
    }
    ck_assert_str_eq(bed_value(&token, "n"), "810");
    for (i = 0; i < THREADS; i++) {
        apr_snprintf(key, sizeof(key), "k%d", i);
        ck_assert_str_eq(bed_value(&token, key), "99");
    }
}

START_TEST(eight_clients_lose_no_step)
{
    eight_clients();
}
END_TEST

/* The bed's merge compares revisions below, and so meets others as well. */
START_TEST(nor_where_the_store_merges)
{
    bed_merge_in_place();
    eight_clients();
}
END_TEST

Suite *session_threads_suite(void)
{
    Suite *suite = suite_create("session_threads");
    TCase *tests = tcase_create("session_threads");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, threads_setup, bed_teardown);
    tcase_add_test(tests, eight_clients_lose_no_step);
    tcase_add_test(tests, nor_where_the_store_merges);
    suite_add_tcase(suite, tests);
    return suite;
}
