/* SPDX-License-Identifier: MIT */
#include <syslog.h>

#include "daemon/options.h"
#include "unit.h"

static Options options;
static UnitText problems;

/* Parses the words up to a NULL; the mistakes are in `problems` then. */
static unsigned parse(const char *const *argv)
{
        int argc = 0;
        unsigned n;

        while (argv[argc])
                argc++;
        if (problems.to)
                unit_text_done(&problems);
        unit_text_init(&problems);
        n = options_parse(&options, argc, (char *const *)(uintptr_t)argv, problems.to);
        ck_assert_uint_eq(unit_count_lines(unit_text(&problems)), n);
        return n;
}

#define PARSE(...) parse((const char *const[]){"udp46", __VA_ARGS__, NULL})

static void check_endpoint(const char *text)
{
        char buffer[ENDPOINT_LIST_TEXT_MAX];

        ck_assert_str_eq(endpoint_list_format(buffer, &options.settings.upstream), text);
}

START_TEST(nothing_given)
{
        ck_assert_uint_eq(PARSE(NULL), 0);
        ck_assert_uint_eq(options.settings.given, 0);
        ck_assert_ptr_null(options.config_path);
        ck_assert_uint_eq(options.n_listen, 0);
        ck_assert(!options.check_config && !options.version && !options.help && !options.metrics_enabled);
}
END_TEST

START_TEST(values_behind_a_space_or_an_equals_sign)
{
        ck_assert_uint_eq(PARSE("--upstream", "[2001:db8::1]:1", "--session-timeout=7s", "-max-sessions", "3",
                                "-log-level=DEBUG", "--config=/a=b", "--read-buffer-size", "1500", "--write-timeout=1s",
                                "--unreplied-timeout=2s", "--reply-refresh=3s", "--segmentation-offload=no",
                                "--source-address=2001:db8:5::1 2001:db8:6::/64", "--source-ports", "20000-29999",
                                "--source-prefix=2001:db8:64::/96", "--bind-to-device", "eth1", "--traffic-class=ef",
                                "--fragment-datagrams=no", "--http-hosts=relay.example", "--http-show-clients=yes",
                                "--http-session-labels", "true", "--failover-sessions=stay", "--failover-timeout=5s",
                                "--failback-delay=6s", "--probe-payload=00ff", "--probe-interval=1s",
                                "--resolve-interval=4s", "--reply-from=[2001:db8::1]", "--allow-from=192.0.2.0/24",
                                "--deny-from", "192.0.2.7", "--max-unreplied-sessions=9", "--new-session-limit-burst=8",
                                "--new-session-limit-interval=7s", "--client-limit-burst=6",
                                "--client-limit-interval=5s", "--amplification-limit=4"),
                          0);
        check_endpoint("[2001:db8::1]:1");
        ck_assert_uint_eq(options.settings.resolve_interval, 4 * USEC_PER_SEC);
        ck_assert_uint_eq(options.settings.allow_from.items[0].length, 24);
        ck_assert_uint_eq(options.settings.deny_from.items[0].length, 32);
        ck_assert_uint_eq(options.settings.max_unreplied_sessions, 9);
        ck_assert_uint_eq(options.settings.new_session_limit.burst, 8);
        ck_assert_uint_eq(options.settings.new_session_limit.interval, 7 * USEC_PER_SEC);
        ck_assert_uint_eq(options.settings.client_limit.burst, 6);
        ck_assert_uint_eq(options.settings.client_limit.interval, 5 * USEC_PER_SEC);
        ck_assert_uint_eq(options.settings.amplification_limit, 4);
        ck_assert_uint_eq(options.settings.session_timeout, 7 * USEC_PER_SEC);
        ck_assert_uint_eq(options.settings.unreplied_timeout, 2 * USEC_PER_SEC);
        ck_assert_uint_eq(options.settings.reply_refresh, 3 * USEC_PER_SEC);
        ck_assert_uint_eq(options.settings.write_timeout, USEC_PER_SEC);
        ck_assert_int_eq(options.settings.failover_sessions, FAILOVER_STAY);
        ck_assert_uint_eq(options.settings.failover_timeout, 5 * USEC_PER_SEC);
        ck_assert_uint_eq(options.settings.failback_delay, 6 * USEC_PER_SEC);
        ck_assert_uint_eq(options.settings.max_sessions, 3);
        ck_assert_uint_eq(options.settings.max_datagram_size, 1500);
        ck_assert_int_eq(options.settings.log_level, LOG_DEBUG);
        ck_assert_int_eq(options.settings.segmentation_offload, OFFLOAD_NO);
        ck_assert_uint_eq(options.settings.source_addresses.n, 2);
        ck_assert_uint_eq(options.settings.source_ports.low, 20000);
        ck_assert_uint_eq(options.settings.source_ports.high, 29999);
        ck_assert_uint_eq(options.settings.source_prefix.items[0].length, 96);
        ck_assert_str_eq(options.settings.bind_to_device, "eth1");
        ck_assert_int_eq(options.settings.traffic_class, 184);
        ck_assert(!options.settings.fragment_datagrams);
        ck_assert_str_eq(options.settings.http_hosts, "relay.example");
        ck_assert(options.settings.http_show_clients && options.settings.http_session_labels);
        ck_assert_uint_eq(options.settings.given, (UINT64_C(1) << N_SETTINGS) - 1);
        ck_assert_str_eq(options.config_path, "/a=b");
}
END_TEST

START_TEST(no_wait_is_given)
{
        ck_assert_uint_eq(PARSE("--write-timeout=0"), 0);
        ck_assert_uint_eq(options.settings.write_timeout, 0);
        ck_assert(settings_given(&options.settings, SETTING_WRITE_TIMEOUT));
}
END_TEST

START_TEST(listeners_repeat)
{
        char text[ADDRESS_TEXT_MAX];

        ck_assert_uint_eq(PARSE("--listen", "127.0.0.1:1", "--listen=0.0.0.0:2", "--listen", "127.0.0.1:1"), 0);
        ck_assert_uint_eq(options.n_listen, 3);
        ck_assert_str_eq(address_format(text, &options.listen[0]), "127.0.0.1:1");
        ck_assert_str_eq(address_format(text, &options.listen[1]), "0.0.0.0:2");
}
END_TEST

START_TEST(as_many_listeners_as_there_is_room_for)
{
        const char *argv[2 + OPTIONS_LISTEN_MAX + 1] = {"udp46"};

        for (size_t i = 1; i < ELEMENTSOF(argv); i++)
                argv[i] = "--listen=127.0.0.1:1";
        argv[ELEMENTSOF(argv) - 1] = NULL;
        ck_assert_uint_eq(parse(argv), 1);
        ck_assert_ptr_nonnull(strstr(unit_text(&problems), "more than 64 listeners"));
        ck_assert_uint_eq(options.n_listen, OPTIONS_LISTEN_MAX);
        argv[1 + OPTIONS_LISTEN_MAX] = NULL;
        ck_assert_uint_eq(parse(argv), 0);
        ck_assert_uint_eq(options.n_listen, OPTIONS_LISTEN_MAX);
}
END_TEST

START_TEST(switches)
{
        ck_assert_uint_eq(PARSE("--check-config", "--version=true", "--help=1", "--metrics.enabled",
                                "--metrics.session-labels=true"),
                          0);
        ck_assert(options.check_config && options.version && options.help && options.metrics_enabled &&
                  options.metrics_session_labels);
        ck_assert_uint_eq(PARSE("--check-config=false", "--version=0", "--metrics.enabled=false"), 0);
        ck_assert(!options.check_config && !options.version && !options.metrics_enabled);
}
END_TEST

/* A switch takes no word that follows it. */
START_TEST(a_switch_has_no_argument)
{
        ck_assert_uint_eq(PARSE("--check-config", "false"), 1);
        ck_assert_str_eq(unit_text(&problems), "false: belongs to no flag\n");
        ck_assert(options.check_config);
}
END_TEST

START_TEST(metrics)
{
        char text[ADDRESS_TEXT_MAX];

        ck_assert_uint_eq(PARSE("--metrics.listen", "nonsense"), 0);
        ck_assert_uint_eq(PARSE("--metrics.enabled=false", "--metrics.listen", "nonsense"), 0);
        ck_assert_uint_eq(PARSE("--metrics.listen", "nonsense", "--metrics.enabled"), 1);
        ck_assert_ptr_nonnull(strstr(unit_text(&problems), "--metrics.listen nonsense: "));
        ck_assert_uint_eq(PARSE("--metrics.enabled"), 0);
        ck_assert_str_eq(address_format(text, &options.metrics_listen), "127.0.0.1:9108");
        ck_assert_uint_eq(PARSE("--metrics.enabled", "--metrics.listen=127.0.0.2:80"), 0);
        ck_assert_str_eq(address_format(text, &options.metrics_listen), "127.0.0.2:80");
}
END_TEST

static const struct {
        const char *first, *second, *problem; /* what the line begins with */
} mistakes[] = {
                {"upstream", NULL, "upstream: belongs to no flag"},
                {"", NULL, ": belongs to no flag"},
                {"-", NULL, "-: belongs to no flag"},
                {"--", NULL, "--: unknown flag"},
                {"--=", NULL, "--=: unknown flag"},
                {"--=x", NULL, "--=x: unknown flag"},
                {"---upstream=[::1]:1", NULL, "---upstream=[::1]:1: unknown flag"},
                {"--up=[::1]:1", NULL, "--up=[::1]:1: unknown flag"},
                {"--upstreams=[::1]:1", NULL, "--upstreams=[::1]:1: unknown flag"},
                {"--Upstream=[::1]:1", NULL, "--Upstream=[::1]:1: unknown flag"},
                {"--UPSTREAM", NULL, "--UPSTREAM: unknown flag"},
                {"--upstream", NULL, "--upstream: needs a value"},
                {"--listen", NULL, "--listen: needs a value"},
                {"--config", NULL, "--config: needs a value"},
                {"--upstream=", NULL, "--upstream : expected"},
                {"--upstream", "", "--upstream : expected"},
                {"--upstream=192.0.2.1:5", NULL, "--upstream 192.0.2.1:5: an IPv4 address"},
                {"--upstream=[::ffff:192.0.2.1]:5", NULL, "--upstream [::ffff:192.0.2.1]:5: an IPv4-mapped"},
                {"--upstream", "[::1]:70000", "--upstream [::1]:70000: the port"},
                {"--upstream=[::1]:1", "--upstream=[::1]:1", "--upstream [::1]:1: named twice"},
                {"--max-sessions=1", "--max-sessions=2", "--max-sessions 2: given twice"},
                {"--max-sessions=1", "--max-sessions=1", "--max-sessions 1: given twice"},
                {"--config=a", "--config=b", "--config: given twice"},
                {"--help", "--help", "--help: given twice"},
                {"--metrics.listen=127.0.0.1:1", "--metrics.listen=127.0.0.1:2", "--metrics.listen: given twice"},
                {"--help=perhaps", NULL, "--help=perhaps: must be true or false"},
                {"--check-config=", NULL, "--check-config=: must be true or false"},
                {"--session-timeout", "-5s", "--session-timeout -5s: expected a time span"},
                {"--session-timeout", "0", "--session-timeout 0: must be from"},
                {"--session-timeout", "99999999999999999999d",
                 "--session-timeout 99999999999999999999d: expected a time span"},
                {"--max-sessions", "-3", "--max-sessions -3: must be"},
                {"--max-sessions=1000001", NULL, "--max-sessions 1000001: must be"},
                {"--read-buffer-size=0", NULL, "--read-buffer-size 0: must be"},
                {"--bind-to-device=eth0/1", NULL, "--bind-to-device eth0/1: expected the name of one"},
                {"--traffic-class=256", NULL, "--traffic-class 256: must be none, copy, a name"},
                {"--traffic-class=best", NULL, "--traffic-class best: must be none, copy, a name"},
                {"--fragment-datagrams=maybe", NULL, "--fragment-datagrams maybe: must be yes or no"},
                {"--log-level=loud", NULL, "--log-level loud: must be"},
                {"--listen=localhost:5", NULL, "--listen localhost:5: expected a literal IPv4"},
                {"--listen=[::1]:5", NULL, "--listen [::1]:5: expected a literal IPv4"},
                {"--listen=127.0.0.1:0", NULL, "--listen 127.0.0.1:0: the port"},
                {"--listen=127.0.0.1", NULL, "--listen 127.0.0.1: expected"},
};

START_TEST(mistakes_are_named)
{
        ck_assert_uint_eq(PARSE(mistakes[_i].first, mistakes[_i].second), 1);
        ck_assert_msg(strncmp(unit_text(&problems), mistakes[_i].problem, strlen(mistakes[_i].problem)) == 0,
                      "%s instead of %s", problems.text, mistakes[_i].problem);
}
END_TEST

START_TEST(all_mistakes_are_told)
{
        ck_assert_uint_eq(PARSE("one", "--two", "--max-sessions=three", "--listen", "four", "--upstream"), 5);
        ck_assert_ptr_nonnull(strstr(unit_text(&problems), "one: "));
        ck_assert_ptr_nonnull(strstr(unit_text(&problems), "--two: "));
        ck_assert_ptr_nonnull(strstr(unit_text(&problems), "three: "));
        ck_assert_ptr_nonnull(strstr(unit_text(&problems), "four: "));
        ck_assert_ptr_nonnull(strstr(unit_text(&problems), "--upstream: needs a value"));
}
END_TEST

START_TEST(help_names_every_flag)
{
        static const char *const plain[] = {
                        "--config ",         "--check-config ",           "--listen ",  "--metrics.enabled ",
                        "--metrics.listen ", "--metrics.session-labels ", "--version ", "--help "};
        char flag[64];
        UnitText help;

        unit_text_init(&help);
        options_help(help.to);
        for (size_t i = 0; i < ELEMENTSOF(plain); i++)
                ck_assert_msg(strstr(unit_text(&help), plain[i]), "--help does not name %s", plain[i]);
        for (SettingKey key = 0; key < N_SETTINGS; key++) {
                (void)snprintf(flag, sizeof(flag), "--%s ", setting_specs[key].flag);
                ck_assert_msg(strstr(help.text, flag), "--help does not name %s", flag);
        }
        unit_text_done(&help);
}
END_TEST

UNIT_SUITE("daemon/options", UNIT_TEST(nothing_given), UNIT_TEST(values_behind_a_space_or_an_equals_sign),
           UNIT_TEST(no_wait_is_given), UNIT_TEST(listeners_repeat), UNIT_TEST(as_many_listeners_as_there_is_room_for),
           UNIT_TEST(switches), UNIT_TEST(a_switch_has_no_argument), UNIT_TEST(metrics),
           UNIT_LOOP(mistakes_are_named, ELEMENTSOF(mistakes)), UNIT_TEST(all_mistakes_are_told),
           UNIT_TEST(help_names_every_flag))
