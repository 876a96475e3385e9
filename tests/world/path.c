/* SPDX-License-Identifier: MIT */
/* The way there and back: who is who, sizes, order, and that nothing vanishes. */
#include <string.h>

#include "suite.h"

START_TEST(two_clients_have_two_ports)
{
        Address listener, upstream, a, b;
        World w;
        int home, one, two;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        one = client_new(NULL, &listener);
        two = client_new(NULL, &listener);
        a = world_round(&w, one, home, "one");
        b = world_round(&w, two, home, "two");
        ck_assert(!address_equal(&a, &b));
        /* the same client again: the same port */
        b = world_round(&w, one, home, "one again");
        ck_assert(address_equal(&a, &b));
        ck_assert_uint_eq(w.n_opened, 2);
        world_done(&w);
}
END_TEST

START_TEST(one_client_on_two_listeners_has_two_sessions)
{
        Address first, second, upstream, a, b;
        World w;
        Policy *policy;
        int home, client;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        policy = world_policy(&w, NULL, &upstream);
        world_listener(&w, NULL, policy, &first);
        world_listener(&w, NULL, policy, &second);
        client = client_new("127.0.0.9", &first);
        a = world_round(&w, client, home, "first");
        ck_assert_int_eq(connect(client,
                                 (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET,
                                                                          .sin_port = htons(second.port),
                                                                          .sin_addr = second.v4},
                                 sizeof(struct sockaddr_in)),
                         0);
        b = world_round(&w, client, home, "second");
        ck_assert(!address_equal(&a, &b));
        ck_assert_uint_eq(w.n_opened, 2);
        world_done(&w);
}
END_TEST

START_TEST(listeners_keep_their_own_upstreams)
{
        Address first, second, up1, up2;
        World w;
        int home1, home2;

        world_init(&w, 100);
        home1 = upstream_new(NULL, 0, &up1);
        home2 = upstream_new(NULL, 0, &up2);
        world_listener(&w, NULL, world_policy(&w, NULL, &up1), &first);
        world_listener(&w, NULL, world_policy(&w, NULL, &up2), &second);
        (void)world_round(&w, client_new(NULL, &first), home1, "to the first");
        (void)world_round(&w, client_new(NULL, &second), home2, "to the second");
        ck_assert(peer_silent(&w, home1));
        ck_assert(peer_silent(&w, home2));
        world_done(&w);
}
END_TEST

START_TEST(every_size_passes_whole)
{
        static const size_t sizes[] = {0, 1, 2, 100, 1280, 1471, 1472, 1473, 9000, 65506, 65507};
        static uint8_t sent[65507], got[70000];
        Address listener, upstream, from;
        const Listener *l;
        World w;
        int home, client;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        l = world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        client = client_new(NULL, &listener);
        for (size_t i = 0; i < sizeof(sent); i++)
                sent[i] = (uint8_t)(i * 31 + i / 251);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                peer_send(client, sent, sizes[i]);
                ck_assert_uint_eq(peer_receive(&w, home, got, sizeof(got), &from), sizes[i]);
                ck_assert_mem_eq(got, sent, sizes[i]);
                upstream_reply(home, &from, sent, sizes[i]);
                ck_assert_uint_eq(peer_receive(&w, client, got, sizeof(got), NULL), sizes[i]);
                ck_assert_mem_eq(got, sent, sizes[i]);
        }
        ck_assert_uint_eq(world_verdicts(l, FORWARD, VERDICT_FORWARDED), ELEMENTSOF(sizes));
        ck_assert_uint_eq(world_verdicts(l, REPLY, VERDICT_FORWARDED), ELEMENTSOF(sizes));
        world_done(&w);
}
END_TEST

/* Fault 4: larger datagrams were cut, and the rest forwarded. */
START_TEST(larger_than_the_limit_is_dropped_and_never_cut)
{
        PolicySettings settings = world_settings;
        Address listener, upstream, from;
        static uint8_t data[2000];
        const Listener *l;
        World w;
        int home, client;

        world_init(&w, 100);
        settings.max_datagram = 1000;
        home = upstream_new(NULL, 0, &upstream);
        l = world_listener(&w, NULL, world_policy(&w, &settings, &upstream), &listener);
        client = client_new(NULL, &listener);
        peer_send(client, data, 1001);
        ck_assert(peer_silent(&w, home));
        ck_assert_uint_eq(w.n_opened, 0); /* it does not even open a session */
        peer_send(client, data, 1000);
        peer_send(client, data, 1001);
        peer_send(client, data, 7);
        ck_assert_uint_eq(peer_receive(&w, home, data, sizeof(data), &from), 1000);
        ck_assert_uint_eq(peer_receive(&w, home, data, sizeof(data), &from), 7);
        upstream_reply(home, &from, data, 7);
        upstream_reply(home, &from, data, 1001);
        upstream_reply(home, &from, data, 1000);
        ck_assert_uint_eq(peer_receive(&w, client, data, sizeof(data), NULL), 7);
        ck_assert_uint_eq(peer_receive(&w, client, data, sizeof(data), NULL), 1000);
        ck_assert(peer_silent(&w, client));
        ck_assert_uint_eq(world_verdicts(l, FORWARD, VERDICT_OVERSIZE), 2);
        ck_assert_uint_eq(world_verdicts(l, REPLY, VERDICT_OVERSIZE), 1);
        world_done(&w);
}
END_TEST

/* IPv6 carries 20 bytes more than IPv4 can. */
START_TEST(a_reply_too_big_for_ipv4_is_counted)
{
        static uint8_t data[65527];
        Address listener, upstream, from;
        const Listener *l;
        World w;
        int home, client;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        l = world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        client = client_new(NULL, &listener);
        from = world_round(&w, client, home, "hello");
        upstream_reply(home, &from, data, 65527);
        upstream_reply(home, &from, data, 3);
        ck_assert_uint_eq(peer_receive(&w, client, data, sizeof(data), NULL), 3);
        ck_assert_uint_eq(world_verdicts(l, REPLY, VERDICT_TOO_BIG), 1);
        world_done(&w);
}
END_TEST

START_TEST(order_is_kept_in_both_directions)
{
        enum { N = 3000, BURST = 100 };
        Address listener, upstream, from[2], to;
        unsigned number, got, next[2] = {0}, back[2] = {0};
        World w;
        int home, clients[2];

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        for (int c = 0; c < 2; c++) {
                clients[c] = client_new(NULL, &listener);
                from[c] = world_round(&w, clients[c], home, "who");
        }
        for (number = 0; number < N; number += BURST) {
                for (unsigned i = 0; i < BURST; i++) /* two flows, interleaved */
                        for (int c = 0; c < 2; c++)
                                peer_send(clients[c], &(unsigned){number + i}, sizeof(number));
                for (unsigned i = 0; i < 2 * BURST; i++) {
                        int c;

                        ck_assert_uint_eq(peer_receive(&w, home, &got, sizeof(got), &to), sizeof(got));
                        c = address_equal(&to, &from[1]);
                        ck_assert_uint_eq(got, next[c]++);
                        upstream_reply(home, &to, &got, sizeof(got));
                }
                for (unsigned i = 0; i < BURST; i++)
                        for (int c = 0; c < 2; c++) {
                                ck_assert_uint_eq(peer_receive(&w, clients[c], &got, sizeof(got), NULL), sizeof(got));
                                ck_assert_uint_eq(got, back[c]++);
                        }
        }
        world_done(&w);
}
END_TEST

/* What comes out of order goes on out of order: a relay does not sort, hold back or join. */
START_TEST(reordered_datagrams_stay_as_they_came)
{
        static const char *const words[] = {"3", "1", "1", "2", "0"};
        Address listener, upstream;
        char got[10];
        World w;
        int home, client;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        client = client_new(NULL, &listener);
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                peer_send(client, words[i], 1);
        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                ck_assert_uint_eq(peer_receive(&w, home, got, sizeof(got), NULL), 1);
                ck_assert_int_eq(got[0], words[i][0]);
        }
        ck_assert(peer_silent(&w, home));
        world_done(&w);
}
END_TEST

/* Nobody but the upstream can write into a leg. */
START_TEST(a_stranger_cannot_write_into_a_leg)
{
        Address listener, upstream, leg, stranger;
        World w;
        int home, other, client;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        other = upstream_new(NULL, 0, &stranger);
        world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        client = client_new(NULL, &listener);
        leg = world_round(&w, client, home, "hello");
        upstream_reply(other, &leg, "forged", 6);
        ck_assert(peer_silent(&w, client));
        world_done(&w);
}
END_TEST

WORLD_SUITE("path", two_clients_have_two_ports, one_client_on_two_listeners_has_two_sessions,
            listeners_keep_their_own_upstreams, every_size_passes_whole, larger_than_the_limit_is_dropped_and_never_cut,
            a_reply_too_big_for_ipv4_is_counted, order_is_kept_in_both_directions,
            reordered_datagrams_stay_as_they_came, a_stranger_cannot_write_into_a_leg)
