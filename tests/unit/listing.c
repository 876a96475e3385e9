/* SPDX-License-Identifier: MIT */
/* Walks through tables that are small, large, empty, crowded, and that change between two slices. */
#include "relay/listing.h"
#include "relay/relay.h"
#include "unit.h"

enum { N_STABLE = 3000, N_OTHERS = 3000 };

static Relay relay;
static Policy policy, other_policy;
static Listener listener;
static Session sessions[N_STABLE + N_OTHERS];
static unsigned met[N_STABLE + N_OTHERS];

static void init(size_t n_buckets)
{
        relay.slots = (Slots){.memory = (uint8_t *)sessions, .stride = sizeof(Session), .n = ELEMENTSOF(sessions)};
        ck_assert_int_eq(table_init(&relay.table, &relay.slots, n_buckets), 0);
        relay.policies[0] = &other_policy;
        relay.policies[1] = &policy;
        listener.policy = &policy;
        listener.bound = (Address){.family = AF_INET, .port = 51820};
        policy.upstream.to.addresses[0] = (Address){.family = AF_INET6, .port = 7};
        for (uint32_t i = 0; i < ELEMENTSOF(sessions); i++) {
                sessions[i] = (Session){.record = {.id = i, .flow.client.s_addr = i, .opened = 1000 + i},
                                        .listener = &listener};
                sessions[i].record.flow.client_port = (uint16_t)i;
                sessions[i].leg.fd = -EBADF;
                sessions[i].record.traffic[REPLY].bytes = i;
        }
}

/* Walks to the end; between two slices something may happen. The number of slices. */
static unsigned walk(void (*between)(void))
{
        Listing listing = {0};
        unsigned n = 0;

        do {
                relay_list(&relay, &listing);
                ck_assert_uint_le(listing.n, LISTING_ROWS_MAX);
                for (unsigned i = 0; i < listing.n; i++)
                        met[listing.rows[i].id]++;
                n++;
                if (between && !listing.complete)
                        between();
        } while (!listing.complete);
        return n;
}

static void check_met(uint32_t n)
{
        for (uint32_t i = 0; i < n; i++)
                ck_assert_msg(met[i] == 1, "session %u was met %u times", i, met[i]);
}

static const size_t sizes[] = {1, 2, 64, 1024, 65536, 1 << 20};

START_TEST(nobody_is_there)
{
        init(sizes[_i]);
        ck_assert_uint_eq(walk(NULL), sizes[_i] <= 4096 ? 1 : sizes[_i] / 4096);
        table_done(&relay.table);
}
END_TEST

START_TEST(each_is_met_once)
{
        init(sizes[_i]);
        for (uint32_t i = 0; i < N_STABLE; i++)
                table_insert(&relay.table, &sessions[i]);
        ck_assert_uint_ge(walk(NULL), N_STABLE / LISTING_ROWS_MAX);
        check_met(N_STABLE);
        table_done(&relay.table);
}
END_TEST

static bool present[N_OTHERS];
static uint32_t seed = 1;

static void come_and_go(void)
{
        for (unsigned i = 0; i < 200; i++) {
                unsigned k = (seed = seed * 1664525 + 1013904223) / 65536 % N_OTHERS;

                present[k] = !present[k];
                (present[k] ? table_insert : table_remove)(&relay.table, &sessions[N_STABLE + k]);
        }
}

/* Three sessions and more in each bucket, so that every slice ends in one of them. */
START_TEST(each_is_met_once_while_others_come_and_go)
{
        init(1024);
        for (uint32_t i = 0; i < N_STABLE; i++)
                table_insert(&relay.table, &sessions[i]);
        walk(come_and_go);
        check_met(N_STABLE);
        table_done(&relay.table);
}
END_TEST

START_TEST(a_row_says_what_the_session_is)
{
        Listing listing = {0};

        init(1);
        sessions[5].record.age = SESSION_ASSURED;
        table_insert(&relay.table, &sessions[5]);
        relay_list(&relay, &listing);
        ck_assert_uint_eq(listing.n, 1);
        ck_assert_uint_eq(listing.rows[0].client.v4.s_addr, 5);
        ck_assert_uint_eq(listing.rows[0].client.port, 5);
        ck_assert_uint_eq(listing.rows[0].listener.port, 51820);
        ck_assert_uint_eq(listing.rows[0].upstream.port, 7); /* the leg leads nowhere */
        ck_assert_uint_eq(listing.rows[0].policy, 1);
        ck_assert_uint_eq(listing.rows[0].age, SESSION_ASSURED);
        ck_assert_uint_eq(listing.rows[0].opened, 1005);
        ck_assert_uint_eq(listing.rows[0].traffic[REPLY].bytes, 5);
        table_done(&relay.table);
}
END_TEST

UNIT_SUITE("relay/listing", UNIT_LOOP(nobody_is_there, ELEMENTSOF(sizes)),
           UNIT_LOOP(each_is_met_once, ELEMENTSOF(sizes)), UNIT_TEST(each_is_met_once_while_others_come_and_go),
           UNIT_TEST(a_row_says_what_the_session_is))
