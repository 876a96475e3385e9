/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Where clients come in, as a person sees it: a name, an address (and a device), however many sockets share them. Each
 * worker has one of the sockets at most; what they count adds up.
 */
#include "relay/listener.h"

/* Each needs a writer of the log, and the control loop needs one too. */
enum { WORKERS_MAX = 63 };

typedef struct Place {
        unsigned name; /* index of the listeners' name, and of its policy in every relay */
        Address bound;
        uint32_t device; /* interface index; 0: any */
        unsigned n_listeners;
        const Listener *listeners[WORKERS_MAX];
} Place;

/* What its listeners counted, together. */
static inline Stats place_stats(const Place *place)
{
        Stats sum = {0};

        for (unsigned i = 0; i < place->n_listeners; i++)
                stats_add(&sum, &place->listeners[i]->stats);
        return sum;
}
