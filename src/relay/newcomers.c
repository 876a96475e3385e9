/* SPDX-License-Identifier: MIT */
/* Believes: of those who share a set, the one whose bucket will be full first is the one about whom least is lost. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "relay/newcomers.h"

enum { CACHE_LINE = 64 };
_Static_assert(sizeof(((Newcomers *)0)->sets[0]) == CACHE_LINE, "a set is one line");

int newcomers_new(Newcomers **ret)
{
        _cleanup_(cleanup_newcomers_free) Newcomers *newcomers = NULL;
        int r;

        newcomers = aligned_alloc(CACHE_LINE, (sizeof(Newcomers) / CACHE_LINE + 1) * CACHE_LINE);
        if (!newcomers)
                return -ENOMEM;
        memset(newcomers, 0, sizeof(*newcomers));
        r = hash_key_init(&newcomers->key);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(newcomers);
        return 0;
}

Newcomers *newcomers_free(Newcomers *newcomers)
{
        free(newcomers);
        return NULL;
}

/* The one it is, or the one whose place it takes. */
static Newcomer *find(Newcomers *newcomers, struct in_addr client, uint32_t policy)
{
        const struct {
                struct in_addr client;
                uint32_t policy;
        } who = {client, policy};
        Newcomer *set = newcomers->sets[hash_bytes(&newcomers->key, &who, sizeof(who)) % NEWCOMERS_SETS], *least = set;

        for (unsigned i = 0; i < NEWCOMERS_WAYS; i++) {
                if (set[i].full != 0 && set[i].client.s_addr == client.s_addr && set[i].policy == policy)
                        return &set[i];
                if (set[i].full < least->full)
                        least = &set[i];
        }
        *least = (Newcomer){.client = client, .policy = policy};
        return least;
}

bool newcomers_take(Newcomers *newcomers, struct in_addr client, uint32_t policy, const RateLimit *limit, usec_t now)
{
        Newcomer *member;
        uint64_t after;

        if (limit->burst == 0)
                return true;
        member = find(newcomers, client, policy);
        after = rate_after(member->full, limit, now);
        if (after != 0)
                member->full = after;
        return after != 0;
}
