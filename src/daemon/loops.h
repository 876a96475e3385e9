/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Does what goes to an upstream come in again at a listener of ours, by a way that no address tells: a translator, or
 * another relay that is pointed at us? A reason to ask is that many sessions are opened at once and not answered, as a
 * loop's are; then random bytes (relay/echo.h) are sent there as a client's would be, a few times. Where they come in
 * again the upstream is refused, and asked now and then, until they do not. Lives in the control loop.
 */
#include "daemon/upstreams.h"
#include "daemon/workers.h"

typedef struct Loops Loops;

/* The i-th name's upstreams are those from UPSTREAM_TARGETS_MAX * i on. 0 or negative errno. */
int loops_new(Loops **ret, Workers *workers, Upstreams *upstreams);
Loops *loops_free(Loops *loops);
DEFINE_CLEANUP(Loops, loops_free)

/* The device that the name's datagrams leave through ("": as the routes say). */
void loops_set_device(Loops *loops, unsigned name, const char *device);

/* To be called every second. */
void loops_look(Loops *loops, usec_t now);

/* Was it found that this address of this upstream leads back? */
bool loops_know(const Loops *loops, unsigned upstream, const Address *address);
