/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "bed.h"

#include <string.h>

#include "mod_bsession.h"

static bs_token_t token;                /* of a session that is stored */

static void store_setup(void)
{
    bed_setup();
    token = bed_session("a", "1", NULL);
    memset(&bed_shared, 0, sizeof(bed_shared));
}

static bs_caller_t caller(void)
{
    return (bs_caller_t) { .pool = pool };
}

static apr_status_t load(void)
{
    bs_caller_t by = caller();
    bsession_record_t record;
    bsession_key_t key;

    bs_token_key(&token, &key);
    return bs_store_load(&bed_store, &by, &key, &record);
}

static apr_status_t touch(void)
{
    bs_caller_t by = caller();
    bsession_key_t key;

    bs_token_key(&token, &key);
    return bs_store_touch(&bed_store, &by, &key, apr_time_now() + BED_IDLE);
}

static apr_status_t remove_it(apr_uint64_t revision)
{
    bs_caller_t by = caller();
    bsession_key_t key;

    bs_token_key(&token, &key);
    return bs_store_remove(&bed_store, &by, &key, revision);
}

/* A save under `base`, of what is stored but for its life. */
static apr_status_t save(bsession_save_mode_t mode, apr_uint64_t base, bsession_saved_t *saved)
{
    bs_caller_t by = caller();
    bed_stored_t *stored = bed_stored(&token);
    bsession_save_t what = { .mode = mode, .base = base, .record = &stored->record };
    bsession_key_t key;

    bs_token_key(&token, &key);
    return bs_store_save(&bed_store, &by, &key, &what, saved);
}

static apr_uint64_t times_of(bs_verb_t verb)
{
    apr_uint64_t sum = 0;
    int i;

    for (i = 0; i < BS_TIME_BUCKETS; i++) {
        sum += bed_shared.times[verb][i];
    }
    return sum;
}

static void fail_loads(int times)
{
    int i;

    bed_answer(BS_VERB_LOAD, BED_OUTAGE, times);
    for (i = 0; i < times; i++) {
        bed_is(load(), BED_OUTAGE);
    }
}

/* The time of rest is over: the moment is moved, and nobody waits for it. */
static void let_it_rest(void)
{
    ck_assert_uint_ne(bed_shared.nodes[0].open_until, 0);
    bed_shared.nodes[0].open_until = 1;
}

/* ---- answers and outages ---- */

/* How many outages are counted when a load has this result. */
static apr_uint64_t unknown_after(apr_status_t status)
{
    memset(&bed_shared, 0, sizeof(bed_shared));
    if (status != APR_SUCCESS) {
        bed_answer(BS_VERB_LOAD, status, 1);
    }
    bed_is(load(), status);
    ck_assert_uint_eq(bed_shared.nodes[0].failures, bed_shared.outcomes[BS_VERB_LOAD][BS_UNKNOWN]);
    return bed_shared.outcomes[BS_VERB_LOAD][BS_UNKNOWN];
}

START_TEST(what_is_an_answer)
{
    static const apr_status_t answers[] = {
        APR_SUCCESS, APR_NOTFOUND, APR_EEXIST, APR_EMISMATCH, APR_ENOSPC, APR_ENOTIMPL, BSESSION_ECORRUPT
    };
    static const apr_status_t outages[] = {
        APR_TIMEUP, APR_ECONNREFUSED, APR_EGENERAL, APR_EINVAL, APR_ENOMEM, APR_EOF, APR_ENOENT, -1
    };
    apr_size_t i;

    for (i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        ck_assert_uint_eq(unknown_after(answers[i]), 0);
    }
    for (i = 0; i < sizeof(outages) / sizeof(*outages); i++) {
        ck_assert_uint_eq(unknown_after(outages[i]), 1);
    }
}
END_TEST

START_TEST(the_verbs_reach_the_store)
{
    apr_uint64_t revision = bed_stored(&token)->record.revision;
    bsession_saved_t saved;

    bed_is(load(), APR_SUCCESS);
    bed_is(save(BSESSION_REPLACE, revision, &saved), APR_SUCCESS);
    ck_assert_uint_eq(saved.revision, revision + 1);
    bed_is(save(BSESSION_REPLACE, revision, &saved), APR_EMISMATCH);
    ck_assert_uint_eq(saved.revision, 0);       /* cleared, though it was used before */
    bed_is(touch(), APR_SUCCESS);
    bed_is(remove_it(revision), APR_EMISMATCH);
    bed_is(remove_it(revision + 1), APR_SUCCESS);
    bed_is(remove_it(0), APR_NOTFOUND);
    bed_is(load(), APR_NOTFOUND);
    bed_is(touch(), APR_NOTFOUND);
}
END_TEST

START_TEST(each_call_is_counted)
{
    static const apr_status_t statuses[] = {
        APR_SUCCESS, APR_NOTFOUND, APR_EEXIST, APR_EMISMATCH, APR_ENOSPC, BSESSION_ECORRUPT,
        APR_ENOTIMPL, APR_TIMEUP
    };
    bsession_saved_t saved;
    apr_size_t i;

    for (i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
        bed_answer(BS_VERB_SAVE, statuses[i], 1);
        bed_is(save(BSESSION_REPLACE, 1, &saved), statuses[i]);
    }
    ck_assert_uint_eq(times_of(BS_VERB_SAVE), 8);
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_SAVE][BS_DONE], 0);   /* the times say it */
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_SAVE][BS_MISSED], 1);
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_SAVE][BS_CONFLICT], 2);
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_SAVE][BS_UNFIT], 3);
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_SAVE][BS_UNKNOWN], 1);
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_SAVE][BS_SPARED], 0);
    ck_assert_uint_eq(times_of(BS_VERB_LOAD) + times_of(BS_VERB_TOUCH), 0);
    bed_is(load(), APR_SUCCESS);
    bed_is(touch(), APR_SUCCESS);
    bed_is(remove_it(0), APR_SUCCESS);
    ck_assert_uint_eq(times_of(BS_VERB_LOAD), 1);
    ck_assert_uint_eq(times_of(BS_VERB_TOUCH), 1);
    ck_assert_uint_eq(times_of(BS_VERB_REMOVE), 1);
}
END_TEST

START_TEST(events_are_counted)
{
    bs_store_count(&bed_store, BS_ROTATED);
    bs_store_count(&bed_store, BS_ROTATED);
    bs_store_count(&bed_store, BS_DESTROYED);
    ck_assert_uint_eq(bed_events(BS_ROTATED), 2);
    ck_assert_uint_eq(bed_events(BS_DESTROYED), 1);
    ck_assert_uint_eq(bed_events(BS_CREATED), 0);
}
END_TEST

START_TEST(each_call_has_a_deadline)
{
    apr_time_t before = apr_time_now();
    bs_caller_t by = caller();
    bsession_record_t record;
    bsession_key_t key;

    bs_token_key(&token, &key);
    bed_is(load(), APR_SUCCESS);
    ck_assert_int_ge(bed_deadline(), before + bed_store.timeout);
    ck_assert_int_le(bed_deadline(), apr_time_now() + bed_store.timeout);
    by.deadline = before + 12345678;
    bed_is(bs_store_load(&bed_store, &by, &key, &record), APR_SUCCESS);
    ck_assert_int_eq(bed_deadline(), before + 12345678);
}
END_TEST

/* ---- the breaker ---- */

START_TEST(five_outages_and_then_the_store_is_spared)
{
    int calls;

    fail_loads(5);
    calls = bed_all_calls();
    bed_is(load(), BS_ESPARED);
    bed_is(touch(), BS_ESPARED);
    bed_is(remove_it(0), BS_ESPARED);
    ck_assert_int_eq(bed_all_calls(), calls);
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_LOAD][BS_SPARED], 1);
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_TOUCH][BS_SPARED], 1);
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_REMOVE][BS_SPARED], 1);
    ck_assert_uint_eq(bed_shared.outcomes[BS_VERB_LOAD][BS_UNKNOWN], 5);
    ck_assert_uint_eq(times_of(BS_VERB_LOAD), 5);
    ck_assert_uint_eq(times_of(BS_VERB_TOUCH), 0);
    ck_assert(bs_store_is_open(&bed_store, NULL));
    let_it_rest();
    bed_is(load(), APR_SUCCESS);
    ck_assert(!bs_store_is_open(&bed_store, NULL));
    bed_is(touch(), APR_SUCCESS);
}
END_TEST

START_TEST(failures_of_all_verbs_are_one_row)
{
    bsession_saved_t saved;

    bed_answer(BS_VERB_LOAD, APR_TIMEUP, 2);
    bed_answer(BS_VERB_TOUCH, APR_ECONNRESET, 1);
    bed_answer(BS_VERB_REMOVE, APR_EGENERAL, 1);
    bed_answer(BS_VERB_SAVE, APR_ENOMEM, 1);
    bed_is(load(), APR_TIMEUP);
    bed_is(touch(), APR_ECONNRESET);
    bed_is(remove_it(0), APR_EGENERAL);
    bed_is(save(BSESSION_REPLACE, 1, &saved), APR_ENOMEM);
    bed_is(load(), APR_TIMEUP);
    bed_is(load(), BS_ESPARED);
}
END_TEST

START_TEST(answers_are_no_failures)
{
    static const apr_status_t answers[] = {
        APR_NOTFOUND, APR_EEXIST, APR_EMISMATCH, APR_ENOSPC, APR_ENOTIMPL, BSESSION_ECORRUPT
    };
    apr_size_t i;

    for (i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        fail_loads(4);
        bed_answer(BS_VERB_LOAD, answers[i], 1);
        bed_is(load(), answers[i]);     /* it answered: the row begins again */
    }
    ck_assert(!bs_store_is_open(&bed_store, NULL));
    bed_is(load(), APR_SUCCESS);
}
END_TEST

static apr_status_t status_meanwhile;

static void ask_meanwhile(void)
{
    status_meanwhile = load();
}

START_TEST(one_probes_and_the_others_are_spared)
{
    fail_loads(5);
    let_it_rest();
    bed_before(BS_VERB_LOAD, ask_meanwhile);
    bed_is(load(), APR_SUCCESS);
    bed_is(status_meanwhile, BS_ESPARED);
    bed_is(load(), APR_SUCCESS);
}
END_TEST

START_TEST(is_open_says_what_a_call_would_meet)
{
    apr_uint64_t now = bs_monotonic();

    fail_loads(5);
    let_it_rest();
    ck_assert(!bs_store_is_open(&bed_store, NULL));     /* one may probe */
    bed_shared.nodes[0].probe_until = now + APR_UINT64_C(60000000000);
    bed_is(load(), BS_ESPARED);
    ck_assert(bs_store_is_open(&bed_store, NULL));      /* and one does */
}
END_TEST

START_TEST(a_failed_probe_leaves_it_alone_again)
{
    int calls;

    fail_loads(5);
    let_it_rest();
    fail_loads(1);
    calls = bed_all_calls();
    bed_is(load(), BS_ESPARED);
    ck_assert_int_eq(bed_all_calls(), calls);
    ck_assert_uint_eq(bed_shared.nodes[0].opened, 2);
    let_it_rest();
    bed_is(load(), APR_SUCCESS);
    ck_assert_uint_eq(bed_shared.nodes[0].opened, 0);
}
END_TEST

static void an_outage_of_others(void)
{
    bed_answer(BS_VERB_TOUCH, BED_OUTAGE, 5);
    while (touch() != BS_ESPARED) {
    }
}

/* A call that began before the breaker opened comes back with an answer of that time. */
START_TEST(an_old_answer_does_not_close_it)
{
    bed_before(BS_VERB_LOAD, an_outage_of_others);
    bed_is(load(), APR_SUCCESS);
    bed_is(load(), BS_ESPARED);
}
END_TEST

static unsigned node_by_first_byte(bsession_backend_t *backend, const bsession_key_t *key)
{
    (void)backend;
    return key->bytes[0];
}

START_TEST(one_nodes_failures_spare_that_node_only)
{
    bsession_provider_t with_nodes = *bed_store.provider;
    bsession_key_t one = { 's', { 0 } }, other = { 's', { 0 } };
    bs_caller_t by = caller();
    bsession_record_t record;
    int i;

    with_nodes.node_of = node_by_first_byte;
    bed_store.provider = &with_nodes;
    one.bytes[0] = 7;
    other.bytes[0] = 255;               /* more than BSESSION_NODES: still a node */
    bed_answer(BS_VERB_LOAD, BED_OUTAGE, 5);
    for (i = 0; i < 5; i++) {
        bed_is(bs_store_load(&bed_store, &by, &one, &record), BED_OUTAGE);
    }
    bed_is(bs_store_load(&bed_store, &by, &one, &record), BS_ESPARED);
    bed_is(bs_store_load(&bed_store, &by, &other, &record), APR_NOTFOUND);
    ck_assert(bs_store_is_open(&bed_store, &one));
    ck_assert(!bs_store_is_open(&bed_store, &other));
}
END_TEST

START_TEST(without_a_breaker_each_call_is_made)
{
    int calls = bed_all_calls();

    bed_store.breaker.failures = 0;
    fail_loads(50);
    ck_assert_int_eq(bed_all_calls(), calls + 50);
    bed_is(load(), APR_SUCCESS);
}
END_TEST

/* ---- the log ---- */

START_TEST(one_line_for_each_change_of_state)
{
    int lines = bed_lines();

    fail_loads(1);
    ck_assert_int_eq(bed_lines(), lines + 1);
    ck_assert_int_eq(bed_last_level(), BS_LOG_WARNING);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "bed"));
    fail_loads(3);
    ck_assert_int_eq(bed_lines(), lines + 1);
    fail_loads(1);
    ck_assert_int_eq(bed_lines(), lines + 2);
    ck_assert_int_eq(bed_last_level(), BS_LOG_ERROR);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "5 times"));
    bed_is(load(), BS_ESPARED);
    ck_assert_int_eq(bed_lines(), lines + 2);
    let_it_rest();
    bed_is(load(), APR_SUCCESS);
    ck_assert_int_eq(bed_lines(), lines + 3);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "answers again"));
    bed_is(load(), APR_SUCCESS);
    bed_is(remove_it(0), APR_SUCCESS);
    bed_is(load(), APR_NOTFOUND);
    ck_assert_int_eq(bed_lines(), lines + 3);
}
END_TEST

START_TEST(the_line_says_why)
{
    bed_lose_answers(BS_VERB_LOAD, 1);
    bed_is(load(), BED_OUTAGE);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "the answer is lost"));
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "load"));
}
END_TEST

START_TEST(a_notice_is_logged_once_a_minute)
{
    int lines = bed_lines();

    bed_notice("filling up");
    bed_is(load(), APR_SUCCESS);
    ck_assert_int_eq(bed_lines(), lines + 1);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "filling up"));
    bed_notice("filling up");
    bed_is(load(), APR_SUCCESS);
    ck_assert_int_eq(bed_lines(), lines + 1);
    bed_shared.noticed -= APR_UINT64_C(61000000000);
    bed_notice("still filling up");
    bed_is(load(), APR_SUCCESS);
    ck_assert_int_eq(bed_lines(), lines + 2);
}
END_TEST

/* ---- timeout= and breaker= ---- */

static const char *option(const char *name, const char *value)
{
    int taken = 7;
    const char *wrong = bs_store_option(&bed_store, name, value, pool, &taken);

    ck_assert_int_eq(taken, 1);
    return wrong;
}

START_TEST(the_options_of_every_store)
{
    int taken = 7;

    ck_assert_ptr_null(option("timeout", "250ms"));
    ck_assert_int_eq(bed_store.timeout, 250000);
    ck_assert_ptr_null(option("breaker", "3,500ms,1min"));
    ck_assert_uint_eq(bed_store.breaker.failures, 3);
    ck_assert_int_eq(bed_store.breaker.first, 500000);
    ck_assert_int_eq(bed_store.breaker.longest, 60000000);
    ck_assert_ptr_null(option("breaker", "Off"));
    ck_assert_uint_eq(bed_store.breaker.failures, 0);
    ck_assert_ptr_null(bs_store_option(&bed_store, "size", "5", pool, &taken));
    ck_assert_int_eq(taken, 0);
}
END_TEST

START_TEST(wrong_options_get_a_sentence)
{
    static const char *const times[] = { "", "0", "999us", "301s", "soon", "-1s", "2 s" };
    static const char *const breakers[] = {
        "", "on", "5", "5,1s", "5,1s,", "5,1s,30s,", "5,1s,30s,1", "0,1s,30s", "-1,1s,30s",
        "1001,1s,30s", "x,1s,30s", "5,x,30s", "5,1s,x", "5,30s,1s", "5,0,30s", "5,1s,2h", ",,"
    };
    bs_breaker_rule_t rule = bed_store.breaker;
    apr_size_t i;

    for (i = 0; i < sizeof(times) / sizeof(*times); i++) {
        const char *wrong = option("timeout", times[i]);

        ck_assert_msg(wrong && strstr(wrong, "2s"), "timeout=%s taken", times[i]);
    }
    for (i = 0; i < sizeof(breakers) / sizeof(*breakers); i++) {
        const char *wrong = option("breaker", breakers[i]);

        ck_assert_msg(wrong && strstr(wrong, "5,1s,30s"), "breaker=%s taken", breakers[i]);
    }
    ck_assert_int_eq(memcmp(&rule, &bed_store.breaker, sizeof(rule)), 0);
}
END_TEST

Suite *store_call_suite(void)
{
    Suite *suite = suite_create("store_call");
    TCase *tests = tcase_create("store_call");

    tcase_add_checked_fixture(tests, store_setup, bed_teardown);
    tcase_add_test(tests, what_is_an_answer);
    tcase_add_test(tests, the_verbs_reach_the_store);
    tcase_add_test(tests, each_call_is_counted);
    tcase_add_test(tests, events_are_counted);
    tcase_add_test(tests, each_call_has_a_deadline);
    tcase_add_test(tests, five_outages_and_then_the_store_is_spared);
    tcase_add_test(tests, failures_of_all_verbs_are_one_row);
    tcase_add_test(tests, answers_are_no_failures);
    tcase_add_test(tests, one_probes_and_the_others_are_spared);
    tcase_add_test(tests, is_open_says_what_a_call_would_meet);
    tcase_add_test(tests, a_failed_probe_leaves_it_alone_again);
    tcase_add_test(tests, an_old_answer_does_not_close_it);
    tcase_add_test(tests, one_nodes_failures_spare_that_node_only);
    tcase_add_test(tests, without_a_breaker_each_call_is_made);
    tcase_add_test(tests, one_line_for_each_change_of_state);
    tcase_add_test(tests, the_line_says_why);
    tcase_add_test(tests, a_notice_is_logged_once_a_minute);
    tcase_add_test(tests, the_options_of_every_store);
    tcase_add_test(tests, wrong_options_get_a_sentence);
    suite_add_tcase(suite, tests);
    return suite;
}
