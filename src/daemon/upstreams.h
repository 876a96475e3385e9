/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Where the upstreams are: literals at once, names by the resolver thread: again and again with growing pauses until
 * they are known, and from then on every now and then, for they move. Lives in the control loop.
 */
#include <systemd/sd-event.h>

#include "base/log.h"
#include "resolve/resolver.h"
#include "wire/address.h"

typedef struct Upstreams Upstreams;

typedef struct UpstreamState {
        Endpoint endpoint;
        Address address;  /* family 0: not known yet */
        char why[192];    /* why it is not known, or why the last question failed; "" if it did not */
        bool loops;       /* that is why: what was found leads back to us */
        usec_t directed;  /* when it became this endpoint; 0: at the start */
        usec_t confirmed; /* when the address was last found to be that; 0: never */
        usec_t took;      /* how long the last answer took */
        uint64_t n_answers, n_errors;
        uint64_t n_moves; /* addresses that took the place of another one */
} UpstreamState;

typedef struct UpstreamsObserver {
        /* Told in the control loop of each address that is new, or refused. */
        void (*changed)(void *userdata, unsigned i);

        /* Would its datagrams come back to us? Then it is refused. */
        bool (*loops)(void *userdata, unsigned i, const Address *address);
        void *userdata;
} UpstreamsObserver;

int upstreams_new(Upstreams **ret, sd_event *event, LogWriter *log, unsigned n, const UpstreamsObserver *observer);
Upstreams *upstreams_free(Upstreams *upstreams);
DEFINE_CLEANUP(Upstreams, upstreams_free)

/* (Re)directs the i-th upstream. A name is asked for now, also if it is the same as before. */
void upstreams_set(Upstreams *upstreams, unsigned i, const Endpoint *endpoint);

/* There is no i-th upstream any more. */
void upstreams_clear(Upstreams *upstreams, unsigned i);

/* How long after a good answer a name is asked for again; 0: not until it is set again. From the next answer on. */
void upstreams_set_interval(Upstreams *upstreams, unsigned i, usec_t interval);

/* Something is wrong there: a name is asked for now, unless it was just now, or shall not be asked for again. */
void upstreams_suspect(Upstreams *upstreams, unsigned i);

/* Whether its datagrams would come back to us is another matter now: it is refused, or asked for again. */
void upstreams_reconsider(Upstreams *upstreams, unsigned i);

/* Where it was in an earlier process: good until there is an answer. */
void upstreams_presume(Upstreams *upstreams, unsigned i, const Address *address);

const UpstreamState *upstreams_get(const Upstreams *upstreams, unsigned i);

/* Has it got its first answer, good or bad? */
bool upstreams_answered(const Upstreams *upstreams, unsigned i);
