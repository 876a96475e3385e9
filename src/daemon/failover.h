/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Which of an upstream's targets its clients are carried to. What a relay can honestly know of one is whether it
 * answers when it is asked; an ICMP error, which anybody can forge, only makes us expect that sooner. Pure: looked at
 * every second, with the sums that the workers have counted.
 */
#include <stdbool.h>

#include "base/clock.h"
#include "relay/upstream.h"
#include "wire/address.h"

#define FAILOVER_LOOK_EVERY USEC_PER_SEC

typedef enum TargetHealth {
        TARGET_UNKNOWN, /* it was never asked, or may be tried again */
        TARGET_UP,      /* it has answered */
        TARGET_DOWN,    /* it was asked, and did not answer */
        N_TARGET_HEALTHS
} TargetHealth;

extern const char *const target_health_names[N_TARGET_HEALTHS];

/* What was counted of a target so far. */
typedef struct TargetSeen {
        bool known;       /* its address */
        bool probed;      /* we ask by ourselves */
        uint64_t asked;   /* by who was answered before, or in vain for want of a way */
        uint64_t knocked; /* by who insists and was never answered: anybody can do that */
        uint64_t answered;
        uint64_t icmp_errors;
} TargetSeen;

typedef struct TargetState {
        TargetHealth health;
        usec_t since;         /* it is in that state; 0: from the beginning */
        bool tried;           /* it was down before, and may be still */
        bool drained;         /* somebody wants it to be left */
        usec_t silent;        /* the first question since its last answer; 0: none */
        unsigned n_icmp;      /* of the looks since then, those with an ICMP error, too */
        usec_t answered;      /* the last look with an answer; 0: none */
        unsigned n_asks;      /* looks since then in which it was asked again */
        usec_t asked;         /* the last of these */
        usec_t again;         /* when it is tried again, if it is down */
        usec_t pause;         /* how long that takes the next time */
        TargetSeen seen;      /* at the last look */
        uint64_t icmp_before; /* those of whoever had the number before */
} TargetState;

typedef struct FailoverSettings {
        usec_t timeout; /* asked for this long without an answer: it is down */
        usec_t back;    /* one that was down is tried after this long, then after twice as long (30 minutes at most); a
                           preferred one that answers for this long gets its sessions back */
        bool move;      /* sessions leave a target that is down; else they stay until they end */
} FailoverSettings;

typedef struct Failover {
        FailoverSettings settings;
        uint8_t n, order[ENDPOINT_LIST_MAX]; /* the targets there are, the preferred one first */
        uint8_t chosen;
        uint16_t left;      /* as UpstreamTargets */
        uint64_t n_changes; /* times that another one was chosen */
        TargetState targets[UPSTREAM_TARGETS_MAX];
} Failover;

/* Another target has this number: nothing is known of it. */
void failover_forget(Failover *failover, uint8_t target);

/* true: another one is chosen, others are left, or one's health is another. */
bool failover_look(Failover *failover, const TargetSeen seen[static UPSTREAM_TARGETS_MAX], usec_t now);
