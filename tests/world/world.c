/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "wire/udp.h"
#include "world.h"

const PolicySettings world_settings = {
                .timeouts = {[SESSION_UNREPLIED] = 30 * USEC_PER_SEC, [SESSION_ASSURED] = 180 * USEC_PER_SEC},
                .reply_refresh = 12 * USEC_PER_MINUTE,
                .write_timeout = 10 * USEC_PER_MSEC,
                .max_sessions = 1000,
                .max_unreplied = RELAY_SLOTS_MAX,
                .max_datagram = DATAGRAM_ROOM,
                .trains = true,
};

static void on_opened(void *userdata, Session *session, usec_t now)
{
        World *w = userdata;

        (void)session, (void)now;
        w->n_opened++;
}

static void on_closed(void *userdata, Session *session, SessionEnd end, usec_t now)
{
        World *w = userdata;

        (void)session, (void)now;
        w->n_closed++;
        w->last_end = end;
}

void world_run(const char *command)
{
        ck_assert_msg(system(command) == 0, "%s", command); /* NOLINT: the commands are the tests' own */
}

void world_init(World *w, uint64_t max_sessions)
{
        const RelayObserver observer = {.session_opened = on_opened, .session_closed = on_closed, .userdata = w};

        *w = (World){.now = USEC_PER_DAY};
        ck_assert_msg(unshare(CLONE_NEWNET) == 0, "world tests need the right to make a network namespace (root)");
        world_run("ip link set lo up");
        ck_assert_int_eq(relay_new(&w->relay, max_sessions, &observer), 0);
}

void world_done(World *w)
{
        world_settle(w);
        for (uint16_t i = 0; i < w->relay->n_listeners; i++)
                ck_assert_msg(stats_conserved(&w->relay->listeners[i]->stats), "listener %u: datagrams vanished", i);
        ck_assert_uint_eq(counter_get(&w->relay->quota.current), w->n_opened - w->n_closed);
        w->relay = relay_free(w->relay);
}

Policy *world_policy(World *w, const PolicySettings *settings, const Address *upstream)
{
        Policy *policy;

        ck_assert_int_eq(relay_add_policy(w->relay, &upstream_direct, settings ? settings : &world_settings, &policy),
                         0);
        if (upstream)
                upstream_set_address(&policy->upstream, upstream);
        return policy;
}

const Listener *world_listener(World *w, const char *address, Policy *policy, Address *ret_address)
{
        Address any = {.family = AF_INET};
        const Listener *listener;
        int fd;

        ck_assert_int_eq(inet_pton(AF_INET, address ? address : "127.0.0.1", &any.v4), 1);
        fd = udp_listen(&any);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(relay_add_listener(w->relay, &listener_udp, fd, policy, &listener), 0);
        if (ret_address)
                *ret_address = listener->bound;
        return listener;
}

static bool readable(int fd, int milliseconds)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};

        return poll(&p, 1, milliseconds) > 0;
}

void world_settle(World *w)
{
        usec_t began = clock_monotonic();

        while (readable(relay_get_fd(w->relay), 5)) {
                ck_assert_int_ge(relay_dispatch(w->relay, w->now), 0);
                ck_assert_msg(clock_monotonic() - began < 10 * USEC_PER_SEC, "the relay does not become quiet");
        }
}

void world_pass(World *w, usec_t t)
{
        usec_t until = w->now + t;

        while (relay_deadline(w->relay) <= until) {
                if (relay_deadline(w->relay) > w->now)
                        w->now = relay_deadline(w->relay);
                relay_expire(w->relay, w->now);
        }
        w->now = until;
}

static struct sockaddr_storage name_of(const Address *a, socklen_t *ret_length)
{
        struct sockaddr_storage name = {.ss_family = a->family};

        if (a->family == AF_INET) {
                struct sockaddr_in *v4 = (struct sockaddr_in *)&name;

                v4->sin_addr = a->v4;
                v4->sin_port = htons(a->port);
                *ret_length = sizeof(*v4);
        } else {
                struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&name;

                v6->sin6_addr = a->v6;
                v6->sin6_port = htons(a->port);
                *ret_length = sizeof(*v6);
        }
        return name;
}

uint64_t world_raise_limits(void)
{
        struct rlimit files;

        world_run("echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range");
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
        files.rlim_cur = files.rlim_max;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
        return files.rlim_max;
}

int crowd_new(void)
{
        const Address anywhere = {.family = AF_INET};
        int fd = udp_listen(&anywhere);

        ck_assert_int_ge(fd, 0);
        return fd;
}

void crowd_send(int crowd, const Address *listener, unsigned number, const char *text)
{
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = listener->v4, .sin_port = htons(listener->port)};
        struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
        const struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(0x7f010000 + number)};
        union {
                struct cmsghdr header;
                uint8_t bytes[CMSG_SPACE(sizeof(info))];
        } control = {.header = {CMSG_LEN(sizeof(info)), IPPROTO_IP, IP_PKTINFO}};
        struct msghdr message = {.msg_name = &to,
                                 .msg_namelen = sizeof(to),
                                 .msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};

        memcpy(CMSG_DATA(&control.header), &info, sizeof(info));
        ck_assert_int_eq(sendmsg(crowd, &message, 0), (ssize_t)iov.iov_len);
}

int client_new(const char *from, const Address *listener)
{
        struct sockaddr_in local = {.sin_family = AF_INET};
        socklen_t length;
        struct sockaddr_storage peer = name_of(listener, &length);
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        if (from) {
                ck_assert_int_eq(inet_pton(AF_INET, from, &local.sin_addr), 1);
                ck_assert_int_eq(bind(fd, (struct sockaddr *)&local, sizeof(local)), 0);
        }
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&peer, length), 0);
        return fd;
}

int upstream_new(const char *address, uint16_t port, Address *ret)
{
        struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        socklen_t length = sizeof(name);
        int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(inet_pton(AF_INET6, address ? address : "::1", &name.sin6_addr), 1);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&name, &length), 0);
        *ret = (Address){.family = AF_INET6, .port = ntohs(name.sin6_port), .v6 = name.sin6_addr};
        return fd;
}

void peer_send(int fd, const void *data, size_t size)
{
        ssize_t n = send(fd, data, size, 0);

        if (n < 0) /* an ICMP error of an earlier one */
                n = send(fd, data, size, 0);
        ck_assert_int_eq(n, (ssize_t)size);
}

void upstream_reply(int fd, const Address *to, const void *data, size_t size)
{
        socklen_t length;
        struct sockaddr_storage name = name_of(to, &length);

        ck_assert_int_eq(sendto(fd, data, size, 0, (struct sockaddr *)&name, length), (ssize_t)size);
}

size_t peer_receive(World *w, int fd, void *data, size_t size, Address *ret_from)
{
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } name;
        socklen_t length = sizeof(name);
        ssize_t n;

        if (!readable(fd, 0))
                world_settle(w);
        ck_assert_msg(readable(fd, 2000), "a datagram that should have come did not");
        n = recvfrom(fd, data, size, 0, &name.any, &length);
        ck_assert_int_ge(n, 0);
        if (ret_from && name.any.sa_family == AF_INET)
                *ret_from = (Address){.family = AF_INET, .port = ntohs(name.v4.sin_port), .v4 = name.v4.sin_addr};
        else if (ret_from)
                *ret_from = (Address){.family = AF_INET6, .port = ntohs(name.v6.sin6_port), .v6 = name.v6.sin6_addr};
        return (size_t)n;
}

bool peer_silent(World *w, int fd)
{
        world_settle(w);
        return !readable(fd, 20);
}

size_t peer_count(World *w, int fd)
{
        size_t n = 0;

        world_settle(w);
        for (; readable(fd, 20); n++)
                ck_assert_int_ge(recv(fd, NULL, 0, MSG_TRUNC), 0);
        return n;
}

void peer_send_train(int fd, const void *data, size_t size, uint16_t segment, const Address *to)
{
        struct sockaddr_storage name;
        socklen_t length = 0;
        struct iovec iov = {(void *)(uintptr_t)data, size};
        union {
                struct cmsghdr header;
                uint8_t bytes[CMSG_SPACE(sizeof(segment))];
        } control = {.header = {CMSG_LEN(sizeof(segment)), IPPROTO_UDP, UDP_SEGMENT}};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

        if (to) {
                name = name_of(to, &length);
                message.msg_name = &name;
                message.msg_namelen = length;
        }
        if (size > segment) {
                memcpy(CMSG_DATA(&control.header), &segment, sizeof(segment));
                message.msg_control = &control;
                message.msg_controllen = sizeof(control);
        }
        ck_assert_int_eq(sendmsg(fd, &message, 0), (ssize_t)size);
}

size_t peer_receive_train(World *w, int fd, void *data, size_t size, uint16_t *ret_segment)
{
        struct iovec iov = {data, size};
        uint8_t control[256] __attribute__((aligned(8)));
        struct msghdr message = {
                        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        int segment = 0;
        ssize_t n;

        if (!readable(fd, 0))
                world_settle(w);
        n = recvmsg(fd, &message, 0);
        ck_assert_msg(n >= 0, "a train that should have come did not");
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
                if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
                        memcpy(&segment, CMSG_DATA(c), sizeof(segment));
        *ret_segment = (uint16_t)segment;
        return (size_t)n;
}

Address world_round(World *w, int client, int upstream, const char *text)
{
        char got[2000];
        Address from;

        peer_send(client, text, strlen(text));
        ck_assert_uint_eq(peer_receive(w, upstream, got, sizeof(got), &from), strlen(text));
        ck_assert_mem_eq(got, text, strlen(text));
        upstream_reply(upstream, &from, text, strlen(text));
        ck_assert_uint_eq(peer_receive(w, client, got, sizeof(got), NULL), strlen(text));
        ck_assert_mem_eq(got, text, strlen(text));
        return from;
}

uint64_t world_verdicts(const Listener *l, Direction d, Verdict v)
{
        return counter_get(&l->stats.directions[d].verdicts[v]);
}

int world_second_host(void)
{
        char command[200], path[64];
        int fd, ready[2];
        pid_t child;

        ck_assert_int_eq(pipe(ready), 0);
        child = fork();
        if (child == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void)!write(ready[1], "", unshare(CLONE_NEWNET) == 0 ? 1 : 0);
                (void)pause();
                _exit(0);
        }
        ck_assert_int_eq(read(ready[0], path, 1), 1);
        (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", child);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        (void)snprintf(command, sizeof(command), "ip link add here type veth peer name there netns %d", child);
        world_run(command);
        return fd;
}

void world_deepen(int fd, int bytes)
{
        ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)), 0);
}

/* The relay between the ends that are there already. */
static void line_join(Line *line, const PolicySettings *settings, const char *listener)
{
        line->policy = world_policy(&line->w, settings, &line->upstream);
        line->l = world_listener(&line->w, listener, line->policy, &line->listener);
}

static void line_greet(Line *line)
{
        line->leg = world_round(&line->w, line->client, line->home, "hello");
}

void line_init(Line *line, const PolicySettings *settings)
{
        world_init(&line->w, 100);
        line->home = upstream_new(NULL, 0, &line->upstream);
        line_join(line, settings, NULL);
        line->client = client_new(NULL, &line->listener);
        line_greet(line);
}

/* Lays the cable to a second host, with addresses on both sides. *ret_here: the way back from there. */
static int lay_cable(const char *cable, int *ret_here)
{
        int there;

        *ret_here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(*ret_here, 0);
        there = world_second_host();
        world_run("ip link set here up && ip addr add 192.0.2.1/24 dev here && "
                  "ip -6 addr add 2001:db8:100::5/64 dev here nodad");
        ck_assert_int_eq(setns(there, CLONE_NEWNET), 0);
        world_run("ip link set there up && ip addr add 192.0.2.2/24 dev there && "
                  "ip -6 addr add 2001:db8:100::10/64 dev there nodad && sleep 0.2");
        ck_assert_int_eq(setns(*ret_here, CLONE_NEWNET), 0);
        world_run(cable);
        return there;
}

void line_init_far_upstream(Line *line, const PolicySettings *settings, const char *cable)
{
        int here, there;

        world_init(&line->w, 100);
        there = lay_cable(cable, &here);
        ck_assert_int_eq(setns(there, CLONE_NEWNET), 0);
        line->home = upstream_new("2001:db8:100::10", 0, &line->upstream);
        ck_assert_int_eq(setns(here, CLONE_NEWNET), 0);
        line_join(line, settings, NULL);
        line->client = client_new(NULL, &line->listener);
        line_greet(line);
}

void line_init_far_client(Line *line, const PolicySettings *settings, const char *cable)
{
        int here, there;

        world_init(&line->w, 100);
        there = lay_cable(cable, &here);
        line->home = upstream_new(NULL, 0, &line->upstream);
        line_join(line, settings, "192.0.2.1");
        ck_assert_int_eq(setns(there, CLONE_NEWNET), 0);
        line->client = client_new(NULL, &line->listener);
        ck_assert_int_eq(setns(here, CLONE_NEWNET), 0);
        line_greet(line);
}
