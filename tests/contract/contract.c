/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "contract.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_signal.h>
#include <apr_strings.h>

#include "store_call.h"

#define CONTRACT_PROVIDERS 16

static const bsession_provider_t *providers[CONTRACT_PROVIDERS];

const bsession_provider_t *provider;
bsession_backend_t        *backend;
apr_pool_t                *pool;

static int                 sealed;      /* the cases that are made now are about sealed records */
static bsession_call_t     last_call;
static apr_pool_t         *process;     /* what the store was opened with */
static pid_t               first;       /* the process that opened it */

/* ------------------------------------------------------------------ words */

void contract_setup(void)
{
    ck_assert_int_eq(apr_pool_create(&pool, NULL), APR_SUCCESS);
    if (provider->child_init) {
        contract_is(provider->child_init(backend, pool, contract_call(pool)), APR_SUCCESS);
    }
}

/* Check runs each test in a process of its own, which inherits the open store. What that allocated
 * is known from APR's pools alone, which Debian's APR maps, and LeakSanitizer looks for no pointers
 * in there. So at the end of a process nothing may be left for it to find: also the pool that the
 * store was opened with goes, and what its cleanups do not free is a leak. */
void contract_teardown(void)
{
    apr_pool_destroy(pool);
    if (getpid() != first) {
        apr_pool_destroy(process);
    }
}

TCase *contract_case(const char *name)
{
    TCase *tests = tcase_create(name);

    if (sealed) {
        tcase_add_checked_fixture(tests, contract_seal_setup, contract_seal_teardown);
    }
    else {
        tcase_add_checked_fixture(tests, contract_setup, contract_teardown);
    }
    tcase_set_timeout(tests, 60);
    return tests;
}

const char *contract_name(apr_status_t status)
{
    static char number[32];

    switch (status) {
    case APR_SUCCESS: return "APR_SUCCESS";
    case APR_NOTFOUND: return "APR_NOTFOUND";
    case APR_EEXIST: return "APR_EEXIST";
    case APR_EMISMATCH: return "APR_EMISMATCH";
    case APR_ENOSPC: return "APR_ENOSPC";
    case APR_ENOTIMPL: return "APR_ENOTIMPL";
    case BSESSION_ECORRUPT: return "BSESSION_ECORRUPT";
    default:
        apr_snprintf(number, sizeof(number), "unknown (%d)", status);
        return number;
    }
}

const char *contract_why(void)
{
    return last_call.why;
}

int contract_is_answer(apr_status_t status)
{
    return status == APR_SUCCESS || status == APR_NOTFOUND || status == APR_EEXIST
           || status == APR_EMISMATCH || status == APR_ENOSPC || status == APR_ENOTIMPL
           || status == BSESSION_ECORRUPT;
}

bsession_call_t *contract_call(apr_pool_t *call_pool)
{
    memset(&last_call, 0, sizeof(last_call));
    last_call.deadline = apr_time_now() + apr_time_from_sec(20);
    last_call.pool = call_pool;
    return &last_call;
}

bsession_key_t contract_key(char space)
{
    bsession_key_t key = { space, { 0 } };

    ck_assert_int_eq(apr_generate_random_bytes(key.bytes, sizeof(key.bytes)), APR_SUCCESS);
    return key;
}

apr_uint64_t contract_revision(void)
{
    apr_uint64_t revision;

    ck_assert_int_eq(apr_generate_random_bytes((unsigned char *)&revision, sizeof(revision)),
                     APR_SUCCESS);
    return (revision & ((APR_UINT64_C(1) << 52) - 1)) | 1;
}

bsession_bytes_t contract_bytes(const char *text)
{
    bsession_bytes_t bytes = { text, strlen(text) };

    return bytes;
}

void contract_field(bsession_record_t *record, const char *name, apr_size_t name_len,
                    const char *value, apr_size_t value_len)
{
    apr_size_t count = (apr_size_t)record->fields.count;
    bsession_field_t *list = apr_pcalloc(pool, sizeof(*list) * (count + 1));
    bsession_field_t *field = &list[count];

    if (count) {
        memcpy(list, record->fields.list, sizeof(*list) * count);
    }
    field->name.data = name;
    field->name.len = name_len;
    field->value.data = value;
    field->value.len = value_len;
    record->fields.list = list;
    record->fields.count++;
}

bsession_record_t *contract_record(const char *name, ...)
{
    bsession_record_t *record = apr_pcalloc(pool, sizeof(*record));
    va_list words;

    record->expires = apr_time_now() + CONTRACT_MINUTE;
    record->epoch = 7;
    record->meta = contract_bytes("meta");
    va_start(words, name);
    while (name) {
        const char *value = va_arg(words, const char *);

        contract_field(record, name, strlen(name), value, strlen(value));
        name = va_arg(words, const char *);
    }
    va_end(words);
    return record;
}

/* ------------------------------------------------------------------ verbs */

apr_status_t contract_load(const bsession_key_t *key, bsession_record_t *record)
{
    memset(record, 0xa5, sizeof(*record));
    return provider->load(backend, key, record, contract_call(pool));
}

apr_status_t contract_save(bsession_save_mode_t mode, const bsession_key_t *key, apr_uint64_t base,
                           const bsession_record_t *record)
{
    bsession_save_t save = { .mode = mode, .base = base, .record = record };
    bsession_saved_t saved = { 0, NULL };
    apr_status_t status = provider->save(backend, key, &save, &saved, contract_call(pool));

    if (status == APR_SUCCESS) {
        ck_assert_uint_eq(saved.revision, mode == BSESSION_REPLACE ? base + 1 : base);
    }
    return status;
}

apr_status_t contract_merge(const bsession_key_t *key, apr_uint64_t base,
                            const bsession_record_t *record, const bsession_change_t *changes,
                            apr_size_t count, bsession_saved_t *saved)
{
    bsession_save_t save = { .mode = BSESSION_MERGE, .base = base, .record = record,
                             .changes = changes, .nchanges = count };

    memset(saved, 0, sizeof(*saved));
    return provider->save(backend, key, &save, saved, contract_call(pool));
}

apr_status_t contract_touch(const bsession_key_t *key, apr_time_t expires)
{
    return provider->touch(backend, key, expires, contract_call(pool));
}

apr_status_t contract_remove(const bsession_key_t *key, apr_uint64_t revision)
{
    return provider->remove(backend, key, revision, contract_call(pool));
}

bsession_key_t contract_created(const bsession_record_t *record, apr_uint64_t revision)
{
    bsession_key_t key = contract_key('s');

    contract_is(contract_save(BSESSION_CREATE, &key, revision, record), APR_SUCCESS);
    return key;
}

/* ------------------------------------------------------------------ what must be there */

static int contract_equal(const bsession_bytes_t *a, const bsession_bytes_t *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static const bsession_field_t *contract_find(const bsession_record_t *record,
                                             const bsession_bytes_t *name)
{
    int i;

    for (i = 0; i < record->fields.count; i++) {
        if (contract_equal(&record->fields.list[i].name, name)) {
            return &record->fields.list[i];
        }
    }
    return NULL;
}

const bsession_bytes_t *contract_value(const bsession_record_t *record, const char *name)
{
    bsession_bytes_t wanted = contract_bytes(name);
    const bsession_field_t *field = contract_find(record, &wanted);

    return field ? &field->value : NULL;
}

void contract_holds(const bsession_key_t *key, const bsession_record_t *record,
                    apr_uint64_t revision)
{
    bsession_record_t loaded;
    int i;

    contract_is(contract_load(key, &loaded), APR_SUCCESS);
    ck_assert_uint_eq(loaded.revision, revision);
    ck_assert_uint_eq(loaded.epoch, record->epoch);
    ck_assert_msg(contract_equal(&loaded.meta, &record->meta), "another meta");
    ck_assert_int_eq(loaded.fields.count, record->fields.count);
    for (i = 0; i < record->fields.count; i++) {
        const bsession_field_t *wanted = &record->fields.list[i];
        const bsession_field_t *field = contract_find(&loaded, &wanted->name);

        ck_assert_msg(field != NULL, "field %d is not there", i);
        ck_assert_msg(contract_equal(&field->value, &wanted->value), "field %d differs", i);
        ck_assert_int_eq(field->name.data[field->name.len], '\0');
        ck_assert_int_eq(field->value.data[field->value.len], '\0');
    }
}

void contract_absent(const bsession_key_t *key)
{
    bsession_record_t loaded;

    contract_is(contract_load(key, &loaded), APR_NOTFOUND);
}

void contract_ends(const bsession_key_t *key, apr_time_t expires)
{
    bsession_record_t loaded;

    contract_is(contract_load(key, &loaded), APR_SUCCESS);
    if (expires == 0) {
        ck_assert_int_eq(loaded.expires, 0);
    }
    else {
        ck_assert_msg(loaded.expires > expires - apr_time_from_sec(10)
                      && loaded.expires < expires + apr_time_from_sec(10),
                      "ends %" APR_TIME_T_FMT " us later than it should", loaded.expires - expires);
    }
}

/* ------------------------------------------------------------------ the program */

void contract_offer(const bsession_provider_t *one)
{
    int i = 0;

    while (i < CONTRACT_PROVIDERS - 1 && providers[i]) {
        i++;
    }
    providers[i] = one;
}

static const char *contract_open(const char *url, int count, char **words)
{
    static bsession_services_t services;
    bsession_options_t options = { NULL, count };
    bsession_option_t *list = apr_pcalloc(process, sizeof(*list) * (apr_size_t)(count + 1));
    const char *colon = strchr(url, ':'), *sentence;
    int i;

    for (i = 0; i < count; i++) {
        char *equals = strchr(words[i], '=');

        if (!equals) {
            return "expected option=value";
        }
        list[i].name = apr_pstrmemdup(process, words[i], (apr_size_t)(equals - words[i]));
        list[i].value = equals + 1;
    }
    options.list = list;
    for (i = 0; i < CONTRACT_PROVIDERS && providers[i]; i++) {
        if (colon && strlen(providers[i]->name) == (apr_size_t)(colon - url)
            && strncmp(providers[i]->name, url, (apr_size_t)(colon - url)) == 0) {
            provider = providers[i];
        }
    }
    if (!provider) {
        return "no such backend";
    }
    bs_services_init(&services, process);
    sentence = provider->create(&backend, "contract", url, &options, &services, process);
    if (!sentence && provider->open(backend, -1, -1, contract_call(process)) != APR_SUCCESS) {
        sentence = contract_why();
    }
    return sentence;
}

static Suite *suite_of(const char *what, const char *url)
{
    Suite *suite = suite_create(apr_pstrcat(process, what, url, NULL));

    suite_add_tcase(suite, contract_save_case());
    suite_add_tcase(suite, contract_merge_case());
    suite_add_tcase(suite, contract_life_case());
    suite_add_tcase(suite, contract_values_case());
    suite_add_tcase(suite, contract_scan_case());
    suite_add_tcase(suite, contract_many_case());
    return suite;
}

int main(int argc, char **argv)
{
    const char *sentence;
    SRunner *runner;
    Suite *suite;
    int failed;

    if (argc < 2) {
        fprintf(stderr, "usage: %s url [option=value ...]\n", argv[0]);
        return EXIT_FAILURE;
    }
    apr_initialize();
    apr_signal(SIGPIPE, SIG_IGN);       /* as httpd does */
    apr_pool_create(&process, NULL);
    first = getpid();
    if ((sentence = contract_open(argv[1], argc - 2, argv + 2)) != NULL) {
        fprintf(stderr, "%s: %s\n", argv[1], sentence);
        return EXIT_FAILURE;
    }
    runner = srunner_create(suite_of("contract ", argv[1]));
    sealed = 1;
    suite = suite_of("sealed contract ", argv[1]);
    suite_add_tcase(suite, contract_seal_case());
    srunner_add_suite(runner, suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    apr_pool_destroy(process);
    apr_terminate();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
