/* SPDX-License-Identifier: MIT */
/*
 * Believes: a filter that is attached before a socket is bound leaves no moment in which a stranger is heard. Refuses:
 * to refuse a session because it has no such socket: what it is asked it still forwards.
 */
#include <stdlib.h>

#include "relay/beside.h"
#include "relay/relay.h"
#include "wire/udp.h"

static const Upstream *upstream_of(const Session *session)
{
        return &session->listener->policy->upstream;
}

static Beside *beside_of(Session *session)
{
        if (!session->beside) {
                session->beside = calloc(1, sizeof(Beside));
                if (session->beside)
                        *session->beside = (Beside){.watch.fd = -EBADF, .fd = -EBADF, .session = session};
        }
        return session->beside;
}

static void take_manner(Beside *beside, const Manner *manner)
{
        if (manner_equal(&beside->manner, manner))
                return;
        udp_set_leg_manner(beside->fd, manner);
        beside->manner = *manner;
}

/* What came to it while nobody watched is told at once. */
static void begin(Relay *relay, Beside *beside)
{
        const Upstream *upstream = upstream_of(beside->session);

        beside->manner.marking = MARKING_UNKNOWN;
        if (upstream->trains)
                (void)udp_set_trains(beside->fd);
        take_manner(beside, &upstream->manner);
        if (watch_set_add(&relay->watches, &beside->watch, beside->fd, relay->beside_ready) < 0)
                beside->fd = safe_close(beside->fd);
}

/* The session goes on without it, or with another one. Who holds its socket for our successor holds nothing. */
static void stop(Relay *relay, Beside *beside)
{
        udp_mute(beside->fd);
        watch_set_remove(&relay->watches, &beside->watch);
        beside->fd = safe_close(beside->fd);
}

/* Does it still stand where the leg stands? */
static bool is_beside(const Beside *beside, const Address *local, uint32_t device)
{
        return address_equal(&beside->local, local) && beside->device == device;
}

static void open_beside(Relay *relay, Beside *beside, const Session *session, uint16_t port)
{
        if (quota_over(&relay->quota))
                return;
        beside->fd = udp_open_beside(session->leg.fd, &upstream_of(session)->replies, port);
        if (beside->fd < 0)
                counter_add(&session->listener->stats.open_errors, 1);
}

/* It is where it belongs, and hears whom it shall hear; or it is gone. */
static void settle(Relay *relay, Session *session, Beside *beside)
{
        const Upstream *upstream = upstream_of(session);
        const uint32_t device = udp_device(session->leg.fd);
        Address local, peer;

        if (udp_local(session->leg.fd, &local) < 0 || udp_peer(session->leg.fd, &peer) < 0)
                return;
        if (beside->fd >= 0 && !is_beside(beside, &local, device))
                stop(relay, beside);
        if (beside->fd >= 0 && (beside->port != peer.port || beside->n_replies != upstream->n_replies) &&
            udp_filter_replies(beside->fd, &upstream->replies, peer.port) < 0)
                stop(relay, beside);
        if (beside->fd < 0)
                open_beside(relay, beside, session, peer.port);
        beside->local = local;
        beside->device = device;
        beside->port = peer.port;
        beside->n_replies = upstream->n_replies;
        if (beside->fd >= 0 && beside->watch.fd < 0)
                begin(relay, beside);
}

void beside_follow(Relay *relay, Session *session, usec_t now)
{
        const bool wanted = upstream_of(session)->replies.n > 0;
        Beside *beside = wanted ? beside_of(session) : session->beside;
        int before;

        if (!beside)
                return;
        before = beside->fd;
        if (wanted)
                settle(relay, session, beside);
        else if (beside->fd >= 0)
                stop(relay, beside);
        if (beside->fd != before && session->record.id != 0 && relay->observer.leg_changed)
                relay->observer.leg_changed(relay->observer.userdata, session, now);
}

void beside_take(Session *session, int fd)
{
        _cleanup_close_ int own = fd;
        Address local, found;
        Beside *beside;

        if (own < 0 || upstream_of(session)->replies.n == 0 || udp_adopt_leg(own, &found) < 0 ||
            udp_local(session->leg.fd, &local) < 0 || !address_equal(&local, &found) || !(beside = beside_of(session)))
                return;
        beside->device = udp_device(own);
        beside->fd = TAKE_FD(own);
        beside->local = local;
        beside->port = 0; /* it is filtered anew before it is heard */
}

/* May this one answer? The filter says so, too, but not of what came before there was another configuration. */
static bool may_reply(const Beside *beside, const Address *sender)
{
        const ReplySources *replies = &upstream_of(beside->session)->replies;

        for (unsigned i = 0; i < replies->n; i++)
                if (sender->port == (replies->items[i].port > 0 ? replies->items[i].port : beside->port) &&
                    prefix_has(&replies->items[i].prefix, &sender->v6))
                        return true;
        return false;
}

/* Another upstream of the same listener: that it speaks says nothing of the leg's own. */
static bool is_another(const Beside *beside, const Address *sender)
{
        const UpstreamTargets *to = &upstream_of(beside->session)->to;
        unsigned others = to->used & ~(1U << beside->session->leg.target);

        while (others && !IN6_ARE_ADDR_EQUAL(&to->addresses[__builtin_ctz(others)].v6, &sender->v6))
                others &= others - 1;
        return others;
}

int beside_receive(Beside *beside, Batch *batch, unsigned n_max, Icmp *icmp, bool *ret_answered)
{
        unsigned n = 0;
        int r;

        batch->n = 0;
        *ret_answered = false;
        if (beside->fd < 0)
                return 0;
        take_manner(beside, &upstream_of(beside->session)->manner);
        r = udp_receive_named(beside->fd, batch, n_max, icmp);
        for (unsigned i = 0; i < batch->n; i++) {
                const Address sender = batch_sender(batch, i);

                if (!may_reply(beside, &sender))
                        continue;
                *ret_answered = *ret_answered || !is_another(beside, &sender);
                batch->items[n++] = batch->items[i];
        }
        batch->n = n;
        return r;
}

void beside_close(Relay *relay, Session *session)
{
        if (!session->beside || session->beside->fd < 0)
                return;
        watch_set_remove(&relay->watches, &session->beside->watch);
        session->beside->fd = safe_close(session->beside->fd);
}

void beside_free(Session *session)
{
        free(session->beside);
        session->beside = NULL;
}
