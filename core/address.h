/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file address.h
 * @brief Where somebody comes from: an address, or the network that it is in.
 */
#ifndef BS_ADDRESS_H
#define BS_ADDRESS_H

#include <apr.h>

/* Whoever has an IPv6 address has all of its /64. */
#define BS_IPV4_BITS  32
#define BS_IPV6_BITS  64

/** "ffff:...:ffff/128" and a NUL. */
#define BS_ADDRESS_TEXT_SIZE 48

typedef struct {
    unsigned char bytes[16];
    unsigned      len;              /* 4 or 16; 0 = none is known */
} bs_address_t;

/** From 4 or 16 bytes in network order; anything else is none. IPv4 that is mapped into IPv6 is
 *  IPv4. */
void bs_address_read(bs_address_t *address, const void *bytes, apr_size_t len);

/** What is behind so many bits, by the kind that it is, becomes zero. */
void bs_address_cut(bs_address_t *address, int ipv4_bits, int ipv6_bits);

/** As logs have it; with "/64" and its like where `bits` are not all of it. */
const char *bs_address_text(const bs_address_t *address, int bits, char text[BS_ADDRESS_TEXT_SIZE]);

#endif
