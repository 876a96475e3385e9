/* SPDX-License-Identifier: MIT */
/*
 * Believes: at the start all counters were 0, except those of the kernel: a socket of systemd's is older than we are.
 */
#include "http/history.h"

#define SHORTEST USEC_PER_SEC      /* over less than this a rate is noise */
#define LATELY (10 * USEC_PER_SEC) /* what counts as now */

static ViewSample sample_now(const View *view)
{
        ViewSample sample = {.at = view->now};

        for (size_t i = 0; i < view->n_places; i++) {
                const ViewPlace *place = &view->places[i];

                for (Direction d = 0; d < N_DIRECTIONS; d++) {
                        for (Verdict v = 0; v < N_VERDICTS; v++)
                                sample.verdicts[d][v] += counter_get(&place->stats.directions[d].verdicts[v]);
                        sample.bytes[d] += counter_get(&place->stats.directions[d].bytes);
                }
                sample.kernel_drops += place->kernel_drops;
                sample.icmp_errors += counter_get(&place->stats.icmp_errors);
        }
        return sample;
}

void history_init(History *history, const View *view)
{
        const ViewSample now = sample_now(view);
        size_t n = 0;

        if (view->n_samples < VIEW_SAMPLES_MAX)
                history->points[n++] = (ViewSample){.at = view->started,
                                                    .kernel_drops = view->n_samples > 0 ? view->samples[0].kernel_drops
                                                                                        : now.kernel_drops};
        for (size_t i = 0; i < view->n_samples; i++)
                history->points[n++] = view->samples[i];
        if (n > 1 && usec_sub(now.at, history->points[n - 1].at) < SHORTEST)
                n--;
        history->points[n++] = now;
        history->n = n;
}

usec_t history_span(const History *history)
{
        usec_t span = usec_sub(history->points[history->n - 1].at, history->points[0].at);

        if (span >= 3 * USEC_PER_MINUTE) /* a round number, in which the seconds are noise */
                return (span + USEC_PER_MINUTE / 2) / USEC_PER_MINUTE * USEC_PER_MINUTE;
        return span > USEC_PER_SEC ? span : USEC_PER_SEC;
}

static void growth_add(Growth *growth, const ViewSample *from, const ViewSample *to, uint64_t before, uint64_t after)
{
        if (after <= before)
                return;
        growth->n += after - before;
        if (growth->first == 0)
                growth->first = from->at;
        growth->last = to->at;
}

Growth history_drops(const History *history, Direction direction, Verdict verdict)
{
        Growth growth = {0};

        for (size_t i = 1; i < history->n; i++) {
                const ViewSample *from = &history->points[i - 1], *to = &history->points[i];

                growth_add(&growth, from, to, from->verdicts[direction][verdict], to->verdicts[direction][verdict]);
        }
        return growth;
}

Growth history_kernel_drops(const History *history)
{
        Growth growth = {0};

        for (size_t i = 1; i < history->n; i++) {
                const ViewSample *from = &history->points[i - 1], *to = &history->points[i];

                growth_add(&growth, from, to, from->kernel_drops, to->kernel_drops);
        }
        return growth;
}

static double rate_between(const ViewSample *from, const ViewSample *to, Direction direction)
{
        usec_t passed = usec_sub(to->at, from->at);

        return passed > 0 ? (double)(to->bytes[direction] - from->bytes[direction]) * 8e6 / (double)passed : 0;
}

double history_rate(const History *history, Direction direction, size_t i)
{
        return rate_between(&history->points[i - 1], &history->points[i], direction);
}

const ViewSample *history_before(const History *history, usec_t span)
{
        const ViewSample *now = &history->points[history->n - 1];
        size_t i = history->n - 2;

        while (i > 0 && usec_sub(now->at, history->points[i].at) < span)
                i--;
        return &history->points[i];
}

double history_rate_now(const History *history, Direction direction)
{
        return rate_between(history_before(history, LATELY), &history->points[history->n - 1], direction);
}

uint64_t history_dropped(const History *history, Direction direction, size_t i)
{
        uint64_t n = 0;

        for (Verdict v = VERDICT_FORWARDED + 1; v < N_VERDICTS; v++)
                n += history->points[i].verdicts[direction][v] - history->points[i - 1].verdicts[direction][v];
        return n;
}
