/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What happened at one listener. Written by the worker that owns the relay, read by anyone.
 *
 * The law of conservation: between two dispatches, for each direction, `received` equals the sum of `verdicts`.
 */
#include <stdbool.h>

#include "base/counter.h"
#include "relay/verdict.h"

typedef struct DirectionStats {
        Counter received;             /* datagrams that reached us */
        Counter verdicts[N_VERDICTS]; /* datagrams, by what became of them */
        Counter bytes;                /* payload bytes of the forwarded ones */
} DirectionStats;

typedef struct Stats {
        DirectionStats directions[N_DIRECTIONS];
        Counter icmp_errors;      /* reported by upstreams' hosts and routers, counted as advice */
        Counter sessions_created; /* ever */
        Counter sessions_expired; /* closed because idle */
} Stats;

/* Adds one listener's to a sum. */
static inline void stats_add(Stats *sum, const Stats *stats)
{
        for (Direction d = 0; d < N_DIRECTIONS; d++) {
                const DirectionStats *from = &stats->directions[d];
                DirectionStats *to = &sum->directions[d];

                counter_add(&to->received, counter_get(&from->received));
                counter_add(&to->bytes, counter_get(&from->bytes));
                for (Verdict v = 0; v < N_VERDICTS; v++)
                        counter_add(&to->verdicts[v], counter_get(&from->verdicts[v]));
        }
        counter_add(&sum->icmp_errors, counter_get(&stats->icmp_errors));
        counter_add(&sum->sessions_created, counter_get(&stats->sessions_created));
        counter_add(&sum->sessions_expired, counter_get(&stats->sessions_expired));
}

static inline bool stats_conserved(const Stats *stats)
{
        for (Direction d = 0; d < N_DIRECTIONS; d++) {
                uint64_t sum = 0;

                for (Verdict v = 0; v < N_VERDICTS; v++)
                        sum += counter_get(&stats->directions[d].verdicts[v]);
                if (sum != counter_get(&stats->directions[d].received))
                        return false;
        }
        return true;
}
