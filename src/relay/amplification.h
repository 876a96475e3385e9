/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A client who has sent nothing since he was answered may be anybody whose address somebody forged. Until then he gets
 * no more than some times what was sent in his name, so that nobody gains by forging: as a QUIC server does before it
 * has validated an address (RFC 9000, section 8.1; three times), but for all of UDP, whose payload we do not know.
 */
#include "relay/session.h"

/*
 * Drops what would be more than AmplificationLimit= allows, and all behind it, with its verdict. How many of the batch
 * are left; the last of them may be a train that has lost its end.
 */
unsigned amplification_shed(Session *session, Batch *batch);
