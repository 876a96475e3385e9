/* SPDX-License-Identifier: MIT */
#include "daemon/probe.h"
#include "unit.h"

static const struct {
        const char *text, *bytes; /* NULL: it is refused */
} payloads[] = {
                {"", ""},     {"00", "00"},       {"00fF10", "00ff10"}, {" 00 fF\t10 ", "00ff10"},
                {"0", NULL},  {"0 0", NULL},      {"000", NULL},        {"0x00", NULL},
                {"gg", NULL}, {"\x10\x10", NULL}, {"00\n", NULL},       {"\"00\"", NULL},
};

START_TEST(payloads_are_digits)
{
        char buffer[PROBE_TEXT_MAX];
        ProbePayload payload;
        const char *why = NULL;
        int r = probe_payload_parse(payloads[_i].text, &payload, &why);

        ck_assert_int_eq(r < 0, !payloads[_i].bytes);
        if (r < 0)
                ck_assert_str_eq(why, "expected hexadecimal digits, two for each byte");
        else
                ck_assert_str_eq(probe_payload_format(buffer, &payload), payloads[_i].bytes);
}
END_TEST

START_TEST(the_longest_payload)
{
        char text[2 * PROBE_BYTES_MAX + 3], buffer[PROBE_TEXT_MAX];
        ProbePayload payload;
        const char *why = NULL;

        memset(text, 'a', sizeof(text));
        text[2 * PROBE_BYTES_MAX] = '\0';
        ck_assert_int_eq(probe_payload_parse(text, &payload, &why), 0);
        ck_assert_uint_eq(payload.n, PROBE_BYTES_MAX);
        ck_assert_str_eq(probe_payload_format(buffer, &payload), text);
        text[2 * PROBE_BYTES_MAX] = 'a';
        text[2 * PROBE_BYTES_MAX + 2] = '\0';
        ck_assert_int_lt(probe_payload_parse(text, &payload, &why), 0);
        ck_assert_str_eq(why, "longer than 128 bytes");
}
END_TEST

UNIT_SUITE("daemon/probe", UNIT_LOOP(payloads_are_digits, ELEMENTSOF(payloads)), UNIT_TEST(the_longest_payload))
