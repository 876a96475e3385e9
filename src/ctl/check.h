/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The command check: the way of a datagram in steps, in the order in which somebody who sets up a relay would go. Each
 * step has a result and the fact behind it; a step that fails has a remedy, too. A step that cannot know says so: that
 * is no failure. What happened lately is what the relay remembers of the last minute.
 */
#include "ctl/answer.h"
#include "ctl/ctl.h"

enum { CHECK_TEXT_MAX = 512 };

typedef enum StepResult { STEP_UNKNOWN, STEP_GOOD, STEP_FAILED, N_STEP_RESULTS } StepResult;

/* What a step found. Texts may have anything in them that came from elsewhere: escape when showing. */
typedef struct Step {
        const char *name;
        StepResult result;
        char fact[CHECK_TEXT_MAX];
        char remedy[CHECK_TEXT_MAX];
} Step;

typedef struct Check {
        Ctl *ctl;
        bool here;       /* the relay is on this host: it is asked over the socket */
        bool no_systemd; /* it was asked, and did not answer: once is enough */
        json_t *status;  /* NULL: nobody answered */
} Check;

/* These say how a step ended. */
void step_good(Step *step, const char *format, ...) __attribute__((format(printf, 2, 3)));
void step_unknown(Step *step, const char *format, ...) __attribute__((format(printf, 2, 3)));
void step_fail(Step *step, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What to do, in a sentence or two: of a step that failed, or that may not know but suspects somebody. */
void step_remedy(Step *step, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* check-host.c: what systemd, the routing table and the packet filter say. */
void check_socket(Check *check, Step *step);
void check_configuration(Check *check, Step *step);
void check_service(Check *check, Step *step);
/* Only called if the relay answered. */
void check_kept(Check *check, Step *step);
/* Who may have thrown away what did not arrive at this port, as a sentence. */
void host_blame_filter(const Check *check, const char *port, char *to, size_t size);
/* Clients are selected in udp46.socket. */
bool host_selects_clients(Check *check);
/* 1: there is a route; 0: none, and what the kernel says of it; negative: not known. */
int host_route(const Check *check, const char *address, char *said, size_t size);

/* check-relay.c: what the relay itself says. Only called if it answered. */
void check_listening(Check *check, Step *step);
void check_arriving(Check *check, Step *step);
void check_allowed(Check *check, Step *step);
void check_resolved(Check *check, Step *step);
void check_reachable(Check *check, Step *step);
void check_replies(Check *check, Step *step);
void check_limits(Check *check, Step *step);
