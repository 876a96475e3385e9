/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Is something wrong with an upstream, by what is counted of its listeners? Not a verdict, only a reason to look: for a
 * name, whether it has another address by now. Looked at every few seconds. Knows no clock and no socket.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* What is counted of one upstream since the start. */
typedef struct SuspicionCounts {
        uint64_t asked, answered, icmp_errors;
} SuspicionCounts;

/* All zero at the start. */
typedef struct Suspicion {
        SuspicionCounts seen;
        usec_t waiting; /* since when datagrams went there and none came back; 0: it owes nothing */
} Suspicion;

/* Did ICMP errors come since the last look, or is it silent while it is written to? */
bool suspicion_look(Suspicion *suspicion, const SuspicionCounts *counts, usec_t now);
