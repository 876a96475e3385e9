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

void leg_init(Leg *leg, uint16_t listener_port)
{
        *leg = (Leg){.watch.fd = -EBADF, .fd = -EBADF, .port = listener_port};
}

int leg_open(Leg *leg, const char *device, const Address *from, const Address *peer, Address *ret_local)
{
        leg->fd = udp_connect(device, from, peer, ret_local);
        if (leg->fd < 0) {
                int r = leg->fd;

                leg->fd = -EBADF;
                return named(r);
        }
        return 0;
}

int leg_adopt(Leg *leg, int fd, const Address *source, bool bound)
{
        _cleanup_close_ int own = fd;
        Address local;

        if (udp_adopt_leg(own, &local) < 0 || local.port != source->port || (bound && !address_equal(&local, source)))
                return -EPROTO;
        leg->fd = TAKE_FD(own);
        leg->manner.marking = MARKING_UNKNOWN;
        return 0;
}

int leg_retarget(Leg *leg, const char *device, const Address *peer)
{
        Address local;
        int r = udp_reconnect(leg->fd, device, peer, &local);

        if (r >= 0)
                leg->doubted = false;
        return named(r);
}

void leg_close(Leg *leg)
{
        leg->fd = safe_close(leg->fd);
}
