/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * The general cache of mod_bsession.h, and httpd's caches of small objects as their users see them;
 * calls of mod_probe.c:
 *
 *     cache=S/N/MS     the cache N on the store S (- is NULL), with a default life; all that follow
 *                      are calls of this one
 *     life=MS          of the entries that come next; 0 = for ever, -1 = the default
 *     cget=K cgetn=K chas=K cset=K:V cadd=K:V cdelete=K cincr=K:N cdecr=K:N cclear cbig=K:N
 *     cget_many=K,K.. cset_many=K:V,K:V.. cdelete_many=K,K..
 *
 *     socache=CNAME    one that the directive `ProbeSOCache CNAME provider[:argument]` made
 *     sstore=K:V       with `life` from now       sretrieve=K:SIZE   into so many bytes
 *     sremove=K        siterate                   sstatus=SHORT|LONG
 */
#include <string.h>
#include <sys/mman.h>

#include "ap_provider.h"
#include "ap_socache.h"
#include "apr_strings.h"
#include "http_protocol.h"
#include "mod_status.h"

#include "probe.h"

#define SEVERAL 16

/* ---- the general cache ---- */

static const char *next(char **rest, char end)
{
    char *here = *rest, *at = strchr(here, end);

    *rest = at ? at + 1 : here + strlen(here);
    if (at) {
        *at = '\0';
    }
    probe_decode(here);
    return here;
}

static void call_cache(probe_t *p, char *arg)
{
    const char *store = next(&arg, '/'), *name = next(&arg, '/');

    p->cache = p->bs->cache(strcmp(store, "-") ? store : NULL, name,
                            apr_time_from_msec(apr_atoi64(arg)), p->pool);
    p->result = p->cache ? "cache" : "NULL";
}

static void call_life(probe_t *p, char *arg)
{
    apr_int64_t ms = apr_atoi64(arg);

    p->life = ms < 0 ? BSESSION_DEFAULT_LIFE : apr_time_from_msec(ms);
}

static void call_cget(probe_t *p, char *arg)
{
    apr_size_t len = 0;
    const char *value = "not changed";
    apr_status_t status;

    probe_decode(arg);
    status = p->bs->cache_get(p->cache, arg, &value, &len);
    p->result = status == APR_NOTFOUND ? probe_value(p->pool, value, len)
              : status ? probe_status(p->pool, status)
              : value[len] ? "no NUL" : probe_value(p->pool, value, len);
}

/* in hex: any bytes */
static void call_cgetn(probe_t *p, char *arg)
{
    const unsigned char *byte;
    const char *value;
    apr_size_t len, i;

    probe_decode(arg);
    if (p->bs->cache_get(p->cache, arg, &value, &len) == APR_SUCCESS) {
        byte = (const unsigned char *)value;
        p->result = "=";
        for (i = 0; i < len; i++) {
            p->result = apr_psprintf(p->pool, "%s%02x", p->result, byte[i]);
        }
    }
}

static void call_chas(probe_t *p, char *arg)
{
    probe_decode(arg);
    p->result = probe_status(p->pool, p->bs->cache_has(p->cache, arg));
}

static void call_cset(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *value = probe_pair(arg, &len);

    p->result = probe_status(p->pool, p->bs->cache_set(p->cache, arg, value, len, p->life));
}

#define GIGABYTE ((apr_size_t)1 << 30)

static void call_cbig(probe_t *p, char *arg)
{
    apr_size_t len;
    apr_size_t size = (apr_size_t)apr_atoi64(probe_pair(arg, &len));
    char *value;

    if (size > GIGABYTE) {
        /* zeros that need no memory, for what is refused by its size */
        value = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        p->result = value == MAP_FAILED ? "no room"
                  : probe_status(p->pool, p->bs->cache_set(p->cache, arg, value, size, p->life));
        munmap(value, size);
        return;
    }
    value = apr_palloc(p->pool, size);
    memset(value, 'b', size);
    p->result = probe_status(p->pool, p->bs->cache_set(p->cache, arg, value, size, p->life));
}

static void call_cadd(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *value = probe_pair(arg, &len);

    p->result = probe_status(p->pool, p->bs->cache_add(p->cache, arg, value, len, p->life));
}

static void call_cdelete(probe_t *p, char *arg)
{
    probe_decode(arg);
    p->result = probe_status(p->pool, p->bs->cache_delete(p->cache, arg));
}

static void count(probe_t *p, char *arg,
                  apr_status_t (*by)(bsession_cache_t *, const char *, apr_int64_t,
                                     apr_interval_time_t, apr_int64_t *))
{
    apr_size_t len;
    const char *number = probe_pair(arg, &len);
    apr_int64_t now = 0;
    apr_status_t status = by(p->cache, arg, apr_strtoi64(number, NULL, 10), p->life, &now);

    p->result = status ? probe_status(p->pool, status)
                       : apr_psprintf(p->pool, "=%" APR_INT64_T_FMT, now);
}

static void call_cincr(probe_t *p, char *arg)
{
    count(p, arg, p->bs->cache_incr);
}

static void call_cdecr(probe_t *p, char *arg)
{
    count(p, arg, p->bs->cache_decr);
}

static void call_cclear(probe_t *p, char *arg)
{
    p->result = probe_status(p->pool, p->bs->cache_clear(p->cache));
}

/* "all:each,each", of statuses or values */
static void tell_many(probe_t *p, apr_status_t status, int n, const apr_status_t *statuses,
                      const char **values, const apr_size_t *lens)
{
    int i;

    p->result = probe_status(p->pool, status);
    for (i = 0; i < n; i++) {
        p->result = apr_pstrcat(p->pool, p->result, i ? "," : ":",
                                values && statuses[i] == APR_SUCCESS
                                ? probe_value(p->pool, values[i], lens[i])
                                : probe_status(p->pool, statuses[i]), NULL);
    }
}

static void call_cget_many(probe_t *p, char *arg)
{
    const char *keys[SEVERAL], *values[SEVERAL];
    apr_status_t statuses[SEVERAL], status;
    apr_size_t lens[SEVERAL];
    int n = 0;

    while (*arg && n < SEVERAL) {
        keys[n++] = next(&arg, ',');
    }
    status = p->bs->cache_get_many(p->cache, keys, n, values, lens, statuses);
    tell_many(p, status, n, statuses, values, lens);
}

static void call_cset_many(probe_t *p, char *arg)
{
    const char *keys[SEVERAL];
    const void *values[SEVERAL];
    apr_status_t statuses[SEVERAL], status;
    apr_size_t lens[SEVERAL];
    int n = 0;

    while (*arg && n < SEVERAL) {
        keys[n] = next(&arg, ':');
        values[n] = next(&arg, ',');
        lens[n] = strlen(values[n]);
        n++;
    }
    status = p->bs->cache_set_many(p->cache, keys, n, values, lens, p->life, statuses);
    tell_many(p, status, n, statuses, NULL, NULL);
}

static void call_cdelete_many(probe_t *p, char *arg)
{
    const char *keys[SEVERAL];
    apr_status_t statuses[SEVERAL], status;
    int n = 0;

    while (*arg && n < SEVERAL) {
        keys[n++] = next(&arg, ',');
    }
    status = p->bs->cache_delete_many(p->cache, keys, n, statuses);
    tell_many(p, status, n, statuses, NULL, NULL);
}

/* ---- httpd's ---- */

typedef struct probe_socache {
    const char                  *cname;
    const ap_socache_provider_t *provider;
    ap_socache_instance_t       *instance;
    struct probe_socache        *next;
} probe_socache_t;

static probe_socache_t *socaches;       /* of this configuration */

static const char *set_socache(cmd_parms *cmd, void *conf, const char *cname, const char *arg)
{
    probe_socache_t *one = apr_pcalloc(cmd->pool, sizeof(*one));
    char *name = apr_pstrdup(cmd->pool, arg), *rest = strchr(name, ':');

    if (rest) {
        *rest++ = '\0';
    }
    one->cname = cname;
    one->provider = ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, name,
                                       AP_SOCACHE_PROVIDER_VERSION);
    one->next = socaches;
    socaches = one;
    return one->provider ? one->provider->create(&one->instance, rest, cmd->temp_pool, cmd->pool)
                         : "ProbeSOCache: no such provider";
}

const command_rec probe_directives[] = {
    AP_INIT_TAKE2("ProbeSOCache", set_socache, NULL, RSRC_CONF, "a name and provider:argument"),
    { NULL }
};

static int begin_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    socaches = NULL;
    return OK;
}

static int init_socaches(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    struct ap_socache_hints hints = { 10, 10, 1000000 };
    probe_socache_t *one;

    for (one = socaches; one; one = one->next) {
        if (one->provider->flags
            || one->provider->init(one->instance, one->cname, &hints, s, pconf)) {
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

static void call_socache(probe_t *p, char *arg)
{
    for (p->socache = socaches; p->socache && strcmp(p->socache->cname, arg); ) {
        p->socache = p->socache->next;
    }
    p->result = p->socache ? "socache" : "NULL";
}

static const unsigned char *id_of(const char *text)
{
    return (const unsigned char *)text;
}

static void call_sstore(probe_t *p, char *arg)
{
    apr_size_t len;
    char *value = probe_pair(arg, &len);

    p->result = probe_status(p->pool, p->socache->provider->store(
        p->socache->instance, p->r->server, id_of(arg), (unsigned int)strlen(arg),
        apr_time_now() + p->life, (unsigned char *)value, (unsigned int)len, p->pool));
}

static void call_sretrieve(probe_t *p, char *arg)
{
    apr_size_t len;
    unsigned int size = (unsigned int)apr_atoi64(probe_pair(arg, &len)), had = size;
    char *data = apr_palloc(p->pool, size + 1);
    apr_status_t status;

    memset(data, '#', size + 1);
    status = p->socache->provider->retrieve(
        p->socache->instance, p->r->server, id_of(arg), (unsigned int)strlen(arg),
        (unsigned char *)data, &size, p->pool);
    p->result = status == APR_NOTFOUND ? "-" : status ? probe_status(p->pool, status)
              : data[had] != '#' ? "too much" : probe_value(p->pool, data, size);
}

static void call_sremove(probe_t *p, char *arg)
{
    probe_decode(arg);
    p->result = probe_status(p->pool, p->socache->provider->remove(
        p->socache->instance, p->r->server, id_of(arg), (unsigned int)strlen(arg), p->pool));
}

static void call_sstatus(probe_t *p, char *arg)
{
    int brief = !strcmp(arg, "SHORT");

    p->socache->provider->status(p->socache->instance, p->r, brief ? AP_STATUS_SHORT : 0);
}

static apr_status_t show(ap_socache_instance_t *instance, server_rec *s, void *context,
                         const unsigned char *id, unsigned int idlen, const unsigned char *data,
                         unsigned int datalen, apr_pool_t *pool)
{
    probe_t *p = context;

    if (id[idlen] || data[datalen]) {
        p->result = "no NUL";
        return APR_EGENERAL;
    }
    p->result = apr_pstrcat(p->pool, p->result, *p->result ? "&" : "", (const char *)id,
                            probe_value(p->pool, (const char *)data, datalen), NULL);
    return strcmp((const char *)id, "stop") ? APR_SUCCESS : APR_EOF;
}

static void call_siterate(probe_t *p, char *arg)
{
    apr_status_t status;

    p->result = "";
    status = p->socache->provider->iterate(p->socache->instance, p->r->server, p, show, p->pool);
    p->result = apr_pstrcat(p->pool, status == APR_EOF ? "stopped" : probe_status(p->pool, status),
                            ":", p->result, NULL);
}

const probe_named_t probe_cache_calls[] = {
    { "cache", call_cache }, { "life", call_life }, { "cget", call_cget },
    { "cgetn", call_cgetn }, { "chas", call_chas }, { "cset", call_cset },
    { "cbig", call_cbig }, { "cadd", call_cadd },
    { "cdelete", call_cdelete }, { "cincr", call_cincr }, { "cdecr", call_cdecr },
    { "cclear", call_cclear }, { "cget_many", call_cget_many }, { "cset_many", call_cset_many },
    { "cdelete_many", call_cdelete_many }, { "socache", call_socache },
    { "sstore", call_sstore }, { "sretrieve", call_sretrieve }, { "sremove", call_sremove },
    { "sstatus", call_sstatus }, { "siterate", call_siterate }, { NULL, NULL }
};

void probe_register_cache(apr_pool_t *p)
{
    ap_hook_pre_config(begin_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(init_socaches, NULL, NULL, APR_HOOK_MIDDLE);
}
