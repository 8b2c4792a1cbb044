/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file attach.h
 * @brief One visit for each client request, and in it the sessions that the request uses.
 *
 * A *visit* belongs to the initial request; its subrequests, internal redirects and error documents
 * find the same one. A *slot* is one session of the visit: one for each store and cookie name. The
 * first place of the configuration that opens a slot decides its cookie's attributes and its lives;
 * limits are those of the place that asked last; one place that denies on outages is enough, and
 * what a session must be tied to is what any of them says.
 * A *handle*, bsession_t, is a slot as one place sees it: read-only or not.
 */
#ifndef BS_ATTACH_H
#define BS_ATTACH_H

#include "config.h"
#include "mod_bsession.h"

/* What most requests have no need of stays out of line: they would save registers for it. */
#define BS_RARE __attribute__((noinline))

typedef struct bs_slot_t bs_slot_t;

struct bsession_t {
    bs_slot_t *slot;
    int        read_only;
};

struct bs_slot_t {
    bs_slot_t         *next;
    bs_session_t      *session;
    bs_store_conf_t   *store;
    const bs_cookie_t *cookie;
    request_rec       *request;         /* the initial one; NULL outside of requests */
    int                secure;          /* the outcome of Secure= on this connection */
    int                anonymous;       /* BSessionOnOutage, of all places that use it */
    apr_time_t         touched;         /* when a streaming answer last prolonged its life */
    struct bsession_t  handles[2];      /* indexed by read_only */
};

/* The lines of BSessionHeader, which request_headers.c knows. */
typedef struct bs_given_t bs_given_t;

/** What one request, or subrequest, was told of its session: see environment.h. */
typedef struct {
    const void        *under;           /* the configuration that it had then */
    const bs_given_t  *given;           /* NULL = no headers of ours */
} bs_prepared_t;

typedef struct {
    request_rec       *initial;
    const char        *cookies;         /* the Cookie header as it came, before ours is taken out */
    const char        *agent;           /* User-Agent, once somebody had to know it */
    bs_slot_t         *slots;
    bs_prepared_t      prepared;        /* the initial request */
    unsigned           switching : 1;   /* to another protocol, with the header as it came */
    unsigned           exported : 1;    /* some environment may have variables of ours */
    unsigned           chunked : 1;     /* the request may have trailers */
    unsigned           required : 1;    /* Require bsession decided: the answer is private */
    unsigned           must_refuse : 1; /* it could not decide: the answer is a 503 */
    unsigned           refusing : 1;    /* the 503 is on its way */
    unsigned           refused : 1;     /* and has left, to its end */
    unsigned           committed : 1;   /* headers have left, or are about to */
    unsigned           complained : 1;  /* a late change was refused, and the log says so */
    unsigned           overfull : 1;    /* a key had no room in a header, and the log says so */
} bs_visit_t;

/** The first request of the visit. */
static inline const request_rec *bs_initial(const request_rec *r)
{
    while (r->prev || r->main) {
        r = r->prev ? r->prev : r->main;
    }
    return r;
}

/** NULL for a request that failed before it was read (400, 414), and for HTTP/0.9. */
static inline bs_visit_t *bs_visit_of(const request_rec *r)
{
    return ap_get_module_config(bs_initial(r)->request_config, &bsession_module);
}

/** The initial request has it in its visit, any other where that one has the visit; NULL while it
 *  was never prepared. */
static inline bs_prepared_t *bs_prepared_of(bs_visit_t *visit, const request_rec *r)
{
    return r == visit->initial ? &visit->prepared
         : ap_get_module_config(r->request_config, &bsession_module);
}

/** The slot that this request's configuration names, made on first use; NULL where BSession is
 *  Off. */
bs_slot_t  *bs_slot_of(request_rec *r);
bsession_t *bs_handle_of(request_rec *r);

/** Whether the request may go on as if there were no session, where it cannot be had. That another
 *  request has its lock is no outage of the store. */
static inline int bs_slot_may_do_without(const bs_slot_t *slot)
{
    return !slot->session->outage
           || (slot->anonymous && slot->session->outage != BSESSION_EBUSY);
}

/** Whether a header's name is one of ours, in any spelling. */
static inline int bs_is_our_header(const char *name)
{
    return (name[0] | 0x20) == 'b' && strncasecmp(name, "bsession", 8) == 0;
}

/* As bs_initials() has it. */
#define BS_INITIAL(letter) (1u << ((letter) & 31))

/* How CGI spells such a name, in variables. */
#define BS_CGI_PREFIX     "HTTP_BSESSION"
#define BS_CGI_PREFIX_LEN 13

/** Takes our names out of headers that a client sent, and out of what it lists in Connection. */
void bs_drop_spoofed(request_rec *r);

/** The first letters of a table's names, a bit for each: mostly enough to tell that a name is not
 *  there, in either case. Nothing is called for it, which is what makes it cheap. */
static inline unsigned bs_initials(const apr_table_t *headers)
{
    const apr_array_header_t *list = apr_table_elts(headers);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)list->elts;
    const apr_table_entry_t *end = entry + list->nelts;
    unsigned initials = 0;

    for (; entry < end; entry++) {
        initials |= BS_INITIAL(entry->key[0]);
    }
    return initials;
}

void bs_register_attach_hooks(apr_pool_t *p);

#endif
