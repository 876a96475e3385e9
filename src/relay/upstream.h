/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The second seam: how a datagram goes out. An Upstream is the place a listener's clients are carried to; its kind
 * knows how to get there. It may be found at several addresses, its targets, in order of preference: new sessions go to
 * the one that is chosen, and each session's datagrams go to one of them at a time. All functions run on the worker's
 * thread, none of them waits.
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
         * Gives a new session its leg, where there is a way (upstream_way()); *ret_source: the leg's own address.
         * VERDICT_FORWARDED: open; else why not, and the leg holds nothing.
         */
        Verdict (*open)(Upstream *upstream, const Flow *flow, Leg *leg, Address *ret_source);

        /*
         * Gives a session of an earlier process its leg back: takes the socket, or opens one on the same port (and of
         * the same address, if `bound`) where there is none (-EBADF) or the wrong one. 0; or negative errno, and the
         * leg holds nothing: -EADDRINUSE: somebody else has the port.
         */
        int (*adopt)(Upstream *upstream, const Address *source, bool bound, int fd, Leg *leg);
        void (*close)(Upstream *upstream, Leg *leg);

        /*
         * Leads the leg to where it belongs by now; its local port stays. To be called before it is sent through. 0 or
         * negative errno: it leads nowhere at present. *ret_moved: it was pointed anew.
         */
        int (*follow)(Upstream *upstream, Leg *leg, bool *ret_moved);

        /* As udp_send() and udp_receive(). */
        int (*forward)(Upstream *upstream, Leg *leg, Datagram *run, unsigned n, Icmp *icmp);
        int (*receive)(Upstream *upstream, Leg *leg, Batch *batch, unsigned n_max, Icmp *icmp);
} UpstreamKind;

enum { UPSTREAM_TARGETS_MAX = 16, UPSTREAM_DEVICE_MAX = 16 }; /* the latter a name and its end (IF_NAMESIZE) */

/* What the relay is told of an upstream's targets. Each keeps its number as long as it is one. */
typedef struct UpstreamTargets {
        uint8_t chosen;
        uint16_t used;                           /* a bit for each that is one */
        uint16_t left;                           /* a bit for each: its sessions go over to the chosen one */
        uint16_t refused;                        /* a bit for each: it leads back to us, nothing is sent there */
        Address addresses[UPSTREAM_TARGETS_MAX]; /* family 0: not known yet; port 0: that of the client's listener */
} UpstreamTargets;

/* What is known of a target. Runs are neighbours of one flow that are forwarded or replied together. */
typedef struct UpstreamTarget {
        Counter n_sessions;
        Counter asked;    /* runs of sessions that were answered before and insist (see session.c), and failed ways */
        Counter knocked;  /* runs of those who insist and were never answered */
        Counter answered; /* runs from it */
        Counter icmp_errors;
        Counter last_reply;  /* monotonic µs; 0: none yet */
        uint32_t generation; /* of the upstream, when its address was last set anew */
} UpstreamTarget;

struct Upstream {
        const UpstreamKind *kind;
        UpstreamTargets to;
        UpstreamTarget targets[UPSTREAM_TARGETS_MAX];
        bool trains;                      /* use them towards it */
        Manner manner;                    /* in which legs send; each follows with its next datagram, either way */
        char device[UPSTREAM_DEVICE_MAX]; /* that legs go through; "": as the routes say */
        ReplySources replies;             /* who may answer besides the targets themselves */
        uint32_t n_replies;               /* counts changes of these */
        uint32_t generation; /* counts changes of the targets; legs of an older one follow at their next datagram */
        Sources *sources;    /* owned; NULL: the kernel chooses where legs come from */
        uint32_t n_sources;  /* counts changes of the sources; legs of older ones stay where they are */
        Quota *host_ports;   /* what legs whose port the kernel chooses count against; NULL: nothing */
};

/* Legs follow with their next datagram: where their target's address is another one, or their target is to be left. */
void upstream_set_targets(Upstream *upstream, const UpstreamTargets *targets);

/* One target only. The same address again is a new one, too: legs find the source address that suits it now. */
void upstream_set_address(Upstream *upstream, const Address *address);

/* VERDICT_FORWARDED: there is somewhere for a new session to go; else why not. */
Verdict upstream_way(const Upstream *upstream);

/* Where the leg leads, or would. */
Address upstream_peer(const Upstream *upstream, const Leg *leg);

/*
 * The target that a leg belongs to now: the one that it is connected to, its own if that has moved, or the chosen one.
 * *ret_there: it is connected to it.
 */
uint8_t upstream_find(const Upstream *upstream, const Leg *leg, bool *ret_there);

/* Has its target's address been set since the leg followed the last time? */
bool upstream_is_anew(const Upstream *upstream, const Leg *leg);

/* The leg goes over to another target's account. */
void upstream_move(Upstream *upstream, Leg *leg, uint8_t target);

/* Through this device from now on; legs follow as they follow to another address. The same again changes nothing. */
void upstream_set_device(Upstream *upstream, const char *device);

/* Who may answer, too, from now on; legs follow likewise. The same again changes nothing. */
void upstream_set_replies(Upstream *upstream, const ReplySources *replies);

/* Takes the sources; legs that are opened from now on come from there. NULL: the kernel chooses. */
void upstream_set_sources(Upstream *upstream, Sources *sources);

/* The upstream is an IPv6 address; a leg is one connected socket. */
extern const UpstreamKind upstream_direct;
