/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What happened at one listener. Written by the worker that owns the relay, read by anyone.
 *
 * The law of conservation: between two dispatches, for each direction, `received` equals the sum of `verdicts`.
 */
#include <stdbool.h>

#include "base/counter.h"
#include "base/histogram.h"
#include "relay/verdict.h"

/* Why a session ended. */
typedef enum SessionEnd {
        SESSION_IDLE_TIMEOUT,
        SESSION_REPLACED, /* its client had not shown that he hears, and somebody else had no room */
        SESSION_DENIED,   /* its client may not come any more */
        SESSION_SHUTDOWN,
        N_SESSION_ENDS
} SessionEnd;

typedef struct DirectionStats {
        Counter received;             /* datagrams that reached us */
        Counter verdicts[N_VERDICTS]; /* datagrams, by what became of them */
        Counter bytes;                /* payload bytes of the forwarded ones */
        Counter trains;               /* trains received */
        Counter trains_in_pieces;     /* of these, the ones that a path did not take whole */
} DirectionStats;

typedef struct Stats {
        DirectionStats directions[N_DIRECTIONS];
        Counter icmp_errors;      /* reported by upstreams' hosts and routers, counted as advice, */
        Counter icmp_too_big;     /* but "packet too big", which tells the kernel how large fragments may be */
        Counter sessions_created; /* ever */
        Counter sessions_closed[N_SESSION_ENDS];
        Counter open_errors;                      /* legs that could not be opened */
        Histogram session_duration, session_idle; /* observed when a session is closed */
} Stats;

/* The verdicts but the first: not a difference of sums, which a worker may be counting up one after the other. */
static inline uint64_t direction_dropped(const DirectionStats *stats)
{
        uint64_t n = 0;

        for (Verdict v = VERDICT_FORWARDED + 1; v < N_VERDICTS; v++)
                n += counter_get(&stats->verdicts[v]);
        return n;
}

/* Adds one listener's to a sum. */
static inline void stats_add(Stats *sum, const Stats *stats)
{
        for (Direction d = 0; d < N_DIRECTIONS; d++) {
                const DirectionStats *from = &stats->directions[d];
                DirectionStats *to = &sum->directions[d];

                counter_add(&to->received, counter_get(&from->received));
                counter_add(&to->bytes, counter_get(&from->bytes));
                counter_add(&to->trains, counter_get(&from->trains));
                counter_add(&to->trains_in_pieces, counter_get(&from->trains_in_pieces));
                for (Verdict v = 0; v < N_VERDICTS; v++)
                        counter_add(&to->verdicts[v], counter_get(&from->verdicts[v]));
        }
        counter_add(&sum->icmp_errors, counter_get(&stats->icmp_errors));
        counter_add(&sum->icmp_too_big, counter_get(&stats->icmp_too_big));
        counter_add(&sum->sessions_created, counter_get(&stats->sessions_created));
        counter_add(&sum->open_errors, counter_get(&stats->open_errors));
        for (SessionEnd end = 0; end < N_SESSION_ENDS; end++)
                counter_add(&sum->sessions_closed[end], counter_get(&stats->sessions_closed[end]));
        histogram_add(&sum->session_duration, &stats->session_duration);
        histogram_add(&sum->session_idle, &stats->session_idle);
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
