/* SPDX-License-Identifier: MIT */
#include "daemon/suspicion.h"
#include "unit.h"

#define TICK (3 * USEC_PER_SEC)

static Suspicion suspicion;
static SuspicionCounts counts;
static usec_t now;

static void begin(void)
{
        suspicion = (Suspicion){0};
        counts = (SuspicionCounts){0};
        now = 1000 * USEC_PER_SEC;
}

/* So many go there in the time of a tick; does one come back? */
static bool look(unsigned n_asked, bool replied)
{
        now += TICK;
        counts.asked += n_asked;
        if (replied)
                counts.answered = now - 1;
        return suspicion_look(&suspicion, &counts, now);
}

/* After how many ticks it is suspicious; 0: not within a minute. */
static unsigned suspicious_after(unsigned n_asked)
{
        for (unsigned i = 1; i <= 20; i++)
                if (look(n_asked, false))
                        return i;
        return 0;
}

START_TEST(nothing_is_no_reason)
{
        begin();
        ck_assert_uint_eq(suspicious_after(0), 0);
}
END_TEST

START_TEST(who_answers_is_trusted)
{
        begin();
        for (unsigned i = 0; i < 100; i++)
                ck_assert(!look(1 + i, true));
}
END_TEST

START_TEST(each_icmp_error_is_a_reason)
{
        begin();
        counts.icmp_errors = 1;
        ck_assert(look(1, true));
        ck_assert(!look(1, true));
        counts.icmp_errors = 5;
        ck_assert(look(0, false));
        ck_assert(!look(0, false));
}
END_TEST

/* It never answered. */
START_TEST(silence_from_the_start)
{
        begin();
        ck_assert_uint_eq(suspicious_after(1), 6); /* 15 s from the look that saw the first one */
}
END_TEST

START_TEST(silence_after_an_answer)
{
        begin();
        ck_assert(!look(1, true));
        ck_assert_uint_eq(suspicious_after(10), 6);
        ck_assert_uint_eq(suspicious_after(10), 5); /* and again while it lasts */
        ck_assert(!look(1, true));
        ck_assert_uint_eq(suspicious_after(10), 6);
}
END_TEST

/* Who wakes up after an hour gets his 15 s, too. */
START_TEST(the_silence_of_nobody_writing)
{
        begin();
        ck_assert(!look(1, true));
        for (unsigned i = 0; i < 1200; i++)
                ck_assert(!look(0, false));
        ck_assert(!look(1, false));
        for (unsigned i = 0; i < 5; i++)
                ck_assert(!look(0, false));
        ck_assert(look(1, false)); /* the second one, 18 s later */
}
END_TEST

START_TEST(one_datagram_is_too_little)
{
        begin();
        ck_assert(!look(1, false));
        ck_assert_uint_eq(suspicious_after(0), 0);
}
END_TEST

UNIT_SUITE("daemon/suspicion", UNIT_TEST(nothing_is_no_reason), UNIT_TEST(who_answers_is_trusted),
           UNIT_TEST(each_icmp_error_is_a_reason), UNIT_TEST(silence_from_the_start),
           UNIT_TEST(silence_after_an_answer), UNIT_TEST(the_silence_of_nobody_writing),
           UNIT_TEST(one_datagram_is_too_little))
