/* SPDX-License-Identifier: MIT */
/* Believes: whoever looks can wait, and datagrams cannot: a slice is a few microseconds of the worker's time. */
#include "relay/listing.h"
#include "relay/relay.h"
#include "wire/udp.h"

enum { BUCKETS_MAX = 4096 }; /* looked at for one slice: most may be empty */

static void row_fill(const Relay *relay, ListingRow *row, const Session *session)
{
        const Listener *listener = session->listener;

        *row = (ListingRow){
                        .id = session->record.id,
                        .client = {.family = AF_INET,
                                   .v4 = session->record.flow.client,
                                   .port = session->record.flow.client_port},
                        .listener = listener->bound,
                        .policy = relay_policy_index(relay, listener->policy),
                        .age = session->record.age,
                        .opened = session->record.opened,
                        .traffic = {session->record.traffic[FORWARD], session->record.traffic[REPLY]},
        };
        if (udp_local(session->leg.fd, &row->source) < 0)
                row->source = session->record.source;
        if (udp_peer(session->leg.fd, &row->upstream) < 0)
                row->upstream = upstream_peer(&listener->policy->upstream, &session->leg);
}

static size_t chain_length(const Table *table, size_t bucket)
{
        size_t n = 0;

        for (const Session *session = table_first(table, bucket); session; session = table_next(table, session))
                n++;
        return n;
}

/*
 * Lists a bucket's sessions, all in one slice: what comes and goes between two slices would shift a chain that is cut.
 * Only one that is longer than a slice is cut, and goes on with the skip-th. false: there is no room for all of them.
 */
static bool bucket_list(const Relay *relay, Listing *listing)
{
        size_t i = 0;

        if (listing->n > 0 && chain_length(&relay->table, listing->bucket) > LISTING_ROWS_MAX - listing->n)
                return false;

        for (const Session *session = table_first(&relay->table, listing->bucket); session;
             session = table_next(&relay->table, session)) {
                if (i++ < listing->skip)
                        continue;
                if (listing->n == LISTING_ROWS_MAX)
                        return false;
                row_fill(relay, &listing->rows[listing->n++], session);
                listing->skip++;
        }
        return true;
}

void relay_list(const Relay *relay, Listing *listing)
{
        size_t end = listing->bucket + BUCKETS_MAX;

        listing->n = 0;
        while (listing->bucket < relay->table.n_buckets && listing->bucket < end) {
                if (!bucket_list(relay, listing))
                        return;
                listing->bucket++;
                listing->skip = 0;
        }
        listing->complete = listing->bucket >= relay->table.n_buckets;
}
