/* SPDX-License-Identifier: MIT */
/*
 * Who gets how much of the relay's time: a flood at a listener, a leg that never runs dry, ten thousand legs that have
 * a reply each, and somebody who only wants a word in between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "suite.h"

enum {
        /* The budgets of docs/house.md. */
        TURN_BUDGET = 64, /* sockets */
        LISTENER_BUDGET = 32,
        LEG_BUDGET = 9,
        MANY = 10000,
        MANY_AT_LEAST = 8000,
        SPARE_FILES = 200,
        DEEP = 64 << 20,
        FLOOD = 20000,
        DEEP_REPLIES = 3000,
};

/* --- how much a read asks for --- */

static uint64_t received(const Listener *l, Direction d)
{
        return counter_get(&l->stats.directions[d].received);
}

/* How many datagrams one turn takes. */
static uint64_t taken(Line *line, Direction d)
{
        uint64_t before = received(line->l, d);

        ck_assert_int_ge(relay_dispatch(line->w.relay, line->w.now), 0);
        return received(line->l, d) - before;
}

static void send_singles(const Line *line, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                peer_send(line->client, "x", 1);
}

/* One turn takes so many; the next read will ask for so many. */
static void check_turn(Line *line, unsigned n_taken, unsigned next_read)
{
        ck_assert_uint_eq(taken(line, FORWARD), n_taken);
        ck_assert_uint_eq(line->l->next_read, next_read);
}

START_TEST(a_read_asks_for_as_much_as_comes)
{
        Line line;

        line_init(&line, NULL);
        world_settle(&line.w);
        send_singles(&line, 1); /* of the eight asked for after the greeting */
        check_turn(&line, 1, 1);
        send_singles(&line, 100);
        check_turn(&line, 1, 8);
        check_turn(&line, 8, 32);
        ck_assert(line.l->busy);
        check_turn(&line, 64, 32); /* busy: asked before the others, and once more among them */
        check_turn(&line, 27, 32);
        ck_assert(!line.l->busy);
        send_singles(&line, 9);
        check_turn(&line, 9, 32);
        send_singles(&line, 8);
        check_turn(&line, 8, 8);
        send_singles(&line, 2);
        check_turn(&line, 2, 8);
        send_singles(&line, 1);
        check_turn(&line, 1, 1);
        world_done(&line.w);
}
END_TEST

START_TEST(a_read_asks_for_few_trains)
{
        enum { PER_TRAIN = 60, SEGMENT = 1000, TRAINS = 40 };
        static uint8_t data[PER_TRAIN * SEGMENT];
        Line line;

        line_init(&line, NULL);
        world_deepen(line.l->fd, DEEP);
        world_settle(&line.w);
        send_singles(&line, 1);
        check_turn(&line, 1, 1);
        for (unsigned i = 0; i < TRAINS; i++)
                peer_send_train(line.client, data, sizeof(data), SEGMENT, NULL);
        check_turn(&line, PER_TRAIN, 8);
        check_turn(&line, 8 * PER_TRAIN, 8);
        ck_assert(line.l->busy);
        check_turn(&line, 16 * PER_TRAIN, 8);
        check_turn(&line, 15 * PER_TRAIN, 8);
        ck_assert(!line.l->busy);
        world_done(&line.w);
}
END_TEST

START_TEST(a_leg_gives_nine_at_most)
{
        Line line;

        line_init(&line, NULL);
        world_settle(&line.w);
        for (unsigned n = 0; n <= 20; n++) {
                for (unsigned i = 0; i < n; i++)
                        upstream_reply(line.home, &line.leg, "x", 1);
                for (unsigned rest = n; rest > 0; rest -= rest < LEG_BUDGET ? rest : LEG_BUDGET)
                        ck_assert_uint_eq(taken(&line, REPLY), rest < LEG_BUDGET ? rest : LEG_BUDGET);
                ck_assert_uint_eq(taken(&line, REPLY), 0);
        }
        world_done(&line.w);
}
END_TEST

/* --- the crowd --- */

typedef struct Crowd {
        World w;
        Policy *policy;
        const Listener *flooded, *crowded, *quiet;
        Address flooded_at, crowded_at, quiet_at, upstream;
        int home;           /* the upstream of all */
        int flooder;        /* client of the flooded listener */
        int talked_to;      /* client of the crowded listener, whose upstream never ends */
        Address talkative;  /* the leg of that one */
        int clients;        /* all other clients of the crowded listener, each with an address of its own */
        unsigned n_legs;    /* theirs */
        Address legs[MANY]; /* as the upstream sees them */
} Crowd;

/* As many sessions as the limit of descriptors allows. */
static unsigned raise_limits(void)
{
        const uint64_t files = world_raise_limits();

        ck_assert_msg(files >= MANY_AT_LEAST + SPARE_FILES, "this test opens %d sockets", MANY_AT_LEAST);
        return files < MANY + SPARE_FILES ? (unsigned)files - SPARE_FILES : MANY;
}

static void send_as(const Crowd *c, unsigned number, const char *text)
{
        crowd_send(c->clients, &c->crowded_at, number, text);
}

static void open_sessions(Crowd *c)
{
        char got[10];

        c->clients = crowd_new();
        world_deepen(c->clients, DEEP);
        for (unsigned i = 0; i < c->n_legs; i++) {
                send_as(c, i, "hello");
                (void)relay_dispatch(c->w.relay, c->w.now);
                ck_assert_uint_eq(peer_receive(&c->w, c->home, got, sizeof(got), &c->legs[i]), 5);
        }
        ck_assert_uint_eq(counter_get(&c->w.relay->quota.current), c->n_legs);
}

static void crowd_init(Crowd *c)
{
        PolicySettings settings = world_settings;

        *c = (Crowd){0};
        world_init(&c->w, MANY + SPARE_FILES);
        c->n_legs = raise_limits();
        settings.max_sessions = MANY + SPARE_FILES;
        c->home = upstream_new(NULL, 0, &c->upstream);
        world_deepen(c->home, DEEP);
        c->policy = world_policy(&c->w, &settings, &c->upstream);
        c->flooded = world_listener(&c->w, NULL, c->policy, &c->flooded_at);
        c->crowded = world_listener(&c->w, NULL, c->policy, &c->crowded_at);
        c->quiet = world_listener(&c->w, NULL, c->policy, &c->quiet_at);
        open_sessions(c);
        world_deepen(c->flooded->fd, DEEP);
        c->flooder = client_new(NULL, &c->flooded_at);
        (void)world_round(&c->w, c->flooder, c->home, "hello");
        c->talked_to = client_new(NULL, &c->crowded_at);
        c->talkative = world_round(&c->w, c->talked_to, c->home, "hello");
        world_settle(&c->w);
}

static Session *session_of_leg(const Crowd *c, const Address *leg)
{
        for (SessionStanding standing = 0; standing < N_STANDINGS; standing++)
                for (ListNode *node = c->policy->idle[standing].first; node; node = node->next) {
                        Session *session = container_of(node, Session, idle);

                        if (session->record.source.port == leg->port)
                                return session;
                }
        ck_abort_msg("no session has that leg");
        return NULL;
}

/* How many sessions had a reply. */
static unsigned n_answered(const Crowd *c)
{
        return (unsigned)counter_get(&c->policy->n_sessions[SESSION_ASSURED]);
}

static void turn(Crowd *c)
{
        ck_assert_int_ge(relay_dispatch(c->w.relay, c->w.now), 0);
}

START_TEST(every_turn_is_bounded_and_serves_all)
{
        static Crowd c;
        unsigned n_turns, n_before, waited_quietly = 0;
        const Session *talkative;
        uint64_t n_talked;
        int someone;

        crowd_init(&c);
        /* all that is ready at once is met in this many turns */
        n_turns = (c.n_legs + 3) / TURN_BUDGET + 1;
        someone = client_new(NULL, &c.quiet_at);
        talkative = session_of_leg(&c, &c.talkative);
        world_deepen(talkative->leg.fd, DEEP);
        n_talked = talkative->record.traffic[REPLY].datagrams;
        n_before = n_answered(&c);

        for (unsigned i = 0; i < FLOOD; i++)
                peer_send(c.flooder, "x", 1);
        turn(&c);
        turn(&c); /* now it is known to be busy */
        for (unsigned i = 0; i < DEEP_REPLIES; i++)
                upstream_reply(c.home, &c.talkative, "x", 1);
        for (unsigned i = 0; i < c.n_legs; i++)
                upstream_reply(c.home, &c.legs[i], "x", 1);
        peer_send(someone, "x", 1);

        for (unsigned i = 1; i <= n_turns; i++) {
                uint64_t flood = received(c.flooded, FORWARD), replies = received(c.crowded, REPLY);

                turn(&c);
                flood = received(c.flooded, FORWARD) - flood;
                replies = received(c.crowded, REPLY) - replies;
                ck_assert_msg(flood >= LISTENER_BUDGET, "turn %u: the flooded listener got on by %u", i,
                              (unsigned)flood);
                ck_assert_uint_le(flood, 2 * LISTENER_BUDGET);
                ck_assert_uint_le(replies, TURN_BUDGET - 1 + LEG_BUDGET);
                if (received(c.quiet, FORWARD) == 0)
                        waited_quietly = i;
        }
        ck_assert_uint_lt(received(c.flooded, FORWARD), FLOOD); /* the flood was there in every turn */
        ck_assert_uint_eq(n_answered(&c) - n_before, c.n_legs);
        n_talked = talkative->record.traffic[REPLY].datagrams - n_talked;
        ck_assert_uint_ge(n_talked, LEG_BUDGET);
        ck_assert_uint_le(n_talked, 2 * LEG_BUDGET); /* met twice at most in one round of all */
        ck_assert_uint_lt(waited_quietly, n_turns);
        world_done(&c.w);
}
END_TEST

/* --- how long a word takes --- */

/*
 * All loads at once, kept up between the relay's turns, so that they are the same on any machine. Time is that which
 * the relay worked: how much did it do for others until it came to this one?
 */
enum {
        LOAD_TIME = 2000, /* ms */
        FLOOD_DEPTH = 4000,
        BURST = 64,   /* of the flood, after each turn: as much as a turn takes at most */
        TALKERS = 16, /* every other one at the flooded listener, the rest at the quiet one */
        SAMPLES_MAX = 100000,
        WORST_P99 = 1500, /* ms; measured: 70 to 250 */
};

typedef enum Where { AT_THE_QUIET, AT_THE_FLOODED, N_WHERES } Where;

typedef struct Times {
        unsigned n;
        usec_t p50, p99;
} Times;

/* One who says a word, and the next when he has heard it from the upstream. */
typedef struct Talker {
        int fd;
        usec_t said;
} Talker;

typedef struct Load {
        const Crowd *c;
        usec_t worked;    /* by the relay */
        unsigned n_flood; /* of the flood, on the way */
        Talker talkers[TALKERS];
        unsigned n_samples[N_WHERES];
        usec_t samples[N_WHERES][SAMPLES_MAX];
} Load;

/* What a payload is begins it. */
typedef struct Word {
        uint32_t is_flood, number;
} Word;

static void sample(Load *load, unsigned talker)
{
        Where where = talker % N_WHERES;

        if (load->n_samples[where] < SAMPLES_MAX)
                load->samples[where][load->n_samples[where]++] = load->worked - load->talkers[talker].said;
}

static void say(Load *load, unsigned talker)
{
        const Word word = {.number = talker};

        load->talkers[talker].said = load->worked;
        (void)send(load->talkers[talker].fd, &word, sizeof(word), 0);
}

/* The flood never ends, and never overflows its queue: there are always so many on their way. */
static void flood(Load *load, unsigned n_max)
{
        const Word word = {.is_flood = true};

        for (unsigned i = 0; i < n_max && load->n_flood < FLOOD_DEPTH; i++)
                load->n_flood += send(load->c->flooder, &word, sizeof(word), 0) == sizeof(word);
}

static void reply_to(const Load *load, const Address *leg, uint32_t number)
{
        const Word word = {.number = number};
        const struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = leg->v6, .sin6_port = htons(leg->port)};

        (void)sendto(load->c->home, &word, sizeof(word), 0, (const struct sockaddr *)&name, sizeof(name));
}

/* The upstream: the flood ends here, words are echoed. */
static void serve(Load *load)
{
        struct sockaddr_in6 from;
        Word word;

        for (;;) {
                socklen_t length = sizeof(from);

                if (recvfrom(load->c->home, &word, sizeof(word), 0, (struct sockaddr *)&from, &length) < 0)
                        return;
                if (word.is_flood)
                        load->n_flood--;
                else
                        (void)sendto(load->c->home, &word, sizeof(word), 0, (struct sockaddr *)&from, length);
        }
}

/* A slow leg has its next reply as soon as it has delivered the last: all of them are always ready. */
static void answer_crowd(const Load *load)
{
        Word word;

        while (recv(load->c->clients, &word, sizeof(word), 0) >= 0)
                reply_to(load, &load->c->legs[word.number], word.number);
}

static void listen_to_talkers(Load *load)
{
        for (unsigned i = 0; i < TALKERS; i++) {
                Word word;

                if (recv(load->talkers[i].fd, &word, sizeof(word), 0) < 0)
                        continue;
                sample(load, i);
                say(load, i);
        }
}

static int compare_times(const void *a, const void *b)
{
        const usec_t *x = a, *y = b;

        return *x < *y ? -1 : *x > *y;
}

static usec_t time_worked(void)
{
        struct timespec t;

        ck_assert_int_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
        return (usec_t)t.tv_sec * USEC_PER_SEC + (usec_t)t.tv_nsec / 1000;
}

static void load_begin(Load *load)
{
        flood(load, FLOOD_DEPTH);
        for (unsigned i = 0; i < DEEP_REPLIES; i++)
                reply_to(load, &load->c->talkative, 0);
        for (unsigned i = 0; i < load->c->n_legs; i++)
                reply_to(load, &load->c->legs[i], i);
        for (unsigned i = 0; i < TALKERS; i++)
                say(load, i);
}

static void load_run(Load *load, Crowd *c)
{
        while (load->worked < LOAD_TIME * USEC_PER_MSEC) {
                usec_t began = time_worked();

                turn(c);
                load->worked += time_worked() - began;
                serve(load);
                flood(load, BURST);
                reply_to(load, &c->talkative, 0);
                answer_crowd(load);
                listen_to_talkers(load);
        }
        for (unsigned i = 0; i < TALKERS; i++) /* who still waits counts with his wait */
                sample(load, i);
}

static Times times_of(Load *load, Where where)
{
        unsigned n = load->n_samples[where];

        qsort(load->samples[where], n, sizeof(usec_t), compare_times);
        return (Times){n, load->samples[where][n / 2], load->samples[where][n - 1 - n / 100]};
}

START_TEST(nobody_starves_beside_floods)
{
        static const char *const names[N_WHERES] = {"a quiet listener", "the flooded listener"};
        static Crowd c;
        static Load load = {.c = &c};

        crowd_init(&c);
        world_deepen(session_of_leg(&c, &c.talkative)->leg.fd, DEEP);
        for (unsigned i = 0; i < TALKERS; i++)
                load.talkers[i].fd = client_new(NULL, i % N_WHERES == AT_THE_FLOODED ? &c.flooded_at : &c.quiet_at);
        load_begin(&load);
        load_run(&load, &c);
        for (Where i = 0; i < N_WHERES; i++) {
                const Times times = times_of(&load, i);

                printf("round trips through %s: %u, p50 %u ms, p99 %u ms\n", names[i], times.n,
                       (unsigned)(times.p50 / USEC_PER_MSEC), (unsigned)(times.p99 / USEC_PER_MSEC));
                (void)fflush(stdout);
                ck_assert_msg(times.p99 < WORST_P99 * USEC_PER_MSEC, "%s: starved", names[i]);
        }
        world_done(&c.w);
}
END_TEST

WORLD_SUITE("fairness", a_read_asks_for_as_much_as_comes, a_read_asks_for_few_trains, a_leg_gives_nine_at_most,
            every_turn_is_bounded_and_serves_all, nobody_starves_beside_floods)
