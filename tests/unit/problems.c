/* SPDX-License-Identifier: MIT */
#include "daemon/problems.h"
#include "unit.h"

START_TEST(one_line_each)
{
        UnitText problems;

        unit_text_init(&problems);
        problem_tell(problems.to, "%s:%u: %s", "udp46.conf", 7u, "wrong");
        problem_tell(problems.to, "--upstream %s: expected", "one\n\ntwo\r\t\033[31m\177");
        problem_tell(problems.to, "%s", "");
        problem_tell(problems.to, "%s", "h\303\266me 100%");
        ck_assert_str_eq(unit_text(&problems), "udp46.conf:7: wrong\n"
                                               "--upstream one??two???[31m?: expected\n"
                                               "\n"
                                               "h\303\266me 100%\n");
        unit_text_done(&problems);
}
END_TEST

START_TEST(a_long_text_is_told_whole)
{
        UnitText problems;
        char text[10001];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        unit_text_init(&problems);
        problem_tell(problems.to, "%s", text);
        ck_assert_uint_eq(strlen(unit_text(&problems)), sizeof(text));
        unit_text_done(&problems);
}
END_TEST

UNIT_SUITE("daemon/problems", UNIT_TEST(one_line_each), UNIT_TEST(a_long_text_is_told_whole))
