/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * How many of something there may be, are, and have been at most. A limit lowered below what is there refuses until
 * enough of it has gone; nothing is taken away. A quota may be a part of a larger one, which several relays on several
 * threads share: what is taken from the part is taken from the whole, exactly.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/counter.h"

typedef struct Quota Quota;

struct Quota {
        Counter limit, current, peak;
        Counter numbered; /* how many numbers were given out; the topmost quota's */
        Quota *parent;    /* the larger one, or NULL */
};

/* Is there nothing left, here or above? */
static inline bool quota_full(const Quota *q)
{
        while (q && counter_get(&q->current) < counter_get(&q->limit))
                q = q->parent;
        return q;
}

/* Is more taken than there may be, here or above? Limits may be lowered. */
static inline bool quota_over(const Quota *q)
{
        while (q && counter_get(&q->current) <= counter_get(&q->limit))
                q = q->parent;
        return q;
}

/* Is there nothing left of the topmost, although there is of each part? */
static inline bool quota_full_on_top(const Quota *q)
{
        if (!q->parent)
                return false;
        while (q->parent && counter_get(&q->current) < counter_get(&q->limit))
                q = q->parent;
        return !q->parent && counter_get(&q->current) >= counter_get(&q->limit);
}

/* Gives back what was taken, here and above. */
static inline void quota_give(Quota *q)
{
        for (; q; q = q->parent)
                (void)counter_share(&q->current, (uint64_t)-1);
}

/* Takes one, here and above. false: there is nothing left, and nothing was taken. */
static inline bool quota_take(Quota *q)
{
        uint64_t taken = counter_share(&q->current, 1) + 1;

        if (taken > counter_get(&q->limit) || (q->parent && !quota_take(q->parent))) {
                (void)counter_share(&q->current, (uint64_t)-1);
                return false;
        }
        counter_raise(&q->peak, taken); /* not before it is certain: what is refused above was never here */
        return true;
}

/* A number that nothing else under the topmost quota has, from 1 on. */
static inline uint64_t quota_number(Quota *q)
{
        while (q->parent)
                q = q->parent;
        return counter_share(&q->numbered, 1) + 1;
}
