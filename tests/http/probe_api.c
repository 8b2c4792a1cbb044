/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The calls of mod_bsession.h by their names; see mod_probe.c. */

#include <ctype.h>
#include <string.h>

#include "apr_escape.h"
#include "apr_strings.h"

#include "probe.h"

/* Arguments and results. */

static const char *probe_status(request_rec *r, apr_status_t status)
{
    switch (status) {
    case APR_SUCCESS:    return "ok";
    case APR_EINVAL:     return "EINVAL";
    case APR_EACCES:     return "EACCES";
    case APR_ENOSPC:     return "ENOSPC";
    case APR_EEXIST:     return "EEXIST";
    case APR_NOTFOUND:   return "NOTFOUND";
    case BSESSION_ELATE: return "ELATE";
    case BSESSION_EGONE: return "EGONE";
    default:             return apr_psprintf(r->pool, "outage(%d)", status);
    }
}

const char *probe_value(request_rec *r, const char *value, apr_size_t len)
{
    return value ? apr_pstrcat(r->pool, "=", apr_pescape_urlencoded(r->pool,
                       apr_pstrmemdup(r->pool, value, len)), NULL)
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
    p->result = probe_status(p->r, p->bs->load(p->s));
}

static void call_get(probe_t *p, char *arg)
{
    const char *value;

    probe_decode(arg);
    value = p->bs->get(p->s, arg);
    p->result = probe_value(p->r, value, value ? strlen(value) : 0);
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
    hex = apr_palloc(p->r->pool, len * 2 + 1);
    for (i = 0; i < len; i++) {
        apr_snprintf(hex + i * 2, 3, "%02x", (unsigned char)value[i]);
    }
    hex[len * 2] = '\0';
    p->result = value[len] == '\0' ? apr_psprintf(p->r->pool, "=%s", hex) : "no NUL";
}

static void call_has(probe_t *p, char *arg)
{
    probe_decode(arg);
    p->result = p->bs->has(p->s, arg) ? "yes" : "no";
}

static void call_count(probe_t *p, char *arg)
{
    p->result = apr_itoa(p->r->pool, p->bs->count(p->s));
}

static int each_one(void *baton, const char *key, const char *value, apr_size_t len)
{
    probe_t *p = baton;

    p->result = apr_pstrcat(p->r->pool, p->result, *p->result ? "&" : "",
                            apr_pescape_urlencoded(p->r->pool, key),
                            probe_value(p->r, value, len), NULL);
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

    p->result = probe_status(p->r, p->bs->set(p->s, arg, value));
}

static void call_setn(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *value = probe_pair(arg, &len);

    p->result = probe_status(p->r, p->bs->setn(p->s, arg, value, len));
}

/* big=K:N sets a value of N bytes, longer than a request line may be */
static void call_big(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *number = probe_pair(arg, &len);
    apr_size_t size = (apr_size_t)apr_atoi64(number);
    char *value = apr_palloc(p->r->pool, size + 1);

    memset(value, 'b', size);
    value[size] = '\0';
    p->result = probe_status(p->r, p->bs->setn(p->s, arg, value, size));
}

static void call_add(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *value = probe_pair(arg, &len);

    p->result = probe_status(p->r, p->bs->add(p->s, arg, value, len));
}

static void call_unset(probe_t *p, char *arg)
{
    probe_decode(arg);
    p->result = probe_status(p->r, p->bs->unset(p->s, arg));
}

static void call_clear(probe_t *p, char *arg)
{
    p->result = probe_status(p->r, p->bs->clear(p->s));
}

static void call_pop(probe_t *p, char *arg)
{
    apr_size_t len = 0;
    const char *value;

    probe_decode(arg);
    value = p->bs->pop(p->s, arg, &len);
    p->result = probe_value(p->r, value, len);
}

static void call_incr(probe_t *p, char *arg)
{
    apr_size_t len;
    const char *by = probe_pair(arg, &len);
    apr_int64_t now = 0;
    apr_status_t status = p->bs->incr(p->s, arg, apr_strtoi64(by, NULL, 10), &now);

    p->result = status ? probe_status(p->r, status)
                       : apr_psprintf(p->r->pool, "=%" APR_INT64_T_FMT, now);
}

static void call_rotate(probe_t *p, char *arg)
{
    p->result = probe_status(p->r, p->bs->rotate(p->s));
}

static void call_destroy(probe_t *p, char *arg)
{
    p->result = probe_status(p->r, p->bs->destroy(p->s));
}

static void call_save(probe_t *p, char *arg)
{
    p->result = probe_status(p->r, p->bs->save(p->s));
}

static void call_touch(probe_t *p, char *arg)
{
    p->result = probe_status(p->r, p->bs->touch(p->s));
}

static void call_is_new(probe_t *p, char *arg)
{
    p->result = p->bs->is_new(p->s) ? "yes" : "no";
}

static void call_created(probe_t *p, char *arg)
{
    p->result = apr_psprintf(p->r->pool, "%" APR_TIME_T_FMT, p->bs->created(p->s));
}

static void call_expires(probe_t *p, char *arg)
{
    p->result = apr_psprintf(p->r->pool, "%" APR_TIME_T_FMT, p->bs->expires(p->s));
}

static void call_tag(probe_t *p, char *arg)
{
    const char *tag = p->bs->tag(p->s);

    p->result = tag ? tag : "-";
}

const probe_named_t probe_api_calls[] = {
    { "of", call_of }, { "load", call_load }, { "get", call_get }, { "getn", call_getn },
    { "has", call_has }, { "count", call_count }, { "each", call_each }, { "set", call_set },
    { "setn", call_setn }, { "big", call_big }, { "add", call_add }, { "unset", call_unset },
    { "clear", call_clear }, { "pop", call_pop }, { "incr", call_incr },
    { "rotate", call_rotate }, { "destroy", call_destroy }, { "save", call_save },
    { "touch", call_touch }, { "is_new", call_is_new }, { "created", call_created },
    { "expires", call_expires }, { "tag", call_tag }, { NULL, NULL }
};
