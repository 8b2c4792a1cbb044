/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "guesses.h"

#include <errno.h>
#include <sys/mman.h>

#include "apr_strings.h"
#include "http_log.h"

#include "guess.h"
#include "visitor.h"

APLOG_USE_MODULE(bsession);

/* Part of the name under which the memory outlives a graceful restart: another layout of
 * bs_guesses_t must not find it. */
#define LAYOUT 1

static apr_status_t make(bs_guesses_t **made)
{
    bs_guesses_t *guesses = mmap(NULL, sizeof *guesses, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (guesses == MAP_FAILED) {
        return errno;
    }
    *made = guesses;
    return bs_random_bytes(&guesses->seed, sizeof guesses->seed);
}

apr_status_t bs_guesses_open(bs_stores_t *stores, server_rec *s, apr_pool_t *pconf)
{
    apr_pool_t *process_pool = s->process->pool;
    const char *key = apr_psprintf(pconf, "mod_bsession:guesses:%d:%" APR_SIZE_T_FMT, LAYOUT,
                                   sizeof(bs_guesses_t));
    bs_guesses_t *guesses = NULL;
    apr_status_t status;
    void *found = NULL;

    apr_pool_userdata_get(&found, key, process_pool);
    if (found) {
        stores->guesses = found;
        return APR_SUCCESS;
    }
    status = make(&guesses);
    if (status != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, status, s, "there is no memory to count bad tokens in");
        return status;
    }
    stores->guesses = guesses;
    return apr_pool_userdata_set(guesses, key, apr_pool_cleanup_null, process_pool);
}

static void say(request_rec *r, const bs_address_t *from, const bs_guess_line_t *line)
{
    char text[BS_ADDRESS_TEXT_SIZE];
    const char *others = "";

    if (line->others) {
        others = apr_psprintf(r->pool, "; of %" APR_UINT64_T_FMT " more addresses the same was not said",
                              line->others);
    }
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, "%u session tokens that open nothing came from %s: "
                  "somebody may be guessing, sessions were lost, or it is a proxy that mod_remoteip does "
                  "not know%s%s", line->tokens,
                  bs_address_text(from, from->len == 4 ? BS_IPV4_BITS : BS_IPV6_BITS, text), others,
                  line->is_last ? "; no other address is named in this minute" : "");
}

void bs_guesses_count(request_rec *r, const bs_session_t *session)
{
    bs_guesses_t *guesses = bs_server_conf(r->server)->stores->guesses;
    bs_guess_line_t line;
    bs_address_t from;
    int i;

    bs_visitor_address(&from, r);
    if (!guesses || !from.len) {
        return;
    }
    bs_address_cut(&from, BS_IPV4_BITS, BS_IPV6_BITS);
    for (i = 0; i < session->npresented; i++) {
        if (session->unknown >> i & 1
            && bs_guess(guesses, &from, &session->presented[i], bs_guess_minute(), &line)) {
            say(r, &from, &line);
        }
    }
}
