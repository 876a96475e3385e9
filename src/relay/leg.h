/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The socket a Session holds towards its upstream: IPv6, connected, on a local port of its own, so that the upstream
 * tells clients apart by their ports and nobody else's datagrams come in.
 */
#include <stdbool.h>

#include "base/watch.h"
#include "wire/address.h"
#include "wire/udp.h"

typedef struct Leg {
        Watch watch;         /* in the relay's set while the session lives */
        int fd;              /* owned */
        uint32_t generation; /* of the upstream's targets that it has followed */
        uint16_t port;       /* the listener's, for targets that have none */
        uint8_t target;      /* of its upstream */
        Trains trains;       /* what its path takes */
        Manner manner;       /* in which it sends: its upstream's, from the next datagram on */
        bool doubted;        /* to be pointed anew with the next datagram, at the same address or another */
        uint32_t sources;    /* which of its upstream's sources it was taken from; 0: the kernel chose */
        uint32_t pair;       /* there */
} Leg;

/* A leg that holds nothing yet, of a session that came in at this port. */
void leg_init(Leg *leg, uint16_t listener_port);

/*
 * Through this device ("": as the routes say), from this address and port, or NULL: as the kernel chooses; *ret_local:
 * what it became. 0 or a negative errno: what the world said (-EMFILE, -EADDRINUSE, -ENODEV …); then the leg holds
 * nothing.
 */
int leg_open(Leg *leg, const char *device, const Address *from, const Address *peer, Address *ret_local);

/*
 * Takes a socket that was a leg before. 0; -EPROTO: it is none on this port (and, if `bound`, of this address), and is
 * closed.
 */
int leg_adopt(Leg *leg, int fd, const Address *source, bool bound);

/* Points the leg at another address, through another device; its local port stays. 0 or negative errno: then it leads
 * nowhere for now. */
int leg_retarget(Leg *leg, const char *device, const Address *peer);

void leg_close(Leg *leg);
