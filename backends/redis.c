/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis.h"

#include <string.h>

#include <apr_signal.h>
#include <apr_strings.h>

#include "redis_backend.h"
#include "redis_record.h"

#define REDIS_LOAD_COMMANDS 2

/* ------------------------------------------------------------------ configuration */

static const char *redis_create(bsession_backend_t **backend, const char *name, const char *url,
                                const bsession_options_t *options,
                                const bsession_services_t *services, apr_pool_t *pconf)
{
    bsession_backend_t *made = apr_pcalloc(pconf, sizeof *made);
    const char *wrong;

    (void)name;
    made->services = services;
    *backend = made;
    wrong = redis_conf_parse(&made->conf, url, options, services, pconf);
    return wrong ? wrong : redis_conf_try(&made->conf, pconf);
}

/* ------------------------------------------------------------------ asking */

redis_topology_t *redis_topology_of(bsession_backend_t *backend, bsession_call_t *call)
{
    return backend->topology ? backend->topology : redis_topology_make(&backend->conf, call->pool);
}

static apr_status_t ask(bsession_backend_t *backend, const redis_word_t *name,
                        const redis_question_t *question, redisReply **replies,
                        const char **server, bsession_call_t *call)
{
    redis_topology_t *topology = redis_topology_of(backend, call);

    return topology ? redis_ask(topology, name, question, replies, server, call) : APR_ENOMEM;
}

static unsigned redis_node_of(bsession_backend_t *backend, const bsession_key_t *key)
{
    char text[REDIS_NAME_SIZE];
    redis_word_t name;

    if (!backend->topology || backend->conf.layout != REDIS_CLUSTER) {
        return 0;
    }
    name.data = text;
    name.len = redis_key_text(backend, key, text);
    return redis_topology_number(backend->topology, &name);
}

static const char *redis_node_name(bsession_backend_t *backend, const bsession_key_t *key,
                                   apr_pool_t *pool)
{
    redis_word_t name = redis_key_word(backend, key, pool);

    return backend->topology ? redis_topology_text(backend->topology, &name, pool) : NULL;
}

/** Scripts answer a list that begins with a word. */
static apr_status_t status_of(const redisReply *reply, bsession_call_t *call)
{
    static const struct {
        const char  *word;
        apr_status_t status;
    } answers[] = {
        { "OK", APR_SUCCESS }, { "NOTFOUND", APR_NOTFOUND }, { "EEXIST", APR_EEXIST },
        { "EMISMATCH", APR_EMISMATCH }, { "ENOSPC", APR_ENOSPC }, { "CORRUPT", BSESSION_ECORRUPT }
    };
    const char *said = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0
                       && reply->element[0]->type == REDIS_REPLY_STRING
                     ? reply->element[0]->str : "";
    apr_size_t i;

    for (i = 0; i < sizeof answers / sizeof *answers; i++) {
        if (strcmp(said, answers[i].word) == 0) {
            return answers[i].status;
        }
    }
    apr_cpystrn(call->why, strcmp(said, "UNKNOWN") == 0
                ? "the connection was lost, and whether it had been done by then cannot be told"
                : "the answer of a script is not one of ours", sizeof call->why);
    return APR_EGENERAL;
}

/**
 * EVALSHA script 1 key words: the first four are filled in here, and so are the script and the
 * commands of the question. Where replicas are waited for, nothing is sent again: another
 * connection has nothing to wait for.
 */
static apr_status_t run(bsession_backend_t *backend, const bsession_key_t *key,
                        redis_script_t *script, redis_word_t *words, int count,
                        redis_question_t question, redisReply **reply, bsession_call_t *call)
{
    redis_word_t replicas[3] = { redis_word("WAIT"),
                                 redis_number(call->pool, backend->conf.replicas) };
    redis_command_t commands[2] = { { words, count }, { replicas, 3 } };
    const char *server = "";
    redisReply *replies[2];
    apr_status_t status;

    question.commands = commands;
    question.ncommands = 1;
    question.script = script;
    words[0] = redis_word("EVALSHA");
    words[1] = redis_word(script->sha1);
    words[2] = redis_word("1");
    words[3] = redis_key_word(backend, key, call->pool);
    if (call->flags & BSESSION_DURABLE && backend->conf.replicas) {
        replicas[2] = redis_number(call->pool, (call->deadline - redis_clock()) / 2000 + 1);
        question.ncommands = 2;
        question.again = 0;
    }
    status = ask(backend, &words[3], &question, replies, question.ncommands == 2 ? &server : NULL,
                 call);
    if (status != APR_SUCCESS) {
        return status;
    }
    *reply = replies[0];
    status = status_of(replies[0], call);
    if (status == APR_SUCCESS && question.ncommands == 2
        && (replies[1]->type != REDIS_REPLY_INTEGER
            || replies[1]->integer < backend->conf.replicas)) {
        apr_snprintf(call->why, sizeof call->why, "%s: fewer than replicas=%d have it", server,
                     backend->conf.replicas);
        return APR_EGENERAL;
    }
    return status;
}

/* ------------------------------------------------------------------ the five verbs */

apr_status_t redis_load(bsession_backend_t *backend, const bsession_key_t *key,
                        bsession_record_t *record, bsession_call_t *call)
{
    redis_word_t name = redis_key_word(backend, key, call->pool);
    redis_word_t all[2] = { redis_word("HGETALL"), name }, left[2] = { redis_word("PTTL"), name };
    redis_command_t commands[REDIS_LOAD_COMMANDS] = { { all, 2 }, { left, 2 } };
    redis_question_t question = { .commands = commands, .ncommands = REDIS_LOAD_COMMANDS,
                                  .reads = 1, .again = 1 };
    redisReply *replies[REDIS_LOAD_COMMANDS];
    apr_status_t status = ask(backend, &name, &question, replies, NULL, call);

    return status == APR_SUCCESS ? redis_record_read(record, replies[0], replies[1], call->pool)
                                 : status;
}

/** A caller's limit, 0 being none, and ours: what is stored can be loaded. */
static apr_size_t limit(apr_size_t most, apr_size_t ours)
{
    return most && most < ours ? most : ours;
}

/** A create that is sent again knows its own record by the revision, which is random. Nothing else
 *  is sent again: what others have stored meanwhile would be lost. */
static apr_status_t store(bsession_backend_t *backend, const bsession_key_t *key,
                          const bsession_save_t *save, bsession_saved_t *saved,
                          bsession_call_t *call)
{
    const bsession_record_t *record = save->record;
    const bsession_fields_t *fields = &record->fields;
    apr_size_t bytes = bsession_fields_bytes(fields);
    redis_word_t *words = apr_palloc(call->pool, (11 + 2 * (apr_size_t)fields->count)
                                                 * sizeof *words);
    apr_uint64_t next = save->mode == BSESSION_REPLACE ? save->base + 1 : save->base;
    redis_question_t question = { .again = save->mode == BSESSION_CREATE, .turns = words + 4,
                                  .into = redis_word("a"), .life = words + 8,
                                  .expires = record->expires };
    redisReply *reply;
    apr_status_t status;
    int i, count = 4;

    if (bytes > limit(save->max_bytes, REDIS_RECORD_MOST)
        || (apr_size_t)fields->count > limit(save->max_fields, REDIS_FIELDS_MOST)) {
        return APR_ENOSPC;
    }
    words[count++] = redis_word(save->mode == BSESSION_CREATE ? "c"
                          : save->mode == BSESSION_PUT ? "p" : "r");
    words[count++] = redis_number(call->pool, (apr_int64_t)save->base);
    words[count++] = redis_number(call->pool, (apr_int64_t)next);
    words[count++] = redis_number(call->pool, record->epoch);
    words[count++] = redis_word("");        /* its life */
    words[count++] = redis_number(call->pool, (apr_int64_t)bytes);
    words[count].data = record->meta.data;
    words[count++].len = record->meta.len;
    for (i = 0; i < fields->count; i++) {
        words[count].data = fields->list[i].name.data;
        words[count++].len = fields->list[i].name.len;
        words[count].data = fields->list[i].value.data;
        words[count++].len = fields->list[i].value.len;
    }
    status = run(backend, key, &redis_store_script, words, count, question, &reply, call);
    saved->revision = next;
    return status;
}

static void change_words(redis_word_t *words, const bsession_change_t *change, apr_pool_t *pool)
{
    static const char *const kinds[] = {
        [BSESSION_SET] = "s", [BSESSION_ADD] = "a", [BSESSION_UNSET] = "u", [BSESSION_INCR] = "i",
        [BSESSION_CLEAR] = "c"
    };

    words[0] = redis_word(kinds[change->kind]);
    words[1] = words[2] = redis_word("");
    if (change->kind != BSESSION_CLEAR) {
        words[1].data = change->name.data;
        words[1].len = change->name.len;
    }
    if (change->kind == BSESSION_INCR) {
        words[2] = redis_number(pool, change->by);
    }
    else if (change->kind == BSESSION_SET || change->kind == BSESSION_ADD) {
        words[2].data = change->value.data;
        words[2].len = change->value.len;
    }
}

/** One without an increment may be sent again, to the revision that was loaded. */
static apr_status_t merge(bsession_backend_t *backend, const bsession_key_t *key,
                          const bsession_save_t *save, bsession_saved_t *saved,
                          bsession_call_t *call)
{
    redis_word_t *words = apr_palloc(call->pool, (9 + 3 * save->nchanges) * sizeof *words);
    redis_question_t question = { .again = 1, .turns = words + 8,
                                  .into = redis_number(call->pool, (apr_int64_t)save->base),
                                  .life = words + 5, .expires = save->record->expires };
    redisReply *reply;
    apr_status_t status;
    apr_size_t most_bytes = limit(save->max_bytes, REDIS_RECORD_MOST);
    apr_size_t most_fields = limit(save->max_fields, REDIS_FIELDS_MOST), i;
    int count = 4;

    words[count++] = redis_number(call->pool, save->record->epoch);
    words[count++] = redis_word("");        /* its life */
    words[count++] = redis_number(call->pool, (apr_int64_t)most_bytes);
    words[count++] = redis_number(call->pool, (apr_int64_t)most_fields);
    words[count++] = redis_word("");        /* any revision */
    for (i = 0; i < save->nchanges; i++, count += 3) {
        change_words(words + count, &save->changes[i], call->pool);
        question.again &= save->changes[i].kind != BSESSION_INCR;
    }
    status = run(backend, key, &redis_merge_script, words, count, question, &reply, call);
    return status == APR_SUCCESS ? redis_merged_read(saved, save, reply, call) : status;
}

static apr_status_t redis_touch(bsession_backend_t *backend, const bsession_key_t *key,
                                apr_time_t expires, bsession_call_t *call)
{
    redis_word_t words[5];
    redis_question_t question = { .again = 1, .life = words + 4, .expires = expires };
    redisReply *reply;

    words[4] = redis_word("");
    return run(backend, key, &redis_touch_script, words, 5, question, &reply, call);
}

static apr_status_t redis_remove(bsession_backend_t *backend, const bsession_key_t *key,
                                 apr_uint64_t revision, bsession_call_t *call)
{
    redis_word_t words[5];
    redis_question_t question = { .again = 1 };
    redisReply *reply;

    words[4] = redis_number(call->pool, (apr_int64_t)revision);
    return run(backend, key, &redis_remove_script, words, 5, question, &reply, call);
}

/* ------------------------------------------------------------------ by a clock that nobody sets */

/* Within this backend deadlines are redis_clock()'s: the core's are the wall clock's, which may be set
 * while somebody waits. */

static bsession_call_t by_our_clock(const bsession_call_t *call)
{
    bsession_call_t ours = *call;

    ours.deadline = redis_clock() + call->deadline - apr_time_now();
    return ours;
}

static apr_status_t told(bsession_call_t *call, const bsession_call_t *ours, apr_status_t status)
{
    memcpy(call->why, ours->why, sizeof call->why);
    return status;
}

static apr_status_t verb_load(bsession_backend_t *backend, const bsession_key_t *key,
                              bsession_record_t *record, bsession_call_t *call)
{
    bsession_call_t ours = by_our_clock(call);

    return told(call, &ours, redis_load(backend, key, record, &ours));
}

static apr_status_t verb_save(bsession_backend_t *backend, const bsession_key_t *key,
                              const bsession_save_t *save, bsession_saved_t *saved,
                              bsession_call_t *call)
{
    bsession_call_t ours = by_our_clock(call);

    return told(call, &ours, save->mode == BSESSION_MERGE
                ? merge(backend, key, save, saved, &ours) : store(backend, key, save, saved, &ours));
}

static apr_status_t verb_touch(bsession_backend_t *backend, const bsession_key_t *key,
                               apr_time_t expires, bsession_call_t *call)
{
    bsession_call_t ours = by_our_clock(call);

    return told(call, &ours, redis_touch(backend, key, expires, &ours));
}

static apr_status_t verb_remove(bsession_backend_t *backend, const bsession_key_t *key,
                                apr_uint64_t revision, bsession_call_t *call)
{
    bsession_call_t ours = by_our_clock(call);

    return told(call, &ours, redis_remove(backend, key, revision, &ours));
}

static apr_status_t verb_scan(bsession_backend_t *backend, char space, bsession_cursor_t *cursor,
                              bsession_visitor_t *visit, void *baton, bsession_call_t *call)
{
    bsession_call_t ours = by_our_clock(call);

    return told(call, &ours, redis_scan(backend, space, cursor, visit, baton, &ours));
}

static apr_status_t verb_load_many(bsession_backend_t *backend, const bsession_key_t *keys,
                                   int count, bsession_record_t *records, apr_status_t *statuses,
                                   bsession_call_t *call)
{
    bsession_call_t ours = by_our_clock(call);

    return told(call, &ours, redis_load_many(backend, keys, count, records, statuses, &ours));
}

static void verb_stats(bsession_backend_t *backend, bsession_stats_t *stats, bsession_call_t *call)
{
    bsession_call_t ours = by_our_clock(call);

    redis_stats(backend, stats, &ours);
}

/* ------------------------------------------------------------------ start */

/** Whether the server can be asked is worth a line at the start, and no more: it heals by itself.
 *  No child inherits the connection. OpenSSL writes to what may be closed; children ignore the
 *  signal. */
static void greet(bsession_backend_t *backend, bsession_call_t *call)
{
    static const bsession_key_t nobody = { 's', { 0 } };
    bsession_call_t own = { .deadline = call->deadline };
    bsession_record_t record;
    apr_sigfunc_t *before = apr_signal(SIGPIPE, SIG_IGN);
    apr_status_t status = apr_pool_create(&own.pool, call->pool);

    if (status == APR_SUCCESS) {
        status = verb_load(backend, &nobody, &record, &own);
        apr_pool_destroy(own.pool);
    }
    apr_signal(SIGPIPE, before);
    if (status != APR_SUCCESS && status != APR_NOTFOUND && status != BSESSION_ECORRUPT) {
        apr_snprintf(call->why, sizeof call->why, "cannot be asked yet: %s", own.why);
    }
}

static apr_status_t redis_open(bsession_backend_t *backend, apr_int64_t uid, apr_int64_t gid,
                               bsession_call_t *call)
{
    apr_status_t status;

    (void)uid;
    (void)gid;
    redis_scripts_init();
    status = redis_conf_open(&backend->conf, call);
    if (status == APR_SUCCESS && !call->why[0]) {
        greet(backend, call);
    }
    return status;
}

static apr_status_t redis_child_init(bsession_backend_t *backend, apr_pool_t *pchild,
                                     bsession_call_t *call)
{
    backend->topology = redis_topology_make(&backend->conf, pchild);
    if (!backend->topology) {
        apr_cpystrn(call->why, "no pool of connections could be made", sizeof call->why);
        return APR_ENOMEM;
    }
    return APR_SUCCESS;
}

#define REDIS_PROVIDER(scheme)               \
    {                                        \
        .abi        = BSESSION_PROVIDER_ABI, \
        .name       = scheme,                \
        .create     = redis_create,          \
        .open       = redis_open,            \
        .child_init = redis_child_init,      \
        .load       = verb_load,             \
        .save       = verb_save,             \
        .touch      = verb_touch,            \
        .remove     = verb_remove,           \
        .scan       = verb_scan,             \
        .load_many  = verb_load_many,        \
        .node_of    = redis_node_of,         \
        .node_name  = redis_node_name,       \
        .stats      = verb_stats             \
    }

const bsession_provider_t bsession_redis_provider = REDIS_PROVIDER("redis");
const bsession_provider_t bsession_rediss_provider = REDIS_PROVIDER("rediss");
const bsession_provider_t bsession_redis_unix_provider = REDIS_PROVIDER("redis+unix");
