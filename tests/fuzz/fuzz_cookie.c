/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The cookie. The input is a Cookie header, and then, each on a line of its own, attributes of
 * BSessionCookie, the first of them being the name. What the header holds is compared with a second
 * way to read it, which is slow and plain. */

#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "cookie.h"
#include "fuzz.h"

#define SOME 4
#define NAME "bsession"
#define NAME_LEN (sizeof(NAME) - 1)

static apr_pool_t *pool;
static const char *const names[] = { NAME, "__Host-sid", NULL };

/* ---- the plain way to split a header ---- */

typedef struct {
    const char *text;
    size_t      len;
} pair_t;

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* All pairs that are not empty; blanks before one are not part of it. */
static int split(const char *header, pair_t *pairs)
{
    size_t len = strlen(header), i, from = 0;
    int count = 0;

    for (i = 0; i <= len; i++) {
        if (i < len && header[i] != ';' && !(header[i] == ',' && is_blank(header[i + 1]))) {
            continue;
        }
        while (from < i && is_blank(header[from])) {
            from++;
        }
        if (from < i) {
            pairs[count].text = header + from;
            pairs[count++].len = i - from;
        }
        from = i + 1;
    }
    return count;
}

static int is_of(const pair_t *pair, const char *name)
{
    size_t len = strlen(name);

    return pair->len > len && !strncmp(pair->text, name, len) && pair->text[len] == '=';
}

/* The token's text in a pair of ours, or NULL. */
static const char *token_text(const pair_t *pair)
{
    char *value = apr_pstrmemdup(pool, pair->text + NAME_LEN + 1, pair->len - NAME_LEN - 1);
    size_t len = strlen(value);
    bs_token_t token;

    while (len && is_blank(value[len - 1])) {
        value[--len] = '\0';
    }
    if (len >= 2 && *value == '"' && value[len - 1] == '"') {
        value[--len] = '\0';
        value++;
        len--;
    }
    return bs_token_parse(&token, value, len) ? value : NULL;
}

/* ---- the header ---- */

static void check_find(const char *header, const pair_t *pairs, int count)
{
    bs_token_t tokens[SOME], first;
    const char *expected[SOME];
    int found = bs_cookie_find(header, NAME, NAME_LEN, tokens, SOME), i, j, n = 0;

    for (i = 0; i < count && n < SOME; i++) {
        const char *text = is_of(&pairs[i], NAME) ? token_text(&pairs[i]) : NULL;

        for (j = 0; text && j < n && strcmp(text, expected[j]); j++) {
        }
        if (text && j == n) {
            expected[n++] = text;
        }
    }
    MUST(found == n);
    for (i = 0; i < found; i++) {
        char text[BS_TOKEN_TEXT_SIZE];

        bs_token_text(&tokens[i], text);
        MUST(!strcmp(text, expected[i]));
    }
    MUST(bs_cookie_find(header, NAME, NAME_LEN, &first, 1) == (found > 0));
    MUST(!found || !memcmp(&first, tokens, sizeof(first)));
}

/* What is left holds the others' pairs, in order and byte for byte, and none of ours. */
static void check_strip(const char *header, const pair_t *pairs, int count)
{
    const char *left = bs_cookie_strip(header, names, pool);
    pair_t *left_pairs = malloc((strlen(header) + 1) * sizeof(*left_pairs));
    int left_count, i, n = 0;

    MUST(left_pairs);
    left_count = left ? split(left, left_pairs) : 0;
    for (i = 0; i < count; i++) {
        if (is_of(&pairs[i], names[0]) || is_of(&pairs[i], names[1])) {
            continue;
        }
        MUST(n < left_count && pairs[i].len == left_pairs[n].len);
        MUST(!memcmp(pairs[i].text, left_pairs[n].text, pairs[i].len));
        n++;
    }
    MUST(n == left_count);
    MUST((left == header) == (n == count));
    MUST(!left || left == header || strlen(left) < strlen(header));
    MUST(!left || bs_cookie_strip(left, names, pool) == left);
    free(left_pairs);
}

/* Whatever a client sends before it, a cookie of ours is found behind it. */
static void check_behind(const char *header, const bs_token_t *token, int pairs)
{
    char text[BS_TOKEN_TEXT_SIZE];
    bs_token_t *tokens = malloc(((size_t)pairs + 1) * sizeof(*tokens));
    int found, i;

    MUST(tokens);
    bs_token_text(token, text);
    found = bs_cookie_find(apr_pstrcat(pool, header, "; " NAME "=", text, NULL), NAME, NAME_LEN,
                           tokens, pairs + 1);
    for (i = 0; i < found && memcmp(&tokens[i], token, sizeof(*token)); i++) {
    }
    MUST(i < found);
    free(tokens);
}

static void check_line_is(const char *header)
{
    const char *name = header + strspn(header, " \t"), *rest = name + NAME_LEN;
    int ours = !strncmp(name, NAME, NAME_LEN) && rest[strspn(rest, " \t")] == '=';

    MUST(bs_cookie_line_is(header, NAME, NAME_LEN) == ours);
}

/* ---- the configuration ---- */

static void check_line(const bs_cookie_t *cookie, const bs_token_t *token)
{
    const char *line = bs_cookie_line(cookie, token, cookie->secure == BS_SECURE_ON, 1, pool), *at;
    bs_token_t again;
    int separators = 0;

    MUST(strlen(line) <= 4096);
    MUST(bs_cookie_line_is(line, cookie->name, cookie->name_len));
    for (at = line; *at; at++) {
        MUST(*at >= ' ' && *at < 0x7f);
        separators += *at == ';';
    }
    /* Nothing that was configured can slip in an attribute of its own. */
    MUST(separators == 2 + (cookie->domain != NULL) + (cookie->secure == BS_SECURE_ON)
                       + cookie->http_only + (cookie->same_site != NULL) + cookie->partitioned);
    MUST(bs_cookie_find(line, cookie->name, cookie->name_len, &again, 1) == 1);
    MUST(!memcmp(&again, token, sizeof(again)));
}

static void check_attributes(char *lines, const bs_token_t *token)
{
    bs_cookie_t cookie = bs_cookie_default;
    char *line = apr_strtok(lines, "\n", &lines);

    if (!line) {
        return;
    }
    cookie.name = line;
    cookie.name_len = strlen(line);
    while (*lines && (line = apr_strtok(lines, "\n", &lines))) {
        bs_cookie_t before = cookie;
        const char *why = bs_cookie_attribute(&cookie, line, pool);

        if (why) {
            MUST(*why);
            cookie = before;
        }
    }
    if (!bs_cookie_check(&cookie, pool)) {
        check_line(&cookie, token);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bs_token_t token;
    pair_t *pairs;
    char *header, *rest;
    int count;

    if (!pool) {
        MUST(apr_initialize() == APR_SUCCESS);
        MUST(apr_pool_create(&pool, NULL) == APR_SUCCESS);
    }
    MUST(bs_token_parse(&token, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", BS_TOKEN_TEXT_LEN));
    header = malloc(size + 1);
    pairs = malloc((size + 1) * sizeof(*pairs));
    MUST(header && pairs);
    memcpy(header, data, size);
    header[size] = '\0';
    rest = strchr(header, '\n');
    if (rest) {
        check_attributes(apr_pstrdup(pool, rest), &token);
        *rest = '\0';
    }
    /* A block of its own size, so that a sanitizer sees a step beyond its end. */
    header = realloc(header, strlen(header) + 1);
    MUST(header);
    check_line_is(header);
    count = split(header, pairs);
    check_find(header, pairs, count);
    check_strip(header, pairs, count);
    check_behind(header, &token, count);
    free(pairs);
    free(header);
    apr_pool_clear(pool);
    return 0;
}
