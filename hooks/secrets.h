/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file secrets.h
 * @brief BSessionSecret and BSessionSeal: a server's secrets, and the keys that they come to.
 */
#ifndef BS_SECRETS_H
#define BS_SECRETS_H

#include "config.h"

/** As the directive gave them, the newest first. */
struct bs_secrets_t {
    bsession_bytes_t list[BS_SECRETS_MAX];
    int              count;
};

const char *bs_set_secret(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *bs_set_seal(cmd_parms *cmd, void *dir, int on);

/** The hook check_config's part: BSessionSeal On needs a secret. */
int          bs_check_secrets(const server_rec *s);

/** The keys of a server, whose realm is settled. */
apr_status_t bs_settle_keys(bs_server_conf_t *conf, apr_pool_t *pconf);
/** What the caches of all servers are sealed with: the main server's secrets, and no realm, so that
 *  servers of other names that have the same secret and store share them. */
apr_status_t bs_settle_cache_keys(const bs_server_conf_t *main_conf, apr_pool_t *pconf);
/** When all servers have their keys. */
void         bs_forget_secrets(const server_rec *main_server, apr_pool_t *pconf);

#endif
