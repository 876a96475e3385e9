/* SPDX-License-Identifier: MIT */
/*
 * The life of a datagram, both ways. Forward: receive, name it (Flow), find or open its Session, send the run, account.
 * Reply mirrors it: the leg knows its session, so there is nothing to name. Every datagram that was received is
 * accounted exactly once, with one Verdict; nothing here allocates (a new session may), logs, resolves or waits.
 */
#include <errno.h>

#include "relay/account.h"
#include "relay/admission.h"
#include "relay/amplification.h"
#include "relay/beside.h"
#include "relay/path.h"
#include "relay/waiting.h"

/*
 * How much a read asks for. A slot asked for in vain costs the kernel a search, so an idle socket is asked for one
 * datagram; beyond 32 a larger batch gains nothing. A train is the work of dozens: of those 8 are enough, and the next
 * socket does not wait long.
 */
enum { READ_ONE = 1, READ_SOME = 8, READ_MANY = BATCH_MAX, TRAINS_BYTES = 64 * 1024 };

/* Neighbours of one flow, which leave together. */
typedef struct Run {
        Datagram *first;
        unsigned n;
        Flow flow;
        uint64_t hash;
} Run;

static bool fits(const Listener *listener, const Datagram *d)
{
        return !d->truncated && (d->segment ? d->segment : d->size) <= listener->policy->settings.max_datagram;
}

/* Who may not come is told nothing else, and so is the journal. */
static Verdict oversize_verdict(const Listener *listener, Direction direction, const Datagram *d)
{
        return direction == REPLY || filter_allows(listener->policy->filter, d->source) ? VERDICT_OVERSIZE
                                                                                        : VERDICT_NOT_ALLOWED;
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
        account_drop(&listener->stats, direction, oversize_verdict(listener, direction, d), d);
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

/* How many datagrams from the first on leave together: neighbours of one flow that may leave at all. */
static unsigned run_length(const Listener *listener, const Datagram *first, unsigned n)
{
        unsigned length = 1;

        while (length < n && fits(listener, &first[length]) && same_flow(first, &first[length]))
                length++;
        return length;
}

/* Splits a batch into runs, and has the memory fetched in which their sessions will be found. How many there are. */
static unsigned name_runs(const Relay *relay, Listener *listener, Batch *batch, Run runs[static BATCH_MAX])
{
        unsigned n_runs = 0, length;

        for (unsigned i = 0; i < batch->n; i += length) {
                Datagram *first = &batch->items[i];

                length = 1;
                shed_oversize(listener, FORWARD, first);
                if (!fits(listener, first)) {
                        account_drop(&listener->stats, FORWARD, oversize_verdict(listener, FORWARD, first), first);
                        continue;
                }
                length = run_length(listener, first, batch->n - i);
                runs[n_runs] = (Run){.first = first,
                                     .n = length,
                                     .flow = {.client = first->source,
                                              .local = first->local,
                                              .client_port = first->source_port,
                                              .listener = listener->index}};
                runs[n_runs].hash = table_hash(&relay->table, &runs[n_runs].flow);
                n_runs++;
        }
        for (unsigned i = 0; i < n_runs; i++)
                table_expect(&relay->table, runs[i].hash);
        return n_runs;
}

static Verdict find_or_open(Relay *relay, Listener *listener, const Run *run, usec_t now, Session **ret)
{
        Verdict verdict;

        *ret = table_find(&relay->table, &run->flow, run->hash);
        if (*ret)
                return admission_holds(relay, *ret, now) ? VERDICT_FORWARDED : VERDICT_NOT_ALLOWED;
        verdict = admission_ask(relay, listener, &run->flow, run->first, now);
        return verdict == VERDICT_FORWARDED ? session_open(relay, listener, &run->flow, now, ret) : verdict;
}

/* Who comes while others of the session wait waits behind them. */
static void stand_in_line(Datagram *run, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                run[i].n_sent = 0;
                run[i].error = EAGAIN;
        }
}

/* What was dropped here for a reason of ours, or waits, has asked the upstream nothing. */
static bool was_asked(const Datagram *d)
{
        return d->n_sent > 0 || verdict_is_of_the_way(verdict_of_error(d->error));
}

/* Sends a run on its session's leg. What meets a full buffer may wait for room; the rest has its verdict now. */
static int forward_run(Relay *relay, Session *session, const Run *run, usec_t now)
{
        Policy *policy = session->listener->policy;
        unsigned n_done = run->n;
        int r;

        if (session->n_waiting > 0 && (r = waiting_resume(relay, session, now)) < 0)
                return r;
        if (session->n_waiting > 0)
                stand_in_line(run->first, run->n);
        else if ((r = session_forward(relay, session, run->first, run->n, now)) < 0)
                return r;
        if (run->first[run->n - 1].error == EAGAIN && policy->settings.write_timeout > 0)
                n_done = waiting_seat(relay, session, run->first, run->n,
                                      usec_add(now, policy->settings.write_timeout));
        account_sent(session, FORWARD, run->first, n_done);
        session_touch_forward(session, was_asked(run->first), now);
        return 0;
}

/* Little from a listener that is idle, more as long as reads come back full. */
static unsigned next_read(unsigned asked, const Batch *batch)
{
        uint32_t bytes = 0;

        if (batch->n < asked)
                return batch->n > READ_SOME ? READ_MANY : batch->n > READ_ONE ? READ_SOME : READ_ONE;
        for (unsigned i = 0; i < batch->n; i++)
                bytes += batch->items[i].size;
        return asked == READ_ONE || bytes > TRAINS_BYTES ? READ_SOME : READ_MANY;
}

int path_forward(Watch *listener_watch, void *userdata, usec_t now)
{
        Listener *listener = container_of(listener_watch, Listener, watch);
        Relay *relay = userdata;
        Batch *batch = relay->batch;
        unsigned asked = listener->next_read, n_runs;
        Run runs[BATCH_MAX];
        int r;

        r = listener->kind->receive(listener, batch, asked);
        if (r < 0)
                return r;
        listener->next_read = (uint8_t)next_read(asked, batch);
        listener->busy = batch->n == asked && asked > READ_ONE;
        n_runs = name_runs(relay, listener, batch, runs);
        for (unsigned i = 0; i < n_runs; i++) {
                const Run *run = &runs[i];
                Session *session = NULL;
                Verdict verdict = find_or_open(relay, listener, run, now, &session);

                if (verdict == VERDICT_FORWARDED) {
                        r = forward_run(relay, session, run, now);
                        if (r < 0)
                                return r;
                } else
                        for (unsigned k = 0; k < run->n; k++)
                                account_drop(&listener->stats, FORWARD, verdict, &run->first[k]);
        }
        return 0;
}

/* Sends a batch of replies to its session's client. */
static int reply_batch(Session *session, Batch *batch)
{
        Listener *listener = session->listener;
        Trains *trains = listener->policy->settings.trains ? &session->reply_trains : NULL;
        unsigned n = amplification_shed(session, batch), n_run;
        int r;

        for (unsigned i = 0; i < n; i += n_run) {
                Datagram *run = &batch->items[i];

                n_run = 1;
                shed_oversize(listener, REPLY, run);
                if (!fits(listener, run)) {
                        account_drop(&listener->stats, REPLY, VERDICT_OVERSIZE, run);
                        continue;
                }
                while (i + n_run < n && fits(listener, &run[n_run]))
                        n_run++;
                r = listener->kind->reply(listener, &session->record.flow, run, n_run, trains);
                if (r < 0)
                        return r;
                account_sent(session, REPLY, run, n_run);
        }
        return 0;
}

/*
 * A leg, or the socket beside it, is asked for one datagram, and only when there is one for more: most have no second.
 */
static int take_replies(Relay *relay, Session *session, Beside *beside, usec_t now)
{
        Upstream *upstream = &session->listener->policy->upstream;
        Batch *batch = relay->batch;
        Icmp icmp = {0};
        unsigned asked = 0;
        bool answered = true;
        int r;

        do {
                asked = asked == 0 ? READ_ONE : READ_SOME;
                r = beside ? beside_receive(beside, batch, asked, &icmp, &answered)
                           : upstream->kind->receive(upstream, &session->leg, batch, asked, &icmp);
                if (r < 0)
                        return r;
                r = reply_batch(session, batch);
                if (r < 0)
                        return r;
                if (batch->n > 0)
                        session_touch_reply(session, answered, now);
        } while (batch->n == asked && asked == READ_ONE);
        session_note_icmp(session, &icmp);
        return 0;
}

int path_reply(Watch *leg_watch, void *userdata, usec_t now)
{
        Session *session = container_of(leg_watch, Session, leg.watch);
        int r;

        if (!admission_holds(userdata, session, now))
                return 0;
        if (session->n_waiting > 0 && (r = waiting_resume(userdata, session, now)) < 0)
                return r;
        return take_replies(userdata, session, NULL, now);
}

int path_reply_beside(Watch *beside_watch, void *userdata, usec_t now)
{
        Beside *beside = container_of(beside_watch, Beside, watch);

        if (!admission_holds(userdata, beside->session, now))
                return 0;
        if (beside->n_replies != beside->session->listener->policy->upstream.n_replies)
                beside_follow(userdata, beside->session, now); /* others may answer now, and these perhaps not */
        return take_replies(userdata, beside->session, beside, now);
}
