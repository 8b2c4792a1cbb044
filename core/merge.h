/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file merge.h
 * @brief The table of one request: a session's keys as this request sees them, and the list of what
 *        it changed.
 *
 * A request remembers what it did, not what the table looked like. When its save meets a record
 * that somebody else changed meanwhile, the same list is applied to that one: this file is the only
 * one that does so outside of stores that merge in place.
 *
 * The list is kept short: a CLEAR drops all before it, and so stands first; SET and UNSET replace
 * what was noted for their key; INCRs of one key add up.
 */
#ifndef BS_MERGE_H
#define BS_MERGE_H

#include "bsession_provider.h"
#include "mod_bsession.h"

#define BS_KEY_MAX   128
#define BS_OWNER_MAX 255

typedef struct {
    apr_pool_t        *pool;
    bsession_fields_t  fields;
    int                room;            /* of fields.list; 0 while it is the one that was loaded */
    apr_size_t         bytes;           /* bsession_fields_bytes(fields) */
    bsession_change_t *changes;
    int                nchanges;
    int                changes_room;
    apr_size_t         max_bytes;       /* 0 = no limit */
    apr_size_t         max_fields;
} bs_table_t;

void bs_table_init(bs_table_t *table, apr_pool_t *pool, apr_size_t max_bytes,
                   apr_size_t max_fields);
/** The fields of a record that was loaded become the table's; changes are forgotten. */
void bs_table_adopt(bs_table_t *table, const bsession_fields_t *loaded);
/** The changes are applied to these fields instead. An INCR that meets no number is dropped, and
 *  counted in `dropped`. APR_ENOSPC: the result is over a limit; the table is of no use then. */
apr_status_t bs_table_rebase(bs_table_t *table, const bsession_fields_t *loaded, int *dropped);
/** The changes are stored, and the list of fields is the record's from now on. */
void bs_table_saved(bs_table_t *table);

/** Whether this may be the name of a key: see mod_bsession.h. */
int bs_key_valid(const char *name, apr_size_t len);

/** Whether somebody may be called so: 1 to 255 bytes of UTF-8 without control characters. */
int bs_owner_valid(const char *name, apr_size_t len);

/** Whether it belongs to a module alone: BSESSION_PRIVATE of mod_bsession.h. */
static inline int bs_key_is_private(const char *name)
{
    return name[0] == BSESSION_PRIVATE[0];
}

const bsession_field_t *bs_table_find(const bs_table_t *table, const char *name, apr_size_t len);

/* APR_SUCCESS; APR_EINVAL, APR_ENOSPC, APR_EEXIST (add): nothing changed. All is copied. */
apr_status_t bs_table_set(bs_table_t *table, const char *name, apr_size_t name_len,
                          const void *value, apr_size_t len);
apr_status_t bs_table_add(bs_table_t *table, const char *name, apr_size_t name_len,
                          const void *value, apr_size_t len);
apr_status_t bs_table_unset(bs_table_t *table, const char *name, apr_size_t name_len);
apr_status_t bs_table_incr(bs_table_t *table, const char *name, apr_size_t name_len,
                           apr_int64_t by, apr_int64_t *now);
void         bs_table_clear(bs_table_t *table);

/** `-?[1-9][0-9]*|0` within 64 bits: what every store takes for a number. */
int bs_number_parse(apr_int64_t *number, const char *text, apr_size_t len);

#endif
