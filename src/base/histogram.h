/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * How often something took how long, in the buckets that Prometheus' users know from this program: 1 s to an hour. One
 * thread observes, any may read. Not cumulative: the reader adds up.
 */
#include "base/clock.h"
#include "base/counter.h"

enum { HISTOGRAM_BUCKETS = 11 };

/* Upper bounds in seconds, each included; the last bucket has none. */
static const unsigned histogram_bounds[HISTOGRAM_BUCKETS - 1] = {1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600};

typedef struct Histogram {
        Counter buckets[HISTOGRAM_BUCKETS];
        Counter sum; /* µs */
} Histogram;

static inline void histogram_observe(Histogram *h, usec_t value)
{
        unsigned i = 0;

        while (i < HISTOGRAM_BUCKETS - 1 && value > histogram_bounds[i] * USEC_PER_SEC)
                i++;
        counter_add(&h->buckets[i], 1);
        counter_add(&h->sum, value);
}

static inline void histogram_add(Histogram *sum, const Histogram *h)
{
        for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
                counter_add(&sum->buckets[i], counter_get(&h->buckets[i]));
        counter_add(&sum->sum, counter_get(&h->sum));
}
