/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>

#include "base/log.h"
#include "unit.h"

static const LogSentence hello = {"00112233445566778899aabbccddeeff", LOG_INFO, "hello"};
static const LogSentence detail = {"112233445566778899aabbccddeeff00", LOG_DEBUG, "detail"};
static const LogSentence trouble = {"2233445566778899aabbccddeeff0011", LOG_ERR, "trouble"};
static const LogSentence lost = {"33445566778899aabbccddeeff001122", LOG_WARNING, "lost"};

static Log *start(LogTarget target, int level, size_t n_writers)
{
        Log *log;

        ck_assert_int_eq(log_new(&log, target, level, n_writers, &lost), 0);
        return log;
}

static bool send_number(LogWriter *writer, const LogSentence *sentence, unsigned number)
{
        LogRecord record;

        log_record_begin(&record, sentence);
        log_record_add(&record, "UDP46_COUNT", "%u", number);
        return log_writer_send(writer, &record);
}

/* What a record with one field looks like on standard error. */
static void check_line(const char *key, const char *value, const char *line)
{
        LogRecord record;
        char *text;

        unit_stderr_begin();
        log_record_begin(&record, &hello);
        log_record_add(&record, key, "%s", value);
        log_say_now(LOG_TARGET_STDERR, &record);
        text = unit_stderr_end();
        ck_assert_str_eq(text, line);
        free(text);
}

START_TEST(a_line_bears_priority_sentence_and_fields)
{
        LogRecord record;
        char *text;

        unit_stderr_begin();
        log_record_begin(&record, &hello);
        log_record_add(&record, "UDP46_CLIENT", "%s:%u", "192.0.2.10", 62000u);
        log_record_add(&record, "OTHER_KEY", "%d", -1);
        log_say_now(LOG_TARGET_STDERR, &record);
        log_record_begin(&record, &trouble);
        log_say_now(LOG_TARGET_STDERR, &record);
        text = unit_stderr_end();
        ck_assert_str_eq(text, "<6>hello client=192.0.2.10:62000 other_key=-1\n<3>trouble\n");
        free(text);
}
END_TEST

START_TEST(values_with_spaces_are_quoted)
{
        check_line("UDP46_REASON", "two words", "<6>hello reason=\"two words\"\n");
        check_line("UDP46_REASON", "", "<6>hello reason=\"\"\n");
        check_line("UDP46_REASON", "a=b", "<6>hello reason=a=b\n");
}
END_TEST

/* Whatever a value holds, it stays on its line. */
START_TEST(control_characters_become_question_marks)
{
        check_line("UDP46_REASON", "a\nb\rc\td\033[31me\177f\001", "<6>hello reason=a?b?c?d?[31me?f?\n");
        check_line("UDP46_REASON", "\303\244", "<6>hello reason=\303\244\n");
}
END_TEST

START_TEST(a_record_takes_what_fits)
{
        char *text, value[3000];
        LogRecord record;

        memset(value, 'v', sizeof(value));
        value[sizeof(value) - 1] = '\0';
        unit_stderr_begin();
        log_record_begin(&record, &hello);
        log_record_add(&record, "UDP46_SMALL", "1");
        log_record_add(&record, "UDP46_LARGE", "%s", value);
        ck_assert_uint_le(record.used, LOG_RECORD_BYTES);
        for (unsigned i = 0; i < 100; i++)
                log_record_add(&record, "UDP46_MORE", "%u", i);
        ck_assert_uint_le(record.used, LOG_RECORD_BYTES);
        log_say_now(LOG_TARGET_STDERR, &record);
        text = unit_stderr_end();
        ck_assert_uint_eq(unit_count_lines(text), 1);
        ck_assert(strncmp(text, "<6>hello small=1", 16) == 0);
        ck_assert_uint_le(strlen(text), 1300);
        free(text);
}
END_TEST

START_TEST(a_record_takes_so_many_fields)
{
        LogRecord record;
        char *text;

        unit_stderr_begin();
        log_record_begin(&record, &hello);
        for (unsigned i = 0; i < 2 * LOG_RECORD_FIELDS_MAX; i++)
                log_record_add(&record, "UDP46_N", "%u", i);
        ck_assert_uint_eq(record.n_fields, LOG_RECORD_FIELDS_MAX);
        log_say_now(LOG_TARGET_STDERR, &record);
        text = unit_stderr_end();
        ck_assert_uint_eq(unit_count(text, " n="), LOG_RECORD_FIELDS_MAX);
        ck_assert_uint_eq(unit_count(text, " n=23"), 1);
        free(text);
}
END_TEST

/* Every length of a value around the edge of the record. */
START_TEST(the_edge_of_a_record)
{
        char value[LOG_RECORD_BYTES + 64];

        memset(value, 'v', sizeof(value));
        for (size_t length = LOG_RECORD_BYTES - 64; length < sizeof(value); length++) {
                struct {
                        LogRecord record;
                        char guard[16];
                } box = {.guard = "untouched"};

                log_record_begin(&box.record, &hello);
                log_record_add(&box.record, "UDP46_V", "%.*s", (int)length, value);
                for (unsigned i = 0; i < 8; i++)
                        log_record_add(&box.record, "K", "1");
                ck_assert_uint_le(box.record.used, LOG_RECORD_BYTES);
                ck_assert_int_eq(box.record.bytes[box.record.used - 1], '\0');
                ck_assert_str_eq(box.guard, "untouched");
        }
}
END_TEST

START_TEST(below_the_level_nothing_is_said)
{
        Log *log;
        char *text;

        unit_stderr_begin();
        log = start(LOG_TARGET_STDERR, LOG_INFO, 1);
        ck_assert(log_writer_wants(log_writer(log, 0), &hello));
        ck_assert(!log_writer_wants(log_writer(log, 0), &detail));
        ck_assert(send_number(log_writer(log, 0), &detail, 1)); /* not lost, not wanted */
        log_set_level(log, LOG_DEBUG);
        ck_assert(send_number(log_writer(log, 0), &detail, 2));
        log_set_level(log, LOG_ERR);
        ck_assert(send_number(log_writer(log, 0), &hello, 3));
        ck_assert(send_number(log_writer(log, 0), &trouble, 4));
        (void)log_free(log);
        text = unit_stderr_end();
        ck_assert_str_eq(text, "<7>detail count=2\n<3>trouble count=4\n");
        free(text);
}
END_TEST

START_TEST(the_end_says_what_is_queued)
{
        Log *log;
        char *text;

        unit_stderr_begin();
        log = start(LOG_TARGET_STDERR, LOG_INFO, 1);
        for (unsigned i = 0; i < LOG_RING_RECORDS; i++)
                (void)send_number(log_writer(log, 0), &hello, i);
        (void)log_free(log);
        text = unit_stderr_end();
        ck_assert_uint_eq(unit_count_lines(text), LOG_RING_RECORDS);
        free(text);
        ck_assert_ptr_null(log_free(NULL));
}
END_TEST

enum { N_SAID = 2000 };

static void *say_many(void *writer)
{
        for (unsigned i = 0; i < N_SAID; i++)
                while (!send_number(writer, &hello, i))
                        (void)sched_yield();
        return NULL;
}

static bool begins(const char **text, const char *with)
{
        if (strncmp(*text, with, strlen(with)) != 0)
                return false;
        *text = strchr(*text, '\n') + 1;
        return true;
}

/* Threads with writers of their own: each one's order is kept, and what was lost is told exactly. */
START_TEST(writers_keep_their_order)
{
        pthread_t threads[2];
        unsigned next[2] = {0}, n_lost = 0;
        Log *log;
        char *text;

        unit_stderr_begin();
        log = start(LOG_TARGET_STDERR, LOG_INFO, ELEMENTSOF(threads));
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, say_many, log_writer(log, i)), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        (void)log_free(log);
        text = unit_stderr_end();
        for (const char *p = text; *p;) {
                char expected[2][64];
                unsigned count;

                for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                        (void)snprintf(expected[i], sizeof(expected[i]), "<6>hello count=%u\n", next[i]);
                if (sscanf(p, "<4>lost count=%u", &count) == 1) {
                        n_lost += count;
                        p = strchr(p, '\n') + 1;
                } else if (begins(&p, expected[0]))
                        next[0]++;
                else if (begins(&p, expected[1]))
                        next[1]++;
                else
                        ck_abort_msg("neither writer's turn: %.40s", p);
        }
        ck_assert_uint_eq(next[0], N_SAID);
        ck_assert_uint_eq(next[1], N_SAID);
        ck_assert_uint_eq(unit_count(text, "lost") > 0, n_lost > 0);
        free(text);
}
END_TEST

/* Reads until the writing end is closed. */
static char *drain(int fd)
{
        size_t size = 0, room = 1 << 20;
        char *text = calloc(1, room + 1);
        ssize_t n;

        ck_assert_ptr_nonnull(text);
        ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
        while ((n = read(fd, text + size, room - size)) > 0)
                size += (size_t)n;
        return text;
}

static void *end_log(void *log)
{
        (void)log_free(log);
        (void)close(STDERR_FILENO);
        return NULL;
}

/* With a stalled target nobody waits; the ring fills, what finds no room is lost, and its number is said afterwards. */
START_TEST(a_stalled_target_costs_records_not_time)
{
        unsigned kept[LOG_RING_RECORDS + 2], n_kept = 0, n_lost = 0, count = 0;
        usec_t before = clock_monotonic();
        pthread_t thread;
        char expected[64];
        char *text, *p;
        Log *log;
        int fd;

        fd = unit_stderr_stall();
        log = start(LOG_TARGET_STDERR, LOG_INFO, 1);
        for (unsigned i = 0; i < 10000; i++)
                if (!send_number(log_writer(log, 0), &hello, i))
                        n_lost++;
                else if (n_kept < ELEMENTSOF(kept)) /* the ring, and what is in the log thread's hands */
                        kept[n_kept++] = i;
                else
                        ck_abort_msg("more is kept than there is room for");
        ck_assert_uint_lt(clock_monotonic() - before, 5 * USEC_PER_SEC);
        ck_assert_uint_ge(n_kept, LOG_RING_RECORDS);

        ck_assert_int_eq(pthread_create(&thread, NULL, end_log, log), 0);
        text = drain(fd);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        for (p = text; p < text + (1 << 16) && *p == '\0'; p++) /* what filled the pipe */
                ;
        for (unsigned i = 0; i < n_kept; i++) {
                (void)snprintf(expected, sizeof(expected), "<6>hello count=%u\n", kept[i]);
                ck_assert_msg(strncmp(p, expected, strlen(expected)) == 0, "%.40s instead of %s", p, expected);
                p += strlen(expected);
        }
        ck_assert_msg(sscanf(p, "<4>lost count=%u\n", &count) == 1, "%.40s instead of lost", p);
        ck_assert_uint_eq(count, n_lost);
        ck_assert_str_eq(strchr(p, '\n'), "\n");
        free(text);
}
END_TEST

/* Reads what is there, as a terminal that goes on again, until nothing comes for a while. */
static void read_on(int fd, char *text, size_t room)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};
        size_t size = strlen(text);
        char buffer[4096];
        ssize_t n;

        while (poll(&p, 1, 200) == 1 && (n = read(fd, buffer, sizeof(buffer))) > 0)
                for (ssize_t i = 0; i < n; i++)
                        if (buffer[i] && size + 1 < room) /* what filled the pipe is NUL bytes */
                                text[size++] = buffer[i];
}

/* Stalled again and again: each time the number is that of this time, and together they are all. */
START_TEST(what_was_lost_is_told_each_time)
{
        unsigned n_kept = 0, n_lost = 0, n_told = 0, n_times = 0;
        enum { ROOM = 1 << 20 };
        char *text = calloc(1, ROOM);
        int fd = unit_stderr_stall();
        Log *log;

        ck_assert_ptr_nonnull(text);
        log = start(LOG_TARGET_STDERR, LOG_INFO, 1);
        for (unsigned round = 0; round < 3; round++) {
                for (unsigned i = 0; i < 20000; i++)
                        if (send_number(log_writer(log, 0), &hello, i))
                                n_kept++;
                        else
                                n_lost++;
                read_on(fd, text, ROOM);
        }
        (void)log_free(log);
        for (const char *p = strstr(text, "<4>lost count="); p; p = strstr(p + 1, "<4>lost count=")) {
                n_told += (unsigned)strtoul(p + strlen("<4>lost count="), NULL, 10);
                n_times++;
        }
        ck_assert_uint_ge(n_times, 3);
        ck_assert_uint_eq(n_told, n_lost);
        ck_assert_uint_eq(unit_count(text, "<6>hello"), n_kept);
        free(text);
}
END_TEST

/* What one writer says because of another comes after it, whoever's ring is looked at first. */
START_TEST(writers_are_told_in_the_order_of_time)
{
        int fd = unit_stderr_stall();
        pthread_t thread;
        char *text, *first, *second;
        Log *log = start(LOG_TARGET_STDERR, LOG_INFO, 2);

        ck_assert(send_number(log_writer(log, 0), &hello, 0)); /* keeps the log thread busy */
        (void)usleep(50 * 1000);
        ck_assert(send_number(log_writer(log, 1), &hello, 1));
        (void)usleep(1000);
        ck_assert(send_number(log_writer(log, 0), &hello, 2));
        ck_assert_int_eq(pthread_create(&thread, NULL, end_log, log), 0);
        text = drain(fd);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        for (first = text; *first == '\0'; first++) /* what filled the pipe */
                ;
        second = strstr(first, "count=2");
        first = strstr(first, "count=1");
        ck_assert(first && second && first < second);
        free(text);
}
END_TEST

/* ... and the end waits for half a second at most; nor does exit(3) wait, which locks every stream (glibc 2.39). */
START_TEST(a_stalled_target_does_not_hold_up_the_end)
{
        usec_t before, passed;
        Log *log;
        int fd;

        (void)signal(SIGPIPE, SIG_IGN);
        fd = unit_stderr_stall();
        log = start(LOG_TARGET_STDERR, LOG_INFO, 1);
        ck_assert(send_number(log_writer(log, 0), &hello, 1));
        before = clock_monotonic();
        (void)log_free(log);
        passed = clock_monotonic() - before;
        ck_assert_uint_ge(passed, 400 * USEC_PER_MSEC);
        ck_assert_uint_lt(passed, 2 * USEC_PER_SEC);
        if (ftrylockfile(stderr) != 0) {
                (void)close(fd); /* so that this test at least can exit */
                ck_abort_msg("the log thread waits with standard error locked");
        }
}
END_TEST

START_TEST(too_many_writers)
{
        Log *log;

        ck_assert_int_eq(log_new(&log, LOG_TARGET_STDERR, LOG_INFO, LOG_WRITERS_MAX + 1, &lost), -E2BIG);
        log = start(LOG_TARGET_STDERR, LOG_INFO, LOG_WRITERS_MAX);
        (void)log_free(log);
}
END_TEST

START_TEST(the_journal_is_known_by_its_stream)
{
        struct stat st;
        char stream[64];
        LogTarget found[6];

        unit_stderr_begin();
        (void)fstat(STDERR_FILENO, &st);
        (void)unsetenv("JOURNAL_STREAM");
        found[0] = log_target_find();
        (void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
                       (unsigned long long)st.st_ino);
        (void)setenv("JOURNAL_STREAM", stream, 1);
        found[1] = log_target_find();
        (void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
                       (unsigned long long)st.st_ino + 1);
        (void)setenv("JOURNAL_STREAM", stream, 1);
        found[2] = log_target_find();
        (void)setenv("JOURNAL_STREAM", "", 1);
        found[3] = log_target_find();
        (void)setenv("JOURNAL_STREAM", "journal", 1);
        found[4] = log_target_find();
        (void)setenv("JOURNAL_STREAM", "12:", 1);
        found[5] = log_target_find();
        free(unit_stderr_end());
        for (size_t i = 0; i < ELEMENTSOF(found); i++)
                ck_assert_int_eq(found[i], i == 1 ? LOG_TARGET_JOURNAL : LOG_TARGET_STDERR);
}
END_TEST

/* A journal's socket of our own where libsystemd looks for it. Its descriptor, or -1: not allowed here. */
static int own_journal(void)
{
        const struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        if (!unit_own_mounts())
                return -1;
        ck_assert_int_eq(mount("tmpfs", "/run", "tmpfs", 0, NULL), 0);
        ck_assert(unit_run("mkdir -p /run/systemd/journal"));
        ck_assert_int_eq(bind(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
        return fd;
}

/* Does the native protocol's message hold this line? */
static bool has_line(const char *message, const char *line)
{
        for (const char *p = strstr(message, line); p; p = strstr(p + 1, line))
                if ((p == message || p[-1] == '\n') && p[strlen(line)] == '\n')
                        return true;
        return false;
}

START_TEST(the_journal_gets_the_fields)
{
        static const char *const lines[] = {
                        "MESSAGE=hello client=192.0.2.10:62000 reason=\"no route?FAKE=1\"",
                        "MESSAGE_ID=00112233445566778899aabbccddeeff",
                        "PRIORITY=6",
                        "SYSLOG_IDENTIFIER=udp46",
                        "UDP46_CLIENT=192.0.2.10:62000",
                        "UDP46_REASON=no route?FAKE=1",
        };
        char message[4096] = "";
        int fd = own_journal();
        LogRecord record;
        Log *log;

        if (fd < 0)
                return;
        log = start(LOG_TARGET_JOURNAL, LOG_INFO, 1);
        log_record_begin(&record, &hello);
        log_record_add(&record, "UDP46_CLIENT", "192.0.2.10:62000");
        log_record_add(&record, "UDP46_REASON", "no route\nFAKE=1");
        ck_assert(log_writer_send(log_writer(log, 0), &record));
        ck_assert_int_gt(recv(fd, message, sizeof(message) - 1, 0), 0);
        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                ck_assert_msg(has_line(message, lines[i]), "%s is missing in:\n%s", lines[i], message);
        ck_assert(!has_line(message, "FAKE=1"));
        (void)log_free(log);
}
END_TEST

START_TEST(a_stalled_journal_costs_no_time)
{
        usec_t before = clock_monotonic();
        int fd = own_journal();
        unsigned n_kept = 0;
        Log *log;

        if (fd < 0)
                return;
        log = start(LOG_TARGET_JOURNAL, LOG_INFO, 1);
        for (unsigned i = 0; i < 100000; i++)
                n_kept += send_number(log_writer(log, 0), &hello, i);
        ck_assert_uint_lt(clock_monotonic() - before, 5 * USEC_PER_SEC);
        ck_assert_uint_ge(n_kept, LOG_RING_RECORDS);
        before = clock_monotonic();
        (void)log_free(log);
        ck_assert_uint_lt(clock_monotonic() - before, 2 * USEC_PER_SEC);
}
END_TEST

UNIT_SUITE("base/log", UNIT_TEST(a_line_bears_priority_sentence_and_fields), UNIT_TEST(values_with_spaces_are_quoted),
           UNIT_TEST(control_characters_become_question_marks), UNIT_TEST(a_record_takes_what_fits),
           UNIT_TEST(a_record_takes_so_many_fields), UNIT_TEST(the_edge_of_a_record),
           UNIT_TEST(below_the_level_nothing_is_said), UNIT_TEST(the_end_says_what_is_queued),
           UNIT_TEST(writers_keep_their_order), UNIT_TEST(a_stalled_target_costs_records_not_time),
           UNIT_TEST(what_was_lost_is_told_each_time), UNIT_TEST(writers_are_told_in_the_order_of_time),
           UNIT_TEST(a_stalled_target_does_not_hold_up_the_end), UNIT_TEST(too_many_writers),
           UNIT_TEST(the_journal_is_known_by_its_stream), UNIT_TEST(the_journal_gets_the_fields),
           UNIT_TEST(a_stalled_journal_costs_no_time))
