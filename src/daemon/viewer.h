/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Shows the relay to the HTTP room: fills its Views from the workers' counters, the upstreams and /proc, keeps a few
 * minutes of samples, and passes walks through the sessions on to the workers. Lives in the control loop.
 */
#include "base/log.h"
#include "daemon/restore.h"
#include "daemon/status.h"
#include "daemon/targets.h"
#include "daemon/workers.h"
#include "http/view.h"

typedef struct Viewer Viewer;

/* All must live as long. 0 or -ENOMEM. */
int viewer_new(Viewer **ret, Workers *workers, const Targets *targets, const Log *log, const Restore *restore,
               const Status *status);
Viewer *viewer_free(Viewer *viewer);
DEFINE_CLEANUP(Viewer, viewer_free)

/* Takes a sample; to be called every few seconds. */
void viewer_sample(Viewer *viewer, usec_t now);

/* When the service manager was last told that all is well. */
void viewer_set_watchdog(Viewer *viewer, usec_t when);

/* Why the session limit is lower than what is configured; NULL: it is not. The text must live as long. */
void viewer_set_lowered(Viewer *viewer, const char *why);

/* For the HTTP room. Lives as long as the viewer. */
const ViewSource *viewer_source(Viewer *viewer);
