/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A Datagram is a payload and where it came from. The payload belongs to the Batch it arrived in and is never copied:
 * it goes out from the very bytes it came into. Size 0 is a real datagram. A Batch is what one receive brought; it is
 * overwritten by the next receive, nothing is queued.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "wire/address.h"

/* One more than the largest UDP payload over IPv6 (65,527 B), so that nothing real is ever truncated. */
enum { DATAGRAM_ROOM = 65536, BATCH_MAX = 32 };

typedef struct Datagram {
        const uint8_t *data;
        uint32_t size;        /* bytes */
        int error;            /* after a send: 0, or the (positive) errno it was refused with */
        bool truncated;       /* longer than DATAGRAM_ROOM: never to be relayed */
        uint16_t source_port; /* of an IPv4 sender, host byte order; not set by a leg, whose peer is known */
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
