/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The control loop: signals, the service manager (READY, STATUS, STOPPING, WATCHDOG), reload, upstreams, and the
 * workers it gives orders to. No datagram ever passes here or waits for it.
 */
#include "base/log.h"
#include "daemon/activation.h"
#include "daemon/config.h"

typedef struct Control Control;

/* Writers of the log that control_new() needs: its own, and from the second on one for each worker. */
enum { CONTROL_LOG_CONTROL, CONTROL_LOG_WORKERS };

/* SIGTERM, SIGINT and SIGHUP must be blocked already. Takes config and the sockets on success. 0 or negative errno. */
int control_new(Control **ret, Log *log, Config *config, const Options *options, ListenerSockets *sockets);

/* Runs until a signal or a failure ends it. 0, or a negative errno. */
int control_run(Control *control);

/* Stops what still runs. Takes NULL. */
Control *control_free(Control *control);
DEFINE_CLEANUP(Control, control_free)
