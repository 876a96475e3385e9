/* SPDX-License-Identifier: MIT */
/* Believes: what a victim pays for are packets, so that headers count, and empty datagrams are not free. */
#include "relay/amplification.h"
#include "relay/account.h"

enum { HEADERS = 20 + 8 }; /* IPv4, UDP */

static uint64_t on_wire(uint64_t n, uint64_t bytes)
{
        return bytes + n * HEADERS;
}

/* What may still go to the client: bytes on his wire. */
static uint64_t budget_of(const Session *session)
{
        const SessionTraffic *asked = &session->record.traffic[FORWARD], *replied = &session->record.traffic[REPLY];
        const uint64_t most = session->listener->policy->settings.amplification *
                              on_wire(asked->datagrams, asked->bytes);
        const uint64_t sent = on_wire(replied->datagrams, replied->bytes);

        return most > sent ? most - sent : 0;
}

/* How many datagrams of it; the last of a train may be shorter than the others. */
static uint16_t that_fit(const Datagram *d, uint64_t budget)
{
        const uint64_t n = budget / on_wire(1, d->segment ? d->segment : d->size);

        if (on_wire(d->n, d->size) <= budget)
                return d->n;
        return (uint16_t)(n < d->n ? n : d->n - 1U);
}

/* All from the i-th on, but for the first n datagrams of that. */
static void drop_from(const Session *session, Batch *batch, unsigned i, uint16_t n)
{
        Datagram *first = &batch->items[i], rest = *first;

        rest.n = (uint16_t)(first->n - n);
        account_drop(&session->listener->stats, REPLY, VERDICT_AMPLIFICATION, &rest);
        first->n = n;
        first->size = (uint32_t)n * first->segment;
        if (n == 1)
                first->segment = 0;
        for (i++; i < batch->n; i++)
                account_drop(&session->listener->stats, REPLY, VERDICT_AMPLIFICATION, &batch->items[i]);
}

unsigned amplification_shed(Session *session, Batch *batch)
{
        uint64_t budget;

        if (session->record.proven || session->listener->policy->settings.amplification == 0)
                return batch->n;
        budget = budget_of(session);
        for (unsigned i = 0; i < batch->n; i++) {
                uint16_t n = that_fit(&batch->items[i], budget);

                if (n < batch->items[i].n) {
                        drop_from(session, batch, i, n);
                        return i + (n > 0);
                }
                budget -= on_wire(n, batch->items[i].size);
        }
        return batch->n;
}
