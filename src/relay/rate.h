/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * How often something may happen: `burst` times at once, and as often again in each interval, spread over it. A token
 * bucket, kept as the one time at which it will be full again (the generic cell rate algorithm, ITU-T I.371): exact,
 * and without a lock where threads share it.
 */
#include "base/clock.h"
#include "base/counter.h"

#define RATE_INTERVAL_MAX USEC_PER_HOUR
enum { RATE_BURST_MAX = 1000000 };

typedef struct RateLimit {
        uint64_t burst; /* 0: no limit; RATE_BURST_MAX at most */
        usec_t interval;
} RateLimit;

/*
 * When the bucket will be full again after one more, in ns; `full`: what that was before. 0: it is empty. Whatever the
 * clock did, it is full after an interval.
 */
static inline uint64_t rate_after(uint64_t full, const RateLimit *limit, usec_t now)
{
        const uint64_t interval = limit->interval * 1000, at = now * 1000;
        const uint64_t from = full < at || full > at + interval ? at : full;
        const uint64_t after = from + interval / limit->burst;

        return after <= at + interval ? after : 0;
}

/* Shared by threads; all zero: full. */
typedef struct Rate {
        Counter full;
} Rate;

/* false: too often. */
static inline bool rate_take(Rate *rate, const RateLimit *limit, usec_t now)
{
        uint_fast64_t before = counter_get(&rate->full);
        uint64_t after;

        if (limit->burst == 0)
                return true;
        do
                after = rate_after(before, limit, now);
        while (after != 0 && !atomic_compare_exchange_weak_explicit(&rate->full.value, &before, after,
                                                                    memory_order_relaxed, memory_order_relaxed));
        return after != 0;
}
