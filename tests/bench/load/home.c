/* SPDX-License-Identifier: MIT */
/*
 * Home shares a core with the generator, so it competes as little as it can. If not WHOLE it asks for the head of each
 * payload only, and looks into its socket every so often, so that no datagram wakes it. If nothing comes in trains, a
 * filter throws away all that does not ask, and the socket's count of drops is what came. If WHOLE, it answers at once.
 */
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

enum { HEAD = 64, LOOK = 1 /* ms */ };

typedef struct Home {
        int fd;
        unsigned room;
        bool filters;
        uint32_t dropped; /* when counted last */
        unsigned long datagrams, bytes, receives, answers;
} Home;

static char payloads[BATCH][ROOM];

static int open_socket(int port, bool trains, bool stamps)
{
        struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        int fd = socket(AF_INET6, SOCK_DGRAM, 0);

        if (fd < 0)
                fail("socket");
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0); /* the direct path is IPv4 */
        set_buffers(fd);
        if (stamps)
                set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
        if (trains)
                set_option(fd, IPPROTO_UDP, UDP_GRO, 1);
        if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
                fail("bind");
        return fd;
}

/* Lets through what has an ask's mark behind its UDP header. */
static void filter(int fd)
{
        uint64_t mark = ASK_MARK;
        uint32_t begin;
        struct sock_filter code[] = {
                        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 8),
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
                        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
                        BPF_STMT(BPF_RET | BPF_K, 0),
        };
        struct sock_fprog program = {sizeof(code) / sizeof(*code), code};

        memcpy(&begin, &mark, sizeof(begin));
        code[1].k = ntohl(begin);
        if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
                fail("SO_ATTACH_FILTER");
}

static uint32_t drops(int fd)
{
        uint32_t info[SK_MEMINFO_VARS];
        socklen_t length = sizeof(info);

        if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &length) < 0)
                fail("SO_MEMINFO");
        return info[SK_MEMINFO_DROPS];
}

static void answer(Home *home, struct msghdr *header, char *payload, size_t size)
{
        Ask ask;

        if (size < sizeof(ask))
                return;
        memcpy(&ask, payload, sizeof(ask));
        if (ask.mark != ASK_MARK)
                return;
        ask.arrived = stamp_of(header);
        ask.left = now_ns();
        memcpy(payload, &ask, sizeof(ask));
        (void)sendto(home->fd, payload, size, 0, header->msg_name, header->msg_namelen);
        home->answers++;
}

/* A relay may have made trains of what came singly: any of its datagrams may ask. */
static void take(Home *home, struct mmsghdr *message, char *payload)
{
        unsigned size = message->msg_len, segment = segment_of(&message->msg_hdr);
        unsigned have = size < home->room ? size : home->room;

        if (segment == 0 || segment > size)
                segment = size > 0 ? size : 1;
        home->datagrams += size > 0 ? (size + segment - 1) / segment : 1;
        home->bytes += size;
        home->receives++;
        for (unsigned at = 0; at < have; at += segment)
                answer(home, &message->msg_hdr, payload + at, have - at < segment ? have - at : segment);
}

static int receive(Home *home)
{
        static struct mmsghdr messages[BATCH];
        static struct iovec iov[BATCH];
        static struct sockaddr_in6 names[BATCH];
        static _Alignas(struct cmsghdr) char controls[BATCH][CONTROL];
        int n;

        for (int i = 0; i < BATCH; i++) {
                iov[i] = (struct iovec){payloads[i], home->room};
                messages[i].msg_hdr = (struct msghdr){.msg_name = &names[i],
                                                      .msg_namelen = sizeof(names[i]),
                                                      .msg_iov = &iov[i],
                                                      .msg_iovlen = 1,
                                                      .msg_control = controls[i],
                                                      .msg_controllen = CONTROL};
        }
        n = recvmmsg(home->fd, messages, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
        for (int i = 0; i < n; i++)
                take(home, &messages[i], payloads[i]);
        return n;
}

static void print(Home *home)
{
        uint32_t dropped = home->filters ? drops(home->fd) : 0;

        home->datagrams += dropped - home->dropped;
        (void)printf("{\"datagrams\": %lu, \"bytes\": %lu, \"receives\": %lu, \"answers\": %lu, \"work\": %.6f}\n",
                     home->datagrams, home->bytes, home->receives, home->answers, own_work());
        (void)fflush(stdout);
        *home = (Home){.fd = home->fd, .room = home->room, .filters = home->filters, .dropped = dropped};
}

void load_home(char **a)
{
        bool trains = atoi(a[1]) != 0, whole = atoi(a[2]) != 0;
        Home home = {.fd = open_socket(atoi(a[0]), trains, whole),
                     .room = whole ? ROOM : HEAD,
                     .filters = !trains && !whole};
        struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {home.fd, POLLIN, 0}};
        char line[64];

        if (home.filters)
                filter(home.fd);
        (void)printf("{}\n");
        (void)fflush(stdout);
        for (;;) {
                while (receive(&home) > 0)
                        ;
                if (poll(fds, whole ? 2 : 1, whole ? -1 : LOOK) <= 0 || !fds[0].revents)
                        continue;
                if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
                        return;
                print(&home);
        }
}
