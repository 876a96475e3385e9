/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Equal-sized pieces of one block of memory, which may be somebody's mapping: what lives in them can be found there by
 * its number. The lowest that was never taken comes last, so that the pages behind it are never touched.
 */
#include <stddef.h>
#include <stdint.h>

typedef struct Slots {
        uint8_t *memory; /* borrowed */
        size_t stride;   /* bytes of each */
        uint32_t n;
        uint32_t *n_used; /* those below were taken once; borrowed, counted up before the memory is written */
        uint32_t n_free;
        uint32_t *free; /* of those, the ones that are free: a stack */
} Slots;

/* Memory of n * stride bytes, zeroed where it was never taken. 0 or -ENOMEM. */
int slots_init(Slots *slots, void *memory, size_t stride, uint32_t n, uint32_t *n_used);
void slots_done(Slots *slots);

/* One of them, zeroed; NULL: all are taken. */
void *slots_take(Slots *slots);
void slots_give(Slots *slots, void *slot);

static inline void *slots_at(const Slots *slots, uint32_t i)
{
        return slots->memory + i * slots->stride;
}

static inline uint32_t slots_index(const Slots *slots, const void *slot)
{
        return (uint32_t)((size_t)((const uint8_t *)slot - slots->memory) / slots->stride);
}
