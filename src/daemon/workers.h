/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * All workers as one. A socket unit that lists an address N times with ReusePort=yes asks for N of them: the kernel
 * spreads the clients over the sockets by a hash of their addresses, so that a client stays with its worker. Limits
 * hold for all of them together, exactly; what they count adds up. Lives in the control loop.
 */
#include <systemd/sd-event.h>

#include "daemon/activation.h"
#include "daemon/failover.h"
#include "daemon/place.h"
#include "daemon/worker.h"

typedef struct Workers Workers;

typedef struct WorkersTotals {
        uint64_t sessions, peak, limit, unreplied, unreplied_limit;
        Stats stats;
} WorkersTotals;

/* Told when all have stopped; or at once when one has stopped by itself: then error is why. */
typedef void (*WorkersStopped)(void *userdata, int error);

/* As many workers as the most frequent address has sockets. At least 1. */
unsigned workers_needed(const ListenerSockets *sockets);

/*
 * Builds the workers and their relays, and takes the sockets. The i-th worker speaks through the log's writer
 * first_writer + i. Their policies are empty until they are ordered. 0 or negative errno.
 */
int workers_new(Workers **ret, Log *log, size_t first_writer, ListenerSockets *sockets);

/* Stops what still runs. Takes NULL. */
Workers *workers_free(Workers *workers);
DEFINE_CLEANUP(Workers, workers_free)

/* The names that listeners have; the i-th name is the i-th policy of every relay. */
unsigned workers_n_names(const Workers *workers);
const char *workers_name(const Workers *workers, unsigned i);

/* File descriptors that they and their listeners hold, without any session. */
size_t workers_n_descriptors(const Workers *workers);

size_t workers_n_places(const Workers *workers);
const Place *workers_places(const Workers *workers);
WorkersTotals workers_totals(const Workers *workers);

/*
 * Has each relay's sessions kept by a keeper, which the service manager holds too. Before any is opened. A worker for
 * which that fails goes on without. n_slots: sessions that may ever be open at once.
 */
void workers_keep(Workers *workers, uint32_t n_slots);

/* Tries again what the service manager could not be given. 0; negative errno: some sessions would not outlive us. */
int workers_store(Workers *workers);

/* What a name's upstream is, and where, for who comes after us. */
void workers_note_upstream(Workers *workers, unsigned name, unsigned k, const char *upstream, const Address *address);

/* Sessions whose sockets are parked where they outlive us, and those that are about to be. */
typedef struct WorkersKept {
        uint64_t parked, fresh;
} WorkersKept;

WorkersKept workers_kept(const Workers *workers);

/* Has them adopt what is theirs, one for each of them, before anything else; they answer one by one. false: as above.
 */
typedef void (*WorkersRestored)(void *userdata, Revival *revival);
bool workers_restore(Workers *workers, Revival *revivals, uint64_t last_id, WorkersRestored restored, void *userdata);

unsigned workers_n(const Workers *workers);

/* Has the loop hear of their answers. 0 or negative errno. */
int workers_attach(Workers *workers, sd_event *event, WorkersStopped stopped, void *userdata);

/* 0 or negative errno. */
int workers_start(Workers *workers);

/* Gives the order to all. false: one of them takes none, it has stopped working. */
bool workers_order(Workers *workers, const WorkerOrder *order);

/* Until all have obeyed what they were ordered so far; a second at most: whoever is stuck is found out otherwise. */
void workers_await(const Workers *workers);

/* So many legs may have a port that the kernel chose. */
void workers_set_host_ports(Workers *workers, uint64_t n);

/* How often what they were last told to expect (WORKER_EXPECT_ECHO) came in. */
uint64_t workers_n_echoes(const Workers *workers);

/*
 * From where the legs of a name's upstream come from now on: of each worker that has listeners of the name, from its
 * own part. false: as above.
 */
bool workers_set_sources(Workers *workers, unsigned name, const SourcesSettings *settings);

/*
 * Who may come to the listeners of a name: each worker gets a copy, unless it has the same. false: as above, or there
 * is no memory, and some go on as before.
 */
bool workers_set_filter(Workers *workers, unsigned name, const Filter *filter);

/* So many sessions of all together may be unreplied. */
void workers_set_unreplied(Workers *workers, uint64_t n);

/* Asks all for a sign of life, unless one has still to answer. Have all answered the last time, or is that not long
 * ago?
 */
void workers_ping(Workers *workers, usec_t now);
bool workers_alive(const Workers *workers, usec_t now);

/* How long the slowest one took for its last answer; or keeps us waiting for it. */
usec_t workers_latency(const Workers *workers, usec_t now);

/* What is counted by name. */
typedef struct WorkersName {
        uint64_t sessions, peak, limit, unreplied_limit, by_age[N_SESSION_AGES];
} WorkersName;

/* What all of them have counted of a name's target. */
TargetSeen workers_of_target(const Workers *workers, unsigned name, uint8_t target);
uint64_t workers_sessions_at(const Workers *workers, unsigned name, uint8_t target);
usec_t workers_last_reply(const Workers *workers, unsigned name, uint8_t target); /* 0: none yet */

WorkersName workers_of_name(const Workers *workers, unsigned name);

/*
 * A walk through the sessions of all workers, a slice at a time: walk_next() asks, and the slice comes as an answer.
 * false: no slice will come. When the workers are freed, walks that still wait are told NULL.
 */
typedef struct WorkersWalk WorkersWalk;
typedef void (*WorkersSlice)(void *userdata, const Listing *slice, bool last);

WorkersWalk *workers_walk_new(Workers *workers);
WorkersWalk *workers_walk_free(WorkersWalk *walk);
bool workers_walk_next(WorkersWalk *walk, WorkersSlice ready, void *userdata);
