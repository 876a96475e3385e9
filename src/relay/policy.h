/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a section of the configuration says about the listeners of one name: their upstream, their limits, their
 * time-outs. All listeners of that name share one Policy, and so its sessions and its quota.
 */
#include "base/clock.h"
#include "base/list.h"
#include "relay/filter.h"
#include "relay/quota.h"
#include "relay/rate.h"
#include "relay/upstream.h"

/*
 * The two ages of a session, conntrack's words: `unreplied` until the upstream has answered, `assured` from then on.
 */
typedef enum SessionAge { SESSION_UNREPLIED, SESSION_ASSURED, N_SESSION_AGES } SessionAge;

/*
 * How firmly a session has its place. Where there is no room, who was never answered goes for a newcomer; then who was
 * answered and has said nothing since, for anybody may have forged his address; and never who has shown that he hears.
 */
typedef enum SessionStanding { STANDING_STRANGER, STANDING_ANSWERED, STANDING_PROVEN, N_STANDINGS } SessionStanding;

typedef struct PolicySettings {
        usec_t timeouts[N_SESSION_AGES]; /* idle longer than this: closed */
        usec_t reply_refresh;            /* replies keep a session only this long after its client's last datagram */
        usec_t write_timeout; /* how long a datagram may wait for room in its leg's send buffer; 0: not at all */
        uint64_t max_sessions;
        uint64_t max_unreplied;           /* of these, sessions that were never answered */
        RateLimit new_sessions;           /* how many may be opened, */
        RateLimit client_sessions;        /* and by one client address */
        uint32_t amplification;           /* bytes for each of an unproven client's; 0: no limit */
        uint32_t max_datagram;            /* bytes */
        bool trains;                      /* segmentation offload, both ways */
        Manner manner;                    /* in which datagrams leave, both ways */
        ReplySources replies;             /* who may answer besides the upstream itself */
        char device[UPSTREAM_DEVICE_MAX]; /* that they leave through towards the upstream; "": as the routes say */
} PolicySettings;

typedef struct Policy {
        PolicySettings settings;
        Upstream upstream;
        Quota quota, unreplied;
        Rate own_rate, *new_sessions; /* borrowed: shared with siblings, or the own one */
        Filter *filter;               /* owned; who may come. NULL: everybody */
        uint16_t n_filters;           /* counts changes of it: sessions are asked again with their next datagram */
        Counter n_sessions[N_SESSION_AGES];
        List idle[N_STANDINGS]; /* sessions in order of last use: the first is the next to expire, and to make way */
} Policy;
