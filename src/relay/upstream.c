/* SPDX-License-Identifier: MIT */
/*
 * Believes: connecting a UDP socket again is cheap, so legs follow a changed address one by one, each with its next
 * datagram, and no turn has to walk the table.
 */
#include <string.h>

#include "relay/upstream.h"
#include "wire/udp.h"

static void set_targets(Upstream *upstream, const UpstreamTargets *targets, bool anew)
{
        upstream->generation++;
        for (uint8_t i = 0; i < (uint8_t)UPSTREAM_TARGETS_MAX; i++)
                if (anew || !address_equal(&targets->addresses[i], &upstream->to.addresses[i]))
                        upstream->targets[i].generation = upstream->generation;
        upstream->to = *targets;
}

void upstream_set_targets(Upstream *upstream, const UpstreamTargets *targets)
{
        set_targets(upstream, targets, false);
}

void upstream_set_address(Upstream *upstream, const Address *address)
{
        const UpstreamTargets one = {.used = 1, .addresses = {*address}};

        set_targets(upstream, &one, true);
}

void upstream_set_sources(Upstream *upstream, Sources *sources)
{
        (void)sources_free(upstream->sources);
        upstream->sources = sources;
        upstream->n_sources++;
}

void upstream_set_device(Upstream *upstream, const char *device)
{
        const UpstreamTargets to = upstream->to;

        if (strcmp(upstream->device, device) == 0)
                return;
        (void)strcpy(upstream->device, device);
        set_targets(upstream, &to, true);
}

void upstream_set_replies(Upstream *upstream, const ReplySources *replies)
{
        if (reply_sources_equal(&upstream->replies, replies))
                return;
        upstream->replies = *replies;
        upstream->n_replies++;
        upstream->generation++;
}

static Address target_address(const Upstream *upstream, const Leg *leg, uint8_t target)
{
        Address address = upstream->to.addresses[target];

        if (address.port == 0)
                address.port = leg->port;
        return address;
}

Verdict upstream_way(const Upstream *upstream)
{
        const uint8_t chosen = upstream->to.chosen;

        if (upstream->to.refused & 1U << chosen)
                return VERDICT_LOOP;
        return upstream->to.addresses[chosen].family == 0 ? VERDICT_UPSTREAM_UNRESOLVED : VERDICT_FORWARDED;
}

Address upstream_peer(const Upstream *upstream, const Leg *leg)
{
        return target_address(upstream, leg, leg->target);
}

static bool is_used(const UpstreamTargets *to, uint8_t target)
{
        return to->used & 1U << target;
}

/* Addresses may have changed hands: what the leg is connected to says more than its target's number. */
uint8_t upstream_find(const Upstream *upstream, const Leg *leg, bool *ret_there)
{
        const UpstreamTargets *to = &upstream->to;
        uint8_t at = UPSTREAM_TARGETS_MAX, belongs;
        Address peer;

        if (udp_peer(leg->fd, &peer) >= 0)
                for (uint8_t i = 0; i < UPSTREAM_TARGETS_MAX && at == UPSTREAM_TARGETS_MAX; i++) {
                        uint8_t target = (uint8_t)((leg->target + i) % UPSTREAM_TARGETS_MAX); /* its own first */
                        const Address address = target_address(upstream, leg, target);

                        if (is_used(to, target) && address_equal(&address, &peer))
                                at = target;
                }
        belongs = at < UPSTREAM_TARGETS_MAX ? at : leg->target;
        if (!is_used(to, belongs) || (to->left & 1U << belongs) || to->addresses[belongs].family == 0)
                belongs = to->chosen;
        *ret_there = at == belongs;
        return belongs;
}

bool upstream_is_anew(const Upstream *upstream, const Leg *leg)
{
        return (int32_t)(upstream->targets[leg->target].generation - leg->generation) > 0;
}

void upstream_move(Upstream *upstream, Leg *leg, uint8_t target)
{
        Counter *from = &upstream->targets[leg->target].n_sessions, *to = &upstream->targets[target].n_sessions;

        counter_set(from, counter_get(from) - 1);
        counter_add(to, 1);
        leg->target = target;
}
