/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The traffic of the last minutes as a figure with an inline SVG. Its meaning is in words, too: in the caption, and in
 * the title and description that a screen reader speaks.
 */
#include <stdio.h>

#include "http/history.h"

/* What both directions are drawn against, in bits a second: a round number that no rate exceeds. */
double chart_scale(const History *history);
void chart_write(FILE *to, const History *history, Direction direction, double scale);
