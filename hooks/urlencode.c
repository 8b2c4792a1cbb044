/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "urlencode.h"

static int is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
           || c == '-' || c == '.' || c == '_' || c == '~';
}

apr_size_t bs_urlencoded_len(const bsession_bytes_t *bytes, apr_size_t most)
{
    apr_size_t len = 0, i;

    for (i = 0; i < bytes->len && len <= most; i++) {
        len += is_plain(bytes->data[i]) ? 1 : 3;
    }
    return len;
}

char *bs_urlencode(char *to, const bsession_bytes_t *bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    apr_size_t i;

    for (i = 0; i < bytes->len; i++) {
        unsigned char c = (unsigned char)bytes->data[i];

        if (is_plain((char)c)) {
            *to++ = (char)c;
        }
        else {
            *to++ = '%';
            *to++ = digits[c >> 4];
            *to++ = digits[c & 15];
        }
    }
    return to;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int bs_urldecode(bsession_bytes_t *bytes, const char *from, apr_size_t len, apr_pool_t *p)
{
    char *to = apr_palloc(p, len + 1);
    apr_size_t i, n = 0;

    for (i = 0; i < len; i++) {
        if ((unsigned char)from[i] < 0x20 || from[i] == 0x7F) {
            return 0;
        }
        if (from[i] == '%') {
            if (len - i < 3 || hex(from[i + 1]) < 0 || hex(from[i + 2]) < 0) {
                return 0;
            }
            to[n++] = (char)(hex(from[i + 1]) << 4 | hex(from[i + 2]));
            i += 2;
        }
        else {
            to[n++] = from[i] == '+' ? ' ' : from[i];
        }
    }
    to[n] = '\0';
    bytes->data = to;
    bytes->len = n;
    return 1;
}
