/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Sessions of an earlier process, on their way into this one: the records of its image, matched with the sockets that
 * came out of its queue. First everything is gathered, then a relay adopts what is its own, the last used first.
 */
#include "relay/relay.h"
#include "state/image.h"
#include "state/keeper.h"
#include "wire/parcel.h"

/* --- sockets --- */

typedef struct PooledLeg {
        Address local;
        int fd; /* -EBADF: it was taken */
} PooledLeg;

typedef struct LegPool {
        size_t n, room;
        bool sorted;
        PooledLeg *legs;
} LegPool;

/* Takes copies of all that is in a queue, and leaves it there. What is no leg is closed. 0 or negative errno. */
int leg_pool_add(LegPool *pool, ParcelQueue *queue);

/* The socket on a record's port (and of its address, if it was bound); the caller's from now on. -EBADF: there is none.
 */
int leg_pool_take(LegPool *pool, const SessionRecord *record);

/* Closes what is left. */
void leg_pool_done(LegPool *pool);

/* --- sessions --- */

/* Why a session was lost on the way. */
typedef enum RevivalLoss {
        LOSS_DAMAGED,     /* its record makes no sense */
        LOSS_NO_LISTENER, /* there is no such listener any more */
        LOSS_LIMIT,       /* there may be less sessions than there were */
        LOSS_NO_PORT,     /* its socket was lost, and somebody else has its port */
        LOSS_FAILED,      /* no descriptor, no memory, no address to connect to */
        N_LOSSES
} RevivalLoss;

extern const char *const revival_loss_names[N_LOSSES];

typedef struct RevivalItem {
        SessionRecord record; /* its flow's listener is one of the relay that adopts it */
        int fd;               /* owned, or -EBADF */
        size_t nth;           /* it was added as; the youngest image's come first */
} RevivalItem;

/* What one relay gets. */
typedef struct Revival {
        size_t n, room;
        RevivalItem *items;
        uint64_t n_restored, n_lost[N_LOSSES];
        usec_t gap;   /* since the earlier process last worked, when it was done; 0: there was none */
        usec_t alive; /* when that was */
} Revival;

/* Takes the descriptor, also on failure. 0 or -ENOMEM. */
int revival_add(Revival *revival, const SessionRecord *record, int fd);

/* Has the relay adopt them all, and parks their legs. */
void revival_adopt(Revival *revival, Relay *relay, Keeper *keeper, usec_t now);
void revival_done(Revival *revival);
