/* SPDX-License-Identifier: MIT */
/*
 * Believes: a queue of free pairs is simpler than a search and as exact; what somebody else holds goes to its end. The
 * queue begins shuffled, because ports that can be guessed help who forges replies (RFC 6056).
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "relay/sources.h"

enum { ADDRESSES_MAX = PREFIX_LIST_MAX * SOURCES_OF_PREFIX, NO_PAIR = UINT32_MAX };

struct Sources {
        SourcesSettings settings;
        unsigned n_addresses;
        struct in6_addr addresses[ADDRESSES_MAX];
        unsigned share, n_shares;
        uint32_t n_all;   /* pairs of all shares */
        uint8_t *claimed; /* a bit for each of them: it is in the queue, and is not free; NULL: none is */
        uint32_t n_pairs, n_free, first; /* the queue: n_free of n_pairs, from first on */
        uint32_t queue[];
};

/* How many ports of a range may be handed out. */
static unsigned n_ports(const SourcesSettings *s)
{
        return port_range_size(&s->ports) - port_range_overlap(&s->ports, &s->reserved);
}

/* The n-th of them. */
static uint16_t nth_port(const SourcesSettings *s, unsigned n)
{
        unsigned port = s->ports.low + n;

        if (port_range_overlap(&s->ports, &s->reserved) > 0 && port >= s->reserved.low)
                port += port_range_overlap(&s->ports, &s->reserved);
        return (uint16_t)port;
}

/* How many addresses a prefix stands for. */
static unsigned n_addresses_of(const Prefix *prefix)
{
        unsigned n = prefix->length > 128 - 5 ? (1U << (128 - prefix->length)) - (prefix->length < 128)
                                              : SOURCES_OF_PREFIX;

        return n < SOURCES_OF_PREFIX ? n : SOURCES_OF_PREFIX;
}

static bool contains(const struct in6_addr *addresses, unsigned n, const struct in6_addr *address)
{
        unsigned i = 0;

        while (i < n && !IN6_ARE_ADDR_EQUAL(&addresses[i], address))
                i++;
        return i < n;
}

/* The addresses, each once, however often it is listed. How many there are. */
static unsigned list_addresses(const SourcesSettings *s, struct in6_addr ret[static ADDRESSES_MAX])
{
        unsigned n = 0;

        for (unsigned i = 0; i < s->listed.n; i++) {
                const Prefix *prefix = &s->listed.items[i];

                /* The address with all bits zero is the routers' anycast address (RFC 4291, section 2.6.1). */
                for (unsigned k = 0; k < n_addresses_of(prefix); k++) {
                        const struct in6_addr address = prefix_address(prefix, k + (prefix->length < 128));

                        if (!contains(ret, n, &address))
                                ret[n++] = address;
                }
        }
        return n;
}

static bool prefixes_equal(const Prefix *a, const Prefix *b)
{
        return a->length == b->length && IN6_ARE_ADDR_EQUAL(&a->address, &b->address);
}

static bool ranges_equal(const PortRange *a, const PortRange *b)
{
        return a->low == b->low && a->high == b->high;
}

bool sources_equal(const SourcesSettings *a, const SourcesSettings *b)
{
        if (a->listed.n != b->listed.n || !prefixes_equal(&a->clients, &b->clients) ||
            !ranges_equal(&a->ports, &b->ports) || !ranges_equal(&a->reserved, &b->reserved))
                return false;
        for (unsigned i = 0; i < a->listed.n; i++)
                if (!prefixes_equal(&a->listed.items[i], &b->listed.items[i]))
                        return false;
        return true;
}

bool sources_wanted(const SourcesSettings *s)
{
        return s->listed.n > 0 || s->clients.length > 0;
}

uint64_t sources_capacity(const SourcesSettings *s)
{
        struct in6_addr addresses[ADDRESSES_MAX];
        uint64_t n = (uint64_t)list_addresses(s, addresses) * n_ports(s);

        return n > SOURCES_PAIRS_MAX ? SOURCES_PAIRS_MAX : n;
}

/* Random numbers come in bulk: each slot holds the one that its shuffling takes. */
static void fill_queue(Sources *sources, uint32_t n_all, unsigned share, unsigned n_shares)
{
        uint32_t *queue = sources->queue, n = 0;

        randombytes_buf(queue, (n_all / n_shares + 1) * sizeof(*queue));
        for (uint32_t pair = share; pair < n_all; pair += n_shares) {
                uint32_t at = (uint32_t)((uint64_t)queue[n] * (n + 1) >> 32); /* 0 to n; all but equally likely */

                queue[n] = queue[at];
                queue[at] = pair;
                n++;
        }
        sources->n_pairs = sources->n_free = n;
}

int sources_new(Sources **ret, const SourcesSettings *settings, unsigned share, unsigned n_shares)
{
        uint32_t n_all = (uint32_t)sources_capacity(settings);
        Sources *sources = calloc(1, sizeof(Sources) + (n_all / n_shares + 1) * sizeof(uint32_t));

        if (!sources)
                return -ENOMEM;
        sources->settings = *settings;
        sources->share = share;
        sources->n_shares = n_shares;
        sources->n_all = n_all;
        sources->n_addresses = list_addresses(settings, sources->addresses);
        fill_queue(sources, n_all, share, n_shares);
        *ret = sources;
        return 0;
}

Sources *sources_free(Sources *sources)
{
        if (sources)
                free(sources->claimed);
        free(sources);
        return NULL;
}

static bool is_claimed(const Sources *sources, uint32_t pair)
{
        return sources->claimed && sources->claimed[pair / 8] & 1U << pair % 8;
}

/* Was it claimed, and is it no more? */
static bool unclaim(Sources *sources, uint32_t pair)
{
        if (!is_claimed(sources, pair))
                return false;
        sources->claimed[pair / 8] = (uint8_t)(sources->claimed[pair / 8] & ~(1U << pair % 8));
        return true;
}

static bool take_listed(Sources *sources, Source *ret)
{
        uint32_t pair;

        do {
                if (sources->n_free == 0)
                        return false;
                pair = sources->queue[sources->first];
                sources->first = (sources->first + 1) % sources->n_pairs;
                sources->n_free--;
        } while (unclaim(sources, pair)); /* it left the queue as if it had been taken */
        *ret = (Source){.pair = pair,
                        .address = {.family = AF_INET6,
                                    .v6 = sources->addresses[pair % sources->n_addresses],
                                    .port = nth_port(&sources->settings, pair / sources->n_addresses)}};
        return true;
}

/* The client's own port; when that is taken, or stays with the host, any other. 0: there is none. */
static uint16_t port_for_client(const SourcesSettings *s, const Flow *flow, unsigned attempt)
{
        const PortRange own = {flow->client_port, flow->client_port};

        if (attempt == 0 && port_range_overlap(&own, &s->reserved) == 0)
                return flow->client_port;
        return n_ports(s) > 0 ? nth_port(s, randombytes_uniform(n_ports(s))) : 0;
}

bool sources_take(Sources *sources, const Flow *flow, unsigned attempt, Source *ret)
{
        const SourcesSettings *s = &sources->settings;

        if (s->clients.length == 0)
                return take_listed(sources, ret);
        *ret = (Source){.pair = NO_PAIR,
                        .address = {.family = AF_INET6,
                                    .v6 = prefix_address(&s->clients, ntohl(flow->client.s_addr)),
                                    .port = port_for_client(s, flow, attempt)}};
        return ret->address.port > 0;
}

/* The number of a port among those that may be handed out, from 0 on; UINT32_MAX: it may not. */
static uint32_t number_of_port(const SourcesSettings *s, uint16_t port)
{
        const PortRange own = {port, port}, before = {s->ports.low, (uint16_t)(port - 1)};

        if (port_range_overlap(&own, &s->ports) == 0 || port_range_overlap(&own, &s->reserved) > 0)
                return UINT32_MAX;
        return (uint32_t)(port - s->ports.low) - port_range_overlap(&before, &s->reserved);
}

bool sources_claim(Sources *sources, const Address *source, uint32_t *ret_pair)
{
        uint32_t port = number_of_port(&sources->settings, source->port), i = 0;

        *ret_pair = NO_PAIR;
        if (sources->settings.clients.length > 0)
                return true;
        while (i < sources->n_addresses && !IN6_ARE_ADDR_EQUAL(&sources->addresses[i], &source->v6))
                i++;
        if (i == sources->n_addresses || port == UINT32_MAX)
                return false;
        i += port * sources->n_addresses;
        if (i % sources->n_shares != sources->share || i >= sources->n_all || is_claimed(sources, i))
                return false;
        if (!sources->claimed)
                sources->claimed = calloc(sources->n_all / 8 + 1, 1);
        if (!sources->claimed)
                return false;
        sources->claimed[i / 8] = (uint8_t)(sources->claimed[i / 8] | 1U << i % 8);
        *ret_pair = i;
        return true;
}

void sources_give(Sources *sources, uint32_t pair)
{
        if (pair == NO_PAIR || unclaim(sources, pair))
                return;
        sources->queue[(sources->first + sources->n_free) % sources->n_pairs] = pair;
        sources->n_free++;
}
