/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <syslog.h>

#include "daemon/drops.h"
#include "daemon/sentences.h"
#include "relay/relay.h"
#include "unit.h"
#include "wire/udp.h"

#define START (1000 * USEC_PER_SEC)

static Relay *relay;
static Place places[10];
static Drops *drops;
static Log *log_;
static usec_t now;

/* A relay with so many listeners on 127.0.0.1. */
static void begin(unsigned n_listeners)
{
        static const PolicySettings settings = {.max_sessions = 10, .max_datagram = 65536};
        const Address any = {.family = AF_INET, .v4.s_addr = htonl(INADDR_LOOPBACK)};
        Policy *policy;

        ck_assert_int_eq(relay_new(&relay, 10, NULL), 0);
        ck_assert_int_eq(relay_add_policy(relay, &upstream_direct, &settings, &policy), 0);
        for (unsigned i = 0; i < n_listeners; i++) {
                const Listener *l;

                ck_assert_int_eq(relay_add_listener(relay, &listener_udp, udp_listen(&any), policy, &l), 0);
                places[i] = (Place){.bound = l->bound, .n_listeners = 1, .listeners = {l}};
        }
        unit_stderr_begin();
        ck_assert_int_eq(log_new(&log_, LOG_TARGET_STDERR, LOG_INFO, 1, &sentences[SENTENCE_RECORDS_LOST]), 0);
        ck_assert_int_eq(drops_new(&drops, places, n_listeners, log_writer(log_, 0)), 0);
        now = START;
}

static char *end(void)
{
        drops = drops_free(drops);
        log_ = log_free(log_);
        relay = relay_free(relay);
        return unit_stderr_end();
}

static Counter *verdicts(unsigned listener, Direction direction)
{
        return relay->listeners[listener]->stats.directions[direction].verdicts;
}

/* Looks every three seconds, as the control loop does. */
static void look_for(usec_t span)
{
        for (usec_t until = now + span; now < until; now += 3 * USEC_PER_SEC)
                drops_look(drops, now);
}

START_TEST(nothing_dropped_nothing_said)
{
        char *text;

        begin(2);
        counter_add(&verdicts(0, FORWARD)[VERDICT_FORWARDED], 1000);
        look_for(USEC_PER_HOUR);
        text = end();
        ck_assert_str_eq(text, "");
        free(text);
}
END_TEST

/* An hour of drops is two lines: the first ones, and all of them. */
START_TEST(drops_begin_once_and_end_once)
{
        char expected[1024], bound[ADDRESS_TEXT_MAX];
        char *text;

        begin(1);
        (void)address_format(bound, &relay->listeners[0]->bound);
        look_for(USEC_PER_MINUTE);
        counter_add(&verdicts(0, FORWARD)[VERDICT_TABLE_FULL], 5);
        for (unsigned i = 0; i < 1200; i++) {
                look_for(3 * USEC_PER_SEC);
                counter_add(&verdicts(0, FORWARD)[VERDICT_TABLE_FULL], 10);
        }
        look_for(USEC_PER_HOUR);
        text = end();
        (void)snprintf(expected, sizeof(expected),
                       "<4>datagrams are dropped listener=%s count=5 direction=forward reason=table_full "
                       "meaning=\"%s\"\n"
                       "<6>datagrams are no longer dropped listener=%s count=12005 direction=forward reason=table_full "
                       "meaning=\"%s\"\n",
                       bound, verdict_meaning(VERDICT_TABLE_FULL), bound, verdict_meaning(VERDICT_TABLE_FULL));
        ck_assert_str_eq(text, expected);
        free(text);
}
END_TEST

/* A pause of less than a minute is no end; after an end the count starts anew. */
START_TEST(a_minute_of_quiet_is_the_end)
{
        char *text;

        begin(1);
        for (unsigned i = 0; i < 5; i++) {
                counter_add(&verdicts(0, REPLY)[VERDICT_SEND_BUFFER_FULL], 1);
                look_for(57 * USEC_PER_SEC);
        }
        look_for(6 * USEC_PER_SEC);
        counter_add(&verdicts(0, REPLY)[VERDICT_SEND_BUFFER_FULL], 7);
        look_for(2 * USEC_PER_MINUTE);
        text = end();
        ck_assert_uint_eq(unit_count(text, "<4>datagrams are dropped "), 2);
        ck_assert_uint_eq(unit_count(text, "<6>datagrams are no longer dropped "), 2);
        ck_assert_uint_eq(unit_count(text, "direction=reply reason=send_buffer_full"), 4);
        ck_assert_uint_eq(unit_count(text, " count=1 "), 1);
        ck_assert_uint_eq(unit_count(text, " count=5 "), 1);
        ck_assert_uint_eq(unit_count(text, " count=7 "), 2);
        free(text);
}
END_TEST

/* Each listener, direction and reason is a state of its own. */
START_TEST(states_are_apart)
{
        char *text;

        begin(2);
        for (Verdict v = VERDICT_FORWARDED + 1; v < N_VERDICTS; v++) {
                counter_add(&verdicts(0, FORWARD)[v], 1);
                counter_add(&verdicts(1, REPLY)[v], 1);
        }
        look_for(3 * USEC_PER_SEC);
        text = end();
        ck_assert_uint_eq(unit_count(text, "<4>datagrams are dropped "), 2 * (N_VERDICTS - 2));
        ck_assert_uint_eq(unit_count(text, "direction=forward"), N_VERDICTS - 2);
        ck_assert_uint_eq(unit_count(text, "direction=reply"), N_VERDICTS - 2);
        for (Verdict v = VERDICT_FORWARDED + 1; v < N_VERDICTS; v++) {
                char reason[64];

                (void)snprintf(reason, sizeof(reason), " reason=%s ", verdict_name(v));
                ck_assert_uint_eq(unit_count(text, reason), v == VERDICT_NOT_ALLOWED ? 0 : 2); /* that was wanted */
        }
        free(text);
}
END_TEST

START_TEST(icmp_errors_are_a_state_too)
{
        char *text;

        begin(1);
        counter_add(&relay->listeners[0]->stats.icmp_errors, 3);
        look_for(3 * USEC_PER_SEC);
        counter_add(&relay->listeners[0]->stats.icmp_errors, 4);
        look_for(2 * USEC_PER_MINUTE);
        text = end();
        ck_assert_uint_eq(unit_count_lines(text), 2);
        ck_assert_uint_eq(unit_count(text, "<4>upstream reports errors "), 1);
        ck_assert_uint_eq(unit_count(text, "<6>upstream reports no more errors "), 1);
        ck_assert_uint_eq(unit_count(text, " count=3\n"), 1);
        ck_assert_uint_eq(unit_count(text, " count=7\n"), 1);
        free(text);
}
END_TEST

START_TEST(without_listeners)
{
        char *text;

        begin(0);
        look_for(USEC_PER_MINUTE);
        ck_assert_ptr_null(drops_free(NULL));
        text = end();
        ck_assert_str_eq(text, "");
        free(text);
}
END_TEST

UNIT_SUITE("daemon/drops", UNIT_TEST(nothing_dropped_nothing_said), UNIT_TEST(drops_begin_once_and_end_once),
           UNIT_TEST(a_minute_of_quiet_is_the_end), UNIT_TEST(states_are_apart), UNIT_TEST(icmp_errors_are_a_state_too),
           UNIT_TEST(without_listeners))
