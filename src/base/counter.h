/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A number that any thread may read. Relaxed: readers see each number whole, but two numbers read one after the other
 * may be a few datagrams apart. One that a single thread changes pays for a plain load and store (counter_add); one
 * that several change needs counter_share() and counter_raise().
 */
#include <stdatomic.h>
#include <stdint.h>

typedef struct Counter {
        atomic_uint_fast64_t value;
} Counter;

static inline uint64_t counter_get(const Counter *c)
{
        return atomic_load_explicit(&c->value, memory_order_relaxed);
}

static inline void counter_set(Counter *c, uint64_t value)
{
        atomic_store_explicit(&c->value, value, memory_order_relaxed);
}

static inline void counter_add(Counter *c, uint64_t n)
{
        counter_set(c, counter_get(c) + n);
}

/* As counter_add(), by several threads at once. What it was before. */
static inline uint64_t counter_share(Counter *c, uint64_t n)
{
        return atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}

/* Lifts it to at least this, by several threads at once. */
static inline void counter_raise(Counter *c, uint64_t value)
{
        uint_fast64_t before = counter_get(c);

        while (before < value && !atomic_compare_exchange_weak_explicit(&c->value, &before, value, memory_order_relaxed,
                                                                        memory_order_relaxed))
                ;
}
