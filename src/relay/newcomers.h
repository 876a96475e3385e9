/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * How many sessions each client address has opened of late: a token bucket for each, in a table of fixed size whose key
 * nobody knows. Nobody has proven that he owns an address, and there are more of them than places; so what is forgotten
 * here is forgotten in favour of the client, and what is remembered only ever delays a new session, none that is open.
 */
#include <netinet/in.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "relay/rate.h"

enum { NEWCOMERS_SETS = 4096, NEWCOMERS_WAYS = 4 };

typedef struct Newcomer {
        uint64_t full; /* as in relay/rate.h; 0: nobody */
        struct in_addr client;
        uint32_t policy;
} Newcomer;

typedef struct Newcomers {
        Newcomer sets[NEWCOMERS_SETS][NEWCOMERS_WAYS]; /* one set is one line of the cache */
        HashKey key;
} Newcomers;

/* 0; -ENOMEM; -EIO. */
int newcomers_new(Newcomers **ret);
Newcomers *newcomers_free(Newcomers *newcomers);
DEFINE_CLEANUP(Newcomers, newcomers_free)

/* May this address open one more session under this policy? O(1). */
bool newcomers_take(Newcomers *newcomers, struct in_addr client, uint32_t policy, const RateLimit *limit, usec_t now);
