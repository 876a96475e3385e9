/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

/* A generator that was kept from its core sends at most this much late: its own delay is not the relay's burst. */
static const double LATE_MAX = 0.002; /* seconds */
static const double PAUSE = 50e-6;    /* between two looks at the clock */

typedef struct Offer {
        Clients clients;
        Trains trains;
        unsigned size, train;
        double rate, asks_rate; /* a second; rate < 0: what goes */
        uint64_t begin;
        double time, credit; /* seconds since the start; datagrams that are due */
        double next_ask;
        unsigned long sent, refused, asked;
        Samples samples;
} Offer;

/* One batch, or less if less is due. */
static void send_due(Offer *offer)
{
        static char payload[ROOM];
        unsigned n = BATCH, sent;

        if (offer->rate >= 0 && offer->credit < (double)n * offer->train)
                n = (unsigned)(offer->credit / offer->train);
        if (n == 0)
                return;
        if (offer->train > 1)
                sent = trains_send(&offer->trains, &offer->clients, offer->sent / offer->train, n);
        else
                sent = clients_send(&offer->clients, offer->sent, n, payload, offer->size);
        offer->sent += (unsigned long)sent * offer->train;
        offer->refused += (unsigned long)(n - sent) * offer->train;
        offer->credit -= (double)n * offer->train;
}

static void ask_due(Offer *offer)
{
        if (offer->asks_rate <= 0 || offer->time < offer->next_ask)
                return;
        clients_ask(&offer->clients, 0, offer->size);
        offer->asked++;
        offer->next_ask += 1 / offer->asks_rate;
        if (offer->next_ask < offer->time)
                offer->next_ask = offer->time;
}

static void take_answers(Offer *offer)
{
        Answer answers[BATCH];
        unsigned n;

        do {
                n = clients_answers(&offer->clients, 0, answers);
                for (unsigned i = 0; i < n; i++)
                        samples_add(&offer->samples, (double)(answers[i].at - offer->begin) / 1e9, answers[i].way);
        } while (n == BATCH);
}

static void pause_until_due(const Offer *offer)
{
        double wait = PAUSE;
        struct timespec t;

        if (offer->rate < 0 || (offer->rate > 0 && offer->credit >= (double)BATCH * offer->train))
                return;
        if (offer->rate == 0)
                wait = offer->asks_rate > 0 ? offer->next_ask - offer->time : 1e-3;
        if (wait <= 0)
                return;
        t = (struct timespec){0, (long)(wait * 1e9)};
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static void advance(Offer *offer)
{
        double time = (double)(now_ns() - offer->begin) / 1e9, most = offer->rate * LATE_MAX;

        if (most < offer->train)
                most = offer->train;
        offer->credit += (time - offer->time) * offer->rate;
        if (offer->rate > 0 && offer->credit > most + (double)BATCH * offer->train)
                offer->credit = most + (double)BATCH * offer->train;
        offer->time = time;
}

static void print(Offer *offer, double busy, double seconds)
{
        (void)printf("{\"begin\": %.6f, \"sent\": %lu, \"refused\": %lu, \"seconds\": %.6f, \"busy\": %.6f, \"work\": "
                     "%.6f, \"asked\": "
                     "%lu, ",
                     (double)offer->begin / 1e9, offer->sent, offer->refused, seconds, busy, own_work(), offer->asked);
        samples_print(&offer->samples);
        (void)printf("}\n");
}

static void arguments_read(Offer *offer, char **a)
{
        *offer = (Offer){.size = (unsigned)atoi(a[4]),
                         .train = (unsigned)atoi(a[5]),
                         .rate = atof(a[6]),
                         .asks_rate = atof(a[8])};
        if (offer->size == 0 || offer->train == 0 || (size_t)offer->size * offer->train > ROOM) {
                (void)fprintf(stderr, "a train has from 1 to %d bytes\n", ROOM);
                exit(2);
        }
        clients_open(&offer->clients, a[0], atoi(a[1]), (unsigned)atoi(a[2]), (unsigned)atoi(a[3]),
                     offer->train > 1 || atoi(a[3]) == 1);
        if (offer->train > 1)
                trains_init(&offer->trains, &offer->clients, offer->size, offer->train);
        samples_init(&offer->samples);
        if (offer->asks_rate > 0)
                set_option(offer->clients.fds[0], SOL_SOCKET, SO_TIMESTAMPNS, 1);
}

void load_offer(char **a)
{
        Offer offer;
        double until = atof(a[7]), idle, seconds, busy;

        arguments_read(&offer, a);
        idle = cpu_idle();
        offer.begin = now_ns();
        while (offer.time < until) {
                send_due(&offer);
                ask_due(&offer);
                if (offer.asks_rate > 0)
                        take_answers(&offer);
                pause_until_due(&offer);
                advance(&offer);
        }
        seconds = offer.time;
        busy = seconds * (double)sysconf(_SC_NPROCESSORS_ONLN) - (cpu_idle() - idle);
        if (offer.asks_rate > 0) {
                (void)usleep(100000); /* the last answers */
                take_answers(&offer);
        }
        samples_dump(&offer.samples, a[9]);
        print(&offer, busy, seconds);
}
