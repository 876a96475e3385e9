/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The sessions of a relay, a bounded slice at a time, as copies that another thread may read. Walks the table's
 * buckets: a session that lives through the whole walk is met once (twice or not at all only if a limit is raised
 * meanwhile, because the table grows then, or if more than LISTING_ROWS_MAX sessions share a bucket); others may be.
 */
#include "relay/session.h"

enum { LISTING_ROWS_MAX = 16 };

typedef struct ListingRow {
        uint64_t id;
        Address client, upstream; /* the upstream: whom the leg is connected to */
        Address source;           /* the leg's own */
        Address listener;
        uint16_t policy; /* index in the relay */
        uint8_t age;     /* a SessionAge */
        usec_t opened;
        SessionTraffic traffic[N_DIRECTIONS];
} ListingRow;

typedef struct Listing {
        size_t bucket; /* where to go on; begins with 0 */
        size_t skip;   /* sessions of that bucket that were listed already; more than a slice takes share it */
        bool complete; /* there are no more */
        unsigned n;
        ListingRow rows[LISTING_ROWS_MAX];
} Listing;

/* Fills the next slice. */
void relay_list(const Relay *relay, Listing *listing);
