/* SPDX-License-Identifier: MIT */
/*
 * Believes: connect() of a fresh UDP socket picks a free local port of the whole host (net.ipv4.ip_local_port_range)
 * and says EAGAIN when there is none; that is another EAGAIN than a full buffer's, so it gets its own name here.
 */
#include "relay/leg.h"
#include "base/cleanup.h"
#include "wire/udp.h"

static int named(int r)
{
        return r == -EAGAIN ? -EADDRINUSE : r;
}

int leg_open(Leg *leg, const Address *from, const Address *peer)
{
        *leg = (Leg){.watch.fd = -EBADF};
        leg->fd = udp_connect(from, peer, &leg->local);
        if (leg->fd < 0) {
                int r = leg->fd;

                leg->fd = -EBADF;
                return named(r);
        }
        return 0;
}

int leg_retarget(Leg *leg, const Address *peer)
{
        int r = udp_reconnect(leg->fd, peer, &leg->local);

        if (r >= 0)
                leg->doubted = false;
        return named(r);
}

void leg_close(Leg *leg)
{
        leg->fd = safe_close(leg->fd);
}
