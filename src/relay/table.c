/* SPDX-License-Identifier: MIT */
/* Believes: eight bytes a bucket are cheaper than growing under load. Refuses: nothing; limits are the caller's. */
#include <string.h>

#include "base/cleanup.h"
#include "relay/table.h"

int table_init(Table *table, size_t n_sessions)
{
        int r;

        *table = (Table){.n_buckets = 1};
        while (table->n_buckets < n_sessions)
                table->n_buckets *= 2;
        r = hash_key_init(&table->key);
        if (r < 0)
                return r;
        table->buckets = calloc(table->n_buckets, sizeof(Session *));
        return table->buckets ? 0 : -ENOMEM;
}

void table_done(Table *table)
{
        free(table->buckets);
        table->buckets = NULL;
}

static Session **table_bucket(const Table *table, uint64_t hash)
{
        return &table->buckets[hash & (table->n_buckets - 1)];
}

uint64_t table_hash(const Table *table, const Flow *flow)
{
        uint64_t hash = hash_bytes(&table->key, flow, sizeof(*flow));

        __builtin_prefetch(table_bucket(table, hash));
        return hash;
}

void table_expect(const Table *table, uint64_t hash)
{
        __builtin_prefetch(*table_bucket(table, hash), 1);
}

Session *table_find(const Table *table, const Flow *flow, uint64_t hash)
{
        Session *session = *table_bucket(table, hash);

        while (session && memcmp(&session->flow, flow, sizeof(*flow)) != 0)
                session = session->next;
        return session;
}

void table_grow(Table *table, size_t n_sessions)
{
        Table grown = {.key = table->key, .n_buckets = table->n_buckets};

        while (grown.n_buckets < n_sessions)
                grown.n_buckets *= 2;
        if (grown.n_buckets == table->n_buckets)
                return;
        grown.buckets = calloc(grown.n_buckets, sizeof(Session *));
        if (!grown.buckets)
                return;
        for (size_t i = 0; i < table->n_buckets; i++)
                for (Session *session = table->buckets[i], *next; session; session = next) {
                        next = session->next;
                        table_insert(&grown, session);
                }
        table_done(table);
        *table = grown;
}

void table_insert(Table *table, Session *session)
{
        Session **bucket = table_bucket(table, table_hash(table, &session->flow));

        session->next = *bucket;
        *bucket = session;
}

void table_remove(Table *table, Session *session)
{
        Session **link = table_bucket(table, table_hash(table, &session->flow));

        while (*link != session)
                link = &(*link)->next;
        *link = session->next;
        session->next = NULL;
}
