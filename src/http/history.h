/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The last minutes: the samples of a View, with the moment of the look behind them, and, as long as they reach that far
 * back, the start before them. Counters between two points tell what happened in between, and no more.
 */
#include "http/view.h"

typedef struct History {
        size_t n; /* 2 at least */
        ViewSample points[VIEW_SAMPLES_MAX + 2];
} History;

/* What a counter did meanwhile. */
typedef struct Growth {
        uint64_t n;         /* it grew by so much */
        usec_t first, last; /* between these moments; both 0 if it did not */
} Growth;

void history_init(History *history, const View *view);

/* How far it reaches back, in full minutes if it is some; a second at least. */
usec_t history_span(const History *history);

Growth history_drops(const History *history, Direction direction, Verdict verdict);
Growth history_kernel_drops(const History *history);

/* The last point that lies so far back, or the first one. */
const ViewSample *history_before(const History *history, usec_t span);

/* Bits a second between a point and the one before it; and lately, over some seconds. */
double history_rate(const History *history, Direction direction, size_t i);
double history_rate_now(const History *history, Direction direction);

/* How many datagrams were dropped between a point and the one before it. */
uint64_t history_dropped(const History *history, Direction direction, size_t i);
