/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a user is promised (docs/udp46.conf.5), as the simplest thing that can be asked: an array of sessions, searched
 * from one end to the other, and numbers. It shares names and plain values with the relay, and no instruction.
 *
 * There are two names with three listeners between them. A place is an address that clients write to; clients are two
 * to an address; homes are where upstreams may be found. All are numbers here: the addresses are the driver's.
 */
#include "relay/policy.h"
#include "relay/record.h"
#include "relay/stats.h"

enum {
        N_NAMES = 2,
        N_LISTENERS = 3,
        N_PLACES = 4,    /* the second listener is on two addresses */
        N_ADDRESSES = 4, /* of clients */
        N_CLIENTS = 2 * N_ADDRESSES,
        N_TARGETS = 3,
        N_PLAIN_HOMES = 4,
        N_HOMES = N_PLAIN_HOMES + N_LISTENERS, /* the others are found by the listener's port */
        N_FLOWS = N_CLIENTS * N_PLACES,
        DUES_MAX = 64,
        /* instead of a home: */
        AT_PORT = N_PLAIN_HOMES, /* the one of the client's listener */
        NOWHERE = -1,            /* not known yet */
};

static const unsigned listener_of[N_PLACES] = {0, 1, 1, 2}, name_of[N_LISTENERS] = {0, 0, 1};

/* A session. */
typedef struct Promised {
        bool open;
        unsigned client, place;
        unsigned serial; /* counts all that were ever opened, from 1 on */
        SessionAge age;
        bool proven;
        usec_t opened, last_use;
        uint64_t rank; /* who of two that were used at the same time came first; see promises_restart() */
        SessionTraffic traffic[N_DIRECTIONS];
        unsigned target;
        int home;    /* whom its leg hears */
        bool parked; /* before a restart, by the driver: its socket comes through */
} Promised;

/* A token bucket, by what is not in it: a token is `interval` parts, and `burst` parts come back each microsecond. */
typedef struct Bucket {
        uint64_t missing;
        usec_t at;
} Bucket;

/* What is set for a name, and what became of it. The driver sets what it sets for the relay. */
typedef struct PromisedName {
        PolicySettings settings;
        unsigned allowed; /* a bit for each address of clients */
        unsigned chosen, used, left;
        int targets[N_TARGETS]; /* homes */
        Bucket all, each[N_ADDRESSES];
        uint64_t peak, unreplied_peak;
} PromisedName;

/* What is counted at a listener. */
typedef struct PromisedBooks {
        uint64_t verdicts[N_DIRECTIONS][N_VERDICTS], bytes[N_DIRECTIONS];
        uint64_t created, closed[N_SESSION_ENDS];
} PromisedBooks;

/* A datagram that has to come: to the session's home, or from its place to its client. */
typedef struct Due {
        Direction direction;
        unsigned serial, client, place;
        int home;
        size_t size;
        uint32_t number;
} Due;

typedef struct Promises {
        usec_t now;
        uint64_t max_sessions, peak;
        PromisedName names[N_NAMES];
        PromisedBooks books[N_LISTENERS];
        Promised sessions[N_FLOWS];
        unsigned n_serials;
        uint64_t n_ranks, n_lost[2]; /* in the last restart: for a limit; for want of a way */
        unsigned n_dues;
        Due dues[DUES_MAX];
} Promises;

void promises_init(Promises *p, usec_t now);

PromisedName *promises_name(Promises *p, unsigned place);
Promised *promises_find(Promises *p, unsigned client, unsigned place); /* or NULL */
unsigned promises_count(const Promises *p, int name, int age);         /* open sessions; -1: of any name, of any age */

/* One datagram from a client; what becomes of it. */
Verdict promises_forward(Promises *p, unsigned client, unsigned place, size_t size, uint32_t number);

/* One datagram from a home to a session's leg. */
void promises_reply(Promises *p, Promised *s, int home, size_t size, uint32_t number);

/* What may still go to a client who is not proven, in bytes on his wire. */
uint64_t promises_budget(const Promises *p, const Promised *s);

/* Ends what is idle. And when it has to be asked next, or USEC_NEVER. */
void promises_expire(Promises *p);
usec_t promises_deadline(const Promises *p);

/* How long until there is another one in it. */
usec_t promises_wait(const Promises *p, const Bucket *bucket, const RateLimit *limit);

void promises_close_all(Promises *p);

/*
 * Another process takes over. Sockets that are not parked are opened again on their ports. The relay is free to say in
 * which order those come who were used at the same moment: their ranks are set before and after by what it does.
 */
void promises_restart(Promises *p);
