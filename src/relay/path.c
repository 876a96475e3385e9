/* SPDX-License-Identifier: MIT */
/*
 * The life of a datagram, both ways. Forward: receive, name it (Flow), find or open its Session, send the run, account.
 * Reply mirrors it: the leg knows its session, so there is nothing to name. Every datagram that was received is
 * accounted exactly once, with one Verdict; nothing here allocates (a new session may), logs, resolves or waits.
 */
#include "relay/path.h"

/* What one ready socket may bring in one turn: the next one shall not wait long. */
enum { FORWARD_BATCH = BATCH_MAX, REPLY_BATCH = 8 };

/* What was dropped before it could be sent: all of it, if it is a train. */
static void account_drop(Stats *stats, Direction direction, Verdict verdict, const Datagram *d)
{
        DirectionStats *s = &stats->directions[direction];

        counter_add(&s->received, d->n);
        counter_add(&s->verdicts[verdict], d->n);
}

/* A run that was sent: each datagram tells what became of it. */
static void account_run(Session *session, Direction direction, const Datagram *run, unsigned n)
{
        SessionTraffic *traffic = &session->traffic[direction];
        DirectionStats *s = &session->listener->stats.directions[direction];
        uint64_t n_received = 0, n_sent = 0, bytes_sent = 0;

        for (unsigned i = 0; i < n; i++) {
                const Datagram *d = &run[i];

                n_received += d->n;
                n_sent += d->n_sent;
                bytes_sent += d->bytes_sent;
                if (d->n_sent < d->n)
                        counter_add(&s->verdicts[verdict_of_error(d->error)], (uint64_t)(d->n - d->n_sent));
        }
        counter_add(&s->received, n_received);
        counter_add(&s->verdicts[VERDICT_FORWARDED], n_sent);
        counter_add(&s->bytes, bytes_sent);
        traffic->datagrams += n_sent;
        traffic->bytes += bytes_sent;
}

static bool fits(const Listener *listener, const Datagram *d)
{
        return !d->truncated && (d->segment ? d->segment : d->size) <= listener->policy->settings.max_datagram;
}

/* A train of datagrams that are too large may end with one that is not: what is too large is dropped, the rest stays.
 */
static void shed_oversize(Listener *listener, Direction direction, Datagram *d)
{
        uint32_t too_large = d->segment * (d->n - 1U);
        Datagram rest = *d;

        if (d->truncated || d->n == 1 || d->segment <= listener->policy->settings.max_datagram ||
            d->size - too_large > listener->policy->settings.max_datagram)
                return;
        d->n--;
        account_drop(&listener->stats, direction, VERDICT_OVERSIZE, d);
        rest.data += too_large;
        rest.size -= too_large;
        rest.segment = 0;
        rest.n = 1;
        *d = rest;
}

/* Two datagrams of one listener with equal names are of one flow. */
static bool same_flow(const Datagram *a, const Datagram *b)
{
        return a->source.s_addr == b->source.s_addr && a->source_port == b->source_port &&
               a->local.s_addr == b->local.s_addr;
}

static Verdict find_or_open(Relay *relay, Listener *listener, const Datagram *d, usec_t now, Session **ret)
{
        Flow flow = {.client = d->source,
                     .local = d->local,
                     .client_port = d->source_port,
                     .listener = listener->index};

        *ret = table_find(&relay->table, &flow);
        if (*ret)
                return VERDICT_FORWARDED;
        if (address_source_refusal(d->source, d->source_port))
                return VERDICT_BAD_SOURCE;
        return session_open(relay, listener, &flow, now, ret);
}

/* How many datagrams from the first on leave together: neighbours of one flow that may leave at all. */
static unsigned run_length(const Listener *listener, const Datagram *first, unsigned n)
{
        unsigned length = 1;

        while (length < n && fits(listener, &first[length]) && same_flow(first, &first[length]))
                length++;
        return length;
}

int path_forward(Watch *listener_watch, void *userdata, usec_t now)
{
        Listener *listener = container_of(listener_watch, Listener, watch);
        Relay *relay = userdata;
        Upstream *upstream = &listener->policy->upstream;
        Batch *batch = relay->batch;
        unsigned n_run;
        int r;

        r = listener->kind->receive(listener, batch, FORWARD_BATCH);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < batch->n; i += n_run) {
                Datagram *run = &batch->items[i];
                Session *session = NULL;
                uint64_t n_icmp = 0;
                Verdict verdict;

                n_run = 1;
                shed_oversize(listener, FORWARD, run);
                verdict = fits(listener, run) ? find_or_open(relay, listener, run, now, &session) : VERDICT_OVERSIZE;
                if (verdict != VERDICT_FORWARDED) {
                        account_drop(&listener->stats, FORWARD, verdict, run);
                        continue;
                }
                n_run = run_length(listener, run, batch->n - i);
                r = upstream->kind->forward(upstream, &session->leg, run, n_run, &n_icmp);
                if (r < 0)
                        return r;
                counter_add(&listener->stats.icmp_errors, n_icmp);
                account_run(session, FORWARD, run, n_run);
                session_touch_forward(session, now);
        }
        return 0;
}

int path_reply(Watch *leg_watch, void *userdata, usec_t now)
{
        Session *session = container_of(leg_watch, Session, leg.watch);
        Relay *relay = userdata;
        Listener *listener = session->listener;
        Upstream *upstream = &listener->policy->upstream;
        Batch *batch = relay->batch;
        uint64_t n_icmp = 0;
        unsigned n_run;
        int r;

        r = upstream->kind->receive(upstream, &session->leg, batch, REPLY_BATCH, &n_icmp);
        if (r < 0)
                return r;
        counter_add(&listener->stats.icmp_errors, n_icmp);
        for (unsigned i = 0; i < batch->n; i += n_run) {
                Datagram *run = &batch->items[i];

                n_run = 1;
                shed_oversize(listener, REPLY, run);
                if (!fits(listener, run)) {
                        account_drop(&listener->stats, REPLY, VERDICT_OVERSIZE, run);
                        continue;
                }
                while (i + n_run < batch->n && fits(listener, &run[n_run]))
                        n_run++;
                r = listener->kind->reply(listener, &session->flow, run, n_run,
                                          listener->policy->settings.trains ? &session->reply_trains : NULL);
                if (r < 0)
                        return r;
                account_run(session, REPLY, run, n_run);
        }
        if (batch->n > 0)
                session_touch_reply(session, now);
        return 0;
}
