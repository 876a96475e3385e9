/* SPDX-License-Identifier: MIT */
/*
 * The bounded wait for a full send buffer. A cable lets out a burst and then next to nothing, so that what a leg sends
 * stays in its buffer until the test lets it go; the relay's time passes only when the test says so.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "relay/waiting.h"
#include "suite.h"

enum {
        SIZE = 1200,
        PER_TRAIN = 10,
        SENDERS = WAITING_SEATS / WAITING_SEATS_OF_ONE + 1, /* one more than can have all their seats at once */
        TRIES = 1000,                                       /* more datagrams than any send buffer here takes */
        DEEP = 16 << 20,
};

/* A client that numbers its datagrams from 0 on. */
typedef struct Sender {
        int fd;
        uint16_t next;    /* number to be sent */
        unsigned n_came;  /* of those that arrived, how many, */
        uint16_t last;    /* and the latest */
        unsigned n_whole; /* arrivals that were whole trains */
} Sender;

/* An upstream behind a cable that does not take what comes. The first sender is the line's client. */
typedef struct Jam {
        Line line;
        Sender senders[SENDERS];
} Jam;

/* --- the cable --- */

/* What leaves by a timer of the cable, or by its sender, queues up at the core that each is on: one could pass another.
 */
static void stay_on_one_core(void)
{
        cpu_set_t cores;

        CPU_ZERO(&cores);
        CPU_SET((size_t)sched_getcpu(), &cores);
        ck_assert_int_eq(sched_setaffinity(0, sizeof(cores), &cores), 0);
}

/* It lets out so many bytes at once, and then one in a millisecond. Each change makes its burst anew. */
static void cable_burst(const char *bytes)
{
        char command[120];

        (void)snprintf(command, sizeof(command), "tc qdisc replace dev here root tbf rate 8kbit burst %s limit 100m",
                       bytes);
        world_run(command);
}

/* The queue looks at its new rate when the next packet comes. (One may wait for its neighbour's address: so, two.) */
static void cable_nudge(void)
{
        Address v4 = {.family = AF_INET, .port = 9}, v6 = {.family = AF_INET6, .port = 9}, own;
        int client, upstream = upstream_new("::", 0, &own);

        ck_assert_int_eq(inet_pton(AF_INET, "192.0.2.2", &v4.v4), 1);
        ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8:100::10", &v6.v6), 1);
        client = client_new(NULL, &v4);
        peer_send(client, "", 1);
        upstream_reply(upstream, &v6, "", 1);
        (void)safe_close(client);
        (void)safe_close(upstream);
}

static void cable_close(void)
{
        cable_burst("2k");
}

static void cable_open(void)
{
        world_run("tc qdisc replace dev here root tbf rate 10gbit burst 1m limit 100m");
        cable_nudge();
}

/* --- what comes and goes --- */

static void jam_init(Jam *jam, const PolicySettings *settings)
{
        *jam = (Jam){0};
        stay_on_one_core();
        line_init_far_upstream(&jam->line, settings, "true");
        world_deepen(jam->line.home, DEEP);
        world_deepen(jam->line.l->fd, DEEP);
        jam->senders[0].fd = jam->line.client;
        for (unsigned i = 1; i < SENDERS; i++)
                jam->senders[i].fd = client_new(NULL, &jam->line.listener);
        cable_close();
}

static void jam_init_for(Jam *jam, usec_t write_timeout)
{
        PolicySettings settings = world_settings;

        settings.write_timeout = write_timeout;
        jam_init(jam, &settings);
}

static void turn(Jam *jam)
{
        ck_assert_int_ge(relay_dispatch(jam->line.w.relay, jam->line.w.now), 1);
}

static bool has_work(const Jam *jam)
{
        struct pollfd p = {.fd = relay_get_fd(jam->line.w.relay), .events = POLLIN};

        return poll(&p, 1, 0) > 0;
}

/* Of all verdicts, the greeting left out. */
static uint64_t counted(const Jam *jam, Verdict verdict)
{
        return world_verdicts(jam->line.l, FORWARD, verdict) - (verdict == VERDICT_FORWARDED);
}

/* How many datagrams, or trains of them, of a sender wait. */
static unsigned n_waiting(const Jam *jam, const Sender *sender)
{
        const Table *table = &jam->line.w.relay->table;
        struct sockaddr_in name = {0};
        socklen_t length = sizeof(name);
        Flow flow = {.local = jam->line.listener.v4, .listener = jam->line.l->index};
        const Session *session;

        ck_assert_int_eq(getsockname(sender->fd, (struct sockaddr *)&name, &length), 0);
        flow.client = name.sin_addr;
        flow.client_port = ntohs(name.sin_port);
        session = table_find(table, &flow, table_hash(table, &flow));
        return session ? session->n_waiting : 0;
}

static unsigned n_waiting_of_all(const Jam *jam)
{
        unsigned n = 0;

        for (unsigned i = 0; i < SENDERS; i++)
                n += n_waiting(jam, &jam->senders[i]);
        return n;
}

/* The payload of a sender's number, unlike that of any other. */
static void payload(unsigned sender, uint16_t number, uint8_t data[static SIZE])
{
        const uint16_t head[2] = {(uint16_t)sender, number};

        for (unsigned i = 0; i < SIZE; i++)
                data[i] = (uint8_t)(sender * 3 + number * 7U + i * 31 + i / 251);
        memcpy(data, head, sizeof(head));
}

static void send_one(Jam *jam, Sender *sender)
{
        uint8_t data[SIZE];

        payload((unsigned)(sender - jam->senders), sender->next++, data);
        peer_send(sender->fd, data, sizeof(data));
}

static void send_train(Jam *jam, Sender *sender)
{
        uint8_t data[PER_TRAIN * SIZE];

        for (unsigned i = 0; i < PER_TRAIN; i++)
                payload((unsigned)(sender - jam->senders), sender->next++, data + (size_t)i * SIZE);
        peer_send_train(sender->fd, data, sizeof(data), SIZE, NULL);
}

/* The relay takes each one before the next comes. */
static void send_some(Jam *jam, Sender *sender, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                send_one(jam, sender);
                turn(jam);
        }
}

static void send_until_waiting(Jam *jam, Sender *sender, unsigned n)
{
        for (unsigned i = 0; n_waiting(jam, sender) < n; i++) {
                ck_assert_msg(i < TRIES, "the send buffer does not become full");
                send_some(jam, sender, 1);
        }
}

/* Until the buffer is full and one finds no seat. */
static void send_until_dropped(Jam *jam, Sender *sender)
{
        uint64_t before = counted(jam, VERDICT_SEND_BUFFER_FULL);

        for (unsigned i = 0; counted(jam, VERDICT_SEND_BUFFER_FULL) == before; i++) {
                ck_assert_msg(i < TRIES, "the send buffer does not become full");
                send_some(jam, sender, 1);
        }
}

/* Takes all that came: the bytes of each one are whole, and of a sender no number comes twice or after a larger one. */
static void arrive(Jam *jam)
{
        uint8_t data[65536], expected[SIZE];
        struct pollfd p = {.fd = jam->line.home, .events = POLLIN};

        world_settle(&jam->line.w);
        while (poll(&p, 1, 20) > 0) {
                uint16_t segment;
                size_t size = peer_receive_train(&jam->line.w, jam->line.home, data, sizeof(data), &segment);

                ck_assert_uint_eq(size % SIZE, 0);
                ck_assert_uint_eq(segment, size > SIZE ? SIZE : 0);
                for (size_t at = 0; at < size; at += SIZE) {
                        uint16_t head[2];
                        Sender *sender;

                        memcpy(head, data + at, sizeof(head));
                        ck_assert_uint_lt(head[0], SENDERS);
                        sender = &jam->senders[head[0]];
                        payload(head[0], head[1], expected);
                        ck_assert_mem_eq(data + at, expected, SIZE);
                        ck_assert_msg(sender->n_came == 0 || head[1] > sender->last, "%u came after %u", head[1],
                                      sender->last);
                        sender->last = head[1];
                        sender->n_came++;
                        sender->n_whole += at == 0 && size == (size_t)PER_TRAIN * SIZE;
                }
        }
}

/* All that was forwarded arrived; all that was sent is in the books, or waits. */
static void check_books(const Jam *jam)
{
        unsigned n_sent = 0, n_came = 0;

        for (unsigned i = 0; i < SENDERS; i++) {
                n_sent += jam->senders[i].next;
                n_came += jam->senders[i].n_came;
        }
        ck_assert_uint_eq(n_came, counted(jam, VERDICT_FORWARDED));
        ck_assert_uint_eq(counter_get(&jam->line.l->stats.directions[FORWARD].received) - 1, n_sent);
        ck_assert(stats_conserved(&jam->line.l->stats));
}

/* The cable lets everything go; afterwards nothing waits, nothing spins and a datagram goes as ever. */
static void jam_done(Jam *jam)
{
        cable_open();
        arrive(jam);
        ck_assert_uint_eq(n_waiting_of_all(jam), 0);
        ck_assert_msg(!has_work(jam), "room that nobody waits for is no work");
        check_books(jam);
        send_some(jam, &jam->senders[0], 1);
        arrive(jam);
        check_books(jam);
        world_done(&jam->line.w);
}

/* --- the tests --- */

START_TEST(what_waits_leaves_in_order_when_there_is_room)
{
        Sender *sender;
        Jam jam;

        jam_init_for(&jam, USEC_PER_SEC);
        sender = &jam.senders[0];
        send_until_waiting(&jam, sender, WAITING_SEATS_OF_ONE);
        ck_assert_uint_eq(counted(&jam, VERDICT_FORWARDED), sender->next - WAITING_SEATS_OF_ONE);
        ck_assert_msg(!has_work(&jam), "to wait is no work");
        cable_open();
        arrive(&jam);
        ck_assert_uint_eq(sender->n_came, sender->next);
        ck_assert_uint_eq(counted(&jam, VERDICT_FORWARDED), sender->next);
        jam_done(&jam);
}
END_TEST

/* A batch that meets the end of the buffer: its head goes, then some wait, and the tail is dropped. */
START_TEST(a_burst_is_parted_in_order)
{
        enum { BURST = 200 };
        unsigned n_kept;
        Jam jam;

        jam_init_for(&jam, USEC_PER_SEC);
        for (unsigned i = 0; i < BURST; i++)
                send_one(&jam, &jam.senders[0]);
        world_settle(&jam.line.w);
        ck_assert_uint_eq(n_waiting_of_all(&jam), WAITING_SEATS_OF_ONE);
        n_kept = (unsigned)counted(&jam, VERDICT_FORWARDED) + WAITING_SEATS_OF_ONE;
        ck_assert_uint_eq(counted(&jam, VERDICT_SEND_BUFFER_FULL), BURST - n_kept);
        cable_open();
        arrive(&jam);
        ck_assert_uint_eq(jam.senders[0].n_came, n_kept);
        ck_assert_uint_eq(jam.senders[0].last, n_kept - 1); /* the dropped ones are the last ones */
        jam_done(&jam);
}
END_TEST

/* The kernel says that there is room when half of the buffer is free. Until then nobody is woken, and nothing spins. */
static void jam_loosen(Jam *jam, unsigned n_waiting)
{
        send_until_waiting(jam, &jam->senders[0], n_waiting);
        cable_burst("15k");
        cable_nudge();
        arrive(jam);
        ck_assert_uint_ge(jam->senders[0].n_came, 8);
        ck_assert_uint_eq(n_waiting_of_all(jam), n_waiting);
        ck_assert(!has_work(jam));
}

/* Opens the cable; all that was ever sent has come. */
static void check_all_come(Jam *jam)
{
        cable_burst("100k");
        cable_nudge();
        arrive(jam);
        ck_assert_uint_eq(n_waiting_of_all(jam), 0);
        ck_assert_uint_eq(counted(jam, VERDICT_FORWARDED), jam->senders[0].next);
}

START_TEST(the_next_datagram_finds_the_room_that_nobody_told_of)
{
        Jam jam;

        jam_init_for(&jam, USEC_PER_SEC);
        jam_loosen(&jam, 3);
        send_some(&jam, &jam.senders[0], 1); /* those that were here before go first */
        ck_assert_uint_eq(n_waiting_of_all(&jam), 0);
        check_all_come(&jam);
        jam_done(&jam);
}
END_TEST

START_TEST(so_does_the_end_of_a_wait)
{
        Jam jam;

        jam_init_for(&jam, USEC_PER_SEC);
        jam_loosen(&jam, 3);
        world_pass(&jam.line.w, USEC_PER_SEC);
        ck_assert_uint_eq(n_waiting_of_all(&jam), 0);
        ck_assert_uint_eq(counted(&jam, VERDICT_WRITE_TIMEOUT), 0);
        check_all_come(&jam);
        jam_done(&jam);
}
END_TEST

START_TEST(who_waited_in_vain_is_dropped_on_time)
{
        World *w;
        Jam jam;

        jam_init_for(&jam, 10 * USEC_PER_MSEC);
        w = &jam.line.w;
        send_until_waiting(&jam, &jam.senders[0], 6);
        world_pass(w, 4 * USEC_PER_MSEC);
        send_some(&jam, &jam.senders[0], 5);
        ck_assert_uint_eq(relay_deadline(w->relay), w->now + 6 * USEC_PER_MSEC);
        world_pass(w, 6 * USEC_PER_MSEC - 1);
        relay_expire(w->relay, w->now); /* its timer may ring for another reason */
        ck_assert_uint_eq(n_waiting_of_all(&jam), 11);
        ck_assert_uint_eq(counted(&jam, VERDICT_WRITE_TIMEOUT), 0);
        world_pass(w, 1);
        ck_assert_uint_eq(n_waiting_of_all(&jam), 5);
        ck_assert_uint_eq(counted(&jam, VERDICT_WRITE_TIMEOUT), 6);
        world_pass(w, 4 * USEC_PER_MSEC - 1);
        ck_assert_uint_eq(n_waiting_of_all(&jam), 5);
        world_pass(w, 1);
        ck_assert_uint_eq(n_waiting_of_all(&jam), 0);
        ck_assert_uint_eq(counted(&jam, VERDICT_WRITE_TIMEOUT), 11);
        ck_assert_uint_eq(counted(&jam, VERDICT_SEND_BUFFER_FULL), 0);
        ck_assert_uint_gt(relay_deadline(w->relay), w->now + USEC_PER_SEC); /* that of a session */
        jam_done(&jam);
}
END_TEST

/* Those who were dropped leave a gap, not an end: who sat down later still goes. */
START_TEST(who_came_later_outlasts_who_came_first)
{
        Jam jam;

        jam_init_for(&jam, 10 * USEC_PER_MSEC);
        send_until_waiting(&jam, &jam.senders[0], 2);
        world_pass(&jam.line.w, 5 * USEC_PER_MSEC);
        send_some(&jam, &jam.senders[0], 2);
        world_pass(&jam.line.w, 5 * USEC_PER_MSEC);
        ck_assert_uint_eq(n_waiting_of_all(&jam), 2);
        cable_open();
        arrive(&jam);
        ck_assert_uint_eq(counted(&jam, VERDICT_WRITE_TIMEOUT), 2);
        ck_assert_uint_eq(jam.senders[0].n_came, jam.senders[0].next - 2U);
        ck_assert_uint_eq(jam.senders[0].last, jam.senders[0].next - 1U);
        jam_done(&jam);
}
END_TEST

START_TEST(without_a_write_timeout_nobody_waits)
{
        Jam jam;

        jam_init_for(&jam, 0);
        send_until_dropped(&jam, &jam.senders[0]);
        send_some(&jam, &jam.senders[0], 50);
        ck_assert_uint_eq(n_waiting_of_all(&jam), 0);
        ck_assert(!has_work(&jam));
        ck_assert_uint_eq(counted(&jam, VERDICT_SEND_BUFFER_FULL), 51);
        ck_assert_uint_eq(counted(&jam, VERDICT_FORWARDED), jam.senders[0].next - 51U);
        jam_done(&jam);
}
END_TEST

/* Another client of the same listener, and another listener, have theirs on in the very turn in which they come. */
START_TEST(nobody_else_waits)
{
        Address listener, upstream;
        const Listener *l;
        int home, client;
        uint64_t before;
        Jam jam;

        jam_init_for(&jam, USEC_PER_SEC);
        home = upstream_new(NULL, 0, &upstream);
        l = world_listener(&jam.line.w, NULL, world_policy(&jam.line.w, NULL, &upstream), &listener);
        client = client_new(NULL, &listener);
        send_until_waiting(&jam, &jam.senders[0], WAITING_SEATS_OF_ONE);
        before = counted(&jam, VERDICT_FORWARDED);
        for (unsigned i = 1; i <= 20; i++) {
                peer_send(client, "x", 1);
                turn(&jam);
                ck_assert_uint_eq(world_verdicts(l, FORWARD, VERDICT_FORWARDED), i);
                send_some(&jam, &jam.senders[1], 1);
                ck_assert_uint_eq(counted(&jam, VERDICT_FORWARDED), before + i);
        }
        ck_assert_uint_eq(peer_count(&jam.line.w, home), 20);
        (void)world_round(&jam.line.w, client, home, "there and back");
        ck_assert_uint_eq(n_waiting(&jam, &jam.senders[0]), WAITING_SEATS_OF_ONE);
        jam_done(&jam);
}
END_TEST

START_TEST(replies_pass_those_who_wait)
{
        char got[10];
        Jam jam;

        jam_init_for(&jam, USEC_PER_SEC);
        send_until_waiting(&jam, &jam.senders[0], WAITING_SEATS_OF_ONE);
        upstream_reply(jam.line.home, &jam.line.leg, "reply", 5);
        ck_assert_uint_eq(peer_receive(&jam.line.w, jam.line.client, got, sizeof(got), NULL), 5);
        ck_assert_uint_eq(n_waiting_of_all(&jam), WAITING_SEATS_OF_ONE);
        ck_assert(!has_work(&jam));
        jam_done(&jam);
}
END_TEST

START_TEST(two_sessions_that_wait_keep_each_its_order)
{
        Jam jam;

        jam_init_for(&jam, USEC_PER_SEC);
        send_until_waiting(&jam, &jam.senders[0], 1);
        send_until_waiting(&jam, &jam.senders[1], 1);
        for (unsigned i = 0; i < 10; i++) { /* so that their seats are mixed */
                send_some(&jam, &jam.senders[0], 1);
                send_some(&jam, &jam.senders[1], 1);
        }
        ck_assert_uint_eq(n_waiting_of_all(&jam), 22);
        ck_assert(!has_work(&jam));
        cable_open();
        arrive(&jam);
        for (unsigned i = 0; i < 2; i++)
                ck_assert_uint_eq(jam.senders[i].n_came, jam.senders[i].next);
        jam_done(&jam);
}
END_TEST

/* Each but the last sender has all the seats that one may have. */
static void take_all_seats(Jam *jam)
{
        for (unsigned i = 0; i < SENDERS - 1; i++)
                send_until_waiting(jam, &jam->senders[i], WAITING_SEATS_OF_ONE);
        ck_assert_uint_eq(n_waiting_of_all(jam), WAITING_SEATS);
}

START_TEST(seats_are_limited)
{
        Sender *first, *last;
        Jam jam;

        jam_init_for(&jam, 10 * USEC_PER_MSEC);
        first = &jam.senders[0];
        last = &jam.senders[SENDERS - 1];
        send_until_waiting(&jam, first, WAITING_SEATS_OF_ONE);
        send_some(&jam, first, 5); /* there are more seats, but not for it */
        ck_assert_uint_eq(n_waiting(&jam, first), WAITING_SEATS_OF_ONE);
        ck_assert_uint_eq(counted(&jam, VERDICT_SEND_BUFFER_FULL), 5);
        world_pass(&jam.line.w, USEC_PER_MSEC);
        take_all_seats(&jam);
        send_until_dropped(&jam, last);
        send_some(&jam, last, 5);
        ck_assert_uint_eq(n_waiting(&jam, last), 0);
        ck_assert_uint_eq(counted(&jam, VERDICT_SEND_BUFFER_FULL), 11);
        ck_assert(!has_work(&jam));
        world_pass(&jam.line.w, 9 * USEC_PER_MSEC); /* the first one's seats are free again */
        ck_assert_uint_eq(counted(&jam, VERDICT_WRITE_TIMEOUT), WAITING_SEATS_OF_ONE);
        send_some(&jam, last, WAITING_SEATS_OF_ONE);
        ck_assert_uint_eq(n_waiting(&jam, last), WAITING_SEATS_OF_ONE);
        ck_assert_uint_eq(counted(&jam, VERDICT_SEND_BUFFER_FULL), 11);
        jam_done(&jam);
}
END_TEST

/* All in one read: as many as there are seats sit down, a train among them, and those behind are dropped. */
START_TEST(a_train_takes_one_seat)
{
        Jam jam;

        jam_init_for(&jam, USEC_PER_SEC);
        send_until_waiting(&jam, &jam.senders[0], WAITING_SEATS_OF_ONE - 3);
        send_one(&jam, &jam.senders[0]);
        send_train(&jam, &jam.senders[0]);
        for (unsigned i = 0; i < 3; i++)
                send_one(&jam, &jam.senders[0]);
        world_settle(&jam.line.w);
        ck_assert_uint_eq(n_waiting_of_all(&jam), WAITING_SEATS_OF_ONE);
        ck_assert_uint_eq(counted(&jam, VERDICT_SEND_BUFFER_FULL), 2);
        jam_done(&jam);
}
END_TEST

/* What waits when its session ends is dropped and counted, and its seats can be taken again. */
static void check_end(Jam *jam)
{
        ck_assert_uint_eq(jam->line.w.n_closed, SENDERS - 1);
        ck_assert_uint_eq(counted(jam, VERDICT_SEND_BUFFER_FULL), WAITING_SEATS);
        ck_assert_uint_eq(counted(jam, VERDICT_WRITE_TIMEOUT), 0);
        take_all_seats(jam);
        ck_assert_uint_eq(counted(jam, VERDICT_SEND_BUFFER_FULL), WAITING_SEATS);
        jam_done(jam);
}

START_TEST(closed_sessions_leave_their_seats)
{
        Jam jam;

        jam_init_for(&jam, USEC_PER_SEC);
        take_all_seats(&jam);
        relay_close_sessions(jam.line.w.relay, SESSION_SHUTDOWN, jam.line.w.now);
        check_end(&jam);
}
END_TEST

START_TEST(expired_sessions_leave_their_seats)
{
        PolicySettings settings = world_settings;
        Jam jam;

        settings.write_timeout = USEC_PER_HOUR;
        jam_init(&jam, &settings);
        take_all_seats(&jam);
        world_pass(&jam.line.w, settings.timeouts[SESSION_ASSURED]);
        check_end(&jam);
}
END_TEST

/* The upstream sees those that waited come as one piece each, and all datagrams of the others. */
START_TEST(trains_wait_whole)
{
        enum { N = 5 };
        Sender *sender;
        Jam jam;

        jam_init_for(&jam, USEC_PER_SEC);
        sender = &jam.senders[0];
        ck_assert_int_eq(udp_set_trains(jam.line.home), 0);
        for (unsigned i = 0; n_waiting(&jam, sender) < N; i++) {
                ck_assert_uint_lt(i, TRIES);
                send_train(&jam, sender);
                turn(&jam);
        }
        ck_assert_uint_eq(counted(&jam, VERDICT_FORWARDED), sender->next - N * PER_TRAIN);
        ck_assert(!has_work(&jam));
        cable_open();
        arrive(&jam);
        ck_assert_uint_eq(sender->n_came, sender->next);
        ck_assert_uint_eq(sender->n_whole, N); /* the cable had taken the others to pieces */
        jam_done(&jam);
}
END_TEST

START_TEST(a_train_that_waited_in_vain_is_all_its_datagrams)
{
        Jam jam;

        jam_init_for(&jam, 10 * USEC_PER_MSEC);
        send_until_waiting(&jam, &jam.senders[0], 1);
        send_train(&jam, &jam.senders[0]);
        turn(&jam);
        ck_assert_uint_eq(n_waiting_of_all(&jam), 2);
        world_pass(&jam.line.w, 10 * USEC_PER_MSEC);
        ck_assert_uint_eq(counted(&jam, VERDICT_WRITE_TIMEOUT), 1 + PER_TRAIN);
        jam_done(&jam);
}
END_TEST

/* A reload while some wait: theirs is the promise of when they sat down, but nobody sits down any more. */
static void reload_to_nobody_waits(Jam *jam)
{
        PolicySettings settings = jam->line.policy->settings;

        send_until_waiting(jam, &jam->senders[0], 4);
        settings.write_timeout = 0;
        policy_set(jam->line.policy, &settings);
        send_some(jam, &jam->senders[0], 3);
        ck_assert_uint_eq(n_waiting_of_all(jam), 4);
        ck_assert_uint_eq(counted(jam, VERDICT_SEND_BUFFER_FULL), 3);
        ck_assert(!has_work(jam));
}

START_TEST(who_waits_over_a_reload_still_leaves)
{
        Jam jam;

        jam_init_for(&jam, 10 * USEC_PER_MSEC);
        reload_to_nobody_waits(&jam);
        cable_open();
        arrive(&jam);
        ck_assert_uint_eq(counted(&jam, VERDICT_FORWARDED), jam.senders[0].next - 3U);
        ck_assert_uint_eq(jam.senders[0].last, jam.senders[0].next - 4U);
        jam_done(&jam);
}
END_TEST

START_TEST(who_waits_over_a_reload_still_expires)
{
        Jam jam;

        jam_init_for(&jam, 10 * USEC_PER_MSEC);
        reload_to_nobody_waits(&jam);
        world_pass(&jam.line.w, 10 * USEC_PER_MSEC - 1);
        relay_expire(jam.line.w.relay, jam.line.w.now);
        ck_assert_uint_eq(counted(&jam, VERDICT_WRITE_TIMEOUT), 0);
        world_pass(&jam.line.w, 1);
        ck_assert_uint_eq(counted(&jam, VERDICT_WRITE_TIMEOUT), 4);
        send_until_dropped(&jam, &jam.senders[0]);
        ck_assert_uint_eq(n_waiting_of_all(&jam), 0);
        jam_done(&jam);
}
END_TEST

/* They go where the upstream is when there is room, not where it was when they sat down. */
START_TEST(who_waits_for_an_upstream_that_moves_goes_there)
{
        Address upstream;
        int home;
        Jam jam;

        jam_init_for(&jam, USEC_PER_SEC);
        send_until_waiting(&jam, &jam.senders[0], 4);
        home = upstream_new(NULL, 0, &upstream);
        upstream_set_address(&jam.line.policy->upstream, &upstream);
        cable_open();
        ck_assert_uint_eq(peer_count(&jam.line.w, home), 4);
        ck_assert_uint_eq(n_waiting_of_all(&jam), 0);
        ck_assert_uint_eq(counted(&jam, VERDICT_FORWARDED), jam.senders[0].next);
        ck_assert(!has_work(&jam));
        world_done(&jam.line.w);
}
END_TEST

START_TEST(replies_never_wait)
{
        enum { N = 400 };
        uint8_t data[SIZE] = {0};
        uint64_t n_went;
        Line line;

        line_init_far_client(&line, NULL, "true");
        world_deepen(line.client, DEEP);
        cable_close();
        for (unsigned i = 0; i < N; i++) {
                upstream_reply(line.home, &line.leg, data, sizeof(data));
                ck_assert_int_eq(relay_dispatch(line.w.relay, line.w.now), 1);
        }
        n_went = world_verdicts(line.l, REPLY, VERDICT_FORWARDED) - 1;
        ck_assert_uint_gt(n_went, 0);
        ck_assert_uint_eq(world_verdicts(line.l, REPLY, VERDICT_SEND_BUFFER_FULL), N - n_went);
        ck_assert_uint_gt(N, n_went);
        ck_assert_int_eq(relay_dispatch(line.w.relay, line.w.now), 0);
        ck_assert_uint_gt(relay_deadline(line.w.relay), line.w.now + USEC_PER_SEC); /* that of the session */
        cable_open();
        ck_assert_uint_eq(peer_count(&line.w, line.client), n_went);
        world_done(&line.w);
}
END_TEST

WORLD_SUITE("waiting", what_waits_leaves_in_order_when_there_is_room, a_burst_is_parted_in_order,
            the_next_datagram_finds_the_room_that_nobody_told_of, so_does_the_end_of_a_wait,
            who_waited_in_vain_is_dropped_on_time, who_came_later_outlasts_who_came_first,
            without_a_write_timeout_nobody_waits, nobody_else_waits, replies_pass_those_who_wait,
            two_sessions_that_wait_keep_each_its_order, seats_are_limited, closed_sessions_leave_their_seats,
            expired_sessions_leave_their_seats, a_train_takes_one_seat, trains_wait_whole,
            a_train_that_waited_in_vain_is_all_its_datagrams, who_waits_over_a_reload_still_leaves,
            who_waits_over_a_reload_still_expires, who_waits_for_an_upstream_that_moves_goes_there, replies_never_wait)
