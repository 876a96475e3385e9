/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The books: every datagram that was received enters them exactly once, with its one Verdict. A datagram that waits for
 * room in a send buffer enters them when its waiting ends.
 */
#include "relay/session.h"

/* What was dropped before it could be sent: all of it, if it is a train. */
void account_drop(Stats *stats, Direction direction, Verdict verdict, const Datagram *d);

/* What was sent, or tried: each datagram tells what became of it. */
void account_sent(Session *session, Direction direction, const Datagram *run, unsigned n);
