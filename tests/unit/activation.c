/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

#include "daemon/activation.h"
#include "relay/relay.h"
#include "unit.h"

enum { FDS_MAX = 8 };

/* What a process is started with. */
typedef struct Start {
        const char *config; /* the file's text */
        size_t n;
        int fds[FDS_MAX];    /* given as 3, 4, …; the first one for all if there are more */
        const char *names;   /* LISTEN_FDNAMES=; NULL: none */
        const char *listen;  /* --listen; NULL: none */
        const char *fds_env; /* LISTEN_FDS=; NULL: n */
        const char *pid_env; /* LISTEN_PID=; NULL: its own; "": none */
} Start;

/* What became of it. */
typedef struct End {
        int r;
        unsigned n_problems, n_lines;
        size_t n;
        int fds[FDS_MAX];
        char names[FDS_MAX][LISTENER_NAME_MAX + 1];
        uint16_t ports[FDS_MAX];
        bool inheritable, env_left;
        char problems[4096];
} End;

static const char both[] = "[Relay]\nUpstream=[::1]:1\n[Relay office]\n";

static End *end; /* shared with the process that is started */

static int make(int family, int type)
{
        int fd = socket(family, type | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        if (family == AF_INET || family == AF_INET6) {
                const struct sockaddr_in6 any = {.sin6_family = (sa_family_t)family};

                ck_assert_int_eq(bind(fd, (const struct sockaddr *)&any, sizeof(any)), 0);
        }
        return unit_fd_high(fd);
}

static uint16_t port_of(int fd)
{
        struct sockaddr_in name;
        socklen_t length = sizeof(name);

        return getsockname(fd, (struct sockaddr *)&name, &length) == 0 ? ntohs(name.sin_port) : 0;
}

/* In a process of its own: descriptors from 3 on are what it was given. */
static void collect(const Start *start)
{
        static char text[4096];
        FILE *problems = fmemopen(text, sizeof(text), "w");
        ListenerSockets sockets = {0};
        Options options = {0};
        Settings none = {0};
        Config *config;
        char number[16];
        const char *why;
        unsigned n;

        unit_write("udp46.conf", start->config, strlen(start->config));
        if (config_load(&config, "udp46.conf", true, &none, problems, &n) < 0 || n > 0)
                abort();
        if (start->listen && address_parse_listener(start->listen, &options.listen[options.n_listen++], &why) < 0)
                abort();
        for (size_t i = 0; i < start->n; i++)
                if (dup2(start->fds[start->n > FDS_MAX ? 0 : i], SD_LISTEN_FDS_START + (int)i) < 0)
                        abort();
        (void)snprintf(number, sizeof(number), "%zu", start->n);
        (void)setenv("LISTEN_FDS", start->fds_env ? start->fds_env : number, 1);
        (void)snprintf(number, sizeof(number), "%d", getpid());
        if (!start->pid_env || *start->pid_env)
                (void)setenv("LISTEN_PID", start->pid_env ? start->pid_env : number, 1);
        if (start->names)
                (void)setenv("LISTEN_FDNAMES", start->names, 1);

        end->r = activation_collect(&sockets, config, &options, problems, &end->n_problems);
        (void)fclose(problems);
        end->n_lines = unit_count_lines(text);
        (void)snprintf(end->problems, sizeof(end->problems), "%s", text);
        end->n = sockets.n;
        end->env_left = getenv("LISTEN_FDS") || getenv("LISTEN_PID") || getenv("LISTEN_FDNAMES");
        for (size_t i = 0; i < sockets.n && i < FDS_MAX; i++) {
                end->fds[i] = sockets.items[i].fd;
                end->ports[i] = port_of(sockets.items[i].fd);
                (void)strcpy(end->names[i], sockets.items[i].name);
                end->inheritable |= !(fcntl(sockets.items[i].fd, F_GETFD) & FD_CLOEXEC);
        }
        listener_sockets_done(&sockets);
        if (sockets.n != 0)
                abort();
        for (size_t i = 0; i < end->n && i < FDS_MAX; i++)
                if (fcntl(end->fds[i], F_GETFD) >= 0)
                        abort(); /* still open */
        (void)config_free(config);
}

static void run(const Start *start)
{
        int status;
        pid_t pid;

        end = mmap(NULL, sizeof(End), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(end, MAP_FAILED);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                collect(start);
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "ended with status %x, said %s", (unsigned)status,
                      end->problems);
}

/* The start is refused with one line that has all these parts. */
static void check_refused(const Start *start, const char *a, const char *b, const char *c)
{
        run(start);
        ck_assert_int_eq(end->r, 0);
        ck_assert_uint_eq(end->n_problems, 1);
        ck_assert_uint_eq(end->n_lines, 1);
        ck_assert_msg(strstr(end->problems, a), "%s is missing in %s", a, end->problems);
        ck_assert_msg(strstr(end->problems, b), "%s is missing in %s", b, end->problems);
        ck_assert_msg(strstr(end->problems, c), "%s is missing in %s", c, end->problems);
}

static void check_one_refused(int fd, const char *names, const char *a, const char *b, const char *c)
{
        check_refused(&(Start){.config = both, .n = 1, .fds = {fd}, .names = names}, a, b, c);
}

START_TEST(sockets_that_fit)
{
        int a = make(AF_INET, SOCK_DGRAM), b = make(AF_INET, SOCK_DGRAM), c = make(AF_INET, SOCK_DGRAM);

        run(&(Start){.config = both, .n = 3, .fds = {a, b, c}, .names = "relay:office:relay"});
        ck_assert_str_eq(end->problems, "");
        ck_assert_int_eq(end->r, 0);
        ck_assert_uint_eq(end->n_problems, 0);
        ck_assert_uint_eq(end->n, 3);
        for (int i = 0; i < 3; i++)
                ck_assert_int_eq(end->fds[i], SD_LISTEN_FDS_START + i);
        ck_assert_str_eq(end->names[0], "relay");
        ck_assert_str_eq(end->names[1], "office");
        ck_assert_str_eq(end->names[2], "relay");
        ck_assert_uint_eq(end->ports[0], port_of(a));
        ck_assert_uint_eq(end->ports[2], port_of(c));
        ck_assert(!end->inheritable);
        ck_assert(!end->env_left);
}
END_TEST

START_TEST(sockets_of_our_own)
{
        run(&(Start){.config = both, .pid_env = "", .listen = "127.0.0.1:51820"});
        ck_assert_str_eq(end->problems, "");
        ck_assert_uint_eq(end->n, 1);
        ck_assert_str_eq(end->names[0], "relay");
        ck_assert_uint_eq(end->ports[0], 51820);
        ck_assert(!end->inheritable);
}
END_TEST

START_TEST(sockets_of_both_kinds)
{
        int a = make(AF_INET, SOCK_DGRAM);

        run(&(Start){.config = both, .n = 1, .fds = {a}, .names = "office", .listen = "127.0.0.1:51820"});
        ck_assert_str_eq(end->problems, "");
        ck_assert_uint_eq(end->n, 2);
        ck_assert_str_eq(end->names[0], "office");
        ck_assert_str_eq(end->names[1], "relay");
}
END_TEST

START_TEST(sockets_that_do_not_fit)
{
        int ends[2];

        check_one_refused(make(AF_INET6, SOCK_DGRAM), "relay", "fd 3, named relay:", "expected an IPv4 UDP socket",
                          "got an IPv6 UDP socket");
        check_one_refused(make(AF_INET, SOCK_STREAM), "relay", "fd 3, named relay:", "expected an IPv4 UDP socket",
                          "got a stream socket");
        check_one_refused(make(AF_INET6, SOCK_STREAM), "relay", "fd 3, named relay:", "expected an IPv4 UDP socket",
                          "got a stream socket");
        check_one_refused(make(AF_UNIX, SOCK_STREAM), "relay", "fd 3, named relay:", "expected an IPv4 UDP socket",
                          "got a stream socket");
        check_one_refused(make(AF_UNIX, SOCK_SEQPACKET), "relay", "fd 3, named relay:", "expected an IPv4 UDP socket",
                          "got a sequential-packet socket");
        check_one_refused(make(AF_UNIX, SOCK_DGRAM), "relay", "fd 3, named relay:", "expected an IPv4 UDP socket",
                          "got a socket of another family");
        check_one_refused(make(AF_NETLINK, SOCK_RAW), "relay", "fd 3, named relay:", "expected an IPv4 UDP socket",
                          "got a socket of another family");
        check_one_refused(unit_fd_high(open("/dev/null", O_RDONLY | O_CLOEXEC)), "relay",
                          "fd 3, named relay:", "expected an IPv4 UDP socket", "got no socket");
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        check_one_refused(unit_fd_high(ends[0]), "relay", "fd 3, named relay:", "expected an IPv4 UDP socket",
                          "got no socket");
}
END_TEST

START_TEST(names_that_do_not_fit)
{
        static const char longest[] = "a23456789b23456789c23456789d23456789e2345";
        int fd = make(AF_INET, SOCK_DGRAM);

        check_one_refused(fd, "home", "fd 3, named home:", "expected the name relay", "[Relay home] in udp46.conf");
        check_one_refused(fd, "Relay", "fd 3, named Relay:", "expected the name relay", "FileDescriptorName=");
        check_one_refused(fd, "udp46.socket", "fd 3, named udp46.socket:", "expected the name relay",
                          "[Relay udp46.socket]");
        check_one_refused(fd, longest, longest, "expected the name relay", "FileDescriptorName=");
        check_one_refused(fd, NULL, "fd 3, named unknown:", "expected the name relay", "FileDescriptorName=");
        check_one_refused(fd, "", "fd 3, named ", "expected the name relay", "FileDescriptorName=");
}
END_TEST

START_TEST(every_descriptor_is_looked_at)
{
        int good = make(AF_INET, SOCK_DGRAM), bad = make(AF_INET, SOCK_STREAM);

        run(&(Start){.config = both, .n = 4, .fds = {good, bad, good, bad}, .names = "relay:relay:home:home"});
        ck_assert_uint_eq(end->n_problems, 3);
        ck_assert_uint_eq(end->n_lines, 3);
        ck_assert_ptr_nonnull(strstr(end->problems, "fd 4, named relay: expected an IPv4"));
        ck_assert_ptr_nonnull(strstr(end->problems, "fd 5, named home: expected the name"));
        ck_assert_ptr_nonnull(strstr(end->problems, "fd 6, named home: expected an IPv4"));
}
END_TEST

START_TEST(more_than_there_is_room_for)
{
        char names[(RELAY_LISTENERS_MAX + 1) * sizeof("relay")] = "relay";
        Start start = {.config = both, .n = RELAY_LISTENERS_MAX + 1, .names = names};

        start.fds[0] = fcntl(make(AF_INET, SOCK_DGRAM), F_DUPFD_CLOEXEC, 2 * RELAY_LISTENERS_MAX);
        if (start.fds[0] < 0)
                return; /* so many descriptors are not allowed here */
        for (size_t i = 1; i < start.n; i++)
                (void)strcpy(names + i * sizeof("relay") - 1, ":relay");
        check_refused(&start, "1025 listeners", "1024", "");
}
END_TEST

START_TEST(a_name_without_an_upstream)
{
        int fd = make(AF_INET, SOCK_DGRAM);
        static const char config[] = "[Relay office]\nUpstream=[::1]:1\n";

        check_refused(&(Start){.config = config, .n = 1, .fds = {fd}, .names = "relay"},
                      "fd 3, named relay:", "no upstream", "Upstream=");
        run(&(Start){.config = config, .n = 1, .fds = {fd}, .names = "office"});
        ck_assert_str_eq(end->problems, "");
}
END_TEST

/* --listen is the name `relay`, too, and that has no upstream here. */
START_TEST(a_listener_of_our_own_without_an_upstream)
{
        check_refused(&(Start){.config = "[Relay office]\nUpstream=[::1]:1\n",
                               .pid_env = "",
                               .listen = "127.0.0.1:51820"},
                      "--listen", "no upstream", "Upstream=");
}
END_TEST

START_TEST(nothing_to_listen_on)
{
        check_refused(&(Start){.config = both, .pid_env = ""}, "no listeners", "udp46.socket", "--listen");
}
END_TEST

START_TEST(sockets_for_another_process)
{
        int fd = make(AF_INET, SOCK_DGRAM);
        Start start = {.config = both, .n = 1, .fds = {fd}, .names = "relay", .pid_env = "1"};

        check_refused(&start, "no listeners", "LISTEN_PID=1", "another process");
        start.listen = "127.0.0.1:51820";
        run(&start);
        ck_assert_str_eq(end->problems, "");
        ck_assert_uint_eq(end->n, 1);
        ck_assert_uint_eq(end->ports[0], 51820);
}
END_TEST

static const struct {
        const char *fds, *pid, *names;
} nonsense[] = {
                {"0", NULL, NULL},          {"many", NULL, "relay"},
                {"-1", NULL, "relay"},      {"2", NULL, "relay:relay"}, /* yet there is one */
                {"1000000", NULL, NULL},    {"99999999999999999999", NULL, NULL},
                {"1", NULL, "relay:relay"}, {"1", "me", "relay"},
                {"1", "-1", "relay"},       {"1", "99999999999999999999", "relay"},
};

/* Whatever the environment promises: one line, and no start. */
START_TEST(a_senseless_environment)
{
        Start start = {.config = both, .n = 1, .names = nonsense[_i].names, .fds_env = nonsense[_i].fds};

        start.fds[0] = make(AF_INET, SOCK_DGRAM);
        start.pid_env = nonsense[_i].pid;
        check_refused(&start, "", "", "");
}
END_TEST

START_TEST(an_address_in_use)
{
        int fd = make(AF_INET, SOCK_DGRAM);
        char listen[32];

        (void)snprintf(listen, sizeof(listen), "127.0.0.1:%u", port_of(fd));
        run(&(Start){.config = both, .pid_env = "", .listen = listen});
        ck_assert_int_eq(end->r, -EADDRINUSE);
        ck_assert_ptr_nonnull(strstr(end->problems, listen));
        ck_assert_ptr_nonnull(strstr(end->problems, "Address already in use"));
        ck_assert_uint_eq(end->n_lines, 1);
        ck_assert_uint_eq(end->n, 0);
}
END_TEST

START_TEST(a_foreign_address)
{
        run(&(Start){.config = both, .pid_env = "", .listen = "192.0.2.1:51820"});
        ck_assert_int_eq(end->r, -EADDRNOTAVAIL);
        ck_assert_ptr_nonnull(strstr(end->problems, "--listen 192.0.2.1:51820"));
        ck_assert_uint_eq(end->n_lines, 1);
}
END_TEST

UNIT_SUITE("daemon/activation", UNIT_TEST(sockets_that_fit), UNIT_TEST(sockets_of_our_own),
           UNIT_TEST(sockets_of_both_kinds), UNIT_TEST(sockets_that_do_not_fit), UNIT_TEST(names_that_do_not_fit),
           UNIT_TEST(every_descriptor_is_looked_at), UNIT_TEST(more_than_there_is_room_for),
           UNIT_TEST(a_name_without_an_upstream), UNIT_TEST(a_listener_of_our_own_without_an_upstream),
           UNIT_TEST(nothing_to_listen_on), UNIT_TEST(sockets_for_another_process),
           UNIT_LOOP(a_senseless_environment, ELEMENTSOF(nonsense)), UNIT_TEST(an_address_in_use),
           UNIT_TEST(a_foreign_address))
