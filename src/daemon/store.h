/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What the service manager holds for us while we are not there (FDSTORE=1, sd_notify(3)): for each worker the image of
 * its relay and both ends of its queue, by names that say whose they are. They live as long as the service is not
 * stopped. Only the control thread: sd_notify() may block for as long as PID 1 does.
 *
 * Nothing is waited for. PID 1 reads our messages in order, and before it notices that we are gone, so that what is to
 * be kept is kept before what is old is forgotten (systemd 252 to 257).
 */
#include "state/keeper.h"

/* Of one worker of one earlier process. */
typedef struct StoredState {
        uint64_t born; /* see ImageHeader */
        unsigned worker;
        int image; /* owned, or -EBADF: it is missing */
        ParcelQueue queue;
} StoredState;

typedef struct Store {
        size_t n;
        StoredState *states; /* the youngest first, after store_sort() */
} Store;

/* Is there a service manager that could hold anything? */
bool store_available(void);

/* Takes an inherited descriptor, if its name is one of ours. */
bool store_take(Store *store, const char *name, int fd);
void store_sort(Store *store);

/*
 * Has the manager hold a keeper's descriptors. 0; negative errno: it does not hold all of them. -ETOOMANYREFS: more
 * sockets are on their way than this process may have open (dead ones in an older queue, too); later there may be less.
 */
int store_keep(const Keeper *keeper, unsigned worker);

/* Has the manager forget all that was taken, and closes it. */
void store_forget(Store *store);

/* Closes all, and lets the manager hold it. */
void store_done(Store *store);
