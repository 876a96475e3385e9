/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A Flow while it is alive, and the Leg that carries it. Opened by a client's first datagram, closed when idle or at
 * shutdown, never because of an ICMP error. It dies in two steps: closed (out of the table, leg gone), and freed at the
 * end of the dispatch, because the kernel's answer of this turn may still point at it.
 */
#include "base/clock.h"
#include "base/list.h"
#include "relay/flow.h"
#include "relay/leg.h"
#include "relay/listener.h"
#include "relay/policy.h"

typedef struct Relay Relay;
typedef struct Session Session;

typedef struct SessionTraffic {
        uint64_t datagrams, bytes; /* forwarded ones */
        usec_t last;               /* monotonic; of anything that came this way; 0: nothing yet */
} SessionTraffic;

struct Session {
        Session *next; /* in its bucket of the table */
        Flow flow;
        ListNode idle; /* in its policy's list of its age; after closing, in the relay's dead */
        usec_t last_use;
        uint8_t age;         /* a SessionAge */
        uint8_t n_waiting;   /* datagrams that wait for room in the leg's send buffer */
        Trains reply_trains; /* what the path to the client takes */
        Listener *listener;
        Leg leg;
        uint64_t id; /* counts from 1; no other session of the process has it */
        usec_t opened;
        usec_t heard; /* when the upstream last answered, or the leg was last doubted */
        SessionTraffic traffic[N_DIRECTIONS];
};

/* Opens a session for a flow that has none. VERDICT_FORWARDED and *ret, or the reason why not. */
Verdict session_open(Relay *relay, Listener *listener, const Flow *flow, usec_t now, Session **ret);
void session_close(Relay *relay, Session *session, SessionEnd end, usec_t now);

/* Something came from the client; something came from the upstream. Each O(1). */
void session_touch_forward(Session *session, usec_t now);
void session_touch_reply(Session *session, usec_t now);

/* When it will be closed if nothing comes any more. */
usec_t session_deadline(const Session *session);

const char *session_end_name(SessionEnd end);
const char *session_age_name(SessionAge age);
