/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What every command gets, and how each ends. Commands return an exit status; a mistake has been told by then, in one
 * line on standard error.
 */
#include "ctl/client.h"
#include "ctl/options.h"
#include "ctl/terminal.h"

/* Documented in udp46ctl(1). */
typedef enum ExitStatus {
        CTL_OK = 0,
        CTL_FAILURE = 1,     /* nobody answers, or nothing that can be used */
        CTL_USAGE = 2,       /* the command line */
        CTL_NOT_WORKING = 3, /* status: the relay answers, but cannot relay */
        CTL_STEP_FAILED = 4, /* check */
} ExitStatus;

typedef struct Ctl {
        const Options *options;
        Client *client;
        Terminal terminal;
} Ctl;

/* One line on standard error; control characters in it are escaped. */
void ctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Tells why the client's last question failed. Returns CTL_FAILURE. */
int ctl_fail(const Ctl *ctl);

int status_run(Ctl *ctl);
int sessions_run(Ctl *ctl); /* sessions and dump */
int top_run(Ctl *ctl);
int metrics_run(Ctl *ctl);
int check_run(Ctl *ctl);
int drain_run(Ctl *ctl); /* drain and undrain */
