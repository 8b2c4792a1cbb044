/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Many at once: threads of several processes. Checks of the library are not for threads, so these
 * count what went wrong, and the test looks at the count. */

#include "contract.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#define MANY_PROCESSES 2
#define MANY_THREADS   4
#define MANY_ROUNDS    100

/* Shared by all of them. */
typedef struct {
    bsession_key_t key;
    int            begun;           /* threads that stand ready */
    int            wrong;           /* answers that must not be */
    int            created;         /* creates that were answered with success */
    int            removed;         /* the record was removed, and that was answered */
    int            merged;          /* merges that were answered with success */
    apr_status_t   status;          /* one of the wrong answers */
} many_t;

static many_t *many;

static void many_wrong(apr_status_t status)
{
    __atomic_store_n(&many->status, status, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&many->wrong, 1, __ATOMIC_SEQ_CST);
}

static bsession_call_t many_call(apr_pool_t *call_pool)
{
    bsession_call_t call;

    memset(&call, 0, sizeof(call));
    call.deadline = apr_time_now() + apr_time_from_sec(10);
    call.pool = call_pool;
    return call;
}

/* All threads of all processes begin together. */
static void many_ready(void)
{
    __atomic_fetch_add(&many->begun, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&many->begun, __ATOMIC_SEQ_CST) < MANY_PROCESSES * MANY_THREADS) {
        sched_yield();
    }
}

static int many_process(void *(*thread)(void *))
{
    pthread_t threads[MANY_THREADS];
    apr_pool_t *pchild;
    int i;

    apr_pool_create(&pchild, NULL);
    if (provider->child_init) {
        bsession_call_t call = many_call(pchild);

        if (provider->child_init(backend, pchild, &call) != APR_SUCCESS) {
            return EXIT_FAILURE;
        }
    }
    for (i = 0; i < MANY_THREADS; i++) {
        if (pthread_create(&threads[i], NULL, thread, NULL) != 0) {
            return EXIT_FAILURE;
        }
    }
    for (i = 0; i < MANY_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    apr_pool_destroy(pchild);
    return EXIT_SUCCESS;
}

static void many_run(void *(*thread)(void *))
{
    pid_t children[MANY_PROCESSES];
    int i;

    for (i = 0; i < MANY_PROCESSES; i++) {
        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0) {
            _exit(many_process(thread));
        }
    }
    for (i = 0; i < MANY_PROCESSES; i++) {
        int status;

        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_msg(many->wrong == 0, "%d wrong answers, one of them %s", many->wrong,
                  contract_name(many->status));
}

static void many_setup(void)
{
    contract_setup();
    many = mmap(NULL, sizeof(*many), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(many, MAP_FAILED);
    memset(many, 0, sizeof(*many));
    many->key = contract_key('s');
}

static void many_teardown(void)
{
    munmap(many, sizeof(*many));
    contract_teardown();
}

/* ------------------------------------------------------------------ increments */

/* One merge of n + 1 on what is loaded now. */
static apr_status_t many_increment(apr_pool_t *p)
{
    bsession_change_t change = { BSESSION_INCR, { "n", 1 }, { NULL, 0 }, 1 };
    bsession_call_t call = many_call(p);
    bsession_record_t record;
    bsession_saved_t saved = { 0, NULL };
    bsession_save_t save = { .mode = BSESSION_MERGE, .record = &record, .changes = &change,
                             .nchanges = 1 };
    apr_status_t status = provider->load(backend, &many->key, &record, &call);

    if (status != APR_SUCCESS) {
        return status;
    }
    save.base = record.revision;
    record.expires = BSESSION_KEEP;
    record.fields.list[0].value = contract_bytes(
        apr_ltoa(p, atol(record.fields.list[0].value.data) + 1));
    call = many_call(p);
    return provider->save(backend, &many->key, &save, &saved, &call);
}

/* Until it succeeds: of all who met the same base one goes on, so this comes to an end. */
static void many_until_done(apr_status_t (*step)(apr_pool_t *))
{
    apr_pool_t *p;
    int i;

    apr_pool_create(&p, NULL);
    many_ready();
    for (i = 0; i < MANY_ROUNDS; i++) {
        apr_status_t status;

        do {
            apr_pool_clear(p);
            status = step(p);
        } while (status == APR_EMISMATCH);
        if (status != APR_SUCCESS) {
            many_wrong(status);
        }
    }
    apr_pool_destroy(p);
}

static void *many_increments(void *unused)
{
    many_until_done(many_increment);
    return unused;
}

START_TEST(no_increment_is_lost)
{
    bsession_record_t loaded;

    contract_is(contract_save(BSESSION_CREATE, &many->key, 100, contract_record("n", "0", NULL)),
                APR_SUCCESS);
    many_run(many_increments);
    contract_is(contract_load(&many->key, &loaded), APR_SUCCESS);
    ck_assert_int_eq(apr_atoi64(contract_value(&loaded, "n")->data),
                     MANY_PROCESSES * MANY_THREADS * MANY_ROUNDS);
    ck_assert_uint_eq(loaded.revision, 100 + MANY_PROCESSES * MANY_THREADS * MANY_ROUNDS);
}
END_TEST

/* ------------------------------------------------------------------ wholes */

/* What only the core can read, as a sealed record is: one field, which is stored as a whole or not
 * at all. In it a number, between bytes that are no text. */
typedef struct {
    char     before[20];
    unsigned number;
    char     after[20];
} many_whole_t;

static apr_status_t many_replace(apr_pool_t *p)
{
    bsession_call_t call = many_call(p);
    bsession_record_t record;
    bsession_saved_t saved = { 0, NULL };
    bsession_save_t save = { .mode = BSESSION_REPLACE, .record = &record };
    many_whole_t whole;
    apr_status_t status = provider->load(backend, &many->key, &record, &call);

    if (status != APR_SUCCESS) {
        return status;
    }
    if (record.fields.count != 1 || record.fields.list[0].value.len != sizeof(whole)) {
        return APR_EGENERAL;
    }
    memcpy(&whole, record.fields.list[0].value.data, sizeof(whole));
    whole.number++;
    record.fields.list[0].value.data = (const char *)&whole;
    save.base = record.revision;
    call = many_call(p);
    return provider->save(backend, &many->key, &save, &saved, &call);
}

static void *many_replaces(void *unused)
{
    many_until_done(many_replace);
    return unused;
}

START_TEST(no_whole_is_lost)
{
    bsession_record_t *record = contract_record(NULL);
    many_whole_t whole = { "\0\xff\r\n before", 0, "after \0\x80" };

    contract_field(record, "sealed", 6, (const char *)&whole, sizeof(whole));
    contract_is(contract_save(BSESSION_CREATE, &many->key, 100, record), APR_SUCCESS);
    many_run(many_replaces);
    whole.number = MANY_PROCESSES * MANY_THREADS * MANY_ROUNDS;
    contract_holds(&many->key, record, 100 + whole.number);
}
END_TEST

/* ------------------------------------------------------------------ creates */

/* Each round has a key of its own, made of the first. */
static void *many_creates(void *unused)
{
    apr_pool_t *p;
    int i;

    apr_pool_create(&p, NULL);
    many_ready();
    for (i = 0; i < MANY_ROUNDS; i++) {
        bsession_record_t record = { .epoch = 1 };
        bsession_save_t save = { .mode = BSESSION_CREATE, .base = 5, .record = &record };
        bsession_saved_t saved = { 0, NULL };
        bsession_call_t call = many_call(p);
        bsession_key_t key = many->key;
        apr_status_t status;

        key.bytes[15] = (unsigned char)i;
        status = provider->save(backend, &key, &save, &saved, &call);
        if (status == APR_SUCCESS) {
            __atomic_fetch_add(&many->created, 1, __ATOMIC_SEQ_CST);
        }
        else if (status != APR_EEXIST) {
            many_wrong(status);
        }
        apr_pool_clear(p);
    }
    apr_pool_destroy(p);
    return unused;
}

START_TEST(one_create_of_many_wins)
{
    many_run(many_creates);
    ck_assert_int_eq(many->created, MANY_ROUNDS);
}
END_TEST

/* ------------------------------------------------------------------ removes */

/* Writers go on until the record is gone for them; one of them removes it meanwhile. What begins
 * after that was answered finds nothing and brings nothing back. */
static void *many_removes(void *unused)
{
    int first = __atomic_fetch_add(&many->created, 1, __ATOMIC_SEQ_CST) == 0;
    apr_status_t status = APR_SUCCESS;
    apr_pool_t *p;

    apr_pool_create(&p, NULL);
    many_ready();
    while (status == APR_SUCCESS || status == APR_EMISMATCH) {
        int removed = __atomic_load_n(&many->removed, __ATOMIC_SEQ_CST);

        apr_pool_clear(p);
        if (first && __atomic_load_n(&many->merged, __ATOMIC_SEQ_CST) > 100) {
            bsession_call_t call = many_call(p);

            if (provider->remove(backend, &many->key, 0, &call) != APR_SUCCESS) {
                many_wrong(APR_EGENERAL);
            }
            __atomic_store_n(&many->removed, 1, __ATOMIC_SEQ_CST);
            removed = 1;
        }
        status = many_increment(p);
        if (status == APR_SUCCESS) {
            __atomic_fetch_add(&many->merged, 1, __ATOMIC_SEQ_CST);
        }
        if (removed && status != APR_NOTFOUND) {
            many_wrong(status);
        }
    }
    if (status != APR_NOTFOUND) {
        many_wrong(status);
    }
    apr_pool_destroy(p);
    return unused;
}

START_TEST(nothing_in_flight_brings_a_record_back)
{
    contract_is(contract_save(BSESSION_CREATE, &many->key, 100, contract_record("n", "0", NULL)),
                APR_SUCCESS);
    many_run(many_removes);
    ck_assert_int_eq(many->removed, 1);
    contract_absent(&many->key);
}
END_TEST

/* ------------------------------------------------------------------ processes */

static int fork_child(const bsession_key_t *key)
{
    bsession_record_t record;
    bsession_save_t save = { .mode = BSESSION_REPLACE, .base = 100, .record = &record };
    bsession_saved_t saved = { 0, NULL };
    bsession_call_t call;
    apr_pool_t *pchild;

    apr_pool_create(&pchild, NULL);
    call = many_call(pchild);
    if (provider->child_init && provider->child_init(backend, pchild, &call) != APR_SUCCESS) {
        return 1;
    }
    if (provider->load(backend, key, &record, &call) != APR_SUCCESS || record.revision != 100
        || record.fields.count != 1) {
        return 2;
    }
    record.fields.list[0].value = contract_bytes("child");
    return provider->save(backend, key, &save, &saved, &call) == APR_SUCCESS ? 0 : 3;
}

START_TEST(processes_see_each_other)
{
    bsession_key_t key = contract_created(contract_record("who", "parent", NULL), 100);
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        _exit(fork_child(&key));
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    contract_holds(&key, contract_record("who", "child", NULL), 101);
}
END_TEST

TCase *contract_many_case(void)
{
    TCase *tests = tcase_create("many at once");

    tcase_add_checked_fixture(tests, many_setup, many_teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, no_increment_is_lost);
    tcase_add_test(tests, no_whole_is_lost);
    tcase_add_test(tests, one_create_of_many_wins);
    tcase_add_test(tests, nothing_in_flight_brings_a_record_back);
    tcase_add_test(tests, processes_see_each_other);
    return tests;
}
