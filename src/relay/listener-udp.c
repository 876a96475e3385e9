/* SPDX-License-Identifier: MIT */
/* Believes: a host with several addresses must answer from the one that was asked, or the client's NAT drops it. */
#include "relay/listener.h"
#include "wire/udp.h"

static int listener_udp_receive(Listener *listener, Batch *batch, unsigned n_max)
{
        return udp_receive_from(listener->fd, batch, n_max);
}

static int listener_udp_reply(Listener *listener, const Flow *flow, Datagram *run, unsigned n, Trains *trains)
{
        return udp_send_to(listener->fd, flow->local, flow->client, flow->client_port, run, n, trains);
}

const ListenerKind listener_udp = {
                .name = "udp",
                .receive = listener_udp_receive,
                .reply = listener_udp_reply,
};
