/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The configuration: the file's sections and the flags over them. Reading never stops at the first mistake: each one is
 * a line on `problems` that names file, line, key and the text. Nothing is used of a configuration with mistakes.
 */
#include <stdio.h>

#include "daemon/settings.h"

enum { CONFIG_SECTIONS_MAX = 256, LISTENER_NAME_MAX = 40, CONFIG_LINE_MAX = 4095 };

#define CONFIG_DEFAULT_PATH "/etc/udp46/udp46.conf"
/* The name of listeners that [Relay] alone describes: udp46.socket's, and that of --listen. */
#define LISTENER_DEFAULT_NAME "relay"

typedef struct ConfigSection {
        char name[LISTENER_NAME_MAX + 1]; /* "" is [Relay] */
        Settings settings;
        unsigned line; /* where it begins */
        unsigned lines[N_SETTINGS];
} ConfigSection;

typedef struct Config {
        const char *path;
        Settings flags;
        size_t n_sections;
        ConfigSection sections[CONFIG_SECTIONS_MAX]; /* [0] is [Relay], given or not */
        Filter *filters[CONFIG_SECTIONS_MAX];        /* owned; who may come, of each section */
} Config;

Config *config_free(Config *config);
DEFINE_CLEANUP(Config, config_free)

/* The flags must live on in `flags`. A missing file is a mistake only when `must_exist`. */
int config_load(Config **ret, const char *path, int must_exist, const Settings *flags, FILE *problems,
                unsigned *ret_n_problems);

/* What holds for the whole relay: its session limit and log level. */
void config_whole(const Config *config, Settings *ret);

/* What holds for the listeners of a name. -ENOENT: no section for it; -EDESTADDRREQ: it has no upstream. */
int config_for(const Config *config, const char *listener_name, Settings *ret);

/*
 * What no single line shows: every section must end up with an upstream, and with no two settings that exclude each
 * other; and the files that it names are read. Says what to write where, and returns how many problems there are.
 */
unsigned config_check(Config *config, FILE *problems);

/* Who may come to the listeners of a name, in a configuration that was checked. NULL: everybody. */
const Filter *config_filter(const Config *config, const char *listener_name);

/* The whole configuration as understood, as a file that means the same. */
void config_print(const Config *config, FILE *to);
