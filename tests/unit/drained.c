/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "daemon/drained.h"
#include "unit.h"

#define PATH "drained"

static Drained drained;
static UnitText refused;

static void refuse(void *userdata, const char *line, const char *why)
{
        ck_assert_ptr_eq(userdata, &refused);
        (void)fprintf(refused.to, "%s: %s\n", line, why);
}

/* With what it refused in `refused`. */
static int load(void)
{
        int r;

        unit_text_done(&refused);
        unit_text_init(&refused);
        r = drained_load(&drained, PATH, refuse, &refused);
        (void)unit_text(&refused);
        return r;
}

static void check(const char *expected)
{
        char text[1024] = "", one[ENDPOINT_TEXT_MAX];

        for (size_t i = 0; i < drained.n; i++) {
                (void)strcat(text, i > 0 ? " " : "");
                (void)strcat(text, endpoint_format(one, &drained.items[i]));
        }
        ck_assert_str_eq(text, expected);
}

static void finish(void)
{
        drained_done(&drained);
        unit_text_done(&refused);
}

START_TEST(no_file_drains_nothing)
{
        unit_text_init(&refused);
        ck_assert_int_eq(load(), 0);
        check("");
        unit_write(PATH, "[::1]:1\n", 8);
        ck_assert_int_eq(load(), 0);
        check("[::1]:1");
        ck_assert_int_eq(unlink(PATH), 0);
        ck_assert_int_eq(load(), 0);
        check("");
        finish();
}
END_TEST

START_TEST(one_a_line)
{
        static const char text[] =
                        "# by hand\n\n[2001:db8::1]:51820\r\n \t home.example:51820 \n  # and\nhome.example\n"
                        "[fe80::1%eth0]:1\n[2001:db8::1]:51820\n[2001:db8::2]";

        unit_text_init(&refused);
        unit_write(PATH, text, sizeof(text) - 1);
        ck_assert_int_eq(load(), 0);
        check("[2001:db8::1]:51820 home.example:51820 home.example [fe80::1%eth0]:1 [2001:db8::1]:51820 [2001:db8::2]");
        ck_assert_str_eq(refused.text, "");
        finish();
}
END_TEST

START_TEST(bad_lines_are_told_and_the_rest_holds)
{
        static const char text[] = "192.0.2.1:1\n[::1]:1\n[::1]:1 # mine\n[::1]:0\nhome:1\0 x\n[::2]:1\n";

        unit_text_init(&refused);
        unit_write(PATH, text, sizeof(text) - 1);
        ck_assert_int_eq(load(), 0);
        check("[::1]:1 [::2]:1");
        ck_assert_uint_eq(unit_count_lines(refused.text), 4);
        ck_assert_uint_eq(unit_count(refused.text, "192.0.2.1:1: an IPv4 address cannot be the upstream"), 1);
        ck_assert_uint_eq(unit_count(refused.text, "[::1]:1 # mine: "), 1);
        ck_assert_uint_eq(unit_count(refused.text, "[::1]:0: "), 1);
        ck_assert_uint_eq(unit_count(refused.text, "home:1: not a text (a NUL byte)"), 1);
        finish();
}
END_TEST

/* What was read before stays. */
START_TEST(a_file_that_cannot_be_read_changes_nothing)
{
        static char large[DRAINED_BYTES_MAX + 1];

        unit_text_init(&refused);
        unit_write(PATH, "[::1]:1\n", 8);
        ck_assert_int_eq(load(), 0);
        memset(large, '\n', sizeof(large));
        unit_write(PATH, large, sizeof(large));
        ck_assert_int_eq(load(), -EFBIG);
        check("[::1]:1");
        unit_write(PATH, large, sizeof(large) - 1);
        ck_assert_int_eq(load(), 0);
        check("");
        ck_assert_int_eq(unlink(PATH), 0);
        ck_assert_int_eq(mkfifo(PATH, 0600), 0);
        ck_assert_int_eq(load(), -EINVAL);
        ck_assert_int_eq(unlink(PATH), 0);
        ck_assert_int_eq(mkdir(PATH, 0700), 0);
        ck_assert_int_eq(load(), -EINVAL);
        ck_assert_int_eq(rmdir(PATH), 0);
        ck_assert_str_eq(refused.text, "");
        finish();
}
END_TEST

static bool has(const char *text)
{
        const char *why;
        Endpoint endpoint;

        ck_assert_int_eq(endpoint_parse(text, &endpoint, &why), 0);
        return drained_has(&drained, &endpoint);
}

START_TEST(an_upstream_is_the_same_however_it_is_written)
{
        static const char text[] = "[2001:DB8:0::1]:51820\nHome.example:1\nother.example\n";

        unit_text_init(&refused);
        ck_assert(!has("[2001:db8::1]:51820"));
        unit_write(PATH, text, sizeof(text) - 1);
        ck_assert_int_eq(load(), 0);
        ck_assert(has("[2001:db8::1]:51820"));
        ck_assert(!has("[2001:db8::1]:51821"));
        ck_assert(!has("[2001:db8::1]"));
        ck_assert(has("home.example:1"));
        ck_assert(!has("home.example"));
        ck_assert(has("other.example"));
        ck_assert(!has("other.example:1"));
        finish();
}
END_TEST

UNIT_SUITE("daemon/drained", UNIT_TEST(no_file_drains_nothing), UNIT_TEST(one_a_line),
           UNIT_TEST(bad_lines_are_told_and_the_rest_holds), UNIT_TEST(a_file_that_cannot_be_read_changes_nothing),
           UNIT_TEST(an_upstream_is_the_same_however_it_is_written))
