/* SPDX-License-Identifier: MIT */
/* Believes: four bytes a bucket are cheaper than growing under load. Refuses: nothing; limits are the caller's. */
#include <string.h>

#include "base/cleanup.h"
#include "relay/table.h"

int table_init(Table *table, const Slots *slots, size_t n_sessions)
{
        int r;

        *table = (Table){.slots = slots, .n_buckets = 1};
        while (table->n_buckets < n_sessions)
                table->n_buckets *= 2;
        r = hash_key_init(&table->key);
        if (r < 0)
                return r;
        table->buckets = calloc(table->n_buckets, sizeof(uint32_t));
        return table->buckets ? 0 : -ENOMEM;
}

void table_done(Table *table)
{
        free(table->buckets);
        table->buckets = NULL;
}

static Session *session_at(const Table *table, uint32_t link)
{
        return link ? slots_at(table->slots, link - 1) : NULL;
}

static uint32_t *table_bucket(const Table *table, uint64_t hash)
{
        return &table->buckets[hash & (table->n_buckets - 1)];
}

Session *table_first(const Table *table, size_t bucket)
{
        return session_at(table, table->buckets[bucket]);
}

Session *table_next(const Table *table, const Session *session)
{
        return session_at(table, session->next);
}

uint64_t table_hash(const Table *table, const Flow *flow)
{
        uint64_t hash = hash_bytes(&table->key, flow, sizeof(*flow));

        __builtin_prefetch(table_bucket(table, hash));
        return hash;
}

void table_expect(const Table *table, uint64_t hash)
{
        __builtin_prefetch(session_at(table, *table_bucket(table, hash)), 1);
}

Session *table_find(const Table *table, const Flow *flow, uint64_t hash)
{
        Session *session = session_at(table, *table_bucket(table, hash));

        while (session && memcmp(&session->record.flow, flow, sizeof(*flow)) != 0)
                session = table_next(table, session);
        return session;
}

void table_grow(Table *table, size_t n_sessions)
{
        Table grown = {.key = table->key, .slots = table->slots, .n_buckets = table->n_buckets};

        while (grown.n_buckets < n_sessions)
                grown.n_buckets *= 2;
        if (grown.n_buckets == table->n_buckets)
                return;
        grown.buckets = calloc(grown.n_buckets, sizeof(uint32_t));
        if (!grown.buckets)
                return;
        for (size_t i = 0; i < table->n_buckets; i++)
                for (Session *session = table_first(table, i), *next; session; session = next) {
                        next = table_next(table, session);
                        table_insert(&grown, session);
                }
        table_done(table);
        *table = grown;
}

void table_insert(Table *table, Session *session)
{
        uint32_t *bucket = table_bucket(table, table_hash(table, &session->record.flow));

        session->next = *bucket;
        *bucket = slots_index(table->slots, session) + 1;
}

void table_remove(Table *table, Session *session)
{
        uint32_t *link = table_bucket(table, table_hash(table, &session->record.flow));
        const uint32_t own = slots_index(table->slots, session) + 1;

        while (*link != own)
                link = &((Session *)slots_at(table->slots, *link - 1))->next;
        *link = session->next;
        session->next = 0;
}
