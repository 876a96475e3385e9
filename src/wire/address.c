/* SPDX-License-Identifier: MIT */
/*
 * Believes: getaddrinfo()'s tolerance (octal IPv4, names for ports) has no place in a configuration. Refuses: anything
 * that could be meant in two ways, above all an IPv6 address without brackets.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "wire/address.h"

static int port_parse(const char *text, uint16_t *ret, const char **ret_why)
{
        unsigned long port;
        size_t length = strlen(text);

        *ret_why = "the port must be a number from 1 to 65535";
        if (length == 0 || length > 5 || strspn(text, "0123456789") != length)
                return -EINVAL;
        port = strtoul(text, NULL, 10);
        if (port == 0 || port > UINT16_MAX)
                return -EINVAL;
        *ret = (uint16_t)port;
        return 0;
}

int address_parse_listener(const char *text, Address *ret, const char **ret_why)
{
        char host[INET_ADDRSTRLEN];
        const char *colon = strrchr(text, ':');
        Address address = {.family = AF_INET};
        size_t length;

        *ret_why = "expected a literal IPv4 address and a port, A.B.C.D:port";
        if (!colon)
                return -EINVAL;
        length = (size_t)(colon - text);
        if (length >= sizeof(host))
                return -EINVAL;
        memcpy(host, text, length);
        host[length] = '\0';
        if (inet_pton(AF_INET, host, &address.v4) != 1)
                return -EINVAL;
        if (port_parse(colon + 1, &address.port, ret_why) < 0)
                return -EINVAL;
        *ret = address;
        return 0;
}

/* `2001:db8::1` or `fe80::1%eth0`. */
/* Visible ASCII: what may be told to anybody, in any format. */
static bool is_plain(const char *text)
{
        for (; *text; text++)
                if (*text <= ' ' || *text > '~')
                        return false;
        return true;
}

static int ipv6_parse(const char *host, Address *ret, const char **ret_why)
{
        char bare[INET6_ADDRSTRLEN];
        const char *zone = strchr(host, '%');
        size_t length = zone ? (size_t)(zone - host) : strlen(host);

        *ret_why = "not an IPv6 address";
        if (length >= sizeof(bare))
                return -EINVAL;
        memcpy(bare, host, length);
        bare[length] = '\0';
        if (inet_pton(AF_INET6, bare, &ret->v6) != 1)
                return -EINVAL;
        if (zone) {
                ret->scope = UINT32_MAX; /* some interface; which one is for the resolver to find out */
                if (!zone[1] || strlen(zone + 1) >= IF_NAMESIZE || strpbrk(zone + 1, "%/") || !is_plain(zone + 1)) {
                        *ret_why = "not the name of a network interface behind the %";
                        return -EINVAL;
                }
        }
        ret->family = AF_INET6;
        return 0;
}

/* Letters, digits, hyphens, underscores and dots: what a resolver may be asked without surprises. */
static bool host_name_ok(const char *host)
{
        if (!isalnum((unsigned char)host[0]))
                return false;
        for (const char *p = host; *p; p++)
                if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
                        return false;
        return !strstr(host, "..");
}

/* Does it end like a number? Then it is a mistyped IPv4 address, never a name (RFC 1123, section 2.1). */
static bool looks_like_ipv4(const char *host)
{
        const char *last = strrchr(host, '.');

        last = last ? last + 1 : host;
        return *last && strspn(last, "0123456789") == strlen(last);
}

int endpoint_parse(const char *text, Endpoint *ret, const char **ret_why)
{
        Endpoint endpoint = {0};
        const char *end, *port;
        bool bracketed = text[0] == '[';
        const char *host = bracketed ? text + 1 : text;

        *ret_why = "a URL is not expected, but name:port";
        if (strstr(text, "://"))
                return -EINVAL;
        *ret_why = "expected [IPv6 address]:port or name:port";
        end = bracketed ? strchr(text, ']') : strrchr(text, ':') ? strrchr(text, ':') : text + strlen(text);
        if (!end)
                return -EINVAL;
        port = bracketed ? end + 1 : end;
        if ((*port && *port != ':') || end == host || (size_t)(end - host) >= sizeof(endpoint.host))
                return -EINVAL;
        memcpy(endpoint.host, host, (size_t)(end - host));
        if (*port && port_parse(port + 1, &endpoint.port, ret_why) < 0)
                return -EINVAL;

        if (bracketed) {
                if (ipv6_parse(endpoint.host, &endpoint.literal, ret_why) < 0)
                        return -EINVAL;
                endpoint.literal.port = endpoint.port;
                *ret_why = address_upstream_refusal(&endpoint.literal);
                if (*ret_why)
                        return -EINVAL;
                if (endpoint.literal.scope != 0)
                        endpoint.literal = (Address){0};
        } else if (strchr(endpoint.host, ':')) {
                *ret_why = "an IPv6 address needs brackets: [address]:port";
                return -EINVAL;
        } else if (looks_like_ipv4(endpoint.host)) {
                *ret_why = "an IPv4 address cannot be the upstream, it must be IPv6";
                return -EINVAL;
        } else if (!host_name_ok(endpoint.host)) {
                *ret_why = "not a host name";
                return -EINVAL;
        }
        *ret = endpoint;
        return 0;
}

bool endpoint_equal(const Endpoint *a, const Endpoint *b)
{
        return strcmp(a->host, b->host) == 0 && a->port == b->port;
}

bool endpoint_same(const Endpoint *a, const Endpoint *b)
{
        if (a->literal.family != 0 && b->literal.family != 0)
                return address_equal(&a->literal, &b->literal);
        return strcasecmp(a->host, b->host) == 0 && a->port == b->port;
}

int endpoint_list_add(const char *text, EndpointList *to, const char **ret_why)
{
        char words[ENDPOINT_LIST_TEXT_MAX], *rest = words;
        EndpointList list = *to;

        *ret_why = "too long";
        if (strlen(text) >= sizeof(words))
                return -EINVAL;
        (void)strcpy(words, text);
        for (char *word; (word = strsep(&rest, " \t"));) {
                if (!*word && text[strspn(text, " \t")])
                        continue;
                *ret_why = "more than 8 of them";
                if (list.n == ENDPOINT_LIST_MAX || endpoint_parse(word, &list.items[list.n], ret_why) < 0)
                        return -EINVAL;
                *ret_why = "named twice";
                for (unsigned i = 0; i < list.n; i++)
                        if (endpoint_equal(&list.items[i], &list.items[list.n]))
                                return -EINVAL;
                list.n++;
        }
        *to = list;
        return 0;
}

/* Why legs cannot have such addresses, or NULL when they can. */
static const char *prefix_refusal(const Prefix *prefix)
{
        const struct in6_addr *a = &prefix->address;

        if (IN6_IS_ADDR_MULTICAST(a) || IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_UNSPECIFIED(a))
                return "no address of this kind can be a source";
        if (IN6_IS_ADDR_LINKLOCAL(a))
                return "a link-local address cannot be a source";
        for (unsigned bit = prefix->length; bit < 128; bit++)
                if (a->s6_addr[bit / 8] & 0x80 >> bit % 8)
                        return "the bits after the prefix are not zero";
        return NULL;
}

static int prefix_parse(char *text, Prefix *ret, const char **ret_why)
{
        char *slash = strchr(text, '/');
        Address address = {0};

        *ret_why = "expected IPv6 addresses or prefixes like 2001:db8:5::/64, with blanks between them";
        ret->length = 128;
        if (slash) {
                size_t n = strlen(slash + 1);

                *slash = '\0';
                if (n == 0 || n > 3 || strspn(slash + 1, "0123456789") != n)
                        return -EINVAL;
                *ret_why = "a prefix is 1 to 128 bits long";
                if (atoi(slash + 1) < 1 || atoi(slash + 1) > 128)
                        return -EINVAL;
                ret->length = (uint8_t)atoi(slash + 1);
        }
        if (ipv6_parse(text, &address, ret_why) < 0)
                return -EINVAL;
        *ret_why = "an address with a zone cannot be a source";
        if (address.scope != 0)
                return -EINVAL;
        ret->address = address.v6;
        *ret_why = prefix_refusal(ret);
        return *ret_why ? -EINVAL : 0;
}

int prefix_list_parse(const char *text, PrefixList *ret, const char **ret_why)
{
        char words[PREFIX_LIST_TEXT_MAX], *rest = words;
        PrefixList list = {0};

        *ret_why = "too long";
        if (strlen(text) >= sizeof(words))
                return -EINVAL;
        (void)strcpy(words, text);
        for (char *word; (word = strsep(&rest, " \t"));) {
                if (!*word)
                        continue;
                *ret_why = "more than 16 addresses or prefixes";
                if (list.n == PREFIX_LIST_MAX)
                        return -EINVAL;
                if (prefix_parse(word, &list.items[list.n++], ret_why) < 0)
                        return -EINVAL;
        }
        *ret = list;
        return 0;
}

int network_parse(const char *text, Network *ret, const char **ret_why)
{
        char host[INET_ADDRSTRLEN];
        size_t length = strcspn(text, "/"), n_digits;
        Network network = {.length = 32};

        *ret_why = "expected an IPv4 address, or a network like 192.0.2.0/24";
        if (length >= sizeof(host))
                return -EINVAL;
        memcpy(host, text, length);
        host[length] = '\0';
        if (inet_pton(AF_INET, host, &network.address) != 1)
                return -EINVAL;
        if (text[length]) {
                text += length + 1;
                n_digits = strlen(text);
                *ret_why = "the length of a network is 0 to 32 bits";
                if (n_digits == 0 || n_digits > 2 || strspn(text, "0123456789") != n_digits || atoi(text) > 32)
                        return -EINVAL;
                network.length = (uint8_t)atoi(text);
        }
        *ret_why = "the bits after the network's length are not zero";
        if (network.length < 32 && (ntohl(network.address.s_addr) & UINT32_MAX >> network.length))
                return -EINVAL;
        *ret = network;
        return 0;
}

const char *network_format(char buffer[static NETWORK_TEXT_MAX], const Network *network)
{
        (void)inet_ntop(AF_INET, &network->address, buffer, NETWORK_TEXT_MAX);
        if (network->length < 32)
                (void)snprintf(buffer + strlen(buffer), NETWORK_TEXT_MAX - strlen(buffer), "/%u", network->length);
        return buffer;
}

bool reply_sources_equal(const ReplySources *a, const ReplySources *b)
{
        bool equal = a->n == b->n;

        for (unsigned i = 0; i < a->n && equal; i++)
                equal = IN6_ARE_ADDR_EQUAL(&a->items[i].prefix.address, &b->items[i].prefix.address) &&
                        a->items[i].prefix.length == b->items[i].prefix.length && a->items[i].port == b->items[i].port;
        return equal;
}

/* One of them; what may be a source of ours may be one of theirs. */
static int reply_source_parse(char *text, ReplySource *ret, const char **ret_why)
{
        char *end = strchr(text, ']');
        int r;

        *ret_why = "expected [IPv6 address]:port or [prefix/bits]:port";
        if (*text != '[' || !end || (end[1] && end[1] != ':'))
                return -EINVAL;
        *end = '\0';
        r = prefix_parse(text + 1, &ret->prefix, ret_why);
        ret->port = 0;
        return r < 0 || !end[1] ? r : port_parse(end + 2, &ret->port, ret_why);
}

int reply_sources_add(const char *text, ReplySources *to, const char **ret_why)
{
        char words[REPLY_SOURCES_TEXT_MAX], *rest = words;
        ReplySources list = *to;

        *ret_why = "too long";
        if (strlen(text) >= sizeof(words))
                return -EINVAL;
        (void)strcpy(words, text);
        if (!*text) /* takes back what was said before */
                list.n = 0;
        for (char *word; (word = strsep(&rest, " \t"));) {
                if (!*word)
                        continue;
                *ret_why = "more than 16 of them";
                if (list.n == REPLY_SOURCES_MAX || reply_source_parse(word, &list.items[list.n], ret_why) < 0)
                        return -EINVAL;
                list.n++;
        }
        *to = list;
        return 0;
}

int port_range_parse(const char *text, PortRange *ret, const char **ret_why)
{
        const char *dash = strchr(text, '-');
        char low[6] = "";
        PortRange range;

        *ret_why = "expected two ports from 1024 to 65535, like 20000-29999";
        if (!dash || (size_t)(dash - text) >= sizeof(low))
                return -EINVAL;
        memcpy(low, text, (size_t)(dash - text));
        if (port_parse(low, &range.low, &(const char *){NULL}) < 0 ||
            port_parse(dash + 1, &range.high, &(const char *){NULL}) < 0 || range.low < 1024)
                return -EINVAL;
        *ret_why = "the first port is above the last";
        if (range.low > range.high)
                return -EINVAL;
        *ret = range;
        return 0;
}

bool prefix_has(const Prefix *prefix, const struct in6_addr *address)
{
        const unsigned bytes = prefix->length / 8, bits = prefix->length % 8;

        return memcmp(&prefix->address, address, bytes) == 0 &&
               (bits == 0 || (prefix->address.s6_addr[bytes] ^ address->s6_addr[bytes]) >> (8 - bits) == 0);
}

struct in6_addr prefix_address(const Prefix *prefix, uint32_t number)
{
        struct in6_addr address = prefix->address;

        for (unsigned i = 0; i < 4; i++)
                address.s6_addr[15 - i] |= (uint8_t)(number >> 8 * i);
        return address;
}

const char *address_upstream_refusal(const Address *address)
{
        if (address->family == AF_INET)
                return "an IPv4 address cannot be the upstream, it must be IPv6";
        if (address->family != AF_INET6)
                return "not an IPv6 address";
        if (IN6_IS_ADDR_V4MAPPED(&address->v6))
                return "an IPv4-mapped address cannot be the upstream, it must be IPv6";
        if (IN6_IS_ADDR_UNSPECIFIED(&address->v6))
                return "the unspecified address cannot be the upstream";
        if (IN6_IS_ADDR_MULTICAST(&address->v6))
                return "a multicast address cannot be the upstream";
        if (IN6_IS_ADDR_LINKLOCAL(&address->v6) && address->scope == 0)
                return "a link-local address needs its interface: [fe80::1%eth0]:port";
        return NULL;
}

bool address_embedded(const Address *address, struct in_addr *ret)
{
        static const struct {
                Prefix prefix;
                unsigned at; /* bytes in front of the IPv4 address */
        } forms[] = {
                        {{{.s6_addr = {[10] = 0xff, [11] = 0xff}}, 96}, 12},
                        {{{.s6_addr = {0}}, 96}, 12},
                        {{{.s6_addr = {0x00, 0x64, 0xff, 0x9b}}, 96}, 12},
                        {{{.s6_addr = {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}}, 48}, 12},
                        {{{.s6_addr = {0x20, 0x02}}, 16}, 2},
        };

        for (size_t i = 0; i < ELEMENTSOF(forms); i++)
                if (address->family == AF_INET6 && prefix_has(&forms[i].prefix, &address->v6)) {
                        memcpy(ret, &address->v6.s6_addr[forms[i].at], sizeof(*ret));
                        return true;
                }
        return false;
}

const char *address_source_refusal(struct in_addr address, uint16_t port)
{
        uint32_t host = ntohl(address.s_addr);

        if (port == 0)
                return "source port 0";
        if (host >> 24 == 0)
                return "source in 0.0.0.0/8";
        if (host >> 28 >= 14) /* 224.0.0.0/4 multicast, 240.0.0.0/4 reserved, 255.255.255.255 */
                return "source is multicast, reserved or broadcast";
        return NULL;
}

bool address_equal(const Address *a, const Address *b)
{
        if (a->family != b->family || a->port != b->port || a->scope != b->scope)
                return false;
        if (a->family == AF_INET)
                return a->v4.s_addr == b->v4.s_addr;
        return a->family != AF_INET6 || IN6_ARE_ADDR_EQUAL(&a->v6, &b->v6);
}

const char *address_format_host(char buffer[static ADDRESS_HOST_MAX], const Address *address)
{
        char host[INET6_ADDRSTRLEN] = "?", zone[IF_NAMESIZE] = "";

        (void)inet_ntop(address->family, &address->v6, host, sizeof(host));
        if (address->family == AF_INET6 && address->scope != 0 && !if_indextoname(address->scope, zone))
                (void)snprintf(zone, sizeof(zone), "%u", address->scope);
        (void)snprintf(buffer, ADDRESS_HOST_MAX, "%s%s%s", address->family ? host : "-", *zone ? "%" : "", zone);
        return buffer;
}

const char *address_format(char buffer[static ADDRESS_TEXT_MAX], const Address *address)
{
        char host[ADDRESS_HOST_MAX];

        (void)address_format_host(host, address);
        if (address->family == AF_INET6 && address->port == 0)
                (void)snprintf(buffer, ADDRESS_TEXT_MAX, "[%s]", host);
        else if (address->family == AF_INET6)
                (void)snprintf(buffer, ADDRESS_TEXT_MAX, "[%s]:%u", host, address->port);
        else if (address->family == AF_INET)
                (void)snprintf(buffer, ADDRESS_TEXT_MAX, "%s:%u", host, address->port);
        else
                (void)strcpy(buffer, host);
        return buffer;
}

const char *endpoint_format(char buffer[static ENDPOINT_TEXT_MAX], const Endpoint *endpoint)
{
        bool literal = strchr(endpoint->host, ':');

        char port[8] = "";

        if (endpoint->port > 0)
                (void)snprintf(port, sizeof(port), ":%u", endpoint->port);
        (void)snprintf(buffer, ENDPOINT_TEXT_MAX, "%s%s%s%s", literal ? "[" : "", endpoint->host, literal ? "]" : "",
                       port);
        return buffer;
}

const char *endpoint_list_format(char buffer[static ENDPOINT_LIST_TEXT_MAX], const EndpointList *list)
{
        char *to = buffer;

        *buffer = '\0';
        for (unsigned i = 0; i < list->n; i++) {
                char text[ENDPOINT_TEXT_MAX];

                to = stpcpy(to, i > 0 ? " " : "");
                to = stpcpy(to, endpoint_format(text, &list->items[i]));
        }
        return buffer;
}

const char *reply_sources_format(char buffer[static REPLY_SOURCES_TEXT_MAX], const ReplySources *list)
{
        char *to = buffer;

        *buffer = '\0';
        for (unsigned i = 0; i < list->n; i++) {
                const ReplySource *source = &list->items[i];
                const PrefixList one = {.n = 1, .items = {source->prefix}};
                char prefix[PREFIX_LIST_TEXT_MAX], port[8] = "";

                if (source->port > 0)
                        (void)snprintf(port, sizeof(port), ":%u", source->port);
                to += snprintf(to, 56, "%s[%s]%s", i > 0 ? " " : "", prefix_list_format(prefix, &one), port);
        }
        return buffer;
}

const char *prefix_list_format(char buffer[static PREFIX_LIST_TEXT_MAX], const PrefixList *list)
{
        size_t used = 0;

        buffer[0] = '\0';
        for (unsigned i = 0; i < list->n; i++) {
                char text[INET6_ADDRSTRLEN];

                (void)inet_ntop(AF_INET6, &list->items[i].address, text, sizeof(text));
                used += (size_t)snprintf(buffer + used, PREFIX_LIST_TEXT_MAX - used, "%s%s", i > 0 ? " " : "", text);
                if (list->items[i].length < 128)
                        used += (size_t)snprintf(buffer + used, PREFIX_LIST_TEXT_MAX - used, "/%u",
                                                 list->items[i].length);
        }
        return buffer;
}
