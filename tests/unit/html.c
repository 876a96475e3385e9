/* SPDX-License-Identifier: MIT */
#include "http/html.h"
#include "unit.h"

static UnitText text;

static void check_text(const char *expected)
{
        ck_assert_str_eq(unit_text(&text), expected);
        unit_text_done(&text);
}

START_TEST(text_is_escaped)
{
        unit_text_init(&text);
        html_text(text.to, "<a href=\"x\">'&amp;'</a>\n\x7f \xc3\xa4");
        check_text("&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;&#39;&lt;/a&gt;&#65533;&#65533; \xc3\xa4");
}
END_TEST

static const struct {
        uint64_t n;
        const char *count, *bytes;
} numbers[] = {
                {0, "0", "0 B"},
                {999, "999", "999 B"},
                {1000, "1,000", "1 kB"},
                {1499, "1,499", "1.50 kB"},
                {12345, "12,345", "12.3 kB"},
                {99999, "99,999", "100 kB"},
                {999499, "999,499", "999 kB"},
                {999999, "999,999", "1.00 MB"},
                {1000000, "1 M", "1 MB"},
                {123456789, "123 M", "123 MB"},
                {UINT64_MAX, "18.4 E", "18.4 EB"},
};

START_TEST(numbers_are_short)
{
        char buffer[HTML_NUMBER_MAX];

        ck_assert_str_eq(html_format_count(buffer, numbers[_i].n), numbers[_i].count);
        ck_assert_str_eq(html_format_bytes(buffer, numbers[_i].n), numbers[_i].bytes);
}
END_TEST

static const struct {
        usec_t t;
        const char *span, *age;
} spans[] = {
                {0, "0 s", "just now"},
                {7, "7 \u00b5s", "just now"},
                {999999, "999 ms", "just now"},
                {USEC_PER_SEC, "1 s", "1 s ago"},
                {USEC_PER_MINUTE - 1, "59 s", "59 s ago"},
                {USEC_PER_MINUTE, "1 min", "1 min ago"},
                {192 * USEC_PER_SEC, "3 min 12 s", "3 min 12 s ago"},
                {125 * USEC_PER_MINUTE + 59 * USEC_PER_SEC, "2 h 5 min", "2 h 5 min ago"},
                {50 * USEC_PER_HOUR, "2 d 2 h", "2 d 2 h ago"},
};

START_TEST(spans_have_two_units)
{
        char buffer[HTML_NUMBER_MAX];

        ck_assert_str_eq(html_format_span(buffer, spans[_i].t), spans[_i].span);
        ck_assert_str_eq(html_format_age(buffer, spans[_i].t), spans[_i].age);
}
END_TEST

/* Whatever is shortened, the exact number is there. */
START_TEST(elements_are_exact)
{
        unit_text_init(&text);
        html_count(text.to, 1234567);
        check_text("<data value=\"1234567\" title=\"1,234,567\">1.23 M</data>");
        unit_text_init(&text);
        html_bytes(text.to, 1500);
        check_text("<data value=\"1500\" title=\"1,500 bytes\">1.50 kB</data>");
        unit_text_init(&text);
        html_ago(text.to, 100 * USEC_PER_SEC, 96 * USEC_PER_SEC, (int64_t)1700000000 * 1000000);
        check_text("<time datetime=\"2023-11-14T22:14:56Z\" title=\"2023-11-14T22:14:56Z\">4 s ago</time>");
        unit_text_init(&text);
        html_ago(text.to, 100 * USEC_PER_SEC, 0, 0);
        check_text("never");
}
END_TEST

UNIT_SUITE("http/html", UNIT_TEST(text_is_escaped), UNIT_LOOP(numbers_are_short, ELEMENTSOF(numbers)),
           UNIT_LOOP(spans_have_two_units, ELEMENTSOF(spans)), UNIT_TEST(elements_are_exact))
