/* SPDX-License-Identifier: MIT */
/*
 * Believes: a UDP socket becomes writable when half of its buffer is free again, and level-triggered epoll says so; who
 * asks earlier, because the next datagram is here or a wait is over, may find room before that.
 * Refuses: to wait for anything but a full buffer; an upstream that cannot be reached is no reason to keep datagrams.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "relay/account.h"
#include "relay/relay.h"
#include "relay/waiting.h"

typedef struct Seat {
        ListNode node; /* among the free ones, or in order of arrival */
        Session *session;
        usec_t until;
        Datagram datagram;
        uint8_t payload[DATAGRAM_ROOM];
} Seat;

struct WaitingRoom {
        List free, taken;
        Seat seats[WAITING_SEATS];
};

int waiting_room_new(WaitingRoom **ret)
{
        WaitingRoom *room = calloc(1, sizeof(WaitingRoom));

        if (!room)
                return -ENOMEM;
        for (unsigned i = 0; i < WAITING_SEATS; i++)
                list_append(&room->free, &room->seats[i].node);
        *ret = room;
        return 0;
}

WaitingRoom *waiting_room_free(WaitingRoom *room)
{
        free(room);
        return NULL;
}

static Seat *seat_of(ListNode *node)
{
        return node ? container_of(node, Seat, node) : NULL;
}

/* The first seat of a session from this one on, or NULL. */
static Seat *next_of_session(Seat *seat, const Session *session)
{
        while (seat && seat->session != session)
                seat = seat_of(seat->node.next);
        return seat;
}

static Seat *seat_take(WaitingRoom *room, Session *session, const Datagram *d, usec_t until)
{
        Seat *seat = seat_of(room->free.first);

        if (!seat || session->n_waiting == WAITING_SEATS_OF_ONE)
                return NULL;
        list_remove(&room->free, &seat->node);
        list_append(&room->taken, &seat->node);
        seat->session = session;
        seat->until = until;
        seat->datagram = *d;
        seat->datagram.data = memcpy(seat->payload, d->data, d->size);
        session->n_waiting++;
        return seat;
}

static void seat_leave(WaitingRoom *room, Seat *seat)
{
        seat->session->n_waiting--;
        list_remove(&room->taken, &seat->node);
        list_append(&room->free, &seat->node);
}

/* Has the leg watched for room in its buffer while something waits for it, and only then. */
static int watch_for_room(Relay *relay, Session *session)
{
        return watch_set_want_room(&relay->watches, &session->leg.watch, session->n_waiting > 0);
}

static bool waits(const Datagram *d)
{
        return d->error == EAGAIN && d->n_sent == 0;
}

unsigned waiting_seat(Relay *relay, Session *session, Datagram *run, unsigned n, usec_t until)
{
        bool waited = session->n_waiting > 0;
        unsigned n_done = n, n_seated;

        while (n_done > 0 && waits(&run[n_done - 1]))
                n_done--;
        for (n_seated = 0; n_done + n_seated < n; n_seated++)
                if (!seat_take(relay->waiting, session, &run[n_done + n_seated], until))
                        break;
        if (!waited && session->n_waiting > 0)
                (void)watch_for_room(relay, session); /* if that fails, the wait ends by its time */
        memmove(&run[n_done], &run[n_done + n_seated], (n - n_done - n_seated) * sizeof(*run));
        return n - n_seated;
}

int waiting_resume(Relay *relay, Session *session, usec_t now)
{
        Seat *seat = seat_of(relay->waiting->taken.first);
        int r;

        while ((seat = next_of_session(seat, session))) {
                Seat *next = seat_of(seat->node.next);

                r = session_forward(relay, session, &seat->datagram, 1, now);
                if (r < 0)
                        return r;
                if (waits(&seat->datagram))
                        break;
                account_sent(session, FORWARD, &seat->datagram, 1);
                seat_leave(relay->waiting, seat);
                seat = next;
        }
        return session->n_waiting > 0 ? 0 : watch_for_room(relay, session);
}

static void seat_drop(Relay *relay, Seat *seat, Verdict verdict)
{
        Session *session = seat->session;

        account_drop(&session->listener->stats, FORWARD, verdict, &seat->datagram);
        seat_leave(relay->waiting, seat);
        if (session->n_waiting == 0)
                (void)watch_for_room(relay, session);
}

void waiting_clear(Relay *relay, Session *session)
{
        Seat *seat = seat_of(relay->waiting->taken.first);

        while (session->n_waiting > 0 && (seat = next_of_session(seat, session))) {
                Seat *next = seat_of(seat->node.next);

                seat_drop(relay, seat, VERDICT_SEND_BUFFER_FULL);
                seat = next;
        }
}

usec_t waiting_deadline(const WaitingRoom *room)
{
        usec_t deadline = USEC_NEVER;

        for (ListNode *node = room->taken.first; node; node = node->next)
                if (seat_of(node)->until < deadline)
                        deadline = seat_of(node)->until;
        return deadline;
}

static Seat *first_due(const WaitingRoom *room, usec_t now)
{
        Seat *seat = seat_of(room->taken.first);

        while (seat && seat->until > now)
                seat = seat_of(seat->node.next);
        return seat;
}

/* What is due is tried once more before it is dropped: epoll speaks only when half of the buffer is free. */
void waiting_expire(Relay *relay, usec_t now)
{
        for (Seat *due; (due = first_due(relay->waiting, now));) {
                Session *session = due->session;

                (void)waiting_resume(relay, session, now);
                for (Seat *seat = seat_of(relay->waiting->taken.first), *next; seat; seat = next) {
                        next = seat_of(seat->node.next);
                        if (seat->session == session && seat->until <= now)
                                seat_drop(relay, seat, VERDICT_WRITE_TIMEOUT);
                }
        }
}
