/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * What a round trip to Redis costs inside httpd, with nothing around it: each request of the server
 *
 *     BenchHiredis PORT KEY
 *
 * asks for a hash on its thread's own connection, by hiredis, and forgets the answer.
 */

#include "httpd.h"
#include "http_config.h"
#include "http_log.h"

#include <apr_cstr.h>
#include <hiredis/hiredis.h>

static int         hiredis_port;
static const char *hiredis_key;

static __thread redisContext *hiredis_connection;

extern module AP_MODULE_DECLARE_DATA bench_hiredis_module;

static const char *hiredis_set(cmd_parms *cmd, void *config, const char *port, const char *key)
{
    (void)cmd;
    (void)config;
    hiredis_key = key;
    return apr_cstr_atoi(&hiredis_port, port) == APR_SUCCESS ? NULL : "expected a port and a key";
}

static int hiredis_fixups(request_rec *r)
{
    redisReply *reply;
    int good;

    if (!hiredis_key || r->main) {
        return DECLINED;
    }
    if (!hiredis_connection) {
        hiredis_connection = redisConnect("127.0.0.1", hiredis_port);
    }
    reply = hiredis_connection && !hiredis_connection->err
          ? redisCommand(hiredis_connection, "HGETALL %s", hiredis_key) : NULL;
    good = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements > 10;
    if (reply) {
        freeReplyObject(reply);
    }
    if (!good) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "bench: no such hash in Redis");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return DECLINED;
}

static void hiredis_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_fixups(hiredis_fixups, NULL, NULL, APR_HOOK_MIDDLE);
}

static const command_rec hiredis_directives[] = {
    AP_INIT_TAKE2("BenchHiredis", hiredis_set, NULL, RSRC_CONF, "a port and a key"),
    { NULL }
};

AP_DECLARE_MODULE(bench_hiredis) = {
    STANDARD20_MODULE_STUFF,
    .cmds = hiredis_directives,
    .register_hooks = hiredis_hooks
};
