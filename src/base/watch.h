/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One epoll for many descriptors. A Watch is embedded in whatever owns the descriptor; a WatchSet is the epoll.
 *
 * The set is level-triggered and a turn is bounded: watch_set_dispatch() serves at most `n_max` ready watches once each
 * and returns; what is still ready is met again in the next turn, in rotation. One sd-event source for each descriptor
 * would be quadratic instead (an sd-event iteration reads the whole ready set and serves one source). The set's own
 * descriptor becomes readable while any watch is ready.
 *
 * A watch that was removed must stay in memory until watch_set_dispatch() has returned: the kernel's answer of this
 * turn may still point at it. It will not be called again.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>

#include "base/clock.h"

typedef struct Watch Watch;
typedef struct WatchSet WatchSet;

/* 0, or a negative errno when we are broken; passed up by watch_set_dispatch() as it is. */
typedef int (*WatchReady)(Watch *watch, void *context, usec_t now);

struct Watch {
        int fd;        /* borrowed */
        uint32_t kind; /* which of its set's functions is called */
};

enum { WATCH_TURN_MAX = 64, WATCH_KINDS_MAX = 8 };

struct WatchSet {
        int fd;
        WatchReady kinds[WATCH_KINDS_MAX]; /* there are few, and thousands of watches */
        int n_met;                         /* what watch_set_wait() met and was not served yet */
        struct epoll_event met[WATCH_TURN_MAX];
};

int watch_set_init(WatchSet *set);
void watch_set_done(WatchSet *set);

/* Starts to watch for readability. 0 or negative errno (-ENOSPC, -ENOMEM: the kernel's limits; -E2BIG: too many
 * functions). */
int watch_set_add(WatchSet *set, Watch *watch, int fd, WatchReady ready);
void watch_set_remove(WatchSet *set, Watch *watch);

/* From now on, is it also called while its send buffer has room? 0 or negative errno. */
int watch_set_want_room(WatchSet *set, Watch *watch, bool wanted);

/*
 * Waits until there is something for watch_set_dispatch(), which is to be called next; nothing may be removed between
 * the two. Negative: for ever. How many watches are ready, 0 if the time is over, or negative errno.
 */
int watch_set_wait(WatchSet *set, int milliseconds);

/* Serves one turn without waiting. The number of watches served (WATCH_TURN_MAX: there may be more), or negative errno.
 */
int watch_set_dispatch(WatchSet *set, void *context, usec_t now);
