/* SPDX-License-Identifier: MIT */
/*
 * Believes: a loop opens a session in each round, so that one datagram is enough to open dozens, none of which is ever
 * answered; a loop that opens fewer does no harm. Refuses: to send anything of our own to an upstream that answers all
 * its clients; to ask one that does not more than a few small datagrams in some seconds, whatever strangers do; to take
 * silence for an answer after one question, for the way may be full; to believe a question that comes in, which others
 * may have seen on its way, more than an upstream that answers meanwhile.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "daemon/loops.h"
#include "wire/udp.h"

#define ASK_AGAIN (10 * USEC_PER_SEC)      /* an upstream that did not lead back */
#define ASK_REFUSED (30 * USEC_PER_SEC)    /* one that did */
enum { SUSPICIOUS = 32, TIMES_ASKED = 3 }; /* sessions opened in a second; one question a second */

typedef struct LoopsEntry {
        bool suspected;
        uint16_t port;   /* of the listener at which so many came in */
        usec_t asked;    /* 0: never */
        Address refused; /* family 0: it does not lead back, as far as we know */
} LoopsEntry;

/* What a place was like at the last look. */
typedef struct LoopsPlace {
        uint64_t n_opened;
        bool many; /* were opened in the second before it */
} LoopsPlace;

struct Loops {
        Workers *workers;
        Upstreams *upstreams;
        unsigned n, next; /* entries; the one to be looked at first */
        LoopsPlace *places;
        char (*devices)[UPSTREAM_DEVICE_MAX];

        /* The question that is under way. */
        int fd; /* -EBADF: none */
        unsigned asked, n_asked;
        Address address;
        uint64_t answered; /* by it, before the question */
        WorkerOrder expect;
        LoopsEntry entries[];
};

int loops_new(Loops **ret, Workers *workers, Upstreams *upstreams)
{
        _cleanup_(cleanup_loops_free) Loops *loops = NULL;
        unsigned n_names = workers_n_names(workers), n = n_names * UPSTREAM_TARGETS_MAX;

        loops = calloc(1, sizeof(Loops) + n * sizeof(LoopsEntry));
        if (!loops)
                return -ENOMEM;
        loops->workers = workers;
        loops->upstreams = upstreams;
        loops->n = n;
        loops->fd = -EBADF;
        loops->expect.kind = WORKER_EXPECT_ECHO;
        loops->places = calloc(workers_n_places(workers), sizeof(*loops->places));
        loops->devices = calloc(n_names, sizeof(*loops->devices));
        if (!loops->places || !loops->devices)
                return -ENOMEM;
        *ret = TAKE_PTR(loops);
        return 0;
}

Loops *loops_free(Loops *loops)
{
        if (!loops)
                return NULL;
        (void)safe_close(loops->fd);
        free(loops->places);
        free(loops->devices);
        free(loops);
        return NULL;
}

void loops_set_device(Loops *loops, unsigned name, const char *device)
{
        (void)snprintf(loops->devices[name], sizeof(loops->devices[name]), "%s", device);
}

bool loops_know(const Loops *loops, unsigned upstream, const Address *address)
{
        return address_equal(&loops->entries[upstream].refused, address);
}

/* --- whom to ask --- */

/* Only those that have sessions can lead them back. */
static void suspect(Loops *loops, unsigned name, uint16_t port)
{
        for (uint8_t i = 0; i < (uint8_t)UPSTREAM_TARGETS_MAX; i++) {
                LoopsEntry *entry = &loops->entries[name * UPSTREAM_TARGETS_MAX + i];

                if (workers_sessions_at(loops->workers, name, i) == 0)
                        continue;
                entry->suspected = true;
                entry->port = port;
        }
}

static uint64_t sessions_opened(const Place *place)
{
        const Stats stats = place_stats(place);

        return counter_get(&stats.sessions_created);
}

/* Who was opened in the last second may just not be answered yet; those of the second before are a sign. */
static void look_at_place(Loops *loops, LoopsPlace *last, const Place *place)
{
        const uint64_t opened = sessions_opened(place);

        if (last->many && workers_of_name(loops->workers, place->name).by_age[SESSION_UNREPLIED] >= SUSPICIOUS)
                suspect(loops, place->name, place->bound.port);
        last->many = opened - last->n_opened >= SUSPICIOUS;
        last->n_opened = opened;
}

static bool is_due(const LoopsEntry *entry, usec_t now)
{
        if (entry->refused.family != 0)
                return usec_sub(now, entry->asked) >= ASK_REFUSED;
        return entry->suspected && (entry->asked == 0 || usec_sub(now, entry->asked) >= ASK_AGAIN);
}

/* --- asking --- */

static uint64_t answered_by(const Loops *loops, unsigned i)
{
        return workers_of_target(loops->workers, i / UPSTREAM_TARGETS_MAX, (uint8_t)(i % UPSTREAM_TARGETS_MAX))
                        .answered;
}

static void ask(Loops *loops)
{
        loops->n_asked++;
        (void)send(loops->fd, loops->expect.echo, ECHO_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void begin(Loops *loops, unsigned i, usec_t now)
{
        const UpstreamState *state = upstreams_get(loops->upstreams, i);
        LoopsEntry *entry = &loops->entries[i];
        Address peer, own;

        entry->suspected = false;
        entry->asked = now;
        if (!state->loops) /* it is somewhere else by now */
                entry->refused = (Address){0};
        loops->address = state->loops ? entry->refused : state->address;
        if (loops->address.family == 0)
                return;
        peer = loops->address;
        if (peer.port == 0)
                peer.port = entry->port;
        loops->fd = udp_connect(loops->devices[i / UPSTREAM_TARGETS_MAX], NULL, &peer, &own);
        if (loops->fd < 0)
                return;
        loops->asked = i;
        loops->n_asked = 0;
        loops->answered = answered_by(loops, i);
        randombytes_buf(loops->expect.echo, ECHO_BYTES);
        (void)workers_order(loops->workers, &loops->expect); /* who takes none is found by the watchdog */
        ask(loops);
}

/* The socket was kept until now, so that what answers is not told that there is nobody. */
static void end(Loops *loops, bool leads_back)
{
        LoopsEntry *entry = &loops->entries[loops->asked];

        loops->fd = safe_close(loops->fd);
        entry->refused = leads_back ? loops->address : (Address){0};
        if (leads_back != upstreams_get(loops->upstreams, loops->asked)->loops)
                upstreams_reconsider(loops->upstreams, loops->asked);
}

static void begin_next(Loops *loops, usec_t now)
{
        for (unsigned k = 0; k < loops->n && loops->fd < 0; k++) {
                unsigned i = (loops->next + k) % loops->n;

                if (is_due(&loops->entries[i], now)) {
                        begin(loops, i, now);
                        loops->next = i + 1;
                }
        }
}

void loops_look(Loops *loops, usec_t now)
{
        for (size_t i = 0; i < workers_n_places(loops->workers); i++)
                look_at_place(loops, &loops->places[i], &workers_places(loops->workers)[i]);
        if (loops->fd < 0)
                begin_next(loops, now);
        else if (workers_n_echoes(loops->workers) > 0)
                end(loops, answered_by(loops, loops->asked) == loops->answered);
        else if (loops->n_asked < TIMES_ASKED)
                ask(loops);
        else
                end(loops, false);
}
