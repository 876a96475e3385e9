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
#include "relay/record.h"

typedef struct Relay Relay;
typedef struct Session Session;
typedef struct Beside Beside; /* relay/beside.h */

struct Session {
        SessionRecord record; /* first: it is found at the beginning of a slot */
        uint32_t next;        /* in its bucket of the table: a slot's index + 1, or 0 */
        uint32_t heard;       /* when the upstream last answered, or the leg was last doubted; see session.c */
        uint32_t parcel;    /* of the legs' parking (state/), in which its sockets are: the lower bits of its number */
        uint16_t n_filters; /* of its policy, when its client was last let in */
        uint8_t n_waiting;  /* datagrams that wait for room in the leg's send buffer */
        uint8_t n_parked : 4;  /* sockets of it in its parcel; 0: it is in none */
        uint8_t n_unheard : 4; /* runs since it last heard of the upstream, in short order; no more than matter */
        Trains reply_trains;   /* what the path to the client takes */
        Leg leg;
        ListNode parked; /* in its parcel */
        ListNode idle;   /* in its policy's list of its standing; after closing, in the relay's dead */
        Listener *listener;
        Beside *beside; /* owned; NULL: only the leg's peer is heard */
};

/* There are thousands: 256 bytes each, with the table's, is what they may take. */
_Static_assert(sizeof(Session) <= 224, "a Session is as small as it can be");

/*
 * Opens a session for a flow that has none and was admitted (relay/admission.h). VERDICT_FORWARDED and *ret, or the
 * reason why not.
 */
Verdict session_open(Relay *relay, Listener *listener, const Flow *flow, usec_t now, Session **ret);

/*
 * Opens it again from the record of an earlier process, with its sockets (owned; -EBADF: it is lost, and one on the
 * same port takes its place). Believes nothing of the record but its seal. To be called with the last used of a
 * standing first. 0; or negative errno: -EBADMSG: no session can be so; -EEXIST: its flow has one; -EDQUOT: a limit;
 * -EADDRINUSE: somebody has the port; or what the kernel says.
 */
int session_adopt(Relay *relay, Listener *listener, const SessionRecord *record, int fd, int beside, usec_t now,
                  Session **ret);

/* It is dead, and nothing points at it any more. */
void session_free(Relay *relay, Session *session);
void session_close(Relay *relay, Session *session, SessionEnd end, usec_t now);

/*
 * Something came from the client (sent: and went on its way, or there is none); something came from the upstream
 * (answered: it proves that the one that the leg leads to is there). Each O(1).
 */
void session_touch_forward(Session *session, bool sent, usec_t now);
void session_touch_reply(Session *session, bool answered, usec_t now);

/*
 * Sends a run on its leg, which is led to where it belongs before: each datagram says what became of it. 0 or negative
 * errno: we are broken.
 */
int session_forward(Relay *relay, Session *session, Datagram *run, unsigned n, usec_t now);

/* What ICMP told its leg: advice, no more. */
void session_note_icmp(Session *session, const Icmp *icmp);

/* When it will be closed if nothing comes any more. */
usec_t session_deadline(const Session *session);

SessionStanding session_standing(const SessionRecord *record);

const char *session_end_name(SessionEnd end);
const char *session_age_name(SessionAge age);
