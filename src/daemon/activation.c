/* SPDX-License-Identifier: MIT */
/*
 * Believes: a socket that is not what we serve is a mistake in a unit file, and its owner wants to hear of it at once;
 * so nothing starts with a listener missing.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "daemon/activation.h"
#include "daemon/place.h"
#include "daemon/problems.h"
#include "relay/relay.h"
#include "wire/udp.h"

static void cleanup_strv(char ***names)
{
        for (char **name = *names; name && *name; name++)
                free(*name);
        free((void *)*names);
}

void listener_sockets_done(ListenerSockets *sockets)
{
        for (size_t i = 0; i < sockets->n; i++)
                sockets->items[i].fd = safe_close(sockets->items[i].fd);
        for (size_t i = 0; i < sockets->n_http; i++)
                sockets->http[i] = safe_close(sockets->http[i]);
        store_done(&sockets->store);
        free(sockets->items);
        *sockets = (ListenerSockets){0};
}

/* What a descriptor is, in a word, if it is not an IPv4 UDP socket; else NULL. */
static const char *other_kind(int fd)
{
        if (sd_is_socket(fd, AF_INET, SOCK_DGRAM, -1) > 0)
                return NULL;
        if (sd_is_socket(fd, AF_INET6, SOCK_DGRAM, -1) > 0)
                return "an IPv6 UDP socket (a bare port in ListenDatagram= means IPv6: write 0.0.0.0:port)";
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, -1) > 0)
                return "a stream socket (ListenStream=)";
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_SEQPACKET, -1) > 0)
                return "a sequential-packet socket (ListenSequentialPacket=)";
        if (sd_is_socket(fd, AF_UNSPEC, 0, -1) > 0)
                return "a socket of another family";
        return "no socket";
}

static bool name_is_known(const Config *config, const char *name)
{
        Settings settings;

        return strlen(name) <= LISTENER_NAME_MAX && config_for(config, name, &settings) != -ENOENT;
}

static unsigned check_inherited(int fd, const char *name, const Config *config, FILE *problems)
{
        const char *kind = other_kind(fd);
        Settings settings;

        if (kind) {
                problem_tell(problems, "fd %d, named %s: expected an IPv4 UDP socket, got %s", fd, name, kind);
                return 1;
        }
        if (!name_is_known(config, name)) {
                problem_tell(problems,
                             "fd %d, named %s: expected the name %s, or a section [Relay %s] in %s "
                             "(a socket unit names its sockets by FileDescriptorName=)",
                             fd, name, LISTENER_DEFAULT_NAME, name, config->path);
                return 1;
        }
        if (config_for(config, name, &settings) < 0) {
                problem_tell(problems, "fd %d, named %s: no upstream: write Upstream= under [Relay] in %s", fd, name,
                             config->path);
                return 1;
        }
        return 0;
}

/* A socket that bears the name of the HTTP server's. */
static unsigned take_http(ListenerSockets *sockets, int fd, FILE *problems)
{
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
                problem_tell(problems,
                             "fd %d, named " HTTP_SOCKET_NAME ": expected a stream socket (ListenStream=), which "
                             "this name is for",
                             fd);
                (void)close(fd);
                return 1;
        }
        if (sockets->n_http == HTTP_SOCKETS_MAX) {
                problem_tell(problems, "fd %d, named " HTTP_SOCKET_NAME ": there may be %d of them", fd,
                             HTTP_SOCKETS_MAX);
                (void)close(fd);
                return 1;
        }
        sockets->http[sockets->n_http++] = fd;
        return 0;
}

static int take_inherited(ListenerSockets *sockets, const Config *config, FILE *problems, unsigned *n_problems)
{
        _cleanup_(cleanup_strv) char **names = NULL;
        int n = sd_listen_fds_with_names(true, &names);

        if (n < 0) {
                problem_tell(problems, "the sockets that LISTEN_FDS= promises cannot be used: %s", strerror(-n));
                (*n_problems)++;
                return 0;
        }
        if (n == 0)
                return 0;
        sockets->items = calloc((size_t)n, sizeof(ListenerSocket));
        if (!sockets->items)
                return -ENOMEM;
        for (int i = 0; i < n; i++) {
                ListenerSocket *socket;

                /* A listener may be called anything. */
                if (other_kind(SD_LISTEN_FDS_START + i) &&
                    store_take(&sockets->store, names[i], SD_LISTEN_FDS_START + i))
                        continue;
                if (strcmp(names[i], HTTP_SOCKET_NAME) == 0) {
                        *n_problems += take_http(sockets, SD_LISTEN_FDS_START + i, problems);
                        continue;
                }
                socket = &sockets->items[sockets->n++];
                socket->fd = SD_LISTEN_FDS_START + i;
                (void)snprintf(socket->name, sizeof(socket->name), "%s", names[i]);
                *n_problems += check_inherited(socket->fd, names[i], config, problems);
        }
        return 0;
}

static int bind_listeners(ListenerSockets *sockets, const Config *config, const Options *options, FILE *problems,
                          unsigned *n_problems)
{
        Settings settings;
        ListenerSocket *items;

        if (config_for(config, LISTENER_DEFAULT_NAME, &settings) < 0) {
                problem_tell(problems, "--listen: no upstream: write Upstream= under [Relay] in %s", config->path);
                (*n_problems)++;
                return 0;
        }
        items = realloc(sockets->items, (sockets->n + options->n_listen) * sizeof(ListenerSocket));

        if (!items)
                return -ENOMEM;
        sockets->items = items;
        for (size_t i = 0; i < options->n_listen; i++) {
                char text[ADDRESS_TEXT_MAX];
                int fd = udp_listen(&options->listen[i]);

                if (fd < 0) {
                        problem_tell(problems, "--listen %s: %s", address_format(text, &options->listen[i]),
                                     strerror(-fd));
                        return fd;
                }
                items[sockets->n] = (ListenerSocket){.fd = fd};
                (void)strcpy(items[sockets->n++].name, LISTENER_DEFAULT_NAME);
        }
        return 0;
}

/* Do two sockets share their clients? Not if they are bound to different devices (BindToDevice=). */
static bool share_clients(int a, int b)
{
        Address address[2];
        int device[2] = {0};

        for (unsigned i = 0; i < 2; i++) {
                socklen_t length = sizeof(device[i]);

                if (udp_local(i ? b : a, &address[i]) < 0)
                        return false;
                (void)getsockopt(i ? b : a, SOL_SOCKET, SO_BINDTOIFINDEX, &device[i], &length);
        }
        return address_equal(&address[0], &address[1]) && device[0] == device[1];
}

/*
 * Counts the sockets that share an address, each of which gets a worker. They must agree on their name, because the
 * kernel alone decides which of them a client meets.
 */
static unsigned check_sharing(ListenerSockets *sockets, FILE *problems)
{
        char text[ADDRESS_TEXT_MAX];
        unsigned n_problems = 0;

        for (size_t i = 0; i < sockets->n; i++) {
                ListenerSocket *socket = &sockets->items[i];
                Address address;

                (void)udp_local(socket->fd, &address);
                for (size_t k = 0; k < i; k++) {
                        if (!share_clients(socket->fd, sockets->items[k].fd))
                                continue;
                        socket->nth++;
                        if (strcmp(socket->name, sockets->items[k].name) == 0)
                                continue;
                        problem_tell(problems, "fd %d, named %s: %s is listened on under the name %s, too", socket->fd,
                                     socket->name, address_format(text, &address), sockets->items[k].name);
                        n_problems++;
                        break;
                }
                if (socket->nth == WORKERS_MAX) {
                        problem_tell(problems, "fd %d: %s is listed more than %d times", socket->fd,
                                     address_format(text, &address), WORKERS_MAX);
                        n_problems++;
                }
        }
        return n_problems;
}

/* --metrics.listen, which binds for itself as the Go program does. */
static int bind_http(ListenerSockets *sockets, const Options *options, FILE *problems)
{
        char text[ADDRESS_TEXT_MAX];
        int fd;

        if (!options->metrics_enabled)
                return 0;
        fd = tcp_listen(&options->metrics_listen);
        if (fd < 0) {
                problem_tell(problems, "--metrics.listen %s: %s", address_format(text, &options->metrics_listen),
                             strerror(-fd));
                return fd;
        }
        if (sockets->n_http == HTTP_SOCKETS_MAX) {
                (void)close(fd);
                return -ENOSPC;
        }
        sockets->http[sockets->n_http++] = fd;
        return 0;
}

int activation_collect(ListenerSockets *ret, const Config *config, const Options *options, FILE *problems,
                       unsigned *ret_n_problems)
{
        _cleanup_(listener_sockets_done) ListenerSockets sockets = {0};
        const char *listen_pid = getenv("LISTEN_PID");
        char meant_for[32] = "";
        int r;

        *ret_n_problems = 0;
        if (listen_pid)
                (void)snprintf(meant_for, sizeof(meant_for), "%s", listen_pid);
        r = take_inherited(&sockets, config, problems, ret_n_problems);
        if (r < 0)
                return r;
        if (*ret_n_problems == 0 && (r = bind_http(&sockets, options, problems)) < 0)
                return r;
        if (options->n_listen > 0 && *ret_n_problems == 0) {
                r = bind_listeners(&sockets, config, options, problems, ret_n_problems);
                if (r < 0)
                        return r;
        }
        if (sockets.n > RELAY_LISTENERS_MAX) {
                problem_tell(problems, "%zu listeners: there may be %d", sockets.n, RELAY_LISTENERS_MAX);
                (*ret_n_problems)++;
        }
        if (*ret_n_problems == 0)
                *ret_n_problems = check_sharing(&sockets, problems);
        if (sockets.n == 0 && *ret_n_problems == 0) {
                if (*meant_for)
                        problem_tell(problems, "no listeners: LISTEN_PID=%s means another process than this one",
                                     meant_for);
                else
                        problem_tell(problems, "no listeners: start udp46.socket, or give --listen A.B.C.D:port");
                (*ret_n_problems)++;
        }
        *ret = sockets;
        sockets = (ListenerSockets){0};
        return 0;
}
