/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "write_back_parse.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "merge.h"
#include "urlencode.h"

static const char *parse_pair(bsession_field_t *pair, const char *text, apr_size_t len,
                              bs_write_back_form_t form, apr_pool_t *p)
{
    const char *equals = memchr(text, '=', len);
    apr_size_t name_len = equals ? (apr_size_t)(equals - text) : len;
    apr_int64_t number;

    if (form == BS_YES) {
        pair->name.data = "1";
        pair->name.len = 1;
        return len == 1 && *text == '1' ? NULL : "expected 1";
    }
    if ((equals != NULL) != (form != BS_NAMES)) {
        return form == BS_NAMES ? "expected keys without values, such as a&b"
                                : "expected key=value pairs, such as a=1&b=2";
    }
    if (!bs_urldecode(&pair->name, text, name_len, p)
        || !bs_key_valid(pair->name.data, pair->name.len)) {
        return "a key is 1 to 128 bytes of UTF-8, urlencoded, without control characters, and does "
               "not begin with _bs";
    }
    if (bs_key_is_private(pair->name.data)) {
        return "a key that begins with " BSESSION_PRIVATE " belongs to a module of httpd";
    }
    if (form == BS_NAMES) {
        return NULL;
    }
    if (!bs_urldecode(&pair->value, equals + 1, len - name_len - 1, p)) {
        return "a value is urlencoded: each % is followed by two hex digits";
    }
    if (form == BS_NUMBERS && !bs_number_parse(&number, pair->value.data, pair->value.len)) {
        return "expected whole numbers, such as visits=1";
    }
    return NULL;
}

/** Without the white space around it. */
static apr_size_t trim(const char **text, apr_size_t len)
{
    while (len && (**text == ' ' || **text == '\t')) {
        ++*text;
        len--;
    }
    while (len && ((*text)[len - 1] == ' ' || (*text)[len - 1] == '\t')) {
        len--;
    }
    return len;
}

/** One, and no more: whom two of them would name is anybody's guess. */
static const char *parse_name(apr_array_header_t *pairs, const char *line, apr_pool_t *p)
{
    bsession_field_t *pair = apr_array_push(pairs);
    apr_size_t len = trim(&line, strlen(line));

    if (memchr(line, ',', len) || memchr(line, '&', len)) {
        return "expected one name, with %2C for a comma in it and %26 for an ampersand";
    }
    pair->name.data = "a name";
    pair->name.len = strlen(pair->name.data);
    return bs_urldecode(&pair->value, line, len, p) && !memchr(pair->value.data, '\0', pair->value.len)
           ? NULL : "a name is urlencoded: each % is followed by two hex digits, which are not 00";
}

const char *bs_write_back_parse(apr_array_header_t **pairs, const char *line,
                                bs_write_back_form_t form, apr_pool_t *p)
{
    *pairs = apr_array_make(p, 8, sizeof(bsession_field_t));
    if (form == BS_NAME) {
        return parse_name(*pairs, line, p);
    }
    while (*line) {
        apr_size_t piece = strcspn(line, "&,"), len = piece;
        const char *text = line, *wrong;

        line += piece + (line[piece] != '\0');
        len = trim(&text, len);
        if (len) {                      /* nothing between two separators is nothing */
            wrong = parse_pair(apr_array_push(*pairs), text, len, form, p);
            if (wrong) {
                return wrong;
            }
        }
    }
    return NULL;
}
