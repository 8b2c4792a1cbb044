/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file redis_ask.h
 * @brief A question to the server that holds a key, and its answer: what is sent again, and when.
 *
 * What never reached a server may be sent again, once, on a new connection. What may have reached
 * it is sent again only where that does no harm. Where another server may have taken over
 * (Sentinel, Cluster), both go on, with pauses, until it has been found, and so does what a server
 * refuses for being the wrong one, or not ready: then nothing was done. All within the deadline.
 */
#ifndef REDIS_ASK_H
#define REDIS_ASK_H

#include "redis_script.h"
#include "redis_topology.h"

typedef struct {
    const redis_word_t *words;
    int                 count;
} redis_command_t;

typedef struct {
    const redis_command_t *commands;    /* sent together */
    int                    ncommands;
    redis_script_t        *script;      /* commands[0] begins EVALSHA, its digest; or NULL */
    int                    reads;       /* changes nothing: may share the first flight with AUTH */
    int                    again;       /* may be sent again though it may have been done ... */
    redis_word_t          *turns;       /* ... when this one of its words, if there is one, */
    redis_word_t           into;        /*     becomes this */
    redis_word_t          *life;        /* one of its words: what is left until `expires` when it
                                           goes out; NULL: there is none */
    apr_time_t             expires;
    int                    apart;       /* an error is the reply to one command, and no failure */
} redis_question_t;

/**
 * Asks the server that owns the name of a record.
 * @param replies  has room for one a command; they live as long as call->pool
 * @param server   what the server is called, for messages; NULL: nobody wants to know
 * @return APR_SUCCESS: all replies are there, none an error; BSESSION_ECORRUPT: the key holds
 *         something else; anything else: an outage, and call->why says which
 */
apr_status_t redis_ask(redis_topology_t *topology, const redis_word_t *name,
                       const redis_question_t *question, redisReply **replies,
                       const char **server, bsession_call_t *call);

/** The same of a server that is chosen already, and of no other: scans, flights. */
apr_status_t redis_ask_node(redis_topology_t *topology, redis_node_t *node,
                            const redis_question_t *question, redisReply **replies,
                            bsession_call_t *call);

/** Whether this, where errors are no failure, is one that says nothing of the key. */
int          redis_ask_is_refusal(const redisReply *reply);

#endif
