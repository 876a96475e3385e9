/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Drops as states, not as events: for each place, direction and reason one sentence when datagrams begin to be
 * dropped and one, with their number, when that has been over for a minute. ICMP errors likewise. Read off the counters
 * now and then by the control loop, so that no flood reaches the journal.
 */
#include "base/log.h"
#include "daemon/place.h"

typedef struct Drops Drops;

/* The places must live as long. */
int drops_new(Drops **ret, const Place *places, size_t n_places, LogWriter *log);
Drops *drops_free(Drops *drops);
DEFINE_CLEANUP(Drops, drops_free)

void drops_look(Drops *drops, usec_t now);
