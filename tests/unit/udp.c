/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "unit.h"
#include "wire/udp.h"

enum { LARGEST_V4 = 65507, LARGEST_V6 = 65527 };

static uint8_t bytes[70000];

static struct in_addr v4(const char *text)
{
        struct in_addr address;

        ck_assert_int_eq(inet_pton(AF_INET, text, &address), 1);
        return address;
}

static Address any_port_v4(const char *text)
{
        return (Address){.family = AF_INET, .v4 = v4(text)};
}

/* An IPv6 socket on [::1] with a port of its own. */
static int peer_open(Address *ret, uint16_t port)
{
        struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback, .sin6_port = htons(port)};
        socklen_t length = sizeof(name);
        int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 4 << 20;

        ck_assert_int_ge(fd, 0);
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &length), 0);
        *ret = (Address){.family = AF_INET6, .v6 = name.sin6_addr, .port = ntohs(name.sin6_port)};
        return fd;
}

/* A listener on 0.0.0.0, adopted; and where it is on 127.0.0.1. */
static int listener_open(Address *ret)
{
        Address any = any_port_v4("0.0.0.0");
        int fd = udp_listen(&any);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(udp_adopt_listener(fd, ret), 0);
        ck_assert_uint_eq(ret->family, AF_INET);
        ck_assert_uint_ne(ret->port, 0);
        return fd;
}

/* A client's IPv4 socket, connected from one loopback address to a port of another. */
static int client_open(const char *from, const char *to, uint16_t port, uint16_t *ret_port)
{
        struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = v4(from)};
        socklen_t length = sizeof(name);
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &length), 0);
        *ret_port = ntohs(name.sin_port);
        name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = v4(to), .sin_port = htons(port)};
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
        return fd;
}

static Batch *batch(void)
{
        Batch *b;

        ck_assert_int_eq(batch_new(&b), 0);
        return b;
}

static Datagram payload(uint32_t size)
{
        return (Datagram){.data = bytes, .size = size, .error = 4711};
}

/* A run of one-byte datagrams that say their number. */
static void numbered_run(Datagram *run, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                bytes[i] = (uint8_t)i;
                run[i] = (Datagram){.data = &bytes[i], .size = 1, .error = 4711};
        }
}

static void wait_readable(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};

        ck_assert_int_eq(poll(&p, 1, 5000), 1);
}

static void check_waiting(int fd, const char *expected)
{
        char buffer[256];

        wait_readable(fd);
        ck_assert_int_eq(recv(fd, buffer, sizeof(buffer), 0), (ssize_t)strlen(expected));
        ck_assert_int_eq(memcmp(buffer, expected, strlen(expected)), 0);
}

static void check_nothing_waiting(int fd)
{
        char c;

        ck_assert_int_eq(recv(fd, &c, 1, MSG_DONTWAIT), -1);
        ck_assert_int_eq(errno, EAGAIN);
}

/* A network of our own with a cable to a neighbour who never answers. false: not allowed here. */
static bool cable(void)
{
        if (!unit_own_network())
                return false;
        ck_assert(unit_run("ip link add name near type veth peer name far && ip link set near up && "
                           "ip link set far up && ip address add 2001:db8::1/64 dev near nodad"));
        return true;
}

static const uint32_t sizes_v4[] = {0, 1, 1472, 65506, LARGEST_V4};
static const uint32_t sizes_v6[] = {0, 1, 1452, LARGEST_V4, LARGEST_V6};

START_TEST(a_listener_receives_every_size_whole)
{
        _cleanup_(cleanup_batch_free) Batch *b = batch();
        uint32_t size = sizes_v4[_i];
        uint16_t client_port;
        Address bound;
        int fd = listener_open(&bound), client = client_open("127.0.0.1", "127.0.0.1", bound.port, &client_port);

        for (size_t i = 0; i < size; i++)
                bytes[i] = (uint8_t)(i * 7);
        ck_assert_int_eq(send(client, bytes, size, 0), size);
        wait_readable(fd);
        ck_assert_int_eq(udp_receive_from(fd, b, BATCH_MAX), 1);
        ck_assert_uint_eq(b->n, 1);
        ck_assert_uint_eq(b->items[0].size, size);
        ck_assert(!b->items[0].truncated);
        ck_assert_int_eq(memcmp(b->items[0].data, bytes, size), 0);
        ck_assert_uint_eq(b->items[0].source_port, client_port);
        ck_assert_uint_eq(b->items[0].source.s_addr, v4("127.0.0.1").s_addr);
        ck_assert_int_eq(udp_receive_from(fd, b, BATCH_MAX), 0);
        ck_assert_uint_eq(b->n, 0);
}
END_TEST

START_TEST(a_leg_sends_and_receives_every_size_whole)
{
        _cleanup_(cleanup_batch_free) Batch *b = batch();
        uint32_t size = sizes_v6[_i];
        Address peer, local;
        struct sockaddr_in6 name;
        socklen_t length = sizeof(name);
        Icmp icmp = {0};
        Datagram d = payload(size);
        uint8_t *buffer = malloc(sizeof(bytes));
        int peer_fd = peer_open(&peer, 0), leg = udp_connect("", NULL, &peer, &local);

        ck_assert_int_ge(leg, 0);
        ck_assert_uint_eq(local.family, AF_INET6);
        for (size_t i = 0; i < size; i++)
                bytes[i] = (uint8_t)(i * 11);
        ck_assert_int_eq(udp_send(leg, &d, 1, NULL, &icmp), 0);
        ck_assert_int_eq(d.error, 0);
        wait_readable(peer_fd);
        ck_assert_int_eq(recvfrom(peer_fd, buffer, sizeof(bytes), 0, (struct sockaddr *)&name, &length), size);
        ck_assert_int_eq(memcmp(buffer, bytes, size), 0);
        ck_assert_uint_eq(ntohs(name.sin6_port), local.port);

        ck_assert_int_eq(sendto(peer_fd, buffer, size, 0, (struct sockaddr *)&name, length), size);
        wait_readable(leg);
        ck_assert_int_eq(udp_receive(leg, b, BATCH_MAX, &icmp), 1);
        ck_assert_uint_eq(b->items[0].size, size);
        ck_assert(!b->items[0].truncated);
        ck_assert_int_eq(memcmp(b->items[0].data, bytes, size), 0);
        ck_assert_uint_eq(icmp.errors, 0);
        free(buffer);
}
END_TEST

START_TEST(a_listener_answers_from_the_address_that_was_asked)
{
        static const char *const addresses[] = {"127.0.0.1", "127.0.0.5", "127.1.2.3"};
        _cleanup_(cleanup_batch_free) Batch *b = batch();
        Address bound;
        int fd = listener_open(&bound);

        for (size_t i = 0; i < ELEMENTSOF(addresses); i++) {
                struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = v4(addresses[i])};
                uint16_t port;
                int client = client_open("127.0.0.9", addresses[i], bound.port, &port);
                Datagram *d = &b->items[0];

                ck_assert_int_eq(send(client, "ask", 3, 0), 3);
                wait_readable(fd);
                ck_assert_int_eq(udp_receive_from(fd, b, BATCH_MAX), 1);
                ck_assert_uint_eq(d->source.s_addr, v4("127.0.0.9").s_addr);
                ck_assert_uint_eq(d->local.s_addr, name.sin_addr.s_addr);
                /* the client is connected: it hears of no other address */
                ck_assert_int_eq(udp_send_to(fd, d->local, d->source, d->source_port, d, 1, NULL), 0);
                ck_assert_int_eq(d->error, 0);
                check_waiting(client, "ask");
        }
}
END_TEST

/* As with the datagram that makes systemd start the service: IP_PKTINFO is asked for when it is there already. */
START_TEST(what_came_before_us_has_its_local_address_too)
{
        struct sockaddr_in name = {.sin_family = AF_INET};
        _cleanup_(cleanup_batch_free) Batch *b = batch();
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        socklen_t length = sizeof(name);
        uint16_t port;
        Address bound;
        int client;

        ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &length), 0);
        client = client_open("127.0.0.9", "127.0.0.5", ntohs(name.sin_port), &port);
        ck_assert_int_eq(send(client, "ask", 3, 0), 3);
        wait_readable(fd);
        ck_assert_int_eq(udp_adopt_listener(fd, &bound), 0);
        ck_assert_int_eq(udp_receive_from(fd, b, BATCH_MAX), 1);
        ck_assert_uint_eq(b->items[0].local.s_addr, v4("127.0.0.5").s_addr);
}
END_TEST

/* A socket unit may ask the kernel for more than we do, with Timestamping= for one. */
START_TEST(other_control_messages_are_passed_over)
{
        static const int options[][2] = {
                        {SOL_SOCKET, SO_TIMESTAMPNS}, {IPPROTO_IP, IP_RECVTTL},         {IPPROTO_IP, IP_RECVTOS},
                        {SOL_SOCKET, SO_RXQ_OVFL},    {IPPROTO_IP, IP_RECVORIGDSTADDR},
        };
        _cleanup_(cleanup_batch_free) Batch *b = batch();
        const int on = 1;
        uint16_t port;
        Address bound;
        int fd = listener_open(&bound), client = client_open("127.0.0.9", "127.0.0.5", bound.port, &port);

        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                ck_assert_int_eq(setsockopt(fd, options[i][0], options[i][1], &on, sizeof(on)), 0);
        ck_assert_int_eq(send(client, "ask", 3, 0), 3);
        wait_readable(fd);
        ck_assert_int_eq(udp_receive_from(fd, b, BATCH_MAX), 1);
        ck_assert_uint_eq(b->items[0].local.s_addr, v4("127.0.0.5").s_addr);
        ck_assert_uint_eq(b->items[0].size, 3);
        ck_assert(!b->items[0].truncated);
}
END_TEST

/* More than there is room for: something is missing then, perhaps the length of a train's datagrams. */
START_TEST(lost_control_messages_are_told)
{
        static const int options[][2] = {{SOL_SOCKET, SO_TIMESTAMPNS}, {IPPROTO_IP, IP_RECVTTL},
                                         {IPPROTO_IP, IP_RECVTOS},     {IPPROTO_IP, IP_RECVORIGDSTADDR},
                                         {IPPROTO_IP, IP_RECVOPTS},    {IPPROTO_IP, IP_RETOPTS}};
        static const uint8_t no_operations[40] = {[0 ... 39] = IPOPT_NOP};
        static const int stamps = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
        _cleanup_(cleanup_batch_free) Batch *b = batch();
        const int on = 1;
        uint16_t port;
        Address bound;
        int fd = listener_open(&bound), client = client_open("127.0.0.9", "127.0.0.5", bound.port, &port);

        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                ck_assert_int_eq(setsockopt(fd, options[i][0], options[i][1], &on, sizeof(on)), 0);
        ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof(stamps)), 0);
        ck_assert_int_eq(send(client, "ask", 3, 0), 3);
        wait_readable(fd);
        ck_assert_int_eq(udp_receive_from(fd, b, BATCH_MAX), 1);
        ck_assert(!b->items[0].truncated);
        ck_assert_int_eq(setsockopt(client, IPPROTO_IP, IP_OPTIONS, no_operations, sizeof(no_operations)), 0);
        ck_assert_int_eq(send(client, "ask", 3, 0), 3);
        wait_readable(fd);
        ck_assert_int_eq(udp_receive_from(fd, b, BATCH_MAX), 1);
        ck_assert(b->items[0].truncated);
}
END_TEST

START_TEST(a_foreign_source_address_is_the_datagrams_trouble)
{
        Address bound;
        Datagram d = payload(1);
        int fd = listener_open(&bound);

        ck_assert_int_eq(udp_send_to(fd, v4("192.0.2.1"), v4("127.0.0.1"), 53, &d, 1, NULL), 0);
        ck_assert_int_gt(d.error, 0);
        ck_assert_int_ne(d.error, 4711);
}
END_TEST

START_TEST(the_order_is_kept_both_ways)
{
        _cleanup_(cleanup_batch_free) Batch *b = batch();
        Datagram run[BATCH_MAX];
        Address peer, local;
        struct sockaddr_in6 name;
        socklen_t length = sizeof(name);
        Icmp icmp = {0};
        uint8_t c;
        unsigned n = 0;
        int peer_fd = peer_open(&peer, 0), leg = udp_connect("", NULL, &peer, &local);

        numbered_run(run, BATCH_MAX);
        ck_assert_int_eq(udp_send(leg, run, BATCH_MAX, NULL, &icmp), 0);
        for (unsigned i = 0; i < BATCH_MAX; i++) {
                ck_assert_int_eq(run[i].error, 0);
                wait_readable(peer_fd);
                ck_assert_int_eq(recvfrom(peer_fd, &c, 1, 0, (struct sockaddr *)&name, &length), 1);
                ck_assert_uint_eq(c, i);
        }
        for (c = 0; c < 2 * BATCH_MAX + 3; c++)
                ck_assert_int_eq(sendto(peer_fd, &c, 1, 0, (struct sockaddr *)&name, length), 1);
        for (int r; (r = udp_receive(leg, b, 8, &icmp)) != 0;) {
                ck_assert_int_gt(r, 0);
                ck_assert_int_le(r, 8);
                ck_assert_uint_eq(b->n, (unsigned)r);
                for (unsigned i = 0; i < b->n; i++)
                        ck_assert_uint_eq(*b->items[i].data, n++);
        }
        ck_assert_uint_eq(n, 2 * BATCH_MAX + 3);
}
END_TEST

/* The ICMP error of an earlier datagram takes the place of the next call's work; the datagrams go out all the same. */
START_TEST(an_icmp_error_costs_no_datagram)
{
        Datagram run[3], first = payload(1);
        Address peer, local, again;
        Icmp icmp = {0};
        int peer_fd = peer_open(&peer, 0), leg;

        leg = udp_connect("", NULL, &peer, &local);
        ck_assert_int_ge(leg, 0);
        (void)close(peer_fd);
        ck_assert_int_eq(udp_send(leg, &first, 1, NULL, &icmp), 0);
        ck_assert_int_eq(first.error, 0);
        ck_assert_uint_eq(icmp.errors, 0);

        peer_fd = peer_open(&again, peer.port);
        numbered_run(run, 3);
        bytes[0] = 'a', bytes[1] = 'b', bytes[2] = 'c';
        ck_assert_int_eq(udp_send(leg, run, 3, NULL, &icmp), 0);
        for (unsigned i = 0; i < 3; i++)
                ck_assert_int_eq(run[i].error, 0);
        ck_assert_uint_eq(icmp.errors, 1);
        check_waiting(peer_fd, "a");
        check_waiting(peer_fd, "b");
        check_waiting(peer_fd, "c");
        check_nothing_waiting(peer_fd);
}
END_TEST

START_TEST(a_receive_reads_past_an_icmp_error)
{
        _cleanup_(cleanup_batch_free) Batch *b = batch();
        struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
        Datagram first = payload(1);
        Address peer, local, again;
        Icmp icmp = {0};
        int peer_fd = peer_open(&peer, 0), leg;

        leg = udp_connect("", NULL, &peer, &local);
        ck_assert_int_ge(leg, 0);
        (void)close(peer_fd);
        ck_assert_int_eq(udp_send(leg, &first, 1, NULL, &icmp), 0);
        peer_fd = peer_open(&again, peer.port);
        name.sin6_port = htons(local.port);
        ck_assert_int_eq(sendto(peer_fd, "reply", 5, 0, (struct sockaddr *)&name, sizeof(name)), 5);
        wait_readable(leg);
        ck_assert_int_eq(udp_receive(leg, b, BATCH_MAX, &icmp), 1);
        ck_assert_uint_eq(icmp.errors, 1);
        ck_assert_uint_eq(b->items[0].size, 5);
        ck_assert_int_eq(memcmp(b->items[0].data, "reply", 5), 0);

        /* an error alone is nothing to receive, and no trouble of ours */
        (void)close(peer_fd);
        ck_assert_int_eq(udp_send(leg, &first, 1, NULL, &icmp), 0);
        wait_readable(leg);
        ck_assert_int_eq(udp_receive(leg, b, BATCH_MAX, &icmp), 0);
        ck_assert_uint_eq(icmp.errors, 2);
}
END_TEST

/* Errors that come back at once, after each datagram: still each is sent, each error is counted. */
START_TEST(a_closed_port_refuses_nothing)
{
        Datagram run[BATCH_MAX];
        Address peer, local;
        Icmp icmp = {0};
        int peer_fd = peer_open(&peer, 0), leg;

        leg = udp_connect("", NULL, &peer, &local);
        (void)close(peer_fd);
        for (unsigned round = 0; round < 10; round++) {
                numbered_run(run, BATCH_MAX);
                ck_assert_int_eq(udp_send(leg, run, BATCH_MAX, NULL, &icmp), 0);
                for (unsigned i = 0; i < BATCH_MAX; i++)
                        ck_assert_int_eq(run[i].error, 0);
        }
        ck_assert_uint_gt(icmp.errors, 0);
        ck_assert_uint_le(icmp.errors, 10 * BATCH_MAX);
}
END_TEST

START_TEST(too_big_marks_that_datagram_alone)
{
        Datagram run[] = {payload(1), payload(1), payload(LARGEST_V6 + 1), payload(1), payload(66000), payload(1)};
        Address peer, local;
        Icmp icmp = {0};
        int peer_fd = peer_open(&peer, 0), leg = udp_connect("", NULL, &peer, &local);

        for (unsigned i = 0; i < ELEMENTSOF(run); i++)
                if (run[i].size == 1) {
                        bytes[i] = (uint8_t)('0' + i);
                        run[i].data = &bytes[i];
                }
        ck_assert_int_eq(udp_send(leg, run, ELEMENTSOF(run), NULL, &icmp), 0);
        for (unsigned i = 0; i < ELEMENTSOF(run); i++)
                ck_assert_int_eq(run[i].error, run[i].size == 1 ? 0 : EMSGSIZE);
        check_waiting(peer_fd, "0");
        check_waiting(peer_fd, "1");
        check_waiting(peer_fd, "3");
        check_waiting(peer_fd, "5");
        check_nothing_waiting(peer_fd);
        ck_assert_uint_eq(icmp.errors, 0);
}
END_TEST

START_TEST(too_big_for_ipv4)
{
        Datagram run[] = {payload(LARGEST_V4 + 1), payload(LARGEST_V4), payload(0)};
        Address bound;
        uint16_t port;
        int fd = listener_open(&bound), client = client_open("127.0.0.1", "127.0.0.1", bound.port, &port);

        ck_assert_int_eq(udp_send_to(fd, v4("127.0.0.1"), v4("127.0.0.1"), port, run, ELEMENTSOF(run), NULL), 0);
        ck_assert_int_eq(run[0].error, EMSGSIZE);
        ck_assert_int_eq(run[1].error, 0);
        ck_assert_int_eq(run[2].error, 0);
        ck_assert_int_eq(recv(client, bytes, sizeof(bytes), MSG_DONTWAIT), LARGEST_V4);
        ck_assert_int_eq(recv(client, bytes, sizeof(bytes), MSG_DONTWAIT), 0);
}
END_TEST

/*
 * Datagrams to a neighbour that nobody has found yet are charged to their socket. When its buffer is full, this one and
 * the rest of the run say EAGAIN, and what was sent before does not.
 */
START_TEST(a_full_send_buffer_ends_the_run)
{
        Address peer = {.family = AF_INET6, .port = 53}, local;
        Datagram run[BATCH_MAX];
        Icmp icmp = {0};
        int size = 4096, leg;
        unsigned sent = 0;

        if (!cable())
                return;
        ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::2", &peer.v6), 1);
        leg = udp_connect("", NULL, &peer, &local);
        ck_assert_int_ge(leg, 0);
        ck_assert_int_eq(setsockopt(leg, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
        for (unsigned i = 0; i < BATCH_MAX; i++)
                run[i] = payload(1000);
        ck_assert_int_eq(udp_send(leg, run, BATCH_MAX, NULL, &icmp), 0);
        while (sent < BATCH_MAX && run[sent].error == 0)
                sent++;
        ck_assert_uint_gt(sent, 0);
        ck_assert_uint_lt(sent, BATCH_MAX);
        for (unsigned i = sent; i < BATCH_MAX; i++)
                ck_assert_int_eq(run[i].error, EAGAIN);
        ck_assert_uint_eq(icmp.errors, 0);
}
END_TEST

/* An error that stays is the datagram's; and it is neither lost nor met for ever. */
START_TEST(a_lost_route_is_told_for_each_datagram)
{
        Address peer = {.family = AF_INET6, .port = 53}, local;
        Datagram run[3] = {payload(1), payload(1), payload(1)};
        Icmp icmp = {0};
        int leg;

        if (!unit_own_network())
                return;
        ck_assert(unit_run("ip address add 2001:db8::1/128 dev lo && ip route add 2001:db8::2/128 dev lo"));
        ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::2", &peer.v6), 1);
        leg = udp_connect("", NULL, &peer, &local);
        ck_assert_int_ge(leg, 0);
        ck_assert(unit_run("ip route del 2001:db8::2/128 dev lo"));
        ck_assert_int_eq(udp_send(leg, run, ELEMENTSOF(run), NULL, &icmp), 0);
        for (unsigned i = 0; i < ELEMENTSOF(run); i++)
                ck_assert_int_eq(run[i].error, ENETUNREACH);
        ck_assert(unit_run("ip route add unreachable 2001:db8::2/128"));
        ck_assert_int_eq(udp_send(leg, run, ELEMENTSOF(run), NULL, &icmp), 0);
        for (unsigned i = 0; i < ELEMENTSOF(run); i++)
                ck_assert_int_eq(run[i].error, EHOSTUNREACH);
        ck_assert_uint_eq(icmp.errors, 0); /* nobody has reported anything, this host itself refuses */
}
END_TEST

/* From [::1] to a peer beyond: an address that only this host knows must not stay the source. */
START_TEST(another_peer_keeps_the_port_and_finds_its_source)
{
        Address here, there = {.family = AF_INET6, .port = 53}, local, moved;
        uint8_t expected[16];
        int leg;

        if (!cable())
                return;
        ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::2", &there.v6), 1);
        ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::1", expected), 1);
        (void)peer_open(&here, 0);
        leg = udp_connect("", NULL, &here, &local);
        ck_assert_int_ge(leg, 0);
        ck_assert_int_eq(udp_reconnect(leg, "", &there, &moved), 0);
        ck_assert_uint_eq(moved.port, local.port);
        ck_assert_msg(memcmp(&moved.v6, expected, sizeof(expected)) == 0, "the source address is still the old one");
}
END_TEST

/* Somebody else's socket that writes to a leg while it is being connected; -EBADF: nobody does. */
static int stranger = -EBADF;

/*
 * In the kernel connect() is two things: the choice of a port, and the end of strangers. This one, which stands before
 * libc's in this program, stretches the moment between the two until the stranger has written.
 */
int connect(int fd, __CONST_SOCKADDR_ARG peer, socklen_t peer_length)
{
        struct sockaddr_in6 name = {.sin6_family = AF_INET6};
        socklen_t length = sizeof(name);

        if (stranger >= 0) {
                ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
                ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &length), 0);
                name.sin6_addr = in6addr_loopback;
                for (unsigned i = 0; i < 3; i++) /* an empty one, too: it is no end of what is there */
                        ck_assert_int_eq(sendto(stranger, "strange", i * 3, 0, (struct sockaddr *)&name, length),
                                         i * 3);
                wait_readable(fd);
        }
        return (int)syscall(SYS_connect, fd, peer.__sockaddr__, peer_length);
}

START_TEST(a_new_leg_has_heard_of_no_stranger)
{
        Address peer, other, local;
        int fd = peer_open(&peer, 0), leg;
        struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};

        stranger = peer_open(&other, 0);
        leg = udp_connect("", NULL, &peer, &local);
        ck_assert_int_ge(leg, 0);
        check_nothing_waiting(leg);
        name.sin6_port = htons(local.port);
        ck_assert_int_eq(sendto(stranger, "late", 4, 0, (struct sockaddr *)&name, sizeof(name)), 4);
        ck_assert_int_eq(sendto(fd, "peer", 4, 0, (struct sockaddr *)&name, sizeof(name)), 4);
        check_waiting(leg, "peer");
}
END_TEST

START_TEST(a_reconnected_leg_hears_its_new_peer_alone)
{
        _cleanup_(cleanup_batch_free) Batch *b = batch();
        struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
        Address one, two, local, moved;
        Datagram d = payload(1);
        Icmp icmp = {0};
        int fd_one = peer_open(&one, 0), fd_two = peer_open(&two, 0), leg = udp_connect("", NULL, &one, &local);

        ck_assert_int_eq(udp_reconnect(leg, "", &two, &moved), 0);
        ck_assert(address_equal(&local, &moved));
        bytes[0] = 'x';
        ck_assert_int_eq(udp_send(leg, &d, 1, NULL, &icmp), 0);
        check_waiting(fd_two, "x");
        check_nothing_waiting(fd_one);
        name.sin6_port = htons(local.port);
        ck_assert_int_eq(sendto(fd_one, "old", 3, 0, (struct sockaddr *)&name, sizeof(name)), 3);
        ck_assert_int_eq(sendto(fd_two, "new", 3, 0, (struct sockaddr *)&name, sizeof(name)), 3);
        wait_readable(leg);
        ck_assert_int_eq(udp_receive(leg, b, BATCH_MAX, &icmp), 1);
        ck_assert_int_eq(memcmp(b->items[0].data, "new", 3), 0);
}
END_TEST

/* A failure that no packet can cause is ours, and comes back as such. */
START_TEST(bad_descriptors_are_ours)
{
        _cleanup_(cleanup_batch_free) Batch *b = batch();
        Datagram d = payload(1);
        Icmp icmp = {0};
        Address address;
        int ends[2];

        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        ck_assert_int_eq(udp_receive(-EBADF, b, BATCH_MAX, &icmp), -EBADF);
        ck_assert_int_eq(udp_receive_from(ends[0], b, BATCH_MAX), -ENOTSOCK);
        ck_assert_int_eq(udp_send(-EBADF, &d, 1, NULL, &icmp), -EBADF);
        ck_assert_int_eq(udp_send_to(ends[1], v4("127.0.0.1"), v4("127.0.0.1"), 53, &d, 1, NULL), -ENOTSOCK);
        ck_assert_int_eq(udp_adopt_listener(-EBADF, &address), -EBADF);
        ck_assert_int_eq(udp_adopt_listener(ends[0], &address), -ENOTSOCK);
}
END_TEST

START_TEST(an_address_in_use_is_said)
{
        Address bound, foreign = any_port_v4("192.0.2.1");
        int fd = listener_open(&bound);

        ck_assert_int_eq(udp_listen(&bound), -EADDRINUSE);
        (void)close(fd);
        fd = udp_listen(&bound);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(udp_listen(&foreign), -EADDRNOTAVAIL);
}
END_TEST

START_TEST(sockets_neither_wait_nor_leak_into_children)
{
        Address peer, local, bound;
        int fds[] = {peer_open(&peer, 0), listener_open(&bound), udp_connect("", NULL, &peer, &local)};

        for (size_t i = 1; i < ELEMENTSOF(fds); i++) {
                ck_assert_int_ne(fcntl(fds[i], F_GETFL) & O_NONBLOCK, 0);
                ck_assert_int_ne(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, 0);
        }
}
END_TEST

/* An interface's address, one by a local route alone, one of the neighbour, one that leads nowhere. */
static const struct {
        const char *address;
        bool local;
} own_or_foreign[] = {
                {"::1", true},
                {"2001:db8::1", true},
                {"2001:db8:5::1", true},
                {"2001:db8:5::ffff:1", true},
                {"2001:db8::2", false},
                {"2001:db8:6::1", false},
                {"2001:db8:7::1", false},
                {"2001:db8:64::c000:20a", true},
};

START_TEST(what_is_the_hosts_own)
{
        Address address = {.family = AF_INET6};

        if (!cable())
                return;
        ck_assert(unit_run("ip -6 route add local 2001:db8:5::/64 dev lo && "
                           "ip -6 route add local 2001:db8:64::/96 dev lo && "
                           "ip -6 route add unreachable 2001:db8:7::/64 && sleep 0.1"));
        ck_assert_int_eq(inet_pton(AF_INET6, own_or_foreign[_i].address, &address.v6), 1);
        ck_assert_int_eq(udp_is_local(&address, !own_or_foreign[_i].local), own_or_foreign[_i].local);
}
END_TEST

/* Nobody is told of a mistake that may be none. */
START_TEST(ipv4_addresses_too)
{
        Address address = {.family = AF_INET};

        if (!cable())
                return;
        ck_assert(unit_run(
                        "ip addr add 192.0.2.1/24 dev lo && ip route add local 198.51.100.0/24 dev lo && sleep 0.1"));
        ck_assert_int_eq(inet_pton(AF_INET, "192.0.2.1", &address.v4), 1);
        ck_assert(udp_is_local(&address, false));
        ck_assert_int_eq(inet_pton(AF_INET, "198.51.100.77", &address.v4), 1);
        ck_assert(udp_is_local(&address, false));
        ck_assert_int_eq(inet_pton(AF_INET, "203.0.113.1", &address.v4),
                         1); /* 192.0.2.0/24 is all of it local, on lo */
        ck_assert(!udp_is_local(&address, true));
}
END_TEST

START_TEST(without_descriptors_every_address_may_be_the_hosts)
{
        const Address address = {.family = AF_INET6, .v6.s6_addr = {0x20, 0x01, 0x0d, 0xb8}};
        struct rlimit files;

        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
        files.rlim_cur = 0;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
        ck_assert(udp_is_local(&address, true));
        ck_assert(!udp_is_local(&address, false));
        files.rlim_cur = files.rlim_max;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
}
END_TEST

START_TEST(batches_can_be_freed)
{
        ck_assert_ptr_null(batch_free(NULL));
        ck_assert_ptr_null(batch_free(batch()));
}
END_TEST

UNIT_SUITE("wire/udp", UNIT_LOOP(a_listener_receives_every_size_whole, ELEMENTSOF(sizes_v4)),
           UNIT_LOOP(a_leg_sends_and_receives_every_size_whole, ELEMENTSOF(sizes_v6)),
           UNIT_TEST(a_listener_answers_from_the_address_that_was_asked),
           UNIT_TEST(what_came_before_us_has_its_local_address_too), UNIT_TEST(other_control_messages_are_passed_over),
           UNIT_TEST(lost_control_messages_are_told), UNIT_TEST(a_foreign_source_address_is_the_datagrams_trouble),
           UNIT_TEST(the_order_is_kept_both_ways), UNIT_TEST(an_icmp_error_costs_no_datagram),
           UNIT_TEST(a_receive_reads_past_an_icmp_error), UNIT_TEST(a_closed_port_refuses_nothing),
           UNIT_TEST(too_big_marks_that_datagram_alone), UNIT_TEST(too_big_for_ipv4),
           UNIT_TEST(a_full_send_buffer_ends_the_run), UNIT_TEST(a_lost_route_is_told_for_each_datagram),
           UNIT_TEST(another_peer_keeps_the_port_and_finds_its_source), UNIT_TEST(a_new_leg_has_heard_of_no_stranger),
           UNIT_TEST(a_reconnected_leg_hears_its_new_peer_alone), UNIT_TEST(bad_descriptors_are_ours),
           UNIT_TEST(an_address_in_use_is_said), UNIT_TEST(sockets_neither_wait_nor_leak_into_children),
           UNIT_LOOP(what_is_the_hosts_own, ELEMENTSOF(own_or_foreign)), UNIT_TEST(ipv4_addresses_too),
           UNIT_TEST(without_descriptors_every_address_may_be_the_hosts), UNIT_TEST(batches_can_be_freed))
