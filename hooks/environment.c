/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* At fixups, before mod_rewrite, and again when commit.c inserts its filters: mod_dir may have run
 * another request's fixups in between. */

#include "environment.h"

#include <string.h>

#include "apr_strings.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"

#include "commit.h"
#include "request_headers.h"
#include "visitor.h"

APLOG_USE_MODULE(bsession);

#define PREFIX     "BSESSION_"
#define PREFIX_LEN 9

/* ---- our cookies are taken out ---- */

/** TRACE shows the client what it sent, but where it is passed on. */
static int is_echo(const request_rec *r)
{
    return r->method_number == M_TRACE && !r->proxyreq;
}

/** Mostly as it came, and then it is found by that. */
static const char *cookie_header(const request_rec *r, const char *raw)
{
    const apr_array_header_t *headers = apr_table_elts(r->headers_in);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)headers->elts;
    const apr_table_entry_t *end = entry + headers->nelts;

    for (; entry < end; entry++) {
        if (entry->val == raw) {
            return raw;
        }
    }
    return apr_table_get(r->headers_in, "Cookie");
}

static BS_RARE void hide_cookies(request_rec *r, const char *raw)
{
    const char *header = cookie_header(r, raw), *left = header;
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

/* Where httpd itself changes to HTTP/2, the request begins anew there, from the headers that it has then:
 * for as long as that takes they have our cookie. Nothing else needs it, and no log is to show it. */
static int switch_protocol(conn_rec *c, request_rec *r, server_rec *s, const char *protocol)
{
    bs_visit_t *visit = r ? bs_visit_of(r) : NULL;
    const char *others;
    int outcome;

    if (!visit || !visit->cookies || visit->switching || is_echo(r)) {
        return DECLINED;
    }
    others = apr_table_get(r->headers_in, "Cookie");
    apr_table_setn(r->headers_in, "Cookie", visit->cookies);
    visit->switching = 1;
    outcome = ap_run_protocol_switch(c, r, s, protocol);
    visit->switching = 0;
    if (others) {
        apr_table_setn(r->headers_in, "Cookie", others);
    }
    else {
        apr_table_unset(r->headers_in, "Cookie");
    }
    return outcome;
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
    variable_t  *list;
    int          count;
    char        *names;                 /* room for the next */
    apr_uint64_t glances;               /* of all in the list, a bit each */
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

/** The one in the list that this would be again, or NULL. */
static BS_RARE variable_t *same_variable(const variables_t *variables, const variable_t *variable)
{
    int i;

    for (i = 0; i < variables->count; i++) {
        variable_t *other = &variables->list[i];

        if (other->glance == variable->glance && strcasecmp(other->name, variable->name) == 0) {
            return other;
        }
    }
    return NULL;
}

static void select_field(variables_t *variables, const bsession_field_t *field)
{
    variable_t *variable = &variables->list[variables->count], *other = NULL;
    apr_uint64_t bit;

    variables->names = name_variable(variable, field, variables->names);
    bit = (apr_uint64_t)1 << ((variable->glance ^ variable->glance >> 8) & 63);
    if (variables->glances & bit) {
        other = same_variable(variables, variable);
    }
    variables->glances |= bit;
    if (!other) {
        variables->count++;
    }
    else if (beats(variable, other)) {
        *other = *variable;
    }
}

static void select_fields(variables_t *variables, const bs_selection_t *selection,
                          const bs_table_t *table, apr_pool_t *p)
{
    bs_selected_t selected;
    apr_size_t room = 0;
    int i;

    bs_selected_fields(&selected, selection, table, p);
    for (i = 0; i < selected.count; i++) {
        room += PREFIX_LEN + selected.list[i]->name.len + 1;
    }
    variables->count = 0;
    variables->glances = 0;
    variables->list = apr_palloc(p, (apr_size_t)selected.count * sizeof(variable_t));
    variables->names = apr_palloc(p, room);
    for (i = 0; i < selected.count; i++) {
        select_field(variables, selected.list[i]);
    }
}

static void export_keys(request_rec *r, const bs_dir_conf_t *conf, const bs_table_t *table)
{
    variables_t variables;
    int i;

    select_fields(&variables, &conf->env, table, r->pool);
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

static void export_facts(request_rec *r, const bs_session_t *s)
{
    bs_facts_t facts;

    bs_facts_of(&facts, s, r->pool);
    apr_table_addn(r->subprocess_env, "BSESSION", facts.tag);
    apr_table_addn(r->subprocess_env, "BS_NEW", facts.is_new);
    apr_table_addn(r->subprocess_env, "BS_EXPIRES", facts.expires);
    if (facts.user) {
        apr_table_addn(r->subprocess_env, "BS_USER", facts.user);
    }
}

/** As the environment has our own names, and those of our headers in CGI. */
static int is_our_variable(const char *name)
{
    if (name[0] == 'H') {
        return strncmp(name, BS_CGI_PREFIX, BS_CGI_PREFIX_LEN) == 0;
    }
    return name[0] == 'B' && name[1] == 'S'
           && (strncmp(name, PREFIX, PREFIX_LEN) == 0 || strcmp(name, "BSESSION") == 0
               || strcmp(name, "BS_NEW") == 0 || strcmp(name, "BS_EXPIRES") == 0
               || strcmp(name, "BS_USER") == 0);
}

/** Nobody else says these: what an earlier preparation left, when a request is prepared again,
 *  what a page's own variables hand down to a subrequest, or what SetEnv made up. Behind this
 *  names need not be looked for when they are added, which for a table whose names all begin
 *  alike is most of the work. */
static void withdraw(request_rec *r)
{
    const apr_array_header_t *variables = apr_table_elts(r->subprocess_env);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)variables->elts;
    int i;

    for (i = 0; i < variables->nelts; i++) {
        if (is_our_variable(entries[i].key)) {
            apr_table_unset(r->subprocess_env, entries[i].key);
            i = -1;
        }
    }
}

static int exports_here(const bs_dir_conf_t *conf)
{
    return conf->mode > BS_OFF
           && (conf->env.which > BS_SELECT_NONE || conf->header.which > BS_SELECT_NONE);
}

static void export_to(request_rec *r, bs_prepared_t *prepared, const bs_session_t *s)
{
    const bs_dir_conf_t *conf = bs_dir_conf(r);

    if (conf->env.which > BS_SELECT_NONE) {
        export_keys(r, conf, &s->table);
        if (s->state == BS_PRESENT) {
            export_facts(r, s);
        }
    }
    /* what is the end of a TRACE shows its headers to the client */
    if (conf->header.which > BS_SELECT_NONE && r->method_number != M_TRACE) {
        bs_request_headers_give(r, prepared, s);
    }
}

/** 0 where the session is wanted and cannot be had. */
static int export_session(request_rec *r, bs_prepared_t *prepared)
{
    bs_slot_t *slot = bs_slot_of(r);

    if (!slot) {
        return 1;
    }
    if (bs_session_load(slot->session) == APR_SUCCESS) {
        export_to(r, prepared, slot->session);
    }
    return bs_slot_may_do_without(slot);
}

static bs_prepared_t *note_prepared(bs_visit_t *visit, request_rec *r)
{
    bs_prepared_t *prepared = bs_prepared_of(visit, r);

    if (!prepared) {
        prepared = apr_palloc(r->pool, sizeof *prepared);
        ap_set_module_config(r->request_config, &bsession_module, prepared);
    }
    prepared->under = r->per_dir_config;
    prepared->given = NULL;
    return prepared;
}

static BS_RARE int export_anew(request_rec *r, bs_visit_t *visit, bs_prepared_t *prepared)
{
    withdraw(r);
    visit->exported = 1;
    return !exports_here(bs_dir_conf(r)) || export_session(r, prepared);
}

int bs_environment_prepare(request_rec *r)
{
    bs_visit_t *visit = bs_visit_of(r);
    bs_prepared_t *prepared;

    if (is_echo(r)) {
        return 1;
    }
    if (bs_initials(r->headers_in) & BS_INITIAL('b')) {
        bs_drop_spoofed(r);             /* and what an earlier preparation gave */
    }
    if (!visit) {                   /* the document of an early error has no session; nor a token */
        hide_cookies(r, NULL);
        return 1;
    }
    if (visit->cookies) {
        hide_cookies(r, visit->cookies);
    }
    prepared = note_prepared(visit, r);
    return visit->exported || exports_here(bs_dir_conf(r)) ? export_anew(r, visit, prepared) : 1;
}

/** A subrequest is not refused: the page that it is part of is, by the commit filter. Nor is the
 *  page that says so. */
static int fixups(request_rec *r)
{
    if (bs_dir_conf(r)->bind && bs_visit_of(r)) {
        bs_visitor_note(bs_visit_of(r));
    }
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
    ap_hook_protocol_switch(switch_protocol, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
