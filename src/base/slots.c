/* SPDX-License-Identifier: MIT */
/* Believes: what was given back last is warm, and is taken first. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/slots.h"

/* What is free is nobody's: the sanitizer shall say so. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#endif

static size_t free_size(const Slots *slots)
{
        return slots->n * sizeof(*slots->free);
}

int slots_init(Slots *slots, void *memory, size_t stride, uint32_t n, uint32_t *n_used)
{
        *slots = (Slots){.memory = memory, .stride = stride, .n = n, .n_used = n_used};
        slots->free = mmap(NULL, free_size(slots), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                           -1, 0);
        if (slots->free == MAP_FAILED) {
                slots->free = NULL;
                return -ENOMEM;
        }
        ASAN_POISON_MEMORY_REGION(memory, n * stride);
        return 0;
}

void slots_done(Slots *slots)
{
        ASAN_UNPOISON_MEMORY_REGION(slots->memory, slots->n * slots->stride);
        if (slots->free)
                (void)munmap(slots->free, free_size(slots));
        *slots = (Slots){0};
}

void *slots_take(Slots *slots)
{
        void *slot;

        if (slots->n_free > 0)
                slot = slots_at(slots, slots->free[--slots->n_free]);
        else if (*slots->n_used < slots->n)
                slot = slots_at(slots, (*slots->n_used)++);
        else
                return NULL;
        ASAN_UNPOISON_MEMORY_REGION(slot, slots->stride);
        return memset(slot, 0, slots->stride);
}

void slots_give(Slots *slots, void *slot)
{
        slots->free[slots->n_free++] = slots_index(slots, slot);
        ASAN_POISON_MEMORY_REGION(slot, slots->stride);
}
