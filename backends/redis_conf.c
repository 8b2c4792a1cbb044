/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "redis_conf.h"

#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <openssl/err.h>

#define REDIS_CONNECT_TIMEOUT apr_time_from_sec(1)
#define REDIS_POOL_MAX        10000

static const char *const redis_options[] = {
    "prefix", "user", "password", "tls", "ca", "cert", "key", "verify", "servername", "sentinel",
    "sentinel_user", "sentinel_password", "cluster", "pool", "connect_timeout", "replicas", NULL
};

/* ------------------------------------------------------------------ the URL */

static int conf_hex(char c)
{
    if (apr_isdigit(c)) {
        return c - '0';
    }
    c = (char)apr_tolower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** %40 and its like, in place; 0 where a % is followed by anything else, or by 00. */
static int conf_decode(char *text)
{
    char *to = text;

    for (; *text; text++) {
        if (*text == '%') {
            int high = conf_hex(text[1]), low = high < 0 ? -1 : conf_hex(text[2]);

            if (low < 0 || !(high || low)) {
                return 0;
            }
            *to++ = (char)(high << 4 | low);
            text += 2;
        }
        else {
            *to++ = *text;
        }
    }
    *to = '\0';
    return 1;
}

int redis_conf_number(int *number, const char *text, int low, int high)
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

/** user:password@, which may be encoded. */
static const char *conf_user(redis_conf_t *conf, char **rest)
{
    char *at = strrchr(*rest, '@'), *colon;

    if (!at) {
        return NULL;
    }
    *at = '\0';
    if (strchr(*rest, '@') && strchr(*rest, ',')) {
        return "user and password stand once, before all hosts; an @ in a password is written %40";
    }
    colon = strchr(*rest, ':');
    if (colon) {
        *colon = '\0';
        conf->login.password = colon + 1;
        if (!conf_decode(colon + 1)) {
            return "a % in the URL's password is followed by two hex digits";
        }
    }
    conf->login.user = *rest;
    if (!conf_decode(*rest)) {
        return "a % in the URL's user is followed by two hex digits";
    }
    *rest = at + 1;
    return NULL;
}

/** host, host:port, [::1] or [::1]:port. */
static int conf_address(redis_address_t *address, char *text, apr_port_t standard)
{
    char *port = strchr(text, ':');
    int number = standard;

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
    address->host = text;
    if (!*text || text[strcspn(text, " ?#[]")] || (port && !redis_conf_number(&number, port, 1, 65535))) {
        return 0;
    }
    address->port = (apr_port_t)number;
    return 1;
}

static const char *conf_hosts(redis_conf_t *conf, char *text, apr_pool_t *pconf)
{
    apr_port_t standard = conf->layout == REDIS_SENTINEL ? REDIS_SENTINEL_PORT : REDIS_PORT;
    char *slash = strchr(text, '/'), *host, *rest;
    apr_array_header_t *all = apr_array_make(pconf, 3, sizeof(redis_address_t));

    if (slash) {
        *slash++ = '\0';
        if (*slash && !redis_conf_number(&conf->login.db, slash, 0, 1000000)) {
            return "behind the host's / stands the number of a database, such as /0; a / in a "
                   "password is written %2F";
        }
    }
    for (rest = text; *text && rest; ) {
        redis_address_t *address = apr_array_push(all);

        host = rest;
        rest = strchr(host, ',');
        if (rest) {
            *rest++ = '\0';
        }
        memset(address, 0, sizeof *address);
        if (!conf_address(address, host, standard)) {
            return "a host is a name or address with a port or without, such as 127.0.0.1:6379 or "
                   "[::1]:6379; several are separated by commas";
        }
    }
    if (!all->nelts) {
        return "the URL names no host; expected redis://127.0.0.1:6379/0 or the like";
    }
    conf->addresses = (redis_address_t *)all->elts;
    conf->naddresses = all->nelts;
    return conf->layout == REDIS_ALONE && all->nelts > 1
           ? "several hosts are Sentinels, with sentinel=, or nodes of a Cluster, with cluster=on"
           : NULL;
}

static const char *conf_socket(redis_conf_t *conf, char *path, apr_pool_t *pconf)
{
    char *db = strchr(path, '?');

    if (db) {
        *db++ = '\0';
        if (!redis_conf_number(&conf->login.db, db, 0, 1000000)) {
            return "behind the socket's ? stands the number of a database, such as "
                   "redis+unix:/run/redis.sock?1";
        }
    }
    if (*path != '/' || strlen(path) > 100) {
        return "redis+unix: is followed by the path of a socket, of 100 bytes at most, such as "
               "redis+unix:/run/redis/redis-server.sock";
    }
    conf->addresses = apr_pcalloc(pconf, sizeof *conf->addresses);
    conf->addresses->path = path;
    conf->naddresses = 1;
    return NULL;
}

/** The password must not stand in what configtest prints, and so no part of the URL does. */
static const char *conf_url(redis_conf_t *conf, const char *url, apr_pool_t *pconf)
{
    char *rest = apr_pstrdup(pconf, url);
    const char *wrong;

    if (strncmp(rest, "redis+unix:", 11) == 0) {
        return conf->layout != REDIS_ALONE ? "a UNIX socket is one server: neither sentinel= nor "
                                             "cluster=on goes with it"
                                           : conf_socket(conf, rest + 11, pconf);
    }
    rest += strncmp(rest, "rediss:", 7) == 0 ? 7 : 6;
    if (strncmp(rest, "//", 2) != 0) {
        return "expected redis://host:port/database, rediss:// for TLS, or redis+unix:/path";
    }
    rest += 2;
    wrong = conf_user(conf, &rest);
    return wrong ? wrong : conf_hosts(conf, rest, pconf);
}

/* ------------------------------------------------------------------ the options */

typedef struct {
    const bsession_options_t  *options;
    const bsession_services_t *services;
    apr_pool_t                *pconf;
} conf_words_t;

static const char *conf_option(const conf_words_t *words, const char *name)
{
    return words->services->option(words->options, name);
}

static const char *conf_flag(int *on, const conf_words_t *words, const char *name)
{
    const char *text = conf_option(words, name), *expected;

    if (!text) {
        return NULL;
    }
    expected = words->services->parse_flag(on, text);
    return expected ? apr_psprintf(words->pconf, "%s=%s: expected %s", name, text, expected) : NULL;
}

static const char *conf_count(int *count, const conf_words_t *words, const char *name, int low,
                              int high)
{
    const char *text = conf_option(words, name);

    if (!text || redis_conf_number(count, text, low, high)) {
        return NULL;
    }
    return apr_psprintf(words->pconf, "%s=%s: expected a number from %d to %d", name, text, low,
                        high);
}

static const char *conf_layout(redis_conf_t *conf, const conf_words_t *words)
{
    int cluster = 0;
    const char *wrong = conf_flag(&cluster, words, "cluster");

    conf->service = conf_option(words, "sentinel");
    conf->layout = cluster ? REDIS_CLUSTER : conf->service ? REDIS_SENTINEL : REDIS_ALONE;
    conf->login.master = conf->layout == REDIS_SENTINEL;
    if (!wrong && conf->service && !*conf->service) {
        wrong = "sentinel= takes the name that the Sentinels have for the master";
    }
    if (!wrong && cluster && conf->service) {
        wrong = "sentinel= and cluster=on do not go together";
    }
    return wrong;
}

static const char *conf_who(redis_conf_t *conf, const conf_words_t *words)
{
    const char *user = conf_option(words, "user"), *password = conf_option(words, "password");

    if ((user && conf->login.user && *conf->login.user) || (password && conf->login.password)) {
        return "the user or password stands twice, in the URL and as an option";
    }
    conf->login.user = user ? user : conf->login.user;
    conf->login.password = password ? password : conf->login.password;
    if (conf->login.user && *conf->login.user && !conf->login.password) {
        return "a user needs a password: password=";
    }
    conf->sentinel_login.user = conf_option(words, "sentinel_user");
    conf->sentinel_login.password = conf_option(words, "sentinel_password");
    if (!conf->service && (conf->sentinel_login.user || conf->sentinel_login.password)) {
        return "sentinel_user= and sentinel_password= go with sentinel=";
    }
    if (conf->sentinel_login.user && !conf->sentinel_login.password) {
        return "a user needs a password: sentinel_password=";
    }
    if (conf->layout == REDIS_CLUSTER && conf->login.db) {
        return "a Cluster has no databases but 0";
    }
    return NULL;
}

/** One that is given and says nothing is a mistake, and no default. */
static const char *conf_tls_words(redis_conf_t *conf, const conf_words_t *words)
{
    const char **to[] = { &conf->ca, &conf->cert, &conf->key, &conf->tls.servername };
    static const char *const names[] = { "ca", "cert", "key", "servername" };
    int i;

    for (i = 0; i < 4; i++) {
        *to[i] = conf_option(words, names[i]);
        if (*to[i] && !**to[i]) {
            return apr_psprintf(words->pconf, "%s= takes %s", names[i], i < 3 ? "the path of a file"
                                : "the name that the server's certificate has");
        }
    }
    return NULL;
}

static const char *conf_tls(redis_conf_t *conf, const conf_words_t *words, int secure)
{
    int on = secure;
    const char *wrong = conf_flag(&on, words, "tls");

    conf->tls.verify = 1;
    if (!wrong) {
        wrong = conf_flag(&conf->tls.verify, words, "verify");
    }
    if (!wrong) {
        wrong = conf_tls_words(conf, words);
    }
    if (wrong) {
        return wrong;
    }
    if (secure && !on) {
        return "rediss:// is TLS: tls=off goes with redis:// only";
    }
    if (!on && (conf->ca || conf->cert || conf->key || conf->tls.servername
                || conf_option(words, "verify"))) {
        return "ca=, cert=, key=, verify= and servername= go with rediss:// or tls=on";
    }
    if (!conf->cert != !conf->key) {
        return "cert= and key= go together";
    }
    conf->login.tls = conf->sentinel_login.tls = on ? &conf->tls : NULL;
    return NULL;
}

static const char *conf_rest(redis_conf_t *conf, const conf_words_t *words)
{
    const char *text = conf_option(words, "connect_timeout"), *expected;
    const char *wrong = conf_count(&conf->pool, words, "pool", 1, REDIS_POOL_MAX);

    if (!wrong) {
        wrong = conf_count(&conf->replicas, words, "replicas", 0, 100);
    }
    if (wrong) {
        return wrong;
    }
    conf->login.connect_timeout = REDIS_CONNECT_TIMEOUT;
    if (text) {
        expected = words->services->parse_time(&conf->login.connect_timeout, text);
        if (expected || conf->login.connect_timeout < apr_time_from_msec(1)) {
            return apr_psprintf(words->pconf, "connect_timeout=%s: expected %s", text,
                                expected ? expected : "at least 1ms");
        }
    }
    conf->sentinel_login.connect_timeout = conf->login.connect_timeout;
    conf->prefix = conf_option(words, "prefix");
    if (!conf->prefix) {
        conf->prefix = "bs:";
    }
    conf->prefix_len = strlen(conf->prefix);
    return conf->prefix_len > REDIS_PREFIX_MAX ? "prefix= takes 200 bytes at most" : NULL;
}

const char *redis_conf_parse(redis_conf_t *conf, const char *url, const bsession_options_t *options,
                             const bsession_services_t *services, apr_pool_t *pconf)
{
    conf_words_t words = { options, services, pconf };
    const char *wrong = services->check_options(options, redis_options, pconf);

    if (!wrong) {
        wrong = conf_layout(conf, &words);
    }
    if (!wrong) {
        wrong = conf_url(conf, url, pconf);
    }
    if (!wrong) {
        wrong = conf_who(conf, &words);
    }
    if (!wrong) {
        wrong = conf_tls(conf, &words, strncmp(url, "rediss:", 7) == 0);
    }
    return wrong ? wrong : conf_rest(conf, &words);
}

/* ------------------------------------------------------------------ TLS */

static apr_status_t conf_free_context(void *data)
{
    redis_conf_t *conf = data;

    SSL_CTX_free(conf->tls.context);
    conf->tls.context = NULL;
    return APR_SUCCESS;
}

/** Of what OpenSSL lists, the first is the cause. */
static apr_status_t conf_tls_fail(const char *what, const char *file, bsession_call_t *call)
{
    char text[120] = "";

    ERR_error_string_n(ERR_peek_error(), text, sizeof text);
    ERR_clear_error();
    apr_snprintf(call->why, sizeof call->why, "%s%s%s cannot be used: %s", what, file ? "=" : "",
                 file ? file : "", strrchr(text, ':') ? strrchr(text, ':') + 1 : text);
    return APR_EGENERAL;
}

/** OpenSSL would ask at the terminal, and httpd would wait there for an answer. */
static int conf_pass_phrase(char *to, int size, int writing, void *wanted)
{
    (void)to, (void)size, (void)writing;
    *(int *)wanted = 1;
    return -1;
}

static apr_status_t conf_tls_key(const redis_conf_t *conf, SSL_CTX *context, bsession_call_t *call)
{
    int wanted = 0, good;

    SSL_CTX_set_default_passwd_cb(context, conf_pass_phrase);
    SSL_CTX_set_default_passwd_cb_userdata(context, &wanted);
    good = SSL_CTX_use_PrivateKey_file(context, conf->key, SSL_FILETYPE_PEM) == 1
           && SSL_CTX_check_private_key(context) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
    if (wanted) {
        ERR_clear_error();
        apr_snprintf(call->why, sizeof call->why, "key=%s cannot be used: it wants a pass phrase",
                     conf->key);
        return APR_EGENERAL;
    }
    return good ? APR_SUCCESS : conf_tls_fail("key", conf->key, call);
}

/** A system that wants a later version at least keeps it. */
static void conf_context_rules(SSL_CTX *context)
{
    if (SSL_CTX_get_min_proto_version(context) < TLS1_2_VERSION) {
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    }
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

apr_status_t redis_conf_open(redis_conf_t *conf, bsession_call_t *call)
{
    apr_status_t status;
    SSL_CTX *context;

    if (!conf->login.tls) {
        return APR_SUCCESS;
    }
    ERR_clear_error();
    context = SSL_CTX_new(TLS_client_method());
    if (!context) {
        return conf_tls_fail("TLS", NULL, call);
    }
    conf->tls.context = context;
    apr_pool_cleanup_register(call->pool, conf, conf_free_context, apr_pool_cleanup_null);
    conf_context_rules(context);
    if (conf->ca ? SSL_CTX_load_verify_file(context, conf->ca) != 1
                 : SSL_CTX_set_default_verify_paths(context) != 1) {
        return conf_tls_fail("ca", conf->ca, call);
    }
    if (conf->cert && SSL_CTX_use_certificate_chain_file(context, conf->cert) != 1) {
        return conf_tls_fail("cert", conf->cert, call);
    }
    if (conf->key && (status = conf_tls_key(conf, context, call)) != APR_SUCCESS) {
        return status;
    }
    if (!conf->tls.verify) {
        apr_snprintf(call->why, sizeof call->why, "verify=off: whoever can stand between this host "
                     "and Redis can read and change sessions");
    }
    return APR_SUCCESS;
}

const char *redis_conf_try(const redis_conf_t *conf, apr_pool_t *pconf)
{
    redis_conf_t trial = *conf;
    bsession_call_t call = { 0 };
    const char *wrong = NULL;

    if (apr_pool_create(&call.pool, pconf) != APR_SUCCESS) {
        return "there is no memory";
    }
    if (redis_conf_open(&trial, &call) != APR_SUCCESS) {
        wrong = apr_pstrdup(pconf, call.why);
    }
    apr_pool_destroy(call.pool);
    return wrong;
}
