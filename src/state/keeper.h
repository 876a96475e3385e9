/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Keeps a relay's sessions beyond its process: the records in an image that lies in a memfd, and the legs' sockets in a
 * queue of the kernel's (wire/parcel.h). Whoever else holds the descriptors (the service manager) has everything, at
 * any moment. Belongs to the relay's thread; the counters may be read by anybody.
 *
 * A leg is parked within KEEPER_PARK_WITHIN of its opening. What closed stays in the queue until what was parked before
 * it has moved to its end; that is done when there is as much of it as of the living, which makes each session pay for
 * at most two more.
 */
#include "base/list.h"
#include "relay/relay.h"
#include "state/image.h"
#include "wire/parcel.h"

#define KEEPER_PARK_WITHIN (50 * USEC_PER_MSEC)

typedef struct Keeper Keeper;

struct Keeper {
        int fd; /* owned: the memfd */
        ImageHeader *header;
        size_t size;
        ParcelQueue queue;
        List fresh, parked; /* sessions whose legs are not in the queue, and those that are, the oldest first */
        Counter n_fresh, n_parked;
        uint64_t first, next; /* numbers of the queue's oldest parcel, and of the one to come; they count from 1 */
        uint64_t purge;       /* parcels up to this number shall go, even if all in them live but one */
        uint64_t n_entries;   /* sockets in the queue, the closed ones included */
        uint64_t n_living;    /* sockets of the parked sessions */
        uint8_t sizes[1024];  /* of the parcels, by their number */
        usec_t due;           /* when keeper_turn() has something to do */
};

/* 0 or negative errno: without memfd or sockets there is nothing to keep anything in. */
int keeper_new(Keeper **ret, uint32_t n_slots, uint64_t born);
Keeper *keeper_free(Keeper *keeper);
DEFINE_CLEANUP(Keeper, keeper_free)

/* Moves a relay in, which has its listeners and no session yet. 0 or -ENOMEM. */
int keeper_house(Keeper *keeper, Relay *relay, const char *const *names);

/* Told of each session, after it was opened or adopted, when it has another socket, and before its leg is closed. */
void keeper_opened(Keeper *keeper, Session *session, usec_t now);
void keeper_changed(Keeper *keeper, Session *session, usec_t now);
void keeper_closed(Keeper *keeper, Session *session, usec_t now);

/* Parks a bounded number of legs, and moves as many; after the end nothing. */
void keeper_turn(Keeper *keeper, usec_t now);

/* Parks all there are, as far as the kernel lets it. */
void keeper_park_all(Keeper *keeper, usec_t now);

/* Says that the relay works. */
static inline void keeper_live(Keeper *keeper, usec_t now)
{
        keeper->header->alive = now;
}

/*
 * The end, on purpose: all legs are parked, the image is complete, and nothing that happens to the sessions from now on
 * gets into it.
 */
void keeper_finish(Keeper *keeper, usec_t now);
