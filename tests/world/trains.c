/* SPDX-License-Identifier: MIT */
/*
 * Trains: equal-sized datagrams that the kernel hands over, and takes, in one piece. Nothing is lost, reordered or cut
 * by them, wherever they cannot go.
 */
#include <linux/net_tstamp.h>
#include <netinet/ip.h>
#include <sys/socket.h>

#include "suite.h"
#include "wire/udp.h"

enum { ROOM = 70000 };

static uint8_t sent[ROOM], got[ROOM];

static void fill(void)
{
        for (size_t i = 0; i < sizeof(sent); i++)
                sent[i] = (uint8_t)(i * 31 + i / 251);
}

static void start(Line *line, const PolicySettings *settings)
{
        fill();
        line_init(line, settings);
}

static void start_far(Line *line, const char *cable)
{
        fill();
        line_init_far_upstream(line, NULL, cable);
}

static void train_send(int fd, size_t size, uint16_t segment, const Address *to)
{
        peer_send_train(fd, sent, size, segment, to);
}

static size_t train_receive(World *w, int fd, uint16_t *ret_segment)
{
        return peer_receive_train(w, fd, got, sizeof(got), ret_segment);
}

/* All bytes arrive, in order, in datagrams of `segment` bytes and perhaps a shorter last one. */
static void check_singles(World *w, int fd, size_t size, uint16_t segment)
{
        for (size_t offset = 0; offset < size;) {
                size_t expected = size - offset < segment ? size - offset : segment;

                ck_assert_uint_eq(peer_receive(w, fd, got, sizeof(got), NULL), expected);
                ck_assert_mem_eq(got, sent + offset, expected);
                offset += expected;
        }
}

static const struct {
        unsigned n;
        uint16_t segment, tail;
} shapes[] = {{2, 1, 0},    {2, 100, 0},  {2, 100, 1},   {3, 1200, 0}, {10, 1400, 1399}, {44, 1472, 0},
              {63, 500, 7}, {64, 500, 0}, {64, 1000, 0}, {64, 1, 0},   {1, 1000, 999},   {1, 1000, 1}};

/* Trains of every shape stay whole, both ways. */
static void check_whole(Line *line)
{
        uint16_t segment;

        ck_assert_int_eq(udp_set_trains(line->home), 0);
        ck_assert_int_eq(udp_set_trains(line->client), 0);
        for (size_t i = 0; i < ELEMENTSOF(shapes); i++) {
                size_t size = (size_t)shapes[i].n * shapes[i].segment + shapes[i].tail;
                unsigned n = shapes[i].n + (shapes[i].tail > 0);
                uint64_t before = world_verdicts(line->l, FORWARD, VERDICT_FORWARDED);

                train_send(line->client, size, shapes[i].segment, NULL);
                ck_assert_uint_eq(train_receive(&line->w, line->home, &segment), size);
                ck_assert_uint_eq(segment, shapes[i].segment);
                ck_assert_mem_eq(got, sent, size);
                ck_assert_uint_eq(world_verdicts(line->l, FORWARD, VERDICT_FORWARDED) - before, n);
                before = world_verdicts(line->l, REPLY, VERDICT_FORWARDED);
                train_send(line->home, size, shapes[i].segment, &line->leg);
                ck_assert_uint_eq(train_receive(&line->w, line->client, &segment), size);
                ck_assert_uint_eq(segment, shapes[i].segment);
                ck_assert_mem_eq(got, sent, size);
                ck_assert_uint_eq(world_verdicts(line->l, REPLY, VERDICT_FORWARDED) - before, n);
        }
        world_done(&line->w);
}

START_TEST(a_train_goes_through_whole_both_ways)
{
        Line line;

        start(&line, NULL);
        check_whole(&line);
}
END_TEST

/* A leg whose address is the client's, embedded in a prefix, takes them, too. */
START_TEST(a_train_goes_through_from_the_clients_address)
{
        const SourcesSettings of_clients = {
                        .clients = {.address.s6_addr = {0x20, 0x01, 0x0d, 0xb8, 0, 0x64}, .length = 96},
                        .ports = {40000, 49999},
                        .reserved = {2, 1}};
        Sources *sources;
        Line line;

        start(&line, NULL);
        world_run("ip -6 route add local 2001:db8:64::/96 dev lo && sleep 0.1");
        ck_assert_int_eq(sources_new(&sources, &of_clients, 0, 1), 0);
        upstream_set_sources(&line.policy->upstream, sources);
        line.client = client_new(NULL, &line.listener);
        line.leg = world_round(&line.w, line.client, line.home, "hello");
        ck_assert_uint_eq(line.leg.v6.s6_addr[5], 0x64);
        check_whole(&line);
}
END_TEST

START_TEST(who_knows_no_trains_gets_single_datagrams)
{
        Line line;

        start(&line, NULL);
        for (size_t i = 0; i < ELEMENTSOF(shapes); i++) {
                size_t size = (size_t)shapes[i].n * shapes[i].segment + shapes[i].tail;

                train_send(line.client, size, shapes[i].segment, NULL);
                check_singles(&line.w, line.home, size, shapes[i].segment);
                train_send(line.home, size, shapes[i].segment, &line.leg);
                check_singles(&line.w, line.client, size, shapes[i].segment);
        }
        world_done(&line.w);
}
END_TEST

/* Neighbours that came singly may leave coupled; that must not show. Bursts of each size, of two sizes, and empty ones.
 */
START_TEST(singles_of_every_size_stay_what_they_are)
{
        Line line;

        start(&line, NULL);
        for (unsigned size = 0; size <= 1472; size++) {
                const size_t burst[] = {size, size, size, size / 2, size, 0, size, size + 1};

                for (size_t i = 0; i < ELEMENTSOF(burst); i++)
                        peer_send(line.client, sent + i, burst[i]);
                for (size_t i = 0; i < ELEMENTSOF(burst); i++) {
                        ck_assert_uint_eq(peer_receive(&line.w, line.home, got, sizeof(got), NULL), burst[i]);
                        ck_assert_mem_eq(got, sent + i, burst[i]);
                        upstream_reply(line.home, &line.leg, sent + i, burst[i]);
                }
                for (size_t i = 0; i < ELEMENTSOF(burst); i++) {
                        ck_assert_uint_eq(peer_receive(&line.w, line.client, got, sizeof(got), NULL), burst[i]);
                        ck_assert_mem_eq(got, sent + i, burst[i]);
                }
        }
        world_done(&line.w);
}
END_TEST

/* Really coupled, that is: the kernel sees one train where a burst of singles came, as many as one read asked for. */
START_TEST(singles_leave_coupled)
{
        uint16_t segment;
        Line line;

        start(&line, NULL);
        ck_assert_int_eq(udp_set_trains(line.home), 0);
        for (unsigned i = 0; i < 8; i++)
                peer_send(line.client, sent + 100 * i, 100);
        ck_assert_uint_eq(train_receive(&line.w, line.home, &segment), 800);
        ck_assert_uint_eq(segment, 100);
        ck_assert_mem_eq(got, sent, 800);
        world_done(&line.w);
}
END_TEST

START_TEST(switched_off_there_are_none)
{
        PolicySettings settings = world_settings;
        uint16_t segment;
        Line line;

        settings.trains = false;
        start(&line, &settings);
        ck_assert_int_eq(udp_set_trains(line.home), 0);
        train_send(line.client, 1000, 100, NULL);
        for (unsigned i = 0; i < 10; i++) {
                ck_assert_uint_eq(train_receive(&line.w, line.home, &segment), 100);
                ck_assert_mem_eq(got, sent + 100 * i, 100);
        }
        world_done(&line.w);
}
END_TEST

/* Switched off while one waits in the socket: it must not become one large datagram. */
START_TEST(switched_off_while_a_train_waits)
{
        PolicySettings settings = world_settings;
        Line line;

        start(&line, NULL);
        train_send(line.client, 10000, 1000, NULL);
        settings.trains = false;
        policy_set(line.policy, &settings);
        check_singles(&line.w, line.home, 10000, 1000);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_FORWARDED), 11);
        world_done(&line.w);
}
END_TEST

/* IPv6 carries 20 bytes more than IPv4; a train of that size goes on, the same datagrams as singles. */
START_TEST(a_train_too_long_for_ipv4_is_uncoupled)
{
        Line line;

        start(&line, NULL);
        train_send(line.home, 65527, 1100, &line.leg);
        check_singles(&line.w, line.client, 65527, 1100);
        train_send(line.client, 65507, 1100, NULL);
        check_singles(&line.w, line.home, 65507, 1100);
        ck_assert_uint_eq(world_verdicts(line.l, REPLY, VERDICT_TOO_BIG), 0);
        world_done(&line.w);
}
END_TEST

/* MaxDatagramSize= is about datagrams, not about trains of them. */
START_TEST(the_size_limit_is_that_of_each_datagram)
{
        PolicySettings settings = world_settings;
        Line line;

        settings.max_datagram = 1000;
        start(&line, &settings);
        train_send(line.client, 10000, 1000, NULL);
        check_singles(&line.w, line.home, 10000, 1000);
        train_send(line.client, 10010, 1001, NULL);
        ck_assert(peer_silent(&line.w, line.home));
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_OVERSIZE), 10);
        /* the short one at the end of a train is judged by itself */
        train_send(line.client, 9 * 1001 + 5, 1001, NULL);
        ck_assert_uint_eq(peer_receive(&line.w, line.home, got, sizeof(got), NULL), 5);
        ck_assert_mem_eq(got, sent + 9 * 1001, 5);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_OVERSIZE), 19);
        train_send(line.home, 2 * 1001 + 7, 1001, &line.leg);
        ck_assert_uint_eq(peer_receive(&line.w, line.client, got, sizeof(got), NULL), 7);
        ck_assert_uint_eq(world_verdicts(line.l, REPLY, VERDICT_OVERSIZE), 2);
        world_done(&line.w);
}
END_TEST

/* Without all of the kernel's words about it a train might be taken for one large datagram: it is dropped, not guessed.
 */
START_TEST(a_train_of_which_something_was_lost_is_dropped)
{
        static const int options[][2] = {
                        {SOL_SOCKET, SO_TIMESTAMPNS},     {IPPROTO_IP, IP_RECVTTL},  {IPPROTO_IP, IP_RECVTOS},
                        {IPPROTO_IP, IP_RECVORIGDSTADDR}, {IPPROTO_IP, IP_RECVOPTS}, {IPPROTO_IP, IP_RETOPTS},
        };
        static const int stamps = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
        static const uint8_t no_operations[40] = {[0 ... 39] = IPOPT_NOP};
        Line line;

        start(&line, NULL);
        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                ck_assert_int_eq(setsockopt(line.l->fd, options[i][0], options[i][1], &(int){1}, sizeof(int)), 0);
        ck_assert_int_eq(setsockopt(line.l->fd, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof(stamps)), 0);
        train_send(line.client, 10000, 1000, NULL);
        check_singles(&line.w, line.home, 10000, 1000);
        ck_assert_int_eq(setsockopt(line.client, IPPROTO_IP, IP_OPTIONS, no_operations, sizeof(no_operations)), 0);
        train_send(line.client, 10000, 1000, NULL);
        peer_send(line.client, sent, 1000);
        ck_assert(peer_silent(&line.w, line.home));
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_OVERSIZE), 11);
        ck_assert_int_eq(setsockopt(line.client, IPPROTO_IP, IP_OPTIONS, NULL, 0), 0);
        train_send(line.client, 10000, 1000, NULL);
        check_singles(&line.w, line.home, 10000, 1000);
        world_done(&line.w);
}
END_TEST

/* A datagram longer than the path's MTU goes alone, and in fragments; shorter ones go in trains again. */
static void check_small_mtu(const char *cable, uint16_t fits, uint16_t too_long)
{
        uint16_t segment;
        Line line;

        start_far(&line, cable);
        for (int i = 0; i < 3; i++) {
                train_send(line.client, 10U * too_long, too_long, NULL);
                check_singles(&line.w, line.home, 10U * too_long, too_long);
        }
        ck_assert_int_eq(udp_set_trains(line.home), 0);
        train_send(line.client, 10U * fits, fits, NULL);
        ck_assert_uint_eq(train_receive(&line.w, line.home, &segment), 10U * fits);
        ck_assert_uint_eq(segment, fits);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_FORWARDED), 41);
        world_done(&line.w);
}

START_TEST(a_path_of_1280_bytes)
{
        check_small_mtu("ip link set here mtu 1280", 1232, 1233);
        check_small_mtu("ip link set here mtu 1280", 1000, 1472);
}
END_TEST

START_TEST(a_path_of_1360_bytes)
{
        check_small_mtu("ip link set here mtu 1360", 1312, 1313);
}
END_TEST

/* What IPv4 carries in 1500 bytes IPv6 does not: 1453 to 1472 bytes. */
START_TEST(a_path_of_1500_bytes)
{
        check_small_mtu("true", 1452, 1453);
        check_small_mtu("true", 1452, 1472);
}
END_TEST

/* A refusal may have been forged, and paths change: after a while the path is tried anew. */
START_TEST(a_path_is_tried_anew)
{
        uint16_t segment;
        Line line;

        start_far(&line, "ip link set here mtu 1280");
        train_send(line.client, 14000, 1400, NULL);
        check_singles(&line.w, line.home, 14000, 1400);
        world_run("ip link set here mtu 1500 && ip -6 route flush cache");
        for (int i = 0; i < TRAINS_PATIENCE; i++) {
                train_send(line.client, 2800, 1400, NULL);
                check_singles(&line.w, line.home, 2800, 1400);
        }
        ck_assert_int_eq(udp_set_trains(line.home), 0);
        train_send(line.client, 2800, 1400, NULL);
        ck_assert_uint_eq(train_receive(&line.w, line.home, &segment), 2800);
        ck_assert_uint_eq(segment, 1400);
        world_done(&line.w);
}
END_TEST

/* What the path to one address refused says nothing about the path to another. */
START_TEST(a_new_upstream_is_a_new_path)
{
        uint16_t segment;
        Address near;
        Line line;
        int home;

        start_far(&line, "ip link set here mtu 1280");
        train_send(line.client, 14000, 1400, NULL);
        check_singles(&line.w, line.home, 14000, 1400);
        home = upstream_new(NULL, 0, &near);
        ck_assert_int_eq(udp_set_trains(home), 0);
        upstream_set_address(&line.policy->upstream, &near);
        train_send(line.client, 14000, 1400, NULL);
        ck_assert_uint_eq(train_receive(&line.w, home, &segment), 14000);
        ck_assert_uint_eq(segment, 1400);
        world_done(&line.w);
}
END_TEST

/* A firewall of this host that looks at lengths takes a train for one long packet; its datagrams pass. */
START_TEST(a_firewall_that_looks_at_lengths)
{
        Line line;

        start(&line, NULL);
        world_run("nft 'add table ip6 t; add chain ip6 t o { type filter hook output priority 0; }; "
                  "add rule ip6 t o meta length gt 1500 drop'");
        for (unsigned i = 0; i < 10; i++)
                peer_send(line.client, sent + 1000 * i, 1000);
        check_singles(&line.w, line.home, 10000, 1000);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_DENIED), 0);
        world_done(&line.w);
}
END_TEST

START_TEST(a_device_without_offloads)
{
        Line line;

        start_far(&line, "ethtool -K here tx-udp-segmentation off tx-checksum-ip-generic off >/dev/null");
        for (int i = 0; i < 3; i++) {
                train_send(line.client, 14000, 1400, NULL);
                check_singles(&line.w, line.home, 14000, 1400);
                train_send(line.client, 14001, 1400, NULL);
                check_singles(&line.w, line.home, 14001, 1400);
        }
        world_done(&line.w);
}
END_TEST

WORLD_SUITE("trains", a_train_goes_through_whole_both_ways, a_train_goes_through_from_the_clients_address,
            who_knows_no_trains_gets_single_datagrams, singles_of_every_size_stay_what_they_are, singles_leave_coupled,
            switched_off_there_are_none, switched_off_while_a_train_waits, a_path_is_tried_anew,
            a_new_upstream_is_a_new_path, a_firewall_that_looks_at_lengths,
            a_train_of_which_something_was_lost_is_dropped, a_train_too_long_for_ipv4_is_uncoupled,
            the_size_limit_is_that_of_each_datagram, a_path_of_1280_bytes, a_path_of_1360_bytes, a_path_of_1500_bytes,
            a_device_without_offloads)
