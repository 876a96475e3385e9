/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The Prometheus text exposition format 0.0.4. Names, labels and buckets of the Go program are kept; what this program
 * alone knows has names of its own behind them. One table says every name, kind and help; tests/words holds the manual,
 * the dashboard and the alerts against it.
 */
#include <stdio.h>

#include "http/view.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* All that does not speak of single sessions. */
void metrics_write(FILE *to, const View *view);

/*
 * The metrics with one series for each session: format wants all series of a metric together, so that sessions are
 * walked once for each of these.
 */
typedef enum SessionMetric {
        SESSION_METRIC_INFO,
        SESSION_METRIC_PACKETS,
        SESSION_METRIC_BYTES,
        SESSION_METRIC_LAST,
        N_SESSION_METRICS
} SessionMetric;

void metrics_write_session_head(FILE *to, SessionMetric metric);
void metrics_write_session(FILE *to, int64_t clock_offset, SessionMetric metric, const ListingRow *row);
