/* SPDX-License-Identifier: MIT */
/* Quotas that are parts of a larger one, and the larger one shared by threads: what ThreadSanitizer looks at, too. */
#include <pthread.h>

#include "relay/quota.h"
#include "unit.h"

enum { N_THREADS = 4, ROUNDS = 20000 };

/* A part of a part of the whole. */
typedef struct Chain {
        Quota whole, middle, part;
} Chain;

static void chain_init(Chain *c, uint64_t whole, uint64_t middle, uint64_t part)
{
        *c = (Chain){0};
        c->part.parent = &c->middle;
        c->middle.parent = &c->whole;
        counter_set(&c->whole.limit, whole);
        counter_set(&c->middle.limit, middle);
        counter_set(&c->part.limit, part);
}

static void check_current(const Chain *c, uint64_t whole, uint64_t middle, uint64_t part)
{
        ck_assert_uint_eq(counter_get(&c->whole.current), whole);
        ck_assert_uint_eq(counter_get(&c->middle.current), middle);
        ck_assert_uint_eq(counter_get(&c->part.current), part);
}

START_TEST(one_alone)
{
        Quota q = {0};

        ck_assert(quota_full(&q));
        ck_assert(!quota_take(&q));
        counter_set(&q.limit, 2);
        ck_assert(quota_take(&q));
        ck_assert(!quota_full(&q));
        ck_assert(quota_take(&q));
        ck_assert(quota_full(&q));
        ck_assert(!quota_take(&q));
        quota_give(&q);
        ck_assert(quota_take(&q));
        ck_assert_uint_eq(counter_get(&q.current), 2);
        ck_assert_uint_eq(counter_get(&q.peak), 2);
}
END_TEST

static const struct {
        uint64_t whole, middle, part;
} chains[] = {{2, 9, 9}, {9, 2, 9}, {9, 9, 2}, {2, 2, 2}};

/* The smallest limit counts, wherever it is; what was refused left no trace on any level. */
START_TEST(all_or_none)
{
        Chain c;

        chain_init(&c, chains[_i].whole, chains[_i].middle, chains[_i].part);
        for (unsigned round = 0; round < 3; round++) {
                ck_assert(quota_take(&c.part));
                ck_assert(!quota_full(&c.part));
                ck_assert(quota_take(&c.part));
                for (unsigned i = 0; i < 5; i++) {
                        ck_assert(quota_full(&c.part));
                        ck_assert(!quota_take(&c.part));
                        check_current(&c, 2, 2, 2);
                }
                quota_give(&c.part);
                quota_give(&c.part);
                check_current(&c, 0, 0, 0);
        }
        ck_assert_uint_eq(counter_get(&c.whole.peak), 2);
        ck_assert_uint_eq(counter_get(&c.middle.peak), 2);
        ck_assert_uint_eq(counter_get(&c.part.peak), 2);
}
END_TEST

START_TEST(a_lowered_limit_takes_nothing_away)
{
        Chain c;

        chain_init(&c, 9, 9, 9);
        for (unsigned i = 0; i < 5; i++)
                ck_assert(quota_take(&c.part));
        counter_set(&c.whole.limit, 3);
        ck_assert(quota_full(&c.part));
        for (unsigned i = 5; i > 3; i--) {
                ck_assert(!quota_take(&c.part));
                check_current(&c, i, i, i);
                quota_give(&c.part);
        }
        ck_assert(!quota_take(&c.part));
        quota_give(&c.part);
        ck_assert(quota_take(&c.part));
        check_current(&c, 3, 3, 3);
}
END_TEST

START_TEST(numbers_are_the_topmosts)
{
        Chain c;

        chain_init(&c, 1, 1, 1);
        ck_assert_uint_eq(quota_number(&c.part), 1);
        ck_assert_uint_eq(quota_number(&c.whole), 2);
        ck_assert_uint_eq(quota_number(&c.middle), 3);
        ck_assert_uint_eq(counter_get(&c.part.numbered), 0);
        ck_assert_uint_eq(counter_get(&c.whole.numbered), 3);
}
END_TEST

typedef struct Worker {
        pthread_t thread;
        Quota part;
        Counter *inside; /* how many of all threads hold one */
        uint64_t limit, most, n_taken;
        uint8_t *numbers; /* one for each number there may be */
} Worker;

static void *work(void *userdata)
{
        Worker *w = userdata;

        for (unsigned i = 0; i < ROUNDS; i++) {
                uint64_t n;

                if (!quota_take(&w->part))
                        continue;
                n = counter_share(w->inside, 1) + 1;
                w->most = n > w->most ? n : w->most;
                w->n_taken++;
                w->numbers[quota_number(&w->part)]++; /* a byte of its own, if numbers are unique */
                (void)counter_share(w->inside, (uint64_t)-1);
                quota_give(&w->part);
        }
        return NULL;
}

static const uint64_t limits[] = {1, 2, N_THREADS - 1, N_THREADS};

/* Never more than there may be, whoever is quick; nothing is left over or lost at the end; each number once. */
START_TEST(exact_with_several_threads)
{
        Worker workers[N_THREADS] = {0};
        Quota whole = {0};
        Counter inside = {0};
        uint64_t n_taken = 0;
        uint8_t *numbers = calloc((size_t)N_THREADS * ROUNDS + 1, 1);

        ck_assert_ptr_nonnull(numbers);
        counter_set(&whole.limit, limits[_i]);
        for (unsigned i = 0; i < N_THREADS; i++) {
                workers[i].part.parent = &whole;
                counter_set(&workers[i].part.limit, N_THREADS);
                workers[i].inside = &inside;
                workers[i].numbers = numbers;
                ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
        }
        for (unsigned i = 0; i < N_THREADS; i++) {
                ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
                ck_assert_uint_le(workers[i].most, limits[_i]);
                ck_assert_uint_eq(counter_get(&workers[i].part.current), 0);
                n_taken += workers[i].n_taken;
        }
        ck_assert_uint_eq(counter_get(&whole.current), 0);
        ck_assert_uint_le(counter_get(&whole.peak), limits[_i]);
        ck_assert_uint_gt(n_taken, 0);
        ck_assert_uint_eq(counter_get(&whole.numbered), n_taken);
        for (uint64_t i = 1; i <= n_taken; i++)
                ck_assert_uint_eq(numbers[i], 1);
        for (unsigned i = 0; i < limits[_i]; i++)
                ck_assert(quota_take(&workers[0].part));
        ck_assert(!quota_take(&workers[1].part));
        free(numbers);
}
END_TEST

UNIT_SUITE("relay/quota", UNIT_TEST(one_alone), UNIT_LOOP(all_or_none, ELEMENTSOF(chains)),
           UNIT_TEST(a_lowered_limit_takes_nothing_away), UNIT_TEST(numbers_are_the_topmosts),
           UNIT_LOOP(exact_with_several_threads, ELEMENTSOF(limits)))
