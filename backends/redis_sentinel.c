/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_sentinel.h"

#include <apr_strings.h>

apr_status_t redis_sentinel_read(const redis_conf_t *conf, const redis_address_t *sentinel,
                                 const redisReply *reply, redis_address_t *master,
                                 bsession_call_t *call)
{
    const char *name = redis_address_text(sentinel, call->pool);
    int port;

    if (reply->type == REDIS_REPLY_ERROR) {
        apr_snprintf(call->why, sizeof call->why, "Sentinel %s refused with %.*s", name,
                     (int)strcspn(reply->str, " \r\n"), reply->str);
        return APR_EGENERAL;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_STRING) {
        apr_snprintf(call->why, sizeof call->why, "Sentinel %s knows no master '%.40s'", name,
                     conf->service);
        return APR_EGENERAL;
    }
    if (!redis_conf_number(&port, reply->element[1]->str, 1, 65535)) {
        apr_snprintf(call->why, sizeof call->why, "Sentinel %s says no port of the master '%.40s'",
                     name, conf->service);
        return APR_EGENERAL;
    }
    memset(master, 0, sizeof *master);
    master->host = apr_pstrdup(call->pool, reply->element[0]->str);
    master->port = (apr_port_t)port;
    return APR_SUCCESS;
}

static apr_status_t sentinel_ask(const redis_conf_t *conf, const redis_address_t *sentinel,
                                 redis_address_t *master, bsession_call_t *call)
{
    redis_word_t words[3] = { redis_word("SENTINEL"), redis_word("get-master-addr-by-name"),
                              redis_word(conf->service) };
    redisReply *reply;
    apr_status_t status = redis_link_consult(sentinel, &conf->sentinel_login, words, 3, &reply,
                                             call);

    return status == APR_SUCCESS ? redis_sentinel_read(conf, sentinel, reply, master, call)
                                 : status;
}

/** Whether it says so itself: a connection that wants a master asks for the role. */
static apr_status_t sentinel_verify(const redis_conf_t *conf, const redis_address_t *master,
                                    bsession_call_t *call)
{
    redis_word_t role = redis_word("ROLE");
    redisReply *reply;

    return redis_link_consult(master, &conf->login, &role, 1, &reply, call);
}

/* The time is shared with all that still may have to be asked: the others, and the master. */
apr_status_t redis_sentinel_look(const redis_conf_t *conf, int *first, const redis_address_t *known,
                                 redis_address_t *master, bsession_call_t *call)
{
    apr_status_t status = APR_EGENERAL;
    int i;

    for (i = 0; i < conf->naddresses && call->deadline > redis_clock(); i++) {
        int which = (*first + i) % conf->naddresses;
        bsession_call_t part = *call;

        part.deadline = redis_link_share(call, conf->naddresses - i + 1);
        status = sentinel_ask(conf, &conf->addresses[which], master, &part);
        if (status == APR_SUCCESS && !(known && redis_address_is(known, master))) {
            part.deadline = redis_link_share(call, conf->naddresses - i + 1);
            status = sentinel_verify(conf, master, &part);
        }
        if (status == APR_SUCCESS) {
            *first = which;
            return APR_SUCCESS;
        }
        apr_cpystrn(call->why, part.why, sizeof call->why);
    }
    *first = (*first + 1) % conf->naddresses;
    return status;
}
