/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <syslog.h>

#include "daemon/settings.h"
#include "unit.h"

static const struct {
        SettingKey key;
        const char *text, *printed; /* NULL: as the text */
} good[] = {
                {SETTING_UPSTREAM, "[2001:db8:100::10]:51820", NULL},
                {SETTING_UPSTREAM, "[fe80::1%lo]:51820", NULL},
                {SETTING_UPSTREAM, "home.example:51820", NULL},
                {SETTING_RESOLVE_INTERVAL, "0", "0s"},
                {SETTING_RESOLVE_INTERVAL, "1s", NULL},
                {SETTING_RESOLVE_INTERVAL, "1000ms", "1s"},
                {SETTING_RESOLVE_INTERVAL, "60", "1min"},
                {SETTING_RESOLVE_INTERVAL, "30d", NULL},
                {SETTING_SESSION_TIMEOUT, "180", "3min"},
                {SETTING_SESSION_TIMEOUT, "1ms", NULL},
                {SETTING_SESSION_TIMEOUT, "30d", NULL},
                {SETTING_SESSION_TIMEOUT, "1h30m", "1h 30min"},
                {SETTING_UNREPLIED_TIMEOUT, "1.5s", "1s 500ms"},
                {SETTING_REPLY_REFRESH, "12m", "12min"},
                {SETTING_WRITE_TIMEOUT, "5s", NULL},
                {SETTING_WRITE_TIMEOUT, "0", "0s"},
                {SETTING_WRITE_TIMEOUT, "0ms", "0s"},
                {SETTING_WRITE_TIMEOUT, "1ms", NULL},
                {SETTING_MAX_SESSIONS, "0", NULL},
                {SETTING_MAX_SESSIONS, "1", NULL},
                {SETTING_MAX_SESSIONS, "1000000", NULL},
                {SETTING_MAX_SESSIONS, "000000000000000042", "42"},
                {SETTING_MAX_DATAGRAM_SIZE, "1", NULL},
                {SETTING_MAX_DATAGRAM_SIZE, "65536", NULL},
                {SETTING_MAX_DATAGRAM_SIZE, "2147483647", NULL},
                {SETTING_SEGMENTATION_OFFLOAD, "auto", NULL},
                {SETTING_SEGMENTATION_OFFLOAD, "yes", NULL},
                {SETTING_SEGMENTATION_OFFLOAD, "no", NULL},
                {SETTING_SOURCE_ADDRESS, "", NULL},
                {SETTING_SOURCE_ADDRESS, "2001:db8:5::1", NULL},
                {SETTING_SOURCE_ADDRESS, " 2001:DB8::1 \t2001:db8:6::/64 ", "2001:db8::1 2001:db8:6::/64"},
                {SETTING_SOURCE_PORTS, "", NULL},
                {SETTING_SOURCE_PORTS, "1024-65535", NULL},
                {SETTING_SOURCE_PORTS, "2000-2000", NULL},
                {SETTING_SOURCE_PREFIX, "", NULL},
                {SETTING_SOURCE_PREFIX, "2001:db8:64::/96", NULL},
                {SETTING_BIND_TO_DEVICE, "", NULL},
                {SETTING_BIND_TO_DEVICE, "eth0", NULL},
                {SETTING_BIND_TO_DEVICE, "a", NULL},
                {SETTING_BIND_TO_DEVICE, "br-lan.42@x#1%", NULL},
                {SETTING_TRAFFIC_CLASS, "none", NULL},
                {SETTING_TRAFFIC_CLASS, "COPY", "copy"},
                {SETTING_TRAFFIC_CLASS, "0", "cs0"},
                {SETTING_TRAFFIC_CLASS, "3", NULL},
                {SETTING_TRAFFIC_CLASS, "184", "ef"},
                {SETTING_TRAFFIC_CLASS, "185", NULL},
                {SETTING_TRAFFIC_CLASS, "255", NULL},
                {SETTING_FRAGMENT_DATAGRAMS, "yes", NULL},
                {SETTING_FRAGMENT_DATAGRAMS, "0", "no"},
                {SETTING_HTTP_HOSTS, "", NULL},
                {SETTING_HTTP_HOSTS, "relay.example vps_1.example", NULL},
                {SETTING_HTTP_SHOW_CLIENTS, "yes", NULL},
                {SETTING_HTTP_SHOW_CLIENTS, "FALSE", "no"},
                {SETTING_HTTP_SESSION_LABELS, "on", "yes"},
                {SETTING_LOG_LEVEL, "debug", NULL},
                {SETTING_LOG_LEVEL, "info", NULL},
                {SETTING_LOG_LEVEL, "warn", NULL},
                {SETTING_LOG_LEVEL, "error", NULL},
                {SETTING_LOG_LEVEL, "DeBuG", "debug"},
};

static const struct {
        SettingKey key;
        const char *text;
} bad[] = {
                {SETTING_UPSTREAM, ""},
                {SETTING_UPSTREAM, "192.0.2.1:51820"},
                {SETTING_UPSTREAM, "[::ffff:192.0.2.1]:51820"},
                {SETTING_UPSTREAM, "[::]:51820"},
                {SETTING_UPSTREAM, "[ff02::1]:51820"},
                {SETTING_UPSTREAM, "[2001:db8::1]:0"},
                {SETTING_SOURCE_ADDRESS, "192.0.2.1"},
                {SETTING_SOURCE_ADDRESS, "2001:db8::1,2001:db8::2"},
                {SETTING_SOURCE_ADDRESS, "fe80::1"},
                {SETTING_SOURCE_ADDRESS, "2001:db8::1%eth0"},
                {SETTING_SOURCE_ADDRESS, "::"},
                {SETTING_SOURCE_ADDRESS, "ff02::1"},
                {SETTING_SOURCE_ADDRESS, "::ffff:192.0.2.1"},
                {SETTING_SOURCE_ADDRESS, "2001:db8::1/64"},
                {SETTING_SOURCE_ADDRESS, "2001:db8::/129"},
                {SETTING_SOURCE_ADDRESS, "2001:db8::/0"},
                {SETTING_SOURCE_ADDRESS, "2001:db8::/"},
                {SETTING_SOURCE_ADDRESS, "2001:db8::/64/64"},
                {SETTING_SOURCE_ADDRESS, "[2001:db8::1]"},
                {SETTING_SOURCE_ADDRESS, "::1 ::1 ::1 ::1 ::1 ::1 ::1 ::1 ::1 ::1 ::1 ::1 ::1 ::1 ::1 ::1 ::1"},
                {SETTING_SOURCE_PORTS, "1023-2000"},
                {SETTING_SOURCE_PORTS, "2000"},
                {SETTING_SOURCE_PORTS, "2000-"},
                {SETTING_SOURCE_PORTS, "-2000"},
                {SETTING_SOURCE_PORTS, "2001-2000"},
                {SETTING_SOURCE_PORTS, "2000-65536"},
                {SETTING_SOURCE_PORTS, "2000 - 3000"},
                {SETTING_SOURCE_PREFIX, "2001:db8:64::/64"},
                {SETTING_SOURCE_PREFIX, "2001:db8:64::1/96"},
                {SETTING_SOURCE_PREFIX, "2001:db8:64::/96 2001:db8:65::/96"},
                {SETTING_BIND_TO_DEVICE, "sixteen-letters-"},
                {SETTING_BIND_TO_DEVICE, "."},
                {SETTING_BIND_TO_DEVICE, ".."},
                {SETTING_BIND_TO_DEVICE, "a/b"},
                {SETTING_BIND_TO_DEVICE, "eth0:1"},
                {SETTING_BIND_TO_DEVICE, "eth0 eth1"},
                {SETTING_BIND_TO_DEVICE, "eth\t0"},
                {SETTING_BIND_TO_DEVICE, "eth\x7f"},
                {SETTING_BIND_TO_DEVICE, "\"eth0\""},
                {SETTING_BIND_TO_DEVICE, "\xc3\xa9th0"},
                {SETTING_TRAFFIC_CLASS, ""},
                {SETTING_TRAFFIC_CLASS, "256"},
                {SETTING_TRAFFIC_CLASS, "-1"},
                {SETTING_TRAFFIC_CLASS, "-2"},
                {SETTING_TRAFFIC_CLASS, "0xb8"},
                {SETTING_TRAFFIC_CLASS, "cs8"},
                {SETTING_TRAFFIC_CLASS, "af14"},
                {SETTING_TRAFFIC_CLASS, "af"},
                {SETTING_TRAFFIC_CLASS, "ef "},
                {SETTING_TRAFFIC_CLASS, "fixed"},
                {SETTING_TRAFFIC_CLASS, "yes"},
                {SETTING_FRAGMENT_DATAGRAMS, ""},
                {SETTING_FRAGMENT_DATAGRAMS, "auto"},
                {SETTING_HTTP_HOSTS, "relay.example:9108"},
                {SETTING_HTTP_HOSTS, "relay.example,vps.example"},
                {SETTING_HTTP_SHOW_CLIENTS, ""},
                {SETTING_HTTP_SESSION_LABELS, "2"},
                {SETTING_RESOLVE_INTERVAL, ""},
                {SETTING_RESOLVE_INTERVAL, "999ms"},
                {SETTING_RESOLVE_INTERVAL, "1us"},
                {SETTING_RESOLVE_INTERVAL, "-1"},
                {SETTING_RESOLVE_INTERVAL, "31d"},
                {SETTING_RESOLVE_INTERVAL, "off"},
                {SETTING_RESOLVE_INTERVAL, "infinity"},
                {SETTING_RESOLVE_INTERVAL, "60 #"},
                {SETTING_SESSION_TIMEOUT, ""},
                {SETTING_SESSION_TIMEOUT, "0"},
                {SETTING_SESSION_TIMEOUT, "999us"},
                {SETTING_SESSION_TIMEOUT, "30d 1us"},
                {SETTING_SESSION_TIMEOUT, "-5s"},
                {SETTING_SESSION_TIMEOUT, "18446744073709551616us"},
                {SETTING_SESSION_TIMEOUT, "infinity"},
                {SETTING_UNREPLIED_TIMEOUT, "0s"},
                {SETTING_REPLY_REFRESH, "31d"},
                {SETTING_WRITE_TIMEOUT, "1y"},
                {SETTING_WRITE_TIMEOUT, ""},
                {SETTING_WRITE_TIMEOUT, "999us"},
                {SETTING_WRITE_TIMEOUT, "-0"},
                {SETTING_WRITE_TIMEOUT, "no"},
                {SETTING_MAX_SESSIONS, ""},
                {SETTING_MAX_SESSIONS, "-3"},
                {SETTING_MAX_SESSIONS, "+3"},
                {SETTING_MAX_SESSIONS, " 3"},
                {SETTING_MAX_SESSIONS, "3 "},
                {SETTING_MAX_SESSIONS, "3k"},
                {SETTING_MAX_SESSIONS, "0x10"},
                {SETTING_MAX_SESSIONS, "1.5"},
                {SETTING_MAX_SESSIONS, "1000001"},
                {SETTING_MAX_SESSIONS, "18446744073709551616"},
                {SETTING_MAX_SESSIONS, "99999999999999999999999999999999999999"},
                {SETTING_MAX_DATAGRAM_SIZE, "0"},
                {SETTING_MAX_DATAGRAM_SIZE, "-1"},
                {SETTING_MAX_DATAGRAM_SIZE, "2147483648"},
                {SETTING_MAX_DATAGRAM_SIZE, "64K"},
                {SETTING_SEGMENTATION_OFFLOAD, ""},
                {SETTING_SEGMENTATION_OFFLOAD, "on"},
                {SETTING_LOG_LEVEL, ""},
                {SETTING_LOG_LEVEL, "verbose"},
                {SETTING_LOG_LEVEL, "warning"},
                {SETTING_LOG_LEVEL, "info "},
                {SETTING_LOG_LEVEL, "6"},
};

static void set(Settings *s, SettingKey key, const char *text)
{
        const char *why = NULL;

        ck_assert_msg(settings_parse(s, key, text, &why) == 0, "%s=%s: %s", setting_specs[key].key, text, why);
}

/* Is `Key=value` a line of what is printed? */
static bool prints(const Settings *s, int whole_relay, SettingKey key, const char *value)
{
        char line[SETTING_TEXT_MAX + 64];
        bool found = false;
        UnitText text;

        unit_text_init(&text);
        settings_print(s, text.to, whole_relay);
        (void)snprintf(line, sizeof(line), "%s=%s\n", setting_specs[key].key, value);
        for (const char *p = strstr(unit_text(&text), line); p && !found; p = strstr(p + 1, line))
                found = p == text.text || p[-1] == '\n';
        unit_text_done(&text);
        return found;
}

START_TEST(good_values)
{
        Settings s = {0};

        set(&s, good[_i].key, good[_i].text);
        ck_assert_uint_eq(s.given, UINT64_C(1) << good[_i].key);
        ck_assert(prints(&s, 1, good[_i].key, good[_i].printed ? good[_i].printed : good[_i].text));
}
END_TEST

START_TEST(bad_values)
{
        const char *why = NULL;
        Settings s = {0};

        ck_assert_msg(settings_parse(&s, bad[_i].key, bad[_i].text, &why) == -EINVAL, "accepted: %s=%s",
                      setting_specs[bad[_i].key].key, bad[_i].text);
        ck_assert_msg(why && *why, "no reason for %s=%s", setting_specs[bad[_i].key].key, bad[_i].text);
        ck_assert_uint_eq(s.given, 0);
}
END_TEST

START_TEST(levels_are_those_of_syslog)
{
        static const struct {
                const char *text;
                int level;
        } levels[] = {{"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warn", LOG_WARNING}, {"error", LOG_ERR}};
        Settings s = {0};

        set(&s, SETTING_LOG_LEVEL, levels[_i].text);
        ck_assert_int_eq(s.log_level, levels[_i].level);
}
END_TEST

/* The numbers of the registry (RFC 2474, 2597, 3246, 5865, 8622); and every number is itself. */
START_TEST(every_name_of_a_class)
{
        static const struct {
                const char *name;
                int dscp;
        } names[] = {{"cs0", 0},   {"cs1", 8},   {"cs2", 16},  {"cs3", 24},  {"cs4", 32},        {"cs5", 40},
                     {"cs6", 48},  {"cs7", 56},  {"af11", 10}, {"af12", 12}, {"af13", 14},       {"af21", 18},
                     {"af22", 20}, {"af23", 22}, {"af31", 26}, {"af32", 28}, {"af33", 30},       {"af41", 34},
                     {"af42", 36}, {"af43", 38}, {"ef", 46},   {"le", 1},    {"voice-admit", 44}};
        char text[SETTING_TEXT_MAX];
        Settings s = {0};

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                set(&s, SETTING_TRAFFIC_CLASS, names[i].name);
                ck_assert_int_eq(s.traffic_class, names[i].dscp * 4);
                ck_assert(prints(&s, 0, SETTING_TRAFFIC_CLASS, names[i].name));
        }
        for (int i = 0; i < 256; i++) {
                (void)snprintf(text, sizeof(text), "%d", i);
                set(&s, SETTING_TRAFFIC_CLASS, text);
                ck_assert_int_eq(s.traffic_class, i);
                setting_specs[SETTING_TRAFFIC_CLASS].format(text, &s.traffic_class);
                s.traffic_class = -1;
                set(&s, SETTING_TRAFFIC_CLASS, text);
                ck_assert_int_eq(s.traffic_class, i);
        }
}
END_TEST

START_TEST(every_setting_is_described)
{
        for (SettingKey key = 0; key < N_SETTINGS; key++) {
                const SettingSpec *spec = &setting_specs[key];

                ck_assert(spec->key && *spec->key);
                ck_assert(spec->flag && *spec->flag);
                ck_assert(spec->argument && *spec->argument);
                ck_assert(spec->fallback && *spec->fallback);
                ck_assert(spec->help && *spec->help);
                ck_assert(spec->parse && spec->format);
                ck_assert_uint_gt(spec->size, 0);
                for (SettingKey other = 0; other < key; other++) {
                        ck_assert_str_ne(setting_specs[other].key, spec->key);
                        ck_assert_str_ne(setting_specs[other].flag, spec->flag);
                        ck_assert_uint_ne(setting_specs[other].offset, spec->offset);
                }
        }
}
END_TEST

START_TEST(what_was_given_lies_over_what_was_not)
{
        Settings under = {0}, over = {0};

        set(&under, SETTING_UPSTREAM, "[2001:db8::1]:1");
        set(&under, SETTING_MAX_SESSIONS, "5");
        set(&under, SETTING_LOG_LEVEL, "warn");
        set(&over, SETTING_MAX_SESSIONS, "0");
        set(&over, SETTING_SESSION_TIMEOUT, "7s");
        set(&over, SETTING_LOG_LEVEL, "debug");
        settings_overlay(&under, &over);
        ck_assert_str_eq(under.upstream.items[0].host, "2001:db8::1");
        ck_assert_uint_eq(under.max_sessions, 0);
        ck_assert_uint_eq(under.session_timeout, 7 * USEC_PER_SEC);
        ck_assert_int_eq(under.log_level, LOG_DEBUG);
        ck_assert(settings_given(&under, SETTING_UPSTREAM));
        ck_assert(settings_given(&under, SETTING_SESSION_TIMEOUT));
        ck_assert(!settings_given(&under, SETTING_WRITE_TIMEOUT));
}
END_TEST

/* Each setting alone moves, and nothing else with it. */
START_TEST(each_setting_is_laid_over_alone)
{
        static const char *const values[N_SETTINGS] = {
                        [SETTING_UPSTREAM] = "home.example:51820 [2001:db8::1]",
                        [SETTING_REPLY_FROM] = "[2001:db8::1]:7 [2001:db8:1::/48]",
                        [SETTING_RESOLVE_INTERVAL] = "10s",
                        [SETTING_FAILOVER_SESSIONS] = "stay",
                        [SETTING_FAILOVER_TIMEOUT] = "7s",
                        [SETTING_FAILBACK_DELAY] = "8s",
                        [SETTING_PROBE_PAYLOAD] = "00 fF 10",
                        [SETTING_PROBE_INTERVAL] = "9s",
                        [SETTING_ALLOW_FROM] = "192.0.2.0/24 192.0.2.1 /etc/udp46/allowed",
                        [SETTING_DENY_FROM] = "198.51.100.7",
                        [SETTING_MAX_UNREPLIED_SESSIONS] = "3",
                        [SETTING_NEW_SESSION_LIMIT_BURST] = "4",
                        [SETTING_NEW_SESSION_LIMIT_INTERVAL] = "5s",
                        [SETTING_CLIENT_LIMIT_BURST] = "6",
                        [SETTING_CLIENT_LIMIT_INTERVAL] = "7s",
                        [SETTING_AMPLIFICATION_LIMIT] = "8",
                        [SETTING_SESSION_TIMEOUT] = "1s",
                        [SETTING_UNREPLIED_TIMEOUT] = "2s",
                        [SETTING_REPLY_REFRESH] = "3s",
                        [SETTING_MAX_SESSIONS] = "4",
                        [SETTING_MAX_DATAGRAM_SIZE] = "5",
                        [SETTING_WRITE_TIMEOUT] = "6s",
                        [SETTING_SEGMENTATION_OFFLOAD] = "no",
                        [SETTING_SOURCE_ADDRESS] = "2001:db8:5::1 2001:db8:6::/64",
                        [SETTING_SOURCE_PORTS] = "20000-29999",
                        [SETTING_SOURCE_PREFIX] = "2001:db8:64::/96",
                        [SETTING_BIND_TO_DEVICE] = "eth0",
                        [SETTING_TRAFFIC_CLASS] = "copy",
                        [SETTING_FRAGMENT_DATAGRAMS] = "yes",
                        [SETTING_HTTP_HOSTS] = "relay.example vps.example",
                        [SETTING_HTTP_SHOW_CLIENTS] = "yes",
                        [SETTING_HTTP_SESSION_LABELS] = "yes",
                        [SETTING_LOG_LEVEL] = "error",
        };
        Settings under = {0}, over = {0}, expected = {0};
        SettingKey key = (SettingKey)_i;

        set(&over, key, values[key]);
        set(&expected, key, values[key]);
        if (key != SETTING_UPSTREAM)
                over.upstream.n = 1; /* was not given */
        settings_overlay(&under, &over);
        ck_assert_int_eq(memcmp(&under, &expected, sizeof(under)), 0);
}
END_TEST

START_TEST(defaults)
{
        Settings s = {0};

        settings_complete(&s);
        ck_assert_uint_eq(s.given, 0);
        ck_assert_uint_eq(s.upstream.n, 0);
        ck_assert_uint_eq(s.resolve_interval, USEC_PER_MINUTE);
        ck_assert_uint_eq(s.session_timeout, 180 * USEC_PER_SEC);
        ck_assert_uint_eq(s.unreplied_timeout, 30 * USEC_PER_SEC);
        ck_assert_uint_eq(s.reply_refresh, 12 * USEC_PER_MINUTE);
        ck_assert_uint_eq(s.write_timeout, 10 * USEC_PER_MSEC);
        ck_assert_uint_eq(s.max_sessions, 0);
        ck_assert_uint_eq(s.max_datagram_size, 65536);
        ck_assert_str_eq(s.bind_to_device, "");
        ck_assert_int_eq(s.traffic_class, TRAFFIC_CLASS_NONE);
        ck_assert(s.fragment_datagrams);
        ck_assert_int_eq(s.log_level, LOG_INFO);
}
END_TEST

START_TEST(given_values_are_kept)
{
        Settings s = {0};

        set(&s, SETTING_RESOLVE_INTERVAL, "11s");
        set(&s, SETTING_SESSION_TIMEOUT, "10s");
        set(&s, SETTING_UNREPLIED_TIMEOUT, "9s");
        set(&s, SETTING_REPLY_REFRESH, "8s");
        set(&s, SETTING_WRITE_TIMEOUT, "7s");
        set(&s, SETTING_MAX_SESSIONS, "6");
        set(&s, SETTING_MAX_DATAGRAM_SIZE, "5");
        set(&s, SETTING_LOG_LEVEL, "error");
        settings_complete(&s);
        ck_assert_uint_eq(s.resolve_interval, 11 * USEC_PER_SEC);
        ck_assert_uint_eq(s.session_timeout, 10 * USEC_PER_SEC);
        ck_assert_uint_eq(s.unreplied_timeout, 9 * USEC_PER_SEC);
        ck_assert_uint_eq(s.reply_refresh, 8 * USEC_PER_SEC);
        ck_assert_uint_eq(s.write_timeout, 7 * USEC_PER_SEC);
        ck_assert_uint_eq(s.max_sessions, 6);
        ck_assert_uint_eq(s.max_datagram_size, 5);
        ck_assert_int_eq(s.log_level, LOG_ERR);
}
END_TEST

START_TEST(a_refused_wait_tells_that_there_may_be_none)
{
        const char *why = NULL;
        Settings s = {0};

        ck_assert_int_eq(settings_parse(&s, SETTING_WRITE_TIMEOUT, "0.5ms", &why), -EINVAL);
        ck_assert_str_eq(why, "must be 0, or from 1ms to 30d");
        ck_assert_int_eq(settings_parse(&s, SETTING_WRITE_TIMEOUT, "soon", &why), -EINVAL);
        ck_assert_str_eq(why, "expected a time span like 180s, 3min or 500ms");
        ck_assert_int_eq(settings_parse(&s, SETTING_SESSION_TIMEOUT, "0", &why), -EINVAL);
        ck_assert_str_eq(why, "must be from 1ms to 30d");
        ck_assert_int_eq(settings_parse(&s, SETTING_RESOLVE_INTERVAL, "0.5s", &why), -EINVAL);
        ck_assert_str_eq(why, "must be 0, or from 1s to 30d");
        ck_assert_int_eq(settings_parse(&s, SETTING_RESOLVE_INTERVAL, "soon", &why), -EINVAL);
        ck_assert_str_eq(why, "expected a time span like 60s or 5min, or 0");
}
END_TEST

/* A nought that was given is a value like any other, and no gap for a default to fill. */
START_TEST(no_wait_is_kept)
{
        Settings s = {0}, over = {0};

        set(&s, SETTING_WRITE_TIMEOUT, "0");
        settings_complete(&s);
        ck_assert_uint_eq(s.write_timeout, 0);
        ck_assert(prints(&s, true, SETTING_WRITE_TIMEOUT, "0s"));
        set(&s, SETTING_RESOLVE_INTERVAL, "0");
        settings_complete(&s);
        ck_assert_uint_eq(s.resolve_interval, 0);
        ck_assert(prints(&s, true, SETTING_RESOLVE_INTERVAL, "0s"));
        s = (Settings){0};
        set(&s, SETTING_WRITE_TIMEOUT, "5s");
        set(&over, SETTING_WRITE_TIMEOUT, "0");
        settings_overlay(&s, &over);
        settings_complete(&s);
        ck_assert_uint_eq(s.write_timeout, 0);
}
END_TEST

static const struct {
        const char *session, *unreplied, *refresh; /* NULL: not given */
        usec_t expected_unreplied, expected_refresh;
} ages[] = {
                {"10s", NULL, NULL, 10 * USEC_PER_SEC, 40 * USEC_PER_SEC},
                {"10s", "20s", NULL, 10 * USEC_PER_SEC, 40 * USEC_PER_SEC},
                {"10s", "10s", NULL, 10 * USEC_PER_SEC, 40 * USEC_PER_SEC},
                {"10s", "5s", "1s", 5 * USEC_PER_SEC, USEC_PER_SEC},
                {NULL, "1h", NULL, 180 * USEC_PER_SEC, 12 * USEC_PER_MINUTE},
                {"1h", NULL, NULL, 30 * USEC_PER_SEC, 4 * USEC_PER_HOUR},
                {"1h", NULL, "2h", 30 * USEC_PER_SEC, 2 * USEC_PER_HOUR},
                {"30d", "30d", NULL, 30 * USEC_PER_DAY, 30 * USEC_PER_DAY},
};

/* Unreplied is never longer than the session's; replies refresh for four times the session's. */
START_TEST(ages_follow_the_session_timeout)
{
        Settings s = {0};

        if (ages[_i].session)
                set(&s, SETTING_SESSION_TIMEOUT, ages[_i].session);
        if (ages[_i].unreplied)
                set(&s, SETTING_UNREPLIED_TIMEOUT, ages[_i].unreplied);
        if (ages[_i].refresh)
                set(&s, SETTING_REPLY_REFRESH, ages[_i].refresh);
        settings_complete(&s);
        ck_assert_uint_eq(s.unreplied_timeout, ages[_i].expected_unreplied);
        ck_assert_uint_eq(s.reply_refresh, ages[_i].expected_refresh);
}
END_TEST

/* Whatever was given, what is printed of it is accepted and means the same. */
START_TEST(what_is_printed_is_accepted)
{
        static const char *const spans[] = {"1ms", "1500us", "7s", "180s", "8d", "30d"};
        char text[SETTING_TEXT_MAX];
        Settings s = {0};

        set(&s, SETTING_SESSION_TIMEOUT, spans[_i]);
        settings_complete(&s);
        for (SettingKey key = SETTING_SESSION_TIMEOUT; key < N_SETTINGS; key++) {
                const SettingSpec *spec = &setting_specs[key];
                Settings again = {0};

                spec->format(text, (const char *)&s + spec->offset);
                set(&again, key, text);
                ck_assert_int_eq(memcmp((const char *)&s + spec->offset, (const char *)&again + spec->offset,
                                        spec->size),
                                 0);
        }
}
END_TEST

START_TEST(a_section_of_a_name_prints_no_level)
{
        Settings s = {0};

        settings_complete(&s);
        ck_assert(prints(&s, 1, SETTING_LOG_LEVEL, "info"));
        ck_assert(!prints(&s, 0, SETTING_LOG_LEVEL, "info"));
        ck_assert(prints(&s, 0, SETTING_SESSION_TIMEOUT, "3min"));
}
END_TEST

START_TEST(a_probe_in_time)
{
        Settings s = {0};

        set(&s, SETTING_FAILOVER_TIMEOUT, "9s");
        settings_complete(&s);
        ck_assert_uint_eq(s.probe_interval, 3 * USEC_PER_SEC);
        s = (Settings){0};
        settings_complete(&s);
        ck_assert_uint_eq(s.probe_interval, 5 * USEC_PER_SEC);
        s = (Settings){0};
        set(&s, SETTING_FAILOVER_TIMEOUT, "9s");
        set(&s, SETTING_PROBE_INTERVAL, "4s");
        settings_complete(&s);
        ck_assert_uint_eq(s.probe_interval, 4 * USEC_PER_SEC); /* which config_check() refuses */
}
END_TEST

UNIT_SUITE("daemon/settings", UNIT_TEST(a_probe_in_time), UNIT_LOOP(good_values, ELEMENTSOF(good)),
           UNIT_LOOP(bad_values, ELEMENTSOF(bad)), UNIT_LOOP(levels_are_those_of_syslog, 4),
           UNIT_TEST(every_name_of_a_class), UNIT_TEST(every_setting_is_described),
           UNIT_TEST(what_was_given_lies_over_what_was_not), UNIT_LOOP(each_setting_is_laid_over_alone, N_SETTINGS),
           UNIT_TEST(defaults), UNIT_TEST(given_values_are_kept), UNIT_TEST(no_wait_is_kept),
           UNIT_TEST(a_refused_wait_tells_that_there_may_be_none),
           UNIT_LOOP(ages_follow_the_session_timeout, ELEMENTSOF(ages)), UNIT_LOOP(what_is_printed_is_accepted, 6),
           UNIT_TEST(a_section_of_a_name_prints_no_level))
