/* SPDX-License-Identifier: MIT */
/*
 * Believes: connecting a UDP socket again is cheap, so legs follow a changed address one by one, each with its next
 * datagram, and no turn has to walk the table. A leg that cannot follow tries again with each datagram.
 */
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
static int open_anywhere(Upstream *upstream, Leg *leg)
{
        int r;

        if (upstream->host_ports && !quota_take(upstream->host_ports))
                return -EADDRINUSE;
        r = leg_open(leg, NULL, &upstream->address);
        if (r < 0 && upstream->host_ports)
                quota_give(upstream->host_ports);
        return r;
}

static int open_from_sources(Upstream *upstream, const Flow *flow, Leg *leg)
{
        for (unsigned i = 0; i < SOURCES_TRIES; i++) {
                Source source;
                int r;

                if (!sources_take(upstream->sources, flow, i, &source))
                        return -EADDRINUSE;
                r = leg_open(leg, &source.address, &upstream->address);
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

static Verdict direct_open(Upstream *upstream, const Flow *flow, Leg *leg)
{
        int r;

        if (upstream->address.family == 0)
                return VERDICT_UPSTREAM_UNRESOLVED;
        r = upstream->sources ? open_from_sources(upstream, flow, leg) : open_anywhere(upstream, leg);
        if (r < 0)
                return verdict_of_error(-r);
        leg->generation = upstream->generation;
        if (upstream->trains)
                (void)udp_set_trains(leg->fd);
        trains_init(&leg->trains);
        return VERDICT_FORWARDED;
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
        if (leg->generation != upstream->generation || leg->doubted) {
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
                .close = direct_close,
                .forward = direct_forward,
                .receive = direct_receive,
};
