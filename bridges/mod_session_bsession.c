/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Storage for httpd's own mod_session, and so for mod_auth_form, in the session that mod_bsession
 * keeps, wherever both `Session On` and `BSession On` hold. Where another storage has directives,
 * mod_session_cookie or mod_session_dbd, it is used: this one is asked last.
 *
 * All that mod_session keeps is the value of one private key, as mod_session encodes it, with the
 * password of mod_auth_form in it. When it ends is a second key: that moves with each request where
 * there is a SessionMaxAge, and a request that moves it must not undo what another one changed.
 *
 * mod_session asks for its record again and again, decodes and judges what it gets, and makes a new
 * one, known to nobody, where it does not like it. So one record serves the whole client request;
 * it is decoded and judged here, and emptied in place where it is not good.
 *
 * mod_session saves from an output filter, which internal redirects and error documents get around.
 * What it has not saved is saved when mod_bsession is about to.
 */

#include <dlfcn.h>
#include <string.h>

#include "apr_hooks.h"
#include "apr_optional_hooks.h"
#include "apr_strings.h"
#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "mod_session.h"

#include "mod_bsession.h"
#include "session_login.h"

#define KEY          BSESSION_PRIVATE "mod_session"
#define KEY_EXPIRY   BSESSION_PRIVATE "mod_session.expiry"
#define EXPIRY       "expiry"           /* as mod_session encodes it */

/* mod_session looks at the clock once more, after us. */
#define SOON apr_time_from_msec(100)

/** The only symbol that leaves this object. */
extern module AP_MODULE_DECLARE_DATA session_bsession_module
    __attribute__((visibility("default")));

/* Settled before the first request, and the same for all threads. */
static const bsession_api_t *bs;
static struct {
    __typeof__(ap_hook_session_load)  *hook_load;
    __typeof__(ap_hook_session_save)  *hook_save;
    __typeof__(ap_run_session_encode) *encode;
    __typeof__(ap_run_session_decode) *decode;
} mod_session;

/** One session as mod_session sees it, for the whole client request. */
typedef struct kept_t {
    struct kept_t *next;
    bsession_t    *session;             /* NULL: nothing can be stored for this request */
    session_rec    rec;
    request_rec   *r;                   /* whose configuration encodes it: the last that used it */
    apr_table_t   *users;               /* who is logged in, as stored */
    unsigned       stored : 1;          /* the session has our key */
    unsigned       lost : 1;            /* a login or logout that the answer may speak of */
} kept_t;

/** Belongs to the client's request, and its subrequests and internal redirects find it. */
typedef struct {
    kept_t *list;
    int     early;                      /* it failed before it was read: a 400, a 414 */
} visit_t;

static request_rec *initial(request_rec *r)
{
    while (r->prev || r->main) {
        r = r->prev ? r->prev : r->main;
    }
    return r;
}

static visit_t *visit_of(request_rec *r)
{
    return ap_get_module_config(initial(r)->request_config, &session_bsession_module);
}

static visit_t *make_visit(request_rec *first)
{
    visit_t *visit = apr_pcalloc(first->pool, sizeof *visit);

    ap_set_module_config(first->request_config, &session_bsession_module, visit);
    return visit;
}

/* ---- what is in a record ---- */

static int is_empty(const session_rec *rec)
{
    return apr_table_elts(rec->entries)->nelts == (apr_table_get(rec->entries, EXPIRY) != NULL);
}

/* ---- loading ---- */

/** What is stored stays until mod_session saves. A record that was changed ends by that change. */
static void forget(kept_t *kept)
{
    apr_table_clear(kept->rec.entries);
    kept->rec.expiry = 0;
    if (!kept->rec.dirty) {
        apr_table_clear(kept->users);
    }
}

/** What was good when the request came is good until it is over, where there is a SessionMaxAge:
 *  mod_session sets the new end. */
static void judge_expiry(kept_t *kept)
{
    session_rec *rec = &kept->rec;

    if (!rec->expiry || rec->expiry >= apr_time_now() + SOON) {
        return;
    }
    if (rec->maxage && rec->expiry >= initial(kept->r)->request_time) {
        rec->expiry = 0;
    }
    else {
        forget(kept);
    }
}

/** A session that was destroyed meanwhile has nothing of mod_session's either. */
static void follow(kept_t *kept)
{
    if (kept->stored && !bs->has(kept->session, KEY)) {
        kept->stored = kept->rec.dirty = 0;
        forget(kept);
    }
}

static const char *tag_of(bsession_t *session)
{
    const char *tag = bs->tag(session);

    return tag ? tag : "new";
}

static void read_stored(kept_t *kept)
{
    session_rec *rec = &kept->rec;
    const char *expiry = bs->get(kept->session, KEY_EXPIRY);
    apr_status_t status;

    rec->encoded = bs->get(kept->session, KEY);
    if (!rec->encoded) {
        return;
    }
    kept->stored = 1;
    status = mod_session.decode(kept->r, rec);
    if (status != OK) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, kept->r, "session %s: what mod_session has "
                      "stored could not be decoded; it counts as empty", tag_of(kept->session));
        forget(kept);
        return;
    }
    if (expiry) {
        rec->expiry = apr_atoi64(expiry);
    }
    kept->users = login_users(rec);
}

static kept_t *make_kept(visit_t *visit, request_rec *r, bsession_t *session)
{
    apr_pool_t *pool = initial(r)->pool;
    kept_t *kept = apr_pcalloc(pool, sizeof *kept);

    kept->session = session;
    kept->rec.pool = pool;
    kept->rec.entries = apr_table_make(pool, 5);
    kept->users = apr_table_make(pool, 1);
    kept->next = visit->list;
    visit->list = kept;
    return kept;
}

static kept_t *kept_of(visit_t *visit, const bsession_t *session)
{
    kept_t *kept = visit->list;

    while (kept && kept->session != session) {
        kept = kept->next;
    }
    return kept;
}

/** A subrequest's memory goes before the record is saved. */
static request_rec *lasting(request_rec *r)
{
    while (r->main) {
        r = r->main;
    }
    return r;
}

static apr_status_t load(request_rec *r, session_rec **z)
{
    visit_t *visit = visit_of(r);
    bsession_t *session = bs->of(r);
    kept_t *kept;

    if (!visit) {                       /* a 400 or 414: no hook that we know has seen it before */
        visit = make_visit(initial(r));
        visit->early = 1;
    }
    if (!session && !visit->early) {
        return DECLINED;
    }
    kept = kept_of(visit, session);
    if (!kept) {
        kept = make_kept(visit, r, session);
        kept->r = r;
        if (session) {
            read_stored(kept);
        }
    }
    kept->r = lasting(r);
    kept->rec.encoded = NULL;           /* it is decoded, and mod_session must not do so again */
    follow(kept);
    judge_expiry(kept);
    *z = &kept->rec;
    return OK;
}

/* ---- storing ---- */

/** NULL for an outage: the store has a line of its own for that. */
static const char *reason(apr_status_t status)
{
    switch (status) {
    case APR_EACCES:
        return "BSession ReadOnly here";
    case APR_ENOSPC:
        return "over a limit of BSessionLimit";
    case BSESSION_ELATE:
        return "it would need a cookie, and the response's headers have left";
    case BSESSION_EGONE:
        return "another request has destroyed the session, or logged in";
    case BSESSION_EMANY:
        return "its user has as many sessions as BSessionUser max= allows";
    default:
        return NULL;
    }
}

static void complain(const kept_t *kept, int level, const char *why)
{
    ap_log_rerror(APLOG_MARK, level, 0, kept->r, "session %s: what mod_session changed is dropped: "
                  "%s", tag_of(kept->session), why);
}

/** Only what was changed is stored as a whole: all others just prolong. */
static apr_status_t put(const kept_t *kept)
{
    const session_rec *rec = &kept->rec;
    apr_status_t status;

    if (!is_empty(rec) && !rec->dirty && rec->expiry) {
        return bs->set(kept->session, KEY_EXPIRY,
                       apr_psprintf(rec->pool, "%" APR_TIME_T_FMT, rec->expiry));
    }
    status = is_empty(rec) ? bs->unset(kept->session, KEY)
                           : bs->set(kept->session, KEY, rec->encoded);
    return status == APR_SUCCESS ? bs->unset(kept->session, KEY_EXPIRY) : status;
}

/** Nothing but what mod_session keeps is in the session. */
static int is_ours_alone(bsession_t *session)
{
    return bs->count(session) <= bs->has(session, KEY) + bs->has(session, KEY_EXPIRY);
}

/** A name that cannot be an owner's is no reason to keep its user out. */
static apr_status_t name_owner(const kept_t *kept, const apr_table_t *users)
{
    apr_status_t status = login_name_owner(bs, kept->session, users, kept->users);

    if (status == APR_EINVAL) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, kept->r, "session %s: it has no owner: a name is 1 "
                      "to 255 bytes of UTF-8 without control characters", tag_of(kept->session));
        status = bs->set_user(kept->session, NULL);
    }
    return status;
}

/** Another request has logged in, and this one's session is a new one, without private keys. A
 *  login stands on its own there; but who was logged in when this request came may have logged
 *  out. */
static apr_status_t put_anew(const kept_t *kept)
{
    apr_status_t status = apr_is_empty_table(kept->users) ? put(kept) : BSESSION_EGONE;

    return status == APR_SUCCESS ? bs->save(kept->session) : status;
}

/** After a login or logout nobody may go on with the token from before it. It is stored at once:
 *  the answer is about to say that it is done. When headers have left there is no new token: a
 *  logout that keeps the old one is better than none. */
static apr_status_t put_under_new_token(const kept_t *kept, const apr_table_t *users, int login)
{
    bsession_t *session = kept->session;
    apr_status_t status;

    if (is_empty(&kept->rec) && is_ours_alone(session)) {
        return bs->destroy(session);
    }
    if (bs->facts(session) & BSESSION_WAS_ANSWERED) {
        return login ? BSESSION_ELATE : put(kept);
    }
    status = put(kept);                 /* first, since it may be refused */
    if (status == APR_SUCCESS) {
        status = name_owner(kept, users);
    }
    if (status == APR_SUCCESS) {
        status = bs->rotate(session);
    }
    if (status == APR_SUCCESS) {
        status = bs->save(session);
    }
    return status == APR_SUCCESS && !is_empty(&kept->rec) && !bs->has(session, KEY)
           ? put_anew(kept) : status;
}

/** Somebody may have been logged in whom this request could not see, and it was to log him out. */
static int is_blind_logout(const kept_t *kept, apr_status_t status)
{
    return kept->rec.dirty && is_empty(&kept->rec)
           && (bs->facts(kept->session) & BSESSION_WAS_REPLACED
               || (status != APR_SUCCESS && !reason(status)));
}

static void store(kept_t *kept)
{
    apr_table_t *users = login_users(&kept->rec);
    int login = !login_are_among(users, kept->users), logout = !login_are_among(kept->users, users);
    apr_status_t status = login || logout ? put_under_new_token(kept, users, login)
                                          : put(kept);

    kept->lost |= is_blind_logout(kept, status);

    if (status == APR_SUCCESS) {
        kept->users = users;
    }
    else {
        if (reason(status) && (kept->rec.dirty || status != APR_EACCES)) {
            complain(kept, status == BSESSION_EGONE ? APLOG_INFO : APLOG_WARNING, reason(status));
        }
        kept->lost |= login || (logout && status != BSESSION_EGONE);
    }
    kept->stored = bs->has(kept->session, KEY);
    kept->rec.dirty = 0;
}

static apr_status_t save(request_rec *r, session_rec *z)
{
    visit_t *visit = visit_of(r);
    kept_t *kept = visit ? visit->list : NULL;

    while (kept && &kept->rec != z) {
        kept = kept->next;
    }
    if (!kept) {
        return DECLINED;
    }
    if (kept->session) {
        store(kept);
    }
    return OK;
}

/** As mod_session does, where its filter has not met the record since it was changed. */
static void save_behind(kept_t *kept)
{
    session_rec *rec = &kept->rec;

    follow(kept);
    judge_expiry(kept);
    if (rec->maxage) {
        rec->expiry = apr_time_now() + apr_time_from_sec(rec->maxage);
    }
    if (mod_session.encode(kept->r, rec) != OK) {
        complain(kept, APLOG_WARNING, "it could not be encoded");
        kept->lost |= !login_are_among(login_users(rec), kept->users);
        rec->dirty = 0;
        return;
    }
    store(kept);
}

/** Just before mod_bsession saves. A login or logout that was lost must not be answered as if it
 *  was not. */
static int saving(request_rec *r)
{
    visit_t *visit = visit_of(r);
    kept_t *kept = visit ? visit->list : NULL;
    int good = 1;

    for (; kept; kept = kept->next) {
        if (kept->session && kept->rec.dirty) {
            save_behind(kept);
        }
        good &= !kept->lost;
    }
    return good;
}

/* ---- the password ---- */

/** SessionEnv has put all there is into the environment, what mod_auth_form keeps included. */
static int hide_passwords(request_rec *r)
{
    visit_t *visit = visit_of(r);
    const char *encoded = visit && visit->list ? apr_table_get(r->subprocess_env, "HTTP_SESSION")
                                               : NULL;

    if (encoded) {
        apr_table_setn(r->subprocess_env, "HTTP_SESSION", login_without_passwords(r->pool, encoded));
    }
    return DECLINED;
}

/* ---- start ---- */

static int begin_visit(request_rec *r)
{
    if (!r->prev && !r->main) {
        make_visit(r)->early = r->assbackwards;     /* HTTP/0.9: no headers, no session */
    }
    return DECLINED;
}

/** mod_session's functions are looked for when all modules are loaded, in whatever order. */
static int meet_mod_session(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)pconf, (void)plog, (void)ptemp;
    *(void **)&mod_session.hook_load = dlsym(RTLD_DEFAULT, "ap_hook_session_load");
    *(void **)&mod_session.hook_save = dlsym(RTLD_DEFAULT, "ap_hook_session_save");
    *(void **)&mod_session.encode = dlsym(RTLD_DEFAULT, "ap_run_session_encode");
    *(void **)&mod_session.decode = dlsym(RTLD_DEFAULT, "ap_run_session_decode");
    if (mod_session.hook_load && mod_session.hook_save) {
        mod_session.hook_load(load, NULL, NULL, APR_HOOK_LAST);
        mod_session.hook_save(save, NULL, NULL, APR_HOOK_LAST);
    }
    return OK;
}

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf, (void)plog, (void)ptemp;
    if (!mod_session.hook_load || !mod_session.hook_save || !mod_session.encode
        || !mod_session.decode) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "mod_session_bsession needs mod_session: "
                     "LoadModule session_module modules/mod_session.so");
        return !OK;
    }
    bs = bsession_api();
    if (!bs) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "mod_session_bsession needs mod_bsession, of "
                     "its version or a later one: LoadModule bsession_module "
                     "modules/mod_bsession.so");
        return !OK;
    }
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    static const char *const after[] = { "mod_session.c", NULL };

    (void)p;
    ap_hook_pre_config(meet_mod_session, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_read_request(begin_visit, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_fixups(hide_passwords, after, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(bsession, bsession_saving, saving, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(session_bsession) = {
    STANDARD20_MODULE_STUFF,
    NULL, NULL, NULL, NULL, NULL,
    register_hooks,
    AP_MODULE_FLAG_NONE
};
