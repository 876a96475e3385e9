/* SPDX-License-Identifier: MIT */
/*
 * The bench's two ends. Both print one line of JSON at their end, and stop by themselves.
 *
 *   load send ADDRESS PORT FLOWS SIZE TRAIN RATE SECONDS    sends datagrams of SIZE bytes from FLOWS sockets in turn,
 * in trains of TRAIN (1: singly), RATE a second (0: what goes) load sink ADDRESS PORT TRAINS SECONDS counts what
 * arrives; TRAINS 1: takes trains whole load ping ADDRESS PORT SIZE RATE SECONDS                asks and waits for the
 * answer; prints quantiles in µs load echo ADDRESS PORT SECONDS                          answers everything
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, ROOM = 65536, FLOWS_MAX = 16384, SAMPLES_MAX = 1000000 };

static char room[BATCH][ROOM];

static double now(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
        perror(what);
        exit(1);
}

static int open_socket(const char *address, int port, int bound)
{
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        int is_v6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1, fd, r;
        struct sockaddr *name = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
        socklen_t length = is_v6 ? sizeof(v6) : sizeof(v4);
        int buffer = 64 << 20;

        if (!is_v6 && inet_pton(AF_INET, address, &v4.sin_addr) != 1)
                fail(address);
        fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
        if (fd < 0)
                fail("socket");
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
        r = bound ? bind(fd, name, length) : connect(fd, name, length);
        if (r < 0)
                fail(address);
        return fd;
}

static void set_timeout(int fd, int milliseconds)
{
        struct timeval t = {milliseconds / 1000, milliseconds % 1000 * 1000};

        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

static void load_send(char **a)
{
        int flows = atoi(a[2]), size = atoi(a[3]), train = atoi(a[4]);
        double rate = atof(a[5]), seconds = atof(a[6]), begin, t;
        static int fds[FLOWS_MAX];
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(uint16_t))];
        } control = {.header = {CMSG_LEN(sizeof(uint16_t)), IPPROTO_UDP, UDP_SEGMENT}};
        uint16_t segment = (uint16_t)size;
        struct iovec iov = {room[0], (size_t)size * (size_t)train};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
        unsigned long sent = 0, refused = 0;

        if (flows > FLOWS_MAX)
                flows = FLOWS_MAX;
        for (int i = 0; i < flows; i++)
                fds[i] = open_socket(a[0], atoi(a[1]), 0);
        if (train > 1) {
                memcpy(CMSG_DATA(&control.header), &segment, sizeof(segment));
                message.msg_control = &control;
                message.msg_controllen = sizeof(control);
        }
        begin = t = now();
        for (unsigned long k = 0; t - begin < seconds;) {
                for (int i = 0; i < 16; i++, k++) {
                        if (sendmsg(fds[k % (unsigned long)flows], &message, 0) >= 0)
                                sent += (unsigned long)train;
                        else
                                refused++;
                }
                t = now();
                while (rate > 0 && (double)sent > rate * (t - begin) && t - begin < seconds) {
                        (void)usleep(100);
                        t = now();
                }
        }
        printf("{\"sent\": %lu, \"refused\": %lu, \"seconds\": %.6f}\n", sent, refused, t - begin);
}

static void load_sink(char **a)
{
        int fd = open_socket(a[0], atoi(a[1]), 1), on = atoi(a[2]);
        double until = now() + atof(a[3]), first = 0, last = 0;
        unsigned long datagrams = 0, bytes = 0, receives = 0;
        static struct mmsghdr messages[BATCH];
        static struct iovec iov[BATCH];
        static char controls[BATCH][64] __attribute__((aligned(8)));

        set_timeout(fd, 100);
        if (on && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) < 0)
                fail("UDP_GRO");
        while (now() < until) {
                int n;

                for (int i = 0; i < BATCH; i++) {
                        iov[i] = (struct iovec){room[i], ROOM};
                        messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
                                                              .msg_iovlen = 1,
                                                              .msg_control = controls[i],
                                                              .msg_controllen = 64};
                }
                n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
                if (n <= 0)
                        continue;
                last = now();
                if (first == 0)
                        first = last;
                for (int i = 0; i < n; i++) {
                        struct msghdr *header = &messages[i].msg_hdr;
                        unsigned size = messages[i].msg_len;
                        int segment = 0;

                        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
                                if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
                                        memcpy(&segment, CMSG_DATA(c), sizeof(segment));
                        datagrams += segment > 0 ? (size + (unsigned)segment - 1) / (unsigned)segment : 1;
                        bytes += size;
                        receives++;
                }
        }
        printf("{\"datagrams\": %lu, \"bytes\": %lu, \"receives\": %lu, \"seconds\": %.6f}\n", datagrams, bytes,
               receives, last - first);
}

static int by_value(const void *x, const void *y)
{
        double a = *(const double *)x, b = *(const double *)y;

        return a < b ? -1 : a > b;
}

static void load_ping(char **a)
{
        int fd = open_socket(a[0], atoi(a[1]), 0), size = atoi(a[2]);
        double pause = atof(a[3]) > 0 ? 1 / atof(a[3]) : 0, until = now() + atof(a[4]);
        double *samples = malloc(SAMPLES_MAX * sizeof(*samples));
        unsigned long n = 0, lost = 0;

        if (!samples)
                fail("malloc");
        set_timeout(fd, 500);
        while (now() < until && n < SAMPLES_MAX) {
                double begin = now();

                if (send(fd, room[0], (size_t)size, 0) < 0 || recv(fd, room[1], ROOM, 0) != size)
                        lost++;
                else
                        samples[n++] = (now() - begin) * 1e6;
                if (pause > 0)
                        (void)usleep((useconds_t)(pause * 1e6));
        }
        qsort(samples, n, sizeof(*samples), by_value);
        printf("{\"n\": %lu, \"lost\": %lu, \"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f}\n", n, lost,
               n ? samples[n / 2] : 0, n ? samples[n * 99 / 100] : 0, n ? samples[n * 999 / 1000] : 0);
        free(samples);
}

static void load_echo(char **a)
{
        int fd = open_socket(a[0], atoi(a[1]), 1);
        double until = now() + atof(a[2]);

        set_timeout(fd, 100);
        while (now() < until) {
                struct sockaddr_in6 from;
                socklen_t length = sizeof(from);
                ssize_t n = recvfrom(fd, room[0], ROOM, 0, (struct sockaddr *)&from, &length);

                if (n >= 0)
                        (void)sendto(fd, room[0], (size_t)n, 0, (struct sockaddr *)&from, length);
        }
}

int main(int argc, char **argv)
{
        if (argc == 9 && strcmp(argv[1], "send") == 0)
                load_send(argv + 2);
        else if (argc == 6 && strcmp(argv[1], "sink") == 0)
                load_sink(argv + 2);
        else if (argc == 7 && strcmp(argv[1], "ping") == 0)
                load_ping(argv + 2);
        else if (argc == 5 && strcmp(argv[1], "echo") == 0)
                load_echo(argv + 2);
        else {
                fprintf(stderr, "usage: see the head of load.c\n");
                return 2;
        }
        return 0;
}
