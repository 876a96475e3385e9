/* SPDX-License-Identifier: MIT */
/*
 * Believes: head and tail count for ever and wrap with the integer; their distance is the number of messages inside.
 * Only the poster writes tail, only the taker writes head; release and acquire on them carry the bytes between.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/mailbox.h"

struct Mailbox {
        atomic_size_t head, tail;
        size_t n_slots; /* a power of two */
        size_t message_size;
        int event_fd;
        uint8_t slots[];
};

int mailbox_new(Mailbox **ret, size_t message_size, size_t n_messages)
{
        _cleanup_(cleanup_mailbox_free) Mailbox *box = NULL;
        size_t n_slots = 1;

        while (n_slots < n_messages)
                n_slots *= 2;
        box = malloc(sizeof(Mailbox) + n_slots * message_size);
        if (!box)
                return -ENOMEM;
        *box = (Mailbox){.n_slots = n_slots, .message_size = message_size};
        box->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (box->event_fd < 0)
                return -errno;
        *ret = TAKE_PTR(box);
        return 0;
}

Mailbox *mailbox_free(Mailbox *box)
{
        if (!box)
                return NULL;
        box->event_fd = safe_close(box->event_fd);
        free(box);
        return NULL;
}

static uint8_t *mailbox_slot(Mailbox *box, size_t position)
{
        return box->slots + (position & (box->n_slots - 1)) * box->message_size;
}

bool mailbox_post(Mailbox *box, const void *message)
{
        size_t tail = atomic_load_explicit(&box->tail, memory_order_relaxed);
        size_t head = atomic_load_explicit(&box->head, memory_order_acquire);

        if (tail - head == box->n_slots)
                return false;
        memcpy(mailbox_slot(box, tail), message, box->message_size);
        atomic_store_explicit(&box->tail, tail + 1, memory_order_release);
        (void)eventfd_write(box->event_fd, 1); /* fails only when it is already readable beyond counting */
        return true;
}

bool mailbox_take(Mailbox *box, void *ret_message)
{
        size_t head = atomic_load_explicit(&box->head, memory_order_relaxed);
        size_t tail = atomic_load_explicit(&box->tail, memory_order_acquire);

        if (head == tail)
                return false;
        memcpy(ret_message, mailbox_slot(box, head), box->message_size);
        atomic_store_explicit(&box->head, head + 1, memory_order_release);
        return true;
}

int mailbox_get_fd(const Mailbox *box)
{
        return box->event_fd;
}

void mailbox_again(Mailbox *box)
{
        (void)eventfd_write(box->event_fd, 1);
}

void mailbox_quiet(Mailbox *box)
{
        eventfd_t count;

        (void)eventfd_read(box->event_fd, &count);
}
