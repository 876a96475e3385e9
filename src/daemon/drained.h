/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Upstreams that somebody wants to be left, for a while: a file in /run, one a line as in udp46.conf, which udp46ctl
 * writes as root. It outlives the relay, and is gone with the next boot. The relay only reads it.
 */
#include "wire/address.h"

#define DRAINED_PATH "/run/udp46/drained"

enum { DRAINED_BYTES_MAX = 256 * 1024 };

typedef struct Drained {
        size_t n;
        Endpoint *items;
} Drained;

/* Told of a line that is no upstream, and why (a static phrase). */
typedef void (*DrainedRefused)(void *userdata, const char *line, const char *why);

/*
 * Reads the file in the place of what *to has. A missing file drains nothing. 0, or a negative errno that leaves *to as
 * it was: -EINVAL for what is no regular file, -EFBIG for one that is too large.
 */
int drained_load(Drained *to, const char *path, DrainedRefused refused, void *userdata);
void drained_done(Drained *drained);

bool drained_has(const Drained *drained, const Endpoint *endpoint);
