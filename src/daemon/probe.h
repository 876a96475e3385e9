/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Asks a target by itself, again and again, with a datagram that its protocol answers: so that something is known of it
 * while no client asks. From a socket of its own, in the control loop; whatever comes back from the target is an
 * answer.
 */
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "wire/address.h"

enum { PROBE_BYTES_MAX = 128, PROBE_TEXT_MAX = 2 * PROBE_BYTES_MAX + 1 };

/* What is asked; n 0: nothing. */
typedef struct ProbePayload {
        uint8_t n, bytes[PROBE_BYTES_MAX];
} ProbePayload;

/* As the parsers of wire/address.h: two hexadecimal digits a byte, blanks between them or not. */
int probe_payload_parse(const char *text, ProbePayload *ret, const char **ret_why);
const char *probe_payload_format(char buffer[static PROBE_TEXT_MAX], const ProbePayload *payload);

typedef struct Probe {
        ProbePayload payload;
        usec_t interval;
        char device[16]; /* that it goes through; "": as the routes say */
        Address address; /* family 0: it is not known where to */
        int fd;
        sd_event_source *timer, *answers;
        uint64_t n_asked, n_answered;
        usec_t answered; /* the last time; 0: never */
} Probe;

/* 0 or negative errno. */
int probe_init(Probe *probe, sd_event *event);
void probe_done(Probe *probe);

/* What to ask, how often, and through which device; where. Each may be the same as before. */
void probe_set(Probe *probe, const ProbePayload *payload, usec_t interval, const char *device);
void probe_direct(Probe *probe, const Address *address);
