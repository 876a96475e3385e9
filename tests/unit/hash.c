/* SPDX-License-Identifier: MIT */
#include <endian.h>

#include "base/hash.h"
#include "unit.h"

/* The example of the SipHash paper, appendix A. */
START_TEST(is_siphash_2_4)
{
        HashKey key;
        uint8_t data[15];

        for (uint8_t i = 0; i < sizeof(key.bytes); i++)
                key.bytes[i] = i;
        for (uint8_t i = 0; i < sizeof(data); i++)
                data[i] = i;
        ck_assert_uint_eq(le64toh(hash_bytes(&key, data, sizeof(data))), 0xa129ca6149be45e5u);
}
END_TEST

START_TEST(keys_differ_from_run_to_run)
{
        static const HashKey zero;
        HashKey a, b;

        ck_assert_int_eq(hash_key_init(&a), 0);
        ck_assert_int_eq(hash_key_init(&b), 0);
        ck_assert_int_ne(memcmp(&a, &b, sizeof(a)), 0);
        ck_assert_int_ne(memcmp(&a, &zero, sizeof(a)), 0);
        ck_assert_uint_ne(hash_bytes(&a, "flow", 4), hash_bytes(&b, "flow", 4));
        ck_assert_uint_eq(hash_bytes(&a, "flow", 4), hash_bytes(&a, "flow", 4));
}
END_TEST

START_TEST(every_byte_counts)
{
        uint8_t data[16] = {0};
        HashKey key;
        uint64_t h;

        ck_assert_int_eq(hash_key_init(&key), 0);
        h = hash_bytes(&key, data, sizeof(data));
        for (size_t i = 0; i < sizeof(data); i++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        data[i] = (uint8_t)(1u << bit);
                        ck_assert_uint_ne(hash_bytes(&key, data, sizeof(data)), h);
                        data[i] = 0;
                }
        ck_assert_uint_ne(hash_bytes(&key, data, sizeof(data) - 1), h);
}
END_TEST

/* Neighbouring keys, as a scan or a NAT yields them, spread: with 16 on average no chain of 4096 grows beyond 64. */
START_TEST(neighbours_spread)
{
        unsigned buckets[4096] = {0};
        HashKey key;

        ck_assert_int_eq(hash_key_init(&key), 0);
        for (uint32_t i = 0; i < 16 * ELEMENTSOF(buckets); i++)
                buckets[hash_bytes(&key, &i, sizeof(i)) % ELEMENTSOF(buckets)]++;
        for (size_t i = 0; i < ELEMENTSOF(buckets); i++)
                ck_assert_uint_le(buckets[i], 64);
}
END_TEST

UNIT_SUITE("base/hash", UNIT_TEST(is_siphash_2_4), UNIT_TEST(keys_differ_from_run_to_run), UNIT_TEST(every_byte_counts),
           UNIT_TEST(neighbours_spread))
