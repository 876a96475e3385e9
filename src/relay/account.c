/* SPDX-License-Identifier: MIT */
/* Believes: one addition for a run is cheaper than one for each datagram, and the sum is the same. */
#include "relay/account.h"

void account_drop(Stats *stats, Direction direction, Verdict verdict, const Datagram *d)
{
        DirectionStats *s = &stats->directions[direction];

        counter_add(&s->received, d->n);
        counter_add(&s->verdicts[verdict], d->n);
}

void account_sent(Session *session, Direction direction, const Datagram *run, unsigned n)
{
        SessionTraffic *traffic = &session->record.traffic[direction];
        DirectionStats *s = &session->listener->stats.directions[direction];
        uint64_t n_received = 0, n_sent = 0, bytes_sent = 0;

        for (unsigned i = 0; i < n; i++) {
                const Datagram *d = &run[i];

                n_received += d->n;
                n_sent += d->n_sent;
                bytes_sent += d->bytes_sent;
                if (d->n > 1) {
                        counter_add(&s->trains, 1);
                        counter_add(&s->trains_in_pieces, d->in_pieces);
                }
                if (d->n_sent < d->n)
                        counter_add(&s->verdicts[verdict_of_error(d->error)], (uint64_t)(d->n - d->n_sent));
        }
        counter_add(&s->received, n_received);
        counter_add(&s->verdicts[VERDICT_FORWARDED], n_sent);
        counter_add(&s->bytes, bytes_sent);
        traffic->datagrams += n_sent;
        traffic->bytes += bytes_sent;
}
