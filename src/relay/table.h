/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The sessions of one relay, found by their flow: a keyed hash, chained, with at least one bucket for each session of
 * the limit. It grows when a limit is raised, never because a datagram came.
 */
#include "base/hash.h"
#include "base/slots.h"
#include "relay/session.h"

typedef struct Table {
        HashKey key;
        const Slots *slots; /* where the sessions live; borrowed */
        size_t n_buckets;   /* a power of two */
        uint32_t *buckets;  /* the slot's index + 1 of the first session; 0: there is none */
} Table;

int table_init(Table *table, const Slots *slots, size_t n_sessions);
void table_done(Table *table);

/* Makes room for more; without memory for it the table stays as it is, with longer chains. */
void table_grow(Table *table, size_t n_sessions);

/*
 * Finding in three steps, so that a batch is looked up together: while the memory of one answer is on its way, the next
 * question is asked. table_hash() names the bucket, table_expect() has its first session fetched; both are optional but
 * the first, and change nothing.
 */
uint64_t table_hash(const Table *table, const Flow *flow);
void table_expect(const Table *table, uint64_t hash);
Session *table_find(const Table *table, const Flow *flow, uint64_t hash);

/* For whoever walks all of them: the first session of a bucket, and what comes after one; NULL: that was all. */
Session *table_first(const Table *table, size_t bucket);
Session *table_next(const Table *table, const Session *session);

void table_insert(Table *table, Session *session);
void table_remove(Table *table, Session *session);
