/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Where legs come from when the kernel shall not choose: pairs of local address and port. Two forms.
 *
 * From a list of addresses and a range of ports: every pair is handed out to one leg at a time, the one that was free
 * longest first, so that a late reply does not meet a new session. With A addresses and P ports that is A x P sessions,
 * where the kernel's own choice ends at one range of ports for the whole host.
 *
 * From a prefix of 96 bits that embeds the client's IPv4 address, with the client's port if it is free there: the
 * upstream sees who it is.
 *
 * A port taken on one address is lost to sockets of the host that want it on all (Linux, every version). Hence the
 * reserved ports, which are never handed out.
 */
#include <stdbool.h>

#include "relay/flow.h"
#include "wire/address.h"

enum {
        SOURCES_OF_PREFIX = 16,      /* a prefix in the list stands for so many addresses, from its ::1 on */
        SOURCES_PAIRS_MAX = 1 << 20, /* 4 bytes each */
        SOURCES_TRIES = 16,          /* somebody else of the host may have the port */
};

typedef struct SourcesSettings {
        PrefixList listed;
        Prefix clients;     /* of 96 bits; length 0: none */
        PortRange ports;    /* of the listed addresses; and for clients whose own port is taken */
        PortRange reserved; /* stay with the host */
} SourcesSettings;

typedef struct Source {
        Address address;
        uint32_t pair; /* what sources_give() wants back */
} Source;

typedef struct Sources Sources;

bool sources_equal(const SourcesSettings *a, const SourcesSettings *b);

/* Is anything said about sources? If not, the kernel chooses. */
bool sources_wanted(const SourcesSettings *settings);

/* How many pairs a list has; 0 for a prefix of clients, where the clients are the limit. */
uint64_t sources_capacity(const SourcesSettings *settings);

/* The `share`-th of `n_shares` equal parts of all pairs: relays that run side by side must not meet. 0 or -ENOMEM. */
int sources_new(Sources **ret, const SourcesSettings *settings, unsigned share, unsigned n_shares);
Sources *sources_free(Sources *sources);

/* The source to try next, for the `attempt`-th time, from 0 on. false: all are taken. */
bool sources_take(Sources *sources, const Flow *flow, unsigned attempt, Source *ret);

/* A leg has it already, from an earlier process. false: it is not one of these, or another leg has it. */
bool sources_claim(Sources *sources, const Address *source, uint32_t *ret_pair);
void sources_give(Sources *sources, uint32_t pair);
