/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The list of upstreams that the relay shall leave, which it reads at its start and at each reload (udp46(8)). Changed
 * as a whole, by one at a time; comments and what is not understood stay as they are.
 */
#include "base/cleanup.h"
#include "wire/address.h"

#define DRAINED_DIRECTORY "/run/udp46"
#define DRAINED_FILE "drained"

enum { DRAINED_BYTES_MAX = 256 * 1024 }; /* as the relay has it */

typedef struct DrainedList {
        int directory, lock;
        char *text; /* whole lines */
        bool changed;
} DrainedList;

/*
 * Makes the directory, waits a few seconds for whoever changes the list now, and reads it. 0; -EBUSY: in vain; or
 * negative errno.
 */
int drained_open(DrainedList *ret);
void drained_close(DrainedList *list);

bool drained_has(const DrainedList *list, const Endpoint *endpoint);

/* As often as it is there already, nothing happens. 0 or -ENOMEM. */
int drained_add(DrainedList *list, const Endpoint *endpoint);
void drained_remove(DrainedList *list, const Endpoint *endpoint);

/* Puts it in the place of the one before, for everybody to read; an empty one is no file. 0 or negative errno. */
int drained_store(DrainedList *list);

/* Removes it, whatever it is. Likewise. */
int drained_drop(void);
