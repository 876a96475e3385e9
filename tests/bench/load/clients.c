/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "load.h"

enum { FIRST_ADDRESS = 0xcb007101, FIRST_PORT = 20000 }; /* 203.0.113.1 */

/* From which address. */
typedef struct Control {
        struct cmsghdr header;
        struct in_pktinfo from;
} Control;

/* Of all clients with this number, or of one of them alone. */
static int open_socket(unsigned number, uint32_t address)
{
        struct sockaddr_in name = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)(FIRST_PORT + number)),
                                   .sin_addr.s_addr = htonl(address)};
        int fd = socket(AF_INET, SOCK_DGRAM, 0);

        if (fd < 0)
                fail("socket");
        set_buffers(fd);
        set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
        if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
                fail("bind");
        return fd;
}

/* Of one client alone: it knows where from and where to. */
static int open_connected(unsigned client, const struct sockaddr_in *to)
{
        int fd = open_socket(client / ADDRESSES, FIRST_ADDRESS + client % ADDRESSES);

        if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
                fail("connect");
        return fd;
}

void clients_open(Clients *clients, const char *address, int port, unsigned first, unsigned n, bool connected)
{
        unsigned n_sockets = connected ? n : (first + n - 1) / ADDRESSES - first / ADDRESSES + 1;

        *clients = (Clients){.first = first, .n = n, .n_sockets = n_sockets, .connected = connected};
        clients->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        if (inet_pton(AF_INET, address, &clients->to.sin_addr) != 1 || n == 0 || n_sockets > SOCKETS_MAX) {
                (void)fprintf(stderr, "from 1 to %d clients (with trains: %d), to an IPv4 address\n", CLIENTS_MAX,
                              SOCKETS_MAX);
                _Exit(2);
        }
        for (unsigned i = 0; i < n_sockets; i++)
                clients->fds[i] = connected ? open_connected(first + i, &clients->to)
                                            : open_socket(first / ADDRESSES + i, INADDR_ANY);
}

static unsigned socket_of(const Clients *clients, unsigned client)
{
        return clients->connected ? client - clients->first : client / ADDRESSES - clients->first / ADDRESSES;
}

static void header_set(Clients *clients, struct msghdr *header, Control *control, unsigned client)
{
        if (clients->connected)
                return;
        control->header = (struct cmsghdr){CMSG_LEN(sizeof(struct in_pktinfo)), IPPROTO_IP, IP_PKTINFO};
        control->from = (struct in_pktinfo){.ipi_spec_dst.s_addr = htonl(FIRST_ADDRESS + client % ADDRESSES)};
        header->msg_name = &clients->to;
        header->msg_namelen = sizeof(clients->to);
        header->msg_control = control;
        header->msg_controllen = sizeof(*control);
}

/* One system call: neighbours that share a socket. */
static unsigned send_some(Clients *clients, unsigned long k, unsigned n, struct iovec *iov)
{
        static struct mmsghdr messages[BATCH];
        static Control controls[BATCH];
        unsigned client = clients->first + (unsigned)(k % clients->n), socket = socket_of(clients, client), i;
        int sent;

        for (i = 0; i < n && i < BATCH; i++) {
                client = clients->first + (unsigned)((k + i) % clients->n);
                if (socket_of(clients, client) != socket)
                        break;
                messages[i].msg_hdr = (struct msghdr){.msg_iov = iov, .msg_iovlen = 1};
                header_set(clients, &messages[i].msg_hdr, &controls[i], client);
        }
        sent = sendmmsg(clients->fds[socket], messages, i, 0);
        return sent > 0 ? (unsigned)sent : 0;
}

unsigned clients_send(Clients *clients, unsigned long k, unsigned n, const void *data, unsigned size)
{
        struct iovec iov = {(void *)(uintptr_t)data, size};
        unsigned sent = 0, some;

        while (sent < n) {
                some = send_some(clients, k + sent, n - sent, &iov);
                if (some == 0)
                        break;
                sent += some;
        }
        return sent;
}

void clients_ask(Clients *clients, unsigned k, unsigned size)
{
        static union {
                Ask ask;
                char bytes[ROOM];
        } payload;

        payload.ask = (Ask){.mark = ASK_MARK, .client = clients->first + k, .sent = now_ns()};
        (void)clients_send(clients, k, 1, &payload, size);
}

/* A relay that mixes clients up gives answers to the wrong one: those do not count. */
static bool is_answer(const Clients *clients, unsigned socket, struct mmsghdr *message, const Ask *ask)
{
        return message->msg_len == sizeof(*ask) && ask->mark == ASK_MARK && ask->client - clients->first < clients->n &&
               socket_of(clients, (unsigned)ask->client) == socket &&
               local_of(&message->msg_hdr) == FIRST_ADDRESS + ask->client % ADDRESSES;
}

unsigned clients_answers(Clients *clients, unsigned socket, Answer answers[BATCH])
{
        static struct mmsghdr messages[BATCH];
        static struct iovec iov[BATCH];
        static Ask asks[BATCH];
        static _Alignas(struct cmsghdr) char controls[BATCH][CONTROL];
        unsigned n = 0;
        int got;

        for (int i = 0; i < BATCH; i++) {
                iov[i] = (struct iovec){&asks[i], sizeof(asks[i])};
                messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
                                                      .msg_iovlen = 1,
                                                      .msg_control = controls[i],
                                                      .msg_controllen = CONTROL};
        }
        got = recvmmsg(clients->fds[socket], messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < got; i++) {
                uint64_t at = stamp_of(&messages[i].msg_hdr);
                double way = (double)(int64_t)(asks[i].arrived - asks[i].sent + at - asks[i].left) / 1e3;

                if (is_answer(clients, socket, &messages[i], &asks[i]))
                        answers[n++] = (Answer){asks[i].client, at, way};
        }
        return n;
}
