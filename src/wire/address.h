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

/* All IPv6 addresses that begin alike. The bits after `length` are zero. */
typedef struct Prefix {
        struct in6_addr address;
        uint8_t length; /* bits; 128: one address */
} Prefix;

enum { PREFIX_LIST_MAX = 16, PREFIX_LIST_TEXT_MAX = PREFIX_LIST_MAX * 48 };

typedef struct PrefixList {
        unsigned n;
        Prefix items[PREFIX_LIST_MAX];
} PrefixList;

/* All IPv4 addresses that begin alike. The bits after `length` are zero. */
typedef struct Network {
        struct in_addr address;
        uint8_t length; /* bits; 32: one address, 0: all */
} Network;

enum { NETWORK_TEXT_MAX = 20 };

/* Who may answer besides an upstream itself. */
typedef struct ReplySource {
        Prefix prefix;
        uint16_t port; /* 0: the upstream's */
} ReplySource;

enum { REPLY_SOURCES_MAX = 16, REPLY_SOURCES_TEXT_MAX = REPLY_SOURCES_MAX * 56 };

typedef struct ReplySources {
        unsigned n;
        ReplySource items[REPLY_SOURCES_MAX];
} ReplySources;

/* Ports from low to high, both included; low > high: none. */
typedef struct PortRange {
        uint16_t low, high;
} PortRange;

/* Where to: what a person wrote, and the address itself when it was a literal. */
typedef struct Endpoint {
        char host[256];  /* without brackets, with %zone */
        uint16_t port;   /* 0: none was given */
        Address literal; /* family 0: `host` is a name, or has a zone, whose interface may come and go: ask the resolver
                          */
} Endpoint;

enum { ENDPOINT_LIST_MAX = 8 };

typedef struct EndpointList {
        unsigned n;
        Endpoint items[ENDPOINT_LIST_MAX];
} EndpointList;

enum {
        ADDRESS_HOST_MAX = 80,
        ADDRESS_TEXT_MAX = 96,
        ENDPOINT_TEXT_MAX = 256 + 16,
        ENDPOINT_LIST_TEXT_MAX = ENDPOINT_LIST_MAX * ENDPOINT_TEXT_MAX
};

/*
 * All parsers: 0, or -EINVAL and in *ret_why a static phrase that says what is wrong with the text, fit to follow the
 * text and a colon. Nothing is resolved.
 */
int address_parse_listener(const char *text, Address *ret, const char **ret_why); /* A.B.C.D:port */
int endpoint_parse(const char *text, Endpoint *ret, const char **ret_why); /* [IPv6%zone] or name, and :port or not */
int endpoint_list_add(const char *text, EndpointList *to, const char **ret_why); /* one or more, behind what is there */
int prefix_list_parse(const char *text, PrefixList *ret, const char **ret_why);  /* addresses and prefixes, or "" */
int reply_sources_add(const char *text, ReplySources *to,
                      const char **ret_why);                             /* [IPv6] or [prefix/bits], :port or not */
int network_parse(const char *text, Network *ret, const char **ret_why); /* A.B.C.D or A.B.C.D/bits */
int port_range_parse(const char *text, PortRange *ret, const char **ret_why); /* low-high, from 1024 on */

bool prefix_has(const Prefix *prefix, const struct in6_addr *address);

/* The address in the prefix with this number. */
struct in6_addr prefix_address(const Prefix *prefix, uint32_t number);

static inline unsigned port_range_size(const PortRange *r)
{
        return r->low <= r->high ? r->high - r->low + 1U : 0;
}

/* How many ports are in both. */
static inline unsigned port_range_overlap(const PortRange *a, const PortRange *b)
{
        const PortRange both = {a->low > b->low ? a->low : b->low, a->high < b->high ? a->high : b->high};

        return port_range_size(a) > 0 && port_range_size(b) > 0 ? port_range_size(&both) : 0;
}

/*
 * The IPv4 address to which a translator carries what is sent to this one, *ret: IPv4-mapped and -compatible addresses
 * (RFC 4291), the prefixes of NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056). false: it is nothing of the kind, as far as
 * one can see: networks may have NAT64 prefixes of their own.
 */
bool address_embedded(const Address *address, struct in_addr *ret);

/* Why an address cannot be an upstream (a static phrase), or NULL when it can. */
const char *address_upstream_refusal(const Address *address);

/* Why nobody can honestly have sent from this IPv4 address and port (network byte order, host byte order), or NULL. */
const char *address_source_refusal(struct in_addr address, uint16_t port);

bool address_equal(const Address *a, const Address *b);
bool reply_sources_equal(const ReplySources *a, const ReplySources *b);
bool endpoint_equal(const Endpoint *a, const Endpoint *b); /* as they were written */
bool endpoint_same(const Endpoint *a, const Endpoint *b);  /* they mean the same, however it was written */

/* `192.0.2.10:62000`, `[2001:db8::5%eth0]:41001`, `[2001:db8::5]` without a port, `-` for no address. Return the
 * buffer. */
const char *address_format(char buffer[static ADDRESS_TEXT_MAX], const Address *address);
/* Without port and brackets: `192.0.2.10`, `2001:db8::5`, `fe80::1%eth0`. */
const char *address_format_host(char buffer[static ADDRESS_HOST_MAX], const Address *address);
const char *endpoint_format(char buffer[static ENDPOINT_TEXT_MAX], const Endpoint *endpoint);
const char *endpoint_list_format(char buffer[static ENDPOINT_LIST_TEXT_MAX], const EndpointList *list);
const char *network_format(char buffer[static NETWORK_TEXT_MAX], const Network *network);
const char *reply_sources_format(char buffer[static REPLY_SOURCES_TEXT_MAX], const ReplySources *list);
const char *prefix_list_format(char buffer[static PREFIX_LIST_TEXT_MAX], const PrefixList *list);
