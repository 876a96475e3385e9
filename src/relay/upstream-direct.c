/* SPDX-License-Identifier: MIT */
/*
 * Believes: a leg that cannot follow its target may be able to with the next datagram, and tries again with each.
 */
#include <errno.h>

#include "base/cleanup.h"
#include "relay/upstream.h"
#include "wire/udp.h"

/* Where the kernel likes, as long as the host keeps ports for itself. */
static int open_anywhere(Upstream *upstream, Leg *leg, const Address *peer, Address *ret_source)
{
        int r;

        if (upstream->host_ports && !quota_take(upstream->host_ports))
                return -EADDRINUSE;
        r = leg_open(leg, upstream->device, NULL, peer, ret_source);
        if (r < 0 && upstream->host_ports)
                quota_give(upstream->host_ports);
        return r;
}

static int open_from_sources(Upstream *upstream, const Flow *flow, Leg *leg, const Address *peer, Address *ret_source)
{
        for (unsigned i = 0; i < SOURCES_TRIES; i++) {
                Source source;
                int r;

                if (!sources_take(upstream->sources, flow, i, &source))
                        return -EADDRINUSE;
                r = leg_open(leg, upstream->device, &source.address, peer, ret_source);
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

/* Before it sends, and before it receives. */
static void leg_take_manner(const Upstream *upstream, Leg *leg)
{
        if (manner_equal(&leg->manner, &upstream->manner))
                return;
        udp_set_leg_manner(leg->fd, &upstream->manner);
        leg->manner = upstream->manner;
}

static void leg_is_open(Upstream *upstream, Leg *leg)
{
        counter_add(&upstream->targets[leg->target].n_sessions, 1);
        leg->generation = upstream->generation;
        if (upstream->trains)
                (void)udp_set_trains(leg->fd);
        trains_init(&leg->trains);
        leg_take_manner(upstream, leg);
}

static Verdict direct_open(Upstream *upstream, const Flow *flow, Leg *leg, Address *ret_source)
{
        Address peer;
        int r;

        leg->target = upstream->to.chosen;
        peer = upstream_peer(upstream, leg);
        r = upstream->sources ? open_from_sources(upstream, flow, leg, &peer, ret_source)
                              : open_anywhere(upstream, leg, &peer, ret_source);
        if (r < 0) {
                if (verdict_is_of_the_way(verdict_of_error(-r))) /* nobody can forge that */
                        counter_add(&upstream->targets[leg->target].asked, 1);
                return verdict_of_error(-r);
        }
        leg_is_open(upstream, leg);
        return VERDICT_FORWARDED;
}

/*
 * Its own socket. If that leads to anybody but a target it is led to one, so that nobody else is heard; where that is
 * not known yet, it stays until then. Where no device is configured it keeps its own: that may be of whoever started us
 * in a VRF.
 */
static int adopt_socket(Upstream *upstream, const Address *source, bool bound, int fd, Leg *leg)
{
        bool found;
        Address peer;
        int r = leg_adopt(leg, fd, source, bound);

        if (r < 0)
                return r;
        leg->target = upstream->to.chosen;
        leg->target = upstream_find(upstream, leg, &found);
        leg_is_open(upstream, leg);
        if (found && (!*upstream->device || udp_is_on(leg->fd, upstream->device)))
                return 0;
        peer = upstream_peer(upstream, leg);
        if (peer.family == 0 || leg_retarget(leg, upstream->device, &peer) < 0)
                leg->doubted = true;
        return 0;
}

static int adopt_port(Upstream *upstream, const Address *source, bool bound, Leg *leg)
{
        const Address port = {.family = AF_INET6, .port = source->port};
        Address local, peer;
        int r;

        leg->target = upstream->to.chosen;
        peer = upstream_peer(upstream, leg);
        if (peer.family == 0)
                return -EDESTADDRREQ;
        r = leg_open(leg, upstream->device, bound ? source : &port, &peer, &local);
        if (r >= 0)
                leg_is_open(upstream, leg);
        return r;
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
        if (r < 0)
                r = adopt_port(upstream, source, bound, leg);
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
        Counter *n_sessions = &upstream->targets[leg->target].n_sessions;

        counter_set(n_sessions, counter_get(n_sessions) - 1);
        leg_close(leg);
        if (leg->sources == 0) {
                if (upstream->host_ports)
                        quota_give(upstream->host_ports);
        } else if (leg->sources == upstream->n_sources && upstream->sources)
                sources_give(upstream->sources, leg->pair);
}

static int direct_follow(Upstream *upstream, Leg *leg, bool *ret_moved)
{
        Address peer;
        bool there;
        int r;

        *ret_moved = leg->generation != upstream->generation || leg->doubted;
        if (!*ret_moved)
                return 0;
        upstream_move(upstream, leg, upstream_find(upstream, leg, &there));
        if (upstream->to.refused & 1U << leg->target)
                return -ELOOP;
        peer = upstream_peer(upstream, leg);
        if (peer.family == 0) /* it goes on to where it led before */
                return 0;
        if (!there || leg->doubted || upstream_is_anew(upstream, leg)) {
                r = leg_retarget(leg, upstream->device, &peer);
                if (r < 0)
                        return r;
                trains_init(&leg->trains);
        }
        leg->generation = upstream->generation;
        return 0;
}

static int direct_forward(Upstream *upstream, Leg *leg, Datagram *run, unsigned n, Icmp *icmp)
{
        leg_take_manner(upstream, leg);
        return udp_send(leg->fd, run, n, upstream->trains ? &leg->trains : NULL, icmp);
}

static int direct_receive(Upstream *upstream, Leg *leg, Batch *batch, unsigned n_max, Icmp *icmp)
{
        leg_take_manner(upstream, leg);
        return udp_receive(leg->fd, batch, n_max, icmp);
}

const UpstreamKind upstream_direct = {
                .name = "direct",
                .open = direct_open,
                .adopt = direct_adopt,
                .close = direct_close,
                .follow = direct_follow,
                .forward = direct_forward,
                .receive = direct_receive,
};
