/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Whoever reads: colours, a pager, the size of the screen, and what may be shown there. The rules are systemctl's:
 * --color=, SYSTEMD_COLORS=, NO_COLOR=, TERM=dumb, and then whether standard output is a terminal.
 */
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/clock.h"
#include "ctl/options.h"

typedef enum Shade { SHADE_PLAIN, SHADE_GOOD, SHADE_WARN, SHADE_BAD, SHADE_TITLE, SHADE_BOLD, N_SHADES } Shade;

typedef struct Terminal {
        bool tty; /* standard output is one, or was before there was a pager */
        bool colors, utf8;
        bool pager_wanted;
        pid_t pager; /* 0: none */
} Terminal;

void terminal_init(Terminal *ret, const Options *options);

/* From now on standard output goes through the pager, if there shall be one. */
void terminal_page(Terminal *terminal);

/* All has been written, and the pager is gone. 0 or negative errno; somebody who stopped reading is no error. */
int terminal_done(Terminal *terminal);

/* What switches the shade on, and back to plain. "" without colours. */
const char *terminal_shade(const Terminal *terminal, Shade shade);
const char *terminal_plain(const Terminal *terminal);

/* A dot as systemctl has it; `*` where the character set has none. */
const char *terminal_dot(const Terminal *terminal);

void terminal_size(unsigned *ret_columns, unsigned *ret_rows);

/*
 * Text from elsewhere, as it may be shown: control characters, and those that turn the direction of writing, become
 * `\xNN`. What is no UTF-8 does, too, and all beyond ASCII if the terminal has another character set. Returns the
 * buffer; cut where it ends, never within a character.
 */
const char *text_safe(char *buffer, size_t size, const char *text);
void text_put(FILE *to, const char *text);

/* What makes "datagram" several. */
static inline const char *plural(uint64_t n)
{
        return n == 1 ? "" : "s";
}

enum { SPAN_TEXT_MAX = USEC_FORMAT_MAX, AMOUNT_TEXT_MAX = 32 };

/* As much of a time as a person wants to know: `3h 2min`, `12s`, `350ms`. */
const char *span_format(char buffer[static SPAN_TEXT_MAX], usec_t t);
/* Bytes: `900 B`, `1.2 MB`. */
const char *amount_format(char buffer[static AMOUNT_TEXT_MAX], uint64_t bytes);
