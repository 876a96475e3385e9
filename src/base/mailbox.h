/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * How threads talk: a bounded queue of messages of one fixed size, one thread posting, one thread taking, and an
 * eventfd that wakes the taker. Nobody ever waits: a full mailbox refuses, and the poster decides what that means.
 * Messages arrive in order, each exactly once. Posting and taking are lock-free; mailbox_post() makes one system call.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

typedef struct Mailbox Mailbox;

/* n_messages is rounded up to a power of two. 0 or negative errno. */
int mailbox_new(Mailbox **ret, size_t message_size, size_t n_messages);
Mailbox *mailbox_free(Mailbox *box);
DEFINE_CLEANUP(Mailbox, mailbox_free)

/* Copies the message in. false: full, nothing happened. */
bool mailbox_post(Mailbox *box, const void *message);

/* Copies the oldest message out. false: empty. */
bool mailbox_take(Mailbox *box, void *ret_message);

/* Readable after a post. The taker calls mailbox_quiet() first and then takes until there is nothing left. */
int mailbox_get_fd(const Mailbox *box);
void mailbox_quiet(Mailbox *box);

/* Readable once more: the taker stopped before there was nothing left. */
void mailbox_again(Mailbox *box);
