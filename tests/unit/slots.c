/* SPDX-License-Identifier: MIT */
#include "base/slots.h"
#include "unit.h"

enum { N = 5, STRIDE = 24 };

typedef struct Block {
        _Alignas(8) uint8_t memory[N * STRIDE];
        uint32_t n_used;
        Slots slots;
} Block;

static void block_init(Block *b)
{
        *b = (Block){0};
        ck_assert_int_eq(slots_init(&b->slots, b->memory, STRIDE, N, &b->n_used), 0);
}

/* Pages that nobody touched cost nothing: what was never taken comes last, and from the beginning on. */
START_TEST(the_first_come_from_the_beginning)
{
        Block b;

        block_init(&b);
        for (uint32_t i = 0; i < N; i++) {
                ck_assert_uint_eq(b.n_used, i);
                ck_assert_ptr_eq(slots_take(&b.slots), b.memory + i * STRIDE);
                ck_assert_uint_eq(b.n_used, i + 1);
        }
        slots_done(&b.slots);
}
END_TEST

START_TEST(there_are_no_more_than_there_are)
{
        Block b;
        void *last = NULL;

        block_init(&b);
        for (uint32_t i = 0; i < N; i++)
                ck_assert_ptr_nonnull(last = slots_take(&b.slots));
        for (unsigned i = 0; i < 3; i++) {
                ck_assert_ptr_null(slots_take(&b.slots));
                ck_assert_uint_eq(b.n_used, N);
                slots_give(&b.slots, last);
                ck_assert_ptr_eq(slots_take(&b.slots), last);
        }
        slots_done(&b.slots);
}
END_TEST

START_TEST(what_was_given_back_last_is_taken_first)
{
        Block b;
        void *taken[N - 1];

        block_init(&b);
        for (unsigned i = 0; i < N - 1; i++)
                taken[i] = slots_take(&b.slots);
        slots_give(&b.slots, taken[2]);
        slots_give(&b.slots, taken[0]);
        slots_give(&b.slots, taken[3]);
        ck_assert_ptr_eq(slots_take(&b.slots), taken[3]);
        ck_assert_ptr_eq(slots_take(&b.slots), taken[0]);
        slots_give(&b.slots, taken[1]);
        ck_assert_ptr_eq(slots_take(&b.slots), taken[1]);
        ck_assert_ptr_eq(slots_take(&b.slots), taken[2]);
        ck_assert_uint_eq(b.n_used, N - 1); /* the one that was never taken is still that */
        ck_assert_ptr_eq(slots_take(&b.slots), b.memory + (N - 1) * STRIDE);
        slots_done(&b.slots);
}
END_TEST

/* A session begins with nothing of the one that was there before; what its neighbours hold is left alone. */
START_TEST(what_is_taken_is_zeroed)
{
        static const uint8_t nothing[STRIDE];
        Block b;
        void *one, *other;

        block_init(&b);
        one = slots_take(&b.slots);
        other = slots_take(&b.slots);
        for (unsigned i = 0; i < 3; i++) {
                ck_assert_mem_eq(one, nothing, STRIDE);
                memset(one, 0xee, STRIDE);
                memset(other, 0x11, STRIDE);
                slots_give(&b.slots, one);
                ck_assert_ptr_eq(slots_take(&b.slots), one);
                for (unsigned k = 0; k < STRIDE; k++)
                        ck_assert_uint_eq(((uint8_t *)other)[k], 0x11);
        }
        slots_done(&b.slots);
}
END_TEST

START_TEST(a_slot_has_a_number)
{
        Block b;

        block_init(&b);
        for (uint32_t i = 0; i < N; i++) {
                uint8_t *slot = slots_take(&b.slots);

                ck_assert_uint_eq(slots_index(&b.slots, slot), i);
                ck_assert_uint_eq(slots_index(&b.slots, slot + STRIDE - 1), i);
                ck_assert_ptr_eq(slots_at(&b.slots, i), slot);
        }
        slots_done(&b.slots);
}
END_TEST

/* Much may be promised: address space is all that it takes. */
START_TEST(many_slots_cost_nothing_until_they_are_taken)
{
        uint8_t one[STRIDE] = {0};
        uint32_t n_used = 0;
        Slots slots;

        ck_assert_int_eq(slots_init(&slots, one, 0, UINT32_MAX, &n_used), 0);
        ck_assert_uint_eq(slots.n_free, 0);
        slots_done(&slots);
        ck_assert_ptr_null(slots.free);
        slots_done(&slots); /* twice is once */
}
END_TEST

UNIT_SUITE("base/slots", UNIT_TEST(the_first_come_from_the_beginning), UNIT_TEST(there_are_no_more_than_there_are),
           UNIT_TEST(what_was_given_back_last_is_taken_first), UNIT_TEST(what_is_taken_is_zeroed),
           UNIT_TEST(a_slot_has_a_number), UNIT_TEST(many_slots_cost_nothing_until_they_are_taken))
