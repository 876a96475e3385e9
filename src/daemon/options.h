/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The command line: `--flag value` and `--flag=value`; one dash does as well, as the Go program's users may have it.
 * Flags of a setting fill a Settings; the rest are here. Mistakes are lines on `problems`, each naming the text.
 */
#include <stdbool.h>
#include <stdio.h>

#include "daemon/settings.h"

enum { OPTIONS_LISTEN_MAX = 64 };

typedef struct Options {
        Settings settings;
        const char *config_path; /* NULL: the default one, which may be missing */
        bool check_config, version, help;
        bool metrics_enabled, metrics_session_labels;
        Address metrics_listen;
        size_t n_listen;
        Address listen[OPTIONS_LISTEN_MAX];
} Options;

/* The number of mistakes. */
unsigned options_parse(Options *ret, int argc, char *const *argv, FILE *problems);

void options_help(FILE *to);
