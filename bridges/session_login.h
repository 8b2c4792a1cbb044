/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file session_login.h
 * @brief Who is logged in, by what mod_auth_form puts into a record of mod_session: an entry
 *        realm-user and an entry realm-pw, the clear password, for each realm.
 */
#ifndef SESSION_LOGIN_H
#define SESSION_LOGIN_H

#include "httpd.h"
#include "mod_session.h"

#include "mod_bsession.h"

/** The -user entries. */
apr_table_t *login_users(const session_rec *rec);

/** Whether each of them is also among the others, and the same. */
int          login_are_among(const apr_table_t *users, const apr_table_t *others);

/** Where BSessionUser names owners a login names him, and what its key holds is the application's
 *  business. A logout takes away only whom a login had named. As set_user of mod_bsession.h. */
apr_status_t login_name_owner(const bsession_api_t *bs, bsession_t *session,
                              const apr_table_t *users, const apr_table_t *before);

/** An encoded record without its -pw entries. */
const char  *login_without_passwords(apr_pool_t *p, const char *encoded);

#endif
