/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A number that one thread changes and any thread may read. Relaxed: readers see each number whole, but two numbers
 * read one after the other may be a few datagrams apart. The single writer pays for a plain load and store.
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
