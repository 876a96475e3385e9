/* SPDX-License-Identifier: MIT */
/*
 * The ideal loop, the ceiling of the socket interface: one listener, one client, one connected socket; no table, no
 * names but the last client's, no statistics, no limits. Batches, trains in and out as they come.
 *
 *   ideal A.B.C.D PORT IPV6 PORT
 */
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 32, ROOM = 65536, STRIDE = ROOM + 5 * 64 };

typedef struct Side {
        int fd;
        struct sockaddr_in peer; /* the listener's: who wrote last */
} Side;

static char room[BATCH * STRIDE];
static struct mmsghdr messages[BATCH];
static struct iovec iov[BATCH];
static struct sockaddr_in names[BATCH];
static char controls[BATCH][64] __attribute__((aligned(8)));

/* Everything that waits at one side goes out at the other. */
static void carry(Side *in, const Side *out)
{
        int n;

        for (int i = 0; i < BATCH; i++) {
                iov[i] = (struct iovec){room + (size_t)i * STRIDE, ROOM};
                messages[i].msg_hdr = (struct msghdr){.msg_name = &names[i],
                                                      .msg_namelen = sizeof(names[i]),
                                                      .msg_iov = &iov[i],
                                                      .msg_iovlen = 1,
                                                      .msg_control = controls[i],
                                                      .msg_controllen = sizeof(controls[i])};
        }
        n = recvmmsg(in->fd, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++) {
                struct msghdr *header = &messages[i].msg_hdr;
                struct cmsghdr *c = CMSG_FIRSTHDR(header);
                int segment = 0;

                if (c && c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
                        memcpy(&segment, CMSG_DATA(c), sizeof(segment));
                if (names[i].sin_family == AF_INET)
                        in->peer = names[i];
                iov[i].iov_len = messages[i].msg_len;
                header->msg_name = out->peer.sin_port ? (void *)(uintptr_t)&out->peer : NULL;
                header->msg_namelen = out->peer.sin_port ? sizeof(out->peer) : 0;
                header->msg_controllen = 0;
                if (segment > 0 && messages[i].msg_len > (unsigned)segment) {
                        uint16_t value = (uint16_t)segment;

                        header->msg_controllen = CMSG_SPACE(sizeof(value));
                        c = CMSG_FIRSTHDR(header);
                        *c = (struct cmsghdr){CMSG_LEN(sizeof(value)), IPPROTO_UDP, UDP_SEGMENT};
                        memcpy(CMSG_DATA(c), &value, sizeof(value));
                }
        }
        for (int i = 0; i < n;) {
                int sent = sendmmsg(out->fd, messages + i, (unsigned)(n - i), MSG_DONTWAIT);

                i += sent > 0 ? sent : 1;
        }
}

int main(int argc, char **argv)
{
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        Side listener = {socket(AF_INET, SOCK_DGRAM, 0), {0}}, leg = {socket(AF_INET6, SOCK_DGRAM, 0), {0}};
        int on = 1, buffer = 8 << 20;

        if (argc != 5 || inet_pton(AF_INET, argv[1], &v4.sin_addr) != 1 ||
            inet_pton(AF_INET6, argv[3], &v6.sin6_addr) != 1) {
                fprintf(stderr, "usage: ideal A.B.C.D PORT IPV6 PORT\n");
                return 2;
        }
        v4.sin_port = htons((uint16_t)atoi(argv[2]));
        v6.sin6_port = htons((uint16_t)atoi(argv[4]));
        (void)setsockopt(listener.fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
        (void)setsockopt(listener.fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
        (void)setsockopt(leg.fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
        if (bind(listener.fd, (struct sockaddr *)&v4, sizeof(v4)) < 0 ||
            connect(leg.fd, (struct sockaddr *)&v6, sizeof(v6)) < 0) {
                perror("ideal");
                return 1;
        }
        for (;;) {
                struct pollfd fds[] = {{listener.fd, POLLIN, 0}, {leg.fd, POLLIN, 0}};

                if (poll(fds, 2, -1) <= 0)
                        continue;
                if (fds[0].revents)
                        carry(&listener, &leg);
                if (fds[1].revents)
                        carry(&leg, &listener);
        }
}
