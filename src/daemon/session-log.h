/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The journal's view of sessions: one sentence when one is created, one when it is closed, with its counters. A token
 * bucket bounds them (a burst, then a steady rate); what it leaves out is counted and said in one sentence. The
 * counters of the relay stay exact, whatever is left out here. A worker's own; never waits.
 */
#include "base/log.h"
#include "relay/session.h"

enum { SESSION_LOG_BURST = 200, SESSION_LOG_PER_SEC = 20 };
#define SESSION_LOG_SUMMARY_EVERY (10 * USEC_PER_SEC)

typedef struct SessionLog {
        LogWriter *writer;
        uint64_t tokens; /* events that may still be said now */
        usec_t filled;
        uint64_t n_left_out;
        usec_t summary_due; /* USEC_NEVER while nothing is left out */
} SessionLog;

void session_log_init(SessionLog *log, LogWriter *writer, usec_t now);
void session_log_opened(SessionLog *log, const Session *session, usec_t now);
void session_log_closed(SessionLog *log, const Session *session, SessionEnd end, usec_t now);

/* When the next summary is due, or USEC_NEVER; says it if it is. */
usec_t session_log_deadline(const SessionLog *log);
void session_log_summarise(SessionLog *log, usec_t now);

/* Says a last summary, due or not. */
void session_log_finish(SessionLog *log);
