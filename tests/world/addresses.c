/* SPDX-License-Identifier: MIT */
/* Fault 3: on a host with several addresses a reply left from whichever address routing chose. */
#include <arpa/inet.h>

#include "suite.h"

START_TEST(replies_leave_from_the_address_written_to)
{
        static const char *const locals[] = {"192.0.2.1", "192.0.2.2", "198.51.100.7"};
        Address listener, upstream, seen[ELEMENTSOF(locals)];
        World w;
        int home;

        world_init(&w, 100);
        world_run("ip addr add 192.0.2.1/32 dev lo && ip addr add 192.0.2.2/32 dev lo && "
                  "ip addr add 198.51.100.7/32 dev lo && ip addr add 192.0.2.10/32 dev lo");
        home = upstream_new(NULL, 0, &upstream);
        world_listener(&w, "0.0.0.0", world_policy(&w, NULL, &upstream), &listener);
        for (size_t i = 0; i < ELEMENTSOF(locals); i++) {
                int client;

                ck_assert_int_eq(inet_pton(AF_INET, locals[i], &listener.v4), 1);
                client = client_new("192.0.2.10", &listener); /* connected: hears that address only */
                seen[i] = world_round(&w, client, home, locals[i]);
        }
        ck_assert_uint_eq(w.n_opened, ELEMENTSOF(locals));
        ck_assert(!address_equal(&seen[0], &seen[1]));
        world_done(&w);
}
END_TEST

/* The same client port towards two of our addresses is two flows. */
START_TEST(the_local_address_is_part_of_the_flow)
{
        Address listener, upstream, a, b;
        World w;
        int home, client;

        world_init(&w, 100);
        world_run("ip addr add 192.0.2.1/32 dev lo && ip addr add 192.0.2.2/32 dev lo");
        home = upstream_new(NULL, 0, &upstream);
        world_listener(&w, "0.0.0.0", world_policy(&w, NULL, &upstream), &listener);
        (void)inet_pton(AF_INET, "192.0.2.1", &listener.v4);
        client = client_new("127.0.0.1", &listener);
        a = world_round(&w, client, home, "one");
        ck_assert_int_eq(connect(client,
                                 (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET,
                                                                          .sin_port = htons(listener.port),
                                                                          .sin_addr.s_addr = inet_addr("192.0.2.2")},
                                 sizeof(struct sockaddr_in)),
                         0);
        b = world_round(&w, client, home, "two");
        ck_assert(!address_equal(&a, &b));
        world_done(&w);
}
END_TEST

/*
 * A socket unit without PassPacketInfo= hands over a socket in which datagrams wait whose local address the kernel did
 * not note; one with Timestamping= adds control messages of its own.
 */
START_TEST(sockets_of_other_units_know_the_address_too)
{
        struct sockaddr_in name = {.sin_family = AF_INET};
        socklen_t length = sizeof(name);
        Address listener = {.family = AF_INET}, upstream, a, b;
        char got[10];
        World w;
        int home, client, fd;

        world_init(&w, 100);
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int)), 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &length), 0);
        home = upstream_new(NULL, 0, &upstream);
        (void)inet_pton(AF_INET, "127.0.0.7", &listener.v4);
        listener.port = ntohs(name.sin_port);
        client = client_new("127.0.0.1", &listener);
        peer_send(client, "early", 5);
        ck_assert_int_eq(relay_add_listener(w.relay, &listener_udp, fd, world_policy(&w, NULL, &upstream), NULL), 0);
        ck_assert_uint_eq(peer_receive(&w, home, got, sizeof(got), &a), 5);
        b = world_round(&w, client, home, "later");
        ck_assert(address_equal(&a, &b));
        ck_assert_uint_eq(w.n_opened, 1);
        world_done(&w);
}
END_TEST

/* The address a client wrote to goes away: its replies are counted, the rest goes on. */
START_TEST(a_lost_local_address_is_a_verdict)
{
        Address listener, upstream, leg;
        const Listener *l;
        World w;
        int home, client, other;

        world_init(&w, 100);
        world_run("ip addr add 192.0.2.10/32 dev lo");
        home = upstream_new(NULL, 0, &upstream);
        l = world_listener(&w, "0.0.0.0", world_policy(&w, NULL, &upstream), &listener);
        (void)inet_pton(AF_INET, "127.0.0.1", &listener.v4);
        other = client_new("127.0.0.1", &listener);
        (void)inet_pton(AF_INET, "192.0.2.10", &listener.v4);
        client = client_new("127.0.0.1", &listener);
        leg = world_round(&w, client, home, "hello");
        world_run("ip addr del 192.0.2.10/32 dev lo");
        upstream_reply(home, &leg, "reply", 5);
        world_settle(&w);
        ck_assert_uint_eq(world_verdicts(l, REPLY, VERDICT_FORWARDED), 1);
        (void)world_round(&w, other, home, "still there");
        world_done(&w);
}
END_TEST

WORLD_SUITE("addresses", replies_leave_from_the_address_written_to, the_local_address_is_part_of_the_flow,
            sockets_of_other_units_know_the_address_too, a_lost_local_address_is_a_verdict)
