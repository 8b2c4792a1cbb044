/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* include/mod_bsession.h, which documents these, as other modules see it. */

#include "api.h"

#include <string.h>

#include "apr_strings.h"

#include "attach.h"

static bs_session_t *session_of(const bsession_t *s)
{
    return s->slot->session;
}

static apr_status_t api_load(bsession_t *s)
{
    return bs_session_load(session_of(s));
}

static const char *api_getn(bsession_t *s, const char *key, apr_size_t *len)
{
    const bsession_field_t *field = bs_session_get(session_of(s), key);

    if (len) {
        *len = field ? field->value.len : 0;
    }
    return field ? field->value.data : NULL;
}

static const char *api_get(bsession_t *s, const char *key)
{
    return api_getn(s, key, NULL);
}

static int api_has(bsession_t *s, const char *key)
{
    return api_getn(s, key, NULL) != NULL;
}

static int api_count(bsession_t *s)
{
    return bs_session_load(session_of(s)) == APR_SUCCESS ? session_of(s)->table.fields.count : 0;
}

/** Over a copy of the list: the callee may change the table. */
static void api_each(bsession_t *s, bsession_each_t *call, void *baton)
{
    bs_session_t *session = session_of(s);
    bsession_fields_t fields;
    int i;

    if (bs_session_load(session) != APR_SUCCESS) {
        return;
    }
    fields.count = session->table.fields.count;
    fields.list = apr_pmemdup(session->pool, session->table.fields.list,
                              (apr_size_t)fields.count * sizeof *fields.list);
    for (i = 0; i < fields.count; i++) {
        if (!call(baton, fields.list[i].name.data, fields.list[i].value.data,
                  fields.list[i].value.len)) {
            return;
        }
    }
}

static apr_status_t api_setn(bsession_t *s, const char *key, const void *value, apr_size_t len)
{
    return s->read_only ? APR_EACCES : bs_session_set(session_of(s), key, value, len);
}

static apr_status_t api_set(bsession_t *s, const char *key, const char *value)
{
    return !value ? APR_EINVAL : api_setn(s, key, value, strlen(value));
}

static apr_status_t api_add(bsession_t *s, const char *key, const void *value, apr_size_t len)
{
    return s->read_only ? APR_EACCES : bs_session_add(session_of(s), key, value, len);
}

static apr_status_t api_unset(bsession_t *s, const char *key)
{
    return s->read_only ? APR_EACCES : bs_session_unset(session_of(s), key);
}

static apr_status_t api_clear(bsession_t *s)
{
    return s->read_only ? APR_EACCES : bs_session_clear(session_of(s));
}

static const char *api_pop(bsession_t *s, const char *key, apr_size_t *len)
{
    const char *value = api_getn(s, key, len);

    return value && api_unset(s, key) == APR_SUCCESS ? value : NULL;
}

static apr_status_t api_incr(bsession_t *s, const char *key, apr_int64_t by, apr_int64_t *now)
{
    return s->read_only ? APR_EACCES : bs_session_incr(session_of(s), key, by, now);
}

static apr_status_t api_rotate(bsession_t *s)
{
    return s->read_only ? APR_EACCES : bs_session_rotate(session_of(s));
}

static apr_status_t api_destroy(bsession_t *s)
{
    return s->read_only ? APR_EACCES : bs_session_destroy(session_of(s));
}

static apr_status_t api_save(bsession_t *s)
{
    return s->read_only ? APR_EACCES : bs_session_save(session_of(s), 0);
}

static apr_status_t api_touch(bsession_t *s)
{
    return bs_session_touch(session_of(s), 0);
}

static apr_status_t api_lock(bsession_t *s)
{
    return s->read_only ? APR_EACCES : bs_session_lock(session_of(s));
}

static apr_status_t api_unlock(bsession_t *s)
{
    return s->read_only ? APR_EACCES : bs_session_unlock(session_of(s));
}

static int api_is_new(bsession_t *s)
{
    bs_session_load(session_of(s));
    return !session_of(s)->had_record;
}

static int has_record(bsession_t *s)
{
    bs_session_load(session_of(s));
    return session_of(s)->state == BS_PRESENT;
}

static apr_time_t api_created(bsession_t *s)
{
    return has_record(s) ? session_of(s)->meta.created : 0;
}

static apr_time_t api_expires(bsession_t *s)
{
    return has_record(s) ? session_of(s)->record.expires : 0;
}

static const char *api_tag(bsession_t *s)
{
    char *tag;

    if (!has_record(s)) {
        return NULL;
    }
    tag = apr_palloc(session_of(s)->pool, BS_TAG_SIZE);
    bs_key_tag(&session_of(s)->key, tag);
    return tag;
}

static unsigned api_facts(bsession_t *s)
{
    return bs_session_facts(session_of(s));
}

static const char *api_token(bsession_t *s)
{
    char *token;

    if (!has_record(s)) {
        return NULL;
    }
    token = apr_palloc(session_of(s)->pool, BS_TOKEN_TEXT_SIZE);
    bs_token_text(&session_of(s)->token, token);
    return token;
}

/* ---- owners ---- */

static apr_status_t api_set_user(bsession_t *s, const char *name)
{
    return s->read_only ? APR_EACCES : bs_session_set_owner(session_of(s), name);
}

static const char *api_user(bsession_t *s)
{
    return bs_session_owner(session_of(s));
}

static const char *api_user_key(bsession_t *s)
{
    return session_of(s)->terms.user.key;
}

static apr_status_t api_user_sessions(bsession_t *s, const char *name, bsession_each_user_t *call,
                                      void *baton)
{
    return bs_session_list_user(session_of(s), name, call, baton);
}

static apr_status_t api_revoke(bsession_t *s, const char *name, const char *tag)
{
    return s->read_only ? APR_EACCES : bs_session_revoke(session_of(s), name, tag);
}

static apr_status_t api_revoke_user(bsession_t *s, const char *name)
{
    return s->read_only ? APR_EACCES : bs_session_revoke_user(session_of(s), name);
}

static apr_status_t api_revoke_others(bsession_t *s)
{
    return s->read_only ? APR_EACCES : bs_session_revoke_others(session_of(s));
}

static const bsession_api_t api = {
    .version = BSESSION_API_VERSION,
    .size    = sizeof(bsession_api_t),
    .of      = bs_handle_of,
    .load    = api_load,
    .get     = api_get,
    .getn    = api_getn,
    .has     = api_has,
    .count   = api_count,
    .each    = api_each,
    .set     = api_set,
    .setn    = api_setn,
    .add     = api_add,
    .unset   = api_unset,
    .clear   = api_clear,
    .pop     = api_pop,
    .incr    = api_incr,
    .rotate  = api_rotate,
    .destroy = api_destroy,
    .save    = api_save,
    .touch   = api_touch,
    .is_new  = api_is_new,
    .created = api_created,
    .expires = api_expires,
    .tag     = api_tag,
    .facts   = api_facts,
    .token   = api_token,
    .open    = bs_api_open,
    .close   = bs_api_close,
    .cache             = bs_api_cache,
    .cache_get         = bs_api_cache_get,
    .cache_has         = bs_api_cache_has,
    .cache_set         = bs_api_cache_set,
    .cache_add         = bs_api_cache_add,
    .cache_delete      = bs_api_cache_delete,
    .cache_incr        = bs_api_cache_incr,
    .cache_decr        = bs_api_cache_decr,
    .cache_get_many    = bs_api_cache_get_many,
    .cache_set_many    = bs_api_cache_set_many,
    .cache_delete_many = bs_api_cache_delete_many,
    .cache_clear       = bs_api_cache_clear,
    .lock    = api_lock,
    .unlock  = api_unlock,
    .set_user      = api_set_user,
    .user          = api_user,
    .user_sessions = api_user_sessions,
    .revoke        = api_revoke,
    .revoke_user   = api_revoke_user,
    .revoke_others = api_revoke_others,
    .user_key = api_user_key
};

APR_DECLARE_OPTIONAL_FN(const bsession_api_t *, bsession_api_of_version, (int version));

/** Members are only ever added at the end, so that one table serves every older header. */
static const bsession_api_t *bsession_api_of_version(int version)
{
    return version <= BSESSION_API_VERSION ? &api : NULL;
}

void bs_register_api(apr_pool_t *p)
{
    (void)p;
    APR_REGISTER_OPTIONAL_FN(bsession_api_of_version);
}
