/* SPDX-License-Identifier: MIT */
/*
 * What goes through the sockets. Believes (Linux, 5.10 and later): recvmmsg keeps an error met after the first datagram
 * for the next call; sendmmsg returns how many went and forgets why it stopped: asked again from there, it says the
 * reason if it is still one. recvmmsg's own timeout is unusable, hence MSG_DONTWAIT.
 *
 * A train crosses the kernel's layers once instead of once for each datagram; that crossing, not the system call, is
 * what relaying costs. Equal-sized neighbours that came singly are coupled to a train for the way out (the last may be
 * shorter). Where a path cannot take a train (its MTU is smaller than a datagram, its device lacks checksum offload),
 * the datagrams go one by one, in order, and the path is remembered.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "wire/udp.h"

/* Datagrams in one train (UDP_MAX_SEGMENTS of Linux before 6.10; GRO makes no longer ones), and bytes. */
enum { TRAIN_MAX = 64, TRAIN_BYTES_IPV4 = 65507, TRAIN_BYTES_IPV6 = 65527 };

/* Payload buffers are a page-odd distance apart: 64 KiB would put the heads of all of them on the same cache lines. */
enum { BUFFER_STRIDE = DATAGRAM_ROOM + 5 * 64, ICMP_RETRIES_MAX = 16 };

/* With room for what a socket unit may have asked the kernel to add, like Timestamping=. */
typedef union Control {
        struct cmsghdr header;
        uint8_t bytes[256];
} Control;

struct BatchIo {
        struct mmsghdr messages[BATCH_MAX];
        struct iovec iov[BATCH_MAX];
        union {
                struct sockaddr_in v4;  /* a listener's clients */
                struct sockaddr_in6 v6; /* who writes to a leg's neighbour */
        } names[BATCH_MAX];
        Control controls[BATCH_MAX];
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

static void count_icmp(Icmp *icmp, int error)
{
        if (error == EMSGSIZE)
                icmp->too_big++;
        else
                icmp->errors++;
}

/* recvmmsg() until it says something about datagrams: ICMP errors are counted and read past. */
static int receive(int fd, Batch *batch, unsigned n_max, Icmp *icmp)
{
        for (unsigned i = 0; i < ICMP_RETRIES_MAX; i++) {
                int n = recvmmsg(fd, batch->io->messages, n_max, MSG_DONTWAIT, NULL);

                if (n >= 0)
                        return n;
                if (is_ours(errno))
                        return -errno;
                if (is_icmp(errno))
                        count_icmp(icmp, errno);
                else if (errno != EINTR)
                        return 0; /* EAGAIN; or ENOMEM and the like, which pass */
        }
        return 0;
}

/* The value of a control message, if it is this one and all of it is there. */
static bool control_is(const struct msghdr *header, const struct cmsghdr *control, int level, int type, void *ret,
                       size_t size)
{
        const uint8_t *end = (const uint8_t *)header->msg_control + header->msg_controllen;

        if (control->cmsg_level != level || control->cmsg_type != type || control->cmsg_len < CMSG_LEN(size) ||
            (size_t)(end - (const uint8_t *)control) < CMSG_LEN(size))
                return false;
        memcpy(ret, CMSG_DATA(control), size);
        return true;
}

void udp_describe(Datagram *d, struct msghdr *header)
{
        struct in_pktinfo info = {0};
        int segment = 0, tclass;
        uint8_t tos;

        for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control))
                if (control_is(header, control, IPPROTO_UDP, UDP_GRO, &segment, sizeof(segment)) ||
                    control_is(header, control, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info)))
                        continue;
                else if (control_is(header, control, IPPROTO_IPV6, IPV6_TCLASS, &tclass, sizeof(tclass))) {
                        d->marked = true;
                        d->tclass = (uint8_t)tclass;
                } else if (control_is(header, control, IPPROTO_IP, IP_TOS, &tos, sizeof(tos))) {
                        d->marked = true;
                        d->tclass = tos;
                }
        if (segment > 0 && d->size > (uint32_t)segment && d->size / (uint32_t)segment < UINT16_MAX) {
                d->segment = (uint16_t)segment;
                d->n = (uint16_t)((d->size + d->segment - 1) / d->segment);
        }
        /* What arrived before IP_PKTINFO was asked for bears only the destination of its header. */
        d->local = info.ipi_spec_dst.s_addr != INADDR_ANY ? info.ipi_spec_dst : info.ipi_addr;
}

static int receive_batch(int fd, Batch *batch, unsigned n_max, bool with_names, Icmp *icmp)
{
        BatchIo *io = batch->io;
        int n;

        for (unsigned i = 0; i < n_max; i++) {
                struct msghdr *header = &io->messages[i].msg_hdr;

                header->msg_name = with_names ? &io->names[i] : NULL;
                header->msg_namelen = with_names ? sizeof(io->names[i]) : 0;
                header->msg_control = &io->controls[i];
                header->msg_controllen = sizeof(io->controls[i]);
        }
        batch->n = 0;
        n = receive(fd, batch, n_max, icmp);
        if (n < 0)
                return n;
        for (int i = 0; i < n; i++) {
                struct mmsghdr *message = &io->messages[i];
                Datagram *d = &batch->items[i];

                *d = (Datagram){.data = message->msg_hdr.msg_iov->iov_base,
                                .size = message->msg_len,
                                .n = 1,
                                /* without its control data a train would look like one datagram */
                                .truncated = message->msg_hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)};
                udp_describe(d, &message->msg_hdr);
        }
        batch->n = (unsigned)n;
        return n;
}

int udp_receive(int fd, Batch *batch, unsigned n_max, Icmp *icmp)
{
        return receive_batch(fd, batch, n_max, false, icmp);
}

int udp_receive_from(int fd, Batch *batch, unsigned n_max)
{
        Icmp icmp = {0}; /* none reach an unconnected socket */
        int n = receive_batch(fd, batch, n_max, true, &icmp);

        for (int i = 0; i < n; i++) {
                batch->items[i].source = batch->io->names[i].v4.sin_addr;
                batch->items[i].source_port = ntohs(batch->io->names[i].v4.sin_port);
        }
        return n;
}

int udp_receive_named(int fd, Batch *batch, unsigned n_max, Icmp *icmp)
{
        return receive_batch(fd, batch, n_max, true, icmp);
}

Address batch_sender(const Batch *batch, unsigned i)
{
        const struct sockaddr_in6 *name = &batch->io->names[i].v6;

        return (Address){.family = AF_INET6, .port = ntohs(name->sin6_port), .v6 = name->sin6_addr};
}

/* --- sending --- */

/* Where a run goes: what every message to one destination has in common. `name` NULL: the socket is connected. */
typedef struct Route {
        int fd;
        struct sockaddr_in *name;
        struct in_addr from;
        uint32_t train_bytes_max;
} Route;

/* What leaves in one message: a datagram, a train as it came, or neighbours coupled to one. */
typedef struct Parcel {
        Datagram *first;
        unsigned n_items;
        uint16_t segment; /* 0: a single datagram */
} Parcel;

static void datagram_done(Datagram *d, int error)
{
        d->error = error;
        d->n_sent = error ? 0 : d->n;
        d->bytes_sent = error ? 0 : d->size;
}

static void parcel_done(const Parcel *parcel, int error)
{
        for (unsigned i = 0; i < parcel->n_items; i++)
                datagram_done(&parcel->first[i], error);
}

/* Does the path refuse trains of such datagrams? Each time it is asked it comes a step closer to being tried anew. */
static bool path_refuses(Trains *trains, uint32_t segment)
{
        if (segment <= trains->segment_max)
                return false;
        if (trains->patience > 0) {
                trains->patience--;
                return true;
        }
        trains_init(trains);
        return false;
}

/* A message has one class. (GRO, too, joins only what has the same.) */
static bool same_class(const Datagram *a, const Datagram *b)
{
        return a->marked == b->marked && a->tclass == b->tclass;
}

/* Takes as many datagrams from the first of a run as can leave in one message. */
static Parcel parcel_fill(const Route *route, Datagram *run, unsigned n, Trains *trains)
{
        Parcel parcel = {.first = run, .n_items = 1, .segment = run->segment};
        uint32_t bytes = run->size;

        if (run->n > 1 || !trains || n < 2 || run->size == 0 || path_refuses(trains, run->size))
                return parcel;
        while (parcel.n_items < n) { /* a batch is shorter than the longest train */
                const Datagram *next = &run[parcel.n_items];

                if (next->n > 1 || next->size == 0 || next->size > run->size ||
                    bytes + next->size > route->train_bytes_max || !same_class(run, next))
                        break;
                bytes += next->size;
                parcel.n_items++;
                if (next->size < run->size) /* a shorter one ends the train */
                        break;
        }
        if (parcel.n_items > 1)
                parcel.segment = (uint16_t)run->size;
        return parcel;
}

static void control_add(struct msghdr *header, Control *buffer, int level, int type, const void *data, size_t size)
{
        struct cmsghdr *control = (struct cmsghdr *)(void *)(buffer->bytes + header->msg_controllen);

        control->cmsg_level = level;
        control->cmsg_type = type;
        control->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(control), data, size);
        memset(CMSG_DATA(control) + size, 0, CMSG_SPACE(size) - CMSG_LEN(size)); /* the kernel is given these, too */
        header->msg_control = buffer;
        header->msg_controllen += CMSG_SPACE(size);
}

/* Writes the message of a parcel; iov has room for its items. */
static void parcel_address(const Route *route, const Parcel *parcel, struct msghdr *header, struct iovec *iov,
                           Control *control)
{
        for (unsigned i = 0; i < parcel->n_items; i++)
                iov[i] = (struct iovec){(void *)(uintptr_t)parcel->first[i].data, parcel->first[i].size};
        *header = (struct msghdr){.msg_iov = iov, .msg_iovlen = parcel->n_items};
        if (route->name) {
                const struct in_pktinfo info = {.ipi_spec_dst = route->from};

                header->msg_name = route->name;
                header->msg_namelen = sizeof(*route->name);
                control_add(header, control, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
        }
        if (parcel->first->marked) {
                const int tclass = parcel->first->tclass;

                if (route->name)
                        control_add(header, control, IPPROTO_IP, IP_TOS, &tclass, sizeof(tclass));
                else
                        control_add(header, control, IPPROTO_IPV6, IPV6_TCLASS, &tclass, sizeof(tclass));
        }
        if (parcel->segment > 0)
                control_add(header, control, IPPROTO_UDP, UDP_SEGMENT, &parcel->segment, sizeof(parcel->segment));
}

static int send_all(const Route *route, Datagram *run, unsigned n, Trains *trains, Icmp *icmp);

static bool all_refused_alike(const Datagram *pieces, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                if (!pieces[i].error || pieces[i].error != pieces[0].error)
                        return false;
        return true;
}

/*
 * A train, datagram by datagram. When none of the first ones goes, the rest is not tried: it would hear the same, but
 * for a shorter last one where they are too big.
 */
static int send_pieces(const Route *route, Datagram *train, Icmp *icmp)
{
        uint32_t offset = 0;
        int error = 0;

        train->in_pieces = true;
        train->n_sent = 0;
        train->bytes_sent = 0;
        while (offset < train->size) {
                Datagram pieces[BATCH_MAX];
                unsigned n = 0;
                int r;

                for (; n < BATCH_MAX && offset < train->size; n++) {
                        uint32_t rest = train->size - offset;

                        pieces[n] = (Datagram){.data = train->data + offset,
                                               .size = rest < train->segment ? rest : train->segment,
                                               .n = 1,
                                               .marked = train->marked,
                                               .tclass = train->tclass};
                        offset += pieces[n].size;
                }
                r = send_all(route, pieces, n, NULL, icmp);
                if (r < 0)
                        return r;
                if (offset < train->size && all_refused_alike(pieces, n))
                        offset = train->size - (pieces->error == EMSGSIZE ? train->size % train->segment : 0);
                for (unsigned i = 0; i < n; i++) {
                        train->n_sent = (uint16_t)(train->n_sent + pieces[i].n_sent);
                        train->bytes_sent += pieces[i].bytes_sent;
                        if (pieces[i].error && !error)
                                error = pieces[i].error;
                }
        }
        train->error = error;
        return 0;
}

/*
 * A train that was refused: its datagrams go one by one. If they do, it was the train that the path does not take, and
 * that is remembered: a datagram longer than the MTU cannot be part of one, EIO is a device that wants none at all. (A
 * firewall that looks at lengths says EPERM; others may pass it.)
 */
static int send_uncoupled(const Route *route, const Parcel *parcel, int error, Trains *trains, Icmp *icmp)
{
        bool went = false;
        int r;

        r = parcel->first->n > 1 ? send_pieces(route, parcel->first, icmp)
                                 : send_all(route, parcel->first, parcel->n_items, NULL, icmp);
        for (unsigned i = 0; i < parcel->n_items; i++)
                went = went || parcel->first[i].n_sent > 0;
        if (r < 0 || !went || error == EPERM || parcel->first->n > TRAIN_MAX)
                return r;
        trains->segment_max = error == EIO ? 0 : (uint16_t)(parcel->segment - 1);
        trains->patience = TRAINS_PATIENCE;
        return 0;
}

static bool refuses_trains(int error)
{
        return error == EMSGSIZE || error == EIO || error == EINVAL || error == EPERM;
}

/* As sendmmsg(). The commonest message, one datagram to a connected socket, is spared the reading of its header. */
static int send_some(const Route *route, struct mmsghdr *messages, unsigned n)
{
        const struct msghdr *first = &messages->msg_hdr;

        if (n > 1 || first->msg_name || first->msg_control || first->msg_iovlen > 1)
                return sendmmsg(route->fd, messages, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        return send(route->fd, first->msg_iov->iov_base, first->msg_iov->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1
                                                                                                                   : 1;
}

/*
 * Sends parcels in order, asking again from where the kernel stopped, until each one has its answer. `doubtful`: the
 * parcel at `i` was refused once, perhaps for an error that was pending and is gone now. If it goes through the second
 * time, that was it; the second refusal is its own.
 */
static int send_parcels(const Route *route, struct mmsghdr *messages, const Parcel *parcels, unsigned n, Trains *trains,
                        Icmp *icmp)
{
        int doubtful = 0; /* that error */
        unsigned i = 0;

        while (i < n) {
                int sent = send_some(route, messages + i, n - i), r;

                if (sent > 0) {
                        if (doubtful)
                                count_icmp(icmp, doubtful);
                        for (int k = 0; k < sent; k++)
                                parcel_done(&parcels[i++], 0);
                        doubtful = 0;
                        continue;
                }
                if (is_ours(errno))
                        return -errno;
                if (errno == EINTR)
                        continue;
                if (errno == EAGAIN) { /* the socket's buffer is full: the rest would hear the same */
                        while (i < n)
                                parcel_done(&parcels[i++], EAGAIN);
                        break;
                }
                if (is_icmp(errno) && !doubtful) {
                        doubtful = errno;
                        continue;
                }
                if (trains && parcels[i].segment > 0 && refuses_trains(errno)) {
                        r = send_uncoupled(route, &parcels[i], errno, trains, icmp);
                        if (r < 0)
                                return r;
                } else
                        parcel_done(&parcels[i], errno);
                i++;
                doubtful = 0;
        }
        return 0;
}

/* A train that cannot leave as one from here. */
static bool to_be_uncoupled(const Route *route, const Datagram *d, Trains *trains)
{
        return d->n > 1 && (!trains || d->size > route->train_bytes_max || path_refuses(trains, d->segment));
}

static int send_all(const Route *route, Datagram *run, unsigned n, Trains *trains, Icmp *icmp)
{
        struct mmsghdr messages[BATCH_MAX];
        struct iovec iov[BATCH_MAX];
        Control controls[BATCH_MAX];
        Parcel parcels[BATCH_MAX];
        unsigned i = 0;
        int r;

        while (i < n) {
                unsigned begin = i, n_parcels = 0;

                for (; i < n && !to_be_uncoupled(route, &run[i], trains); i += parcels[n_parcels++].n_items) {
                        parcels[n_parcels] = parcel_fill(route, &run[i], n - i, trains);
                        parcel_address(route, &parcels[n_parcels], &messages[n_parcels].msg_hdr, &iov[i],
                                       &controls[n_parcels]);
                }
                r = i > begin ? send_parcels(route, messages, parcels, n_parcels, trains, icmp)
                              : send_pieces(route, &run[i++], icmp);
                if (r < 0)
                        return r;
        }
        return 0;
}

int udp_send(int fd, Datagram *run, unsigned n, Trains *trains, Icmp *icmp)
{
        const Route route = {.fd = fd, .train_bytes_max = TRAIN_BYTES_IPV6};

        return send_all(&route, run, n, trains, icmp);
}

int udp_send_to(int fd, struct in_addr from, struct in_addr to, uint16_t to_port, Datagram *run, unsigned n,
                Trains *trains)
{
        struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = to, .sin_port = htons(to_port)};
        const Route route = {.fd = fd, .name = &name, .from = from, .train_bytes_max = TRAIN_BYTES_IPV4};
        Icmp icmp = {0};

        return send_all(&route, run, n, trains, &icmp);
}
