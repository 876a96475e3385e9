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

static void stop(Relay *relay, Beside *beside)
{
        watch_set_remove(&relay->watches, &beside->watch);
        beside->fd = safe_close(beside->fd);
}

void beside_follow(Relay *relay, Session *session, usec_t now)
{
        const Upstream *upstream = upstream_of(session);
        Beside *beside;
        Address local, peer;

        if (upstream->replies.n == 0) {
                beside_close(relay, session);
                return;
        }
        if (!(beside = beside_of(session)) || udp_local(session->leg.fd, &local) < 0 ||
            udp_peer(session->leg.fd, &peer) < 0)
                return;
        if (beside->fd >= 0 && !address_equal(&beside->local, &local))
                stop(relay, beside);
        if (beside->fd < 0) {
                beside->fd = udp_open_beside(session->leg.fd, &upstream->replies, peer.port);
                if (beside->fd >= 0 && session->record.id != 0 && relay->observer.leg_changed)
                        relay->observer.leg_changed(relay->observer.userdata, session, now);
        } else if (beside->port != peer.port || beside->n_replies != upstream->n_replies)
                udp_filter_replies(beside->fd, &upstream->replies, peer.port);
        beside->local = local;
        beside->port = peer.port;
        beside->n_replies = upstream->n_replies;
        if (beside->fd >= 0 && beside->watch.fd < 0)
                begin(relay, beside);
}

void beside_take(Session *session, int fd)
{
        _cleanup_close_ int own = fd;
        Address local, found;
        Beside *beside;

        if (own < 0 || upstream_of(session)->replies.n == 0 || udp_adopt_leg(own, &found) < 0 ||
            udp_local(session->leg.fd, &local) < 0 || !address_equal(&local, &found) || !(beside = beside_of(session)))
                return;
        beside->fd = TAKE_FD(own);
        beside->local = local;
        beside->port = 0; /* it is filtered anew before it is heard */
}

int beside_receive(Beside *beside, Batch *batch, unsigned n_max, uint64_t *n_icmp)
{
        batch->n = 0;
        if (beside->fd < 0)
                return 0;
        take_manner(beside, &upstream_of(beside->session)->manner);
        return udp_receive(beside->fd, batch, n_max, n_icmp);
}

void beside_close(Relay *relay, Session *session)
{
        if (session->beside && session->beside->fd >= 0)
                stop(relay, session->beside);
}

void beside_free(Session *session)
{
        free(session->beside);
        session->beside = NULL;
}
