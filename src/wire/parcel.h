/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Descriptors that wait in a queue of the kernel's: a pair of Unix sockets, connected to each other, whose messages
 * carry descriptors (SCM_RIGHTS). As long as somebody holds both ends, the sockets in the queue live, whatever becomes
 * of us. First in, first out; what was read stays until it is dropped.
 *
 * All descriptors of a user that are on such a way may be no more than its process may have open (RLIMIT_NOFILE,
 * -ETOOMANYREFS); a queue holds some 500 parcels (-EAGAIN).
 */
#include <stdbool.h>

enum { PARCEL_MAX = 253 }; /* SCM_MAX_FD */

typedef struct ParcelQueue {
        int in, out; /* owned; -EBADF: there is none */
} ParcelQueue;

/* 0 or negative errno. */
int parcel_queue_new(ParcelQueue *ret);
void parcel_queue_done(ParcelQueue *queue);

/* Sends descriptors 1 … PARCEL_MAX as one parcel; the sender's stay open. 0 or negative errno. */
int parcel_send(ParcelQueue *queue, const int *fds, unsigned n);

/* Throws the oldest parcel away, and closes what is in it. 0, or -EAGAIN: there is none. */
int parcel_drop(ParcelQueue *queue);

/*
 * Reads all parcels from the oldest on, each once, and leaves them where they are. parcel_peek_begin() starts anew;
 * parcel_peek() gives copies of the next one's descriptors (close-on-exec), and how many; 0: that was all; negative
 * errno: -EMFILE if there is no room for them, -EPROTO if it is no parcel of ours.
 */
int parcel_peek_begin(ParcelQueue *queue);
int parcel_peek(ParcelQueue *queue, int ret_fds[static PARCEL_MAX]);
