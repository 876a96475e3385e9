/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The targets of every name's upstream: where they are (daemon/upstreams.h), which of them its clients are carried to
 * (daemon/failover.h), and what the workers are told of that. Lives in the control loop.
 */
#include <systemd/sd-event.h>

#include "daemon/drained.h"
#include "daemon/failover.h"
#include "daemon/restore.h"
#include "daemon/settings.h"
#include "daemon/upstreams.h"
#include "daemon/workers.h"

typedef struct Targets Targets;

/* `stuck` is called when a worker takes no orders any more. 0 or negative errno. */
int targets_new(Targets **ret, sd_event *event, LogWriter *log, Workers *workers, void (*stuck)(void *userdata),
                void *userdata);
Targets *targets_free(Targets *targets);
DEFINE_CLEANUP(Targets, targets_free)

/* What the configuration says of a name. Names of hosts are asked for now. */
void targets_set(Targets *targets, unsigned name, const Settings *settings, const Drained *drained);

/* Which of them somebody wants to be left. */
void targets_drain(Targets *targets, unsigned name, const Drained *drained);

/* Has any name this upstream? */
bool targets_have(const Targets *targets, const Endpoint *endpoint);

/* Where they were in an earlier process: good until something else is known. */
void targets_presume(Targets *targets, const Restore *restore);

/* Is it known of each name where its clients are carried to, or that this is not known? */
bool targets_settled(const Targets *targets);

/* Tells the workers; from now on also whenever something changes. */
void targets_serve(Targets *targets);

unsigned targets_n_names(const Targets *targets);

/* Which targets a name has, and what is known of them; by their numbers. */
const Failover *targets_failover(const Targets *targets, unsigned name);
const UpstreamState *targets_state(const Targets *targets, unsigned name, uint8_t target);

/* When it last answered a client or a probe, since it is what it is now; 0: it has not. */
usec_t targets_last_reply(const Targets *targets, unsigned name, uint8_t target);

/* That of the chosen one. */
const UpstreamState *targets_chosen(const Targets *targets, unsigned name);
