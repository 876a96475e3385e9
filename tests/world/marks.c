/* SPDX-License-Identifier: MIT */
/*
 * Where datagrams leave, and how: their class (DSCP and ECN), their interface, and whether they may be fragmented. The
 * kernel tells both ends what class each one arrived with.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "relay/waiting.h"
#include "suite.h"
#include "wire/udp.h"

enum { ROOM = 70000, N_CLASSES = 256, EF = 184 };

static uint8_t sent[ROOM], got[ROOM];

static void fill(void)
{
        for (size_t i = 0; i < sizeof(sent); i++)
                sent[i] = (uint8_t)(i * 31 + i / 251);
}

static PolicySettings settings_with(Marking marking, uint8_t tclass)
{
        PolicySettings settings = world_settings;

        settings.manner.marking = (uint8_t)marking;
        settings.manner.tclass = tclass;
        return settings;
}

/* --- ends that know of classes --- */

static void end_listen_to_classes(int fd, bool v6)
{
        ck_assert_int_eq(setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVTCLASS : IP_RECVTOS, &(int){1},
                                    sizeof(int)),
                         0);
}

static void end_set_class(int fd, bool v6, unsigned tclass)
{
        ck_assert_int_eq(setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, &(int){(int)tclass},
                                    sizeof(int)),
                         0);
}

/* What one receive brings, with its class; *ret_segment: of a train. */
static unsigned class_receive(World *w, int fd, size_t *ret_size, uint16_t *ret_segment)
{
        struct iovec iov = {got, sizeof(got)};
        uint8_t control[256] __attribute__((aligned(8)));
        struct msghdr message = {
                        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int segment = 0, tclass = -1;
        ssize_t n;

        if (poll(&p, 1, 0) == 0)
                world_settle(w);
        ck_assert_msg(poll(&p, 1, 2000) == 1, "a datagram that should have come did not");
        n = recvmsg(fd, &message, 0);
        ck_assert_int_ge(n, 0);
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
                if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
                        memcpy(&segment, CMSG_DATA(c), sizeof(segment));
                else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
                        tclass = *CMSG_DATA(c);
                else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)
                        memcpy(&tclass, CMSG_DATA(c), sizeof(tclass));
        ck_assert_msg(tclass >= 0, "the kernel does not say the class");
        *ret_size = (size_t)n;
        if (ret_segment)
                *ret_segment = (uint16_t)segment;
        return (unsigned)tclass;
}

static void start(Line *line, const PolicySettings *settings)
{
        fill();
        line_init(line, settings);
        end_listen_to_classes(line->home, true);
        end_listen_to_classes(line->client, false);
}

/* One datagram each way, sent with these classes: what they arrive with. */
static void check_classes(Line *line, unsigned forward, unsigned reply, unsigned expected_forward,
                          unsigned expected_reply)
{
        size_t size;

        end_set_class(line->client, false, forward);
        end_set_class(line->home, true, reply);
        peer_send(line->client, sent, 100);
        ck_assert_uint_eq(class_receive(&line->w, line->home, &size, NULL), expected_forward);
        upstream_reply(line->home, &line->leg, sent, 100);
        ck_assert_uint_eq(class_receive(&line->w, line->client, &size, NULL), expected_reply);
}

/* --- classes --- */

START_TEST(every_class_is_copied_both_ways)
{
        const PolicySettings settings = settings_with(MARKING_COPY, 0);
        Line line;

        start(&line, &settings);
        for (unsigned i = 0; i < N_CLASSES; i++)
                check_classes(&line, i, 255 - i, i, 255 - i);
        world_done(&line.w);
}
END_TEST

/* Trains stay whole, and singles between them keep what is theirs. */
START_TEST(trains_of_every_class_stay_whole)
{
        const PolicySettings settings = settings_with(MARKING_COPY, 0);
        uint16_t segment;
        size_t size;
        Line line;

        start(&line, &settings);
        ck_assert_int_eq(udp_set_trains(line.home), 0);
        ck_assert_int_eq(udp_set_trains(line.client), 0);
        for (unsigned i = 0; i < N_CLASSES; i++) {
                end_set_class(line.client, false, i);
                peer_send_train(line.client, sent, 10000, 1000, NULL);
                end_set_class(line.client, false, (i + 1) % N_CLASSES);
                peer_send(line.client, sent, 999);
                ck_assert_uint_eq(class_receive(&line.w, line.home, &size, &segment), i);
                ck_assert_uint_eq(size, 10000);
                ck_assert_uint_eq(segment, 1000);
                ck_assert_uint_eq(class_receive(&line.w, line.home, &size, &segment), (i + 1) % N_CLASSES);
                ck_assert_uint_eq(size, 999);
                end_set_class(line.home, true, i);
                peer_send_train(line.home, sent, 10001, 1000, &line.leg);
                ck_assert_uint_eq(class_receive(&line.w, line.client, &size, &segment), i);
                ck_assert_uint_eq(size, 10001);
                ck_assert_uint_eq(segment, 1000);
        }
        world_done(&line.w);
}
END_TEST

/* A train that goes in pieces: each piece has its class. */
START_TEST(pieces_of_a_train_keep_its_class)
{
        const PolicySettings settings = settings_with(MARKING_COPY, 0);
        size_t size;
        Line line;

        fill();
        line_init_far_upstream(&line, &settings, "ip link set here mtu 1280");
        end_listen_to_classes(line.home, true);
        end_set_class(line.client, false, EF);
        peer_send_train(line.client, sent, 14000, 1400, NULL);
        for (unsigned i = 0; i < 10; i++)
                ck_assert_uint_eq(class_receive(&line.w, line.home, &size, NULL), EF);
        ck_assert_uint_eq(counter_get(&line.l->stats.directions[FORWARD].trains_in_pieces), 1);
        world_done(&line.w);
}
END_TEST

static void enter(int network)
{
        ck_assert_int_eq(setns(network, CLONE_NEWNET), 0);
}

static int here(void)
{
        int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        return fd;
}

/* In a network namespace that a descriptor stands for. */
static void run_in(int network, const char *command)
{
        int own = here();

        enter(network);
        world_run(command);
        enter(own);
        ck_assert_int_eq(close(own), 0);
}

/* A cable that lets out next to nothing; and then, with the next packet, all that was sent meanwhile. */
static void cable_close(int network, const char *device)
{
        char command[200];

        (void)snprintf(command, sizeof(command), "tc qdisc replace dev %s root tbf rate 8kbit burst 2k limit 100m",
                       device);
        run_in(network, command);
}

static void cable_open(int network, const char *device, const char *peer)
{
        char command[200];

        (void)snprintf(command, sizeof(command),
                       "tc qdisc replace dev %s root tbf rate 10gbit burst 1m limit 100m && "
                       "ping -6 -c 1 -w 1 %s >/dev/null; true",
                       device, peer);
        run_in(network, command);
}

/* Neighbours of one size are coupled for the way out: only those of one class. `burst`: they come at once. */
static void check_mixed(Line *line, unsigned n, unsigned change_after, bool burst)
{
        int network = ioctl(line->client, SIOCGSKNS);
        unsigned n_got = 0, n_messages = 0;

        ck_assert_int_ge(network, 0);
        ck_assert_int_eq(udp_set_trains(line->home), 0);
        if (burst)
                cable_close(network, "there");
        for (unsigned i = 0; i < n; i++) {
                end_set_class(line->client, false, i / change_after % N_CLASSES);
                peer_send(line->client, sent + i, 100);
        }
        if (burst)
                cable_open(network, "there", "2001:db8:100::5");
        ck_assert_int_eq(close(network), 0);
        for (; n_got < n; n_messages++) {
                size_t size;
                unsigned tclass = class_receive(&line->w, line->home, &size, NULL);

                ck_assert_uint_eq(size % 100, 0);
                for (size_t k = 0; k < size / 100; k++, n_got++) {
                        ck_assert_mem_eq(got + 100 * k, sent + n_got, 100);
                        ck_assert_uint_eq(tclass, n_got / change_after % N_CLASSES);
                }
        }
        if (change_after > 1)
                ck_assert_uint_lt(n_messages, n); /* some were coupled */
}

START_TEST(neighbours_of_different_classes_are_not_coupled)
{
        const PolicySettings settings = settings_with(MARKING_COPY, 0);
        Line line;

        start(&line, &settings);
        check_mixed(&line, 200, 1, false);
        check_mixed(&line, 200, 3, false);
        check_mixed(&line, 200, 4, false);
        world_done(&line.w);
}
END_TEST

/* Of those who may answer, too (ReplyFrom=): by a second socket, which follows a reload like the first. */
START_TEST(answers_from_elsewhere_keep_their_class)
{
        const PolicySettings fixed = settings_with(MARKING_FIXED, 0x28);
        PolicySettings settings = settings_with(MARKING_COPY, 0);
        const char *why = NULL;
        Address address;
        size_t size;
        Line line;
        int other;

        ck_assert_int_eq(reply_sources_add("[2001:db8:100::11]:5000", &settings.replies, &why), 0);
        start(&line, &settings);
        world_run("ip -6 addr add 2001:db8:100::11/128 dev lo nodad");
        other = upstream_new("2001:db8:100::11", 5000, &address);
        check_classes(&line, EF, EF, EF, EF);
        for (unsigned tclass = 0; tclass < N_CLASSES; tclass += 51) {
                end_set_class(other, true, tclass);
                upstream_reply(other, &line.leg, sent, 100);
                ck_assert_uint_eq(class_receive(&line.w, line.client, &size, NULL), tclass);
        }
        settings.manner = fixed.manner;
        policy_set(line.policy, &settings);
        upstream_reply(other, &line.leg, sent, 100);
        ck_assert_uint_eq(class_receive(&line.w, line.client, &size, NULL), 0x28);
        world_done(&line.w);
}
END_TEST

/* The kernel joins what comes from a network device in one go (GRO): only what has one class. */
START_TEST(what_the_kernel_joins_has_one_class)
{
        const PolicySettings settings = settings_with(MARKING_COPY, 0);
        Line line;
        int network;

        fill();
        line_init_far_client(&line, &settings, "ethtool -K here gro on");
        end_listen_to_classes(line.home, true);
        network = ioctl(line.client, SIOCGSKNS); /* a cable that segments nothing joins what comes, Linux 5.13 */
        run_in(network, "ethtool -K there tso off");
        check_mixed(&line, 90, 10, true);
        ck_assert_uint_gt(counter_get(&line.l->stats.directions[FORWARD].trains), 0);
        check_mixed(&line, 90, 3, true);
        check_mixed(&line, 90, 1, true);
        world_done(&line.w);
}
END_TEST

START_TEST(a_fixed_class_both_ways)
{
        const PolicySettings settings = settings_with(MARKING_FIXED, EF);
        uint16_t segment;
        size_t size;
        Line line;

        start(&line, &settings);
        for (unsigned i = 0; i < N_CLASSES; i++)
                check_classes(&line, i, 255 - i, EF, EF);
        ck_assert_int_eq(udp_set_trains(line.home), 0);
        ck_assert_int_eq(udp_set_trains(line.client), 0);
        peer_send_train(line.client, sent, 10000, 1000, NULL);
        ck_assert_uint_eq(class_receive(&line.w, line.home, &size, &segment), EF);
        ck_assert_uint_eq(segment, 1000);
        peer_send_train(line.home, sent, 10000, 1000, &line.leg);
        ck_assert_uint_eq(class_receive(&line.w, line.client, &size, &segment), EF);
        ck_assert_uint_eq(segment, 1000);
        world_done(&line.w);
}
END_TEST

/* The kernel's own, and for the listener that may be its unit's. */
START_TEST(no_class_is_the_sockets)
{
        Line line;

        start(&line, NULL);
        for (unsigned i = 0; i < N_CLASSES; i++)
                check_classes(&line, i, 255 - i, 0, 0);
        end_set_class(line.l->fd, false, 40);
        check_classes(&line, EF, EF, 0, 40);
        world_done(&line.w);
}
END_TEST

/* A reload: an open session follows, each way, and so does what waits in the sockets. */
START_TEST(an_open_session_follows_a_reload)
{
        static const struct {
                Marking marking;
                uint8_t tclass;
                unsigned forward, reply; /* what 11 and 22 become */
        } steps[] = {{MARKING_COPY, 0, 11, 22},   {MARKING_FIXED, EF, EF, EF}, {MARKING_NONE, 0, 0, 0},
                     {MARKING_FIXED, 40, 40, 40}, {MARKING_FIXED, 0, 0, 0},    {MARKING_COPY, 0, 11, 22},
                     {MARKING_NONE, 0, 0, 0},     {MARKING_COPY, 0, 11, 22},   {MARKING_NONE, 0, 0, 0},
                     {MARKING_NONE, 0, 0, 0},     {MARKING_COPY, 0, 11, 22}};
        size_t size;
        Line line;

        start(&line, NULL);
        end_set_class(line.client, false, 11);
        end_set_class(line.home, true, 22);
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                const PolicySettings settings = settings_with(steps[i].marking, steps[i].tclass);

                /* now the one direction is the first to move, now the other */
                if (i % 2 == 0)
                        peer_send(line.client, sent, 100);
                else
                        upstream_reply(line.home, &line.leg, sent, 100);
                policy_set(line.policy, &settings);
                if (i % 2 == 0)
                        ck_assert_uint_eq(class_receive(&line.w, line.home, &size, NULL), steps[i].forward);
                else
                        ck_assert_uint_eq(class_receive(&line.w, line.client, &size, NULL), steps[i].reply);
                check_classes(&line, 11, 22, steps[i].forward, steps[i].reply);
        }
        ck_assert_uint_eq(line.w.n_opened, 1);
        world_done(&line.w);
}
END_TEST

/* What waits for room in its leg's buffer keeps its class. The class is the number of the datagram. */
START_TEST(what_waits_keeps_its_class)
{
        PolicySettings settings = settings_with(MARKING_COPY, 0);
        unsigned n = 0, n_waited;
        size_t size;
        Line line;
        int own;

        settings.write_timeout = 10 * USEC_PER_SEC;
        fill();
        line_init_far_upstream(&line, &settings, "true");
        end_listen_to_classes(line.home, true);
        world_deepen(line.home, 16 << 20);
        own = here();
        cable_close(own, "here");
        while (waiting_deadline(line.w.relay->waiting) == USEC_NEVER) {
                ck_assert_uint_lt(n, 1000);
                sent[0] = (uint8_t)n;
                end_set_class(line.client, false, n++ % N_CLASSES);
                peer_send(line.client, sent, 1200);
                world_settle(&line.w);
        }
        for (n_waited = 1; n_waited < WAITING_SEATS_OF_ONE; n_waited++) {
                sent[0] = (uint8_t)n;
                end_set_class(line.client, false, n++ % N_CLASSES);
                peer_send(line.client, sent, 1200);
        }
        world_settle(&line.w);
        cable_open(own, "here", "2001:db8:100::10");
        for (unsigned i = 0; i < n; i++) {
                ck_assert_uint_eq(class_receive(&line.w, line.home, &size, NULL), i % N_CLASSES);
                ck_assert_uint_eq(got[0], i % N_CLASSES);
        }
        world_done(&line.w);
}
END_TEST

/* --- a path with 1280 bytes in the middle --- */

/* The kernel takes its time until a cable carries anything. */
static void await_answer(const char *address)
{
        char command[200];

        (void)snprintf(command, sizeof(command),
                       "for i in $(seq 50); do ping -c 1 -W 0.1 %s >/dev/null 2>&1 && exit 0; sleep 0.1; done; exit 1",
                       address);
        world_run(command);
}

/* Client and upstream are on one far host, behind a router whose cable to them carries 1280 bytes. */
static void narrow_init(Line *line, bool whole)
{
        PolicySettings settings = world_settings;
        int own, router, far;

        fill();
        settings.manner.whole = whole;
        world_init(&line->w, 100);
        own = here();
        router = world_second_host();
        world_run("ip link set here up && ip addr add 192.0.2.1/24 dev here && "
                  "ip -6 addr add 2001:db8:100::5/64 dev here nodad && "
                  "ip route add 198.51.100.0/24 via 192.0.2.2 && "
                  "ip -6 route add 2001:db8:200::/64 via 2001:db8:100::1");
        enter(router);
        far = world_second_host();
        world_run("ip link set lo up && ip link set there up && ip addr add 192.0.2.2/24 dev there && "
                  "ip -6 addr add 2001:db8:100::1/64 dev there nodad && "
                  "ip link set here mtu 1280 up && ip addr add 198.51.100.1/24 dev here && "
                  "ip -6 addr add 2001:db8:200::1/64 dev here nodad && "
                  "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        enter(far);
        world_run("ip link set lo up && ip link set there mtu 1280 up && ip addr add 198.51.100.10/24 dev there && "
                  "ip -6 addr add 2001:db8:200::10/64 dev there nodad && ip route add default via 198.51.100.1 && "
                  "ip -6 route add default via 2001:db8:200::1");
        await_answer("2001:db8:100::5");
        await_answer("192.0.2.1");
        line->home = upstream_new("2001:db8:200::10", 0, &line->upstream);
        enter(own);
        line->policy = world_policy(&line->w, &settings, &line->upstream);
        line->l = world_listener(&line->w, "192.0.2.1", line->policy, &line->listener);
        enter(far);
        line->client = client_new(NULL, &line->listener);
        enter(own);
        world_deepen(line->client, 4 << 20);
        world_deepen(line->home, 4 << 20);
        line->leg = world_round(&line->w, line->client, line->home, "hello");
}

/* A client on this host, whose trains come in one piece whatever their length. */
static void narrow_client_near(Line *line)
{
        (void)close(line->client);
        line->client = client_new(NULL, &line->listener);
        line->leg = world_round(&line->w, line->client, line->home, "hello");
}

static size_t narrow_forward(Line *line, size_t size, uint16_t segment)
{
        peer_send_train(line->client, sent, size, segment, NULL);
        return peer_count(&line->w, line->home);
}

static size_t narrow_reply(Line *line, size_t size, uint16_t segment)
{
        /* the far host itself fragments what is too large for its cable, and does not send such trains */
        for (size_t offset = 0; offset < size; offset += segment)
                upstream_reply(line->home, &line->leg, sent + offset,
                               size - offset < segment ? size - offset : segment);
        return peer_count(&line->w, line->client);
}

static uint64_t told_too_big(const Line *line)
{
        return counter_get(&line->l->stats.icmp_too_big);
}

/* What the first `packet too big` is about is lost, because nobody keeps it; from then on the host fragments. */
START_TEST(fragments_where_the_path_is_narrow)
{
        Line line;

        narrow_init(&line, false);
        ck_assert_uint_eq(narrow_forward(&line, 1400, 1400), 0);
        ck_assert_uint_eq(told_too_big(&line), 1);
        for (unsigned i = 0; i < 10; i++)
                ck_assert_uint_eq(narrow_forward(&line, 1233U + i * 20, 2000), 1);
        ck_assert_uint_eq(narrow_forward(&line, 65000, 65000), 1);
        ck_assert_uint_eq(narrow_reply(&line, 1400, 1400), 0);
        for (unsigned i = 0; i < 10; i++)
                ck_assert_uint_eq(narrow_reply(&line, 1253U + i * 20, 2000), 1);
        ck_assert_uint_eq(told_too_big(&line), 1);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_TOO_BIG), 0);
        ck_assert_uint_eq(world_verdicts(line.l, REPLY, VERDICT_TOO_BIG), 0);
        ck_assert_uint_eq(line.w.n_closed, 0);
        world_done(&line.w);
}
END_TEST

/* What is too big is dropped by this host, by its size, as soon as it knows; what fits goes on. */
START_TEST(no_fragments_where_they_are_forbidden)
{
        Line line;

        narrow_init(&line, true);
        ck_assert_uint_eq(narrow_forward(&line, 1400, 1400), 0);
        ck_assert_uint_eq(told_too_big(&line), 1);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_TOO_BIG), 0);
        ck_assert_uint_eq(narrow_forward(&line, 1233, 1233), 0);
        ck_assert_uint_eq(narrow_forward(&line, 1400, 1400), 0);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_TOO_BIG), 2);
        ck_assert_uint_eq(narrow_forward(&line, 1232, 1232), 1);
        ck_assert_uint_eq(narrow_reply(&line, 1400, 1400), 0);
        ck_assert_uint_eq(world_verdicts(line.l, REPLY, VERDICT_TOO_BIG), 0);
        ck_assert_uint_eq(narrow_reply(&line, 1253, 1253), 0);
        ck_assert_uint_eq(narrow_reply(&line, 1400, 1400), 0);
        ck_assert_uint_eq(world_verdicts(line.l, REPLY, VERDICT_TOO_BIG), 2);
        ck_assert_uint_eq(narrow_reply(&line, 1252, 1252), 1);
        ck_assert_uint_eq(told_too_big(&line), 1);
        ck_assert_uint_eq(line.w.n_closed, 0);
        world_done(&line.w);
}
END_TEST

/* This host's own cable is the narrow one: nothing has to be learned. And without a route change, a reload is enough.
 */
START_TEST(a_reload_allows_fragments_and_forbids_them)
{
        PolicySettings settings = world_settings;
        Line line;

        fill();
        line_init_far_upstream(&line, NULL, "ip link set here mtu 1280");
        peer_send(line.client, sent, 1400);
        ck_assert_uint_eq(peer_count(&line.w, line.home), 1);
        settings.manner.whole = true;
        policy_set(line.policy, &settings);
        peer_send(line.client, sent, 1400);
        ck_assert_uint_eq(peer_count(&line.w, line.home), 0);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_TOO_BIG), 1);
        settings.manner.whole = false;
        policy_set(line.policy, &settings);
        peer_send(line.client, sent, 1400);
        ck_assert_uint_eq(peer_count(&line.w, line.home), 1);
        world_done(&line.w);
}
END_TEST

/* Towards clients the option is the listener's, which may have come from a process that wanted it otherwise. */
START_TEST(a_listener_is_found_as_it_was_left)
{
        PolicySettings settings = world_settings;
        Line line;

        fill();
        line_init_far_client(&line, NULL, "ip link set here mtu 1280");
        for (unsigned i = 0; i < 4; i++) {
                settings.manner.whole = i % 2 == 0;
                policy_set(line.policy, &settings);
                upstream_reply(line.home, &line.leg, sent, 1400);
                ck_assert_uint_eq(peer_count(&line.w, line.client), i % 2);
        }
        ck_assert_uint_eq(world_verdicts(line.l, REPLY, VERDICT_TOO_BIG), 2);
        /* another process's: it sent whole datagrams only, and asked for classes */
        ck_assert_int_eq(setsockopt(line.l->fd, IPPROTO_IP, IP_MTU_DISCOVER, &(int){IP_PMTUDISC_DO}, sizeof(int)), 0);
        ck_assert_int_eq(setsockopt(line.l->fd, IPPROTO_IP, IP_RECVTOS, &(int){1}, sizeof(int)), 0);
        line.w.relay->listeners[0]->manner.marking = MARKING_UNKNOWN; /* as it is when it is adopted */
        upstream_reply(line.home, &line.leg, sent, 1400);
        ck_assert_uint_eq(peer_count(&line.w, line.client), 1);
        end_listen_to_classes(line.home, true);
        end_set_class(line.client, false, EF);
        peer_send(line.client, sent, 100);
        ck_assert_uint_eq(class_receive(&line.w, line.home, &(size_t){0}, NULL), 0);
        world_done(&line.w);
}
END_TEST

START_TEST(trains_where_the_path_is_narrow)
{
        Line line;

        narrow_init(&line, false);
        narrow_client_near(&line);
        ck_assert_uint_eq(narrow_forward(&line, 12000, 1200), 10);
        ck_assert_uint_eq(narrow_forward(&line, 1400, 1400), 0);
        for (unsigned i = 0; i < 3; i++)
                ck_assert_uint_eq(narrow_forward(&line, 14100, 1400), 11);
        ck_assert_uint_eq(narrow_forward(&line, 12000, 1200), 10);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_TOO_BIG), 0);
        world_done(&line.w);
}
END_TEST

/* The last of a train may be shorter than the others, and fit; of a long train, too. */
START_TEST(trains_where_fragments_are_forbidden)
{
        Line line;

        narrow_init(&line, true);
        narrow_client_near(&line);
        ck_assert_uint_eq(narrow_forward(&line, 1400, 1400), 0);
        ck_assert_uint_eq(narrow_forward(&line, 14100, 1400), 1);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_TOO_BIG), 10);
        ck_assert_uint_eq(narrow_forward(&line, 40U * 1400 + 1232, 1400), 1);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_TOO_BIG), 50);
        ck_assert_uint_eq(narrow_forward(&line, 40U * 1400 + 1233, 1400), 0);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_TOO_BIG), 91);
        ck_assert_uint_eq(narrow_forward(&line, 12320, 1232), 10);
        ck_assert_uint_eq(line.w.n_closed, 0);
        world_done(&line.w);
}
END_TEST

/* --- an interface of one's own --- */

/* Two cables lead to the upstream, which has an address of its own behind both; the routes prefer the first. */
static void uplink(int there, const char *name, unsigned number, unsigned metric)
{
        char command[400], address[40];
        int own = here();

        (void)snprintf(command, sizeof(command),
                       "ip link set %s up && ip -6 addr add 2001:db8:%u::5/64 dev %s nodad && "
                       "ip -6 route add 2001:db8:100::/64 via 2001:db8:%u::1 dev %s metric %u",
                       name, number, name, number, name, metric);
        world_run(command);
        enter(there);
        (void)snprintf(command, sizeof(command),
                       "ip link set %s-there up && ip -6 addr add 2001:db8:%u::1/64 dev %s-there nodad", name, number,
                       name);
        world_run(command);
        enter(own);
        (void)close(own);
        (void)snprintf(address, sizeof(address), "2001:db8:%u::1", number);
        await_answer(address);
}

static void second_uplink(int there)
{
        char command[200];

        (void)snprintf(command, sizeof(command), "ip link add two type veth peer name two-there netns /proc/%d/fd/%d",
                       (int)getpid(), there);
        world_run(command);
        uplink(there, "two", 2, 20);
}

static int uplinks_init(Line *line, const PolicySettings *settings)
{
        int own, there;

        fill();
        world_init(&line->w, 100);
        own = here();
        there = world_second_host();
        world_run("ip link set here name one");
        enter(there);
        world_run("ip link set lo up && ip link set there name one-there && "
                  "ip -6 addr add 2001:db8:100::10/128 dev lo nodad");
        enter(own);
        uplink(there, "one", 1, 10);
        second_uplink(there);
        enter(there);
        line->home = upstream_new("2001:db8:100::10", 0, &line->upstream);
        enter(own);
        line->policy = world_policy(&line->w, settings, &line->upstream);
        line->l = world_listener(&line->w, NULL, line->policy, &line->listener);
        line->client = client_new(NULL, &line->listener);
        return there;
}

static PolicySettings settings_through(const char *device)
{
        PolicySettings settings = world_settings;

        (void)strcpy(settings.device, device);
        return settings;
}

/* Which uplink does the next datagram come through, by its source address? It is answered. */
static unsigned uplink_used(Line *line)
{
        line->leg = world_round(&line->w, line->client, line->home, "hello");
        return ntohs(line->leg.v6.s6_addr16[2]);
}

START_TEST(a_device_wins_over_the_routes)
{
        const PolicySettings settings = settings_through("two");
        Line line;

        (void)uplinks_init(&line, &settings);
        ck_assert_uint_eq(uplink_used(&line), 2);
        world_done(&line.w);
}
END_TEST

/* Without any privilege, as the service has none: an open session follows, and keeps its port. */
START_TEST(an_open_session_follows_to_another_device)
{
        static const char *const devices[] = {"two", "", "one", "two"};
        static const unsigned used[] = {2, 1, 1, 2};
        uint16_t port;
        Line line;

        (void)uplinks_init(&line, NULL);
        ck_assert_int_eq(seteuid(65534), 0);
        ck_assert_uint_eq(uplink_used(&line), 1);
        port = line.leg.port;
        for (size_t i = 0; i < ELEMENTSOF(devices); i++) {
                const PolicySettings settings = settings_through(devices[i]);

                policy_set(line.policy, &settings);
                ck_assert_uint_eq(uplink_used(&line), used[i]);
                ck_assert_uint_eq(line.leg.port, port);
        }
        ck_assert_uint_eq(line.w.n_opened, 1);
        ck_assert_int_eq(seteuid(0), 0); /* or the leak sanitizer may not look at us */
        ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
        world_done(&line.w);
}
END_TEST

/* A leg that is pointed anew stays on its device: dissolving it would let it go. */
START_TEST(a_leg_that_is_pointed_anew_stays_on_its_device)
{
        const PolicySettings settings = settings_through("two");
        Line line;

        (void)uplinks_init(&line, &settings);
        ck_assert_uint_eq(uplink_used(&line), 2);
        upstream_set_address(&line.policy->upstream, &line.upstream);
        ck_assert_uint_eq(uplink_used(&line), 2);
        world_done(&line.w);
}
END_TEST

/* The other way to choose an uplink, without marks: a rule for what comes from an address. */
START_TEST(a_rule_by_source_address_chooses_the_uplink)
{
        const SourcesSettings own = {
                        .listed = {.n = 1,
                                   .items = {{.address.s6_addr = {0x20, 0x01, 0x0d, 0xb8, 0, 0x46, [15] = 1},
                                              .length = 128}}},
                        .ports = {40000, 49999},
                        .reserved = {2, 1}};
        Sources *sources;
        Line line;
        int there;

        there = uplinks_init(&line, NULL);
        run_in(there, "ip -6 route add 2001:db8:46::/64 via 2001:db8:2::5");
        world_run("ip -6 addr add 2001:db8:46::1/128 dev lo nodad && "
                  "ip -6 route add default via 2001:db8:2::1 dev two table 46 && "
                  "ip -6 rule add from 2001:db8:46::1 lookup 46 && "
                  "nft 'add table ip6 t; add chain ip6 t o { type filter hook output priority 0; }; "
                  "add rule ip6 t o oifname one udp dport 1-65535 drop'");
        ck_assert_int_eq(sources_new(&sources, &own, 0, 1), 0);
        upstream_set_sources(&line.policy->upstream, sources);
        ck_assert_uint_eq(uplink_used(&line), 0x46);
        world_run("ip -6 rule del from 2001:db8:46::1 lookup 46");
        peer_send(line.client, sent, 100);
        ck_assert(peer_silent(&line.w, line.home));
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_DENIED), 1);
        world_done(&line.w);
}
END_TEST

/*
 * The kernel gives each socket of ours this device from now on, as in a VRF (ip-vrf(8)): where the device is no VRF,
 * that is all the same to a socket.
 */
static void be_born_on(const char *device)
{
        const struct bpf_insn program[] = {
                        {.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = BPF_REG_1, .imm = (int)if_nametoindex(device)},
                        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
                        {.code = BPF_JMP | BPF_EXIT}};
        union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_SOCK,
                               .insns = (uintptr_t)program,
                               .insn_cnt = ELEMENTSOF(program),
                               .license = (uintptr_t) "MIT"},
                       attach = {.attach_type = BPF_CGROUP_INET_SOCK_CREATE};
        char path[64];

        ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
        world_run("mount --make-rprivate / && mount -t cgroup2 none /mnt && mkdir /mnt/udp46-test-$PPID && "
                  "echo $PPID >/mnt/udp46-test-$PPID/cgroup.procs");
        (void)snprintf(path, sizeof(path), "/mnt/udp46-test-%d", getpid());
        attach.target_fd = (uint32_t)open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        attach.attach_bpf_fd = (uint32_t)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
        ck_assert_int_ge((int)attach.attach_bpf_fd, 0);
        ck_assert_int_eq(syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof(attach)), 0);
        (void)close((int)attach.target_fd);
        (void)close((int)attach.attach_bpf_fd);
}

static void be_born_anywhere(void)
{
        world_run("echo $$ >/mnt/cgroup.procs && echo $PPID >/mnt/cgroup.procs && rmdir /mnt/udp46-test-$PPID && "
                  "umount /mnt");
}

/* A leg of ours that is pointed anew, or comes back from another device, goes where all our sockets go. */
START_TEST(a_device_that_the_kernel_gives_is_kept)
{
        const PolicySettings one = settings_through("one"), any = settings_through("");
        Line line;

        (void)uplinks_init(&line, NULL);
        be_born_on("two");
        ck_assert_uint_eq(uplink_used(&line), 2);
        upstream_set_address(&line.policy->upstream, &line.upstream);
        ck_assert_uint_eq(uplink_used(&line), 2);
        policy_set(line.policy, &one);
        ck_assert_uint_eq(uplink_used(&line), 1);
        policy_set(line.policy, &any);
        ck_assert_uint_eq(uplink_used(&line), 2);
        be_born_anywhere();
        upstream_set_address(&line.policy->upstream, &line.upstream);
        ck_assert_uint_eq(uplink_used(&line), 1);
        ck_assert_uint_eq(line.w.n_opened, 1);
        world_done(&line.w);
}
END_TEST

/* One that comes from the process before is led to the device that is configured now. */
START_TEST(a_session_is_restored_to_another_device)
{
        const PolicySettings two = settings_through("two");
        SessionRecord record;
        Session *session;
        uint16_t port;
        Line line;
        int fd;

        (void)uplinks_init(&line, NULL);
        ck_assert_uint_eq(uplink_used(&line), 1);
        port = line.leg.port;
        session = container_of(line.policy->idle[STANDING_ANSWERED].first, Session, idle);
        record = session->record;
        fd = dup(session->leg.fd);
        session_close(line.w.relay, session, SESSION_SHUTDOWN, line.w.now);
        policy_set(line.policy, &two);
        ck_assert_int_eq(session_adopt(line.w.relay, line.w.relay->listeners[0], &record, fd, -EBADF, line.w.now,
                                       &session),
                         0);
        line.w.n_opened++;
        ck_assert_uint_eq(uplink_used(&line), 2);
        ck_assert_uint_eq(line.leg.port, port);
        world_done(&line.w);
}
END_TEST

START_TEST(a_device_that_is_not_there_yet)
{
        const PolicySettings settings = settings_through("three");
        Line line;

        (void)uplinks_init(&line, &settings);
        peer_send(line.client, sent, 100);
        ck_assert(peer_silent(&line.w, line.home));
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_NO_DEVICE), 1);
        ck_assert_uint_eq(line.w.n_opened, 0);
        world_run("ip link set two down && ip link set two name three && ip link set three up && "
                  "ip -6 addr add 2001:db8:2::5/64 dev three nodad; "
                  "ip -6 route add 2001:db8:100::/64 via 2001:db8:2::1 dev three metric 20; sleep 0.3");
        ck_assert_uint_eq(uplink_used(&line), 2);
        world_done(&line.w);
}
END_TEST

/* It goes, and comes back as another one of the same name: new sessions at once, open ones when they are in doubt. */
START_TEST(a_device_that_vanishes_and_comes_back)
{
        const PolicySettings settings = settings_through("two");
        int there, other;
        uint16_t port;
        Line line;

        there = uplinks_init(&line, &settings);
        ck_assert_uint_eq(uplink_used(&line), 2);
        port = line.leg.port;
        world_run("ip link del two");
        other = client_new(NULL, &line.listener);
        peer_send(other, sent, 100);
        peer_send(line.client, sent, 100);
        ck_assert(peer_silent(&line.w, line.home));
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_NO_DEVICE), 1);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_NO_ROUTE), 1);
        line.w.now += 11 * USEC_PER_SEC;
        for (unsigned i = 0; i < 3; i++) {
                peer_send(line.client, sent, 100);
                world_settle(&line.w);
        }
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_NO_ROUTE), 2);
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_NO_DEVICE), 3); /* since it is in doubt */
        ck_assert_uint_eq(world_verdicts(line.l, FORWARD, VERDICT_FORWARDED), 1);
        second_uplink(there);
        ck_assert_uint_eq(uplink_used(&line), 2);
        ck_assert_uint_eq(line.leg.port, port);
        ck_assert_uint_eq(line.w.n_closed, 0);
        world_done(&line.w);
}
END_TEST

WORLD_SUITE("marks", every_class_is_copied_both_ways, trains_of_every_class_stay_whole,
            pieces_of_a_train_keep_its_class, neighbours_of_different_classes_are_not_coupled,
            what_the_kernel_joins_has_one_class, a_fixed_class_both_ways, answers_from_elsewhere_keep_their_class,
            no_class_is_the_sockets, an_open_session_follows_a_reload, what_waits_keeps_its_class,
            fragments_where_the_path_is_narrow, no_fragments_where_they_are_forbidden,
            a_reload_allows_fragments_and_forbids_them, a_listener_is_found_as_it_was_left,
            trains_where_the_path_is_narrow, trains_where_fragments_are_forbidden, a_device_wins_over_the_routes,
            an_open_session_follows_to_another_device, a_leg_that_is_pointed_anew_stays_on_its_device,
            a_device_that_the_kernel_gives_is_kept, a_device_that_is_not_there_yet,
            a_rule_by_source_address_chooses_the_uplink, a_session_is_restored_to_another_device,
            a_device_that_vanishes_and_comes_back)
