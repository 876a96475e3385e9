/* SPDX-License-Identifier: MIT */
/*
 * What a service manager hands over, or whoever says to be one. The input: how many descriptors (1 byte), of what kind
 * each is, and then LISTEN_FDNAMES.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/activation.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { FDS_MAX = 12, FIRST = 3 };

/* The descriptors are ours before anybody else gets one. */
__attribute__((constructor)) static void reserve(void)
{
        for (int fd = FIRST; fd < FIRST + FDS_MAX; fd++)
                if (fcntl(fd, F_GETFD) < 0) {
                        int null = open("/dev/null", O_RDONLY);

                        if (null != fd && (dup2(null, fd) < 0 || close(null) < 0))
                                abort();
                }
}

static int bound(int family, int type)
{
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        int fd = socket(family, type | SOCK_CLOEXEC, 0);

        if (family == AF_INET && fd >= 0)
                (void)bind(fd, (struct sockaddr *)&v4, sizeof(v4));
        else if (family == AF_INET6 && fd >= 0)
                (void)bind(fd, (struct sockaddr *)&v6, sizeof(v6));
        if (type == SOCK_STREAM && fd >= 0)
                (void)listen(fd, 1);
        return fd;
}

static int of_kind(unsigned char kind)
{
        switch (kind % 8) {
        case 0:
        case 1:
                return bound(AF_INET, SOCK_DGRAM);
        case 2:
                return bound(AF_INET6, SOCK_DGRAM);
        case 3:
                return bound(AF_INET, SOCK_STREAM);
        case 4:
                return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        case 5:
                return memfd_create("image", MFD_CLOEXEC);
        case 6:
                return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        default:
                return open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
}

/* A valid one, made once. */
static Config *config(void)
{
        static const char text[] = "[Relay]\nUpstream=[::1]:1\n[Relay office]\nUpstream=[::1]:2\n";
        static const Settings none;
        static Config *made;
        static char path[32]; /* it is not copied */
        unsigned n;
        int fd;

        if (made)
                return made;
        fd = memfd_create("udp46.conf", MFD_CLOEXEC);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (fd < 0 || write(fd, text, strlen(text)) < 0 || config_load(&made, path, true, &none, stderr, &n) < 0)
                abort();
        (void)close(fd);
        return made;
}

/* Sets a variable to what is left of the input. */
static void set(const char *name, const unsigned char *data, size_t size)
{
        char *text = strndup((const char *)data, size);

        if (!text || setenv(name, text, 1) < 0)
                abort();
        free(text);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
        static const Options options;
        ListenerSockets sockets = {0};
        char *said = NULL, number[16];
        unsigned n, n_problems = 0;
        size_t said_size;
        FILE *problems;

        if (size == 0)
                return 0;
        (void)config();
        n = data[0] % (FDS_MAX + 1);
        for (unsigned i = 0; i < n; i++) {
                int fd = of_kind(i + 1 < size ? data[i + 1] : 0);

                if (fd < 0 || dup2(fd, FIRST + (int)i) < 0)
                        abort();
                (void)close(fd);
        }
        data += n + 1 < size ? n + 1 : size;
        size -= n + 1 < size ? n + 1 : size;
        (void)snprintf(number, sizeof(number), "%d", getpid());
        (void)setenv("LISTEN_PID", number, 1);
        (void)snprintf(number, sizeof(number), "%u", n);
        (void)setenv("LISTEN_FDS", number, 1);
        set("LISTEN_FDNAMES", data, size);
        problems = open_memstream(&said, &said_size);
        if (!problems)
                abort();
        (void)activation_collect(&sockets, config(), &options, problems, &n_problems);
        (void)fclose(problems);
        if (n_problems > 0 && !*said)
                abort(); /* who refuses says why */
        free(said);
        listener_sockets_done(&sockets);
        reserve();
        return 0;
}
