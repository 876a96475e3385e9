/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "load.h"

enum { FIRST_ADDRESS = 0xcb007101, FIRST_PORT = 20000 }; /* 203.0.113.1 */

/* From which address, and in pieces of which size. */
typedef struct Control {
        struct cmsghdr from_header;
        struct in_pktinfo from;
        _Alignas(struct cmsghdr) struct cmsghdr segment_header;
        uint16_t segment;
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

void clients_open(Clients *clients, const char *address, int port, unsigned first, unsigned n)
{
        *clients = (Clients){.first = first, .n = n};
        clients->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        clients->n_sockets = n > 0 ? (first + n - 1) / ADDRESSES - first / ADDRESSES + 1 : 0;
        if (inet_pton(AF_INET, address, &clients->to.sin_addr) != 1 || n == 0 || clients->n_sockets > SOCKETS_MAX) {
                (void)fprintf(stderr, "from 1 to %d clients, to an IPv4 address\n", CLIENTS_MAX);
                _Exit(2);
        }
        clients->connected = n == 1;
        for (unsigned i = 0; i < clients->n_sockets; i++)
                clients->fds[i] = open_socket(first / ADDRESSES + i, n == 1 ? FIRST_ADDRESS + first % ADDRESSES : 0);
        if (n == 1 && connect(clients->fds[0], (struct sockaddr *)&clients->to, sizeof(clients->to)) < 0)
                fail("connect");
}

static unsigned socket_of(const Clients *clients, unsigned client)
{
        return client / ADDRESSES - clients->first / ADDRESSES;
}

static void control_set(Control *control, unsigned client, unsigned segment)
{
        control->from_header = (struct cmsghdr){CMSG_LEN(sizeof(struct in_pktinfo)), IPPROTO_IP, IP_PKTINFO};
        control->from = (struct in_pktinfo){.ipi_spec_dst.s_addr = htonl(FIRST_ADDRESS + client % ADDRESSES)};
        control->segment_header = (struct cmsghdr){CMSG_LEN(sizeof(uint16_t)), IPPROTO_UDP, UDP_SEGMENT};
        control->segment = (uint16_t)segment;
}

/* A connected socket knows where from and where to. */
static void header_set(Clients *clients, struct msghdr *header, Control *control, bool train)
{
        size_t from = clients->connected ? offsetof(Control, segment_header) : 0;
        size_t to = train ? sizeof(*control) : offsetof(Control, segment_header);

        if (!clients->connected) {
                header->msg_name = &clients->to;
                header->msg_namelen = sizeof(clients->to);
        }
        if (to > from) {
                header->msg_control = (char *)control + from;
                header->msg_controllen = to - from;
        }
}

/* One system call: neighbours that share a socket. */
static unsigned send_some(Clients *clients, unsigned long k, unsigned n, struct iovec *iov, unsigned size, bool train)
{
        static struct mmsghdr messages[BATCH];
        static Control controls[BATCH];
        unsigned client = clients->first + (unsigned)(k % clients->n), socket = socket_of(clients, client), i;
        int sent;

        for (i = 0; i < n && i < BATCH; i++) {
                client = clients->first + (unsigned)((k + i) % clients->n);
                if (socket_of(clients, client) != socket)
                        break;
                control_set(&controls[i], client, size);
                messages[i].msg_hdr = (struct msghdr){.msg_iov = iov, .msg_iovlen = 1};
                header_set(clients, &messages[i].msg_hdr, &controls[i], train);
        }
        sent = sendmmsg(clients->fds[socket], messages, i, 0);
        return sent > 0 ? (unsigned)sent : 0;
}

unsigned clients_send(Clients *clients, unsigned long k, unsigned n, const void *data, unsigned size, unsigned train)
{
        struct iovec iov = {(void *)(uintptr_t)data, (size_t)size * train};
        unsigned sent = 0, some;

        while (sent < n) {
                some = send_some(clients, k + sent, n - sent, &iov, size, train > 1);
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
        (void)clients_send(clients, k, 1, &payload, size, 1);
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
