/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What of a Session outlives the process: plain values, no pointer. It is the first part of a Session, which may live
 * in memory that somebody else reads after our death, at any instruction: so `id` is written last when a session begins
 * and first when it ends, and a seal covers what never changes between the two. Everything else may be any value of its
 * kind, and each is written whole.
 */
#include <stdbool.h>

#include "base/clock.h"
#include "relay/flow.h"
#include "relay/verdict.h"
#include "wire/address.h"

typedef struct SessionTraffic {
        uint64_t datagrams, bytes; /* forwarded ones */
        usec_t last;               /* monotonic; of anything that came this way; 0: nothing yet */
} SessionTraffic;

typedef struct SessionRecord {
        uint64_t id; /* counts from 1, no other session has it; 0: there is no session */
        uint32_t seal;
        uint8_t age;    /* a SessionAge */
        uint8_t bound;  /* 1: the source was chosen by us, not by the kernel; no bool, that may not be just any byte */
        uint8_t proven; /* 1: the client has sent something since an answer left for it: it hears us */
        uint8_t _pad;
        Flow flow;
        Address source; /* the leg's own address when it was opened; its port stays */
        usec_t opened, last_use;
        SessionTraffic traffic[N_DIRECTIONS];
} SessionRecord;

_Static_assert(sizeof(SessionRecord) == 120, "a SessionRecord has no padding of its own");

/* Over the id to come and what never changes. */
uint32_t record_seal(const SessionRecord *record, uint64_t id);

/* Makes the record one of a session, and of none. Whoever dies in between leaves one or the other. */
void record_begin(SessionRecord *record, uint64_t id);
void record_end(SessionRecord *record);

/* Is it a session's, and as it was written? */
bool record_is_whole(const SessionRecord *record);
