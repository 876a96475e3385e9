/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The line that `systemctl status` shows: sessions, rates, upstream, drops. Told to the service manager only when it
 * changes; the caller asks every few seconds.
 */
#include "daemon/targets.h"
#include "daemon/workers.h"

typedef struct Status {
        char said[512];
        char trouble[256]; /* of the last reload, in ASCII and one line; "" if there is none */
        uint64_t forwarded[N_DIRECTIONS];
        usec_t counted;
} Status;

/* What was wrong with the last reload, a line each; "": nothing. */
void status_note_trouble(Status *status, const char *problems);

void status_update(Status *status, const WorkersTotals *totals, const Targets *targets, usec_t now);

/* Says a line at once. The service manager takes UTF-8 only and what was typed may be anything: ASCII is what it gets.
 */
void status_say(const char *text);
