/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Timed rotation in a request: a new token is made, the newest is known to have come, and an old
 * one that comes too late raises an alarm. rotation.h has the rules. */

#include "session.h"

#include "log.h"
#include "mod_bsession.h"

/* ---- what becomes of the token ---- */

/* A token that only an older secret vouches for is replaced at once. All is seen as of when the
 * request came: one that was under way when another one made a new token does not take that for
 * lost. */
void bs_session_plan_upkeep(bs_session_t *s)
{
    int current = s->standing == BS_IS_CURRENT, at_once = s->token.secret_index != 0;

    s->noting = current && bs_rotation_is_awaited(&s->meta);
    s->renewing = !s->headers_gone && (current || s->standing == BS_IS_ASIDE)
                  && bs_rotation_is_due(&s->meta, s->digest, &s->terms.rotate, at_once, s->came_at);
}

static int is_needed(const bs_session_t *s)
{
    return s->state == BS_PRESENT && !s->kept_up && !s->outage
           && (s->terms.rotate.every || s->meta.naside || s->token.secret_index);
}

int bs_session_upkeep_is_due(bs_session_t *s)
{
    int due;

    if (!is_needed(s)) {
        return 0;
    }
    bs_session_plan_upkeep(s);
    due = s->noting || s->renewing;
    s->noting = s->renewing = 0;
    return due;
}

static void could_not(const bs_session_t *s, apr_status_t status)
{
    char tag[BS_TAG_SIZE];

    bs_key_tag(&s->key, tag);
    bs_log(s->where, BS_LOG_INFO, "session %s: its token is due to be replaced, which could not be "
           "stored; the next request tries again: %s", tag, bs_status_text(status));
}

void bs_session_upkeep(bs_session_t *s, apr_time_t deadline)
{
    apr_status_t status;

    if (!is_needed(s)) {
        return;
    }
    bs_session_plan_upkeep(s);
    if (!s->noting && !s->renewing) {
        return;
    }
    status = bs_session_update(s, deadline ? deadline : apr_time_now() + s->terms.store->timeout);
    s->noting = s->renewing = 0;
    s->kept_up = 1;
    bs_session_tell(s);
    if (status == APR_NOTFOUND || status == BSESSION_EGONE || status == BSESSION_ECORRUPT) {
        bs_session_lose(s);
    }
    else if (status != APR_SUCCESS) {
        could_not(s, status);
    }
}

/* ---- a copy of an old one ---- */

/** It ends, unless somebody has logged in since: those before have no say in that one. */
static const char *end_it(bs_session_t *s)
{
    bs_session_t *suspect = s->suspect;
    apr_status_t status = bs_session_remove(suspect, apr_time_now() + s->terms.store->timeout);

    if (status != APR_SUCCESS && status != APR_NOTFOUND) {
        return status == BSESSION_EGONE ? "; somebody has logged in since, so it stays"
                                        : "; it could not be ended";
    }
    s->state = BS_ABSENT;
    s->facts &= ~BSESSION_WAS_REPLACED;
    if (status == APR_NOTFOUND) {
        return "; it has ended meanwhile, or somebody has logged in since";
    }
    if (suspect->meta.owner.len) {
        bs_session_leave(suspect, &suspect->meta.owner, 0);
    }
    bs_session_happened(s, BS_DESTROYED);
    return "; it is ended";
}

void bs_session_alarm(bs_session_t *s)
{
    const char *outcome = s->terms.rotate.revoke ? end_it(s) : "";
    bs_level_t level = *outcome ? BS_LOG_WARNING : bs_store_warning(s->terms.store, BS_TOLD_REUSED);
    char tag[BS_TAG_SIZE];

    bs_store_count(s->terms.store, BS_REUSED_TOKENS);
    bs_key_tag(&s->suspect->key, tag);
    bs_log(s->where, level, "session %s: somebody came with a token that was replaced, after "
           "its grace was over: it may be stolen%s", tag, outcome);
}
