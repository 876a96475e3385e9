/* SPDX-License-Identifier: MIT */
/* Token buckets: one, one that threads share, and one for each newcomer. */
#include <pthread.h>

#include "relay/newcomers.h"
#include "relay/rate.h"
#include "unit.h"

#define START USEC_PER_DAY

static const RateLimit ten_a_second = {.burst = 10, .interval = USEC_PER_SEC};

/* How many may happen at this time. */
static unsigned take_all(Rate *rate, const RateLimit *limit, usec_t now)
{
        unsigned n = 0;

        while (n < 1000000 && rate_take(rate, limit, now))
                n++;
        return n;
}

START_TEST(a_burst_then_a_rate)
{
        Rate rate = {0};

        ck_assert_uint_eq(take_all(&rate, &ten_a_second, START), 10);
        ck_assert_uint_eq(take_all(&rate, &ten_a_second, START), 0);
        ck_assert_uint_eq(take_all(&rate, &ten_a_second, START + 99999), 0);
        ck_assert_uint_eq(take_all(&rate, &ten_a_second, START + 100000), 1);
        ck_assert_uint_eq(take_all(&rate, &ten_a_second, START + 350000), 2);
        ck_assert_uint_eq(take_all(&rate, &ten_a_second, START + 10 * USEC_PER_SEC), 10);
}
END_TEST

START_TEST(no_limit)
{
        const RateLimit none = {0};
        Rate rate = {0};

        ck_assert_uint_eq(take_all(&rate, &none, START), 1000000);
}
END_TEST

/* A clock that went back, or a limit that was shortened, keeps nobody waiting for longer than an interval. */
START_TEST(it_never_waits_longer_than_an_interval)
{
        const RateLimit slow = {.burst = 10, .interval = USEC_PER_HOUR};
        Rate rate = {0};

        ck_assert_uint_eq(take_all(&rate, &slow, START), 10);
        ck_assert_uint_eq(take_all(&rate, &ten_a_second, START), 10);
        ck_assert_uint_eq(take_all(&rate, &ten_a_second, START - USEC_PER_HOUR), 10);
}
END_TEST

static const RateLimit limits[] = {{1, USEC_PER_MSEC},
                                   {1, USEC_PER_HOUR},
                                   {1000000, USEC_PER_SEC},
                                   {1000000, RATE_INTERVAL_MAX},
                                   {3, USEC_PER_SEC}};

/* Over many intervals it is the rate, to one in each. */
START_TEST(the_rate_is_kept)
{
        const RateLimit *limit = &limits[_i];
        uint64_t n = 0, expected = limit->burst * 11;
        Rate rate = {0};

        for (unsigned i = 0; i <= 100; i++)
                while (rate_take(&rate, limit, START + i * limit->interval / 10))
                        n++;
        ck_assert_uint_le(n, expected + 11);
        ck_assert_uint_ge(n + 11, expected);
}
END_TEST

typedef struct Shared {
        Rate rate;
        Counter taken;
} Shared;

static void *take_some(void *userdata)
{
        const RateLimit limit = {.burst = 10000, .interval = USEC_PER_HOUR};
        Shared *shared = userdata;

        for (unsigned i = 0; i < 10000; i++)
                if (rate_take(&shared->rate, &limit, START))
                        (void)counter_share(&shared->taken, 1);
        return NULL;
}

START_TEST(threads_take_no_more_together)
{
        Shared shared = {0};
        pthread_t threads[4];

        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, take_some, &shared), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_uint_eq(counter_get(&shared.taken), 10000);
}
END_TEST

static struct in_addr client(uint32_t number)
{
        return (struct in_addr){htonl(number)};
}

static unsigned take_all_of(Newcomers *newcomers, uint32_t number, uint32_t policy, usec_t now)
{
        unsigned n = 0;

        while (n < 1000 && newcomers_take(newcomers, client(number), policy, &ten_a_second, now))
                n++;
        return n;
}

START_TEST(each_has_its_own)
{
        _cleanup_(cleanup_newcomers_free) Newcomers *newcomers = NULL;
        const RateLimit none = {0};

        ck_assert_int_eq(newcomers_new(&newcomers), 0);
        for (uint32_t i = 0; i < 100; i++)
                ck_assert_uint_eq(take_all_of(newcomers, i, 0, START), 10);
        for (uint32_t i = 0; i < 100; i++)
                ck_assert_uint_eq(take_all_of(newcomers, i, 0, START), 0);
        ck_assert_uint_eq(take_all_of(newcomers, 7, 1, START), 10); /* another policy's */
        ck_assert_uint_eq(take_all_of(newcomers, 7, 0, START + 200000), 2);
        ck_assert(newcomers_take(newcomers, client(7), 0, &none, START));
}
END_TEST

/* Strangers of whom there are many times as many as places push out each other: nobody is refused for another one. */
START_TEST(a_flood_of_addresses)
{
        _cleanup_(cleanup_newcomers_free) Newcomers *newcomers = NULL;
        unsigned kept = 0;

        ck_assert_int_eq(newcomers_new(&newcomers), 0);
        for (uint32_t i = 0; i < 1000; i++)
                ck_assert_uint_eq(take_all_of(newcomers, i, 0, START), 10);
        for (uint32_t i = 1000; i < 20 * NEWCOMERS_SETS * NEWCOMERS_WAYS; i++)
                ck_assert(newcomers_take(newcomers, client(i), 0, &ten_a_second, START));
        for (uint32_t i = 0; i < 1000; i++)
                kept += !newcomers_take(newcomers, client(i), 0, &ten_a_second, START);
        /* those who were at it for longer are the last to be forgotten */
        ck_assert_uint_ge(kept, 900);
}
END_TEST

UNIT_SUITE("relay/rate", UNIT_TEST(a_burst_then_a_rate), UNIT_TEST(no_limit),
           UNIT_TEST(it_never_waits_longer_than_an_interval), UNIT_LOOP(the_rate_is_kept, ELEMENTSOF(limits)),
           UNIT_TEST(threads_take_no_more_together), UNIT_TEST(each_has_its_own), UNIT_TEST(a_flood_of_addresses))
