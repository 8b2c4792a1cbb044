/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* At fixups, before mod_rewrite, and again when commit.c inserts its filters: mod_dir may have run
 * another request's fixups in between. */

#include "environment.h"

#include <string.h>

#include "apr_strings.h"
#include "http_log.h"
#include "http_request.h"

#include "commit.h"
#include "log.h"

APLOG_USE_MODULE(bsession);

#define PREFIX     "BSESSION_"
#define PREFIX_LEN 9

/* ---- our cookies are taken out ---- */

static void hide_cookies(request_rec *r)
{
    const char *header = apr_table_get(r->headers_in, "Cookie"), *left = header;
    const bs_dir_conf_t *conf = bs_dir_conf(r);

    if (!header) {
        return;
    }
    left = bs_cookie_strip(header, bs_server_conf(r->server)->hidden, r->pool);
    if (left && conf->cookie) {         /* .htaccess may name one that the server does not know */
        const char *own[] = { conf->cookie->name, NULL };

        left = bs_cookie_strip(left, own, r->pool);
    }
    if (!left) {
        apr_table_unset(r->headers_in, "Cookie");
    }
    else if (left != header) {
        apr_table_setn(r->headers_in, "Cookie", left);
    }
}

/* ---- variables ---- */

/* What a character of a key becomes in a variable's name. */
static const char variable_char[] =
    "________________________________________________0123456789_______ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "______abcdefghijklmnopqrstuvwxyz_____________________________________________________________"
    "________________________________________________________________________";

/* A key that is selected. */
typedef struct {
    const bsession_field_t *field;
    const char             *name;
    unsigned                glance;     /* its length and last character: mostly enough to tell two
                                           apart, and cheaper than a hash */
    int                     bent;       /* the name is not spelt as the key is */
} variable_t;

typedef struct {
    variable_t *list;
    int         count;
    char       *names;                  /* room for the next */
} variables_t;

/** Writes the name, and returns where it ends. */
static char *name_variable(variable_t *variable, const bsession_field_t *field, char *name)
{
    const char *from = field->name.data, *end = from + field->name.len;
    char *to = name + PREFIX_LEN;
    int changed = 0;

    memcpy(name, PREFIX, PREFIX_LEN);
    for (; from < end; from++) {
        char c = variable_char[(unsigned char)*from];

        changed |= c ^ *from;
        *to++ = c;
    }
    variable->glance = (unsigned)(to - name) << 8 | (unsigned char)(to[-1] | 0x20);
    *to++ = '\0';
    variable->field = field;
    variable->name = name;
    variable->bent = changed != 0;
    return to;
}

/** `a.b`, `a_b` and `A_b` are one variable (for tables, and for some programs, case does not
 *  count): a key that is spelt so wins, then the one that sorts first. */
static int beats(const variable_t *one, const variable_t *other)
{
    if (one->bent != other->bent) {
        return one->bent < other->bent;
    }
    return memcmp(one->field->name.data, other->field->name.data, one->field->name.len) < 0;
}

static void select_field(variables_t *variables, const bsession_field_t *field)
{
    variable_t *variable = &variables->list[variables->count];
    int i;

    variables->names = name_variable(variable, field, variables->names);
    for (i = 0; i < variables->count; i++) {
        variable_t *other = &variables->list[i];

        if (other->glance == variable->glance && strcasecmp(other->name, variable->name) == 0) {
            if (beats(variable, other)) {
                *other = *variable;
            }
            return;
        }
    }
    variables->count++;
}

static void select_fields(variables_t *variables, const bs_dir_conf_t *conf, const bs_table_t *table,
                          apr_pool_t *p)
{
    apr_size_t room = 0;
    int i;

    for (i = 0; i < table->fields.count; i++) {
        room += PREFIX_LEN + table->fields.list[i].name.len + 1;
    }
    variables->count = 0;
    variables->list = apr_palloc(p, (apr_size_t)table->fields.count * sizeof(variable_t));
    variables->names = apr_palloc(p, room);
    if (conf->env == BS_ENV_ALL) {
        for (i = 0; i < table->fields.count; i++) {
            if (table->fields.list[i].name.data[0] != BSESSION_PRIVATE[0]) {
                select_field(variables, &table->fields.list[i]);
            }
        }
        return;
    }
    for (i = 0; i < conf->env_keys->nelts; i++) {
        const char *key = APR_ARRAY_IDX(conf->env_keys, i, const char *);
        const bsession_field_t *field = bs_table_find(table, key, strlen(key));

        if (field) {
            select_field(variables, field);
        }
    }
}

static void export_keys(request_rec *r, const bs_dir_conf_t *conf, const bs_table_t *table)
{
    variables_t variables;
    int i;

    select_fields(&variables, conf, table, r->pool);
    for (i = 0; i < variables.count; i++) {
        const bsession_field_t *field = variables.list[i].field;

        if (!memchr(field->value.data, '\0', field->value.len)) {
            apr_table_addn(r->subprocess_env, variables.list[i].name, field->value.data);
        }
        else {
            ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "key \"%s\" is left out of the environment: "
                          "its value contains NUL", ap_escape_logitem(r->pool, field->name.data));
        }
    }
}

/** Decimal, for a time in seconds; much of what apr_psprintf costs is not needed for it. */
static const char *seconds_text(apr_pool_t *p, apr_time_t time)
{
    char digits[24];
    int at = sizeof digits;
    apr_int64_t left = apr_time_sec(time);

    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    return apr_pstrmemdup(p, digits + at, sizeof digits - (apr_size_t)at);
}

static void export_facts(request_rec *r, const bs_session_t *s)
{
    char *tag = apr_palloc(r->pool, BS_TAG_SIZE);

    bs_key_tag(&s->key, tag);
    apr_table_addn(r->subprocess_env, "BSESSION", tag);
    apr_table_addn(r->subprocess_env, "BS_NEW", s->had_record ? "0" : "1");
    apr_table_addn(r->subprocess_env, "BS_EXPIRES", seconds_text(r->pool, s->record.expires));
}

/** Nobody else says these: what an earlier preparation left, when a request is prepared again,
 *  or what SetEnv made up. Behind this names need not be looked for when they are added, which
 *  for a table whose names all begin alike is most of the work. */
static void withdraw(request_rec *r)
{
    const apr_array_header_t *variables = apr_table_elts(r->subprocess_env);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)variables->elts;
    int i;

    for (i = 0; i < variables->nelts; i++) {
        const char *name = entries[i].key;

        if (name[0] == 'B' && name[1] == 'S'
            && (strncmp(name, PREFIX, PREFIX_LEN) == 0 || strcmp(name, "BSESSION") == 0
                || strcmp(name, "BS_NEW") == 0 || strcmp(name, "BS_EXPIRES") == 0)) {
            apr_table_unset(r->subprocess_env, name);
            i = -1;
        }
    }
}

/** 0 where the session is wanted and cannot be had. */
static int export_session(request_rec *r, const bs_dir_conf_t *conf)
{
    bs_slot_t *slot = bs_slot_of(r);

    if (!slot) {
        return 1;
    }
    if (bs_session_load(slot->session) == APR_SUCCESS) {
        export_keys(r, conf, &slot->session->table);
        if (slot->session->state == BS_PRESENT) {
            export_facts(r, slot->session);
        }
    }
    return !slot->session->outage || slot->anonymous;
}

static void note_prepared(bs_visit_t *visit, request_rec *r)
{
    if (r == visit->initial) {
        visit->prepared_under = r->per_dir_config;
    }
    else {
        ap_set_module_config(r->request_config, &bsession_module, r->per_dir_config);
    }
}

/** TRACE shows the client what it sent, but where it is passed on. */
static int is_echo(const request_rec *r)
{
    return r->method_number == M_TRACE && !r->proxyreq;
}

int bs_environment_prepare(request_rec *r)
{
    const bs_dir_conf_t *conf = bs_dir_conf(r);
    bs_visit_t *visit = bs_visit_of(r);
    int exports;

    if (is_echo(r)) {
        return 1;
    }
    if (bs_has_our_header(r->headers_in)) {
        bs_drop_spoofed(r);
    }
    if (!visit) {                       /* the document of an early error has no session; nor a token */
        hide_cookies(r);
        return 1;
    }
    if (bs_environment_is_prepared(visit, r)) {
        return 1;
    }
    if (visit->cookies) {
        hide_cookies(r);
    }
    exports = conf->env > BS_ENV_OFF && bs_mode(conf) != BS_OFF;
    if (exports || visit->exported) {
        withdraw(r);
        visit->exported = 1;
    }
    note_prepared(visit, r);
    return !exports || export_session(r, conf);
}

/** A subrequest is not refused: the page that it is part of is, by the commit filter. Nor is the
 *  page that says so. */
static int fixups(request_rec *r)
{
    if (!bs_environment_prepare(r) && !r->main && !bs_visit_of(r)->refusing) {
        return bs_refuse_early(r);
    }
    return DECLINED;
}

void bs_register_environment_hooks(apr_pool_t *p)
{
    static const char *const before[] = { "mod_rewrite.c", NULL };

    (void)p;
    ap_hook_fixups(fixups, NULL, before, APR_HOOK_REALLY_FIRST);
}
