/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "visitor.h"

#include <string.h>

#include "apr_base64.h"
#include "apr_lib.h"
#include "apr_network_io.h"
#include "apr_strings.h"
#include "http_ssl.h"

void bs_visitor_note(bs_visit_t *visit)
{
    const char *agent;

    if (!visit->agent) {
        agent = apr_table_get(visit->initial->headers_in, "User-Agent");
        visit->agent = agent ? agent : "";
    }
}

void bs_visitor_address(bs_address_t *address, const request_rec *r)
{
    const apr_sockaddr_t *from = r->useragent_addr;
    int known = from && (from->family == APR_INET || from->family == APR_INET6);

    bs_address_read(address, known ? from->ipaddr_ptr : NULL,
                    known ? (apr_size_t)from->ipaddr_len : 0);
}

/** The certificate itself, whatever the lines look like that it comes in. */
static bsession_bytes_t certificate(request_rec *r)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    bsession_bytes_t der = { "", 0 };
    const char *pem = ap_ssl_var_lookup(r->pool, r->server, r->connection, r, "SSL_CLIENT_CERT");
    const char *from = pem ? strstr(pem, begin) : NULL, *end;
    char *text, *to, *bytes;

    if (!from || !(end = strstr(from += sizeof begin - 1, "-----END"))) {
        return der;
    }
    text = to = apr_palloc(r->pool, (apr_size_t)(end - from) + 1);
    for (; from < end; from++) {
        if (!apr_isspace(*from)) {
            *to++ = *from;
        }
    }
    *to = '\0';
    bytes = apr_palloc(r->pool, (apr_size_t)apr_base64_decode_len(text) + 1);
    der.len = (apr_size_t)apr_base64_decode(bytes, text);
    der.data = bytes;
    return der;
}

bsession_bytes_t bs_visitor_shows(void *visitor, bs_bind_kind_t kind)
{
    bs_visit_t *visit = visitor;
    bsession_bytes_t shown = { "", 0 };
    bs_address_t address;

    switch (kind) {
    case BS_BIND_UA:
        bs_visitor_note(visit);
        shown.data = visit->agent;
        shown.len = strlen(visit->agent);
        break;
    case BS_BIND_IP:
        bs_visitor_address(&address, visit->initial);
        shown.data = apr_pmemdup(visit->initial->pool, address.bytes, sizeof address.bytes);
        shown.len = address.len;
        break;
    default:
        shown = certificate(visit->initial);
    }
    return shown;
}
