/* SPDX-License-Identifier: MIT */
/* When sessions end, and when they do not. */
#include "suite.h"

typedef struct Pair {
        World w;
        Policy *policy;
        const Listener *l;
        Address listener, upstream, leg;
        int home, client;
} Pair;

static void pair_init(Pair *p)
{
        world_init(&p->w, 20000);
        p->home = upstream_new(NULL, 0, &p->upstream);
        p->policy = world_policy(&p->w, NULL, &p->upstream);
        p->l = world_listener(&p->w, NULL, p->policy, &p->listener);
        p->client = client_new(NULL, &p->listener);
}

static void pair_say(Pair *p)
{
        char got[10];

        peer_send(p->client, "c", 1);
        (void)peer_receive(&p->w, p->home, got, sizeof(got), &p->leg);
}

static void pair_answer(Pair *p)
{
        char got[10];

        upstream_reply(p->home, &p->leg, "u", 1);
        (void)peer_receive(&p->w, p->client, got, sizeof(got), NULL);
}

static uint64_t n_sessions(const Pair *p)
{
        return counter_get(&p->w.relay->quota.current);
}

START_TEST(unreplied_sessions_end_early)
{
        Pair p;

        pair_init(&p);
        pair_say(&p);
        ck_assert_uint_eq(counter_get(&p.policy->n_sessions[SESSION_UNREPLIED]), 1);
        world_pass(&p.w, 29 * USEC_PER_SEC);
        ck_assert_uint_eq(n_sessions(&p), 1);
        pair_say(&p); /* refreshed by the client */
        world_pass(&p.w, 29 * USEC_PER_SEC);
        ck_assert_uint_eq(n_sessions(&p), 1);
        world_pass(&p.w, USEC_PER_SEC);
        ck_assert_uint_eq(n_sessions(&p), 0);
        ck_assert_int_eq(p.w.last_end, SESSION_IDLE_TIMEOUT);
        ck_assert_uint_eq(counter_get(&p.l->stats.sessions_closed[SESSION_IDLE_TIMEOUT]), 1);
        ck_assert_uint_eq(counter_get(&p.policy->n_sessions[SESSION_UNREPLIED]), 0);
        world_done(&p.w);
}
END_TEST

START_TEST(assured_sessions_are_refreshed_by_both_sides)
{
        Pair p;

        pair_init(&p);
        pair_say(&p);
        pair_answer(&p);
        ck_assert_uint_eq(counter_get(&p.policy->n_sessions[SESSION_UNREPLIED]), 0);
        ck_assert_uint_eq(counter_get(&p.policy->n_sessions[SESSION_ASSURED]), 1);
        world_pass(&p.w, 179 * USEC_PER_SEC);
        pair_say(&p);
        world_pass(&p.w, 179 * USEC_PER_SEC);
        pair_answer(&p);
        world_pass(&p.w, 179 * USEC_PER_SEC);
        ck_assert_uint_eq(n_sessions(&p), 1);
        world_pass(&p.w, USEC_PER_SEC);
        ck_assert_uint_eq(n_sessions(&p), 0);
        world_done(&p.w);
}
END_TEST

/* The list is in order of last use: who was refreshed must not hide who was not. */
START_TEST(a_refreshed_session_does_not_hide_an_older_one)
{
        Pair p;
        int other;

        pair_init(&p);
        pair_say(&p);
        other = client_new(NULL, &p.listener);
        peer_send(other, "o", 1);
        (void)peer_receive(&p.w, p.home, &(char){0}, 1, NULL);
        world_pass(&p.w, 20 * USEC_PER_SEC);
        pair_say(&p);
        world_pass(&p.w, 10 * USEC_PER_SEC);
        ck_assert_uint_eq(n_sessions(&p), 1);
        world_pass(&p.w, 20 * USEC_PER_SEC);
        ck_assert_uint_eq(n_sessions(&p), 0);
        world_done(&p.w);
}
END_TEST

/* Nor must one that was answered late. */
START_TEST(one_that_is_answered_does_not_hide_an_older_one)
{
        Pair p;
        int other;

        pair_init(&p);
        pair_say(&p);
        other = client_new(NULL, &p.listener);
        p.w.now += USEC_PER_SEC;
        (void)world_round(&p.w, other, p.home, "other");
        p.w.now += USEC_PER_SEC;
        pair_answer(&p);
        ck_assert_uint_eq(relay_deadline(p.w.relay), p.w.now + 179 * USEC_PER_SEC);
        world_pass(&p.w, 179 * USEC_PER_SEC);
        ck_assert_uint_eq(n_sessions(&p), 1);
        world_pass(&p.w, USEC_PER_SEC);
        ck_assert_uint_eq(n_sessions(&p), 0);
        world_done(&p.w);
}
END_TEST

/* Of a process before: several were used at the same moment, and one later. */
START_TEST(those_who_come_back_end_in_order)
{
        enum { N = 4 };
        SessionRecord records[N];
        Session *session;
        Pair p;

        pair_init(&p);
        for (unsigned i = 0; i < N; i++) {
                peer_send(client_new(NULL, &p.listener), "c", 1);
                world_settle(&p.w);
                records[i] = ((const Session *)slots_at(&p.w.relay->slots, i))->record;
        }
        relay_close_sessions(p.w.relay, SESSION_SHUTDOWN, p.w.now);
        p.w.now += USEC_PER_SEC;
        records[0].last_use = p.w.now;
        for (unsigned i = 0; i < N; i++)
                ck_assert_int_eq(session_adopt(p.w.relay, p.w.relay->listeners[0], &records[i], -EBADF, -EBADF, p.w.now,
                                               &session),
                                 0);
        p.w.n_opened += N;
        world_pass(&p.w, 29 * USEC_PER_SEC);
        ck_assert_uint_eq(n_sessions(&p), 1);
        world_pass(&p.w, USEC_PER_SEC);
        ck_assert_uint_eq(n_sessions(&p), 0);
        world_done(&p.w);
}
END_TEST

/* Fault 8: upstream chatter alone kept a session, and its slot, for ever. */
START_TEST(replies_alone_do_not_keep_a_session)
{
        Pair p;
        usec_t began;

        pair_init(&p);
        pair_say(&p);
        pair_answer(&p);
        began = p.w.now;
        while (n_sessions(&p) == 1) {
                ck_assert_uint_lt(p.w.now - began, 16 * USEC_PER_MINUTE);
                upstream_reply(p.home, &p.leg, "u", 1);
                world_settle(&p.w);
                world_pass(&p.w, 10 * USEC_PER_SEC);
        }
        ck_assert_uint_ge(p.w.now - began, 12 * USEC_PER_MINUTE);
        world_done(&p.w);
}
END_TEST

/* Fault 6: a datagram that met a closing session was dropped instead of opening a new one. */
START_TEST(the_next_datagram_opens_a_new_session)
{
        Pair p;

        pair_init(&p);
        for (int i = 0; i < 50; i++) {
                peer_send(p.client, "c", 1); /* waits in the socket while the session ends */
                world_pass(&p.w, 30 * USEC_PER_SEC);
                pair_say(&p);
                pair_answer(&p);
                (void)peer_receive(&p.w, p.home, &(char){0}, 1, NULL);
                world_pass(&p.w, 180 * USEC_PER_SEC);
        }
        ck_assert_uint_eq(world_verdicts(p.l, FORWARD, VERDICT_FORWARDED), 100);
        world_done(&p.w);
}
END_TEST

START_TEST(each_policy_has_its_own_time_outs)
{
        PolicySettings quick = world_settings;
        Address slow_listener, quick_listener, up;
        World w;
        int home;

        world_init(&w, 100);
        quick.timeouts[SESSION_ASSURED] = quick.timeouts[SESSION_UNREPLIED] = USEC_PER_SEC;
        home = upstream_new(NULL, 0, &up);
        world_listener(&w, NULL, world_policy(&w, NULL, &up), &slow_listener);
        world_listener(&w, NULL, world_policy(&w, &quick, &up), &quick_listener);
        (void)world_round(&w, client_new(NULL, &slow_listener), home, "slow");
        (void)world_round(&w, client_new(NULL, &quick_listener), home, "quick");
        ck_assert_uint_eq(relay_deadline(w.relay), w.now + USEC_PER_SEC);
        world_pass(&w, USEC_PER_SEC);
        ck_assert_uint_eq(w.n_closed, 1);
        world_pass(&w, 178 * USEC_PER_SEC);
        ck_assert_uint_eq(w.n_closed, 1);
        world_pass(&w, USEC_PER_SEC);
        ck_assert_uint_eq(w.n_closed, 2);
        ck_assert_uint_eq(relay_deadline(w.relay), USEC_NEVER);
        world_done(&w);
}
END_TEST

/* Many at once end in bounded portions: one call must not hold up the datagrams behind it. */
START_TEST(a_thousand_sessions_end_in_portions)
{
        enum { N = 1000 };
        unsigned n_calls = 0;
        Pair p;

        pair_init(&p);
        for (int i = 0; i < N; i++) {
                peer_send(client_new(NULL, &p.listener), "c", 1);
                if (i % 50 == 0)
                        world_settle(&p.w);
        }
        world_settle(&p.w);
        ck_assert_uint_eq(n_sessions(&p), N);
        p.w.now += USEC_PER_HOUR;
        while (relay_deadline(p.w.relay) <= p.w.now) {
                uint64_t before = n_sessions(&p);

                relay_expire(p.w.relay, p.w.now);
                ck_assert_uint_le(before - n_sessions(&p), 64);
                n_calls++;
        }
        ck_assert_uint_ge(n_calls, N / 64);
        ck_assert_uint_eq(n_sessions(&p), 0);
        world_done(&p.w);
}
END_TEST

WORLD_SUITE("expiry", unreplied_sessions_end_early, assured_sessions_are_refreshed_by_both_sides,
            a_refreshed_session_does_not_hide_an_older_one, one_that_is_answered_does_not_hide_an_older_one,
            those_who_come_back_end_in_order, replies_alone_do_not_keep_a_session,
            the_next_datagram_opens_a_new_session, each_policy_has_its_own_time_outs,
            a_thousand_sessions_end_in_portions)
