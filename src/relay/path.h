/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The way of a datagram: from a listener to an upstream, and back. Called by the relay's watches; one bounded batch
 * each. 0, or a negative errno when we are broken.
 */
#include "relay/relay.h"

int path_forward(Watch *listener_watch, void *relay, usec_t now);
int path_reply(Watch *leg_watch, void *relay, usec_t now);
int path_reply_beside(Watch *beside_watch, void *relay, usec_t now);
