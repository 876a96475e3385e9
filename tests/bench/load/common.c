/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum { BUFFER = 64 << 20 }; /* of the bench's own sockets: what is lost shall be lost by the relay */

uint64_t now_ns(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/*
 * Without CONFIG_VIRT_CPU_ACCOUNTING_GEN the kernel samples who works, 100 to 1000 times a second, but measures
 * idleness exactly. So work is what is left.
 */
double cpu_idle(void)
{
        unsigned long long f[8] = {0};
        FILE *stat = fopen("/proc/stat", "re");

        if (!stat || fscanf(stat, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &f[0], &f[1], &f[2], &f[3], &f[4],
                            &f[5], &f[6], &f[7]) != 8)
                fail("/proc/stat");
        (void)fclose(stat);
        return (double)(f[3] + f[4] + f[7]) / (double)sysconf(_SC_CLK_TCK);
}

double own_work(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void fail(const char *what)
{
        perror(what);
        exit(1);
}

void set_option(int fd, int level, int option, int value)
{
        if (setsockopt(fd, level, option, &value, sizeof(value)) < 0)
                fail("setsockopt");
}

void set_buffers(int fd)
{
        set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER);
        set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER);
}

static const void *control_of(struct msghdr *header, int level, int type)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
                if (c->cmsg_level == level && c->cmsg_type == type)
                        return CMSG_DATA(c);
        return NULL;
}

uint64_t stamp_of(struct msghdr *header)
{
        const void *data = control_of(header, SOL_SOCKET, SCM_TIMESTAMPNS);
        struct timespec t;

        if (!data)
                return now_ns();
        memcpy(&t, data, sizeof(t));
        return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

unsigned segment_of(struct msghdr *header)
{
        const void *data = control_of(header, IPPROTO_UDP, UDP_GRO);
        int segment = 0;

        if (data)
                memcpy(&segment, data, sizeof(segment));
        return segment > 0 ? (unsigned)segment : 0;
}

uint32_t local_of(struct msghdr *header)
{
        const void *data = control_of(header, IPPROTO_IP, IP_PKTINFO);
        struct in_pktinfo info = {0};

        if (data)
                memcpy(&info, data, sizeof(info));
        return ntohl(info.ipi_addr.s_addr);
}

void samples_init(Samples *samples)
{
        *samples = (Samples){0, calloc(SAMPLES_MAX, sizeof(double)), calloc(SAMPLES_MAX, sizeof(double))};
        if (!samples->at || !samples->way)
                fail("calloc");
}

void samples_add(Samples *samples, double at, double way)
{
        if (samples->n == SAMPLES_MAX)
                return;
        samples->at[samples->n] = at;
        samples->way[samples->n++] = way;
}

void samples_dump(const Samples *samples, const char *path)
{
        FILE *to;

        if (strcmp(path, "-") == 0)
                return;
        to = fopen(path, "we");
        if (!to)
                fail(path);
        for (unsigned long i = 0; i < samples->n; i++)
                (void)fprintf(to, "%.6f %.1f\n", samples->at[i], samples->way[i]);
        if (fclose(to) != 0)
                fail(path);
}

static int by_value(const void *x, const void *y)
{
        double a = *(const double *)x, b = *(const double *)y;

        return (a > b) - (a < b);
}

void samples_print(Samples *samples)
{
        unsigned long n = samples->n;
        const double *way = samples->way;

        qsort(samples->way, n, sizeof(double), by_value);
        (void)printf("\"samples\": %lu, \"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f, \"worst\": %.2f", n,
                     n ? way[n / 2] : 0, n ? way[n * 99 / 100] : 0, n ? way[n * 999 / 1000] : 0, n ? way[n - 1] : 0);
}
