/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Text and numbers as a page shows them: escaped, short, with units. Where a number was shortened the exact one stands
 * beside it, for machines in value= or datetime=, for people in title=.
 */
#include <stdio.h>

#include "base/clock.h"

enum { HTML_NUMBER_MAX = 48 };

/* What came from a configuration or a name service; fit for an element and for an attribute in double quotes. */
void html_text(FILE *to, const char *text);

/* As a person reads them: `12,345`, `12.3 M`; `1.5 kB`; `12.3 Mbit/s`; `4 s`, `3 min 12 s`, `2 d 4 h`. */
const char *html_format_count(char buffer[static HTML_NUMBER_MAX], uint64_t n);
const char *html_format_bytes(char buffer[static HTML_NUMBER_MAX], uint64_t n);
const char *html_format_rate(char buffer[static HTML_NUMBER_MAX], double bits_per_second);
const char *html_format_span(char buffer[static HTML_NUMBER_MAX], usec_t t);
/* `just now`, `4 s ago`. A page that is read does not know it any better. */
const char *html_format_age(char buffer[static HTML_NUMBER_MAX], usec_t t);

/* As elements. */
void html_count(FILE *to, uint64_t n);
void html_bytes(FILE *to, uint64_t n);

/* A moment of CLOCK_MONOTONIC, seen from now: `4 s ago`, with the time of day in UTC. 0: `never`. */
void html_ago(FILE *to, usec_t now, usec_t when, int64_t clock_offset);
