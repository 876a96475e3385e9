/* SPDX-License-Identifier: MIT */
/*
 * Believes (Linux, 5.10 and later): recvmmsg keeps an error met after the first datagram for the next call; sendmmsg
 * returns how many went and forgets why it stopped: asked again from there, it says the reason if it is still one.
 * recvmmsg's own timeout is unusable, hence MSG_DONTWAIT. An unconnected socket without IP_RECVERR never hears of ICMP
 * errors. Refuses: to close anything because of an ICMP error, which anybody can forge.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "wire/udp.h"

/* Payload buffers are a page-odd distance apart: 64 KiB would put the heads of all of them on the same cache lines. */
enum { BUFFER_STRIDE = DATAGRAM_ROOM + 5 * 64, ICMP_RETRIES_MAX = 16 };

/* With room for what a socket unit may have asked the kernel to add, like Timestamping=. */
typedef union PacketInfo {
        struct cmsghdr header;
        uint8_t bytes[256];
} PacketInfo;

struct BatchIo {
        struct mmsghdr messages[BATCH_MAX];
        struct iovec iov[BATCH_MAX];
        struct sockaddr_in names[BATCH_MAX];
        PacketInfo infos[BATCH_MAX];
        uint8_t buffers[BATCH_MAX * BUFFER_STRIDE];
};

int batch_new(Batch **ret)
{
        _cleanup_(cleanup_batch_free) Batch *batch = calloc(1, sizeof(Batch));

        if (!batch)
                return -ENOMEM;
        batch->io = calloc(1, sizeof(BatchIo));
        if (!batch->io)
                return -ENOMEM;
        for (unsigned i = 0; i < BATCH_MAX; i++) {
                batch->io->iov[i] = (struct iovec){batch->io->buffers + i * BUFFER_STRIDE, DATAGRAM_ROOM};
                batch->io->messages[i].msg_hdr.msg_iov = &batch->io->iov[i];
                batch->io->messages[i].msg_hdr.msg_iovlen = 1;
        }
        *ret = TAKE_PTR(batch);
        return 0;
}

Batch *batch_free(Batch *batch)
{
        if (!batch)
                return NULL;
        free(batch->io);
        free(batch);
        return NULL;
}

/* A failure that no packet can cause. */
static bool is_ours(int error)
{
        return error == EBADF || error == ENOTSOCK || error == EFAULT;
}

/* May be the pending error of a connected socket, as ICMP sets it; everything else is about the call itself. */
static bool is_icmp(int error)
{
        switch (error) {
        case ECONNREFUSED:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case EHOSTDOWN:
        case ENONET:
        case ENOPROTOOPT:
        case EOPNOTSUPP:
        case EPROTO:
        case EACCES:
        case EMSGSIZE: /* packet too big; said of a datagram itself, it is said again */
                return true;
        default:
                return false;
        }
}

static struct sockaddr_in to_sockaddr_in(struct in_addr address, uint16_t port)
{
        return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = address, .sin_port = htons(port)};
}

static struct sockaddr_in6 to_sockaddr_in6(const Address *a)
{
        return (struct sockaddr_in6){.sin6_family = AF_INET6,
                                     .sin6_addr = a->v6,
                                     .sin6_port = htons(a->port),
                                     .sin6_scope_id = a->scope};
}

static int local_address(int fd, Address *ret)
{
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } name = {0};
        socklen_t length = sizeof(name);

        if (getsockname(fd, &name.any, &length) < 0)
                return -errno;
        *ret = (Address){.family = name.any.sa_family};
        if (name.any.sa_family == AF_INET) {
                ret->port = ntohs(name.v4.sin_port);
                ret->v4 = name.v4.sin_addr;
        } else if (name.any.sa_family == AF_INET6) {
                ret->port = ntohs(name.v6.sin6_port);
                ret->v6 = name.v6.sin6_addr;
                ret->scope = name.v6.sin6_scope_id;
        } else
                return -EAFNOSUPPORT;
        return 0;
}

static int ask_for_local_address(int fd)
{
        static const int on = 1;

        return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0 ? -errno : 0;
}

int udp_adopt_listener(int fd, Address *ret_bound)
{
        int flags = fcntl(fd, F_GETFL), r;

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        r = ask_for_local_address(fd);
        return r < 0 ? r : local_address(fd, ret_bound);
}

int udp_listen(const Address *address)
{
        struct sockaddr_in name = to_sockaddr_in(address->v4, address->port);
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        /* Asked before the first datagram can come: the kernel notes its local address on arrival. */
        if (fd < 0 || ask_for_local_address(fd) < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int connect_to(int fd, const Address *peer, Address *ret_local)
{
        struct sockaddr_in6 name = to_sockaddr_in6(peer);

        if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
                return -errno;
        return local_address(fd, ret_local);
}

int udp_connect(const Address *peer, Address *ret_local)
{
        _cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int r;

        /* IPv6 only: a leg shall not take its port from the host's IPv4, nor lose it to that when it is bound again. */
        if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)) < 0)
                return -errno;
        r = connect_to(fd, peer, ret_local);
        if (r < 0)
                return r;
        /* What is here already came from a stranger, between the choice of the port and the connect. */
        while (recv(fd, NULL, 0, MSG_DONTWAIT | MSG_TRUNC) >= 0)
                ;
        return TAKE_FD(fd);
}

int udp_peer(int fd, Address *ret)
{
        struct sockaddr_in6 name = {0};
        socklen_t length = sizeof(name);

        if (getpeername(fd, (struct sockaddr *)&name, &length) < 0)
                return -errno;
        *ret = (Address){.family = AF_INET6,
                         .port = ntohs(name.sin6_port),
                         .scope = name.sin6_scope_id,
                         .v6 = name.sin6_addr};
        return 0;
}

/*
 * A second connect() alone would keep the source address that suited the first peer. So the association is dissolved,
 * which frees an automatic port, too: it is bound again at once, and lost only to somebody who takes it in that very
 * moment. Meanwhile a filter keeps strangers out.
 */
int udp_reconnect(int fd, const Address *peer, Address *ret_local)
{
        static const struct sock_filter drop_all[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
        const struct sock_fprog filter = {ELEMENTSOF(drop_all), (struct sock_filter *)(uintptr_t)drop_all};
        const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
        Address own = {0};
        struct sockaddr_in6 name;
        int r;

        r = local_address(fd, &own);
        if (r < 0)
                return r;
        name = to_sockaddr_in6(&(Address){.port = own.port});
        if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0)
                return -errno;
        (void)connect(fd, &nobody, sizeof(nobody));
        (void)bind(fd, (const struct sockaddr *)&name, sizeof(name)); /* EINVAL: it kept its port */
        r = connect_to(fd, peer, ret_local);
        if (r >= 0)
                (void)setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){0}, sizeof(int));
        return r;
}

/* recvmmsg() until it says something about datagrams: ICMP errors are counted and read past. */
static int receive(int fd, Batch *batch, unsigned n_max, uint64_t *n_icmp)
{
        for (unsigned i = 0; i < ICMP_RETRIES_MAX; i++) {
                int n = recvmmsg(fd, batch->io->messages, n_max, MSG_DONTWAIT, NULL);

                if (n >= 0)
                        return n;
                if (is_ours(errno))
                        return -errno;
                if (is_icmp(errno))
                        (*n_icmp)++;
                else if (errno != EINTR)
                        return 0; /* EAGAIN; or ENOMEM and the like, which pass */
        }
        return 0;
}

static void datagram_take(Datagram *d, const struct mmsghdr *message)
{
        d->data = message->msg_hdr.msg_iov->iov_base;
        d->size = message->msg_len;
        d->truncated = message->msg_hdr.msg_flags & MSG_TRUNC;
}

int udp_receive(int fd, Batch *batch, unsigned n_max, uint64_t *n_icmp)
{
        int n;

        for (unsigned i = 0; i < n_max; i++) {
                struct msghdr *header = &batch->io->messages[i].msg_hdr;

                header->msg_name = NULL;
                header->msg_namelen = 0;
                header->msg_control = NULL;
                header->msg_controllen = 0;
        }
        batch->n = 0;
        n = receive(fd, batch, n_max, n_icmp);
        if (n < 0)
                return n;
        for (int i = 0; i < n; i++)
                datagram_take(&batch->items[i], &batch->io->messages[i]);
        batch->n = (unsigned)n;
        return n;
}

/*
 * The local address a datagram was written to. What arrived before IP_PKTINFO was asked for bears only the destination
 * of its header, which is the same unless that is a broadcast.
 */
static struct in_addr local_of(struct msghdr *header)
{
        struct in_pktinfo info = {0};

        for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control))
                if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO)
                        memcpy(&info, CMSG_DATA(control), sizeof(info));
        return info.ipi_spec_dst.s_addr != INADDR_ANY ? info.ipi_spec_dst : info.ipi_addr;
}

int udp_receive_from(int fd, Batch *batch, unsigned n_max)
{
        BatchIo *io = batch->io;
        uint64_t n_icmp = 0; /* none reach an unconnected socket */
        int n;

        for (unsigned i = 0; i < n_max; i++) {
                struct msghdr *header = &io->messages[i].msg_hdr;

                header->msg_name = &io->names[i];
                header->msg_namelen = sizeof(io->names[i]);
                header->msg_control = &io->infos[i];
                header->msg_controllen = sizeof(io->infos[i]);
        }
        batch->n = 0;
        n = receive(fd, batch, n_max, &n_icmp);
        if (n < 0)
                return n;
        for (int i = 0; i < n; i++) {
                Datagram *d = &batch->items[i];

                datagram_take(d, &io->messages[i]);
                d->source = io->names[i].sin_addr;
                d->source_port = ntohs(io->names[i].sin_port);
                d->local = local_of(&io->messages[i].msg_hdr);
        }
        batch->n = (unsigned)n;
        return n;
}

/*
 * Sends a prepared run in order, asking again from where the kernel stopped, until each one has its answer. `doubtful`:
 * the datagram at `i` was refused once, perhaps for an error that was pending and is gone now. If it goes through the
 * second time, that was it; the second refusal is its own.
 */
static int send_run(int fd, struct mmsghdr *messages, Datagram *run, unsigned n, uint64_t *n_icmp)
{
        bool doubtful = false;
        unsigned i = 0;

        while (i < n) {
                int sent = sendmmsg(fd, messages + i, n - i, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (sent > 0) {
                        *n_icmp += doubtful;
                        for (int k = 0; k < sent; k++)
                                run[i++].error = 0;
                        doubtful = true; /* if there is more, something stopped the kernel here */
                        continue;
                }
                if (is_ours(errno))
                        return -errno;
                if (errno == EINTR)
                        continue;
                if (errno == EAGAIN) { /* the socket's buffer is full: the rest would hear the same */
                        while (i < n)
                                run[i++].error = EAGAIN;
                        break;
                }
                if (is_icmp(errno) && !doubtful) {
                        doubtful = true;
                        continue;
                }
                run[i++].error = errno;
                doubtful = false;
        }
        return 0;
}

static void send_prepare(struct mmsghdr *message, struct iovec *iov, const Datagram *d)
{
        *iov = (struct iovec){(void *)(uintptr_t)d->data, d->size};
        message->msg_hdr = (struct msghdr){.msg_iov = iov, .msg_iovlen = 1};
}

int udp_send(int fd, Datagram *run, unsigned n, uint64_t *n_icmp)
{
        struct mmsghdr messages[BATCH_MAX];
        struct iovec iov[BATCH_MAX];

        for (unsigned i = 0; i < n; i++)
                send_prepare(&messages[i], &iov[i], &run[i]);
        return send_run(fd, messages, run, n, n_icmp);
}

int udp_send_to(int fd, struct in_addr from, struct in_addr to, uint16_t to_port, Datagram *run, unsigned n)
{
        struct sockaddr_in name = to_sockaddr_in(to, to_port);
        struct in_pktinfo info = {.ipi_spec_dst = from};
        PacketInfo control = {0};
        struct mmsghdr messages[BATCH_MAX];
        struct iovec iov[BATCH_MAX];
        uint64_t n_icmp = 0;

        control.header = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IP, IP_PKTINFO};
        memcpy(CMSG_DATA(&control.header), &info, sizeof(info));
        for (unsigned i = 0; i < n; i++) {
                send_prepare(&messages[i], &iov[i], &run[i]);
                messages[i].msg_hdr.msg_name = &name;
                messages[i].msg_hdr.msg_namelen = sizeof(name);
                messages[i].msg_hdr.msg_control = &control;
                messages[i].msg_hdr.msg_controllen = CMSG_SPACE(sizeof(info));
        }
        return send_run(fd, messages, run, n, &n_icmp);
}
