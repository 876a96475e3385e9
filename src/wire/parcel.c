/* SPDX-License-Identifier: MIT */
/*
 * Believes: a message of one byte is the smallest that carries descriptors, and what counts against the send buffer is
 * a message, not what it carries. Refuses: to trust a queue that came from outside: whatever it brings is counted and
 * closed.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "wire/parcel.h"

typedef union Control {
        char bytes[CMSG_SPACE(PARCEL_MAX * sizeof(int))];
        struct cmsghdr align;
} Control;

int parcel_queue_new(ParcelQueue *ret)
{
        static const int room = 1 << 20; /* as much as net.core.wmem_max allows */
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
                return -errno;
        (void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
        *ret = (ParcelQueue){.in = fds[0], .out = fds[1]};
        return 0;
}

void parcel_queue_done(ParcelQueue *queue)
{
        queue->in = safe_close(queue->in);
        queue->out = safe_close(queue->out);
}

int parcel_send(ParcelQueue *queue, const int *fds, unsigned n)
{
        Control control = {0};
        struct iovec byte = {.iov_base = (char[]){'p'}, .iov_len = 1};
        struct msghdr message = {.msg_iov = &byte,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = CMSG_SPACE(n * sizeof(int))};
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, n * sizeof(int));
        return sendmsg(queue->in, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int parcel_drop(ParcelQueue *queue)
{
        char byte;

        return recv(queue->out, &byte, sizeof(byte), MSG_DONTWAIT) < 0 ? -errno : 0;
}

int parcel_peek_begin(ParcelQueue *queue)
{
        static const int start = 0;

        return setsockopt(queue->out, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start)) < 0 ? -errno : 0;
}

/* The descriptors of one control message; ours is the only one, and more are closed. */
static unsigned take_rights(const struct cmsghdr *c, int *fds, unsigned n)
{
        unsigned n_more = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

        for (unsigned i = 0; i < n_more; i++) {
                int fd;

                memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                if (n < PARCEL_MAX)
                        fds[n++] = fd;
                else
                        (void)safe_close(fd);
        }
        return n;
}

int parcel_peek(ParcelQueue *queue, int ret_fds[static PARCEL_MAX])
{
        Control control;
        char byte;
        struct iovec to = {.iov_base = &byte, .iov_len = 1};
        struct msghdr message = {.msg_iov = &to,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof(control.bytes)};
        unsigned n = 0;
        ssize_t size = recvmsg(queue->out, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (size < 0)
                return errno == EAGAIN ? 0 : -errno;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
                        n = take_rights(c, ret_fds, n);
        /* Of a longer message each byte would come as a parcel of its own, with the same descriptors again. */
        if (n > 0 && size == 1 && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
                return (int)n;
        while (n > 0)
                (void)safe_close(ret_fds[--n]);
        return message.msg_flags & MSG_CTRUNC ? -EMFILE : -EPROTO;
}
