/* SPDX-License-Identifier: MIT */
/* Datagrams as no honest socket would send them: bad checksums, impossible sources. Written by a raw socket. */
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>

#include "suite.h"

typedef struct __attribute__((packed)) Raw {
        struct iphdr ip;
        struct udphdr udp;
        char payload[4];
} Raw;

static uint32_t sum16(const void *data, size_t size, uint32_t sum)
{
        const uint8_t *p = data;

        for (size_t i = 0; i + 1 < size; i += 2)
                sum += (uint32_t)p[i] << 8 | p[i + 1];
        return sum;
}

static uint16_t udp_checksum(const Raw *raw)
{
        uint32_t sum = IPPROTO_UDP + sizeof(raw->udp) + sizeof(raw->payload);

        sum = sum16(&raw->ip.saddr, 8, sum);
        sum = sum16(&raw->udp, sizeof(raw->udp) + sizeof(raw->payload), sum);
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return htons((uint16_t)~sum);
}

static void raw_send(const char *from, uint16_t from_port, const Address *to, bool spoil)
{
        Raw raw = {.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .daddr = to->v4.s_addr},
                   .udp = {.source = htons(from_port), .dest = htons(to->port)},
                   .payload = "raw"};
        struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = to->v4};
        int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

        ck_assert_int_ge(fd, 0);
        raw.udp.len = htons(sizeof(raw.udp) + sizeof(raw.payload));
        ck_assert_int_eq(inet_pton(AF_INET, from, &raw.ip.saddr), 1);
        raw.udp.check = udp_checksum(&raw);
        if (spoil)
                raw.udp.check = (uint16_t)~raw.udp.check;
        ck_assert_int_eq(sendto(fd, &raw, sizeof(raw), 0, (struct sockaddr *)&name, sizeof(name)), sizeof(raw));
        (void)close(fd);
}

START_TEST(raw_datagrams_work_at_all)
{
        Address listener, upstream;
        char got[10];
        World w;
        int home;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        raw_send("127.0.0.5", 1234, &listener, false);
        ck_assert_uint_eq(peer_receive(&w, home, got, sizeof(got), NULL), 4);
        world_done(&w);
}
END_TEST

/* A bad checksum makes the socket readable and then empty; that must silence nothing. */
START_TEST(a_bad_checksum_silences_nothing)
{
        Address listener, upstream;
        const Listener *l;
        World w;
        int home, client;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        l = world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        client = client_new(NULL, &listener);
        for (int i = 0; i < 10; i++) {
                raw_send("127.0.0.5", 1234, &listener, true);
                ck_assert_int_ge(relay_dispatch(w.relay, w.now), 0);
                (void)world_round(&w, client, home, "still here");
        }
        ck_assert_uint_eq(counter_get(&l->stats.directions[FORWARD].received), 10); /* the kernel dropped the others */
        ck_assert_uint_eq(w.n_opened, 1);
        world_done(&w);
}
END_TEST

START_TEST(impossible_sources_are_refused_by_name)
{
        Address listener, upstream;
        const Listener *l;
        World w;
        int home;

        world_init(&w, 100);
        home = upstream_new(NULL, 0, &upstream);
        l = world_listener(&w, NULL, world_policy(&w, NULL, &upstream), &listener);
        raw_send("127.0.0.5", 0, &listener, false);
        ck_assert(peer_silent(&w, home));
        ck_assert_uint_eq(world_verdicts(l, FORWARD, VERDICT_BAD_SOURCE), 1);
        ck_assert_uint_eq(w.n_opened, 0);
        world_done(&w);
}
END_TEST

WORLD_SUITE("sources", raw_datagrams_work_at_all, a_bad_checksum_silences_nothing,
            impossible_sources_are_refused_by_name)
