/* SPDX-License-Identifier: MIT */
#include "relay/table.h"
#include "unit.h"

enum { N_MANY = 10000 };

static Session sessions[N_MANY];
static const Slots slots = {.memory = (uint8_t *)sessions, .stride = sizeof(Session), .n = N_MANY};
static Table table;

static Flow flow_number(uint32_t number)
{
        return (Flow){.client.s_addr = htonl(0xc0000200 | (number & 0xff)),
                      .local.s_addr = htonl(0x7f000001),
                      .client_port = (uint16_t)(number >> 8),
                      .listener = 1};
}

static void init(size_t n_sessions)
{
        ck_assert_int_eq(table_init(&table, &slots, n_sessions), 0);
        for (uint32_t i = 0; i < N_MANY; i++)
                sessions[i] = (Session){.record = {.flow = flow_number(i), .id = i}};
}

static Session *find(uint32_t number)
{
        Flow flow = flow_number(number);

        return table_find(&table, &flow, table_hash(&table, &flow));
}

START_TEST(an_empty_table_finds_nothing)
{
        init(100);
        ck_assert_ptr_null(find(1));
        table_done(&table);
        table_done(&table);
}
END_TEST

/* One bucket, one chain: each place in it can be taken out. */
START_TEST(a_chain_loses_the_right_one)
{
        init(1);
        ck_assert_uint_eq(table.n_buckets, 1);
        for (uint32_t i = 0; i < 5; i++)
                table_insert(&table, &sessions[i]);
        table_remove(&table, &sessions[_i]);
        for (uint32_t i = 0; i < 5; i++)
                ck_assert_ptr_eq(find(i), i == (uint32_t)_i ? NULL : &sessions[i]);
        ck_assert_uint_eq(sessions[_i].next, 0);
        table_insert(&table, &sessions[_i]);
        for (uint32_t i = 0; i < 5; i++) {
                ck_assert_ptr_eq(find(i), &sessions[i]);
                table_remove(&table, &sessions[i]);
                ck_assert_ptr_null(find(i));
        }
        ck_assert_uint_eq(table.buckets[0], 0);
        table_done(&table);
}
END_TEST

static const size_t rooms[] = {1, 64, N_MANY, 65536};

START_TEST(ten_thousand_flows_are_found)
{
        init(rooms[_i]);
        for (uint32_t i = 0; i < N_MANY; i++) {
                ck_assert_ptr_null(find(i));
                table_insert(&table, &sessions[i]);
        }
        for (uint32_t i = 0; i < N_MANY; i++)
                ck_assert_ptr_eq(find(i), &sessions[i]);
        for (uint32_t i = 0; i < N_MANY; i += 2)
                table_remove(&table, &sessions[i]);
        for (uint32_t i = 0; i < N_MANY; i++)
                ck_assert_ptr_eq(find(i), i % 2 ? &sessions[i] : NULL);
        table_done(&table);
}
END_TEST

/* With a bucket for each session no chain is long. */
START_TEST(chains_are_short)
{
        init(N_MANY);
        ck_assert_uint_ge(table.n_buckets, N_MANY);
        for (uint32_t i = 0; i < N_MANY; i++)
                table_insert(&table, &sessions[i]);
        for (size_t i = 0; i < table.n_buckets; i++) {
                unsigned length = 0;

                for (const Session *s = table_first(&table, i); s; s = table_next(&table, s))
                        length++;
                ck_assert_uint_le(length, 16);
        }
        table_done(&table);
}
END_TEST

/* Flows that differ in one thing only are different conversations. */
START_TEST(every_part_of_a_flow_counts)
{
        Flow flows[6];

        init(1);
        for (size_t i = 0; i < ELEMENTSOF(flows); i++)
                flows[i] = flow_number(1);
        flows[1].client.s_addr ^= htonl(1);
        flows[2].local.s_addr ^= htonl(1);
        flows[3].client_port ^= 1;
        flows[4].listener ^= 1;
        flows[5].channel ^= 1;
        for (size_t i = 0; i < ELEMENTSOF(flows); i++) {
                ck_assert_ptr_null(table_find(&table, &flows[i], table_hash(&table, &flows[i])));
                sessions[i].record.flow = flows[i];
                table_insert(&table, &sessions[i]);
        }
        for (size_t i = 0; i < ELEMENTSOF(flows); i++)
                ck_assert_ptr_eq(table_find(&table, &flows[i], table_hash(&table, &flows[i])), &sessions[i]);
        table_done(&table);
}
END_TEST

/* As a batch is looked up: all questions first, then the answers; among them some in one bucket, and empty buckets. */
START_TEST(a_batch_is_found_in_three_steps)
{
        enum { N = 32 };
        uint64_t hashes[2 * N];
        Flow flows[2 * N];

        init((size_t)1 << _i);
        for (uint32_t i = 0; i < 2 * N; i++) {
                flows[i] = flow_number(i);
                if (i < N)
                        table_insert(&table, &sessions[i]);
        }
        for (uint32_t i = 0; i < 2 * N; i++)
                hashes[i] = table_hash(&table, &flows[i]);
        for (uint32_t i = 0; i < 2 * N; i++)
                table_expect(&table, hashes[i]);
        for (uint32_t i = 0; i < 2 * N; i++)
                ck_assert_ptr_eq(table_find(&table, &flows[i], hashes[i]), i < N ? &sessions[i] : NULL);
        /* a hash outlives what comes and goes after it was made */
        for (uint32_t i = 0; i < N; i++) {
                table_remove(&table, &sessions[i]);
                table_insert(&table, &sessions[N + i]);
        }
        for (uint32_t i = 0; i < 2 * N; i++)
                ck_assert_ptr_eq(table_find(&table, &flows[i], hashes[i]), i < N ? NULL : &sessions[i]);
        table_done(&table);
}
END_TEST

/* From one bucket to many, with all that is in it; and never smaller. */
START_TEST(a_table_grows)
{
        init(1);
        for (uint32_t i = 0; i < 1000; i++)
                table_insert(&table, &sessions[i]);
        table_grow(&table, 1);
        ck_assert_uint_eq(table.n_buckets, 1);
        table_grow(&table, 1000);
        ck_assert_uint_eq(table.n_buckets, 1024);
        for (uint32_t i = 0; i < 1000; i++)
                ck_assert_ptr_eq(find(i), &sessions[i]);
        ck_assert_ptr_null(find(1000));
        for (size_t i = 0; i < table.n_buckets; i++) {
                unsigned length = 0;

                for (const Session *s = table_first(&table, i); s; s = table_next(&table, s))
                        length++;
                ck_assert_uint_le(length, 16);
        }
        table_grow(&table, 10);
        ck_assert_uint_eq(table.n_buckets, 1024);
        for (uint32_t i = 0; i < 1000; i++) {
                table_remove(&table, &sessions[i]);
                ck_assert_ptr_null(find(i));
        }
        for (size_t i = 0; i < table.n_buckets; i++)
                ck_assert_uint_eq(table.buckets[i], 0);
        table_done(&table);
}
END_TEST

START_TEST(buckets_are_a_power_of_two)
{
        for (size_t n = 0; n < 70; n++) {
                Table t;

                ck_assert_int_eq(table_init(&t, &slots, n), 0);
                ck_assert_uint_ge(t.n_buckets, n > 0 ? n : 1);
                ck_assert_uint_lt(t.n_buckets, n > 0 ? 2 * n : 2);
                ck_assert_uint_eq(t.n_buckets & (t.n_buckets - 1), 0);
                table_done(&t);
        }
}
END_TEST

UNIT_SUITE("relay/table", UNIT_TEST(an_empty_table_finds_nothing), UNIT_LOOP(a_chain_loses_the_right_one, 5),
           UNIT_LOOP(ten_thousand_flows_are_found, ELEMENTSOF(rooms)), UNIT_TEST(chains_are_short),
           UNIT_TEST(every_part_of_a_flow_counts), UNIT_LOOP(a_batch_is_found_in_three_steps, 12),
           UNIT_TEST(a_table_grows), UNIT_TEST(buckets_are_a_power_of_two))
