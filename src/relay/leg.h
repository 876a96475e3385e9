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
        uint32_t generation; /* of the upstream's address it is connected to */
        Trains trains;       /* what its path takes */
        bool doubted;        /* to be pointed anew with the next datagram, at the same address or another */
        Address local;
} Leg;

/* 0 or a negative errno: what the world said (-EMFILE, -EADDRINUSE …); then the leg holds nothing. */
int leg_open(Leg *leg, const Address *peer);

/* Points the leg at another address; its local port stays. 0 or negative errno: then it leads nowhere for now. */
int leg_retarget(Leg *leg, const Address *peer);

void leg_close(Leg *leg);
