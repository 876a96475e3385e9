/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>

#include "relay/record.h"
#include "unit.h"

/* No byte of it is zero, where that can be. */
static SessionRecord record_of(uint64_t id, bool bound)
{
        SessionRecord record;

        memset(&record, 0x5a, sizeof(record));
        record.bound = bound;
        record.id = 0;
        record_begin(&record, id);
        return record;
}

typedef struct Field {
        const char *name;
        size_t offset, size;
        bool sealed, if_bound; /* always; or where the source was chosen by us */
} Field;

#define FIELD(member, sealed, if_bound)                                                                          \
        {                                                                                                        \
#member, offsetof(SessionRecord, member), sizeof(((SessionRecord *)0)->member), sealed, if_bound \
        }

static const Field fields[] = {
                FIELD(id, true, true),          FIELD(seal, true, true),
                FIELD(age, false, false),       FIELD(bound, true, true),
                FIELD(proven, false, false),    FIELD(_pad, false, false),
                FIELD(flow, true, true),        FIELD(source.family, false, false),
                FIELD(source.port, true, true), FIELD(source.scope, false, true),
                FIELD(source.v6, false, true),  FIELD(opened, true, true),
                FIELD(last_use, false, false),  FIELD(traffic, false, false),
};

START_TEST(every_byte_has_a_field)
{
        size_t at = 0;

        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                ck_assert_msg(fields[i].offset == at, "%s", fields[i].name);
                at += fields[i].size;
        }
        ck_assert_uint_eq(at, sizeof(SessionRecord));
}
END_TEST

/* What never changes is sealed, bit for bit; what changes while the session lives is not. */
START_TEST(the_seal_finds_every_flip)
{
        const Field *f = &fields[_i];

        for (unsigned bound = 0; bound < 2; bound++)
                for (size_t bit = 8 * f->offset; bit < 8 * (f->offset + f->size); bit++) {
                        SessionRecord record = record_of(0x0123456789abcdef, bound);
                        bool sealed = bound ? f->if_bound : f->sealed;

                        ck_assert(record_is_whole(&record));
                        ((uint8_t *)&record)[bit / 8] ^= (uint8_t)(1U << bit % 8);
                        ck_assert_msg(record_is_whole(&record) == !sealed, "%s, bit %zu, bound %u", f->name,
                                      bit - 8 * f->offset, bound);
                }
}
END_TEST

START_TEST(a_session_begins_and_ends)
{
        SessionRecord record = record_of(7, true);

        ck_assert_uint_eq(record.id, 7);
        ck_assert(record_is_whole(&record));
        record_end(&record);
        ck_assert_uint_eq(record.id, 0);
        ck_assert(!record_is_whole(&record));
        record_begin(&record, 8);
        ck_assert_uint_eq(record.id, 8);
        ck_assert(record_is_whole(&record));
        record.id = 7; /* the seal is the later one's */
        ck_assert(!record_is_whole(&record));
}
END_TEST

/* Even one whose seal would be right. */
START_TEST(without_a_number_there_is_no_session)
{
        SessionRecord record = {0};

        ck_assert(!record_is_whole(&record));
        record.seal = record_seal(&record, 0);
        ck_assert(!record_is_whole(&record));
}
END_TEST

/* Two that are alike in all but their number are told apart: a slot was used twice, and the writer died in between. */
START_TEST(the_seal_is_the_sessions_own)
{
        const SessionRecord one = record_of(1, false), other = record_of(2, false);

        ck_assert_uint_ne(one.seal, other.seal);
}
END_TEST

UNIT_SUITE("relay/record", UNIT_TEST(every_byte_has_a_field), UNIT_LOOP(the_seal_finds_every_flip, ELEMENTSOF(fields)),
           UNIT_TEST(a_session_begins_and_ends), UNIT_TEST(without_a_number_there_is_no_session),
           UNIT_TEST(the_seal_is_the_sessions_own))
