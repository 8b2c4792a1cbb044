/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file selection.h
 * @brief What of a session applications are told: the keys that BSessionEnv or BSessionHeader
 *        names, and the facts beside them.
 */
#ifndef BS_SELECTION_H
#define BS_SELECTION_H

#include "apr_tables.h"

#include "session.h"

typedef enum { BS_SELECT_NONE, BS_SELECT_ALL, BS_SELECT_KEYS } bs_select_t;

/** What stands behind one of these directives. */
typedef struct {
    int                 which;          /* bs_select_t, or BS_UNSET */
    apr_array_header_t *keys;           /* of const char *, with BS_SELECT_KEYS */
} bs_selection_t;

/** NULL, or a sentence: this cannot be a key, or not one that a configuration may name. */
const char *bs_check_key(const char *directive, const char *key, apr_pool_t *p);

/** One more word of the directive: Off, All or a key. NULL, or a sentence. */
const char *bs_selection_add(bs_selection_t *selection, const char *directive, const char *word,
                             apr_pool_t *p);

typedef struct {
    const bsession_field_t **list;
    int                      count;
} bs_selected_t;

/** The fields that are there and selected: those that are named in the order of their names. */
void bs_selected_fields(bs_selected_t *selected, const bs_selection_t *selection,
                        const bs_table_t *table, apr_pool_t *p);

typedef struct {
    const char *tag;
    const char *is_new;                 /* "1" or "0" */
    const char *expires;                /* seconds since 1970 */
    const char *user;                   /* or NULL: nobody's */
} bs_facts_t;

/** Of a session that is stored: BS_PRESENT. */
void bs_facts_of(bs_facts_t *facts, const bs_session_t *s, apr_pool_t *p);

#endif
