/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "secrets.h"

#include <string.h>

#include <openssl/crypto.h>

#include "apr_strings.h"
#include "http_core.h"
#include "http_log.h"

#include "secret_source.h"

APLOG_USE_MODULE(bsession);

const char *bs_set_secret(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT | NOT_IN_HTACCESS);
    bs_secrets_t *secrets;
    int i;

    (void)dir;
    if (wrong) {
        return wrong;
    }
    if (argc < 1 || argc > BS_SECRETS_MAX) {
        return apr_psprintf(cmd->pool, "BSessionSecret takes 1 to %d secrets, the newest first, such as "
                            "file:/etc/apache2/bsession.secret", BS_SECRETS_MAX);
    }
    if (bs_server_conf(cmd->server)->secrets) {
        return "BSessionSecret stands here a second time: put an older secret behind the newer one, on "
               "one line";
    }
    secrets = apr_pcalloc(cmd->pool, sizeof *secrets);
    for (i = 0; i < argc; i++) {
        wrong = bs_read_secret(&secrets->list[i], argv[i], cmd->server, cmd->pool);
        if (wrong) {
            return apr_psprintf(cmd->pool, "BSessionSecret: %s", wrong);
        }
        if (secrets->list[i].len < BS_SECRET_LEAST) {
            return apr_psprintf(cmd->pool, "BSessionSecret: a secret has at least %d bytes, and number "
                                "%d has %" APR_SIZE_T_FMT ": make one with: openssl rand -hex 32",
                                BS_SECRET_LEAST, i + 1, secrets->list[i].len);
        }
    }
    secrets->count = argc;
    bs_server_conf(cmd->server)->secrets = secrets;
    return NULL;
}

const char *bs_set_seal(cmd_parms *cmd, void *dir, int on)
{
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT | NOT_IN_HTACCESS);

    (void)dir;
    if (!wrong) {
        bs_server_conf(cmd->server)->sealing = on;
    }
    return wrong;
}

int bs_check_secrets(const server_rec *s)
{
    for (; s; s = s->next) {
        const bs_server_conf_t *conf = bs_server_conf(s);

        if (conf->sealing == 1 && !conf->secrets) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "BSessionSeal On needs a BSessionSecret, and %s "
                         "has none", s->defn_name
                         ? apr_psprintf(s->process->pool, "the virtual host at %s:%u", s->defn_name,
                                        s->defn_line_number) : "the main server");
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

static apr_status_t derive(const bs_keys_t **keys, const bs_server_conf_t *conf,
                           const unsigned char *realm, apr_pool_t *pconf)
{
    bs_keys_t *derived = apr_pcalloc(pconf, sizeof *derived);

    bs_wipe_with(pconf, derived, sizeof *derived);
    *keys = derived;
    return bs_keys_derive(derived, conf->secrets->list, conf->secrets->count, realm);
}

apr_status_t bs_settle_keys(bs_server_conf_t *conf, apr_pool_t *pconf)
{
    apr_status_t status;

    conf->keys = conf->seal = NULL;
    if (!conf->secrets) {
        return APR_SUCCESS;
    }
    status = derive(&conf->keys, conf, conf->realm_digest, pconf);
    conf->seal = conf->sealing != 0 ? conf->keys : NULL;
    return status;
}

apr_status_t bs_settle_cache_keys(const bs_server_conf_t *main_conf, apr_pool_t *pconf)
{
    static const unsigned char no_realm[BS_REALM_SIZE];

    main_conf->stores->cache_seal = NULL;
    return main_conf->seal ? derive(&main_conf->stores->cache_seal, main_conf, no_realm, pconf)
                           : APR_SUCCESS;
}

void bs_forget_secrets(const server_rec *main_server, apr_pool_t *pconf)
{
    const server_rec *s;
    int i;

    bs_forget_programs(pconf);
    for (s = main_server; s; s = s->next) {
        const bs_secrets_t *secrets = bs_server_conf(s)->secrets;

        for (i = 0; secrets && i < secrets->count; i++) {
            OPENSSL_cleanse((void *)secrets->list[i].data, secrets->list[i].len);
        }
    }
}
