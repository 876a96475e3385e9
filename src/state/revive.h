/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Sessions of an earlier process, on their way into this one: the records of its image, matched with the sockets that
 * came out of its queue. First everything is gathered, then a relay adopts what is its own, those of the best
 * standing and the last used first.
 */
#include "relay/relay.h"
#include "state/image.h"
#include "state/keeper.h"
#include "wire/parcel.h"

/* --- sockets --- */

typedef struct PooledLeg {
        Address local;
        bool beside;     /* it is no leg, but one beside a leg */
        unsigned origin; /* the number of its queue */
        int fd;          /* -EBADF: it was taken */
} PooledLeg;

typedef struct LegPool {
        size_t n, room;
        size_t n_sorted; /* by port and address, each of them once; what was added since lies behind */
        PooledLeg *legs;
} LegPool;

/*
 * Takes copies of all that is in a queue, and leaves it there. What is no leg, or one that came before, is closed. 0 or
 * negative errno: the rest of the queue was not read.
 */
int leg_pool_add(LegPool *pool, ParcelQueue *queue, unsigned origin);

/*
 * The socket on a record's address and port; or, unless it was bound there by us, any on its port: where the kernel
 * chose, the address may have changed. The caller's from now on. -EBADF: there is none.
 */
int leg_pool_take(LegPool *pool, const SessionRecord *record);
int leg_pool_take_moved(LegPool *pool, const SessionRecord *record);

/* The socket beside a leg: on the same address and port. Likewise. */
int leg_pool_take_beside(LegPool *pool, int leg);

/* Those of a queue that nobody took. */
size_t leg_pool_left(const LegPool *pool, unsigned origin);

/* Closes what is left. */
void leg_pool_done(LegPool *pool);

/* --- sessions --- */

/* Why a session was lost on the way. */
typedef enum RevivalLoss {
        LOSS_VERSION,     /* its image is of another version */
        LOSS_DAMAGED,     /* its record or its image makes no sense */
        LOSS_NO_LISTENER, /* there is no such listener any more */
        LOSS_LIMIT,       /* there may be less sessions than there were */
        LOSS_NO_PORT,     /* its socket was lost, and somebody else has its port */
        LOSS_FAILED,      /* no descriptor, no memory, no address to connect to */
        N_LOSSES
} RevivalLoss;

extern const char *const revival_loss_names[N_LOSSES];

typedef struct RevivalItem {
        SessionRecord record; /* its flow's listener is one of the relay that adopts it */
        int fd, beside;       /* owned, or -EBADF */
        size_t nth;           /* it was added as; the youngest image's come first */
} RevivalItem;

/* What one relay gets. */
typedef struct Revival {
        size_t n, room;
        RevivalItem *items;
        bool unread; /* descriptors were short: sockets stayed where they were, with their ports, which nobody else has
                      */
        uint64_t n_restored, n_lost[N_LOSSES];
        usec_t gap;   /* since the earlier process last worked, when it was done; 0: there was none */
        usec_t alive; /* when that was */
} Revival;

/* 0 or -ENOMEM. */
int revival_add(Revival *revival, const SessionRecord *record);

/* Gives the sessions of n revivals their sockets, as far as there are any. */
void revivals_match(Revival *revivals, unsigned n, LegPool *pool);

/* Has the relay adopt them all, and parks their legs. */
void revival_adopt(Revival *revival, Relay *relay, Keeper *keeper, usec_t now);
void revival_done(Revival *revival);
