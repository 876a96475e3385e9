/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <syslog.h>

#include "daemon/sentences.h"
#include "daemon/session-log.h"
#include "relay/relay.h"
#include "unit.h"

#define START (1000 * USEC_PER_SEC)

static Policy policy;
static Listener listener;
static Session session;
static Log *log_;
static SessionLog session_log;

static Address address(const char *text)
{
        const char *why;
        Endpoint endpoint;
        Address a;

        if (address_parse_listener(text, &a, &why) == 0)
                return a;
        ck_assert_int_eq(endpoint_parse(text, &endpoint, &why), 0);
        return endpoint.literal;
}

static void begin_on_stderr(int level)
{
        Address client = address("192.0.2.10:62000");

        policy.upstream.to.addresses[0] = address("[2001:db8:100::10]:51820");
        listener = (Listener){.policy = &policy, .bound = address("198.51.100.1:51820")};
        session = (Session){.record.flow = {.client = client.v4, .client_port = client.port},
                            .listener = &listener,
                            .record.source = address("[2001:db8::5]:41001"),
                            .record.id = 0x1234,
                            .record.opened = START,
                            .record.age = SESSION_ASSURED,
                            .record.traffic = {[FORWARD] = {3, 300, START}, [REPLY] = {2, 250, START}}};
        ck_assert_int_eq(log_new(&log_, LOG_TARGET_STDERR, level, 1, &sentences[SENTENCE_RECORDS_LOST]), 0);
        session_log_init(&session_log, log_writer(log_, 0), START);
}

static void begin(int level)
{
        unit_stderr_begin();
        begin_on_stderr(level);
}

/* Ends the log; what it has said. */
static char *end(void)
{
        log_ = log_free(log_);
        return unit_stderr_end();
}

/* The sum of the numbers that the summaries say, and of the records that the log itself has lost. */
static unsigned long long left_out(const char *text)
{
        static const char *const sentences_of[] = {"session events left out count=", "log records lost count="};
        unsigned long long sum = 0;

        for (size_t i = 0; i < ELEMENTSOF(sentences_of); i++)
                for (const char *p = strstr(text, sentences_of[i]); p; p = strstr(p + 1, sentences_of[i]))
                        sum += strtoull(p + strlen(sentences_of[i]), NULL, 10);
        return sum;
}

START_TEST(a_session_is_told_with_its_fields)
{
        char *text;

        begin(LOG_INFO);
        session_log_opened(&session_log, &session, START);
        session_log_closed(&session_log, &session, SESSION_IDLE_TIMEOUT, START + 1500 * USEC_PER_MSEC);
        session.record.age = SESSION_UNREPLIED;
        session_log_closed(&session_log, &session, SESSION_SHUTDOWN, START);
        text = end();
        ck_assert_str_eq(text, "<6>session created session=0000000000001234 listener=198.51.100.1:51820 "
                               "client=192.0.2.10:62000 source=[2001:db8::5]:41001 "
                               "upstream=[2001:db8:100::10]:51820\n"
                               "<6>session closed reason=idle_timeout session=0000000000001234 "
                               "listener=198.51.100.1:51820 client=192.0.2.10:62000 source=[2001:db8::5]:41001 "
                               "upstream=[2001:db8:100::10]:51820 forward_datagrams=3 forward_bytes=300 "
                               "reply_datagrams=2 reply_bytes=250 duration_sec=1.500 age=assured\n"
                               "<6>session closed reason=shutdown session=0000000000001234 "
                               "listener=198.51.100.1:51820 client=192.0.2.10:62000 source=[2001:db8::5]:41001 "
                               "upstream=[2001:db8:100::10]:51820 forward_datagrams=3 forward_bytes=300 "
                               "reply_datagrams=2 reply_bytes=250 duration_sec=0.000 age=unreplied\n");
        free(text);
}
END_TEST

/* The longest fields there are: nothing is cut off. */
START_TEST(the_largest_session_fits)
{
        char *text;

        begin(LOG_INFO);
        session.record.id = UINT64_MAX;
        listener.bound = session.record.source = policy.upstream.to.addresses[0] =
                        address("[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
        session.record.source.scope = policy.upstream.to.addresses[0].scope = UINT32_MAX;
        for (Direction d = 0; d < N_DIRECTIONS; d++)
                session.record.traffic[d] = (SessionTraffic){UINT64_MAX, UINT64_MAX, START};
        session_log_closed(&session_log, &session, SESSION_IDLE_TIMEOUT, USEC_NEVER);
        text = end();
        ck_assert_ptr_nonnull(strstr(text, " age=assured\n"));
        ck_assert_uint_eq(unit_count_lines(text), 1);
        free(text);
}
END_TEST

START_TEST(a_burst_then_silence_and_a_number)
{
        char *text;

        begin(LOG_INFO);
        ck_assert_uint_eq(session_log_deadline(&session_log), USEC_NEVER);
        for (unsigned i = 0; i < SESSION_LOG_BURST; i++)
                session_log_opened(&session_log, &session, START);
        ck_assert_uint_eq(session_log_deadline(&session_log), USEC_NEVER);
        for (unsigned i = 0; i < 1000; i++)
                session_log_closed(&session_log, &session, SESSION_SHUTDOWN, START);
        ck_assert_uint_eq(session_log_deadline(&session_log), START + SESSION_LOG_SUMMARY_EVERY);

        session_log_summarise(&session_log, START + SESSION_LOG_SUMMARY_EVERY - 1);
        ck_assert_uint_eq(session_log_deadline(&session_log), START + SESSION_LOG_SUMMARY_EVERY);
        session_log_summarise(&session_log, START + SESSION_LOG_SUMMARY_EVERY);
        ck_assert_uint_eq(session_log_deadline(&session_log), USEC_NEVER);
        session_log_summarise(&session_log, START + 2 * SESSION_LOG_SUMMARY_EVERY);
        session_log_finish(&session_log);
        text = end();
        ck_assert_uint_eq(unit_count(text, "session created"), SESSION_LOG_BURST);
        ck_assert_uint_eq(unit_count(text, "session closed"), 0);
        ck_assert_uint_eq(unit_count(text, "<6>session events left out count=1000\n"), 1);
        ck_assert_uint_eq(unit_count(text, "left out"), 1);
        free(text);
}
END_TEST

START_TEST(the_end_says_the_rest)
{
        char *text;

        begin(LOG_INFO);
        for (unsigned i = 0; i < SESSION_LOG_BURST + 7; i++)
                session_log_opened(&session_log, &session, START);
        session_log_finish(&session_log);
        session_log_finish(&session_log);
        text = end();
        ck_assert_uint_eq(unit_count(text, "<6>session events left out count=7\n"), 1);
        ck_assert_uint_eq(unit_count(text, "left out"), 1);
        free(text);
}
END_TEST

/* After a long rest there is one burst again, not more. */
START_TEST(tokens_do_not_pile_up)
{
        char *text;

        begin(LOG_INFO);
        for (unsigned i = 0; i < 2 * SESSION_LOG_BURST; i++)
                session_log_opened(&session_log, &session, START + USEC_PER_DAY);
        session_log_finish(&session_log);
        text = end();
        ck_assert_uint_eq(left_out(text), SESSION_LOG_BURST);
        free(text);
}
END_TEST

static const struct {
        usec_t step;
        unsigned events; /* in each step */
} rhythms[] = {{USEC_PER_MSEC, 1},      {10 * USEC_PER_MSEC, 1},  {33 * USEC_PER_MSEC, 5},   {50 * USEC_PER_MSEC, 10},
               {74 * USEC_PER_MSEC, 5}, {99 * USEC_PER_MSEC, 10}, {149 * USEC_PER_MSEC, 10}, {10 * USEC_PER_SEC, 1000}};

/* An event; the number of those that were said so far. The log thread is given the time that it needs for them. */
static unsigned say_one(usec_t t)
{
        static unsigned said, written;
        uint64_t before = session_log.n_left_out;

        session_log_opened(&session_log, &session, t);
        said += session_log.n_left_out == before;
        for (unsigned i = 0; said - written >= 64 && i < 10000; i++) {
                written = unit_stderr_count("session created");
                (void)usleep(1000);
        }
        return said;
}

/* A minute of more events than may be said, in different rhythms: the rate is kept, and every event is accounted for.
 */
START_TEST(the_rate_is_steady)
{
        unsigned n_events = 0, n_said = 0, expected = SESSION_LOG_BURST + 60 * SESSION_LOG_PER_SEC;
        char *text;

        begin(LOG_INFO);
        for (; n_events < SESSION_LOG_BURST; n_events++)
                n_said = say_one(START);
        for (usec_t t = rhythms[_i].step; t <= USEC_PER_MINUTE; t += rhythms[_i].step) {
                for (unsigned i = 0; i < rhythms[_i].events; i++, n_events++)
                        n_said = say_one(START + t);
                session_log_summarise(&session_log, START + t);
        }
        session_log_finish(&session_log);
        text = end();
        ck_assert_uint_eq(unit_count(text, "lost"), 0);
        ck_assert_uint_eq(unit_count(text, "session created"), n_said);
        ck_assert_uint_eq(n_said + left_out(text), n_events);
        ck_assert_uint_le(n_said, expected + 1);
        ck_assert_uint_ge(n_said, expected - expected / 20);
        ck_assert_uint_le(unit_count(text, "left out"), 7);
        free(text);
}
END_TEST

static void *read_all(void *fd)
{
        char *text = calloc(1, 1 << 20);
        size_t size = 0;
        ssize_t n;

        while (text && (n = read(*(int *)fd, text + size, (1 << 20) - 1 - size)) > 0)
                for (ssize_t i = 0; i < n; i++)
                        if (text[size + (size_t)i]) { /* what filled the pipe is NUL bytes */
                                memmove(text + size, text + size + i, (size_t)(n - i));
                                size += (size_t)(n - i);
                                break;
                        }
        return text;
}

/* The number itself may find no room. Then it is kept and said when there is. */
START_TEST(a_number_that_found_no_room_is_kept)
{
        int fd = unit_stderr_stall();
        usec_t now = START;
        pthread_t reader;
        LogRecord filler;
        void *text;

        ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
        begin_on_stderr(LOG_INFO);
        for (unsigned i = 0; i < SESSION_LOG_BURST + 7; i++)
                session_log_opened(&session_log, &session, now);
        log_record_begin(&filler, &sentences[SENTENCE_SHUTDOWN_REQUESTED]);
        for (unsigned i = 0; i < 2 * LOG_RING_RECORDS; i++) {
                (void)log_writer_send(log_writer(log_, 0), &filler);
                (void)usleep(100); /* one may still be on its way from the ring to the pipe */
        }
        session_log_summarise(&session_log, now += SESSION_LOG_SUMMARY_EVERY);
        ck_assert_uint_ne(session_log_deadline(&session_log), USEC_NEVER);
        ck_assert_int_eq(pthread_create(&reader, NULL, read_all, &fd), 0);
        while (session_log_deadline(&session_log) != USEC_NEVER) { /* as soon as the log thread has made room */
                (void)usleep(1000);
                session_log_summarise(&session_log, now += SESSION_LOG_SUMMARY_EVERY);
        }
        log_ = log_free(log_);
        (void)close(STDERR_FILENO);
        ck_assert_int_eq(pthread_join(reader, &text), 0);
        ck_assert_ptr_nonnull(text);
        ck_assert_uint_eq(unit_count(text, "<6>session events left out count=7\n"), 1);
        ck_assert_uint_eq(unit_count(text, "left out"), 1);
        free(text);
}
END_TEST

/* What nobody wants to hear is neither said nor counted. */
START_TEST(below_the_level_nothing_is_left_out)
{
        char *text;

        begin(LOG_WARNING);
        for (unsigned i = 0; i < 10 * SESSION_LOG_BURST; i++) {
                session_log_opened(&session_log, &session, START);
                session_log_closed(&session_log, &session, SESSION_SHUTDOWN, START);
        }
        ck_assert_uint_eq(session_log_deadline(&session_log), USEC_NEVER);
        session_log_finish(&session_log);
        text = end();
        ck_assert_str_eq(text, "");
        free(text);
}
END_TEST

UNIT_SUITE("daemon/session-log", UNIT_TEST(a_session_is_told_with_its_fields), UNIT_TEST(the_largest_session_fits),
           UNIT_TEST(a_burst_then_silence_and_a_number), UNIT_TEST(the_end_says_the_rest),
           UNIT_TEST(tokens_do_not_pile_up), UNIT_LOOP(the_rate_is_steady, ELEMENTSOF(rhythms)),
           UNIT_TEST(a_number_that_found_no_room_is_kept), UNIT_TEST(below_the_level_nothing_is_left_out))
