/* SPDX-License-Identifier: MIT */
/* The upstream is not known yet, and the upstream moves. */
#include "suite.h"

START_TEST(an_unresolved_upstream_is_a_named_verdict)
{
        Address listener, upstream;
        const Listener *l;
        Policy *policy;
        World w;
        int home, client;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        policy = world_policy(&w, NULL, NULL);
        l = world_listener(&w, NULL, policy, &listener);
        client = client_new(NULL, &listener);
        peer_send(client, "early", 5);
        ck_assert(peer_silent(&w, home));
        ck_assert_uint_eq(world_verdicts(l, FORWARD, VERDICT_UPSTREAM_UNRESOLVED), 1);
        ck_assert_uint_eq(w.n_opened, 0);
        upstream_set_address(&policy->upstream, &upstream);
        (void)world_round(&w, client, home, "known now");
        world_done(&w);
}
END_TEST

START_TEST(the_upstream_moves_and_sessions_follow_on_their_port)
{
        Address listener, first, second, before, after;
        Policy *policy;
        World w;
        int home1, home2, client;

        world_init(&w, 100);
        home1 = upstream_new(NULL, 0, &first);
        home2 = upstream_new(NULL, 0, &second);
        policy = world_policy(&w, NULL, &first);
        world_listener(&w, NULL, policy, &listener);
        client = client_new(NULL, &listener);
        before = world_round(&w, client, home1, "first");
        upstream_set_address(&policy->upstream, &second);
        after = world_round(&w, client, home2, "second");
        ck_assert(address_equal(&before, &after));
        ck_assert(peer_silent(&w, home1));
        ck_assert_uint_eq(w.n_opened, 1);
        /* the old one is a stranger now */
        upstream_reply(home1, &before, "late", 4);
        ck_assert(peer_silent(&w, client));
        world_done(&w);
}
END_TEST

/* The new address has no way there: its datagrams are counted by name, and the port is kept for when there is one. */
START_TEST(a_leg_that_cannot_follow_tries_again)
{
        Address listener, first, second, before, after;
        const Listener *l;
        Policy *policy;
        World w;
        int home1, home2, client;

        world_init(&w, 100);
        home1 = upstream_new(NULL, 0, &first);
        world_run("ip -6 addr add 2001:db8:100::10/128 dev lo nodad");
        home2 = upstream_new("2001:db8:100::10", 0, &second);
        world_run("ip -6 addr del 2001:db8:100::10/128 dev lo");
        policy = world_policy(&w, NULL, &first);
        l = world_listener(&w, NULL, policy, &listener);
        client = client_new(NULL, &listener);
        before = world_round(&w, client, home1, "first");
        upstream_set_address(&policy->upstream, &second);
        peer_send(client, "no way", 6);
        ck_assert(peer_silent(&w, home2));
        ck_assert_uint_eq(world_verdicts(l, FORWARD, VERDICT_NO_ROUTE), 1);
        upstream_reply(home1, &before, "late", 4); /* and nobody gets in meanwhile */
        ck_assert(peer_silent(&w, client));
        world_run("ip -6 addr add 2001:db8:100::10/128 dev lo nodad");
        after = world_round(&w, client, home2, "there it is");
        ck_assert_uint_eq(before.port, after.port);
        ck_assert_uint_eq(w.n_opened, 1);
        world_done(&w);
}
END_TEST

WORLD_SUITE("upstream", a_leg_that_cannot_follow_tries_again, an_unresolved_upstream_is_a_named_verdict,
            the_upstream_moves_and_sessions_follow_on_their_port)
