/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file config.h
 * @brief What httpd.conf and .htaccess say: the stores, and how each place uses them.
 */
#ifndef BS_CONFIG_H
#define BS_CONFIG_H

#include "httpd.h"
#include "http_config.h"

#include "selection.h"
#include "session.h"

extern module AP_MODULE_DECLARE_DATA bsession_module;

#define BS_UNSET (-1)

typedef enum { BS_OFF, BS_ON, BS_READONLY, BS_PASSIVE } bs_mode_t;

/* ---- the stores: one list for the whole server, in pconf ---- */

typedef struct {
    bs_store_t store;               /* store.provider is NULL while it is only named, by a
                                       BSessionUse or BSessionMigrateFrom */
    const char *definition;         /* url and options as configured, to compare a second one */
    const char *named_at;           /* "file:line" of who named it */
    int         implied;            /* the memory: store of a configuration that defines none */
} bs_store_conf_t;

typedef struct {
    apr_array_header_t *list;       /* of bs_store_conf_t *, which stay where they are */
    bs_store_conf_t    *fallback;   /* where no BSessionUse says; set when all is read */
    apr_array_header_t *places;     /* of bs_place_t: what check_config looks at again */
    bsession_services_t services;
    const bs_keys_t    *cache_seal; /* what entries of the general cache are sealed with, or NULL */
    struct bs_guesses_t *guesses;   /* NULL before post_config, and where nobody wants sessions */
} bs_stores_t;

/* ---- a place: Directory, Location, .htaccess ---- */

typedef struct {
    int                  said;              /* a directive of ours stands here */
    int                  mode;              /* bs_mode_t */
    bs_store_conf_t     *use;
    bs_store_conf_t     *older;             /* BSessionMigrateFrom; one without a name: Off */
    bs_cookie_t         *cookie;
    int                  brief;             /* the cookie is .htaccess's, and lives as long as the
                                               one request it was read for */
    apr_interval_time_t  idle;
    apr_interval_time_t  absolute;          /* 0 = off */
    int                  slide_on_write;
    apr_int64_t          max_bytes;
    apr_int64_t          max_keys;
    int                  anonymous;         /* BSessionOnOutage */
    const bs_rotate_rule_t *rotate;         /* these four: NULL where nothing is said */
    const bs_lock_rule_t   *lock;
    const bs_user_rule_t   *user;
    const bs_bind_rule_t   *bind;
    bs_selection_t       env;
    bs_selection_t       header;
    int                  write_back;
} bs_dir_conf_t;

/** A place that says anything of mode, cookie or store, remembered for check_config; a place that
 *  says several is there several times. */
typedef struct {
    server_rec    *server;
    bs_dir_conf_t *conf;
    const char    *at;                      /* "file:line" */
} bs_place_t;

/* In secrets.h. */
typedef struct bs_secrets_t bs_secrets_t;

typedef struct {
    bs_stores_t        *stores;
    bs_secrets_t       *secrets;            /* BSessionSecret, or NULL */
    int                 sealing;            /* BSessionSeal, or BS_UNSET: where there is a secret */
    const bs_keys_t    *keys;               /* what the secrets come to in this realm, or NULL */
    const bs_keys_t    *seal;               /* the same where records are sealed, or NULL */
    const char         *realm;              /* BSessionRealm, or NULL: the ServerName */
    unsigned char       realm_digest[BS_REALM_SIZE];
    apr_array_header_t *cookie_names;       /* of const char *: what applications must not see */
    const char *const  *hidden;             /* the same and the default, ended by NULL */
} bs_server_conf_t;

extern const command_rec bs_directives[];

void *bs_create_dir_conf(apr_pool_t *p, char *path);
void *bs_merge_dir_conf(apr_pool_t *p, void *outer, void *inner);
void *bs_create_server_conf(apr_pool_t *p, server_rec *s);
void *bs_merge_server_conf(apr_pool_t *p, void *main_conf, void *host_conf);

static inline bs_dir_conf_t *bs_dir_conf(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &bsession_module);
}

static inline bs_server_conf_t *bs_server_conf(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &bsession_module);
}

/* The effective values, defaults included. */
static inline int bs_mode(const bs_dir_conf_t *conf)
{
    return conf->mode == BS_UNSET ? BS_OFF : conf->mode;
}

const bs_cookie_t *bs_conf_cookie(const bs_dir_conf_t *conf);
bs_store_conf_t   *bs_conf_store(const bs_dir_conf_t *conf, const server_rec *s);
/** Where sessions from before a change of the store are, or NULL. */
bs_store_conf_t   *bs_conf_older(const bs_dir_conf_t *conf);
apr_size_t         bs_conf_max_bytes(const bs_dir_conf_t *conf);
apr_size_t         bs_conf_max_fields(const bs_dir_conf_t *conf);
/** All but the limits, which are those of the place that asks last: see bs_slot_of(). */
void               bs_conf_terms(const bs_dir_conf_t *conf, bs_store_t *store, const server_rec *s,
                                 bs_terms_t *terms);

/** The struct that a directive of a place changes. */
static inline bs_dir_conf_t *bs_speak(void *dir)
{
    bs_dir_conf_t *conf = dir;

    conf->said = 1;
    return conf;
}

/** Whether one of the words `from`.. before `at` has the same name before its =. */
int bs_is_given_before(char *const words[], int at, int from);

/* In config_trust.c: who may use a session, and how. */

const char *bs_set_rotate(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *bs_set_lock(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *bs_set_user(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *bs_set_bind(cmd_parms *cmd, void *dir, int argc, char *const argv[]);

/* In config_stores.c. */

/** BSessionStore's words -> a defined store, or a sentence. */
const char *bs_define_store(cmd_parms *cmd, int argc, char *const argv[]);
/** The store of this name, which may be defined later. */
bs_store_conf_t *bs_name_store(bs_stores_t *stores, const char *name, const char *at,
                               apr_pool_t *p);
/** A store that is defined; NULL stands for the default one. NULL where there is none. */
bs_store_conf_t *bs_find_store(const bs_stores_t *stores, const char *name);
/** The hook: what no single directive can see. */
int bs_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/* In config_start.c. */

/** In the parent, after the configuration was read; a store that is open stays so. What is wrong is
 *  logged. */
apr_status_t bs_open_store(bs_store_conf_t *conf, server_rec *s, apr_pool_t *pconf);
/** Registers check_config, post_config and child_init. */
void bs_register_config_hooks(apr_pool_t *p);

#endif
