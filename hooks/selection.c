/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "selection.h"

#include <string.h>

#include "apr_strings.h"

#include "config.h"

/* ---- the directives ---- */

static void add_key(bs_selection_t *selection, const char *key, apr_pool_t *p)
{
    int i;

    if (!selection->keys) {
        selection->keys = apr_array_make(p, 8, sizeof(const char *));
    }
    for (i = 0; i < selection->keys->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(selection->keys, i, const char *), key) == 0) {
            return;
        }
    }
    APR_ARRAY_PUSH(selection->keys, const char *) = key;
}

const char *bs_check_key(const char *directive, const char *key, apr_pool_t *p)
{
    if (!bs_key_valid(key, strlen(key))) {
        return apr_psprintf(p, "%s: \"%s\" cannot be a key: 1 to 128 bytes of UTF-8, no control "
                            "characters, not beginning with _bs", directive, key);
    }
    if (bs_key_is_private(key)) {
        return apr_psprintf(p, "%s: \"%s\" belongs to a module of httpd, as all keys do that begin "
                            "with " BSESSION_PRIVATE, directive, key);
    }
    return NULL;
}

const char *bs_selection_add(bs_selection_t *selection, const char *directive, const char *word,
                             apr_pool_t *p)
{
    int off = strcasecmp(word, "off") == 0, all = strcasecmp(word, "all") == 0;
    const char *wrong;

    if (selection->which != BS_UNSET && (off || all || selection->which != BS_SELECT_KEYS)) {
        return apr_psprintf(p, "%s takes Off, or All, or keys: not together", directive);
    }
    if (off || all) {
        selection->which = off ? BS_SELECT_NONE : BS_SELECT_ALL;
        return NULL;
    }
    if (strchr(word, ',')) {
        return apr_psprintf(p, "%s: keys are separated by spaces: \"%s\"", directive, word);
    }
    wrong = bs_check_key(directive, word, p);
    if (wrong) {
        return wrong;
    }
    selection->which = BS_SELECT_KEYS;
    add_key(selection, word, p);
    return NULL;
}

/* ---- what they select ---- */

static void all_fields(bs_selected_t *selected, const bs_table_t *table)
{
    int i;

    for (i = 0; i < table->fields.count; i++) {
        const bsession_field_t *field = &table->fields.list[i];

        if (!bs_key_is_private(field->name.data)) {
            selected->list[selected->count++] = field;
        }
    }
}

static void named_fields(bs_selected_t *selected, const apr_array_header_t *keys,
                         const bs_table_t *table)
{
    int i;

    for (i = 0; i < keys->nelts; i++) {
        const char *key = APR_ARRAY_IDX(keys, i, const char *);
        const bsession_field_t *field = bs_table_find(table, key, strlen(key));

        if (field) {
            selected->list[selected->count++] = field;
        }
    }
}

void bs_selected_fields(bs_selected_t *selected, const bs_selection_t *selection,
                        const bs_table_t *table, apr_pool_t *p)
{
    selected->count = 0;
    selected->list = apr_palloc(p, (apr_size_t)table->fields.count * sizeof *selected->list);
    if (selection->which == BS_SELECT_ALL) {
        all_fields(selected, table);
    }
    else {
        named_fields(selected, selection->keys, table);
    }
}

/* ---- facts ---- */

#define SECONDS_SIZE 24

/** Decimal, for a time in seconds, two digits at a time: less than what apr_psprintf costs. Returns
 *  where it begins, of what ends at `end`. */
static const char *seconds_text(char *end, apr_time_t time)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    apr_uint64_t left = (apr_uint64_t)apr_time_sec(time);

    *--end = '\0';
    for (; left >= 100; left /= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (left % 100), 2);
    }
    if (left >= 10) {
        end -= 2;
        memcpy(end, pairs + 2 * left, 2);
    }
    else {
        *--end = (char)('0' + left);
    }
    return end;
}

void bs_facts_of(bs_facts_t *facts, const bs_session_t *s, apr_pool_t *p)
{
    char *text = apr_palloc(p, BS_TAG_SIZE + SECONDS_SIZE);

    bs_key_tag(&s->key, text);
    facts->tag = text;
    facts->is_new = s->had_record ? "0" : "1";
    facts->expires = seconds_text(text + BS_TAG_SIZE + SECONDS_SIZE, s->record.expires);
    facts->user = s->meta.owner.len ? apr_pstrmemdup(p, s->meta.owner.data, s->meta.owner.len)
                                    : NULL;
}
