/* SPDX-License-Identifier: MIT */
/* The upstream is not known yet, and the upstream moves. */
#include <fcntl.h>
#include <sched.h>
#include <string.h>

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

/*
 * The relay's own address is replaced (a new prefix, a link-local choice at boot). Nothing tells the leg; its client
 * goes on talking and hears nothing, so the leg is pointed anew, and keeps its port.
 */
START_TEST(a_leg_whose_source_is_gone_finds_another)
{
        int here, there, home, client;
        Address listener, upstream, before, after;
        char got[100];
        World w;

        world_init(&w, 100);
        here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        there = world_second_host();
        ck_assert_int_eq(setns(there, CLONE_NEWNET), 0);
        world_run("ip link set there up && ip -6 addr add 2001:db8:100::10/64 dev there nodad && "
                  "ip -6 route add 2001:db8:5::/64 dev there");
        home = upstream_new("2001:db8:100::10", 0, &upstream);
        ck_assert_int_eq(setns(here, CLONE_NEWNET), 0);
        world_run("ip link set here up && ip -6 addr add 2001:db8:5::1/64 dev here nodad && "
                  "ip -6 route add 2001:db8:100::/64 dev here && sleep 0.2");
        world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        client = client_new(NULL, &listener);
        before = world_round(&w, client, home, "before");

        world_run("ip -6 addr add 2001:db8:5::2/64 dev here nodad && ip -6 addr del 2001:db8:5::1/64 dev here");
        w.now += 9 * USEC_PER_SEC;
        peer_send(client, "still from the old address", 26);
        world_settle(&w);
        w.now += USEC_PER_SEC;
        peer_send(client, "ten seconds without an answer", 29);
        world_settle(&w);
        peer_send(client, "anew", 4);
        world_settle(&w);
        do
                (void)peer_receive(&w, home, got, sizeof(got), &after);
        while (memcmp(got, "anew", 4) != 0);
        ck_assert(!IN6_ARE_ADDR_EQUAL(&before.v6, &after.v6));
        ck_assert_uint_eq(before.port, after.port);
        upstream_reply(home, &after, "answer", 6);
        ck_assert_uint_eq(peer_receive(&w, client, got, sizeof(got), NULL), 6);
        ck_assert_uint_eq(w.n_opened, 1);
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
        world_run("ip -6 addr add 2001:db8:100::10/128 dev lo nodad && sleep 0.1"); /* its route follows a moment later
                                                                                     */
        after = world_round(&w, client, home2, "there it is");
        ck_assert_uint_eq(before.port, after.port);
        ck_assert_uint_eq(w.n_opened, 1);
        world_done(&w);
}
END_TEST

/* Two names of one host: who went over from the one to the other is the other's from then on. */
START_TEST(two_targets_of_one_address)
{
        UpstreamTargets to = {.used = 3};
        const UpstreamTarget *targets;
        Address listener, upstream, before, after;
        Policy *policy;
        int home, client;
        World w;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        to.addresses[0] = to.addresses[1] = upstream;
        policy = world_policy(&w, NULL, &upstream);
        targets = policy->upstream.targets;
        upstream_set_targets(&policy->upstream, &to);
        world_listener(&w, NULL, policy, &listener);
        client = client_new(NULL, &listener);
        before = world_round(&w, client, home, "first");
        ck_assert_uint_eq(counter_get(&targets[0].n_sessions), 1);
        to.chosen = 1;
        to.left = 1;
        for (unsigned i = 0; i < 2; i++) {
                upstream_set_targets(&policy->upstream, &to);
                after = world_round(&w, client, home, "later");
                ck_assert(address_equal(&before, &after));
                ck_assert_uint_eq(counter_get(&targets[0].n_sessions), 0);
                ck_assert_uint_eq(counter_get(&targets[1].n_sessions), 1);
                to.left = 0; /* the first one is as good as before: who is at the other one stays */
        }
        world_done(&w);
}
END_TEST

WORLD_SUITE("upstream", a_leg_whose_source_is_gone_finds_another, a_leg_that_cannot_follow_tries_again,
            an_unresolved_upstream_is_a_named_verdict, the_upstream_moves_and_sessions_follow_on_their_port,
            two_targets_of_one_address)
