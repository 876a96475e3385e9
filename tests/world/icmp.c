/* SPDX-License-Identifier: MIT */
/* ICMP errors are advice: counted, the datagram they ate is sent once more, the session and its port stay. */
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <string.h>

#include "suite.h"

/* Fault 1: "port unreachable" closed the session, and the upstream's restart gave every client a new source port. */
START_TEST(the_upstream_restarts_and_the_port_stays)
{
        Address listener, upstream, before, after;
        const Listener *l;
        char got[100];
        World w;
        int home, client;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        l = world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        client = client_new(NULL, &listener);
        before = world_round(&w, client, home, "before");
        (void)close(home);
        for (int i = 0; i < 5; i++) { /* the kernel answers each with port unreachable */
                peer_send(client, "nobody there", 12);
                world_settle(&w);
        }
        ck_assert_uint_ge(counter_get(&l->stats.icmp_errors), 4);
        home = upstream_new(NULL, upstream.port, &upstream);
        peer_send(client, "first after", 11); /* must not be eaten by the pending error */
        ck_assert_uint_eq(peer_receive(&w, home, got, sizeof(got), &after), 11);
        ck_assert(address_equal(&before, &after));
        after = world_round(&w, client, home, "and back");
        ck_assert(address_equal(&before, &after));
        ck_assert_uint_eq(w.n_opened, 1);
        ck_assert_uint_eq(w.n_closed, 0);
        world_done(&w);
}
END_TEST

/* An error that was pending before a whole burst costs none of its datagrams. */
START_TEST(a_pending_error_eats_no_datagram_of_a_burst)
{
        Address listener, upstream;
        const Listener *l;
        char got[100];
        World w;
        int home, client;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        l = world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        client = client_new(NULL, &listener);
        (void)world_round(&w, client, home, "hello");
        (void)close(home);
        peer_send(client, "provokes the error", 18);
        /* Forward only: the leg's own turn, which would fetch the error, shall not come first. */
        ck_assert_int_eq(relay_dispatch(w.relay, w.now), 1);
        home = upstream_new(NULL, upstream.port, &upstream);
        for (int i = 0; i < 20; i++)
                peer_send(client, &i, sizeof(i));
        for (int i = 0; i < 20; i++) {
                int number;

                ck_assert_uint_eq(peer_receive(&w, home, got, sizeof(got), NULL), sizeof(i));
                memcpy(&number, got, sizeof(number));
                ck_assert_int_eq(number, i);
        }
        ck_assert_uint_ge(counter_get(&l->stats.icmp_errors), 1);
        ck_assert_uint_eq(world_verdicts(l, FORWARD, VERDICT_UNREACHABLE), 0);
        world_done(&w);
}
END_TEST

typedef struct __attribute__((packed)) PacketTooBig {
        struct icmp6_hdr icmp;
        struct ip6_hdr ip;
        struct udphdr udp;
} PacketTooBig;

/* As a router behind the leg would say it. */
static void packet_too_big(const Address *leg, const Address *upstream)
{
        PacketTooBig packet = {
                        .icmp = {.icmp6_type = ICMP6_PACKET_TOO_BIG},
                        .ip = {.ip6_src = leg->v6, .ip6_dst = upstream->v6},
                        .udp = {.source = htons(leg->port),
                                .dest = htons(upstream->port),
                                .len = htons(sizeof(packet.udp))},
        };
        struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = leg->v6};
        int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);

        ck_assert_int_ge(fd, 0);
        packet.icmp.icmp6_mtu = htonl(1280);
        packet.ip.ip6_vfc = 6 << 4;
        packet.ip.ip6_nxt = IPPROTO_UDP;
        packet.ip.ip6_plen = htons(sizeof(packet.udp));
        ck_assert_int_eq(sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&name, sizeof(name)),
                         sizeof(packet));
        (void)close(fd);
}

/* "Packet too big" is pending like any other error, and means no datagram that comes after it. */
START_TEST(packet_too_big_eats_no_datagram)
{
        Address listener, upstream, leg;
        const Listener *l;
        char got[100];
        World w;
        int home, client;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        l = world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        client = client_new(NULL, &listener);
        leg = world_round(&w, client, home, "hello");
        for (int i = 0; i < 3; i++)
                peer_send(client, "small", 5);
        packet_too_big(&leg, &upstream);
        /* forward first: the listener has been ready for longer than the leg */
        for (int i = 0; i < 3; i++)
                ck_assert_uint_eq(peer_receive(&w, home, got, sizeof(got), NULL), 5);
        ck_assert_uint_eq(world_verdicts(l, FORWARD, VERDICT_TOO_BIG), 0);
        ck_assert_uint_eq(counter_get(&l->stats.icmp_too_big), 1);
        ck_assert_uint_eq(counter_get(&l->stats.icmp_errors), 0);
        world_done(&w);
}
END_TEST

/* With no route at all, the second refusal is the datagram's verdict; the session waits for better times. */
START_TEST(no_route_is_a_verdict_and_heals)
{
        Address listener, upstream, before, after;
        const Listener *l;
        World w;
        int home, client;

        world_init(&w, 100);
        world_run("ip -6 addr add 2001:db8:100::10/128 dev lo nodad && sleep 0.1");
        home = upstream_new("2001:db8:100::10", 0, &upstream);
        l = world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        client = client_new(NULL, &listener);
        before = world_round(&w, client, home, "hello");
        world_run("ip -6 route add unreachable 2001:db8:100::10/128 metric 1 table 7 && ip -6 rule add pref 0 table 7 "
                  "&& "
                  "ip -6 rule del pref 0 table local");
        peer_send(client, "lost", 4);
        ck_assert(peer_silent(&w, home));
        ck_assert_uint_eq(world_verdicts(l, FORWARD, VERDICT_UNREACHABLE) +
                                          world_verdicts(l, FORWARD, VERDICT_NO_ROUTE),
                          1);
        ck_assert_uint_eq(counter_get(&l->stats.icmp_errors), 0); /* it was this host that said so */
        world_run("ip -6 rule del pref 0 table 7 && ip -6 rule add pref 0 table local");
        after = world_round(&w, client, home, "again");
        ck_assert(address_equal(&before, &after));
        world_done(&w);
}
END_TEST

WORLD_SUITE("icmp", the_upstream_restarts_and_the_port_stays, a_pending_error_eats_no_datagram_of_a_burst,
            packet_too_big_eats_no_datagram, no_route_is_a_verdict_and_heals)
