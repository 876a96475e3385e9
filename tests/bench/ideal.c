/* SPDX-License-Identifier: MIT */
/*
 * The ideal loop, the ceiling of the socket interface: one listener, one connected socket; no table, no names but the
 * last client's, no local addresses, no statistics, no limits, no time. Batches, trains in and out as they come.
 *
 *   ideal IPV6 PORT BATCH
 *
 * The listener is descriptor 3, as for udp46: both have the same buffers. It takes at most BATCH at a time.
 */
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* The stride keeps the payloads of a batch from falling on the same lines of the cache. */
enum { LISTENER = 3, BATCH_MAX = 64, ROOM = 65536, STRIDE = ROOM + 5 * 64, CONTROL = 64 };

typedef struct Side {
        int fd;
        struct sockaddr_in peer; /* the listener's: who wrote last */
} Side;

static char room[BATCH_MAX * STRIDE];
static struct mmsghdr messages[BATCH_MAX];
static struct iovec iov[BATCH_MAX];
static struct sockaddr_in names[BATCH_MAX];
static _Alignas(struct cmsghdr) char controls[BATCH_MAX][CONTROL];

static void prepare_in(int i)
{
        iov[i] = (struct iovec){room + (size_t)i * STRIDE, ROOM};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &names[i],
                                              .msg_namelen = sizeof(names[i]),
                                              .msg_iov = &iov[i],
                                              .msg_iovlen = 1,
                                              .msg_control = controls[i],
                                              .msg_controllen = CONTROL};
}

/* What came in as a train goes out as one. */
static void prepare_out(int i, const Side *out)
{
        struct msghdr *header = &messages[i].msg_hdr;
        struct cmsghdr *c = CMSG_FIRSTHDR(header);
        uint16_t value;
        int segment = 0;

        if (c && c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
                memcpy(&segment, CMSG_DATA(c), sizeof(segment));
        iov[i].iov_len = messages[i].msg_len;
        header->msg_name = out->peer.sin_port ? (void *)(uintptr_t)&out->peer : NULL;
        header->msg_namelen = out->peer.sin_port ? sizeof(out->peer) : 0;
        header->msg_controllen = 0;
        if (!c || segment <= 0 || messages[i].msg_len <= (unsigned)segment)
                return;
        value = (uint16_t)segment;
        *c = (struct cmsghdr){CMSG_LEN(sizeof(value)), IPPROTO_UDP, UDP_SEGMENT};
        memcpy(CMSG_DATA(c), &value, sizeof(value));
        header->msg_controllen = CMSG_SPACE(sizeof(value));
}

static void send_all(const Side *out, int n)
{
        for (int i = 0; i < n;) {
                int sent = sendmmsg(out->fd, messages + i, (unsigned)(n - i), MSG_DONTWAIT);

                i += sent > 0 ? sent : 1;
        }
}

/* Everything that waits at one side goes out at the other. */
static void carry(Side *in, const Side *out, int batch)
{
        int n = recvmmsg(in->fd, messages, (unsigned)batch, MSG_DONTWAIT, NULL);

        if (n > 0 && names[n - 1].sin_family == AF_INET)
                in->peer = names[n - 1];
        for (int i = 0; i < n; i++)
                prepare_out(i, out);
        send_all(out, n);
        for (int i = 0; i < n; i++)
                prepare_in(i);
}

static _Noreturn void turn(Side *listener, Side *leg, int batch)
{
        struct pollfd fds[] = {{listener->fd, POLLIN, 0}, {leg->fd, POLLIN, 0}};

        for (;;) {
                if (poll(fds, 2, -1) <= 0)
                        continue;
                if (fds[0].revents)
                        carry(listener, leg, batch);
                if (fds[1].revents)
                        carry(leg, listener, batch);
        }
}

int main(int argc, char **argv)
{
        struct sockaddr_in6 name = {.sin6_family = AF_INET6};
        Side listener = {.fd = LISTENER}, leg = {.fd = socket(AF_INET6, SOCK_DGRAM, 0)};
        int on = 1, batch = argc == 4 ? atoi(argv[3]) : 0;

        if (batch < 1 || batch > BATCH_MAX || inet_pton(AF_INET6, argv[1], &name.sin6_addr) != 1) {
                (void)fprintf(stderr, "usage: ideal IPV6 PORT BATCH, with the listener as descriptor 3\n");
                return 2;
        }
        name.sin6_port = htons((uint16_t)atoi(argv[2]));
        if (setsockopt(listener.fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) < 0 ||
            setsockopt(leg.fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) < 0 ||
            connect(leg.fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
                perror("ideal");
                return 1;
        }
        for (int i = 0; i < BATCH_MAX; i++)
                prepare_in(i);
        turn(&listener, &leg, batch);
}
