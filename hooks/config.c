/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The directives, their defaults and how places inherit them. */

#include "config.h"

#include <string.h>

#include "apr_strings.h"
#include "http_core.h"

#include "mod_bsession.h"
#include "parse.h"
#include "secrets.h"

#define STORES_KEY          "mod_bsession:stores"
#define DEFAULT_IDLE        apr_time_from_sec(300)
/* Longer ones browsers cut, and with Lifetime=idle the cookie's life is this one. */
#define LONGEST_IDLE        apr_time_from_sec(400 * 24 * 3600)
#define LONGEST_ABSOLUTE    apr_time_from_sec((apr_time_t)36500 * 24 * 3600)
#define DEFAULT_ABSOLUTE    apr_time_from_sec(24 * 3600)
#define DEFAULT_MAX_BYTES   (64 * 1024)
#define DEFAULT_MAX_KEYS    256
/* A lookup walks the table: past this one wants a database, not a session. */
#define MOST_KEYS           10000

/* ---- conf structs ---- */

void *bs_create_dir_conf(apr_pool_t *p, char *path)
{
    bs_dir_conf_t *conf = apr_pcalloc(p, sizeof *conf);

    (void)path;
    conf->mode = conf->slide_on_write = conf->anonymous = conf->write_back = BS_UNSET;
    conf->env.which = conf->header.which = BS_UNSET;
    conf->idle = conf->absolute = BS_UNSET;
    conf->max_bytes = conf->max_keys = BS_UNSET;
    return conf;
}

#define INHERIT(field, unset) \
    merged->field = in->field != (unset) ? in->field : out->field

void *bs_merge_dir_conf(apr_pool_t *p, void *outer, void *inner)
{
    const bs_dir_conf_t *out = outer, *in = inner;
    bs_dir_conf_t *merged;

    if (!out->said || !in->said) {      /* httpd merges for each request */
        return out->said ? outer : inner;
    }
    merged = apr_pcalloc(p, sizeof *merged);
    merged->said = 1;
    INHERIT(mode, BS_UNSET);
    INHERIT(use, NULL);
    INHERIT(older, NULL);
    INHERIT(cookie, NULL);
    merged->brief = in->cookie ? in->brief : out->brief;
    INHERIT(idle, BS_UNSET);
    INHERIT(absolute, BS_UNSET);
    INHERIT(slide_on_write, BS_UNSET);
    INHERIT(max_bytes, BS_UNSET);
    INHERIT(max_keys, BS_UNSET);
    INHERIT(anonymous, BS_UNSET);
    INHERIT(rotate, NULL);
    INHERIT(lock, NULL);
    INHERIT(user, NULL);
    INHERIT(bind, NULL);
    merged->env = in->env.which != BS_UNSET ? in->env : out->env;
    merged->header = in->header.which != BS_UNSET ? in->header : out->header;
    INHERIT(write_back, BS_UNSET);
    return merged;
}

/** One list of stores for all servers of one reading of the configuration. */
static bs_stores_t *stores_of(apr_pool_t *pconf, server_rec *s)
{
    void *found = NULL;
    bs_stores_t *stores;

    apr_pool_userdata_get(&found, STORES_KEY, pconf);
    if (found) {
        return found;
    }
    stores = apr_pcalloc(pconf, sizeof *stores);
    stores->list = apr_array_make(pconf, 4, sizeof(bs_store_conf_t *));
    stores->places = apr_array_make(pconf, 4, sizeof(bs_place_t));
    bs_services_init(&stores->services, s->process->pool);
    apr_pool_userdata_set(stores, STORES_KEY, apr_pool_cleanup_null, pconf);
    return stores;
}

void *bs_create_server_conf(apr_pool_t *p, server_rec *s)
{
    bs_server_conf_t *conf = apr_pcalloc(p, sizeof *conf);

    conf->stores = stores_of(p, s);
    conf->sealing = BS_UNSET;
    conf->cookie_names = apr_array_make(p, 2, sizeof(const char *));
    return conf;
}

void *bs_merge_server_conf(apr_pool_t *p, void *main_conf, void *host_conf)
{
    const bs_server_conf_t *main_server = main_conf, *host = host_conf;
    bs_server_conf_t *merged = apr_pcalloc(p, sizeof *merged);

    merged->stores = main_server->stores;
    merged->secrets = host->secrets ? host->secrets : main_server->secrets;
    merged->sealing = host->sealing != BS_UNSET ? host->sealing : main_server->sealing;
    merged->realm = host->realm ? host->realm : main_server->realm;
    merged->cookie_names = apr_array_append(p, main_server->cookie_names, host->cookie_names);
    return merged;
}

/* ---- effective values ---- */

const bs_cookie_t *bs_conf_cookie(const bs_dir_conf_t *conf)
{
    return conf->cookie ? conf->cookie : &bs_cookie_default;
}

bs_store_conf_t *bs_conf_store(const bs_dir_conf_t *conf, const server_rec *s)
{
    return conf->use ? conf->use : bs_server_conf(s)->stores->fallback;
}

bs_store_conf_t *bs_conf_older(const bs_dir_conf_t *conf)
{
    return conf->older && conf->older->store.name ? conf->older : NULL;
}

#define OR_DEFAULT(value, standard) ((value) != BS_UNSET ? (value) : (standard))

apr_size_t bs_conf_max_bytes(const bs_dir_conf_t *conf)
{
    return (apr_size_t)OR_DEFAULT(conf->max_bytes, DEFAULT_MAX_BYTES);
}

apr_size_t bs_conf_max_fields(const bs_dir_conf_t *conf)
{
    return (apr_size_t)OR_DEFAULT(conf->max_keys, DEFAULT_MAX_KEYS);
}

void bs_conf_terms(const bs_dir_conf_t *conf, bs_store_t *store, const server_rec *s,
                   bs_terms_t *terms)
{
    bs_store_conf_t *older = bs_conf_older(conf);

    memset(terms, 0, sizeof *terms);
    terms->store = store;
    if (older && older->store.shared && &older->store != store) {
        terms->older = &older->store;
    }
    memcpy(terms->realm, bs_server_conf(s)->realm_digest, BS_REALM_SIZE);
    terms->keys = bs_server_conf(s)->keys;
    terms->seal = bs_server_conf(s)->seal;
    terms->idle = OR_DEFAULT(conf->idle, DEFAULT_IDLE);
    terms->absolute = OR_DEFAULT(conf->absolute, DEFAULT_ABSOLUTE);
    terms->read_prolongs = OR_DEFAULT(conf->slide_on_write, 0) == 0 && conf->mode != BS_PASSIVE;
    terms->cookie_follows = bs_conf_cookie(conf)->life == BS_LIFE_IDLE;
    terms->rotate.grace = BS_DEFAULT_GRACE;
    if (conf->rotate) {
        terms->rotate = *conf->rotate;
    }
    if (conf->lock) {
        terms->lock = *conf->lock;
    }
    if (conf->user) {
        terms->user = *conf->user;
    }
    if (conf->bind) {
        terms->bind = *conf->bind;
    }
}

/* ---- directives ---- */

static const char *position(const cmd_parms *cmd)
{
    const ap_directive_t *at = cmd->directive;

    return apr_psprintf(cmd->pool, "%s:%d", at ? at->filename : "?", at ? at->line_num : 0);
}

/** .htaccess is read for a request: what it says is not kept for check_config, nor can be. */
static int from_htaccess(const cmd_parms *cmd)
{
    return cmd->pool == cmd->temp_pool;
}

static void remember_place(const cmd_parms *cmd, bs_dir_conf_t *conf)
{
    bs_place_t *place;

    if (!from_htaccess(cmd)) {
        place = apr_array_push(bs_server_conf(cmd->server)->stores->places);
        place->server = cmd->server;
        place->conf = conf;
        place->at = position(cmd);
    }
}

static const char *set_mode(cmd_parms *cmd, void *dir, const char *word)
{
    static const char *const words[] = { "Off", "On", "ReadOnly", "Passive" };
    bs_dir_conf_t *conf = bs_speak(dir);
    int i;

    for (i = 0; i < 4; i++) {
        if (strcasecmp(word, words[i]) == 0) {
            conf->mode = i;
            remember_place(cmd, conf);
            return NULL;
        }
    }
    return apr_psprintf(cmd->pool, "BSession takes Off, On, ReadOnly or Passive, not \"%s\"", word);
}

static const char *set_store(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT | NOT_IN_HTACCESS);

    (void)dir;
    return wrong ? wrong : bs_define_store(cmd, argc, argv);
}

/** The store of this name; from .htaccess one that is defined already, otherwise NULL. */
static bs_store_conf_t *named_store(cmd_parms *cmd, bs_dir_conf_t *conf, const char *name)
{
    bs_stores_t *stores = bs_server_conf(cmd->server)->stores;
    int i;

    if (!from_htaccess(cmd)) {
        remember_place(cmd, conf);
        return bs_name_store(stores, name, position(cmd), cmd->pool);
    }
    for (i = 0; i < stores->list->nelts; i++) {
        bs_store_conf_t *store = APR_ARRAY_IDX(stores->list, i, bs_store_conf_t *);

        if (strcmp(store->store.name, name) == 0 && store->store.provider) {
            return store;
        }
    }
    return NULL;
}

static const char *no_such_store(const cmd_parms *cmd, const char *name)
{
    return apr_psprintf(cmd->pool, "%s: no BSessionStore defines \"%s\"", cmd->cmd->name, name);
}

static const char *set_use(cmd_parms *cmd, void *dir, const char *name)
{
    bs_dir_conf_t *conf = bs_speak(dir);

    conf->use = named_store(cmd, conf, name);
    return conf->use ? NULL : no_such_store(cmd, name);
}

static const char *set_older(cmd_parms *cmd, void *dir, const char *name)
{
    static bs_store_conf_t off;
    bs_dir_conf_t *conf = bs_speak(dir);

    conf->older = strcasecmp(name, "Off") == 0 ? &off : named_store(cmd, conf, name);
    return conf->older ? NULL : no_such_store(cmd, name);
}

int bs_is_given_before(char *const words[], int at, int from)
{
    apr_size_t len = strcspn(words[at], "=") + 1;

    for (; from < at; from++) {
        if (strncasecmp(words[from], words[at], len) == 0) {
            return 1;
        }
    }
    return 0;
}

static const char *set_cookie(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    bs_dir_conf_t *conf = bs_speak(dir);
    bs_cookie_t *cookie = apr_pmemdup(cmd->pool, &bs_cookie_default, sizeof *cookie);
    const char *wrong = NULL;
    int i;

    if (argc < 1) {
        return "BSessionCookie takes a name, and then attributes such as SameSite=Strict";
    }
    cookie->name = argv[0];
    cookie->name_len = strlen(argv[0]);
    for (i = 1; i < argc && !wrong; i++) {
        if (bs_is_given_before(argv, i, 1)) {
            return apr_psprintf(cmd->pool, "BSessionCookie: %.*s= is given twice",
                                (int)strcspn(argv[i], "="), argv[i]);
        }
        wrong = bs_cookie_attribute(cookie, argv[i], cmd->pool);
    }
    if (!wrong) {
        wrong = bs_cookie_check(cookie, cmd->pool);
    }
    if (wrong) {
        return apr_pstrcat(cmd->pool, "BSessionCookie: ", wrong, NULL);
    }
    conf->cookie = cookie;
    conf->brief = from_htaccess(cmd);
    if (!conf->brief) {
        APR_ARRAY_PUSH(bs_server_conf(cmd->server)->cookie_names, const char *) = cookie->name;
    }
    remember_place(cmd, conf);
    return NULL;
}

static const char *set_idle(cmd_parms *cmd, void *dir, const char *text)
{
    bs_dir_conf_t *conf = bs_speak(dir);

    if (bs_parse_time(&conf->idle, text) || conf->idle < apr_time_from_sec(1)
        || conf->idle > LONGEST_IDLE) {
        return apr_psprintf(cmd->pool, "BSessionIdleTimeout takes a time from 1s to 400d, such as "
                            "300s or 30min, not \"%s\"", text);
    }
    return NULL;
}

static const char *set_absolute(cmd_parms *cmd, void *dir, const char *text)
{
    bs_dir_conf_t *conf = bs_speak(dir);

    if (strcasecmp(text, "off") == 0) {
        conf->absolute = 0;
        return NULL;
    }
    if (bs_parse_time(&conf->absolute, text) || conf->absolute < apr_time_from_sec(1)
        || conf->absolute > LONGEST_ABSOLUTE) {
        return apr_psprintf(cmd->pool, "BSessionAbsoluteTimeout takes Off or a time from 1s to "
                            "36500d, such as 24h, not \"%s\"", text);
    }
    return NULL;
}

static const char *set_slide(cmd_parms *cmd, void *dir, const char *word)
{
    bs_dir_conf_t *conf = bs_speak(dir);

    conf->slide_on_write = strcasecmp(word, "write") == 0;
    if (!conf->slide_on_write && strcasecmp(word, "access") != 0) {
        return apr_psprintf(cmd->pool, "BSessionSlide takes access or write, not \"%s\"", word);
    }
    return NULL;
}

static const char *set_limit_word(cmd_parms *cmd, bs_dir_conf_t *conf, const char *word)
{
    apr_uint64_t bytes;

    if (strncasecmp(word, "size=", 5) == 0) {
        if (bs_parse_size(&bytes, word + 5) || bytes < 64 || bytes > 64 * 1024 * 1024) {
            return apr_psprintf(cmd->pool, "BSessionLimit: size= takes 64 bytes to 64M, not \"%s\"",
                                word + 5);
        }
        conf->max_bytes = (apr_int64_t)bytes;
        return NULL;
    }
    if (strncasecmp(word, "keys=", 5) == 0) {
        return bs_parse_number(&conf->max_keys, word + 5, 1, MOST_KEYS, "BSessionLimit: keys=",
                               cmd->pool);
    }
    return apr_psprintf(cmd->pool, "BSessionLimit takes size=64K and keys=256, not \"%s\"", word);
}

static const char *set_limit(cmd_parms *cmd, void *dir, const char *one, const char *other)
{
    const char *wrong = set_limit_word(cmd, bs_speak(dir), one);

    if (!wrong && other && strncasecmp(one, other, strcspn(one, "=") + 1) == 0) {
        return apr_psprintf(cmd->pool, "BSessionLimit: %.*s= is given twice",
                            (int)strcspn(one, "="), one);
    }
    return wrong || !other ? wrong : set_limit_word(cmd, dir, other);
}

static const char *set_outage(cmd_parms *cmd, void *dir, const char *word)
{
    bs_dir_conf_t *conf = bs_speak(dir);

    conf->anonymous = strcasecmp(word, "anonymous") == 0;
    if (!conf->anonymous && strcasecmp(word, "deny") != 0) {
        return apr_psprintf(cmd->pool, "BSessionOnOutage takes deny or anonymous, not \"%s\"", word);
    }
    return NULL;
}

static const char *set_env(cmd_parms *cmd, void *dir, const char *word)
{
    return bs_selection_add(&bs_speak(dir)->env, cmd->cmd->name, word, cmd->pool);
}

static const char *set_header(cmd_parms *cmd, void *dir, const char *word)
{
    return bs_selection_add(&bs_speak(dir)->header, cmd->cmd->name, word, cmd->pool);
}

static const char *set_write_back(cmd_parms *cmd, void *dir, int on)
{
    (void)cmd;
    bs_speak(dir)->write_back = on;
    return NULL;
}

static const char *set_realm(cmd_parms *cmd, void *dir, const char *name)
{
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT | NOT_IN_HTACCESS);
    unsigned char digest[BS_REALM_SIZE];

    (void)dir;
    if (wrong) {
        return wrong;
    }
    if (!*name || bs_realm_digest(name, digest) != APR_SUCCESS) {
        return "BSessionRealm takes a name of 1 to 255 bytes";
    }
    bs_server_conf(cmd->server)->realm = name;
    return NULL;
}

const command_rec bs_directives[] = {
    AP_INIT_TAKE_ARGV("BSessionStore", set_store, NULL, RSRC_CONF,
                      "a name, a URL such as memory:, and options such as size=64M"),
    AP_INIT_TAKE_ARGV("BSessionSecret", bs_set_secret, NULL, RSRC_CONF,
                      "file:/path, env:NAME, exec:/path or the secret; and then older ones"),
    AP_INIT_FLAG("BSessionSeal", bs_set_seal, NULL, RSRC_CONF,
                 "whether records are encrypted: On where there is a BSessionSecret"),
    AP_INIT_TAKE1("BSessionRealm", set_realm, NULL, RSRC_CONF,
                  "a name by which virtual hosts share sessions"),
    AP_INIT_TAKE1("BSession", set_mode, NULL, RSRC_CONF | OR_AUTHCFG,
                  "Off, On, ReadOnly or Passive"),
    AP_INIT_TAKE1("BSessionUse", set_use, NULL, RSRC_CONF | OR_AUTHCFG,
                  "the name of a BSessionStore"),
    AP_INIT_TAKE1("BSessionMigrateFrom", set_older, NULL, RSRC_CONF | OR_AUTHCFG,
                  "the name of the BSessionStore where sessions were kept before, or Off"),
    AP_INIT_TAKE_ARGV("BSessionCookie", set_cookie, NULL, RSRC_CONF | OR_AUTHCFG,
                      "a name, and attributes such as SameSite=Strict"),
    AP_INIT_TAKE1("BSessionIdleTimeout", set_idle, NULL, RSRC_CONF | OR_AUTHCFG,
                  "how long a session lives after its last use"),
    AP_INIT_TAKE1("BSessionAbsoluteTimeout", set_absolute, NULL, RSRC_CONF | OR_AUTHCFG,
                  "how long a session lives at most, or Off"),
    AP_INIT_TAKE1("BSessionSlide", set_slide, NULL, RSRC_CONF | OR_AUTHCFG,
                  "what prolongs a session: access or write"),
    AP_INIT_TAKE_ARGV("BSessionRotate", bs_set_rotate, NULL, RSRC_CONF | OR_AUTHCFG,
                      "how often the token is replaced, or Off; grace=10s, reuse=log or revoke"),
    AP_INIT_TAKE_ARGV("BSessionLock", bs_set_lock, NULL, RSRC_CONF | OR_AUTHCFG,
                      "Off or On; wait=10s, lease=30s"),
    AP_INIT_TAKE_ARGV("BSessionUser", bs_set_user, NULL, RSRC_CONF | OR_AUTHCFG,
                      "the key that names a session's owner, or Off; max= of sessions, deny or evict"),
    AP_INIT_TAKE_ARGV("BSessionBind", bs_set_bind, NULL, RSRC_CONF | OR_AUTHCFG,
                      "ua, ip, ip/24, tls: what a session is tied to, or Off; action=log or revoke"),
    AP_INIT_TAKE12("BSessionLimit", set_limit, NULL, RSRC_CONF | OR_AUTHCFG,
                    "size= and keys= of a session at most"),
    AP_INIT_TAKE1("BSessionOnOutage", set_outage, NULL, RSRC_CONF | OR_AUTHCFG,
                  "deny or anonymous: requests whose session cannot be had"),
    AP_INIT_ITERATE("BSessionEnv", set_env, NULL, RSRC_CONF | OR_AUTHCFG,
                    "Off, All, or the keys that become variables BSESSION_<key>"),
    AP_INIT_ITERATE("BSessionHeader", set_header, NULL, RSRC_CONF | OR_AUTHCFG,
                    "Off, All, or the keys that become the request header BSession-Data"),
    AP_INIT_FLAG("BSessionWriteBack", set_write_back, NULL, RSRC_CONF | OR_AUTHCFG,
                 "whether BSession-* headers of responses change the session"),
    { NULL, { NULL }, NULL, 0, 0, NULL }
};
