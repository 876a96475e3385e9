/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A question of our own that comes in again tells that an upstream leads back to us (daemon/loops.h). It is known by
 * its bytes, which are random: the only ones of a datagram that are ever looked at, and of those only that would open a
 * session and have just this size.
 */
#include <string.h>

#include "base/counter.h"
#include "wire/datagram.h"

enum { ECHO_BYTES = 16 };

typedef struct Echo {
        bool expected;
        uint8_t bytes[ECHO_BYTES];
        Counter n_heard;
} Echo;

/* From now on it is this question; what came of an earlier one, which others may know by now, does not count. */
static inline void echo_expect(Echo *echo, const uint8_t bytes[static ECHO_BYTES])
{
        memcpy(echo->bytes, bytes, ECHO_BYTES);
        counter_set(&echo->n_heard, 0);
        echo->expected = true;
}

static inline bool echo_hear(Echo *echo, const Datagram *d)
{
        if (!echo->expected || d->size != ECHO_BYTES || memcmp(d->data, echo->bytes, ECHO_BYTES) != 0)
                return false;
        counter_add(&echo->n_heard, 1);
        return true;
}
