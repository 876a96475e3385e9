/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Drops as states, not as events: for each listener, direction and reason one sentence when datagrams begin to be
 * dropped and one, with their number, when that has been over for a minute. ICMP errors likewise. Read off the counters
 * now and then by the control loop, so that no flood reaches the journal.
 */
#include "base/log.h"
#include "relay/relay.h"

typedef struct Drops Drops;

int drops_new(Drops **ret, const Relay *relay, LogWriter *log);
Drops *drops_free(Drops *drops);
DEFINE_CLEANUP(Drops, drops_free)

void drops_look(Drops *drops, usec_t now);
