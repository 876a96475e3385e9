/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <time.h>

#include "unit.h"

static const struct {
        const char *text;
        usec_t span;
} good[] = {
                {"180", 180 * USEC_PER_SEC},
                {"180s", 180 * USEC_PER_SEC},
                {"180 s", 180 * USEC_PER_SEC},
                {"  180sec\t", 180 * USEC_PER_SEC},
                {"000000000000000000000000000000180", 180 * USEC_PER_SEC},
                {"1second", USEC_PER_SEC},
                {"2seconds", 2 * USEC_PER_SEC},
                {"3min", 3 * USEC_PER_MINUTE},
                {"3m", 3 * USEC_PER_MINUTE},
                {"3minute", 3 * USEC_PER_MINUTE},
                {"3 minutes", 3 * USEC_PER_MINUTE},
                {"1min 30s", 90 * USEC_PER_SEC},
                {"1min30s", 90 * USEC_PER_SEC},
                {"1m30s", 90 * USEC_PER_SEC},
                {"1h30m", 90 * USEC_PER_MINUTE},
                {"1hr 1hour 2hours", 4 * USEC_PER_HOUR},
                {"1h30m0.5s", 90 * USEC_PER_MINUTE + 500 * USEC_PER_MSEC},
                {"30d", 30 * USEC_PER_DAY},
                {"1day 1days", 2 * USEC_PER_DAY},
                {"30s 1min", 90 * USEC_PER_SEC},
                {"1min 30", 90 * USEC_PER_SEC},
                {"500ms", 500 * USEC_PER_MSEC},
                {"500msec", 500 * USEC_PER_MSEC},
                {"7us", 7},
                {"7usec", 7},
                {"1.5", 1500 * USEC_PER_MSEC},
                {"1.5s", 1500 * USEC_PER_MSEC},
                {"1.5h", 90 * USEC_PER_MINUTE},
                {"0.000001s", 1},
                {"0.0000019s", 1},
                {"0.5us", 0},
                {"1.99999999999999999999999999999999999999999s", 1999999},
                {"0", 0},
                {"0s 0d", 0},
                {"18446744073709551615us", UINT64_MAX},
                {"18446744073709.551615s", UINT64_MAX},
                {"213503982d 8h 1min 49s 551ms 615us", UINT64_MAX},
};

static const struct {
        const char *text;
        int error;
} bad[] = {
                {"", -EINVAL},
                {" ", -EINVAL},
                {" \t ", -EINVAL},
                {"s", -EINVAL},
                {"ms 5", -EINVAL},
                {"-1", -EINVAL},
                {"+1", -EINVAL},
                {"- 1s", -EINVAL},
                {"1h-30m", -EINVAL},
                {"5x", -EINVAL},
                {"5 S", -EINVAL},
                {"5sec sec", -EINVAL},
                {"5ss", -EINVAL},
                {"5s,", -EINVAL},
                {"5s;3s", -EINVAL},
                {"5s\n", -EINVAL},
                {"5\v", -EINVAL},
                {"1,5s", -EINVAL},
                {".5s", -EINVAL},
                {"5.", -EINVAL},
                {"5.s", -EINVAL},
                {"1.2.3", -EINVAL},
                {"1..5s", -EINVAL},
                {"0x10", -EINVAL},
                {"1e3", -EINVAL},
                {"3M", -EINVAL}, /* systemd's month */
                {"1w", -EINVAL},
                {"1y", -EINVAL},
                {"5\302\265s", -EINVAL}, /* Go's own spelling of a microsecond */
                {"infinity", -EINVAL},
                {"inf", -EINVAL},
                {"nan", -EINVAL},
                {"ten", -EINVAL},
                {"\377", -EINVAL},
                {"5\200", -EINVAL},
                {"18446744073709551616us", -ERANGE},
                {"18446744073710", -ERANGE},
                {"18446744073709.551616s", -ERANGE},
                {"213503983d", -ERANGE},
                {"213503982.999d", -ERANGE},
                {"213503982d 8h 1min 49s 551ms 616us", -ERANGE},
                {"18446744073709551615us 1us", -ERANGE},
                {"99999999999999999999999999999999999999d", -ERANGE},
};

START_TEST(good_spans)
{
        usec_t span = 12345;

        ck_assert_msg(usec_parse(good[_i].text, &span) == 0, "refused: %s", good[_i].text);
        ck_assert_msg(span == good[_i].span, "%s: %" PRIu64, good[_i].text, span);
}
END_TEST

START_TEST(bad_spans)
{
        usec_t span = 12345;
        int r = usec_parse(bad[_i].text, &span);

        ck_assert_msg(r == bad[_i].error, "`%s` yields %d", bad[_i].text, r);
        ck_assert_msg(span == 12345, "`%s` is refused, yet changes the span", bad[_i].text);
}
END_TEST

/* A line of 4000 digits, or of 4000 units, is as absurd as any. */
START_TEST(endless_spans)
{
        char text[4001];
        usec_t span;

        memset(text, '9', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        ck_assert_int_eq(usec_parse(text, &span), -ERANGE);
        memset(text, '0', sizeof(text) - 1);
        ck_assert_int_eq(usec_parse(text, &span), 0);
        ck_assert_uint_eq(span, 0);
        text[1] = '.';
        memset(text + 2, '9', sizeof(text) - 3);
        ck_assert_int_eq(usec_parse(text, &span), 0);
        ck_assert_uint_eq(span, 999999);
        memset(text, 's', sizeof(text) - 1);
        ck_assert_int_eq(usec_parse(text, &span), -EINVAL);
        for (size_t i = 0; i + 1 < sizeof(text); i += 2)
                memcpy(text + i, "1s", 2);
        ck_assert_int_eq(usec_parse(text, &span), 0);
        ck_assert_uint_eq(span, 2000 * USEC_PER_SEC);
}
END_TEST

static const struct {
        usec_t span;
        const char *text;
} formats[] = {
                {0, "0s"},
                {1, "1us"},
                {500 * USEC_PER_MSEC, "500ms"},
                {1500, "1ms 500us"},
                {USEC_PER_SEC, "1s"},
                {90 * USEC_PER_SEC, "1min 30s"},
                {3 * USEC_PER_MINUTE, "3min"},
                {12 * USEC_PER_MINUTE, "12min"},
                {24 * USEC_PER_HOUR, "1d"},
                {30 * USEC_PER_DAY + 1, "30d 1us"},
                {USEC_NEVER, "213503982d 8h 1min 49s 551ms 615us"},
};

START_TEST(formats_in_the_largest_units)
{
        char buffer[USEC_FORMAT_MAX];

        ck_assert_str_eq(usec_format(buffer, formats[_i].span), formats[_i].text);
}
END_TEST

static void check_round_trip(usec_t span)
{
        char buffer[USEC_FORMAT_MAX];
        usec_t again;

        ck_assert_msg(usec_parse(usec_format(buffer, span), &again) == 0, "%" PRIu64 " is written as %s", span, buffer);
        ck_assert_msg(again == span, "%" PRIu64 " is written as %s, which is %" PRIu64, span, buffer, again);
}

START_TEST(what_is_formatted_parses_to_the_same)
{
        uint64_t random = 88172645463325252u; /* xorshift */

        for (unsigned shift = 0; shift < 64; shift++)
                for (int delta = -1; delta <= 1; delta++)
                        check_round_trip((UINT64_C(1) << shift) + (usec_t)(int64_t)delta);
        for (unsigned i = 0; i < 100000; i++) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                check_round_trip(random >> (i % 64));
        }
}
END_TEST

START_TEST(sums_stop_at_never_and_differences_at_zero)
{
        ck_assert_uint_eq(usec_add(1, 2), 3);
        ck_assert_uint_eq(usec_add(USEC_NEVER, 0), USEC_NEVER);
        ck_assert_uint_eq(usec_add(USEC_NEVER - 5, 5), USEC_NEVER);
        ck_assert_uint_eq(usec_add(USEC_NEVER - 5, 6), USEC_NEVER);
        ck_assert_uint_eq(usec_add(USEC_NEVER, USEC_NEVER), USEC_NEVER);
        ck_assert_uint_eq(usec_sub(3, 1), 2);
        ck_assert_uint_eq(usec_sub(3, 3), 0);
        ck_assert_uint_eq(usec_sub(1, 3), 0);
        ck_assert_uint_eq(usec_sub(0, USEC_NEVER), 0);
}
END_TEST

START_TEST(the_clock_runs)
{
        const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
        usec_t before = clock_monotonic(), passed;

        ck_assert_int_eq(nanosleep(&pause, NULL), 0);
        passed = clock_monotonic() - before;
        ck_assert_uint_ge(passed, 2 * USEC_PER_MSEC);
        ck_assert_uint_lt(passed, 10 * USEC_PER_SEC);
}
END_TEST

UNIT_SUITE("base/clock", UNIT_LOOP(good_spans, ELEMENTSOF(good)), UNIT_LOOP(bad_spans, ELEMENTSOF(bad)),
           UNIT_TEST(endless_spans), UNIT_LOOP(formats_in_the_largest_units, ELEMENTSOF(formats)),
           UNIT_TEST(what_is_formatted_parses_to_the_same), UNIT_TEST(sums_stop_at_never_and_differences_at_zero),
           UNIT_TEST(the_clock_runs))
