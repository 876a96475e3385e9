/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The first seam: how a datagram comes in. A Listener is a socket that was opened for us and bears its unit's
 * FileDescriptorName=; its kind knows how to read a client's datagram from it and how to answer the client.
 */
#include "base/watch.h"
#include "relay/flow.h"
#include "relay/policy.h"
#include "relay/stats.h"
#include "wire/address.h"
#include "wire/datagram.h"
#include "wire/udp.h"

typedef struct Listener Listener;

typedef struct ListenerKind {
        const char *name;

        /* As udp_receive_from() and, to the flow's client from the flow's local address, udp_send_to(). */
        int (*receive)(Listener *listener, Batch *batch, unsigned n_max);
        int (*reply)(Listener *listener, const Flow *flow, Datagram *run, unsigned n, Trains *trains);
} ListenerKind;

struct Listener {
        const ListenerKind *kind;
        Watch watch;
        int fd; /* owned */
        uint16_t index;
        uint8_t next_read; /* datagrams that the next read asks for */
        bool busy;         /* there was more than the last read could take */
        Manner manner;     /* its policy's, from the next datagram on */
        Address bound;
        Policy *policy; /* borrowed from the relay */
        Stats stats;
};

/* A plain UDP socket over IPv4. */
extern const ListenerKind listener_udp;
