/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A Datagram is a payload and where it came from; or a train of equal-sized payloads of one flow, one behind the other,
 * as the kernel received them in one piece (GRO) and sends them in one (GSO). The payload belongs to the Batch it
 * arrived in and is never copied: it goes out from the very bytes it came into. Size 0 is a real datagram. A Batch is
 * what one receive brought; it is overwritten by the next receive, nothing is queued.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "wire/address.h"

/* One more than the largest UDP payload over IPv6 (65,527 B), so that nothing real is ever truncated. */
enum { DATAGRAM_ROOM = 65536, BATCH_MAX = 32 };

typedef struct Datagram {
        const uint8_t *data;
        uint32_t size;        /* bytes; of a train, all together */
        uint16_t segment;     /* of a train: bytes of each datagram but the last, which may be shorter; 0: no train */
        uint16_t n;           /* datagrams: 1, or as many as the train has */
        uint16_t source_port; /* of an IPv4 sender, host byte order; not set by a leg, whose peer is known */
        uint16_t n_sent;      /* after a send: how many of them went, */
        uint32_t bytes_sent;  /* their bytes, */
        int error;            /* and 0, or the (positive) errno that the first of the others was refused with */
        bool in_pieces;       /* after a send: a train that did not leave as one */
        bool truncated;       /* longer than DATAGRAM_ROOM: never to be relayed */
        bool marked;          /* came, or leaves, with `tclass`; else it leaves with what its socket says */
        uint8_t tclass;       /* IPv4's TOS, IPv6's traffic class: DSCP and ECN; of a train, of each in it */
        struct in_addr source;
        struct in_addr local; /* the local IPv4 address it was written to */
} Datagram;

typedef struct BatchIo BatchIo; /* what the system calls want; wire/udp.c's own */

typedef struct Batch {
        unsigned n;
        Datagram items[BATCH_MAX];
        BatchIo *io;
} Batch;

/* 2 MiB of address space, of which the kernel provides the pages that datagrams really use. 0 or -ENOMEM. */
int batch_new(Batch **ret);
Batch *batch_free(Batch *batch);
DEFINE_CLEANUP(Batch, batch_free)
