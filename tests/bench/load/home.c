/* SPDX-License-Identifier: MIT */
/*
 * Home shares a core with the generator. If not WHOLE it competes as little as it can: it asks for the head of each
 * payload only, and looks into its socket every so often, so that no datagram wakes it. If WHOLE, it answers at once.
 */
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
        (void)printf("{\"datagrams\": %lu, \"bytes\": %lu, \"receives\": %lu, \"answers\": %lu, \"work\": %.6f}\n",
                     home->datagrams, home->bytes, home->receives, home->answers, own_work());
        (void)fflush(stdout);
        *home = (Home){.fd = home->fd, .room = home->room};
}

void load_home(char **a)
{
        bool whole = atoi(a[2]) != 0;
        Home home = {.fd = open_socket(atoi(a[0]), atoi(a[1]) != 0, whole), .room = whole ? ROOM : HEAD};
        struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {home.fd, POLLIN, 0}};
        char line[64];

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
