/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What modules such as mod_auth_form do with mod_session, by its optional functions; see
 * mod_probe.c. */

#include <string.h>

#include "apr_strings.h"
#include "mod_session.h"

#include "probe.h"

static const char *outcome(probe_t *p, apr_status_t status)
{
    return status == APR_SUCCESS ? "ok" : apr_psprintf(p->pool, "failed(%d)", status);
}

static apr_status_t load(probe_t *p, session_rec **z)
{
    APR_OPTIONAL_FN_TYPE(ap_session_load) *fn = APR_RETRIEVE_OPTIONAL_FN(ap_session_load);

    *z = NULL;
    return fn ? fn(p->r, z) : APR_ENOTIMPL;
}

static void call_sload(probe_t *p, char *arg)
{
    session_rec *z;
    apr_status_t status = load(p, &z);

    p->result = status || z ? outcome(p, status) : "none";
}

static void call_sget(probe_t *p, char *arg)
{
    APR_OPTIONAL_FN_TYPE(ap_session_get) *fn = APR_RETRIEVE_OPTIONAL_FN(ap_session_get);
    const char *value = NULL;
    session_rec *z;

    probe_decode(arg);
    if (load(p, &z) == APR_SUCCESS && z) {
        fn(p->r, z, arg, &value);
    }
    p->result = probe_value(p->pool, value, value ? strlen(value) : 0);
}

static void change(probe_t *p, const char *key, const char *value)
{
    APR_OPTIONAL_FN_TYPE(ap_session_set) *fn = APR_RETRIEVE_OPTIONAL_FN(ap_session_set);
    session_rec *z;
    apr_status_t status = load(p, &z);

    if (status == APR_SUCCESS && z) {
        status = fn(p->r, z, key, value);
    }
    p->result = status || z ? outcome(p, status) : "none";
}

static void call_sset(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *value = probe_pair(arg, &len);

    change(p, arg, value);
}

static void call_sunset(probe_t *p, char *arg)
{
    probe_decode(arg);
    change(p, arg, NULL);
}

static void call_ssave(probe_t *p, char *arg)
{
    APR_OPTIONAL_FN_TYPE(ap_session_save) *fn = APR_RETRIEVE_OPTIONAL_FN(ap_session_save);
    session_rec *z;
    apr_status_t status = load(p, &z);

    p->result = outcome(p, status ? status : fn(p->r, z));
}

const probe_named_t probe_session_calls[] = {
    { "sload", call_sload }, { "sget", call_sget }, { "sset", call_sset },
    { "sunset", call_sunset }, { "ssave", call_ssave }, { NULL, NULL }
};
