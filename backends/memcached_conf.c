/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memcached_conf.h"

#include <stdlib.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#define MC_PORT            11211
#define MC_CONNECT_TIMEOUT apr_time_from_sec(1)
#define MC_POOL_MAX        10000
#define MC_WEIGHT_MAX      1000
/* The ring has so many points for each server, in groups of four, dealt out by weight. */
#define MC_GROUPS          40

static const char *const mc_options[] = {
    "prefix", "user", "password", "pool", "connect_timeout", NULL
};

static int conf_number(int *number, const char *text, int low, int high)
{
    char *end;
    long value;

    if (!apr_isdigit(*text) || strlen(text) > 9) {
        return 0;
    }
    value = strtol(text, &end, 10);
    *number = (int)value;
    return *end == '\0' && value >= low && value <= high;
}

/* ------------------------------------------------------------------ the URL */

/** host, host:port, [::1] or [::1]:port. */
static int conf_address(mc_server_t *server, char *text)
{
    char *port = strchr(text, ':');
    int number = MC_PORT;

    if (*text == '[') {
        char *end = strchr(text, ']');

        if (!end || (end[1] && end[1] != ':')) {
            return 0;
        }
        port = end[1] ? end + 1 : NULL;
        *end = '\0';
        text++;
    }
    if (port) {
        *port++ = '\0';
    }
    server->host = text;
    if (!*text || strpbrk(text, " /@") || (port && !conf_number(&number, port, 1, 65535))) {
        return 0;
    }
    server->port = (apr_port_t)number;
    return 1;
}

/** No part of the URL is repeated: somebody may have put a password into it. */
static const char *conf_server(mc_server_t *server, char *text)
{
    char *weight = strchr(text, '?');
    int number = 1;

    if (weight) {
        *weight++ = '\0';
        if (!conf_number(&number, weight, 1, MC_WEIGHT_MAX)) {
            return "behind a host's ? stands its weight, from 1 to 1000, such as h1?2,h2?1";
        }
    }
    server->weight = (unsigned)number;
    if (*text == '/') {
        server->host = text;
        return strlen(text) > 100 ? "the path of a socket has 100 bytes at most" : NULL;
    }
    return conf_address(server, text) ? NULL
         : "a host is a name or address with a port or without, such as 127.0.0.1:11211 or "
           "[::1]:11211, or the path of a UNIX socket; several are separated by commas; a user "
           "goes into user= and password=";
}

/** A server that stands twice would be two in the ring, and one whose weight gets no point none. */
static const char *conf_ring(const mc_conf_t *conf)
{
    unsigned sum = 0;
    int i, j;

    for (i = 0; i < conf->nservers; i++) {
        const mc_server_t *one = &conf->servers[i];

        sum += one->weight;
        for (j = 0; j < i; j++) {
            if (strcmp(conf->servers[j].host, one->host) == 0
                && conf->servers[j].port == one->port) {
                return "the same server stands twice in the URL";
            }
        }
    }
    for (i = 0; i < conf->nservers; i++) {
        if (conf->servers[i].weight * MC_GROUPS * (unsigned)conf->nservers < sum) {
            return "the weights are too far apart: one server would get nothing";
        }
    }
    return NULL;
}

static const char *conf_url(mc_conf_t *conf, const char *url, apr_pool_t *pconf)
{
    apr_array_header_t *all = apr_array_make(pconf, 3, sizeof(mc_server_t));
    char *text = apr_pstrdup(pconf, strchr(url, ':') + 1), *host, *rest;
    const char *wrong = NULL;

    if (strncmp(text, "//", 2) != 0) {
        return "expected memcached://host:port,host:port or memcached:///path/of/a/socket";
    }
    for (host = apr_strtok(text + 2, ",", &rest); host && !wrong;
         host = apr_strtok(NULL, ",", &rest)) {
        mc_server_t *server = apr_array_push(all);

        memset(server, 0, sizeof *server);
        wrong = conf_server(server, host);
    }
    if (wrong) {
        return wrong;
    }
    if (!all->nelts) {
        return "the URL names no host; expected memcached://127.0.0.1:11211 or the like";
    }
    if (all->nelts > BSESSION_NODES) {
        return apr_psprintf(pconf, "%d servers at most", BSESSION_NODES);
    }
    conf->servers = (mc_server_t *)all->elts;
    conf->nservers = all->nelts;
    return conf_ring(conf);
}

/* ------------------------------------------------------------------ the options */

static const char *conf_who(mc_conf_t *conf)
{
    int i;

    if (!conf->user != !conf->password) {
        return "user= and password= go together";
    }
    for (i = 0; conf->user && i < conf->nservers; i++) {
        if (*conf->servers[i].host == '/') {
            return "user= and a UNIX socket do not go together: the client library logs in over "
                   "TCP only";
        }
    }
    return NULL;
}

/** It must be good for the text protocol. */
static const char *conf_prefix(mc_conf_t *conf, const char *prefix)
{
    const char *c;

    conf->prefix = prefix ? prefix : "bs:";
    conf->prefix_len = strlen(conf->prefix);
    for (c = conf->prefix; *c; c++) {
        if (apr_isspace(*c) || apr_iscntrl(*c)) {
            return "prefix= takes no blanks and no control characters";
        }
    }
    return conf->prefix_len > MC_PREFIX_MAX ? "prefix= takes 200 bytes at most" : NULL;
}

static const char *conf_rest(mc_conf_t *conf, const bsession_options_t *options,
                             const bsession_services_t *services, apr_pool_t *pconf)
{
    const char *pool = services->option(options, "pool");
    const char *text = services->option(options, "connect_timeout"), *expected;

    if (pool && !conf_number(&conf->pool, pool, 1, MC_POOL_MAX)) {
        return apr_psprintf(pconf, "pool=%s: expected a number from 1 to %d", pool, MC_POOL_MAX);
    }
    conf->connect_timeout = MC_CONNECT_TIMEOUT;
    if (text) {
        expected = services->parse_time(&conf->connect_timeout, text);
        if (expected || conf->connect_timeout < apr_time_from_msec(1)) {
            return apr_psprintf(pconf, "connect_timeout=%s: expected %s", text,
                                expected ? expected : "at least 1ms");
        }
    }
    return conf_prefix(conf, services->option(options, "prefix"));
}

const char *mc_conf_parse(mc_conf_t *conf, const char *url, const bsession_options_t *options,
                          const bsession_services_t *services, apr_pool_t *pconf)
{
    const char *wrong = services->check_options(options, mc_options, pconf);

    if (!wrong) {
        wrong = conf_url(conf, url, pconf);
    }
    if (wrong) {
        return wrong;
    }
    conf->user = services->option(options, "user");
    conf->password = services->option(options, "password");
    wrong = conf_who(conf);
    return wrong ? wrong : conf_rest(conf, options, services, pconf);
}

const char *mc_server_text(const mc_server_t *server, apr_pool_t *pool)
{
    return *server->host == '/' ? server->host
         : apr_psprintf(pool, strchr(server->host, ':') ? "[%s]:%d" : "%s:%d", server->host,
                        server->port);
}
