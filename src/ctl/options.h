/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The command line: one command, what it is about, and options in any order, `--option=value` or `--option value`.
 * Mistakes are lines on `problems`, each naming the text. Commands and options are one table each, from which --help
 * comes; tests/words holds the manual and the completions against them.
 */
#include <stdbool.h>
#include <stdio.h>

#include "base/clock.h"
#include "wire/address.h"

typedef enum Command {
        COMMAND_STATUS, /* when none is given */
        COMMAND_SESSIONS,
        COMMAND_DUMP,
        COMMAND_TOP,
        COMMAND_METRICS,
        COMMAND_CHECK,
        COMMAND_DRAIN,
        COMMAND_UNDRAIN,
        N_COMMANDS
} Command;

/* In the order in which the table of options names them. */
typedef enum JsonForm { JSON_FORM_SHORT, JSON_FORM_PRETTY, JSON_FORM_NONE } JsonForm;
typedef enum SortKey { SORT_BYTES, SORT_AGE, SORT_IDLE, SORT_CLIENT, SORT_NONE } SortKey;
typedef enum ColorChoice { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER } ColorChoice;

#define OPTIONS_SOCKET_DEFAULT "/run/udp46/http.sock"
enum {
        OPTIONS_UPSTREAMS_MAX = 64,
        OPTIONS_SOCKET_MAX = 107,
        OPTIONS_URL_MAX = 1024
}; /* the last two in bytes; what a Unix socket's name may have */

typedef struct Options {
        Command command;
        const char *socket, *url;        /* url NULL: the socket */
        char client[ADDRESS_TEXT_MAX];   /* `192.0.2.10`, `192.0.2.10:62000`; "": all */
        char listener[ADDRESS_TEXT_MAX]; /* "": all */
        uint64_t limit;                  /* of sessions shown; UINT64_MAX: all */
        SortKey sort;
        JsonForm json;
        ColorChoice color;
        usec_t interval;
        const char *upstreams[OPTIONS_UPSTREAMS_MAX]; /* drain, undrain: endpoints, as they were written */
        unsigned n_upstreams;
        bool all, force, no_pager, no_legend, version, help;
} Options;

/* The number of mistakes. */
unsigned options_parse(Options *ret, int argc, char *const *argv, FILE *problems);

void options_help(FILE *to);

/* `bytes`, `age`, … */
const char *sort_key_name(SortKey key);
