/* SPDX-License-Identifier: MIT */
/* Counters, histograms and their sums. */
#include <pthread.h>

#include "relay/stats.h"
#include "unit.h"

enum { N_THREADS = 4, ROUNDS = 50000 };

/* Upper bounds are included. */
START_TEST(a_bucket_ends_with_its_bound)
{
        const usec_t bound = histogram_bounds[_i] * USEC_PER_SEC;
        Histogram h = {0};

        histogram_observe(&h, bound - 1);
        histogram_observe(&h, bound);
        histogram_observe(&h, bound + 1);
        ck_assert_uint_eq(counter_get(&h.buckets[_i]), 2);
        ck_assert_uint_eq(counter_get(&h.buckets[_i + 1]), 1);
        ck_assert_uint_eq(counter_get(&h.sum), 3 * bound);
}
END_TEST

START_TEST(the_first_and_the_last_bucket)
{
        Histogram h = {0}, sum = {0};

        histogram_observe(&h, 0);
        histogram_observe(&h, 30 * 24 * 3600 * USEC_PER_SEC);
        ck_assert_uint_eq(counter_get(&h.buckets[0]), 1);
        ck_assert_uint_eq(counter_get(&h.buckets[HISTOGRAM_BUCKETS - 1]), 1);
        for (unsigned i = 0; i < 3; i++)
                histogram_add(&sum, &h);
        ck_assert_uint_eq(counter_get(&sum.buckets[0]), 3);
        ck_assert_uint_eq(counter_get(&sum.buckets[HISTOGRAM_BUCKETS - 1]), 3);
        ck_assert_uint_eq(counter_get(&sum.sum), 3 * 30 * 24 * 3600 * USEC_PER_SEC);
}
END_TEST

/* Every counter there is, by whatever name: what is added twice is there twice. */
START_TEST(a_sum_leaves_nothing_out)
{
        const size_t n = sizeof(Stats) / sizeof(Counter);
        Stats stats = {0}, sum = {0};

        ck_assert_uint_eq(sizeof(Stats) % sizeof(Counter), 0);
        for (size_t i = 0; i < n; i++)
                counter_set((Counter *)&stats + i, i + 1);
        stats_add(&sum, &stats);
        stats_add(&sum, &stats);
        for (size_t i = 0; i < n; i++)
                ck_assert_msg(counter_get((Counter *)&sum + i) == 2 * (i + 1), "counter %zu", i);
}
END_TEST

START_TEST(conservation_is_seen)
{
        Stats stats = {0};

        ck_assert(stats_conserved(&stats));
        counter_add(&stats.directions[_i].received, 2);
        ck_assert(!stats_conserved(&stats));
        counter_add(&stats.directions[_i].verdicts[VERDICT_FORWARDED], 1);
        ck_assert(!stats_conserved(&stats));
        counter_add(&stats.directions[_i].verdicts[N_VERDICTS - 1], 1);
        ck_assert(stats_conserved(&stats));
}
END_TEST

static Counter shared, highest;

static void *work(void *number)
{
        for (unsigned i = 0; i < ROUNDS; i++) {
                (void)counter_share(&shared, 1);
                counter_raise(&highest, i * N_THREADS + (uintptr_t)number);
        }
        return NULL;
}

START_TEST(many_threads_lose_nothing)
{
        pthread_t threads[N_THREADS];

        for (uintptr_t i = 0; i < N_THREADS; i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, work, (void *)i), 0);
        for (unsigned i = 0; i < N_THREADS; i++)
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_uint_eq(counter_get(&shared), N_THREADS * ROUNDS);
        ck_assert_uint_eq(counter_get(&highest), N_THREADS * ROUNDS - 1);
}
END_TEST

UNIT_SUITE("relay/stats", UNIT_LOOP(a_bucket_ends_with_its_bound, HISTOGRAM_BUCKETS - 1),
           UNIT_TEST(the_first_and_the_last_bucket), UNIT_TEST(a_sum_leaves_nothing_out),
           UNIT_LOOP(conservation_is_seen, N_DIRECTIONS), UNIT_TEST(many_threads_lose_nothing))
