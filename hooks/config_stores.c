/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The stores: defined by directives, and checked when all is read. */

#include "config.h"

#include <string.h>

#include "ap_provider.h"
#include "apr_lib.h"
#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"

#include "secret_source.h"
#include "secrets.h"
#include "socache.h"

APLOG_USE_MODULE(bsession);

#define STORE_TIMEOUT apr_time_from_sec(2)

/* ---- defining ---- */

static int scheme_length(const char *url)
{
    const char *colon = strchr(url, ':');

    return colon ? (int)(colon - url) : 0;
}

static const char *known_schemes(apr_pool_t *p)
{
    apr_array_header_t *names = ap_list_provider_names(p, BSESSION_PROVIDER_GROUP,
                                                       BSESSION_PROVIDER_VERSION);
    const char *text = "";
    int i;

    for (i = 0; i < names->nelts; i++) {
        text = apr_pstrcat(p, text, i ? ", " : "",
                           APR_ARRAY_IDX(names, i, ap_list_provider_names_t).provider_name, ":",
                           NULL);
    }
    return text;
}

static const char *find_provider(const bsession_provider_t **provider, const char *url,
                                 apr_pool_t *p)
{
    apr_size_t len = (apr_size_t)scheme_length(url);
    const char *scheme = apr_pstrmemdup(p, url, len);

    if (len == 0 || strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789+-.") < len) {
        return apr_psprintf(p, "the URL begins with its scheme: the stores to be had are %s",
                            known_schemes(p));
    }
    *provider = ap_lookup_provider(BSESSION_PROVIDER_GROUP, scheme, BSESSION_PROVIDER_VERSION);
    if (!*provider) {
        /* the rest of the URL may have a password in it */
        return apr_psprintf(p, "no module that is loaded serves \"%s:\": the stores to be had are %s",
                            scheme, known_schemes(p));
    }
    if ((*provider)->abi != BSESSION_PROVIDER_ABI) {
        return apr_psprintf(p, "the module for \"%s:\" was built for another version of "
                            "mod_bsession (its ABI is %d, ours %d): build it anew", scheme,
                            (*provider)->abi, BSESSION_PROVIDER_ABI);
    }
    return NULL;
}

bs_store_conf_t *bs_name_store(bs_stores_t *stores, const char *name, const char *at,
                               apr_pool_t *p)
{
    bs_store_conf_t *store;
    int i;

    for (i = 0; i < stores->list->nelts; i++) {
        store = APR_ARRAY_IDX(stores->list, i, bs_store_conf_t *);
        if (strcmp(store->store.name, name) == 0) {
            return store;
        }
    }
    store = apr_pcalloc(p, sizeof *store);
    store->store.name = apr_pstrdup(p, name);
    store->named_at = at;
    APR_ARRAY_PUSH(stores->list, bs_store_conf_t *) = store;
    return store;
}

bs_store_conf_t *bs_find_store(const bs_stores_t *stores, const char *name)
{
    int i;

    for (i = 0; name && i < stores->list->nelts; i++) {
        bs_store_conf_t *store = APR_ARRAY_IDX(stores->list, i, bs_store_conf_t *);

        if (store->store.provider && strcmp(store->store.name, name) == 0) {
            return store;
        }
    }
    return name ? NULL : stores->fallback;
}

static int is_given_before(char *const words[], int at, apr_size_t name_len)
{
    int i;

    for (i = 0; i < at; i++) {
        if (strncasecmp(words[i], words[at], name_len + 1) == 0) {
            return 1;
        }
    }
    return 0;
}

/** A password may be said by the place where it is. */
static const char *read_password(const char **value, const char *name, server_rec *s, apr_pool_t *p)
{
    apr_size_t len = strlen(name), ending = strlen("password");
    bsession_bytes_t password;
    const char *wrong;

    if (len < ending || strcasecmp(name + len - ending, "password") != 0
        || !bs_is_secret_source(*value)) {
        return NULL;
    }
    wrong = bs_read_secret(&password, *value, s, p);
    if (wrong) {
        return apr_psprintf(p, "%s=: %s", name, wrong);
    }
    if (password.len == 0 || memchr(password.data, '\0', password.len)) {
        return apr_psprintf(p, "%s=: the password there %s", name,
                            password.len ? "has a NUL in it" : "is empty");
    }
    *value = password.data;
    return NULL;
}

/** `key=value` words: the core's are taken, the rest is the backend's. */
static const char *split_options(bs_store_t *store, bsession_options_t *options, int count,
                                 char *const words[], server_rec *s, apr_pool_t *p)
{
    bsession_option_t *list = apr_pcalloc(p, (apr_size_t)(count + 1) * sizeof *list);
    const char *wrong = NULL;
    int i, taken;

    options->list = list;
    options->count = 0;
    for (i = 0; i < count && !wrong; i++) {
        const char *equals = strchr(words[i], '=');
        const char *name;

        if (!equals || equals == words[i]) {
            /* it may be the rest of a password */
            return apr_psprintf(p, "word %d is no option: they are written key=value, and one with "
                                "spaces in it stands in quotes as a whole", i + 3);
        }
        name = apr_pstrmemdup(p, words[i], (apr_size_t)(equals - words[i]));
        if (is_given_before(words, i, (apr_size_t)(equals - words[i]))) {
            return apr_psprintf(p, "%s= is given twice", name);
        }
        wrong = bs_store_option(store, name, equals + 1, p, &taken);
        if (!taken) {
            bsession_option_t *option = &list[options->count++];

            option->name = name;
            option->value = equals + 1;
            wrong = read_password(&option->value, name, s, p);
        }
    }
    return wrong;
}

static const char *with_scheme_in_lower_case(const char *url, apr_pool_t *p)
{
    char *copy = apr_pstrdup(p, url);
    int i;

    for (i = 0; i < scheme_length(url); i++) {
        copy[i] = apr_tolower(copy[i]);
    }
    return copy;
}

static const char *define(bs_stores_t *stores, bs_store_t *store, const char *url, int count,
                          char *const words[], server_rec *s, apr_pool_t *p)
{
    static const bs_breaker_rule_t breaker = BS_BREAKER_DEFAULT;
    const bsession_provider_t *provider = NULL;
    bsession_options_t options;
    const char *wrong;

    store->timeout = STORE_TIMEOUT;
    store->breaker = breaker;
    url = with_scheme_in_lower_case(url, p);
    wrong = find_provider(&provider, url, p);
    if (!wrong) {
        wrong = split_options(store, &options, count, words, s, p);
    }
    if (!wrong) {
        wrong = provider->create(&store->backend, store->name, url, &options, &stores->services, p);
    }
    if (!wrong) {
        store->provider = provider;
    }
    return wrong;
}

const char *bs_define_store(cmd_parms *cmd, int argc, char *const argv[])
{
    bs_stores_t *stores = bs_server_conf(cmd->server)->stores;
    const char *definition = "", *wrong;
    bs_store_conf_t *store;
    int i;

    if (argc < 2) {
        return "BSessionStore takes a name, a URL such as memory:, and options such as size=64M";
    }
    if (strspn(argv[0], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
        != strlen(argv[0]) || strlen(argv[0]) > 64 || !*argv[0]) {
        return "BSessionStore: a name is 1 to 64 letters, digits, _, - and .";
    }
    for (i = 1; i < argc; i++) {
        definition = apr_pstrcat(cmd->pool, definition, argv[i], "\n", NULL);
    }
    store = bs_name_store(stores, argv[0], NULL, cmd->pool);
    if (store->definition) {
        return strcmp(store->definition, definition) == 0 ? NULL
             : apr_psprintf(cmd->pool, "BSessionStore: \"%s\" is defined already, and differently: "
                            "a store's name is known in the whole server", argv[0]);
    }
    wrong = define(stores, &store->store, argv[1], argc - 2, argv + 2, cmd->server,
                   cmd->pool);
    store->definition = definition;
    return wrong ? apr_psprintf(cmd->pool, "BSessionStore %s: %s", argv[0], wrong) : NULL;
}

/* ---- when all is read ---- */

/** `default`, else the only one there is, else none; where nothing is defined at all, memory:. */
static const char *settle_fallback(bs_stores_t *stores, server_rec *s, apr_pool_t *p)
{
    bs_store_conf_t *store, *only = NULL;
    int i, defined = 0;

    for (i = 0; i < stores->list->nelts; i++) {
        store = APR_ARRAY_IDX(stores->list, i, bs_store_conf_t *);
        if (store->store.provider) {
            defined++;
            only = store;
            if (strcmp(store->store.name, "default") == 0) {
                stores->fallback = store;
            }
        }
    }
    if (stores->fallback || defined) {
        stores->fallback = stores->fallback ? stores->fallback : (defined == 1 ? only : NULL);
        return NULL;
    }
    store = bs_name_store(stores, "default", NULL, p);
    store->implied = 1;
    stores->fallback = store;
    return define(stores, &store->store, "memory:", 0, NULL, s, p);
}

static int check_names(const bs_stores_t *stores, const server_rec *s)
{
    int i, status = OK;

    for (i = 0; i < stores->list->nelts; i++) {
        const bs_store_conf_t *store = APR_ARRAY_IDX(stores->list, i, bs_store_conf_t *);

        if (!store->store.provider) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "%s: no BSessionStore defines \"%s\"",
                         store->named_at, store->store.name);
            status = HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return status;
}

static const bs_dir_conf_t *effective(const bs_place_t *place, apr_pool_t *p)
{
    void *base = ap_get_module_config(place->server->lookup_defaults, &bsession_module);

    return base == place->conf ? place->conf : bs_merge_dir_conf(p, base, place->conf);
}

static int some_place_chooses(const bs_stores_t *stores, const server_rec *s)
{
    int i;

    for (i = 0; i < stores->places->nelts; i++) {
        const bs_place_t *place = &APR_ARRAY_IDX(stores->places, i, bs_place_t);

        if (place->server == s && place->conf->use) {
            return 1;
        }
    }
    return 0;
}

/** Several stores, none of them called default, and nobody who chooses. Where some places of a
 *  server choose, an outer one may do so for an inner, which cannot be seen from here: a request
 *  tells. */
static int check_choice(const bs_stores_t *stores, const server_rec *s, apr_pool_t *p)
{
    int i;

    for (i = 0; !stores->fallback && i < stores->places->nelts; i++) {
        const bs_place_t *place = &APR_ARRAY_IDX(stores->places, i, bs_place_t);
        const bs_dir_conf_t *conf = effective(place, p);

        if (bs_mode(conf) != BS_OFF && !conf->use && !some_place_chooses(stores, place->server)) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "%s: of several stores none is called "
                         "\"default\": say which with BSessionUse", place->at);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

/** A place whose sessions are to move to where they are already. */
static int check_moves(const bs_stores_t *stores, apr_pool_t *p)
{
    int i;

    for (i = 0; i < stores->places->nelts; i++) {
        const bs_place_t *place = &APR_ARRAY_IDX(stores->places, i, bs_place_t);
        const bs_dir_conf_t *conf = effective(place, p);
        const bs_store_conf_t *older = bs_conf_older(conf);

        if (place->conf->older && older && older == bs_conf_store(conf, place->server)) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, place->server, "%s: BSessionMigrateFrom %s: this is "
                         "the store in use: name another one, where the sessions were before",
                         place->at, older->store.name);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

static int paths_overlap(const char *a, const char *b)
{
    apr_size_t len = strlen(a) < strlen(b) ? strlen(a) : strlen(b);

    return strncmp(a, b, len) == 0;
}

/** Each would take the other's token for a stranger's. */
static int get_in_each_others_way(const bs_dir_conf_t *one, const bs_dir_conf_t *other,
                                  const server_rec *s)
{
    return bs_mode(one) != BS_OFF && bs_mode(other) != BS_OFF
        && bs_conf_store(one, s) != bs_conf_store(other, s)
        && strcmp(bs_conf_cookie(one)->name, bs_conf_cookie(other)->name) == 0
        && paths_overlap(bs_conf_cookie(one)->path, bs_conf_cookie(other)->path);
}

/** Places are remembered in the order of the configuration, so those of a server stand together. */
static void warn_of_shared_cookies(const bs_stores_t *stores, apr_pool_t *p)
{
    const bs_place_t *places = (const bs_place_t *)stores->places->elts;
    const bs_dir_conf_t **confs = apr_palloc(p, (apr_size_t)(stores->places->nelts + 1)
                                                * sizeof *confs);
    int i, j;

    for (i = 0; i < stores->places->nelts; i++) {
        confs[i] = effective(&places[i], p);
        for (j = i; j-- > 0 && places[j].server == places[i].server; ) {
            if (get_in_each_others_way(confs[i], confs[j], places[i].server)) {
                ap_log_error(APLOG_MARK, APLOG_WARNING, 0, places[i].server, "%s and %s: two stores "
                             "with one cookie, \"%s\", on paths that overlap: each visit to one ends "
                             "the session in the other; give one a BSessionCookie of its own",
                             places[j].at, places[i].at, bs_conf_cookie(confs[i])->name);
                return;
            }
        }
    }
}

/** A directory, or a table in the database of mod_dbd: where a store's records lie. NULL: others
 *  may share it on purpose, or nobody can. */
static const char *place_of(const bs_store_conf_t *store, apr_pool_t *p)
{
    char *rest = apr_pstrdup(p, store->definition ? store->definition : ""), *word;
    char *place = apr_strtok(rest, "\n", &rest);
    const char *table = "bsession";
    apr_size_t len;

    if (!place || (strncasecmp(place, "file:", 5) != 0 && strcasecmp(place, "dbd:") != 0)) {
        return NULL;
    }
    for (len = strlen(place); place[len - 1] == '/'; len--) {
        place[len - 1] = '\0';
    }
    while ((word = apr_strtok(NULL, "\n", &rest)) != NULL) {
        table = strncasecmp(word, "table=", 6) == 0 ? word + 6 : table;
    }
    return *place == 'f' || *place == 'F' ? place + 5 : table;
}

/** Each would take the other's sessions for its own, sweep them and count them. */
static void warn_of_shared_places(const bs_stores_t *stores, const server_rec *s, apr_pool_t *p)
{
    bs_store_conf_t *const *list = (bs_store_conf_t *const *)stores->list->elts;
    int i, j;

    for (i = 0; i < stores->list->nelts; i++) {
        const char *place = place_of(list[i], p);

        for (j = 0; place && j < i; j++) {
            const char *other = place_of(list[j], p);

            if (other && list[i]->store.provider == list[j]->store.provider
                && strcmp(place, other) == 0) {
                ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "BSessionStore %s: the store %s is in "
                             "the same place, %s, so that they are one: use that, or give this one a "
                             "place of its own", list[i]->store.name, list[j]->store.name, place);
            }
        }
    }
}

/** A realm is a name of 255 bytes at most. */
static int check_server_names(const server_rec *s)
{
    for (; s; s = s->next) {
        if (!bs_server_conf(s)->realm && s->server_hostname && strlen(s->server_hostname) > 255) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "%s:%u: this ServerName is longer than 255 bytes: "
                         "give the host a BSessionRealm", s->defn_name ? s->defn_name : "httpd.conf",
                         s->defn_line_number);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

int bs_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    bs_stores_t *stores = bs_server_conf(s)->stores;
    const char *wrong = settle_fallback(stores, s, pconf);

    (void)plog;
    if (wrong) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "the default store, memory:, %s", wrong);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (check_names(stores, s) != OK || check_server_names(s) != OK
        || bs_check_secrets(s) != OK || bs_check_socaches(pconf, s) != OK) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (check_choice(stores, s, ptemp) != OK || check_moves(stores, ptemp) != OK) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    warn_of_shared_cookies(stores, ptemp);
    warn_of_shared_places(stores, s, ptemp);
    return OK;
}
