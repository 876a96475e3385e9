/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Datagrams that met a full send buffer on their leg and wait there, for WriteTimeoutSec= at most, until it has room.
 * The only place where a payload is copied, because its batch is overwritten while it waits. A relay has few seats, a
 * session fewer: this carries a burst over a moment, it is no queue. Nobody else waits: neither the listener nor
 * another session. Order within a session is kept: while one datagram waits, those behind it wait too, or are dropped.
 */
#include "relay/session.h"

enum { WAITING_SEATS = 64, WAITING_SEATS_OF_ONE = 16 };

typedef struct WaitingRoom WaitingRoom;

/* 4 MiB of address space, of which the kernel provides the pages that are really used. 0 or -ENOMEM. */
int waiting_room_new(WaitingRoom **ret);
WaitingRoom *waiting_room_free(WaitingRoom *room);

/*
 * Seats those at the end of a run that were refused with EAGAIN, until `until`. How many of the run are left to be
 * accounted: all that went, all that failed otherwise, and those for which there was no seat.
 */
unsigned waiting_seat(Relay *relay, Session *session, Datagram *run, unsigned n, usec_t until);

/* Sends what waits on a leg, as far as its buffer takes it. 0 or negative errno. */
int waiting_resume(Relay *relay, Session *session, usec_t now);

/* Drops all that a session has waiting, because it ends. */
void waiting_clear(Relay *relay, Session *session);

/* When the first of all waits ends, or USEC_NEVER; drops those whose time has come. */
usec_t waiting_deadline(const WaitingRoom *room);
void waiting_expire(Relay *relay, usec_t now);
