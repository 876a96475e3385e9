/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The sessions of one relay, found by their flow: a keyed hash, chained, with at least one bucket for each session of
 * the limit. It grows when a limit is raised, never because a datagram came.
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

/* Makes room for more; without memory for it the table stays as it is, with longer chains. */
void table_grow(Table *table, size_t n_sessions);

Session *table_find(const Table *table, const Flow *flow);
void table_insert(Table *table, Session *session);
void table_remove(Table *table, Session *session);
