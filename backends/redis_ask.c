/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_ask.h"

#include <string.h>

#include <apr_strings.h>

/* Between tries, and twice as long each time: half of it is certain, the other half is jitter. */
#define ASK_FIRST_PAUSE   apr_time_from_msec(4)
#define ASK_LONGEST_PAUSE apr_time_from_msec(128)
/* So many tries go without a pause: a redirection or two is what a healthy Cluster says. */
#define ASK_PROMPT_TRIES  3
/* A server that has said nothing for so long may be gone: who has its keys is asked meanwhile. */
#define ASK_SILENCE       apr_time_from_msec(250)

/* What a try comes to. */
typedef enum {
    ASK_OVER,                           /* it was answered, or must not be tried again */
    ASK_AGAIN,                          /* what is known of the servers is no longer what it was */
    ASK_LATER                           /* the same after a pause */
} ask_turn_t;

typedef struct {
    const redis_question_t *question;
    redis_topology_t       *topology;
    redis_node_t           *node;       /* held by us */
    redis_node_t           *next;       /* where an ASK sends us, held; NULL: the owner */
    redis_link_t           *link;
    redisReply            **replies;
    const redisReply       *error;      /* that the server answered */
    int                     in_full;    /* the script's text goes, not its digest */
    int                     asking;     /* this server takes it as an exception */
    int                     fresh;      /* the connection is new */
    int                     sent;       /* some of it may have arrived */
    int                     tries;
} ask_t;

/* ------------------------------------------------------------------ one try */

static redis_word_t ask_life(apr_time_t expires, apr_pool_t *pool)
{
    apr_time_t left;

    if (expires == BSESSION_KEEP || expires == 0) {
        return redis_word(expires == 0 ? "n" : "k");
    }
    left = expires - apr_time_now();
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

/** Until the server has begun to answer, or there is nobody else to ask: whoever is silent may have
 *  been replaced meanwhile, and then nobody waits for it any longer. */
static apr_status_t ask_listen(ask_t *ask, bsession_call_t *call)
{
    apr_time_t until;

    if (ask->asking || !redis_topology_can_change(ask->topology)) {
        return APR_SUCCESS;
    }
    while ((until = redis_clock() + ASK_SILENCE) < call->deadline) {
        if (redis_link_hears(ask->link, until)) {
            break;
        }
        if (!redis_topology_keeps(ask->topology, ask->node, call)) {
            redis_link_close(ask->link);
            apr_snprintf(call->why, sizeof call->why, "%s: the server is silent, and another one "
                         "has taken over", redis_address_text(&ask->node->address, call->pool));
            return APR_TIMEUP;
        }
    }
    return APR_SUCCESS;
}

static apr_status_t ask_ready(ask_t *ask, bsession_call_t *call)
{
    apr_status_t status;

    ask->fresh = !redis_link_is_open(ask->link);
    if (ask->fresh && !redis_topology_confirms(ask->topology, ask->node, call)) {
        apr_snprintf(call->why, sizeof call->why, "%s: the server is the master no more",
                     redis_address_text(&ask->node->address, call->pool));
        return APR_EGENERAL;
    }
    status = redis_link_ready(ask->link, call);
    if (status != APR_SUCCESS || ask->question->reads || redis_link_is_settled(ask->link)) {
        return status;
    }
    status = redis_link_send(ask->link, call);
    if (status == APR_SUCCESS) {
        status = ask_listen(ask, call);
    }
    return status == APR_SUCCESS ? redis_link_settle(ask->link, call) : status;
}

/** ASKING is good for one command, and goes before each. */
static apr_status_t ask_send(ask_t *ask, bsession_call_t *call)
{
    redis_word_t asking = redis_word("ASKING");
    apr_status_t status = ask_ready(ask, call);
    int i;

    if (ask->question->life) {
        *ask->question->life = ask_life(ask->question->expires, call->pool);
    }
    for (i = 0; status == APR_SUCCESS && i < ask->question->ncommands; i++) {
        if (ask->asking) {
            status = redis_link_add(ask->link, &asking, 1);
        }
        if (status == APR_SUCCESS) {
            status = ask_add(ask, &ask->question->commands[i], call);
        }
    }
    if (status == APR_SUCCESS) {
        ask->sent = 1;
        status = redis_link_send(ask->link, call);
    }
    return status;
}

static apr_status_t ask_read(ask_t *ask, redisReply **reply, bsession_call_t *call)
{
    apr_status_t status = redis_link_read(ask->link, reply, call);

    if (status == APR_SUCCESS && (*reply)->type == REDIS_REPLY_ERROR && !ask->error) {
        ask->error = *reply;
    }
    return status;
}

static apr_status_t ask_once(ask_t *ask, bsession_call_t *call)
{
    apr_status_t status;
    redisReply *asking;
    int i;

    ask->sent = 0;
    ask->error = NULL;
    status = ask_send(ask, call);
    if (status == APR_SUCCESS) {
        status = ask_listen(ask, call);
    }
    for (i = 0; status == APR_SUCCESS && i < ask->question->ncommands; i++) {
        if (ask->asking) {
            status = ask_read(ask, &asking, call);
        }
        if (status == APR_SUCCESS) {
            status = ask_read(ask, &ask->replies[i], call);
        }
    }
    return status;
}

/* ------------------------------------------------------------------ errors */

static int ask_error_is(const redisReply *error, const char *word)
{
    apr_size_t len = strlen(word);

    return strncmp(error->str, word, len) == 0
           && (error->str[len] == ' ' || error->str[len] == '\0');
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

/** By a command, or from within a script of version 6. */
static int ask_write_is_refused(const redisReply *error, const char *word)
{
    char within[32];

    apr_snprintf(within, sizeof within, " -%s ", word);
    return ask_error_is(error, word) || strstr(error->str, within) != NULL;
}

/** Of a server that takes no change for now, has made none, and can be read: what to say of it.
 *  NULL where it is something else. */
static const char *ask_is_full(const redisReply *error)
{
    static const struct {
        const char *word, *hint;
    } full[] = {
        { "OOM", "OOM: its maxmemory is reached" },
        { "MISCONF", "MISCONF: it cannot write to its disk" },
        { "READONLY", "READONLY: it is a replica" },
        { "NOREPLICAS", "NOREPLICAS: it has fewer replicas than min-replicas-to-write" }
    };
    apr_size_t i;

    for (i = 0; i < sizeof full / sizeof *full; i++) {
        if (ask_write_is_refused(error, full[i].word)) {
            return full[i].hint;
        }
    }
    return NULL;
}

int redis_ask_is_refusal(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && !ask_is_wrong_type(reply);
}

/** What to add where the first word of an error does not say what to do. */
static const char *ask_hint(const ask_t *ask)
{
    if (ask_is_forbidden(ask->error)) {
        return "NOPERM: its ACL does not let this user do what docs/backends.md lists";
    }
    if (ask_error_is(ask->error, "NOAUTH") || strstr(ask->error->str, "unauthenticated")) {
        return "NOAUTH: it wants a password: password=";
    }
    if (ask_error_is(ask->error, "MOVED") && !redis_topology_can_change(ask->topology)) {
        return "MOVED: it is a node of a Cluster, which wants cluster=on";
    }
    return ask_is_full(ask->error);
}

/** The first word of an error says what is wrong; what follows may quote us. */
static apr_status_t ask_refused(const ask_t *ask, bsession_call_t *call)
{
    const char *hint = ask_hint(ask);
    int len = hint ? (int)strlen(hint) : (int)strcspn(ask->error->str, " \r\n");

    if (ask_is_wrong_type(ask->error)) {
        return BSESSION_ECORRUPT;
    }
    apr_snprintf(call->why, sizeof call->why, "%s: the server refused with %.*s",
                 redis_address_text(&ask->node->address, call->pool), len,
                 hint ? hint : ask->error->str);
    return ask_is_full(ask->error) ? BSESSION_EFULL : APR_EGENERAL;
}

/* ------------------------------------------------------------------ another try */

/** These words of a server mean that nothing was done. */
static ask_turn_t ask_turn_for_error(ask_t *ask, bsession_call_t *call)
{
    static const char *const not_now[] = {
        "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS"
    };
    int moved = ask_error_is(ask->error, "MOVED");
    redis_node_t *to;
    apr_size_t i;

    if (moved || ask_error_is(ask->error, "ASK")) {
        redis_topology_redirect(ask->topology, ask->node, ask->error->str, moved, &to, call);
        if (!to) {
            redis_topology_doubt(ask->topology, ask->node);
            return ASK_LATER;
        }
        ask->next = to;
        ask->asking = !moved;
        return ASK_AGAIN;
    }
    if (ask_write_is_refused(ask->error, "READONLY")) {
        redis_topology_doubt(ask->topology, ask->node);
        return ASK_AGAIN;
    }
    for (i = 0; i < sizeof not_now / sizeof *not_now; i++) {
        if (ask_error_is(ask->error, not_now[i])) {
            redis_topology_doubt(ask->topology, ask->node);
            return ASK_LATER;
        }
    }
    return ASK_OVER;
}

/** What may have arrived goes out as what knows itself again. */
static void ask_turn_over(const ask_t *ask)
{
    if (ask->sent && ask->question->turns) {
        *ask->question->turns = ask->question->into;
    }
}

static ask_turn_t ask_turn_for_failure(ask_t *ask, apr_status_t status)
{
    if (!ask->link || status == APR_EACCES || status == BSESSION_ECORRUPT) {
        return ASK_OVER;
    }
    redis_topology_doubt(ask->topology, ask->node);
    if (ask->sent && !ask->question->again) {
        return ASK_OVER;
    }
    ask_turn_over(ask);
    return ASK_AGAIN;
}

/** Whether the failure of a connection is one to try again after with the same server: it was an
 *  old one, and it does not matter what has arrived. Who is silent is asked once. */
static int ask_may_repeat(const ask_t *ask, apr_status_t status)
{
    return !ask->fresh && ask->question->again && status != APR_TIMEUP
           && status != BSESSION_ECORRUPT;
}

/** Whether the same server is to be asked at once again; each reason is good for once. */
static int ask_once_more(ask_t *ask, apr_status_t status)
{
    if (status != APR_SUCCESS) {
        if (ask_may_repeat(ask, status)) {
            ask_turn_over(ask);
            return 1;
        }
        return 0;
    }
    if (!ask->error) {
        return 0;
    }
    /* of what these say nothing was done */
    if (ask->question->script && !ask->in_full && ask_error_is(ask->error, "NOSCRIPT")) {
        ask->in_full = 1;
        return 1;
    }
    /* it was made a replica. Where nothing but its name says who the master is, that may lead to
     * another one by now, which a connection that is there already does not notice */
    if (!ask->fresh && ask_write_is_refused(ask->error, "READONLY")
        && !redis_topology_can_change(ask->topology)) {
        redis_link_close(ask->link);
        return 1;
    }
    return 0;
}

static apr_status_t ask_until_said(ask_t *ask, bsession_call_t *call)
{
    apr_status_t status = redis_node_acquire(ask->node, &ask->link, call);

    if (status != APR_SUCCESS) {
        ask->link = NULL;
        return status;
    }
    do {
        status = ask_once(ask, call);
    } while (ask_once_more(ask, status));
    redis_node_release(ask->node, ask->link);
    return status;
}

/** 0 where the time is up before the next try. */
static int ask_pause(ask_t *ask, ask_turn_t turn, bsession_call_t *call)
{
    apr_time_t now = redis_clock();
    apr_interval_time_t pause = ASK_FIRST_PAUSE;
    int i;

    ask->tries++;
    if (turn == ASK_AGAIN && ask->tries < ASK_PROMPT_TRIES) {
        return now < call->deadline;
    }
    for (i = 1; i < ask->tries && pause < ASK_LONGEST_PAUSE; i++) {
        pause *= 2;
    }
    pause = pause / 2 + (apr_interval_time_t)((apr_uint64_t)now * APR_UINT64_C(0x9e3779b97f4a7c15)
                                              >> 40) % (pause / 2);
    if (now + pause >= call->deadline) {
        return 0;
    }
    apr_sleep(pause);
    return 1;
}

/* ------------------------------------------------------------------ as often as it takes */

/** At the owner, or where the try before was sent. */
static apr_status_t ask_find(ask_t *ask, const redis_word_t *name, bsession_call_t *call)
{
    if (ask->next) {
        ask->node = ask->next;
        ask->next = NULL;
        return APR_SUCCESS;
    }
    ask->asking = 0;
    return redis_topology_find(ask->topology, name, &ask->node, call);
}

static apr_status_t ask_try(ask_t *ask, ask_turn_t *turn, const char **server,
                            bsession_call_t *call)
{
    apr_status_t status = ask_until_said(ask, call);

    *turn = ASK_OVER;
    if (status == APR_SUCCESS && ask->error && !ask->question->apart) {
        status = ask_refused(ask, call);
        if (redis_topology_can_change(ask->topology)) {
            *turn = ask_turn_for_error(ask, call);
        }
    }
    else if (status != APR_SUCCESS && redis_topology_can_change(ask->topology)) {
        *turn = ask_turn_for_failure(ask, status);
    }
    if (server) {
        *server = redis_address_text(&ask->node->address, call->pool);
    }
    return status;
}

apr_status_t redis_ask_node(redis_topology_t *topology, redis_node_t *node,
                            const redis_question_t *question, redisReply **replies,
                            bsession_call_t *call)
{
    ask_t ask = { .question = question, .topology = topology, .node = node, .replies = replies };
    ask_turn_t turn;
    apr_status_t status = ask_try(&ask, &turn, NULL, call);

    if (ask.next) {
        redis_topology_let_go(topology, ask.next);
    }
    return status;
}

apr_status_t redis_ask(redis_topology_t *topology, const redis_word_t *name,
                       const redis_question_t *question, redisReply **replies,
                       const char **server, bsession_call_t *call)
{
    ask_t ask = { .question = question, .topology = topology, .replies = replies };
    apr_status_t status;
    ask_turn_t turn;

    do {
        status = ask_find(&ask, name, call);
        turn = status == APR_EACCES ? ASK_OVER : ASK_LATER;
        if (status == APR_SUCCESS) {
            status = ask_try(&ask, &turn, server, call);
            redis_topology_let_go(topology, ask.node);
        }
    } while (turn != ASK_OVER && ask_pause(&ask, turn, call));
    if (ask.next) {
        redis_topology_let_go(topology, ask.next);
    }
    if (status == APR_SUCCESS) {
        call->why[0] = '\0';
    }
    return status;
}
