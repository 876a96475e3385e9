/* SPDX-License-Identifier: MIT */
/*
 * Believes: silence counts from the first datagram that got no answer, not from the last reply, which may be an hour
 * old when a client wakes up. Refuses: to be suspicious all the time of who never answers, as some protocols never do:
 * each silence is told once in 15 s, and only while something is sent.
 */
#include "daemon/suspicion.h"

#define SILENT_AFTER (15 * USEC_PER_SEC)

bool suspicion_look(Suspicion *suspicion, const SuspicionCounts *counts, usec_t now)
{
        const SuspicionCounts seen = suspicion->seen;

        suspicion->seen = *counts;
        if (counts->icmp_errors != seen.icmp_errors)
                return true;
        if (counts->answered != seen.answered)
                suspicion->waiting = 0;
        else if (counts->asked != seen.asked && suspicion->waiting == 0)
                suspicion->waiting = now;
        else if (counts->asked != seen.asked && usec_sub(now, suspicion->waiting) >= SILENT_AFTER) {
                suspicion->waiting = now;
                return true;
        }
        return false;
}
