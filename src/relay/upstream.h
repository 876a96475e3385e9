/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The second seam: how a datagram goes out. An Upstream is the place a listener's clients are carried to; its kind
 * knows how to get there. All functions run on the worker's thread, none of them waits.
 */
#include "relay/flow.h"
#include "relay/leg.h"
#include "relay/quota.h"
#include "relay/sources.h"
#include "relay/verdict.h"
#include "wire/address.h"
#include "wire/datagram.h"

typedef struct Upstream Upstream;

typedef struct UpstreamKind {
        const char *name;

        /*
         * Gives a new session its leg; *ret_source: the leg's own address. VERDICT_FORWARDED: open; else why not, and
         * the leg holds nothing.
         */
        Verdict (*open)(Upstream *upstream, const Flow *flow, Leg *leg, Address *ret_source);

        /*
         * Gives a session of an earlier process its leg back: takes the socket, or opens one on the same port (and of
         * the same address, if `bound`) where there is none (-EBADF) or the wrong one. 0; or negative errno, and the
         * leg holds nothing: -EADDRINUSE: somebody else has the port.
         */
        int (*adopt)(Upstream *upstream, const Address *source, bool bound, int fd, Leg *leg);
        void (*close)(Upstream *upstream, Leg *leg);

        /* As udp_send() and udp_receive(). */
        int (*forward)(Upstream *upstream, Leg *leg, Datagram *run, unsigned n, uint64_t *n_icmp);
        int (*receive)(Upstream *upstream, Leg *leg, Batch *batch, unsigned n_max, uint64_t *n_icmp);
} UpstreamKind;

struct Upstream {
        const UpstreamKind *kind;
        Address address;     /* family 0: not known yet */
        bool trains;         /* use them towards it */
        uint32_t generation; /* counts changes of the address; legs of an older one follow at their next datagram */
        Sources *sources;    /* owned; NULL: the kernel chooses where legs come from */
        uint32_t n_sources;  /* counts changes of the sources; legs of older ones stay where they are */
        Quota *host_ports;   /* what legs whose port the kernel chooses count against; NULL: nothing */
};

/* The same address again is a new generation, too: legs find the source address that suits it now. */
void upstream_set_address(Upstream *upstream, const Address *address);

/* Takes the sources; legs that are opened from now on come from there. NULL: the kernel chooses. */
void upstream_set_sources(Upstream *upstream, Sources *sources);

/* The upstream is an IPv6 address; a leg is one connected socket. */
extern const UpstreamKind upstream_direct;
