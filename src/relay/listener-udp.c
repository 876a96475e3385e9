/* SPDX-License-Identifier: MIT */
/* Believes: a host with several addresses must answer from the one that was asked, or the client's NAT drops it. */
#include "relay/listener.h"
#include "wire/udp.h"

/* Before it receives, and before it sends. */
static void take_manner(Listener *listener)
{
        const Manner *manner = &listener->policy->settings.manner;

        if (manner_equal(&listener->manner, manner))
                return;
        udp_set_listener_manner(listener->fd, manner);
        listener->manner = *manner;
}

static int listener_udp_receive(Listener *listener, Batch *batch, unsigned n_max)
{
        take_manner(listener);
        return udp_receive_from(listener->fd, batch, n_max);
}

static int listener_udp_reply(Listener *listener, const Flow *flow, Datagram *run, unsigned n, Trains *trains)
{
        take_manner(listener);
        for (unsigned i = 0; listener->manner.marking == MARKING_FIXED && i < n; i++) {
                run[i].marked = true;
                run[i].tclass = listener->manner.tclass;
        }
        return udp_send_to(listener->fd, flow->local, flow->client, flow->client_port, run, n, trains);
}

const ListenerKind listener_udp = {
                .name = "udp",
                .receive = listener_udp_receive,
                .reply = listener_udp_reply,
};
