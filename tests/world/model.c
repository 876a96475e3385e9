/* SPDX-License-Identifier: MIT */
/*
 * Random operations against a real relay and against what is promised (promises.h), with equal results after each one:
 * which datagrams arrived where and from where, each once and in order, every counter, every session, every deadline.
 *
 * `world-model` begins with the first seeds and goes on with new ones, which it prints; `world-model SEED [RUNS]`, or
 * UDP46_MODEL_SEED and UDP46_MODEL_RUNS, begins with that one. A run is all that follows from one seed; the n-th run
 * has the n-th seed from the first one on, so that one that failed is repeated alone.
 *
 * The relay's time is ours. So is the kernel's, in a way: what one processor sends over the loopback arrives in order,
 * so that a datagram of our own that came through says that all before it did. Nothing here waits for a clock.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "promises.h"
#include "state/keeper.h"
#include "state/revive.h"
#include "suite.h"
#include "wire/udp.h"

enum {
        N_FIRST_SEEDS = 1000, /* runs that are the same each time, */
        N_NEW_SEEDS = 2000,   /* and others */
        OPERATIONS = 40,      /* at most, in a run */
        LINES_MAX = 256,
        LINE_MAX_BYTES = 200,
        BURST_MAX = 12,
        SIZE_MAX_BYTES = 320,
        N_SLOTS = N_FLOWS + 8,
        SERIALS_MAX = OPERATIONS * BURST_MAX + 1,
};

/* A name as it is configured; a process that takes over is told again. */
typedef struct Configured {
        Policy *policy;
        unsigned allow, deny; /* a bit for each address; allow 0: nobody is named */
        RateLimit new_sessions, client_sessions;
} Configured;

typedef struct Trial {
        World w; /* its network; the relay in it has nothing to do */
        uint64_t seed, random;
        int clients[N_CLIENTS], homes[N_HOMES], listener_fds[N_LISTENERS], pilot;
        Address clients_at[N_CLIENTS], homes_at[N_HOMES], places_at[N_PLACES], pilot_at;

        Relay *relay;
        Keeper *keeper;
        uint64_t n_born;
        const Listener *listeners[N_LISTENERS];
        Configured names[N_NAMES];
        uint64_t n_opened, n_closed; /* as this relay's observer was told */
        uint16_t ports[SERIALS_MAX]; /* of legs, as the homes saw them first; 0: not yet */

        Promises promises;
        uint32_t number; /* of the last datagram */
        unsigned n_lines;
        char lines[LINES_MAX][LINE_MAX_BYTES];
        char different[4096]; /* what is not as promised; "": all is */
} Trial;

/* --- chance --- */

/* splitmix64: neighbouring seeds have nothing in common. */
static uint64_t draw(Trial *t)
{
        uint64_t x = t->random += 0x9e3779b97f4a7c15;

        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
        x = (x ^ x >> 27) * 0x94d049bb133111eb;
        return x ^ x >> 31;
}

static unsigned below(Trial *t, uint64_t n)
{
        return (unsigned)(draw(t) % n);
}

static bool chance(Trial *t, unsigned percent)
{
        return below(t, 100) < percent;
}

static uint64_t one_of(Trial *t, const uint64_t *values, size_t n)
{
        return values[below(t, n)];
}
#define ONE_OF(t, ...) \
        one_of(t, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* --- what happened, for whoever reads of a difference --- */

static void say(Trial *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(Trial *t, const char *format, ...)
{
        va_list values;

        if (t->n_lines == LINES_MAX)
                return;
        va_start(values, format);
        (void)vsnprintf(t->lines[t->n_lines++], LINE_MAX_BYTES, format, values);
        va_end(values);
}

static void differ(Trial *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void differ(Trial *t, const char *format, ...)
{
        size_t used = strlen(t->different);
        va_list values;

        va_start(values, format);
        (void)vsnprintf(t->different + used, sizeof(t->different) - used, format, values);
        va_end(values);
}

static void expect(Trial *t, uint64_t is, uint64_t promised, const char *what, unsigned i, const char *of)
{
        if (is != promised)
                differ(t, "  %s %u: %s is %" PRIu64 ", not %" PRIu64 "\n", of, i, what, is, promised);
}

static void break_off(const Trial *t)
{
        printf("model: seed %" PRIu64 " at %.6f s\n", t->seed, (double)(t->promises.now - USEC_PER_DAY) / 1e6);
        for (unsigned i = 0; i < t->n_lines; i++)
                printf("  %s\n", t->lines[i]);
        printf("not as promised:\n%s", t->different);
        (void)fflush(stdout);
        ck_abort_msg("seed %" PRIu64 "; again: world-model %" PRIu64, t->seed, t->seed);
}

/* --- datagrams --- */

static void fill(uint8_t *bytes, size_t size, uint32_t number)
{
        for (size_t i = 0; i < size; i++)
                bytes[i] = (uint8_t)((number >> 8 * (i % 4)) ^ i * 13);
}

/* Until all that was sent so far has arrived. */
static void catch_up(const Trial *t)
{
        struct pollfd p = {.fd = t->pilot, .events = POLLIN};

        upstream_reply(t->pilot, &t->pilot_at, "", 0);
        ck_assert_msg(poll(&p, 1, 2000) == 1, "the loopback is stuck");
        ck_assert_int_eq(recv(t->pilot, NULL, 0, 0), 0);
}

/* Who is due here and may have sent this? */
static Due *find_due(Trial *t, Direction direction, unsigned at, const Address *from)
{
        for (unsigned i = 0; i < t->promises.n_dues; i++) {
                Due *due = &t->promises.dues[i];
                const uint16_t *port = &t->ports[due->serial];

                if (due->direction != direction)
                        continue;
                if (direction == FORWARD ? due->home == (int)at && (*port == 0 || *port == from->port)
                                         : due->client == at && address_equal(&t->places_at[due->place], from))
                        return due;
        }
        return NULL;
}

/* A leg has one port as long as it lives, and no other leg has it. */
static void learn_port(Trial *t, unsigned serial, uint16_t port)
{
        const Promised *s = t->promises.sessions;

        for (unsigned i = 0; i < N_FLOWS; i++)
                if (s[i].open && s[i].serial != serial && t->ports[s[i].serial] == port)
                        differ(t, "  session %u: its port %u is session %u's, too\n", serial, port, s[i].serial);
        t->ports[serial] = port;
}

static void take_one(Trial *t, Direction direction, unsigned at, const uint8_t *got, size_t size, const Address *from)
{
        uint8_t promised[SIZE_MAX_BYTES];
        char text[ADDRESS_TEXT_MAX];
        Due *due = find_due(t, direction, at, from);

        (void)address_format(text, from);
        if (!due) {
                differ(t, "  %s %u: %zu bytes from %s, which are not due\n", direction == FORWARD ? "home" : "client",
                       at, size, text);
                return;
        }
        fill(promised, due->size, due->number);
        if (size != due->size || memcmp(got, promised, size) != 0)
                differ(t, "  %s %u: %zu bytes from %s, where #%" PRIu32 " with %zu is due\n",
                       direction == FORWARD ? "home" : "client", at, size, text, due->number, due->size);
        if (direction == FORWARD)
                learn_port(t, due->serial, from->port);
        memmove(due, due + 1, (size_t)(t->promises.dues + --t->promises.n_dues - due) * sizeof(Due));
}

/* All that came to a socket. */
static void take_from(Trial *t, Direction direction, unsigned at, int fd)
{
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } name;
        uint8_t got[SIZE_MAX_BYTES + 1];
        ssize_t n;

        for (;;) {
                socklen_t length = sizeof(name);
                Address from;

                n = recvfrom(fd, got, sizeof(got), 0, &name.any, &length);
                if (n < 0)
                        return;
                from = direction == FORWARD ? (Address){.family = AF_INET6, .port = ntohs(name.v6.sin6_port)}
                                            : (Address){.family = AF_INET,
                                                        .port = ntohs(name.v4.sin_port),
                                                        .v4 = name.v4.sin_addr};
                take_one(t, direction, at, got, (size_t)n, &from);
        }
}

static void take_all(Trial *t)
{
        for (unsigned i = 0; i < N_HOMES; i++)
                take_from(t, FORWARD, i, t->homes[i]);
        for (unsigned i = 0; i < N_CLIENTS; i++)
                take_from(t, REPLY, i, t->clients[i]);
        for (unsigned i = 0; i < t->promises.n_dues; i++) {
                const Due *due = &t->promises.dues[i];

                differ(t, "  #%" PRIu32 " of session %u did not come to %s %u\n", due->number, due->serial,
                       due->direction == FORWARD ? "home" : "client",
                       due->direction == FORWARD ? (unsigned)due->home : due->client);
        }
        t->promises.n_dues = 0;
}

/* --- comparing --- */

static Session *session_of(const Trial *t, const Promised *s)
{
        const Flow flow = {.client = t->clients_at[s->client].v4,
                           .client_port = t->clients_at[s->client].port,
                           .local = t->places_at[s->place].v4,
                           .listener = (uint16_t)listener_of[s->place]};

        return table_find(&t->relay->table, &flow, table_hash(&t->relay->table, &flow));
}

static void compare_session(Trial *t, const Promised *s)
{
        const Session *session = session_of(t, s);
        const SessionRecord *record;
        Address local = {0}, peer = {0};

        if (!session) {
                differ(t, "  session %u of client %u at place %u is gone\n", s->serial, s->client, s->place);
                return;
        }
        record = &session->record;
        expect(t, record->age, s->age, "age", s->serial, "session");
        expect(t, record->proven, s->proven, "proven", s->serial, "session");
        expect(t, record->opened, s->opened, "opened", s->serial, "session");
        expect(t, record->last_use, s->last_use, "last_use", s->serial, "session");
        for (Direction d = 0; d < N_DIRECTIONS; d++) {
                const char *way = d == FORWARD ? "session, forward" : "session, reply";

                expect(t, record->traffic[d].datagrams, s->traffic[d].datagrams, "datagrams", s->serial, way);
                expect(t, record->traffic[d].bytes, s->traffic[d].bytes, "bytes", s->serial, way);
                expect(t, record->traffic[d].last, s->traffic[d].last, "last", s->serial, way);
        }
        (void)udp_local(session->leg.fd, &local);
        (void)udp_peer(session->leg.fd, &peer);
        expect(t, local.port, t->ports[s->serial], "port", s->serial, "session");
        if (!address_equal(&peer, &t->homes_at[s->home]))
                differ(t, "  session %u: its leg does not lead to home %d\n", s->serial, s->home);
}

static void compare_listener(Trial *t, unsigned i)
{
        const Stats *stats = &t->listeners[i]->stats;
        const PromisedBooks *books = &t->promises.books[i];

        for (Direction d = 0; d < N_DIRECTIONS; d++) {
                const char *way = d == FORWARD ? "listener, forward" : "listener, reply";
                uint64_t n = 0;

                for (Verdict v = 0; v < N_VERDICTS; v++) {
                        expect(t, counter_get(&stats->directions[d].verdicts[v]), books->verdicts[d][v],
                               verdict_name(v), i, way);
                        n += books->verdicts[d][v];
                }
                expect(t, counter_get(&stats->directions[d].received), n, "received", i, way);
                expect(t, counter_get(&stats->directions[d].bytes), books->bytes[d], "bytes", i, way);
        }
        expect(t, counter_get(&stats->sessions_created), books->created, "sessions_created", i, "listener");
        for (SessionEnd end = 0; end < N_SESSION_ENDS; end++)
                expect(t, counter_get(&stats->sessions_closed[end]), books->closed[end], session_end_name(end), i,
                       "listener");
        expect(t, counter_get(&stats->open_errors), 0, "open_errors", i, "listener");
}

/* A peak may be one too high where a session was refused by the second of two limits on its way into this process. */
static void expect_peak(Trial *t, const Quota *quota, uint64_t promised, const char *what, unsigned i)
{
        uint64_t peak = counter_get(&quota->peak);

        if (t->promises.n_lost[0] == 0 || peak != promised + 1)
                expect(t, peak, promised, what, i, "name");
}

static void compare_name(Trial *t, unsigned i)
{
        const Policy *policy = t->names[i].policy;
        const PromisedName *name = &t->promises.names[i];
        uint64_t n = promises_count(&t->promises, (int)i, -1), unreplied, at[N_TARGETS] = {0};

        unreplied = promises_count(&t->promises, (int)i, SESSION_UNREPLIED);
        expect(t, counter_get(&policy->quota.current), n, "sessions", i, "name");
        expect(t, counter_get(&policy->unreplied.current), unreplied, "unreplied in the quota", i, "name");
        expect(t, counter_get(&policy->n_sessions[SESSION_UNREPLIED]), unreplied, "unreplied", i, "name");
        expect(t, counter_get(&policy->n_sessions[SESSION_ASSURED]), n - unreplied, "assured", i, "name");
        expect_peak(t, &policy->quota, name->peak, "peak", i);
        expect_peak(t, &policy->unreplied, name->unreplied_peak, "peak of unreplied", i);
        for (unsigned k = 0; k < N_FLOWS; k++) {
                const Promised *s = &t->promises.sessions[k];

                if (s->open && name_of[listener_of[s->place]] == i)
                        at[s->target]++;
        }
        for (unsigned k = 0; k < N_TARGETS; k++)
                expect(t, counter_get(&policy->upstream.targets[k].n_sessions), at[k], "sessions of a target", k,
                       "target");
}

/* Between two calls of it a leg is parked in time; that nobody calls it in time is not its fault. */
static void compare_keeper(Trial *t)
{
        uint64_t n = 0, n_sessions = promises_count(&t->promises, -1, -1);

        for (const ListNode *node = t->keeper->fresh.first; node; node = node->next, n++)
                if (t->keeper->due > container_of(node, Session, parked)->record.opened + KEEPER_PARK_WITHIN)
                        differ(t, "  a leg is not parked within 50 ms\n");
        expect(t, counter_get(&t->keeper->n_fresh), n, "fresh", 0, "keeper");
        expect(t, counter_get(&t->keeper->n_parked), n_sessions - n, "parked", 0, "keeper");
}

static void compare(Trial *t)
{
        const Promises *p = &t->promises;
        uint64_t n = promises_count(p, -1, -1);

        expect(t, counter_get(&t->relay->quota.current), n, "sessions", 0, "relay");
        expect_peak(t, &t->relay->quota, p->peak, "peak", N_NAMES);
        expect(t, t->n_opened - t->n_closed, n, "opened and not closed", 0, "relay");
        expect(t, relay_deadline(t->relay), promises_deadline(p), "deadline", 0, "relay");
        for (unsigned i = 0; i < N_LISTENERS; i++)
                compare_listener(t, i);
        for (unsigned i = 0; i < N_NAMES; i++)
                compare_name(t, i);
        for (unsigned i = 0; i < N_FLOWS; i++)
                if (p->sessions[i].open)
                        compare_session(t, &p->sessions[i]);
        compare_keeper(t);
}

/* Lets the relay finish what it has to do, and sees what came of it. */
static void settle(Trial *t)
{
        int n;

        do {
                catch_up(t);
                n = relay_dispatch(t->relay, t->promises.now);
                ck_assert_int_ge(n, 0);
        } while (n > 0);
        while (t->keeper->due <= t->promises.now)
                keeper_turn(t->keeper, t->promises.now);
        take_all(t);
        compare(t);
        if (*t->different)
                break_off(t);
}

/* --- the relay --- */

static void on_opened(void *userdata, Session *session, usec_t now)
{
        Trial *t = userdata;

        t->n_opened++;
        keeper_opened(t->keeper, session, now);
}

static void on_closed(void *userdata, Session *session, SessionEnd end, usec_t now)
{
        Trial *t = userdata;

        (void)end;
        t->n_closed++;
        keeper_closed(t->keeper, session, now);
}

static void on_changed(void *userdata, Session *session, usec_t now)
{
        keeper_changed(((Trial *)userdata)->keeper, session, now);
}

static size_t networks_of(const Trial *t, unsigned addresses, Network *ret)
{
        size_t n = 0;

        for (unsigned i = 0; i < N_ADDRESSES; i++)
                if (addresses & 1U << i)
                        ret[n++] = (Network){t->clients_at[2 * i].v4, 32};
        return n;
}

static void tell_filter(Trial *t, unsigned i)
{
        const Configured *name = &t->names[i];
        Network allow[N_ADDRESSES], deny[N_ADDRESSES];
        size_t n_allow = networks_of(t, name->allow, allow), n_deny = networks_of(t, name->deny, deny);
        Filter *filter;

        ck_assert_int_eq(filter_new(&filter, n_allow > 0 ? allow : NULL, n_allow, deny, n_deny), 0);
        policy_set_filter(name->policy, filter);
}

static void tell_targets(Trial *t, unsigned i)
{
        const PromisedName *name = &t->promises.names[i];
        UpstreamTargets to = {
                        .chosen = (uint8_t)name->chosen, .used = (uint16_t)name->used, .left = (uint16_t)name->left};

        for (unsigned k = 0; k < N_TARGETS; k++)
                if (name->targets[k] != NOWHERE)
                        to.addresses[k] = t->homes_at[name->targets[k]];
        for (unsigned k = 0; k < N_TARGETS; k++)
                if (name->targets[k] == AT_PORT)
                        to.addresses[k].port = 0;
        upstream_set_targets(&t->names[i].policy->upstream, &to);
}

/* A process of its own begins: it has its listeners, and is told what is configured. */
static void start(Trial *t)
{
        static const char *const names[N_NAMES] = {"one", "other"};
        const RelayObserver observer = {.session_opened = on_opened,
                                        .session_closed = on_closed,
                                        .leg_changed = on_changed,
                                        .userdata = t};

        t->n_opened = t->n_closed = 0;
        ck_assert_int_eq(keeper_new(&t->keeper, N_SLOTS, ++t->n_born), 0);
        ck_assert_int_eq(relay_new(&t->relay, t->promises.max_sessions, &observer), 0);
        for (unsigned i = 0; i < N_NAMES; i++) {
                ck_assert_int_eq(relay_add_policy(t->relay, &upstream_direct, &t->promises.names[i].settings,
                                                  &t->names[i].policy),
                                 0);
                tell_targets(t, i);
                tell_filter(t, i);
        }
        for (unsigned i = 0; i < N_LISTENERS; i++)
                ck_assert_int_eq(relay_add_listener(t->relay, &listener_udp, dup(t->listener_fds[i]),
                                                    t->names[name_of[i]].policy, &t->listeners[i]),
                                 0);
        ck_assert_int_eq(keeper_house(t->keeper, t->relay, names), 0);
}

/* --- operations --- */

static size_t some_size(Trial *t)
{
        return ONE_OF(t, 0, 1, 8, 50, 100, 101, below(t, SIZE_MAX_BYTES));
}

/* The next datagrams of one client to one place, in the model. The first of a session has room for its number. */
typedef struct Burst {
        unsigned n;
        size_t sizes[BURST_MAX], size;
        uint8_t bytes[BURST_MAX * SIZE_MAX_BYTES];
} Burst;

static void burst_add(Trial *t, Burst *burst, size_t size)
{
        fill(burst->bytes + burst->size, size, ++t->number);
        burst->sizes[burst->n++] = size;
        burst->size += size;
}

/* In one piece, if it is a train, or one by one. */
static void burst_send(const Burst *burst, int fd, const Address *to, bool train)
{
        size_t at = 0;

        if (train)
                peer_send_train(fd, burst->bytes, burst->size, (uint16_t)burst->sizes[0], to);
        for (unsigned i = 0; i < burst->n && !train; at += burst->sizes[i++])
                upstream_reply(fd, to, burst->bytes + at, burst->sizes[i]);
}

/*
 * Of a run that is refused, the relay is free to ask for each datagram again or for all of them once; so the first one
 * that is refused is the last one.
 */
static void send_burst(Trial *t, unsigned client, unsigned place, unsigned n, bool train)
{
        Verdict verdict = VERDICT_FORWARDED;
        size_t size = some_size(t);
        Burst burst = {0};
        bool is_new = !promises_find(&t->promises, client, place);

        if ((is_new || train) && size < 8)
                size = 8;
        for (unsigned i = 0; i < n && (verdict == VERDICT_FORWARDED || verdict == VERDICT_OVERSIZE); i++) {
                if (i > 0 && train && i + 1 == n)
                        size = 1 + below(t, size);
                else if (i > 0 && !train)
                        size = is_new ? 8 + below(t, 100) : some_size(t);
                burst_add(t, &burst, size);
                verdict = promises_forward(&t->promises, client, place, size, t->number);
        }
        say(t, "client %u sends %u to place %u, the first of %zu bytes, #%" PRIu32 " the last%s; %s", client, burst.n,
            place, burst.sizes[0], t->number, train && burst.n > 1 ? ", as a train" : "", verdict_name(verdict));
        burst_send(&burst, t->clients[client], &t->places_at[place], train && burst.n > 1);
}

static void op_send(Trial *t)
{
        bool train = chance(t, 20);

        send_burst(t, below(t, N_CLIENTS), below(t, N_PLACES), chance(t, 70) ? 1 : 1 + below(t, BURST_MAX), train);
}

/* Several clients, so near to each other that the relay reads them together: at one listener, whose order is theirs. */
static void op_crowd(Trial *t)
{
        unsigned n = 2 + below(t, BURST_MAX - 1), listener = below(t, N_LISTENERS), last = N_FLOWS;

        for (unsigned i = 0; i < n; i++) {
                unsigned client = below(t, N_CLIENTS), place = below(t, N_PLACES);

                if (listener_of[place] != listener || client * N_PLACES + place == last)
                        continue;
                last = client * N_PLACES + place;
                send_burst(t, client, place, 1, false);
        }
}

/* One of the open sessions, or NULL. */
static Promised *some_session(Trial *t)
{
        unsigned n = promises_count(&t->promises, -1, -1), i = n > 0 ? below(t, n) : 0;

        for (unsigned k = 0; k < N_FLOWS && n > 0; k++)
                if (t->promises.sessions[k].open && i-- == 0)
                        return &t->promises.sessions[k];
        return NULL;
}

/*
 * All of one size: what is behind one that does not fit the client's budget goes or not, as it came in one read or in
 * two. For the same reason what is too large comes alone.
 */
static void send_replies(Trial *t, Promised *s, int home, unsigned n, bool train)
{
        const uint64_t budget = promises_budget(&t->promises, s);
        const Address leg = {.family = AF_INET6, .port = t->ports[s->serial], .v6 = t->homes_at[home].v6};
        size_t size = some_size(t);
        Burst burst = {0};

        if (budget / n >= 28 && budget / n < SIZE_MAX_BYTES && chance(t, 30))
                size = budget / n - 28 + below(t, 2);
        if (size == 0)
                train = false;
        if (size > promises_name(&t->promises, s->place)->settings.max_datagram)
                n = 1;
        say(t, "home %d sends %u of %zu bytes to session %u of home %d, budget %" PRIu64 ", #%" PRIu32 " the last%s",
            home, n, size, s->serial, s->home, budget, t->number + n, train && n > 1 ? ", as a train" : "");
        for (unsigned i = 0; i < n; i++) {
                burst_add(t, &burst, size);
                promises_reply(&t->promises, s, home, size, t->number);
        }
        burst_send(&burst, t->homes[home], &leg, train && n > 1);
}

static void op_reply(Trial *t)
{
        Promised *s = some_session(t);

        if (s)
                send_replies(t, s, chance(t, 90) ? s->home : (int)below(t, N_HOMES),
                             chance(t, 60) ? 1 : 1 + below(t, BURST_MAX), chance(t, 20));
}

static void op_replies(Trial *t)
{
        for (unsigned i = 0; i < N_FLOWS; i++) {
                Promised *s = &t->promises.sessions[i];

                if (s->open && chance(t, 50))
                        send_replies(t, s, s->home, 1, false);
        }
}

/* To a port that was a leg's: nobody hears it. */
static void op_late_reply(Trial *t)
{
        unsigned serial = t->promises.n_serials > 0 ? 1 + below(t, t->promises.n_serials) : 0, home = below(t, N_HOMES);
        const Address leg = {.family = AF_INET6, .port = t->ports[serial], .v6 = t->homes_at[home].v6};

        for (unsigned i = 0; i < N_FLOWS; i++)
                if (t->promises.sessions[i].open && t->ports[t->promises.sessions[i].serial] == leg.port)
                        return;
        if (leg.port == 0)
                return;
        say(t, "home %u sends to port %u, which was session %u's", home, leg.port, serial);
        upstream_reply(t->homes[home], &leg, "late", 4);
}

static usec_t until(const Trial *t, usec_t at)
{
        return usec_sub(at, t->promises.now);
}

/* Times at which something changes, and the last moment before; or any. */
static usec_t some_time(Trial *t)
{
        const unsigned place = below(t, N_PLACES), address = below(t, N_ADDRESSES);
        const PromisedName *name = promises_name(&t->promises, place);
        const Promised *s = some_session(t);
        usec_t span = 0;

        switch (below(t, 8)) {
        case 0:
                return below(t, USEC_PER_MSEC);
        case 1:
                return below(t, 3 * USEC_PER_SEC);
        case 2:
                return below(t, 20 * USEC_PER_SEC);
        case 3:
                span = s ? until(t, promises_deadline(&t->promises)) : 0;
                break;
        case 4:
                span = s ? until(t, s->opened + USEC_PER_SEC) : 0;
                break;
        case 5:
                span = s ? until(t, s->traffic[FORWARD].last + name->settings.reply_refresh) : 0;
                break;
        case 6:
                span = promises_wait(&t->promises, &name->all, &name->settings.new_sessions);
                break;
        default:
                span = promises_wait(&t->promises, &name->each[address], &name->settings.client_sessions);
        }
        return usec_sub(span, below(t, 2));
}

/* Time passes, and the timer rings whenever it has to; as if it rang late at the end, if `late`. */
static void pass(Trial *t, usec_t span, bool late)
{
        usec_t end = t->promises.now + span;

        while (!late && relay_deadline(t->relay) <= end) {
                if (relay_deadline(t->relay) > t->promises.now)
                        t->promises.now = relay_deadline(t->relay);
                relay_expire(t->relay, t->promises.now);
        }
        t->promises.now = end;
        if (!late)
                promises_expire(&t->promises);
}

static void op_pass(Trial *t)
{
        usec_t span = some_time(t);

        pass(t, span, false);
        say(t, "%" PRIu64 " us pass", span);
}

/* Nobody looks at the clock for a while: who is overdue lives until somebody does. */
static void op_doze(Trial *t)
{
        usec_t span = some_time(t);

        pass(t, span, true);
        say(t, "%" PRIu64 " us pass, and no timer rings", span);
}

static void some_settings(Trial *t, unsigned i)
{
        PolicySettings *settings = &t->promises.names[i].settings;

        *settings = world_settings;
        settings->timeouts[SESSION_UNREPLIED] = ONE_OF(t, 2, 5, 10) * USEC_PER_SEC;
        settings->timeouts[SESSION_ASSURED] = ONE_OF(t, 5, 20, 60) * USEC_PER_SEC;
        settings->reply_refresh = ONE_OF(t, 3, 10, 30, 240) * USEC_PER_SEC;
        settings->max_sessions = ONE_OF(t, 2, 4, 8, 1000);
        settings->max_unreplied = ONE_OF(t, 1, 3, 5, 1000);
        settings->new_sessions = chance(t, 50) ? t->names[i].new_sessions : (RateLimit){0};
        settings->client_sessions = chance(t, 50) ? t->names[i].client_sessions : (RateLimit){0};
        settings->amplification = (uint32_t)ONE_OF(t, 0, 1, 3);
        settings->max_datagram = (uint32_t)ONE_OF(t, 100, 200, DATAGRAM_ROOM);
        settings->trains = chance(t, 70);
        say(t,
            "name %u: time-outs %" PRIu64 " and %" PRIu64 " s, replies refresh %" PRIu64 " s, %" PRIu64
            " sessions, %" PRIu64 " unreplied, %" PRIu64 " new in %" PRIu64 " s, %" PRIu64 " of a client in %" PRIu64
            " s, amplification %u, largest %u",
            i, settings->timeouts[SESSION_UNREPLIED] / USEC_PER_SEC, settings->timeouts[SESSION_ASSURED] / USEC_PER_SEC,
            settings->reply_refresh / USEC_PER_SEC, settings->max_sessions, settings->max_unreplied,
            settings->new_sessions.burst, settings->new_sessions.interval / USEC_PER_SEC,
            settings->client_sessions.burst, settings->client_sessions.interval / USEC_PER_SEC, settings->amplification,
            settings->max_datagram);
}

static void op_reload(Trial *t)
{
        unsigned i = below(t, N_NAMES);

        some_settings(t, i);
        policy_set(t->names[i].policy, &t->promises.names[i].settings);
}

static void some_limit(Trial *t)
{
        t->promises.max_sessions = ONE_OF(t, 3, 6, 12, 1000);
        say(t, "%" PRIu64 " sessions for all", t->promises.max_sessions);
}

static void op_limit(Trial *t)
{
        some_limit(t);
        relay_set_limit(t->relay, t->promises.max_sessions);
}

static void some_filter(Trial *t, unsigned i)
{
        Configured *name = &t->names[i];
        const unsigned all = (1U << N_ADDRESSES) - 1;

        name->allow = chance(t, 60) ? 0 : 1 + below(t, all);
        name->deny = chance(t, 60) ? 0 : below(t, all + 1) & below(t, all + 1);
        t->promises.names[i].allowed = (name->allow > 0 ? name->allow : all) & ~name->deny;
        say(t, "name %u: addresses %#x may come", i, t->promises.names[i].allowed);
}

static void op_filter(Trial *t)
{
        unsigned i = below(t, N_NAMES);

        some_filter(t, i);
        tell_filter(t, i);
}

static int some_home(Trial *t)
{
        return chance(t, 10) ? NOWHERE : (int)below(t, AT_PORT + 1);
}

static void some_targets(Trial *t, unsigned i)
{
        PromisedName *name = &t->promises.names[i];

        switch (below(t, 4)) {
        case 0:
        case 1:
                name->targets[below(t, N_TARGETS)] = some_home(t);
                break;
        case 2:
                name->used = 1 + below(t, (1U << N_TARGETS) - 1);
                break;
        default:
                name->left = below(t, 1U << N_TARGETS) & below(t, 1U << N_TARGETS);
        }
        while (!(name->used & 1U << name->chosen) || chance(t, 20))
                name->chosen = below(t, N_TARGETS);
        say(t, "name %u: targets %d, %d, %d; used %#x, left %#x, chosen %u", i, name->targets[0], name->targets[1],
            name->targets[2], name->used, name->left, name->chosen);
}

static void op_targets(Trial *t)
{
        unsigned i = below(t, N_NAMES);

        some_targets(t, i);
        tell_targets(t, i);
}

/* --- another process takes over --- */

typedef enum Death { STOPPED, KILLED, KILLED_AND_SOCKETS_LOST, N_DEATHS } Death;

/* Of those who were used at the same moment the lower slot comes first; and who has a socket that comes through? */
static void note_slots(Trial *t, Death death)
{
        for (unsigned i = 0; i < N_FLOWS; i++) {
                Promised *s = &t->promises.sessions[i];
                const Session *session = s->open ? session_of(t, s) : NULL;

                if (!session)
                        continue;
                s->rank = N_SLOTS - slots_index(&t->relay->slots, session);
                s->parked = session->n_parked > 0 && death != KILLED_AND_SOCKETS_LOST;
        }
}

static uint64_t place_in(const List *list, const ListNode *node)
{
        uint64_t n = 0;

        for (const ListNode *at = list->first; at && at != node; at = at->next)
                n++;
        return n;
}

/* In which order the relay has them now. */
static void note_order(Trial *t)
{
        for (unsigned i = 0; i < N_FLOWS; i++) {
                Promised *s = &t->promises.sessions[i];
                const Session *session = s->open ? session_of(t, s) : NULL;

                if (session)
                        s->rank = place_in(&session->listener->policy->idle[session_standing(&session->record)],
                                           &session->idle);
        }
}

/* As the daemon does. before->queue: not to be read, if the sockets are lost. */
static void revive(Trial *t, const Keeper *before, const void *bytes, Death death)
{
        ParcelQueue queue = before->queue;
        Revival revival = {0};
        LegPool pool = {0};
        Image image;

        ck_assert_int_eq(image_open(&image, bytes, before->size), 0);
        ck_assert_uint_eq(image.header->clean, death == STOPPED);
        if (death != KILLED_AND_SOCKETS_LOST)
                ck_assert_int_eq(leg_pool_add(&pool, &queue, 0), 0);
        for (uint32_t i = 0; i < image.n; i++) {
                const SessionRecord *record = image_record(&image, i);

                if (record && !record_is_whole(record))
                        differ(t, "  slot %u is damaged\n", i);
                else if (record)
                        ck_assert_int_eq(revival_add(&revival, record), 0);
        }
        revivals_match(&revival, 1, &pool);
        leg_pool_done(&pool);
        counter_set(&t->relay->quota.numbered, image.header->last_id);
        revival_adopt(&revival, t->relay, t->keeper, t->promises.now);
        t->n_opened = revival.n_restored;
        for (RevivalLoss loss = 0; loss < N_LOSSES; loss++)
                expect(t, revival.n_lost[loss],
                       loss == LOSS_LIMIT    ? t->promises.n_lost[0]
                       : loss == LOSS_FAILED ? t->promises.n_lost[1]
                                             : 0,
                       revival_loss_names[loss], 0, "lost");
        revival_done(&revival);
}

static void lose_sockets(Keeper *keeper)
{
        parcel_queue_done(&keeper->queue);
        keeper->queue = (ParcelQueue){-EBADF, -EBADF};
}

static void op_restart(Trial *t)
{
        static const char *const deaths[N_DEATHS] = {"stopped", "killed", "killed, and the sockets are lost"};
        Keeper *before = t->keeper;
        Death death = below(t, N_DEATHS);
        unsigned client = below(t, N_CLIENTS), place = below(t, N_PLACES);
        Burst meanwhile = {0};
        usec_t gap = chance(t, 50) ? 0 : some_time(t);
        _cleanup_free_ void *bytes = malloc(before->size);

        if (death == STOPPED)
                keeper_finish(before, t->promises.now);
        note_slots(t, death);
        ck_assert(bytes && pread(before->fd, bytes, before->size, 0) == (ssize_t)before->size);
        t->relay = relay_free(t->relay);
        if (death == KILLED_AND_SOCKETS_LOST)
                lose_sockets(before);
        t->promises.now += gap;
        say(t, "%s, and another one begins %" PRIu64 " us later", deaths[death], gap);
        for (unsigned i = 0; i < N_NAMES; i++) /* the configuration was changed meanwhile */
                if (chance(t, 20)) {
                        some_filter(t, i);
                        some_targets(t, i);
                }
        promises_restart(&t->promises);
        start(t);
        if (chance(t, 30)) { /* waits, and must not be before those who come back */
                burst_add(t, &meanwhile, 8);
                burst_send(&meanwhile, t->clients[client], &t->places_at[place], false);
        }
        revive(t, before, bytes, death);
        (void)keeper_free(before);
        note_order(t);
        if (meanwhile.n > 0)
                say(t, "client %u has sent to place %u meanwhile, #%" PRIu32 "; %s", client, place, t->number,
                    verdict_name(promises_forward(&t->promises, client, place, meanwhile.size, t->number)));
}

/* --- runs --- */

static const struct {
        unsigned weight;
        void (*act)(Trial *t);
} operations[] = {
                {25, op_send}, {10, op_crowd}, {20, op_reply}, {5, op_replies}, {3, op_late_reply}, {20, op_pass},
                {3, op_doze},  {3, op_limit},  {5, op_reload}, {4, op_filter},  {6, op_targets},    {3, op_restart},
};

static void operate(Trial *t)
{
        unsigned sum = 0, at;

        for (unsigned i = 0; i < ELEMENTSOF(operations); i++)
                sum += operations[i].weight;
        at = below(t, sum);
        for (unsigned i = 0;; at -= operations[i++].weight)
                if (at < operations[i].weight) {
                        operations[i].act(t);
                        break;
                }
        settle(t);
        t->promises.now++;
}

static RateLimit some_rate(Trial *t)
{
        /* whole microseconds for each, so that nobody has to round */
        return (RateLimit){ONE_OF(t, 2, 4, 8), ONE_OF(t, 4, 8, 20) * USEC_PER_SEC};
}

static void run(Trial *t, uint64_t seed)
{
        t->seed = t->random = seed;
        t->n_lines = 0;
        t->number = 0;
        memset(t->ports, 0, sizeof(t->ports));
        promises_init(&t->promises, USEC_PER_DAY);
        for (unsigned i = 0; i < N_NAMES; i++) {
                t->names[i] = (Configured){.new_sessions = some_rate(t), .client_sessions = some_rate(t)};
                some_settings(t, i);
                for (unsigned k = 0; k < N_TARGETS; k++)
                        t->promises.names[i].targets[k] = (int)below(t, AT_PORT + 1);
                some_targets(t, i);
        }
        some_limit(t);
        start(t);
        for (unsigned n = below(t, OPERATIONS) + 1; n > 0; n--)
                operate(t);
        say(t, "all are closed");
        relay_close_sessions(t->relay, SESSION_SHUTDOWN, t->promises.now);
        promises_close_all(&t->promises);
        settle(t);
        t->relay = relay_free(t->relay);
        t->keeper = keeper_free(t->keeper);
}

/* What there is for all runs. No port of ours is one that legs may get. */
static void trial_init(Trial *t)
{
        static const char *const places[N_PLACES] = {"127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.1"};
        cpu_set_t one;
        char text[20];

        *t = (Trial){0};
        CPU_ZERO(&one);
        CPU_SET((size_t)sched_getcpu(), &one);
        ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
        world_init(&t->w, 10);
        world_run("ip -6 addr add 2001:db8:46::1/128 dev lo nodad && ip -6 addr add 2001:db8:46::2/128 dev lo nodad");
        for (unsigned i = 0; i < N_LISTENERS; i++) {
                const Address any = {.family = AF_INET, .port = (uint16_t)(5001 + i)};

                t->listener_fds[i] = udp_listen(&any);
                ck_assert_int_ge(t->listener_fds[i], 0);
        }
        for (unsigned i = 0; i < N_PLACES; i++) {
                t->places_at[i] = (Address){.family = AF_INET, .port = (uint16_t)(5001 + listener_of[i])};
                ck_assert_int_eq(inet_pton(AF_INET, places[i], &t->places_at[i].v4), 1);
        }
        for (unsigned i = 0; i < N_CLIENTS; i++) {
                t->clients_at[i] = (Address){.family = AF_INET, .port = (uint16_t)(6000 + i)};
                (void)snprintf(text, sizeof(text), "127.0.1.%u", 1 + i / 2);
                ck_assert_int_eq(inet_pton(AF_INET, text, &t->clients_at[i].v4), 1);
                t->clients[i] = udp_listen(&t->clients_at[i]);
                ck_assert_int_ge(t->clients[i], 0);
        }
        for (unsigned i = 0; i < N_HOMES; i++)
                t->homes[i] = i < N_PLAIN_HOMES ? upstream_new(i % 2 ? "2001:db8:46::2" : "::1", (uint16_t)(7000 + i),
                                                               &t->homes_at[i])
                                                : upstream_new("2001:db8:46::1", (uint16_t)(5001 + i - N_PLAIN_HOMES),
                                                               &t->homes_at[i]);
        t->pilot = upstream_new("::1", 8000, &t->pilot_at);
}

static void runs(uint64_t first, uint64_t n)
{
        static Trial t;

        printf("model: %" PRIu64 " runs from seed %" PRIu64 "\n", n, first);
        (void)fflush(stdout);
        trial_init(&t);
        for (uint64_t i = 0; i < n; i++)
                run(&t, first + i);
        world_done(&t.w);
}

/* What the environment says, or another number. */
static uint64_t told(const char *name, uint64_t otherwise)
{
        const char *text = getenv(name); /* NOLINT: one thread */

        return text ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(the_first_seeds)
{
        runs(told("UDP46_MODEL_SEED", 1), told("UDP46_MODEL_RUNS", N_FIRST_SEEDS));
}
END_TEST

START_TEST(new_seeds)
{
        runs(clock_monotonic() * 1000003 % 1000000000000, told("UDP46_MODEL_RUNS", N_NEW_SEEDS));
}
END_TEST

int main(int argc, char **argv)
{
        Suite *suite = suite_create("world/model");
        TCase *tcase = tcase_create("model");
        SRunner *runner = srunner_create(suite);
        int n_failed;

        if (argc > 1) {
                (void)setenv("UDP46_MODEL_SEED", argv[1], 1);
                (void)setenv("UDP46_MODEL_RUNS", argc > 2 ? argv[2] : "1", 1);
        }
        tcase_set_timeout(tcase, 0);
        tcase_add_test(tcase, the_first_seeds);
        if (!getenv("UDP46_MODEL_SEED"))
                tcase_add_test(tcase, new_seeds);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
