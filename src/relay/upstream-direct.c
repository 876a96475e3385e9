/* SPDX-License-Identifier: MIT */
/*
 * Believes: connecting a UDP socket again is cheap, so legs follow a changed address one by one, each with its next
 * datagram, and no turn has to walk the table. A leg that cannot follow tries again with each datagram.
 */
#include "base/cleanup.h"
#include "relay/upstream.h"
#include "wire/udp.h"

void upstream_set_address(Upstream *upstream, const Address *address)
{
        upstream->address = *address;
        upstream->generation++;
}

void upstream_set_sources(Upstream *upstream, Sources *sources)
{
        (void)sources_free(upstream->sources);
        upstream->sources = sources;
        upstream->n_sources++;
}

/* Where the kernel likes, as long as the host keeps ports for itself. */
static int open_anywhere(Upstream *upstream, Leg *leg, Address *ret_source)
{
        int r;

        if (upstream->host_ports && !quota_take(upstream->host_ports))
                return -EADDRINUSE;
        r = leg_open(leg, NULL, &upstream->address, ret_source);
        if (r < 0 && upstream->host_ports)
                quota_give(upstream->host_ports);
        return r;
}

static int open_from_sources(Upstream *upstream, const Flow *flow, Leg *leg, Address *ret_source)
{
        for (unsigned i = 0; i < SOURCES_TRIES; i++) {
                Source source;
                int r;

                if (!sources_take(upstream->sources, flow, i, &source))
                        return -EADDRINUSE;
                r = leg_open(leg, &source.address, &upstream->address, ret_source);
                leg->sources = upstream->n_sources;
                leg->pair = source.pair;
                if (r >= 0)
                        return 0;
                sources_give(upstream->sources, source.pair);
                if (r != -EADDRINUSE)
                        return r;
        }
        return -EADDRINUSE;
}

static void leg_is_open(const Upstream *upstream, Leg *leg)
{
        leg->generation = upstream->generation;
        if (upstream->trains)
                (void)udp_set_trains(leg->fd);
        trains_init(&leg->trains);
}

static Verdict direct_open(Upstream *upstream, const Flow *flow, Leg *leg, Address *ret_source)
{
        int r;

        if (upstream->address.family == 0)
                return VERDICT_UPSTREAM_UNRESOLVED;
        r = upstream->sources ? open_from_sources(upstream, flow, leg, ret_source)
                              : open_anywhere(upstream, leg, ret_source);
        if (r < 0)
                return verdict_of_error(-r);
        leg_is_open(upstream, leg);
        return VERDICT_FORWARDED;
}

/*
 * Its own socket. If that leads to anybody but the upstream it is led there, so that nobody else is heard; where the
 * upstream is not known yet, it stays until then.
 */
static int adopt_socket(Upstream *upstream, const Address *source, bool bound, int fd, Leg *leg)
{
        Address peer;
        int r = leg_adopt(leg, fd, source, bound);

        if (r < 0)
                return r;
        leg_is_open(upstream, leg);
        if (udp_peer(leg->fd, &peer) >= 0 && address_equal(&peer, &upstream->address))
                return 0;
        if (upstream->address.family == 0 || leg_retarget(leg, &upstream->address) < 0)
                leg->doubted = true;
        return 0;
}

static int adopt_port(const Upstream *upstream, const Address *source, bool bound, Leg *leg)
{
        const Address port = {.family = AF_INET6, .port = source->port};
        Address local;

        if (upstream->address.family == 0)
                return -EDESTADDRREQ;
        return leg_open(leg, bound ? source : &port, &upstream->address, &local);
}

static int direct_adopt(Upstream *upstream, const Address *source, bool bound, int fd, Leg *leg)
{
        bool counted = !bound && upstream->host_ports;
        int r = -EBADF;

        if (counted && !quota_take(upstream->host_ports)) {
                (void)safe_close(fd);
                return -EADDRINUSE;
        }
        if (fd >= 0)
                r = adopt_socket(upstream, source, bound, fd, leg);
        if (r < 0 && (r = adopt_port(upstream, source, bound, leg)) >= 0)
                leg_is_open(upstream, leg);
        if (r < 0) {
                if (counted)
                        quota_give(upstream->host_ports);
                return r;
        }
        if (bound) /* of sources that are not configured any more, if they do not know it */
                leg->sources = upstream->sources && sources_claim(upstream->sources, source, &leg->pair)
                                               ? upstream->n_sources
                                               : UINT32_MAX;
        return 0;
}

static void direct_close(Upstream *upstream, Leg *leg)
{
        leg_close(leg);
        if (leg->sources == 0) {
                if (upstream->host_ports)
                        quota_give(upstream->host_ports);
        } else if (leg->sources == upstream->n_sources && upstream->sources)
                sources_give(upstream->sources, leg->pair);
}

static int direct_forward(Upstream *upstream, Leg *leg, Datagram *run, unsigned n, uint64_t *n_icmp)
{
        bool stale = leg->generation != upstream->generation || leg->doubted;

        if (stale && upstream->address.family != 0) {
                int r = leg_retarget(leg, &upstream->address);

                if (r < 0) {
                        for (unsigned i = 0; i < n; i++)
                                run[i].error = -r;
                        return 0;
                }
                leg->generation = upstream->generation;
                trains_init(&leg->trains);
        }
        return udp_send(leg->fd, run, n, upstream->trains ? &leg->trains : NULL, n_icmp);
}

static int direct_receive(Upstream *upstream, Leg *leg, Batch *batch, unsigned n_max, uint64_t *n_icmp)
{
        (void)upstream;
        return udp_receive(leg->fd, batch, n_max, n_icmp);
}

const UpstreamKind upstream_direct = {
                .name = "direct",
                .open = direct_open,
                .adopt = direct_adopt,
                .close = direct_close,
                .forward = direct_forward,
                .receive = direct_receive,
};
