/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_ask.h"

#include <string.h>

#include <apr_strings.h>

#define ASK_LONGEST_LIFE apr_time_from_sec(APR_INT64_C(100000) * 366 * 86400)

/* One try. */
typedef struct {
    const redis_question_t *question;
    redis_node_t           *node;
    redis_link_t           *link;
    redisReply            **replies;
    int                     in_full;    /* the script's text goes, not its digest */
    int                     fresh;      /* the connection is new */
    int                     sent;       /* some of it may have arrived */
} ask_t;

static apr_status_t ask_free_reply(void *reply)
{
    freeReplyObject(reply);
    return APR_SUCCESS;
}

/* ------------------------------------------------------------------ one try */

/** What ends in more than 100,000 years does not end: the server, too, has to add it to its
 *  clock. */
static redis_word_t ask_life(apr_time_t expires, apr_pool_t *pool)
{
    apr_time_t left;

    if (expires == BSESSION_KEEP || expires == 0) {
        return redis_word(expires == 0 ? "n" : "k");
    }
    left = expires - apr_time_now();
    if (left > ASK_LONGEST_LIFE) {
        return redis_word("n");
    }
    return redis_word(apr_psprintf(pool, "%" APR_TIME_T_FMT, left > 0 ? (left + 999) / 1000 : 0));
}

/** EVALSHA digest becomes EVAL text. */
static apr_status_t ask_add(ask_t *ask, const redis_command_t *command, bsession_call_t *call)
{
    redis_word_t *words;

    if (!ask->in_full || command != ask->question->commands) {
        return redis_link_add(ask->link, command->words, command->count);
    }
    words = apr_pmemdup(call->pool, command->words, (apr_size_t)command->count * sizeof *words);
    words[0].data = "EVAL";
    words[0].len = 4;
    words[1].data = ask->question->script->text;
    words[1].len = strlen(words[1].data);
    return redis_link_add(ask->link, words, command->count);
}

static apr_status_t ask_send(ask_t *ask, bsession_call_t *call)
{
    apr_status_t status = redis_link_ready(ask->link, &ask->fresh, call);
    int i;

    if (status == APR_SUCCESS && !ask->question->reads) {
        status = redis_link_settle(ask->link, call);
    }
    if (ask->question->life) {
        *ask->question->life = ask_life(ask->question->expires, call->pool);
    }
    for (i = 0; status == APR_SUCCESS && i < ask->question->ncommands; i++) {
        status = ask_add(ask, &ask->question->commands[i], call);
    }
    if (status == APR_SUCCESS) {
        ask->sent = 1;
        status = redis_link_send(ask->link, call);
    }
    return status;
}

static apr_status_t ask_once(ask_t *ask, bsession_call_t *call)
{
    apr_status_t status = ask_send(ask, call);
    int i;

    for (i = 0; status == APR_SUCCESS && i < ask->question->ncommands; i++) {
        status = redis_link_read(ask->link, &ask->replies[i], call);
        if (status == APR_SUCCESS) {
            apr_pool_cleanup_register(call->pool, ask->replies[i], ask_free_reply,
                                      apr_pool_cleanup_null);
        }
    }
    return status;
}

/* ------------------------------------------------------------------ errors */

static const redisReply *ask_error(const ask_t *ask)
{
    int i;

    for (i = 0; i < ask->question->ncommands; i++) {
        if (ask->replies[i]->type == REDIS_REPLY_ERROR) {
            return ask->replies[i];
        }
    }
    return NULL;
}

static int ask_error_is(const redisReply *error, const char *word)
{
    apr_size_t len = strlen(word);

    return strncmp(error->str, word, len) == 0 && (error->str[len] == ' ' || error->str[len] == '\0');
}

/** Before version 7 a script's own errors come wrapped into a sentence. */
static int ask_is_wrong_type(const redisReply *error)
{
    return ask_error_is(error, "WRONGTYPE") || strstr(error->str, " WRONGTYPE ") != NULL;
}

/** What a script may not do is no NOPERM: it says so before version 7.2 and since. */
static int ask_is_forbidden(const redisReply *error)
{
    return ask_error_is(error, "NOPERM") || strstr(error->str, "user executing the script")
           || strstr(error->str, "ACL failure in script");
}

/** The first word of an error says what is wrong; what follows may quote us. */
static apr_status_t ask_refused(const redisReply *error, bsession_call_t *call)
{
    if (ask_is_wrong_type(error)) {
        return BSESSION_ECORRUPT;
    }
    if (ask_is_forbidden(error)) {
        apr_snprintf(call->why, sizeof call->why, "the server refused with NOPERM: its ACL does not let "
                     "this user do what docs/backends.md lists");
    }
    else if (ask_error_is(error, "NOAUTH") || strstr(error->str, "unauthenticated")) {
        apr_snprintf(call->why, sizeof call->why, "the server refused with NOAUTH: it wants a "
                     "password: password=");
    }
    else if (ask_error_is(error, "OOM")) {
        apr_snprintf(call->why, sizeof call->why, "the server refused with OOM: its maxmemory is reached");
    }
    else {
        apr_snprintf(call->why, sizeof call->why, "the server refused with %.*s",
                     (int)strcspn(error->str, " \r\n"), error->str);
    }
    return APR_EGENERAL;
}

/* ------------------------------------------------------------------ as often as it takes */

/** Whether the failure of a connection is one to try again after: it was an old one, or nothing
 *  can have arrived, or it does not matter. */
static int ask_may_repeat(const ask_t *ask)
{
    return !ask->fresh && (!ask->sent || ask->question->again);
}

static apr_status_t ask_until_said(ask_t *ask, bsession_call_t *call)
{
    apr_status_t status = ask_once(ask, call);
    const redisReply *error;

    if (status != APR_SUCCESS && ask_may_repeat(ask) && call->deadline > apr_time_now()) {
        if (ask->sent && ask->question->turns) {
            *ask->question->turns = ask->question->into;
        }
        ask->sent = 0;
        call->why[0] = '\0';
        status = ask_once(ask, call);
    }
    error = status == APR_SUCCESS && !ask->question->apart ? ask_error(ask) : NULL;
    if (error && ask->question->script && !ask->in_full && ask_error_is(error, "NOSCRIPT")) {
        ask->in_full = 1;               /* nothing was done */
        ask->sent = 0;
        status = ask_once(ask, call);
        error = status == APR_SUCCESS ? ask_error(ask) : NULL;
    }
    return error ? ask_refused(error, call) : status;
}

apr_status_t redis_ask_node(redis_node_t *node, const redis_question_t *question,
                            redisReply **replies, bsession_call_t *call)
{
    ask_t ask = { .question = question, .replies = replies, .node = node };
    apr_status_t status = redis_node_acquire(node, &ask.link, call);

    if (status == APR_SUCCESS) {
        status = ask_until_said(&ask, call);
        redis_node_release(node, ask.link);
    }
    return status;
}

apr_status_t redis_ask(redis_topology_t *topology, const bsession_key_t *key,
                       const redis_question_t *question, redisReply **replies,
                       bsession_call_t *call)
{
    redis_node_t *node;
    apr_status_t status = redis_topology_node(topology, key, &node, call);

    return status == APR_SUCCESS ? redis_ask_node(node, question, replies, call) : status;
}
