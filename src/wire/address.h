/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Addresses as values: no sockaddr, no lengths. Ports are in host byte order, the addresses themselves as they travel.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Address {
        uint16_t family; /* AF_INET, AF_INET6, or 0: no address */
        uint16_t port;
        uint32_t scope; /* interface index of a link-local IPv6 address, else 0 */
        union {
                struct in_addr v4;
                struct in6_addr v6;
        };
} Address;

/* Where to: what a person wrote, and the address itself when it was a literal. */
typedef struct Endpoint {
        char host[256]; /* without brackets, with %zone */
        uint16_t port;
        Address literal; /* family 0: `host` is a name, or has a zone, whose interface may come and go: ask the resolver
                          */
} Endpoint;

enum { ADDRESS_TEXT_MAX = 96, ENDPOINT_TEXT_MAX = 256 + 16 };

/*
 * All parsers: 0, or -EINVAL and in *ret_why a static phrase that says what is wrong with the text, fit to follow the
 * text and a colon. Nothing is resolved.
 */
int address_parse_listener(const char *text, Address *ret, const char **ret_why); /* A.B.C.D:port */
int endpoint_parse(const char *text, Endpoint *ret, const char **ret_why);        /* [IPv6%zone]:port or name:port */

/* Why an address cannot be an upstream (a static phrase), or NULL when it can. */
const char *address_upstream_refusal(const Address *address);

/* Why nobody can honestly have sent from this IPv4 address and port (network byte order, host byte order), or NULL. */
const char *address_source_refusal(struct in_addr address, uint16_t port);

bool address_equal(const Address *a, const Address *b);

/* `192.0.2.10:62000`, `[2001:db8::5%eth0]:41001`, `-` for no address. Return the buffer. */
const char *address_format(char buffer[static ADDRESS_TEXT_MAX], const Address *address);
const char *endpoint_format(char buffer[static ENDPOINT_TEXT_MAX], const Endpoint *endpoint);
