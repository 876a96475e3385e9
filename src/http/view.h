/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What there is to see of the relay at one moment, as plain values: the daemon fills a View, the room renders it. The
 * room knows no thread and no worker; sessions come to it as slices, through a ViewSource.
 *
 * Times are monotonic; `clock_offset` added makes them CLOCK_REALTIME.
 */
#include "relay/listing.h"

typedef struct ViewPlace {
        const char *name; /* of its listeners */
        Address bound;
        size_t first; /* index of the first place with this address; another one's if they differ in their device */
        unsigned n_workers;
        uint64_t kernel_drops; /* datagrams that found the listener's receive buffer full */
        Stats stats;
} ViewPlace;

/* One of the upstreams of a name, in order of preference. */
typedef struct ViewTarget {
        char upstream[ENDPOINT_TEXT_MAX];
        Address address; /* family 0: not known */
        usec_t resolved; /* when it was last confirmed; 0: never */
        usec_t resolve_time;
        char why[192];      /* why the last question failed; "" if it did not */
        usec_t last_reply;  /* of any session, or to a probe; 0: none yet */
        const char *health; /* unknown, up or down */
        bool down, chosen;  /* it does not answer; new sessions go there */
        bool drained;       /* somebody wants it to be left */
        uint64_t sessions, icmp_errors;
} ViewTarget;

enum { VIEW_TARGETS_MAX = ENDPOINT_LIST_MAX };

typedef struct ViewName {
        const char *name;
        uint64_t sessions, peak, limit, unreplied_limit;
        uint64_t by_age[N_SESSION_AGES];
        unsigned n_targets;
        ViewTarget targets[VIEW_TARGETS_MAX];
        uint64_t n_failovers;             /* times that another one was chosen */
        char upstream[ENDPOINT_TEXT_MAX]; /* the chosen one; what follows is about it */
        Address address;                  /* family 0: not known */
        usec_t resolved;                  /* when it was last confirmed; 0: never */
        usec_t resolve_time;
        uint64_t n_resolves, n_resolve_errors, n_moves; /* of all of them */
        char why[192];                                  /* why the last question failed; "" if it did not */
} ViewName;

/* The upstream that answered last, and when that was. NULL and 0: none has. */
const ViewTarget *view_answered(const ViewName *name);
usec_t view_last_reply(const ViewName *name);

/* As many as RevivalLoss has (state/revive.h): rooms do not know each other. */
enum { VIEW_LOSSES = 6 };

/* Sessions of the process before. */
typedef struct ViewRestored {
        bool taken; /* there was a process before, and what it left was taken over */
        uint64_t n, n_lost[VIEW_LOSSES];
        const char *const *losses; /* what each is called */
        usec_t gap;                /* 0: there was no process before */
        uint64_t parked;           /* sessions whose sockets would outlive a crash now */
} ViewRestored;

typedef struct ViewProcess {
        double cpu_seconds, start_time;
        uint64_t resident_bytes, virtual_bytes, open_fds, max_fds;
} ViewProcess;

enum { VIEW_SAMPLES_MAX = 100 };

/* What the counters of all listeners said at one moment. */
typedef struct ViewSample {
        usec_t at;
        uint64_t verdicts[N_DIRECTIONS][N_VERDICTS], bytes[N_DIRECTIONS];
        uint64_t kernel_drops, icmp_errors;
} ViewSample;

typedef struct View {
        usec_t now, started;
        int64_t clock_offset; /* µs */
        const char *version, *commit, *date;
        uint64_t sessions, peak, limit, unreplied, unreplied_limit;
        const char *lowered;        /* why the limit is lower than what is configured; NULL: it is not */
        const char *reload_trouble; /* why the last reload failed, and the configuration before stays; "": it did not */
        uint64_t log_records_lost;
        usec_t worker_latency; /* of the slowest worker's last answer */
        usec_t watchdog_age;   /* since the service manager was last told; 0: it wants nothing */
        ViewRestored restored;
        ViewProcess process;
        size_t n_samples; /* the last minutes, oldest first */
        ViewSample samples[VIEW_SAMPLES_MAX];
        size_t n_places;
        ViewPlace *places;
        size_t n_names;
        ViewName *names;
} View;

/* Told in the loop when the slice has come; `last`: there are no more. NULL: none will come, the walk is over. */
typedef void (*ViewSliceReady)(void *userdata, const Listing *slice, bool last);

typedef struct ViewSource {
        /* Fills the view; valid until the next call. */
        const View *(*look)(void *userdata);

        /*
         * Walks all sessions, a slice at a time. begin returns NULL without memory. next asks for a slice, which never
         * comes before it has returned; false: none will come. end frees the walk, but not while a slice is awaited.
         */
        void *(*walk_begin)(void *userdata);
        bool (*walk_next)(void *walk, ViewSliceReady ready, void *ready_userdata);
        void (*walk_end)(void *walk);
        void *userdata;
} ViewSource;
