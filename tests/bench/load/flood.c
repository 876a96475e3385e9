/* SPDX-License-Identifier: MIT */
/*
 * Datagrams whose headers say anything: of forged clients to the relay's IPv4 side, or of the upstream to one session.
 * As many as go, by a raw socket; nothing waits for an answer.
 */
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

enum { FLOOD_SIZE = 148, FIRST_FORGED = 0x64400000, FORGED = 1 << 22 }; /* 100.64.0.0/10: nobody's */

typedef struct Packet4 {
        struct iphdr ip;
        struct udphdr udp;
        char payload[FLOOD_SIZE];
} Packet4;

typedef struct Packet6 {
        struct ip6_hdr ip;
        struct udphdr udp;
        char payload[FLOOD_SIZE];
} Packet6;

static uint32_t sum16(const void *data, size_t size, uint32_t sum)
{
        const uint16_t *words = data;

        for (size_t i = 0; i < size / 2; i++)
                sum += ntohs(words[i]);
        return sum;
}

static uint16_t folded(uint32_t sum)
{
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return htons((uint16_t)~sum);
}

/* From a million addresses and ports, or from one address and all its ports. */
static void forge4(Packet4 *packet, unsigned long n, const struct in_addr *to, uint16_t port, uint32_t one_source)
{
        uint32_t source = one_source ? one_source : FIRST_FORGED + (uint32_t)(n * 2654435761U % FORGED);

        packet->ip = (struct iphdr){.version = 4,
                                    .ihl = 5,
                                    .ttl = 64,
                                    .protocol = IPPROTO_UDP,
                                    .tot_len = htons(sizeof(*packet)),
                                    .saddr = htonl(source),
                                    .daddr = to->s_addr};
        packet->udp = (struct udphdr){.source = htons((uint16_t)(1024 + n % 64000)),
                                      .dest = htons(port),
                                      .len = htons(sizeof(packet->udp) + FLOOD_SIZE)};
}

static void forge6(Packet6 *packet, const struct in6_addr *from, uint16_t from_port, const struct in6_addr *to,
                   uint16_t port)
{
        const uint16_t length = sizeof(packet->udp) + FLOOD_SIZE;

        packet->ip = (struct ip6_hdr){.ip6_src = *from, .ip6_dst = *to};
        packet->ip.ip6_flow = htonl(6U << 28);
        packet->ip.ip6_plen = htons(length);
        packet->ip.ip6_nxt = IPPROTO_UDP;
        packet->ip.ip6_hlim = 64;
        packet->udp = (struct udphdr){.source = htons(from_port), .dest = htons(port), .len = htons(length)};
        packet->udp.check = folded(
                        sum16(&packet->udp, length, sum16(&packet->ip.ip6_src, 32, (uint32_t)IPPROTO_UDP + length)));
}

static unsigned long send_all(int fd, struct mmsghdr *messages, unsigned n)
{
        int sent = sendmmsg(fd, messages, n, 0);

        return sent > 0 ? (unsigned long)sent : 0;
}

static void flood4(int fd, const struct sockaddr_in *to, uint32_t one_source, double seconds)
{
        static Packet4 packets[BATCH];
        struct mmsghdr messages[BATCH] = {0};
        struct iovec iov[BATCH];
        const uint64_t begin = now_ns();
        unsigned long n = 0, sent = 0;

        for (unsigned i = 0; i < BATCH; i++) {
                iov[i] = (struct iovec){&packets[i], sizeof(packets[i])};
                messages[i].msg_hdr = (struct msghdr){.msg_name = (void *)(uintptr_t)to,
                                                      .msg_namelen = sizeof(*to),
                                                      .msg_iov = &iov[i],
                                                      .msg_iovlen = 1};
        }
        while ((double)(now_ns() - begin) / 1e9 < seconds) {
                for (unsigned i = 0; i < BATCH; i++)
                        forge4(&packets[i], n++, &to->sin_addr, ntohs(to->sin_port), one_source);
                sent += send_all(fd, messages, BATCH);
        }
        (void)printf("{\"sent\": %lu, \"seconds\": %.3f}\n", sent, (double)(now_ns() - begin) / 1e9);
}

static void flood6(int fd, const char *from, uint16_t from_port, const char *to, uint16_t port, double seconds)
{
        static Packet6 packet;
        struct sockaddr_in6 name = {.sin6_family = AF_INET6};
        struct mmsghdr messages[BATCH] = {0};
        struct iovec iov = {&packet, sizeof(packet)};
        const uint64_t begin = now_ns();
        struct in6_addr source;
        unsigned long sent = 0;

        if (inet_pton(AF_INET6, from, &source) != 1 || inet_pton(AF_INET6, to, &name.sin6_addr) != 1)
                fail("an IPv6 address is none");
        forge6(&packet, &source, from_port, &name.sin6_addr, port);
        for (unsigned i = 0; i < BATCH; i++)
                messages[i].msg_hdr = (struct msghdr){
                                .msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = &iov, .msg_iovlen = 1};
        while ((double)(now_ns() - begin) / 1e9 < seconds)
                sent += send_all(fd, messages, BATCH);
        (void)printf("{\"sent\": %lu, \"seconds\": %.3f}\n", sent, (double)(now_ns() - begin) / 1e9);
}

/* flood ADDRESS PORT SOURCE SECONDS (SOURCE 0: all there are), or reply FROM PORT TO PORT SECONDS */
void load_flood(char **a)
{
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(a[1]))};
        struct in_addr source = {0};
        int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);

        if (fd < 0 || inet_pton(AF_INET, a[0], &to.sin_addr) != 1)
                fail("a raw socket to an IPv4 address");
        (void)inet_pton(AF_INET, a[2], &source);
        flood4(fd, &to, ntohl(source.s_addr), atof(a[3]));
}

void load_reply(char **a)
{
        int fd = socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);

        if (fd < 0)
                fail("a raw socket");
        flood6(fd, a[0], (uint16_t)atoi(a[1]), a[2], (uint16_t)atoi(a[3]), atof(a[4]));
}
