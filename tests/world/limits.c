/* SPDX-License-Identifier: MIT */
/* A full table, no descriptors, no ports: refusals that are counted, spare the others, and recover by themselves. */
#include <sys/resource.h>

#include "suite.h"

enum { MANY = 6 };

typedef struct Crowd {
        World w;
        const Listener *l;
        Address listener, upstream;
        int home, clients[MANY];
} Crowd;

static void crowd_init(Crowd *c, uint64_t max_sessions, uint64_t max_policy_sessions)
{
        PolicySettings settings = world_settings;

        settings.max_sessions = max_policy_sessions;
        world_init(&c->w, max_sessions);
        c->home = upstream_new(NULL, 0, &c->upstream);
        c->l = world_listener(&c->w, NULL, world_policy(&c->w, &settings, &c->upstream), &c->listener);
        for (int i = 0; i < MANY; i++)
                c->clients[i] = client_new(NULL, &c->listener);
}

/* The first n get through, the others are dropped with the verdict; after everything expired, the last gets through. */
static void crowd_check(Crowd *c, int n, Verdict verdict)
{
        for (int i = 0; i < n; i++)
                (void)world_round(&c->w, c->clients[i], c->home, "in");
        for (int i = n; i < MANY; i++) {
                peer_send(c->clients[i], "out", 3);
                ck_assert(peer_silent(&c->w, c->home));
        }
        ck_assert_uint_eq(world_verdicts(c->l, FORWARD, verdict), (unsigned)(MANY - n));
        ck_assert_uint_eq(c->w.n_opened, (unsigned)n);
        for (int i = 0; i < n; i++)
                (void)world_round(&c->w, c->clients[i], c->home, "those who are in go on");
        world_pass(&c->w, USEC_PER_HOUR);
        ck_assert_uint_eq(counter_get(&c->w.relay->quota.current), 0);
        (void)world_round(&c->w, c->clients[MANY - 1], c->home, "in at last");
        ck_assert_uint_eq(counter_get(&c->w.relay->quota.peak), (unsigned)n);
        world_done(&c->w);
}

START_TEST(a_full_relay_refuses_and_recovers)
{
        Crowd c;

        crowd_init(&c, 3, 1000);
        crowd_check(&c, 3, VERDICT_TABLE_FULL);
}
END_TEST

START_TEST(a_full_policy_refuses_and_recovers)
{
        Crowd c;

        crowd_init(&c, 1000, 2);
        crowd_check(&c, 2, VERDICT_TABLE_FULL);
}
END_TEST

START_TEST(a_full_policy_leaves_room_for_another)
{
        PolicySettings small = world_settings;
        Address full, free_one, up;
        World w;
        int home;

        world_init(&w, 100);
        small.max_sessions = 1;
        home = upstream_new(NULL, 0, &up);
        world_listener(&w, NULL, world_policy(&w, &small, &up), &full);
        world_listener(&w, NULL, world_policy(&w, NULL, &up), &free_one);
        (void)world_round(&w, client_new(NULL, &full), home, "in");
        peer_send(client_new(NULL, &full), "out", 3);
        ck_assert(peer_silent(&w, home));
        (void)world_round(&w, client_new(NULL, &free_one), home, "in");
        world_done(&w);
}
END_TEST

START_TEST(no_descriptor_refuses_and_recovers)
{
        struct rlimit files;
        Crowd c;
        int next;

        crowd_init(&c, 1000, 1000);
        next = dup(0);
        ck_assert_int_ge(next, 0);
        (void)close(next);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
        files.rlim_cur = (rlim_t)next + 4;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
        crowd_check(&c, 4, VERDICT_NO_DESCRIPTOR);
}
END_TEST

START_TEST(no_port_refuses_and_recovers)
{
        Crowd c;

        crowd_init(&c, 1000, 1000);
        world_run("echo 40000 40002 > /proc/sys/net/ipv4/ip_local_port_range");
        crowd_check(&c, 3, VERDICT_NO_PORT);
}
END_TEST

/* The table of a relay that was born small grows with its limit, and loses nobody. */
START_TEST(a_raised_limit_makes_room)
{
        Crowd c;

        crowd_init(&c, 1, 1000);
        (void)world_round(&c.w, c.clients[0], c.home, "in");
        ck_assert_uint_eq(c.w.relay->table.n_buckets, 1);
        relay_set_limit(c.w.relay, 100);
        ck_assert_uint_ge(c.w.relay->table.n_buckets, 100);
        for (int i = 0; i < MANY; i++)
                (void)world_round(&c.w, c.clients[i], c.home, "in");
        ck_assert_uint_eq(c.w.n_opened, MANY);
        world_done(&c.w);
}
END_TEST

START_TEST(a_lowered_limit_takes_nothing_away)
{
        Crowd c;

        crowd_init(&c, 1000, 1000);
        for (int i = 0; i < 3; i++)
                (void)world_round(&c.w, c.clients[i], c.home, "in");
        relay_set_limit(c.w.relay, 1);
        peer_send(c.clients[3], "out", 3);
        ck_assert(peer_silent(&c.w, c.home));
        for (int i = 0; i < 3; i++)
                (void)world_round(&c.w, c.clients[i], c.home, "still in");
        world_done(&c.w);
}
END_TEST

WORLD_SUITE("limits", a_full_relay_refuses_and_recovers, a_full_policy_refuses_and_recovers,
            a_full_policy_leaves_room_for_another, no_descriptor_refuses_and_recovers, no_port_refuses_and_recovers,
            a_raised_limit_makes_room, a_lowered_limit_takes_nothing_away)
