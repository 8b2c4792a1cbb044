/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "address.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include <apr_strings.h>

void bs_address_read(bs_address_t *address, const void *bytes, apr_size_t len)
{
    static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF };
    const unsigned char *from = bytes;

    memset(address, 0, sizeof *address);
    if (len == 16 && memcmp(from, mapped, sizeof mapped) == 0) {
        from += sizeof mapped;
        len = 4;
    }
    if (len == 4 || len == 16) {
        memcpy(address->bytes, from, len);
        address->len = (unsigned)len;
    }
}

void bs_address_cut(bs_address_t *address, int ipv4_bits, int ipv6_bits)
{
    int keep = address->len == 4 ? ipv4_bits : ipv6_bits;
    unsigned i;

    for (i = 0; i < address->len; i++, keep -= 8) {
        if (keep < 8) {
            address->bytes[i] &= keep > 0 ? (unsigned char)(0xFF << (8 - keep)) : 0;
        }
    }
}

const char *bs_address_text(const bs_address_t *address, int bits, char text[BS_ADDRESS_TEXT_SIZE])
{
    apr_size_t len;

    if (!inet_ntop(address->len == 4 ? AF_INET : AF_INET6, address->bytes, text,
                   BS_ADDRESS_TEXT_SIZE)) {
        return apr_cpystrn(text, "?", BS_ADDRESS_TEXT_SIZE), text;
    }
    len = strlen(text);
    if (bits < (int)address->len * 8) {
        apr_snprintf(text + len, BS_ADDRESS_TEXT_SIZE - len, "/%d", bits);
    }
    return text;
}
