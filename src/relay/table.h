/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The sessions of one relay, found by their flow: a keyed hash, chained, with a number of buckets that is fixed at
 * birth (at least one for each session of the limit), so that no datagram ever waits for a table to grow.
 */
#include "base/hash.h"
#include "relay/session.h"

typedef struct Table {
        HashKey key;
        size_t n_buckets; /* a power of two */
        Session **buckets;
} Table;

int table_init(Table *table, size_t n_sessions);
void table_done(Table *table);

Session *table_find(const Table *table, const Flow *flow);
void table_insert(Table *table, Session *session);
void table_remove(Table *table, Session *session);
