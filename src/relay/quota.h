/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * How many of something there may be, are, and have been at most. A limit lowered below what is there refuses until
 * enough of it has gone; nothing is taken away.
 */
#include <stdbool.h>

#include "base/counter.h"

typedef struct Quota {
        Counter limit, current, peak;
} Quota;

static inline bool quota_full(const Quota *q)
{
        return counter_get(&q->current) >= counter_get(&q->limit);
}

static inline void quota_take(Quota *q)
{
        counter_add(&q->current, 1);
        if (counter_get(&q->current) > counter_get(&q->peak))
                counter_set(&q->peak, counter_get(&q->current));
}

static inline void quota_give(Quota *q)
{
        counter_set(&q->current, counter_get(&q->current) - 1);
}
