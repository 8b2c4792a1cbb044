/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "cookie.h"

#include <string.h>

#include <apr_cstr.h>
#include <apr_strings.h>

#include "parse.h"

/* What browsers take (RFC 6265bis): a longer cookie, or one whose attribute is longer, they drop or
 * cut without a word. */
#define MAX_LINE      4096
#define MAX_ATTRIBUTE 1024
#define MAX_LIFE      apr_time_from_sec(400 * 86400)
#define MAX_DOMAIN    253
#define MAX_LABEL     63

const bs_cookie_t bs_cookie_default = {
    .name      = BS_COOKIE_DEFAULT_NAME,
    .name_len  = sizeof(BS_COOKIE_DEFAULT_NAME) - 1,
    .path      = "/",
    .same_site = "Lax",
    .secure    = BS_SECURE_ON,
    .http_only = 1,
    .life      = BS_LIFE_SESSION
};

/* ---- what an administrator writes ---- */

static const char *set_path(bs_cookie_t *cookie, const char *value, apr_pool_t *pool)
{
    cookie->path = apr_pstrdup(pool, value);
    return NULL;
}

/* Browsers ignore one leading dot; so do we, since many write it by habit. */
static const char *set_domain(bs_cookie_t *cookie, const char *value, apr_pool_t *pool)
{
    cookie->domain = apr_pstrdup(pool, *value == '.' ? value + 1 : value);
    return NULL;
}

static const char *set_secure(bs_cookie_t *cookie, const char *value, apr_pool_t *pool)
{
    int on;

    if (!apr_cstr_casecmp(value, "auto")) {
        cookie->secure = BS_SECURE_AUTO;
        return NULL;
    }
    if (bs_parse_flag(&on, value)) {
        return apr_psprintf(pool, "Secure= must be On, Off or Auto, not '%s'", value);
    }
    cookie->secure = on ? BS_SECURE_ON : BS_SECURE_OFF;
    return NULL;
}

static const char *set_http_only(bs_cookie_t *cookie, const char *value, apr_pool_t *pool)
{
    const char *expected = bs_parse_flag(&cookie->http_only, value);

    return expected ? apr_psprintf(pool, "HttpOnly= must be %s, not '%s'", expected, value) : NULL;
}

static const char *set_partitioned(bs_cookie_t *cookie, const char *value, apr_pool_t *pool)
{
    const char *expected = bs_parse_flag(&cookie->partitioned, value);

    return expected ? apr_psprintf(pool, "Partitioned= must be %s, not '%s'", expected, value)
                    : NULL;
}

static const char *set_same_site(bs_cookie_t *cookie, const char *value, apr_pool_t *pool)
{
    static const char *const known[] = { "Lax", "Strict", "None", NULL };
    int i;

    for (i = 0; known[i] && apr_cstr_casecmp(value, known[i]); i++) {
    }
    if (!known[i] && apr_cstr_casecmp(value, "off")) {
        return apr_psprintf(pool, "SameSite= must be Lax, Strict, None or Off, not '%s'", value);
    }
    cookie->same_site = known[i];
    return NULL;
}

static const char *set_lifetime(bs_cookie_t *cookie, const char *value, apr_pool_t *pool)
{
    const char *expected;

    if (!apr_cstr_casecmp(value, "session")) {
        cookie->life = BS_LIFE_SESSION;
        return NULL;
    }
    if (!apr_cstr_casecmp(value, "idle")) {
        cookie->life = BS_LIFE_IDLE;
        return NULL;
    }
    expected = bs_parse_time(&cookie->life_time, value);
    if (expected) {
        return apr_psprintf(pool, "Lifetime= must be session, idle or %s, not '%s'", expected,
                            value);
    }
    cookie->life = BS_LIFE_TIME;
    return NULL;
}

static const struct {
    const char   *name;
    const char *(*set)(bs_cookie_t *cookie, const char *value, apr_pool_t *pool);
} attributes[] = {
    { "Path",        set_path },
    { "Domain",      set_domain },
    { "Secure",      set_secure },
    { "HttpOnly",    set_http_only },
    { "SameSite",    set_same_site },
    { "Partitioned", set_partitioned },
    { "Lifetime",    set_lifetime }
};

const char *bs_cookie_attribute(bs_cookie_t *cookie, const char *text, apr_pool_t *pool)
{
    apr_size_t len = strcspn(text, "="), i;

    for (i = 0; text[len] && i < sizeof(attributes) / sizeof(*attributes); i++) {
        const char *name = attributes[i].name;

        if (strlen(name) == len && !apr_cstr_casecmpn(text, name, len)) {
            return attributes[i].set(cookie, text + len + 1, pool);
        }
    }
    return apr_psprintf(pool, "unknown attribute '%s'; expected are Path=, Domain=, Secure=, "
                        "HttpOnly=, SameSite=, Partitioned= and Lifetime=", text);
}

/* ---- whether browsers will take it ---- */

/* A token: visible ASCII but for the separators of RFC 2616. */
static const char *check_name(const bs_cookie_t *cookie, apr_pool_t *pool)
{
    apr_size_t i;

    for (i = 0; i < cookie->name_len; i++) {
        unsigned char c = (unsigned char)cookie->name[i];

        if (c <= ' ' || c >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", c)) {
            break;
        }
    }
    if (i < cookie->name_len || !i) {
        return apr_psprintf(pool, "a cookie's name must be one or more letters, digits and "
                            "!#$%%&'*+-.^_`|~, not '%s'", cookie->name);
    }
    return NULL;
}

static const char *check_path(const bs_cookie_t *cookie, apr_pool_t *pool)
{
    const char *at = cookie->path;

    while (*at >= ' ' && *at < 0x7f && *at != ';') {
        at++;
    }
    if (*cookie->path != '/' || *at) {
        return apr_psprintf(pool, "Path= must begin with / and have no ';', control or non-ASCII "
                            "character, unlike '%s'", cookie->path);
    }
    if (at - cookie->path > MAX_ATTRIBUTE) {
        return apr_psprintf(pool, "Path= must have at most %d bytes", MAX_ATTRIBUTE);
    }
    return NULL;
}

static int is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
           || c == '-' || c == '_';
}

/* Labels of a sensible length with one dot between two, more than one of them: the browser refuses
 * a cookie for all of ".com". */
static int is_domain(const char *domain)
{
    const char *at = domain;
    int labels = 0;

    for (;; at++) {
        const char *label = at;

        while (is_label_char(*at)) {
            at++;
        }
        if (at == label || at - label > MAX_LABEL || *label == '-' || at[-1] == '-') {
            return 0;
        }
        labels++;
        if (*at != '.') {
            break;
        }
    }
    return !*at && at - domain <= MAX_DOMAIN
           && (labels > 1 || !apr_cstr_casecmp(domain, "localhost"));
}

/* Secure=Auto is not enough where Secure is needed: it leaves it out without TLS. */
static const char *check_secure(const bs_cookie_t *cookie)
{
    if (cookie->secure == BS_SECURE_ON) {
        return NULL;
    }
    if (cookie->same_site && !apr_cstr_casecmp(cookie->same_site, "None")) {
        return "SameSite=None needs Secure=On";
    }
    if (cookie->partitioned) {
        return "Partitioned=On needs Secure=On";
    }
    if (!apr_cstr_casecmpn(cookie->name, "__Secure-", 9)) {
        return "a cookie whose name begins with __Secure- needs Secure=On";
    }
    if (!apr_cstr_casecmpn(cookie->name, "__Host-", 7)) {
        return "a cookie whose name begins with __Host- needs Secure=On";
    }
    if (!apr_cstr_casecmpn(cookie->name, "__Http-", 7)) {
        return "a cookie whose name begins with __Http- needs Secure=On";
    }
    return NULL;
}

/* The newest prefixes: no script can have set it, and so none may read it. */
static const char *check_http_only(const bs_cookie_t *cookie)
{
    if (!cookie->http_only && (!apr_cstr_casecmpn(cookie->name, "__Http-", 7)
                               || !apr_cstr_casecmpn(cookie->name, "__Host-Http-", 12))) {
        return "a cookie whose name begins with __Http- or __Host-Http- needs HttpOnly=On";
    }
    return NULL;
}

static const char *check_host(const bs_cookie_t *cookie)
{
    if (!apr_cstr_casecmpn(cookie->name, "__Host-", 7)
        && (cookie->domain || strcmp(cookie->path, "/"))) {
        return "a cookie whose name begins with __Host- needs Path=/ and no Domain=";
    }
    return NULL;
}

static const char *check_same_site(const bs_cookie_t *cookie)
{
    if (cookie->same_site && strcmp(cookie->same_site, "Lax")
        && strcmp(cookie->same_site, "Strict") && strcmp(cookie->same_site, "None")) {
        return "SameSite= must be Lax, Strict, None or Off";
    }
    return NULL;
}

static const char *check_life(const bs_cookie_t *cookie)
{
    if (cookie->life == BS_LIFE_TIME
        && (cookie->life_time < APR_USEC_PER_SEC || cookie->life_time > MAX_LIFE)) {
        return "Lifetime= must be session, idle or a time from 1s to 400d, which is where browsers "
               "cut";
    }
    return NULL;
}

const char *bs_cookie_check(const bs_cookie_t *cookie, apr_pool_t *pool)
{
    static const bs_token_t any = { .maced = 1 };
    const char *why = check_name(cookie, pool);

    if (!why) {
        why = check_path(cookie, pool);
    }
    if (!why && cookie->domain && !is_domain(cookie->domain)) {
        why = apr_psprintf(pool, "Domain= must be a domain such as example.com, without a port, "
                           "not '%s'", cookie->domain);
    }
    if (!why) {
        why = check_same_site(cookie);
    }
    if (!why) {
        why = check_secure(cookie);
    }
    if (!why) {
        why = check_host(cookie);
    }
    if (!why) {
        why = check_http_only(cookie);
    }
    if (!why) {
        why = check_life(cookie);
    }
    if (!why && strlen(bs_cookie_line(cookie, &any, 1, apr_time_sec(MAX_LIFE), pool)) > MAX_LINE) {
        why = apr_psprintf(pool, "a cookie must have at most %d bytes with all its attributes: "
                           "shorten its name or Path=", MAX_LINE);
    }
    return why;
}

/* ---- the Cookie header ----
 *
 * A pair ends at a ';', at a ", " (where httpd joined two headers), or at the end of the header; a
 * comma before anything but a blank is part of a value. Blanks around a pair belong to no pair. */

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *at)
{
    while (is_blank(*at)) {
        at++;
    }
    return at;
}

static const char *pair_end(const char *pair)
{
    const char *at = pair + strcspn(pair, ";,");

    while (*at == ',' && !is_blank(at[1])) {
        at += 1 + strcspn(at + 1, ";,");
    }
    return at;
}

static int pair_is(const char *pair, const char *end, const char *name, apr_size_t name_len)
{
    return (apr_size_t)(end - pair) > name_len && pair[name_len] == '='
           && !memcmp(pair, name, name_len);
}

/* The token in a value, which may stand in quotes. */
static int read_value(bs_token_t *token, const char *value, const char *end)
{
    while (end > value && is_blank(end[-1])) {
        end--;
    }
    if (end - value > BS_TOKEN_TEXT_LEN && *value == '"' && end[-1] == '"') {
        value++;
        end--;
    }
    return bs_token_parse(token, value, (apr_size_t)(end - value));
}

static int is_among(const bs_token_t *token, const bs_token_t *tokens, int count)
{
    while (count--) {
        if (!memcmp(token, &tokens[count], sizeof(*token))) {
            return 1;
        }
    }
    return 0;
}

int bs_cookie_find(const char *header, const char *name, apr_size_t name_len,
                   bs_token_t *tokens, int max)
{
    const char *pair = header, *end;
    int found = 0;

    for (; found < max; pair = end + 1) {
        pair = skip_blanks(pair);
        end = pair_end(pair);
        if (pair_is(pair, end, name, name_len)
            && read_value(&tokens[found], pair + name_len + 1, end)
            && !is_among(&tokens[found], tokens, found)) {
            found++;
        }
        if (!*end) {
            break;
        }
    }
    return found;
}

static int is_ours(const char *pair, const char *end, const char *const *names)
{
    for (; *names; names++) {
        if (*pair == **names && pair_is(pair, end, *names, strlen(*names))) {
            return 1;
        }
    }
    return 0;
}

/* Where something begins that is neither a separator nor an empty pair. */
static const char *skip_separators(const char *from, const char *until)
{
    while (from < until && (*from == ';' || is_blank(*from)
                            || (*from == ',' && is_blank(from[1])))) {
        from++;
    }
    return from;
}

/* What stays are runs of pairs, each with the separator before it; the very first loses that, and
 * empty pairs with it. Since nothing else moves, what is left splits into the same pairs as before.
 * When all that stays is one run at the end it needs no copy. */
const char *bs_cookie_strip(const char *header, const char *const *names, apr_pool_t *pool)
{
    const char *run = header;       /* the run that was not copied yet begins here */
    const char *last = header;      /* the end of the pair before this one */
    const char *pair = header, *end;
    char *copy = NULL, *to = NULL;

    for (;; pair = end + 1, last = end) {
        pair = skip_blanks(pair);
        end = pair_end(pair);
        if (is_ours(pair, end, names)) {
            if (!copy && (run = skip_separators(run, last)) < last) {
                copy = to = apr_palloc(pool, strlen(header) + 1);
            }
            if (copy) {
                memcpy(to, run, (apr_size_t)(last - run));
                to += last - run;
            }
            run = end;
        }
        if (!*end) {
            break;
        }
    }
    if (run == header) {
        return header;
    }
    if (!copy) {
        run = skip_separators(run, end);
        return run < end ? run : NULL;
    }
    memcpy(to, run, (apr_size_t)(end - run) + 1);
    return copy;
}

/* ---- the Set-Cookie line ---- */

const char *bs_cookie_line(const bs_cookie_t *cookie, const bs_token_t *token, int secure,
                           apr_int64_t max_age, apr_pool_t *pool)
{
    char text[BS_TOKEN_TEXT_SIZE] = "";
    const char *age = "";

    if (token) {
        bs_token_text(token, text);
    }
    else {
        max_age = 0;
    }
    if (max_age >= 0) {
        age = apr_psprintf(pool, "; Max-Age=%" APR_INT64_T_FMT, max_age);
    }
    return apr_pstrcat(pool, cookie->name, "=", text, "; Path=", cookie->path,
                       cookie->domain ? "; Domain=" : "", cookie->domain ? cookie->domain : "",
                       age, secure ? "; Secure" : "", cookie->http_only ? "; HttpOnly" : "",
                       cookie->same_site ? "; SameSite=" : "",
                       cookie->same_site ? cookie->same_site : "",
                       cookie->partitioned ? "; Partitioned" : "", NULL);
}

/* Browsers trim the blanks around a name, so a line with such blanks sets the same cookie. */
int bs_cookie_line_is(const char *line, const char *name, apr_size_t name_len)
{
    line = skip_blanks(line);
    return !strncmp(line, name, name_len) && *skip_blanks(line + name_len) == '=';
}
