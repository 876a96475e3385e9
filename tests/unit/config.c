/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon/config.h"
#include "unit.h"

#define PATH "udp46.conf"

static Config *config;
static UnitText problems;
static Settings flags;

static unsigned load_path(const char *path, bool must_exist)
{
        unsigned n = 4711;

        if (problems.to)
                unit_text_done(&problems);
        (void)config_free(config);
        unit_text_init(&problems);
        ck_assert_int_eq(config_load(&config, path, must_exist, &flags, problems.to, &n), 0);
        ck_assert_uint_eq(unit_count_lines(unit_text(&problems)), n);
        return n;
}

static unsigned load_bytes(const void *data, size_t size)
{
        unit_write(PATH, data, size);
        return load_path(PATH, true);
}

static unsigned load(const char *text)
{
        return load_bytes(text, strlen(text));
}

static void check_problem(const char *line)
{
        ck_assert_msg(strstr(unit_text(&problems), line), "%s is missing in:\n%s", line, problems.text);
}

static void set_flag(SettingKey key, const char *text)
{
        const char *why;

        ck_assert_int_eq(settings_parse(&flags, key, text, &why), 0);
}

static Settings settings_of(const char *listener_name)
{
        Settings s;

        ck_assert_int_eq(config_for(config, listener_name, &s), 0);
        return s;
}

static const struct {
        const char *text;
        unsigned line;
        const char *problem; /* behind `udp46.conf:LINE: ` */
} mistakes[] = {
                {"[Relay]\nUpstreams=[::1]:1\n", 2, "Upstreams=[::1]:1: unknown key"},
                {"[Relay]\nupstream=[::1]:1\n", 2, "upstream=[::1]:1: unknown key, did you mean Upstream=?"},
                {"[Relay]\nUpstream=\"[::1]:1\"\n", 2, "Upstream=\"[::1]:1\": a value stands without quotes"},
                {"[Relay]\nUpstream=http://home.example:1\n", 2, "Upstream=http://home.example:1: a URL is not"},
                {"[Relay]\n=5\n", 2, "=5: unknown key"},
                {"[Relay]\nMaxSessions=-3\n", 2, "MaxSessions=-3: must be a number"},
                {"[Relay]\nMaxSessions=\n", 2, "MaxSessions=: must be a number"},
                {"[Relay]\nMaxSessions=5 ; five\n", 2, "MaxSessions=5 ; five: a comment stands in a line of its own"},
                {"[Relay]\nMaxSessions=5 # five\n", 2, "MaxSessions=5 # five: a comment stands in a line of its own"},
                {"[Relay]\nUpstream=192.0.2.1:5\n", 2, "Upstream=192.0.2.1:5: an IPv4 address"},
                {"[Relay]\nUpstream=[::ffff:192.0.2.1]:5\n", 2, "Upstream=[::ffff:192.0.2.1]:5: an IPv4-mapped"},
                {"[Relay]\nUpstream=[ff02::1]:5\n", 2, "Upstream=[ff02::1]:5: a multicast"},
                {"[Relay]\nUpstream=[::]:5\n", 2, "Upstream=[::]:5: the unspecified"},
                {"[Relay]\nUpstream=[::1]:0\n", 2, "Upstream=[::1]:0: the port"},
                {"[Relay]\nUpstream=[::1]:70000\n", 2, "Upstream=[::1]:70000: the port"},
                {"[Relay]\nUpstream=\n", 2, "Upstream=: expected"},
                {"[Relay]\nSessionTimeoutSec=-1\n", 2, "SessionTimeoutSec=-1: expected a time span"},
                {"[Relay]\nSessionTimeoutSec=0\n", 2, "SessionTimeoutSec=0: must be from"},
                {"[Relay]\nSessionTimeoutSec=1y\n", 2, "SessionTimeoutSec=1y: expected a time span"},
                {"[Relay]\nLogLevel=loud\n", 2, "LogLevel=loud: must be"},
                {"[Relay]\nMaxDatagramSize=0\n", 2, "MaxDatagramSize=0: must be"},
                {"[Relay]\nMaxSessions=1\n\n# again\nMaxSessions=2\n", 5,
                 "MaxSessions=2: given twice, first in line 2"},
                {"[Relay]\nMaxSessions=1\nMaxSessions=1\n", 3, "MaxSessions=1: given twice, first in line 2"},
                {"[Relay]\n[Relay office]\n[Relay]\n", 3, "[Relay]: section given twice, first in line 1"},
                {"[Relay \xff]\nMaxSessions=1\n", 1, "[Relay ...]: the name has characters that are not ASCII"},
                {"[Relay a]\nMaxSessions=1\n[Relay a]\nMaxSessions=1\n", 3,
                 "[Relay a]: section given twice, first in line 1"},
                {"[Relay office]\nLogLevel=debug\n", 2, "LogLevel=debug: belongs into [Relay]"},
                {"[Foo]\nMaxSessions=1\n", 1, "[Foo]: unknown section"},
                {"[relay]\nMaxSessions=1\n", 1, "[relay]: unknown section"},
                {"[ Relay]\n", 1, "[ Relay]: unknown section"},
                {"[Relay ]\n", 1, "[Relay ]: unknown section"},
                {"[Relay  office]\n", 1, "[Relay  office]: unknown section"},
                {"[Relay\toffice]\n", 1, "[Relay?office]: unknown section"},
                {"[]\n", 1, "[]: unknown section"},
                {"[Relay1]\n", 1, "[Relay1]: unknown section"},
                {"MaxSessions=1\n", 1, "MaxSessions=1: stands before the first section"},
                {"\n\n# comment\n  MaxSessions = 1\n[Relay]\n", 4, "MaxSessions=1: stands before the first section"},
                {"[Relay]\nMaxSessions\n", 2, "expected Key=value"},
                {"[Relay]\nMaxSessions 5\n", 2, "expected Key=value"},
                {"[Relay]\n[Relay office\nMaxSessions=5\n", 2, "expected [Relay] or [Relay NAME]"},
                {"[Relay\n", 1, ""},
                {"Relay]\n", 1, "expected Key=value"},
                {"[Relay] MaxSessions=5\n", 1, ""},
                {"[Relay]]\n", 1, ""},
                {"[Relay 12345678901234567890123456789012345678901]\n", 1,
                 "[Relay 12345678901234567890123456789012345678901]: the name is longer than 40 characters"},
};

/* The text that is told of, with what a terminal or a journal cannot show as it is shown there. */
static void show(char *text)
{
        for (char *p = text; *p; p++)
                if ((unsigned char)*p < ' ' && *p != '\n')
                        *p = '?';
}

START_TEST(mistakes_are_named)
{
        char expected[256];

        ck_assert_msg(load(mistakes[_i].text) == 1, "%u mistakes in\n%s", unit_count_lines(problems.text),
                      mistakes[_i].text);
        show(problems.text);
        (void)snprintf(expected, sizeof(expected), PATH ":%u: %s", mistakes[_i].line, mistakes[_i].problem);
        ck_assert_msg(strncmp(problems.text, expected, strlen(expected)) == 0, "%s instead of %s", problems.text,
                      expected);
}
END_TEST

START_TEST(all_mistakes_are_told)
{
        ck_assert_uint_eq(load("[Foo]\nBar=1\n[Relay]\nBar=2\nMaxSessions=x\nLogLevel=y\n[Relay a]\nLogLevel=info\n"),
                          5);
        check_problem(PATH ":1: [Foo]");
        check_problem(PATH ":4: Bar=2");
        check_problem(PATH ":5: MaxSessions=x");
        check_problem(PATH ":6: LogLevel=y");
        check_problem(PATH ":8: LogLevel");
}
END_TEST

START_TEST(all_senseless_lines_are_told)
{
        ck_assert_uint_eq(load("[Relay]\nfoo\nMaxSessions=1\nbar\n"), 2);
        check_problem(PATH ":2: expected Key=value");
        check_problem(PATH ":4: expected Key=value");
}
END_TEST

/* Where a section is refused, its keys are passed over: they must not fall to the section before. */
START_TEST(a_refused_section_keeps_its_keys)
{
        ck_assert_uint_eq(load("[Relay]\nMaxSessions=1\n[Foo]\nMaxSessions=2\nLogLevel=debug\n"), 1);
        ck_assert_uint_eq(config->sections[0].settings.max_sessions, 1);
        ck_assert(!settings_given(&config->sections[0].settings, SETTING_LOG_LEVEL));
}
END_TEST

START_TEST(a_whole_file)
{
        ck_assert_uint_eq(load("# comment\n"
                               "; another\n"
                               "\n"
                               "[Relay]\n"
                               "Upstream=[2001:db8:100::10]:51820\n"
                               "  SessionTimeoutSec = 1min 30s  \n"
                               "\tUnrepliedTimeoutSec=\t10\n"
                               "ReplyRefreshSec=5min\n"
                               "MaxSessions=100\n"
                               "MaxDatagramSize=1500\n"
                               "WriteTimeoutSec=500ms\n"
                               "LogLevel=WARN\n"
                               "\n"
                               "[Relay office]\n"
                               "Upstream=office.example:51821\n"
                               "MaxSessions=10\n"
                               "[Relay 1234567890123456789012345678901234567890]\n"),
                          0);
        ck_assert_str_eq(unit_text(&problems), "");
        ck_assert_uint_eq(config->n_sections, 3);
        ck_assert_uint_eq(settings_of("relay").session_timeout, 90 * USEC_PER_SEC);
        ck_assert_uint_eq(settings_of("relay").unreplied_timeout, 10 * USEC_PER_SEC);
        ck_assert_uint_eq(settings_of("relay").reply_refresh, 5 * USEC_PER_MINUTE);
        ck_assert_uint_eq(settings_of("relay").max_sessions, 100);
        ck_assert_uint_eq(settings_of("relay").max_datagram_size, 1500);
        ck_assert_uint_eq(settings_of("relay").write_timeout, 500 * USEC_PER_MSEC);
        ck_assert_int_eq(settings_of("relay").log_level, LOG_WARNING);
        ck_assert_str_eq(settings_of("office").upstream.items[0].host, "office.example");
        ck_assert_uint_eq(settings_of("office").max_sessions, 10);
        ck_assert_uint_eq(settings_of("office").session_timeout, 90 * USEC_PER_SEC);
        ck_assert_uint_eq(config_check(config, problems.to), 0);
}
END_TEST

static const char *const harmless[] = {
                "",
                "\n",
                "\n\n\n",
                "# only a comment",
                "; only a comment\n",
                "[Relay]",
                "[Relay]\n",
                "  [Relay]  \n",
                "[Relay]\n[Relay office]\n",
                "[Relay office]\n[Relay]\n",
                "[Relay relay]\n",
                "[Relay]\n   \n\t\n",
};

START_TEST(harmless_files)
{
        ck_assert_msg(load(harmless[_i]) == 0, "%s", problems.text);
}
END_TEST

START_TEST(the_last_line_needs_no_end)
{
        ck_assert_uint_eq(load("[Relay]\nMaxSessions=7"), 0);
        ck_assert_uint_eq(config->sections[0].settings.max_sessions, 7);
}
END_TEST

START_TEST(line_ends_of_other_systems)
{
        ck_assert_uint_eq(load("[Relay]\r\nUpstream=[::1]:5\r\n\r\n# x\r\nMaxSessions=7\r\n[Relay "
                               "a]\r\nMaxSessions=3\r\n"),
                          0);
        ck_assert_str_eq(settings_of("relay").upstream.items[0].host, "::1");
        ck_assert_uint_eq(settings_of("relay").max_sessions, 7);
        ck_assert_uint_eq(settings_of("a").max_sessions, 3);

        ck_assert_msg(load("[Relay]\rUpstream=[::1]:5\rMaxSessions=7\r") > 0, "a single long line, unnoticed");
}
END_TEST

/* Either it counts as nothing, or it is a mistake; but it must not swallow what follows. */
START_TEST(a_byte_order_mark)
{
        if (load("\357\273\277[Relay]\nMaxSessions=7\n") == 0)
                ck_assert_uint_eq(config->sections[0].settings.max_sessions, 7);
        if (load("\357\273\277MaxSessions=7\n") == 0)
                ck_abort_msg("a key before the first section, unnoticed");
        ck_assert_uint_gt(load("[Relay]\nMaxSessions=7\n\357\273\277LogLevel=warn\n"), 0);
}
END_TEST

/* All that may stand before a section or a key and cannot be seen. */
START_TEST(invisible_beginnings)
{
        static const char blanks[] = {'\v', '\f', '\r', '\001', '\302'};
        char text[128];

        (void)snprintf(text, sizeof(text), "[Relay]\nMaxSessions=7\n%c[Relay office]\nUpstream=[::1]:1\n", blanks[_i]);
        if (load(text) == 0) {
                ck_assert_uint_eq(config->n_sections, 2);
                ck_assert_msg(!settings_given(&config->sections[0].settings, SETTING_UPSTREAM),
                              "a key has fallen to another section");
        }
}
END_TEST

/* A listener's name never ends in a space: either the section's does not, or it is a mistake. */
START_TEST(blanks_around_a_name)
{
        if (load("[Relay office ]\nUpstream=[::1]:1\n") == 0)
                (void)settings_of("office");
}
END_TEST

START_TEST(bytes_of_zero)
{
        static const char first[] = "[Relay]\n\0MaxSessions=1\n", last[] = "[Relay]\nMaxSessions=1\0";
        static const char middle[] = "[Relay]\nMaxSessions=1\0002\nLogLevel=loud\n";

        ck_assert_uint_eq(load_bytes(first, sizeof(first) - 1), 1);
        check_problem(PATH ":2: not a text file (a NUL byte)");
        ck_assert_uint_eq(load_bytes(last, sizeof(last) - 1), 1);
        check_problem(PATH ":2: not a text file (a NUL byte)");
        ck_assert_uint_eq(load_bytes(middle, sizeof(middle) - 1), 1);
        check_problem(PATH ":2: not a text file (a NUL byte)");
        ck_assert_uint_eq(load_bytes("\0", 1), 1);
        check_problem(PATH ":1: not a text file (a NUL byte)");
}
END_TEST

/* A comment, a key, a section and spaces of exactly the longest length, and of one byte more. */
START_TEST(the_longest_line)
{
        static const char *const begins[] = {"# ", "MaxSessions=1", "Upstream=", "[Relay a]", " "};
        static const unsigned n_if_it_fits[] = {0, 1, 1, 0, 0};
        static char text[CONFIG_LINE_MAX + 64];

        for (int more = 0; more <= 1; more++)
                for (int end = 0; end <= 1; end++) {
                        size_t head = strlen(strcpy(text, "[Relay]\n")), size = head + CONFIG_LINE_MAX + (size_t)more;
                        char filler = _i < 3 ? 'x' : ' ';

                        memset(text + head, filler, sizeof(text) - head);
                        memcpy(text + head, begins[_i], strlen(begins[_i]));
                        if (end)
                                text[size++] = '\n';
                        ck_assert_uint_eq(load_bytes(text, size), more ? 1 : n_if_it_fits[_i]);
                        if (more)
                                check_problem(PATH ":2: the line is longer than 4095 bytes");
                }
}
END_TEST

START_TEST(a_line_of_a_megabyte)
{
        size_t size = 1 << 20;
        char *text = malloc(size);

        ck_assert_ptr_nonnull(text);
        memset(text, 'x', size);
        ck_assert_uint_eq(load_bytes(text, size), 1);
        check_problem(PATH ":1: the line is longer than 4095 bytes");
        memset(text, '[', size);
        ck_assert_uint_eq(load_bytes(text, size), 1);
        memset(text, '\n', size);
        ck_assert_uint_eq(load_bytes(text, size), 0);
        memset(text, '\0', size);
        ck_assert_uint_eq(load_bytes(text, size), 1);
        memset(text, 0xff, size);
        ck_assert_uint_ge(load_bytes(text, size), 1);
        free(text);
}
END_TEST

static const struct {
        const char *path, *problem;
} no_files[] = {
                {"/nonexistent/udp46.conf", "/nonexistent/udp46.conf: No such file or directory\n"},
                {"/", "/: not a regular file\n"},
                {"/dev/zero", "/dev/zero: not a regular file\n"},
                {"/dev/null/udp46.conf", "/dev/null/udp46.conf: Not a directory\n"},
                {"", ": No such file or directory\n"},
};

START_TEST(what_is_no_file)
{
        ck_assert_uint_eq(load_path(no_files[_i].path, true), 1);
        ck_assert_str_eq(unit_text(&problems), no_files[_i].problem);
}
END_TEST

/* How one says that there shall be no file. */
START_TEST(nothing_is_a_file)
{
        ck_assert_uint_eq(load_path("/dev/null", true), 0);
}
END_TEST

/* Opening one waits for somebody to write into it; a reload would stop the control loop. */
START_TEST(a_pipe_is_no_file)
{
        ck_assert_int_eq(mkfifo("pipe", 0600), 0);
        (void)alarm(3);
        ck_assert_uint_eq(load_path("pipe", true), 1);
        ck_assert_str_eq(unit_text(&problems), "pipe: not a regular file\n");
}
END_TEST

START_TEST(a_program_is_no_configuration)
{
        ck_assert_uint_eq(load_path("/proc/self/exe", true), 1);
        ck_assert_uint_le(strlen(unit_text(&problems)), 1024);
}
END_TEST

START_TEST(only_a_default_file_may_be_missing)
{
        ck_assert_uint_eq(load_path("missing", false), 0);
        ck_assert_uint_eq(config->n_sections, 1);
        ck_assert_uint_eq(load_path("missing", true), 1);
        ck_assert_uint_eq(load_path("/dev/null/udp46.conf", false), 1);
}
END_TEST

START_TEST(an_unreadable_file)
{
        unit_write("secret", "[Relay]\n", 8);
        ck_assert_int_eq(chmod("secret", 0), 0);
        ck_assert_int_eq(chmod(".", 0755), 0);
        if (geteuid() == 0)
                ck_assert_int_eq(seteuid(65534), 0);
        ck_assert_uint_eq(load_path("secret", false), 1);
        ck_assert_str_eq(unit_text(&problems), "secret: Permission denied\n");
        (void)seteuid(getuid());
        (void)prctl(PR_SET_DUMPABLE, 1); /* a leak checker cannot look into who changed its user otherwise */
}
END_TEST

static void write_sections(unsigned n)
{
        FILE *file = fopen(PATH, "we");

        ck_assert_ptr_nonnull(file);
        (void)fprintf(file, "[Relay]\nUpstream=[::1]:1\n");
        for (unsigned i = 1; i < n; i++)
                (void)fprintf(file, "[Relay n%u]\nMaxSessions=%u\n", i, i);
        ck_assert_int_eq(fclose(file), 0);
}

START_TEST(as_many_sections_as_there_is_room_for)
{
        write_sections(CONFIG_SECTIONS_MAX);
        ck_assert_uint_eq(load_path(PATH, true), 0);
        ck_assert_uint_eq(config->n_sections, CONFIG_SECTIONS_MAX);
        ck_assert_uint_eq(settings_of("n255").max_sessions, 255);
        write_sections(CONFIG_SECTIONS_MAX + 2);
        ck_assert_uint_eq(load_path(PATH, true), 2);
        check_problem(PATH ":513: [Relay n256]: more than 256 sections");
        check_problem(PATH ":515: [Relay n257]: more than 256 sections");
        ck_assert_uint_eq(settings_of("n255").max_sessions, 255);
}
END_TEST

/* 0 is a value, not the absence of one. */
START_TEST(no_wait_wins_over_a_wait)
{
        ck_assert_uint_eq(load("[Relay]\nUpstream=[::1]:1\nWriteTimeoutSec=3\n[Relay a]\nWriteTimeoutSec=0\n"), 0);
        ck_assert_uint_eq(settings_of("relay").write_timeout, 3 * USEC_PER_SEC);
        ck_assert_uint_eq(settings_of("a").write_timeout, 0);
}
END_TEST

START_TEST(a_flag_of_no_wait_wins_over_all)
{
        set_flag(SETTING_WRITE_TIMEOUT, "0");
        ck_assert_uint_eq(load("[Relay]\nUpstream=[::1]:1\nWriteTimeoutSec=3\n[Relay a]\nWriteTimeoutSec=1\n"), 0);
        ck_assert_uint_eq(settings_of("relay").write_timeout, 0);
        ck_assert_uint_eq(settings_of("a").write_timeout, 0);
}
END_TEST

START_TEST(flags_win_over_names_and_names_over_the_rest)
{
        Settings s;

        set_flag(SETTING_MAX_DATAGRAM_SIZE, "1");
        ck_assert_uint_eq(load("[Relay]\nUpstream=[::1]:1\nMaxSessions=2\nMaxDatagramSize=2\nSessionTimeoutSec=2\n"
                               "[Relay a]\nMaxDatagramSize=3\nSessionTimeoutSec=3\nWriteTimeoutSec=3\n"),
                          0);
        s = settings_of("a");
        ck_assert_uint_eq(s.max_datagram_size, 1);
        ck_assert_uint_eq(s.session_timeout, 3 * USEC_PER_SEC);
        ck_assert_uint_eq(s.write_timeout, 3 * USEC_PER_SEC);
        ck_assert_uint_eq(s.max_sessions, 2);
        ck_assert_uint_eq(s.reply_refresh, 12 * USEC_PER_SEC);
        ck_assert_uint_eq(s.unreplied_timeout, 3 * USEC_PER_SEC);
        s = settings_of("relay");
        ck_assert_uint_eq(s.max_datagram_size, 1);
        ck_assert_uint_eq(s.session_timeout, 2 * USEC_PER_SEC);
        config_whole(config, &s);
        ck_assert_uint_eq(s.max_sessions, 2);
        ck_assert_uint_eq(s.max_datagram_size, 1);
}
END_TEST

START_TEST(names_without_a_section)
{
        Settings s;

        ck_assert_uint_eq(load("[Relay]\nUpstream=[::1]:1\n[Relay a]\n"), 0);
        ck_assert_int_eq(config_for(config, "relay", &s), 0);
        ck_assert_int_eq(config_for(config, "a", &s), 0);
        ck_assert_int_eq(config_for(config, "b", &s), -ENOENT);
        ck_assert_int_eq(config_for(config, "", &s), -ENOENT);
        ck_assert_int_eq(config_for(config, "Relay", &s), -ENOENT);
        ck_assert_uint_eq(load("[Relay]\nMaxSessions=1\n[Relay a]\nUpstream=[::1]:1\n"), 0);
        ck_assert_int_eq(config_for(config, "relay", &s), -EDESTADDRREQ);
        ck_assert_int_eq(config_for(config, "a", &s), 0);
        ck_assert_uint_eq(load("[Relay relay]\nUpstream=[::1]:7\n"), 0);
        ck_assert_uint_eq(settings_of("relay").upstream.items[0].port, 7);
}
END_TEST

START_TEST(every_name_needs_an_upstream)
{
        ck_assert_uint_eq(load("[Relay]\n"), 0);
        ck_assert_uint_eq(config_check(config, problems.to), 1);
        check_problem("no upstream: write Upstream=[address]:port under [Relay] in " PATH ", or give --upstream\n");

        ck_assert_uint_eq(load("[Relay a]\nUpstream=[::1]:1\n\n[Relay b]\n[Relay c]\nUpstream=[::1]:1\n"), 0);
        ck_assert_uint_eq(config_check(config, problems.to), 1);
        check_problem(PATH ":4: [Relay b]: no upstream: write Upstream= there or under [Relay]\n");

        ck_assert_uint_eq(load("[Relay]\nUpstream=[::1]:1\n[Relay b]\n"), 0);
        ck_assert_uint_eq(config_check(config, problems.to), 0);

        set_flag(SETTING_UPSTREAM, "[::1]:9");
        ck_assert_uint_eq(load("[Relay b]\n"), 0);
        ck_assert_uint_eq(config_check(config, problems.to), 0);
        ck_assert_uint_eq(settings_of("b").upstream.items[0].port, 9);
}
END_TEST

#define ADDRESS "SourceAddress=2001:db8:5::1\n"
#define PREFIX "SourcePrefix=2001:db8:64::/96\n"
#define UPSTREAM "Upstream=[::1]:1\n"
#define EXCLUDE "SourceAddress= and SourcePrefix= exclude each other"

static const struct {
        const char *text;
        const char *problem; /* NULL: none */
} exclusions[] = {
                {"[Relay]\n" UPSTREAM ADDRESS, NULL},
                {"[Relay]\n" UPSTREAM PREFIX, NULL},
                {"[Relay]\n" UPSTREAM ADDRESS "SourcePrefix=\n", NULL},
                {"[Relay]\n" UPSTREAM "SourceAddress=\n" PREFIX, NULL},
                {"[Relay]\n" UPSTREAM ADDRESS "[Relay a]\nSourceAddress=\n" PREFIX, NULL},
                {"[Relay]\n" UPSTREAM PREFIX "[Relay a]\nSourcePrefix=\n" ADDRESS, NULL},
                {"[Relay a]\n" UPSTREAM ADDRESS "[Relay b]\n" UPSTREAM PREFIX, NULL},
                {"[Relay]\n" UPSTREAM ADDRESS PREFIX, PATH ": [Relay]: " EXCLUDE},
                {"[Relay]\n" UPSTREAM "\n[Relay a]\n" ADDRESS PREFIX, PATH ":4: [Relay a]: " EXCLUDE},
                {"[Relay]\n" UPSTREAM ADDRESS "[Relay b]\n" PREFIX, PATH ":4: [Relay b]: " EXCLUDE},
                {"[Relay]\n" UPSTREAM PREFIX "[Relay b]\n" ADDRESS, PATH ":4: [Relay b]: " EXCLUDE},
                {"[Relay]\n" PREFIX "[Relay b]\n" UPSTREAM ADDRESS, PATH ":3: [Relay b]: " EXCLUDE},
                /* listeners of the default name may have a section of their own */
                {"[Relay]\n" UPSTREAM PREFIX "[Relay relay]\n" ADDRESS, PATH ":4: [Relay relay]: " EXCLUDE},
                {"[Relay]\n" UPSTREAM ADDRESS PREFIX "[Relay relay]\nSourcePrefix=\n", NULL},
};

/* Which section it is, and only once: one mistake is one line. */
START_TEST(sources_that_exclude_each_other)
{
        ck_assert_uint_eq(load(exclusions[_i].text), 0);
        ck_assert_msg(config_check(config, problems.to) == !!exclusions[_i].problem, "%s", unit_text(&problems));
        if (exclusions[_i].problem)
                check_problem(exclusions[_i].problem);
        ck_assert_uint_eq(unit_count_lines(unit_text(&problems)), !!exclusions[_i].problem);
}
END_TEST

/* A flag holds for every section. */
START_TEST(a_flag_that_excludes_what_is_in_the_file)
{
        set_flag(SETTING_SOURCE_PREFIX, "2001:db8:64::/96");
        ck_assert_uint_eq(load("[Relay]\n" UPSTREAM "[Relay a]\n" ADDRESS), 0);
        ck_assert_uint_eq(config_check(config, problems.to), 1);
        check_problem(PATH ":3: [Relay a]: " EXCLUDE);
}
END_TEST

START_TEST(an_empty_value_takes_back_what_is_inherited)
{
        ck_assert_uint_eq(load("[Relay]\n" UPSTREAM ADDRESS "SourcePorts=20000-20009\n[Relay a]\nSourceAddress=\n"
                               "SourcePorts=\n[Relay b]\n"),
                          0);
        ck_assert_uint_eq(settings_of("relay").source_addresses.n, 1);
        ck_assert_uint_eq(settings_of("b").source_addresses.n, 1);
        ck_assert_uint_eq(settings_of("b").source_ports.high, 20009);
        ck_assert_uint_eq(settings_of("a").source_addresses.n, 0);
        ck_assert_uint_eq(settings_of("a").source_ports.high, 0);
}
END_TEST

static const char *const files[] = {
                "",
                "[Relay]\nUpstream=[2001:db8:100::10]:51820\n",
                "[Relay]\nUpstream=home.example:51820\nSessionTimeoutSec=90\nLogLevel=WARN\nMaxSessions=5\n",
                "[Relay]\nUpstream=[fe80::1%lo]:1\nUnrepliedTimeoutSec=1.5s\nReplyRefreshSec=1h30m\nMaxDatagramSize="
                "1\n",
                "[Relay a]\nUpstream=[::1]:1\n[Relay b]\nUpstream=[::1]:2\nMaxSessions=3\n",
                "[Relay]\nUpstream=[::1]:1\nSessionTimeoutSec=10\n[Relay "
                "a]\nSessionTimeoutSec=1d\nWriteTimeoutSec=1ms\n",
                "[Relay]\nUpstream=[::1]:1\nMaxSessions=9\n[Relay relay]\nMaxSessions=3\n[Relay with "
                "space]\nMaxSessions=2\n",
                "[Relay]\nUpstream=[::1]:1\nSessionTimeoutSec=30d\n",
                "[Relay]\nUpstream=[::1]:1\n[Relay slow]\nSessionTimeoutSec=20d\n",
                "[Relay]\n" UPSTREAM ADDRESS "SourcePorts=20000-29999\n[Relay a]\nSourceAddress=\n" PREFIX,
};

/* What is printed is accepted, means the same, and prints the same again. */
START_TEST(what_is_printed_is_accepted)
{
        UnitText first, second;
        Config *before;

        ck_assert_uint_eq(load(files[_i]), 0);
        unit_text_init(&first);
        config_print(config, first.to);
        before = TAKE_PTR(config);
        ck_assert_msg(load(unit_text(&first)) == 0, "%s", problems.text);
        ck_assert_uint_eq(config->n_sections, before->n_sections);
        for (size_t i = 0; i < config->n_sections; i++) {
                const char *name = i > 0 ? config->sections[i].name : "relay";
                Settings a = {0}, b = {0};

                ck_assert_str_eq(config->sections[i].name, before->sections[i].name);
                ck_assert_int_eq(config_for(before, name, &a), config_for(config, name, &b));
                a.given = b.given = 0;
                ck_assert_int_eq(memcmp(&a, &b, sizeof(a)), 0);
        }
        unit_text_init(&second);
        config_print(config, second.to);
        ck_assert_str_eq(unit_text(&second), unit_text(&first));
        unit_text_done(&first);
        unit_text_done(&second);
        free(before);
}
END_TEST

START_TEST(flags_are_printed_too)
{
        UnitText text;

        set_flag(SETTING_UPSTREAM, "[::1]:9");
        set_flag(SETTING_SESSION_TIMEOUT, "9s");
        ck_assert_uint_eq(load("[Relay]\nUpstream=[::1]:1\n[Relay a]\nUpstream=[::1]:2\n"), 0);
        unit_text_init(&text);
        config_print(config, text.to);
        ck_assert_uint_eq(unit_count(unit_text(&text), "Upstream=[::1]:9\n"), 2);
        ck_assert_uint_eq(unit_count(text.text, "\nSessionTimeoutSec=9s\n"), 2);
        unit_text_done(&text);
}
END_TEST

UNIT_SUITE("daemon/config", UNIT_LOOP(mistakes_are_named, ELEMENTSOF(mistakes)), UNIT_TEST(all_mistakes_are_told),
           UNIT_TEST(all_senseless_lines_are_told), UNIT_TEST(a_refused_section_keeps_its_keys),
           UNIT_TEST(a_whole_file), UNIT_LOOP(harmless_files, ELEMENTSOF(harmless)),
           UNIT_TEST(the_last_line_needs_no_end), UNIT_TEST(line_ends_of_other_systems), UNIT_TEST(a_byte_order_mark),
           UNIT_LOOP(invisible_beginnings, 5), UNIT_TEST(blanks_around_a_name), UNIT_TEST(bytes_of_zero),
           UNIT_LOOP(the_longest_line, 5), UNIT_TEST(a_line_of_a_megabyte),
           UNIT_LOOP(what_is_no_file, ELEMENTSOF(no_files)), UNIT_TEST(nothing_is_a_file), UNIT_TEST(a_pipe_is_no_file),
           UNIT_TEST(a_program_is_no_configuration), UNIT_TEST(only_a_default_file_may_be_missing),
           UNIT_TEST(an_unreadable_file), UNIT_TEST(as_many_sections_as_there_is_room_for),
           UNIT_TEST(flags_win_over_names_and_names_over_the_rest), UNIT_TEST(no_wait_wins_over_a_wait),
           UNIT_TEST(a_flag_of_no_wait_wins_over_all), UNIT_TEST(names_without_a_section),
           UNIT_TEST(every_name_needs_an_upstream), UNIT_LOOP(sources_that_exclude_each_other, ELEMENTSOF(exclusions)),
           UNIT_TEST(a_flag_that_excludes_what_is_in_the_file), UNIT_TEST(an_empty_value_takes_back_what_is_inherited),
           UNIT_LOOP(what_is_printed_is_accepted, ELEMENTSOF(files)), UNIT_TEST(flags_are_printed_too))
