/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Time is usec_t, microseconds, everywhere. Ages and deadlines are read from CLOCK_MONOTONIC, which is also what
 * sd-event timers get. A number in another unit says so in its name.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t usec_t;

#define USEC_PER_MSEC ((usec_t)1000)
#define USEC_PER_SEC ((usec_t)1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)
#define USEC_NEVER UINT64_MAX

usec_t clock_monotonic(void);

/* Sums that stop at USEC_NEVER, and differences that stop at 0. */
static inline usec_t usec_add(usec_t a, usec_t b)
{
        return a > USEC_NEVER - b ? USEC_NEVER : a + b;
}

static inline usec_t usec_sub(usec_t a, usec_t b)
{
        return a > b ? a - b : 0;
}

/*
 * Reads a time span: `180` (seconds), `3min`, `1min 30s`, `500ms` as systemd.time(7) writes them, and `3m`, `1h30m`,
 * `1.5s` as the Go program's users do. No sign, no zero-unit tricks. 0 or -EINVAL; -ERANGE when it does not fit.
 */
int usec_parse(const char *text, usec_t *ret);

#define USEC_FORMAT_MAX 64
/* Writes the span as usec_parse() reads it, in the largest units that lose nothing: `3min`, `1min 30s`, `500ms`. */
const char *usec_format(char buffer[static USEC_FORMAT_MAX], usec_t t);
