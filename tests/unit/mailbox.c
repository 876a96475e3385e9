/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <pthread.h>
#include <sched.h>

#include "base/mailbox.h"
#include "unit.h"

/* A size that is no power of two and no multiple of a word. */
typedef struct Message {
        uint8_t bytes[13];
} Message;

static Message message_number(uint64_t number)
{
        Message m;

        for (size_t i = 0; i < sizeof(m.bytes); i++)
                m.bytes[i] = (uint8_t)(number >> 8 * (i % 4));
        return m;
}

static bool message_is(const Message *m, uint64_t number)
{
        Message expected = message_number(number);

        return memcmp(m, &expected, sizeof(expected)) == 0;
}

static bool readable(const Mailbox *box, int timeout_ms)
{
        struct pollfd fd = {.fd = mailbox_get_fd(box), .events = POLLIN};

        return poll(&fd, 1, timeout_ms) == 1;
}

static bool post(Mailbox *box, uint64_t number)
{
        Message m = message_number(number);

        return mailbox_post(box, &m);
}

static void take(Mailbox *box, uint64_t number)
{
        Message m;

        ck_assert_msg(mailbox_take(box, &m), "message %" PRIu64 " is missing", number);
        ck_assert_msg(message_is(&m, number), "another message than %" PRIu64, number);
}

START_TEST(keeps_the_order)
{
        _cleanup_(cleanup_mailbox_free) Mailbox *box = NULL;
        Message m;

        ck_assert_int_eq(mailbox_new(&box, sizeof(Message), 8), 0);
        ck_assert(!mailbox_take(box, &m));
        for (uint64_t i = 0; i < 8; i++)
                ck_assert(post(box, i));
        for (uint64_t i = 0; i < 8; i++)
                take(box, i);
        ck_assert(!mailbox_take(box, &m));
}
END_TEST

START_TEST(refuses_when_full_and_loses_nothing)
{
        _cleanup_(cleanup_mailbox_free) Mailbox *box = NULL;
        Message m;

        ck_assert_int_eq(mailbox_new(&box, sizeof(Message), 4), 0);
        for (uint64_t i = 0; i < 4; i++)
                ck_assert(post(box, i));
        ck_assert(!post(box, 99));
        ck_assert(!post(box, 99));
        take(box, 0);
        ck_assert(post(box, 4));
        ck_assert(!post(box, 99));
        for (uint64_t i = 1; i < 5; i++)
                take(box, i);
        ck_assert(!mailbox_take(box, &m));
}
END_TEST

/* The ring goes round again and again, with every number of messages inside. */
START_TEST(wraps)
{
        _cleanup_(cleanup_mailbox_free) Mailbox *box = NULL;
        uint64_t posted = 0, taken = 0;

        ck_assert_int_eq(mailbox_new(&box, sizeof(Message), 8), 0);
        for (unsigned round = 0; round < 1000; round++) {
                for (unsigned i = 0; i < 1 + round % 8; i++)
                        ck_assert(post(box, posted++));
                while (taken < posted)
                        take(box, taken++);
        }
}
END_TEST

START_TEST(rounds_up_to_a_power_of_two)
{
        static const struct {
                size_t wanted, room;
        } sizes[] = {{0, 1}, {1, 1}, {2, 2}, {3, 4}, {5, 8}, {64, 64}, {65, 128}};
        _cleanup_(cleanup_mailbox_free) Mailbox *box = NULL;

        ck_assert_int_eq(mailbox_new(&box, sizeof(Message), sizes[_i].wanted), 0);
        for (size_t i = 0; i < sizes[_i].room; i++)
                ck_assert(post(box, i));
        ck_assert(!post(box, 99));
}
END_TEST

START_TEST(wakes_the_taker)
{
        _cleanup_(cleanup_mailbox_free) Mailbox *box = NULL;

        ck_assert_int_eq(mailbox_new(&box, sizeof(Message), 4), 0);
        ck_assert(!readable(box, 0));
        mailbox_quiet(box); /* must not wait */
        ck_assert(post(box, 1));
        ck_assert(post(box, 2));
        ck_assert(readable(box, 0));
        take(box, 1);
        ck_assert(readable(box, 0));
        mailbox_quiet(box);
        ck_assert(!readable(box, 0));
        take(box, 2);
}
END_TEST

START_TEST(freeing_null_is_fine)
{
        ck_assert_ptr_null(mailbox_free(NULL));
}
END_TEST

enum { N_EXCHANGED = 1000000, N_RING = 64 };

static void *post_all(void *userdata)
{
        for (uint64_t i = 0; i < N_EXCHANGED; i++)
                while (!post(userdata, i))
                        (void)sched_yield();
        return NULL;
}

/* One thread posts, one takes by the rules (quiet first, then until there is nothing): no wake-up is ever missed. */
START_TEST(two_threads_exchange_a_million)
{
        _cleanup_(cleanup_mailbox_free) Mailbox *box = NULL;
        uint64_t taken = 0;
        pthread_t thread;
        Message m;

        ck_assert_int_eq(mailbox_new(&box, sizeof(Message), N_RING), 0);
        ck_assert_int_eq(pthread_create(&thread, NULL, post_all, box), 0);
        while (taken < N_EXCHANGED) {
                ck_assert_msg(readable(box, 10000), "no wake-up after %" PRIu64 " messages", taken);
                mailbox_quiet(box);
                while (mailbox_take(box, &m)) {
                        ck_assert_msg(message_is(&m, taken), "message %" PRIu64 " is another one", taken);
                        taken++;
                }
        }
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert(!mailbox_take(box, &m));
}
END_TEST

enum { N_RALLIES = 20000 };

typedef struct Rally {
        Mailbox *there, *back;
} Rally;

/* Waits for a message and takes it, as the taker of a box does. */
static void await(Mailbox *box, uint64_t number)
{
        ck_assert_msg(readable(box, 10000), "no wake-up for message %" PRIu64, number);
        mailbox_quiet(box);
        take(box, number);
}

static void *play_back(void *userdata)
{
        const Rally *rally = userdata;

        for (uint64_t i = 0; i < N_RALLIES; i++) {
                await(rally->there, i);
                (void)post(rally->back, i);
        }
        return NULL;
}

/* One message at a time, there and back: each one has to wake somebody who sleeps. */
START_TEST(every_message_wakes)
{
        Rally rally;
        pthread_t thread;

        ck_assert_int_eq(mailbox_new(&rally.there, sizeof(Message), 4), 0);
        ck_assert_int_eq(mailbox_new(&rally.back, sizeof(Message), 4), 0);
        ck_assert_int_eq(pthread_create(&thread, NULL, play_back, &rally), 0);
        for (uint64_t i = 0; i < N_RALLIES; i++) {
                ck_assert(post(rally.there, i));
                await(rally.back, i);
        }
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        (void)mailbox_free(rally.there);
        (void)mailbox_free(rally.back);
}
END_TEST

UNIT_SUITE("base/mailbox", UNIT_TEST(keeps_the_order), UNIT_TEST(refuses_when_full_and_loses_nothing), UNIT_TEST(wraps),
           UNIT_LOOP(rounds_up_to_a_power_of_two, 7), UNIT_TEST(wakes_the_taker), UNIT_TEST(freeing_null_is_fine),
           UNIT_TEST(two_threads_exchange_a_million), UNIT_TEST(every_message_wakes))
