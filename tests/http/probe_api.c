/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The calls of mod_bsession.h by their names; see mod_probe.c. */

#include <ctype.h>
#include <string.h>

#include "apr_escape.h"
#include "apr_strings.h"

#include "probe.h"

/* Arguments and results. */

const char *probe_status(apr_pool_t *pool, apr_status_t status)
{
    switch (status) {
    case APR_SUCCESS:    return "ok";
    case APR_EINVAL:     return "EINVAL";
    case APR_EACCES:     return "EACCES";
    case APR_ENOSPC:     return "ENOSPC";
    case APR_EEXIST:     return "EEXIST";
    case APR_NOTFOUND:   return "NOTFOUND";
    case APR_ENOTIMPL:   return "ENOTIMPL";
    case BSESSION_ELATE: return "ELATE";
    case BSESSION_EGONE: return "EGONE";
    case BSESSION_EBUSY: return "EBUSY";
    case BSESSION_EMANY: return "EMANY";
    default:             return apr_psprintf(pool, "outage(%d)", status);
    }
}

const char *probe_value(apr_pool_t *pool, const char *value, apr_size_t len)
{
    return value ? apr_pstrcat(pool, "=", apr_pescape_urlencoded(pool,
                       apr_pstrmemdup(pool, value, len)), NULL)
                 : "-";
}

apr_size_t probe_decode(char *text)
{
    char *to = text;
    const char *from;

    for (from = text; *from; from++, to++) {
        if (from[0] == '%' && isxdigit((unsigned char)from[1])
            && isxdigit((unsigned char)from[2])) {
            char hex[3] = { from[1], from[2], '\0' };
            *to = (char)apr_strtoi64(hex, NULL, 16);
            from += 2;
        }
        else {
            *to = *from == '+' ? ' ' : *from;
        }
    }
    *to = '\0';
    return to - text;
}

char *probe_pair(char *arg, apr_size_t *len)
{
    char *colon = strchr(arg, ':');

    if (!colon) {
        *len = 0;
        probe_decode(arg);
        return arg + strlen(arg);
    }
    *colon = '\0';
    probe_decode(arg);
    *len = probe_decode(colon + 1);
    return colon + 1;
}

/* The API. */

static void call_of(probe_t *p, char *arg)
{
    p->result = "session";
}

static void call_load(probe_t *p, char *arg)
{
    p->result = probe_status(p->pool, p->bs->load(p->s));
}

static void call_get(probe_t *p, char *arg)
{
    const char *value;

    probe_decode(arg);
    value = p->bs->get(p->s, arg);
    p->result = probe_value(p->pool, value, value ? strlen(value) : 0);
}

static void call_getn(probe_t *p, char *arg)
{
    apr_size_t len = 0, i;
    const char *value;
    char *hex;

    probe_decode(arg);
    value = p->bs->getn(p->s, arg, &len);
    if (!value) {
        p->result = "-";
        return;
    }
    hex = apr_palloc(p->pool, len * 2 + 1);
    for (i = 0; i < len; i++) {
        apr_snprintf(hex + i * 2, 3, "%02x", (unsigned char)value[i]);
    }
    hex[len * 2] = '\0';
    p->result = value[len] == '\0' ? apr_psprintf(p->pool, "=%s", hex) : "no NUL";
}

static void call_has(probe_t *p, char *arg)
{
    probe_decode(arg);
    p->result = p->bs->has(p->s, arg) ? "yes" : "no";
}

static void call_count(probe_t *p, char *arg)
{
    p->result = apr_itoa(p->pool, p->bs->count(p->s));
}

static int each_one(void *baton, const char *key, const char *value, apr_size_t len)
{
    probe_t *p = baton;

    p->result = apr_pstrcat(p->pool, p->result, *p->result ? "&" : "",
                            apr_pescape_urlencoded(p->pool, key),
                            probe_value(p->pool, value, len), NULL);
    return 1;
}

static void call_each(probe_t *p, char *arg)
{
    p->result = "";
    p->bs->each(p->s, each_one, p);
}

static void call_set(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *value = probe_pair(arg, &len);

    p->result = probe_status(p->pool, p->bs->set(p->s, arg, value));
}

static void call_setn(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *value = probe_pair(arg, &len);

    p->result = probe_status(p->pool, p->bs->setn(p->s, arg, value, len));
}

/* big=K:N sets a value of N bytes, longer than a request line may be */
static void call_big(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *number = probe_pair(arg, &len);
    apr_size_t size = (apr_size_t)apr_atoi64(number);
    char *value = apr_palloc(p->pool, size + 1);

    memset(value, 'b', size);
    value[size] = '\0';
    p->result = probe_status(p->pool, p->bs->setn(p->s, arg, value, size));
}

static void call_add(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *value = probe_pair(arg, &len);

    p->result = probe_status(p->pool, p->bs->add(p->s, arg, value, len));
}

static void call_unset(probe_t *p, char *arg)
{
    probe_decode(arg);
    p->result = probe_status(p->pool, p->bs->unset(p->s, arg));
}

static void call_clear(probe_t *p, char *arg)
{
    p->result = probe_status(p->pool, p->bs->clear(p->s));
}

static void call_pop(probe_t *p, char *arg)
{
    apr_size_t len = 0;
    const char *value;

    probe_decode(arg);
    value = p->bs->pop(p->s, arg, &len);
    p->result = probe_value(p->pool, value, len);
}

static void call_incr(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *by = probe_pair(arg, &len);
    apr_int64_t now = 0;
    apr_status_t status = p->bs->incr(p->s, arg, apr_strtoi64(by, NULL, 10), &now);

    p->result = status ? probe_status(p->pool, status)
                       : apr_psprintf(p->pool, "=%" APR_INT64_T_FMT, now);
}

/* Adds one as who knows no `incr` does. */
/** As an application takes its time: without a lock two at once read the same number. */
static void call_climb(probe_t *p, char *arg)
{
    const char *value = p->bs->get(p->s, arg);
    const char *next = apr_psprintf(p->pool, "%" APR_INT64_T_FMT, value ? apr_atoi64(value) + 1 : 1);
    apr_status_t status;

    apr_sleep(apr_time_from_msec(2));
    status = p->bs->set(p->s, arg, next);
    p->result = status ? probe_status(p->pool, status) : apr_psprintf(p->pool, "=%s", next);
}

static void call_rotate(probe_t *p, char *arg)
{
    p->result = probe_status(p->pool, p->bs->rotate(p->s));
}

static void call_destroy(probe_t *p, char *arg)
{
    p->result = probe_status(p->pool, p->bs->destroy(p->s));
}

static void call_save(probe_t *p, char *arg)
{
    p->result = probe_status(p->pool, p->bs->save(p->s));
}

static void call_lock(probe_t *p, char *arg)
{
    p->result = probe_status(p->pool, p->bs->lock(p->s));
}

static void call_unlock(probe_t *p, char *arg)
{
    p->result = probe_status(p->pool, p->bs->unlock(p->s));
}

static void call_touch(probe_t *p, char *arg)
{
    p->result = probe_status(p->pool, p->bs->touch(p->s));
}

static void call_is_new(probe_t *p, char *arg)
{
    p->result = p->bs->is_new(p->s) ? "yes" : "no";
}

static void call_created(probe_t *p, char *arg)
{
    p->result = apr_psprintf(p->pool, "%" APR_TIME_T_FMT, p->bs->created(p->s));
}

static void call_expires(probe_t *p, char *arg)
{
    p->result = apr_psprintf(p->pool, "%" APR_TIME_T_FMT, p->bs->expires(p->s));
}

static void call_tag(probe_t *p, char *arg)
{
    const char *tag = p->bs->tag(p->s);

    p->result = tag ? tag : "-";
}

static void call_facts(probe_t *p, char *arg)
{
    static const char *const names[] = { "created", "changed", "rotated", "destroyed", "missing",
                                         NULL, "replaced" };
    unsigned facts = p->bs->facts(p->s), i;

    p->result = "";
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i] && facts >> i & 1) {
            p->result = apr_pstrcat(p->pool, p->result, *p->result ? "+" : "", names[i], NULL);
        }
    }
}

static void call_token(probe_t *p, char *arg)
{
    const char *token = p->bs->token(p->s);

    p->result = token ? token : "-";
}

static void call_set_user(probe_t *p, char *arg)
{
    probe_decode(arg);
    p->result = probe_status(p->pool, p->bs->set_user(p->s, *arg ? arg : NULL));
}

static void call_user(probe_t *p, char *arg)
{
    const char *user = p->bs->user(p->s);

    p->result = probe_value(p->pool, user, user ? strlen(user) : 0);
}

/* Tags, the latest login first, and a star at the one that asks. */
static int each_session(void *baton, const bsession_of_user_t *session)
{
    probe_t *p = baton;
    int plausible = session->created && session->since >= session->created
                    && session->expires > session->since;

    p->result = apr_pstrcat(p->pool, p->result, *p->result ? "," : "", session->tag,
                            session->current ? "*" : "", plausible ? "" : "?", NULL);
    return 1;
}

static void call_sessions(probe_t *p, char *arg)
{
    apr_status_t status;

    probe_decode(arg);
    p->result = "";
    status = p->bs->user_sessions(p->s, *arg ? arg : NULL, each_session, p);
    p->result = status ? probe_status(p->pool, status) : *p->result ? p->result : "-";
}

/* revoke=NAME:TAG, of the owner without a name */
static void call_revoke(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *tag = probe_pair(arg, &len);

    p->result = probe_status(p->pool, p->bs->revoke(p->s, *arg ? arg : NULL, tag));
}

static void call_revoke_user(probe_t *p, char *arg)
{
    probe_decode(arg);
    p->result = probe_status(p->pool, p->bs->revoke_user(p->s, *arg ? arg : NULL));
}

static void call_revoke_others(probe_t *p, char *arg)
{
    p->result = probe_status(p->pool, p->bs->revoke_others(p->s));
}

const probe_named_t probe_api_calls[] = {
    { "of", call_of }, { "load", call_load }, { "get", call_get }, { "getn", call_getn },
    { "has", call_has }, { "count", call_count }, { "each", call_each }, { "set", call_set },
    { "setn", call_setn }, { "big", call_big }, { "add", call_add }, { "unset", call_unset },
    { "clear", call_clear }, { "pop", call_pop }, { "incr", call_incr },
    { "climb", call_climb }, { "rotate", call_rotate }, { "destroy", call_destroy }, { "save", call_save },
    { "touch", call_touch }, { "is_new", call_is_new }, { "created", call_created },
    { "expires", call_expires }, { "tag", call_tag },
    { "lock", call_lock }, { "unlock", call_unlock },
    { "facts", call_facts }, { "token", call_token },
    { "set_user", call_set_user }, { "user", call_user }, { "sessions", call_sessions },
    { "revoke", call_revoke }, { "revoke_user", call_revoke_user },
    { "revoke_others", call_revoke_others }, { NULL, NULL }
};
