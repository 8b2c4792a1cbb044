/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "session_login.h"

#include <string.h>

#include "apr_strings.h"

#define USER_SUFFIX "-" MOD_SESSION_USER
#define PW_SUFFIX   "-" MOD_SESSION_PW

static int ends_with(const char *text, apr_size_t len, const char *suffix)
{
    apr_size_t rest = strlen(suffix);

    return len >= rest && strncasecmp(text + len - rest, suffix, rest) == 0;
}

apr_table_t *login_users(const session_rec *rec)
{
    const apr_array_header_t *list = apr_table_elts(rec->entries);
    apr_table_t *users = apr_table_make(rec->pool, 2);
    int i;

    for (i = 0; i < list->nelts; i++) {
        const apr_table_entry_t *entry = &APR_ARRAY_IDX(list, i, apr_table_entry_t);

        if (ends_with(entry->key, strlen(entry->key), USER_SUFFIX)) {
            apr_table_set(users, entry->key, entry->val);
        }
    }
    return users;
}

/** The user of one that is not among the others, or NULL. */
static const char *name_not_among(const apr_table_t *users, const apr_table_t *others)
{
    const apr_array_header_t *list = apr_table_elts(users);
    int i;

    for (i = 0; i < list->nelts; i++) {
        const apr_table_entry_t *entry = &APR_ARRAY_IDX(list, i, apr_table_entry_t);
        const char *other = apr_table_get(others, entry->key);

        if (!other || strcmp(other, entry->val) != 0) {
            return entry->val;
        }
    }
    return NULL;
}

int login_are_among(const apr_table_t *users, const apr_table_t *others)
{
    return name_not_among(users, others) == NULL;
}

static int is_one(const apr_table_t *users, const char *name)
{
    const apr_array_header_t *list = apr_table_elts(users);
    int i;

    for (i = 0; i < list->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(list, i, apr_table_entry_t).val, name) == 0) {
            return 1;
        }
    }
    return 0;
}

apr_status_t login_name_owner(const bsession_api_t *bs, bsession_t *session,
                              const apr_table_t *users, const apr_table_t *before)
{
    const char *name = name_not_among(users, before), *owner;

    if (!bs->user_key(session)) {
        return APR_SUCCESS;
    }
    if (name) {
        return bs->set_user(session, name);
    }
    owner = bs->user(session);
    return owner && is_one(before, owner) && !is_one(users, owner) ? bs->set_user(session, NULL)
                                                                   : APR_SUCCESS;
}

const char *login_without_passwords(apr_pool_t *p, const char *encoded)
{
    apr_array_header_t *pairs = apr_array_make(p, 8, sizeof(const char *));
    char *rest, *pair = apr_strtok(apr_pstrdup(p, encoded), "&", &rest);

    for (; pair; pair = apr_strtok(NULL, "&", &rest)) {
        if (!ends_with(pair, strcspn(pair, "="), PW_SUFFIX)) {
            APR_ARRAY_PUSH(pairs, const char *) = pair;
        }
    }
    return apr_array_pstrcat(p, pairs, '&');
}
