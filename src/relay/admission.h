/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Who gets a session. An address proves nothing and costs nothing, so all that is decided here only ever concerns those
 * who have none: whoever has shown that he hears never makes way, and no bucket delays a session that is open.
 */
#include "relay/relay.h"

/* A session that was opened so long ago has had its chance to be proven, and may make way for another. */
#define ADMISSION_CHANCE USEC_PER_SEC

/*
 * May this flow have a session, of which that is the first datagram, and is there room for one? FORWARDED, or why not.
 * Allocates nothing; asks the kernel only of who comes from a listener's own port, as often as sessions may be opened.
 */
Verdict admission_ask(Relay *relay, Listener *listener, const Flow *flow, const Datagram *first, usec_t now);

/* May its client still come? false: it is closed. */
bool admission_holds(Relay *relay, Session *session, usec_t now);
