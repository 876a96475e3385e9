/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>

#include "http/metrics.h"
#include "unit.h"

static ViewPlace places[4];
static ViewName names[1];
static View view;
static UnitText text;
static const char *const losses[VIEW_LOSSES] = {"a", "b", "c", "d", "e"};

static void init(void)
{
        for (size_t i = 0; i < ELEMENTSOF(places); i++)
                places[i] = (ViewPlace){.name = "relay",
                                        .first = i,
                                        .n_workers = 1,
                                        .bound = {.family = AF_INET, .port = (uint16_t)(1000 + i)}};
        names[0] = (ViewName){.name = "relay", .upstream = "[2001:db8::1]:1", .n_targets = 1};
        names[0].targets[0] = (ViewTarget){.upstream = "[2001:db8::1]:1"};
        view = (View){.version = "1",
                      .commit = "2",
                      .date = "3",
                      .places = places,
                      .n_places = 2,
                      .names = names,
                      .n_names = 1,
                      .restored.losses = losses,
                      .reload_trouble = "",
                      .now = 1000 * USEC_PER_SEC};
        unit_text_init(&text);
}

static const char *written(void)
{
        metrics_write(text.to, &view);
        return unit_text(&text);
}

static void check_has(const char *line)
{
        ck_assert_msg(unit_count(text.text, line) == 1, "%s", line);
}

START_TEST(labels_are_escaped)
{
        init();
        view.version = "a\"b\\c\nd";
        names[0].name = "\\\\\"\"\n\n";
        (void)written();
        check_has("\nudp46_build_info{version=\"a\\\"b\\\\c\\nd\",commit=\"2\",date=\"3\"} 1\n");
        check_has("\nudp46_name_sessions_limit{name=\"\\\\\\\\\\\"\\\"\\n\\n\"} 0\n");
        unit_text_done(&text);
}
END_TEST

START_TEST(every_line_is_a_sample_or_a_comment)
{
        init();
        names[0].name = "x\ny";
        for (const char *line = written(); *line; line = strchr(line, '\n') + 1)
                ck_assert(strncmp(line, "# HELP ", 7) == 0 || strncmp(line, "# TYPE ", 7) == 0 ||
                          strncmp(line, "udp46_", 6) == 0 || strncmp(line, "process_", 8) == 0);
        unit_text_done(&text);
}
END_TEST

START_TEST(numbers)
{
        init();
        view.sessions = (1ULL << 53) - 1;
        counter_set(&places[0].stats.directions[FORWARD].bytes, UINT64_MAX);
        names[0].targets[0].resolved = view.now - USEC_PER_SEC / 2;
        names[0].n_moves = 7;
        (void)written();
        check_has("\nudp46_sessions_active 9007199254740991\n");
        check_has("\nudp46_bytes_total{listener=\"0.0.0.0:1000\",direction=\"client_to_upstream\"} "
                  "18446744073709551615\n");
        check_has("\nudp46_upstream_resolve_age_seconds{name=\"relay\",upstream=\"[2001:db8::1]:1\"} 0.5\n");
        check_has("\nudp46_upstream_address_changes_total{name=\"relay\"} 7\n");
        check_has("\nudp46_upstream_reply_age_seconds{name=\"relay\",upstream=\"[2001:db8::1]:1\"} NaN\n");
        unit_text_done(&text);
}
END_TEST

START_TEST(buckets_are_cumulative)
{
        init();
        for (unsigned i = 0; i < 2; i++) { /* one in each bucket of each place */
                for (unsigned k = 0; k < HISTOGRAM_BUCKETS - 1; k++)
                        histogram_observe(&places[i].stats.session_duration, histogram_bounds[k] * USEC_PER_SEC);
                histogram_observe(&places[i].stats.session_duration, 7200 * USEC_PER_SEC + 250000);
        }
        (void)written();
        check_has("\nudp46_session_duration_seconds_bucket{le=\"1\"} 2\n");
        check_has("\nudp46_session_duration_seconds_bucket{le=\"5\"} 4\n");
        check_has("\nudp46_session_duration_seconds_bucket{le=\"3600\"} 20\n");
        check_has("\nudp46_session_duration_seconds_bucket{le=\"+Inf\"} 22\n");
        check_has("\nudp46_session_duration_seconds_sum 27462.500000\n");
        check_has("\nudp46_session_duration_seconds_count 22\n");
        check_has("\nudp46_session_idle_seconds_bucket{le=\"+Inf\"} 0\n");
        unit_text_done(&text);
}
END_TEST

START_TEST(the_last_reload)
{
        init();
        (void)written();
        check_has("\nudp46_config_last_reload_successful 1\n");
        unit_text_done(&text);
        init();
        view.reload_trouble = "udp46.conf:1: Foo=: unknown key";
        (void)written();
        check_has("\nudp46_config_last_reload_successful 0\n");
        unit_text_done(&text);
}
END_TEST

START_TEST(each_upstream_of_a_name)
{
        init();
        names[0].n_targets = 2;
        names[0].targets[0] = (ViewTarget){
                        .upstream = "[2001:db8::1]:1", .drained = true, .sessions = 4, .why = "no such name"};
        names[0].targets[1] = (ViewTarget){.upstream = "[2001:db8::2]:1",
                                           .chosen = true,
                                           .down = true,
                                           .address = {.family = AF_INET6, .port = 1},
                                           .last_reply = view.now - USEC_PER_SEC};
        (void)written();
        check_has("\nudp46_upstream_drained{name=\"relay\",upstream=\"[2001:db8::1]:1\"} 1\n");
        check_has("\nudp46_upstream_drained{name=\"relay\",upstream=\"[2001:db8::2]:1\"} 0\n");
        check_has("\nudp46_upstream_chosen{name=\"relay\",upstream=\"[2001:db8::1]:1\"} 0\n");
        check_has("\nudp46_upstream_chosen{name=\"relay\",upstream=\"[2001:db8::2]:1\"} 1\n");
        check_has("\nudp46_upstream_down{name=\"relay\",upstream=\"[2001:db8::2]:1\"} 1\n");
        check_has("\nudp46_upstream_sessions{name=\"relay\",upstream=\"[2001:db8::1]:1\"} 4\n");
        check_has("\nudp46_upstream_resolved{name=\"relay\",upstream=\"[2001:db8::1]:1\"} 0\n");
        check_has("\nudp46_upstream_resolved{name=\"relay\",upstream=\"[2001:db8::2]:1\"} 1\n");
        check_has("\nudp46_upstream_resolve_failing{name=\"relay\",upstream=\"[2001:db8::1]:1\"} 1\n");
        check_has("\nudp46_upstream_resolve_failing{name=\"relay\",upstream=\"[2001:db8::2]:1\"} 0\n");
        check_has("\nudp46_upstream_reply_age_seconds{name=\"relay\",upstream=\"[2001:db8::1]:1\"} NaN\n");
        check_has("\nudp46_upstream_reply_age_seconds{name=\"relay\",upstream=\"[2001:db8::2]:1\"} 1\n");
        check_has("\nudp46_upstream_info{name=\"relay\",upstream=\"[2001:db8::2]:1\",address=\"[::]:1\"} 1\n");
        unit_text_done(&text);
}
END_TEST

/* On different devices: one label, one series. */
START_TEST(places_with_one_address_add_up)
{
        init();
        view.n_places = 4;
        for (size_t i = 0; i < 4; i++) {
                places[i].kernel_drops = 1 + i;
                counter_set(&places[i].stats.sessions_created, 10);
        }
        places[3].bound = places[1].bound;
        places[3].first = 1;
        (void)written();
        check_has("\nudp46_listeners 3\n");
        check_has("\nudp46_workers{listener=\"0.0.0.0:1001\"} 2\n");
        check_has("\nudp46_listener_kernel_drops_total{listener=\"0.0.0.0:1001\"} 6\n");
        check_has("\nudp46_listener_kernel_drops_total{listener=\"0.0.0.0:1002\"} 3\n");
        check_has("\nudp46_sessions_created_total 40\n");
        ck_assert_uint_eq(places[1].kernel_drops, 2); /* the view stays as it was */
        unit_text_done(&text);
}
END_TEST

START_TEST(one_session)
{
        ListingRow row = {.id = 0xabc,
                          .client = {.family = AF_INET, .v4.s_addr = inet_addr("192.0.2.10"), .port = 62000},
                          .upstream = {.family = AF_INET6, .port = 2},
                          .source = {.family = AF_INET6, .port = 3},
                          .listener = {.family = AF_INET, .port = 4}};

        init();
        row.traffic[FORWARD] = (SessionTraffic){.datagrams = 5, .bytes = 6, .last = 7 * USEC_PER_SEC};
        for (SessionMetric m = 0; m < N_SESSION_METRICS; m++) {
                metrics_write_session_head(text.to, m);
                metrics_write_session(text.to, -(int64_t)USEC_PER_SEC, m, &row);
        }
        (void)unit_text(&text);
        check_has("udp46_session_info{session_id=\"0000000000000abc\",listener=\"0.0.0.0:4\",client_address=\"192.0.2."
                  "10\","
                  "client_port=\"62000\",upstream_local_address=\"::\",upstream_local_port=\"3\","
                  "upstream_remote_address=\"::\",upstream_remote_port=\"2\"} 1\n");
        check_has("_packets_total{session_id=\"0000000000000abc\",listener=\"0.0.0.0:4\","
                  "direction=\"client_to_upstream\"} 5\n");
        check_has("_bytes_total{session_id=\"0000000000000abc\",listener=\"0.0.0.0:4\","
                  "direction=\"client_to_upstream\"} 6\n");
        check_has("_timestamp_seconds{session_id=\"0000000000000abc\",listener=\"0.0.0.0:4\","
                  "direction=\"client_to_upstream\"} 6\n");
        check_has("_timestamp_seconds{session_id=\"0000000000000abc\",listener=\"0.0.0.0:4\","
                  "direction=\"upstream_to_client\"} 0\n");
        unit_text_done(&text);
}
END_TEST

UNIT_SUITE("http/metrics", UNIT_TEST(labels_are_escaped), UNIT_TEST(every_line_is_a_sample_or_a_comment),
           UNIT_TEST(numbers), UNIT_TEST(buckets_are_cumulative), UNIT_TEST(places_with_one_address_add_up),
           UNIT_TEST(each_upstream_of_a_name), UNIT_TEST(the_last_reload), UNIT_TEST(one_session))
