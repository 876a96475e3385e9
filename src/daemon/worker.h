/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A worker: a thread with an sd-event loop of its own that hosts one Relay through one I/O source and one timer. The
 * control thread gives orders and gets answers by mailbox. The relay belongs to the worker's thread from worker_start()
 * until its thread has ended; meanwhile others read only the relay's Counters.
 */
#include "base/log.h"
#include "relay/listing.h"
#include "relay/relay.h"
#include "state/revive.h"

typedef struct Worker Worker;

typedef enum WorkerOrderKind {
        WORKER_PING,
        WORKER_SET_LIMIT,
        WORKER_SET_POLICY,
        WORKER_SET_UPSTREAM,
        WORKER_SET_SOURCES,
        WORKER_SET_FILTER,
        WORKER_EXPECT_ECHO,
        WORKER_RESTORE,
        WORKER_LIST,
        WORKER_STOP,
} WorkerOrderKind;

typedef struct WorkerOrder {
        WorkerOrderKind kind;
        uint16_t policy; /* index in the relay */
        union {
                uint64_t ping;
                uint64_t limit;
                PolicySettings settings;
                UpstreamTargets targets;
                Sources *sources; /* the worker's from then on */
                Filter *filter;   /* likewise */
                uint8_t echo[ECHO_BYTES];
                Listing *listing; /* the worker's until it answers */
                struct {
                        Revival *revival;    /* likewise */
                        Counter *n_restored; /* shared: how many have adopted theirs; before */
                        unsigned n_workers;  /* all have, none serves */
                };
        };
} WorkerOrder;

typedef struct WorkerAnswer {
        bool stopped;     /* the thread is about to end, the sessions are closed or kept */
        int error;        /* if it stopped by itself: why, a negative errno */
        uint64_t ping;    /* else: the ping that it answers, */
        usec_t at;        /* and when; */
        Listing *listing; /* or, if this is set, the slice that is filled; */
        Revival *revival; /* or, if this is set, what was adopted */
} WorkerAnswer;

/* Two mailboxes, two loops, a timer, three of the keeper's, and one to spare. */
enum { WORKER_DESCRIPTORS = 9 };

/* The observer of the worker's relay; userdata is the worker. Make the worker first, then its relay with this. */
int worker_new(Worker **ret, LogWriter *log);
RelayObserver worker_observer(Worker *worker);

/* Takes the relay; orders are kept until worker_start(). */
void worker_host(Worker *worker, Relay *relay);
/* Takes the keeper, which has its relay moved in; its sessions outlive the thread then. */
void worker_keep(Worker *worker, Keeper *keeper);
const Keeper *worker_keeper(const Worker *worker); /* or NULL */

const Relay *worker_relay(const Worker *worker);

/* 0 or negative errno. */
int worker_start(Worker *worker);

/* If too many are waiting, waits for the worker to take some. false: it has not for a second; nothing happened. */
bool worker_order(Worker *worker, const WorkerOrder *order);

/* Has it obeyed all of them? */
bool worker_has_obeyed(const Worker *worker);

/* Readable when there are answers: worker_quiet(), then take until false; or, with some left, worker_again(). */
int worker_get_fd(const Worker *worker);
void worker_quiet(Worker *worker);
void worker_again(Worker *worker);
bool worker_take(Worker *worker, WorkerAnswer *ret);

/* Tells the thread to stop, waits for it, and frees the relay. A thread that does not stop ends the process. Takes
 * NULL. */
Worker *worker_free(Worker *worker);
DEFINE_CLEANUP(Worker, worker_free)
