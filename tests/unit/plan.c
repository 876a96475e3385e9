/* SPDX-License-Identifier: MIT */
/* What a configuration means on a host with 160 local ports: 40000 to 40009 stay with it, the upper half is 80. */
#include <sys/resource.h>

#include "daemon/limits.h"
#include "daemon/plan.h"
#include "unit.h"

#define PATH "udp46.conf"
#define RELAY "[Relay]\nUpstream=[::1]:1\n"

enum { N_FILES = 4096, N_DESCRIPTORS = 10 };

static Config *load(const char *text)
{
        static const Settings flags;
        Config *config = NULL;
        unsigned n;

        unit_write(PATH, text, strlen(text));
        ck_assert_int_eq(config_load(&config, PATH, true, &flags, stderr, &n), 0);
        ck_assert_uint_eq(n, 0);
        return config;
}

static bool own_host(rlim_t n_files)
{
        const struct rlimit files = {n_files, n_files};

        return unit_own_network() && unit_own_ports(40000, 40159) && setrlimit(RLIMIT_NOFILE, &files) == 0;
}

static const struct {
        const char *text;
        unsigned n_names; /* of "relay", "a", "b" */
        uint64_t wanted, sessions, host_ports;
        const char *lowered; /* a part of the reason */
} wholes[] = {
                {RELAY, 1, 80, 80, 150, NULL},
                {RELAY "MaxSessions=0\n", 1, 80, 80, 150, NULL},
                {RELAY "MaxSessions=150\n", 1, 150, 150, 150, NULL},
                {RELAY "MaxSessions=151\n", 1, 151, 150, 150, "ports"},
                {RELAY "[Relay a]\nMaxSessions=151\n", 2, 80, 80, 150, NULL},
                /* addresses: as many as there are pairs, whose ports the kernel does not choose */
                {RELAY "SourceAddress=2001:db8:5::1\n", 1, 80, 80, 70, NULL},
                {RELAY "SourceAddress=2001:db8:5::1 2001:db8:5::2\n", 1, 160, 160, 70, NULL},
                {RELAY "SourceAddress=2001:db8:5::/64\nMaxSessions=1000\n", 1, 1000, 1000, 70, NULL},
                {RELAY "SourceAddress=2001:db8:5::/64\nMaxSessions=5\n", 1, 5, 5, 70, NULL},
                {RELAY "SourceAddress=2001:db8:5::/64\n", 1, 1280, 1280, 70, NULL},
                {RELAY "SourceAddress=2001:db8:5::1\nSourcePorts=20000-20009\n", 1, 10, 10, 150, NULL},
                {RELAY "SourceAddress=2001:db8:5::1\nSourcePorts=40000-40019\n", 1, 10, 10, 140, NULL},
                {RELAY "SourceAddress=2001:db8:5::1\nSourcePorts=1024-65535\n", 1, 64502,
                 4096 - LIMITS_FILES_RESERVED - 10, 0, "LimitNOFILE"},
                {RELAY "SourcePorts=20000-20009\n", 1, 80, 80, 150, NULL},
                /* names that share their addresses share the pairs, too */
                {RELAY "SourceAddress=2001:db8:5::1\n[Relay a]\n[Relay b]\n", 3, 80, 80, 70, NULL},
                {RELAY "SourceAddress=2001:db8:5::1\n[Relay a]\nSourceAddress=2001:db8:5::2\n[Relay b]\n", 3, 160, 160,
                 70, NULL},
                {RELAY "SourceAddress=2001:db8:5::1\n[Relay a]\nSourcePorts=20000-20009\n", 2, 90, 90, 70, NULL},
                {RELAY "SourceAddress=2001:db8:5::1\n[Relay a]\nSourceAddress=\n", 2, 160, 160, 70, NULL},
                {RELAY "[Relay a]\nSourceAddress=2001:db8:5::1\n[Relay b]\nSourceAddress=2001:db8:5::1\n", 3, 160, 160,
                 70, NULL},
                /* a section that no listener uses has no part in it */
                {RELAY "[Relay a]\nSourceAddress=2001:db8:5::1\n", 1, 80, 80, 150, NULL},
                /* a prefix of clients: they bring their own ports, what bounds them is the default or a number */
                {RELAY "SourcePrefix=2001:db8:64::/96\n", 1, 80, 80, 150, NULL},
                {RELAY "SourcePrefix=2001:db8:64::/96\nMaxSessions=1000\n", 1, 1000, 1000, 150, NULL},
};

/* Nothing but reserved ports: no session could ever be. */
START_TEST(ports_that_all_stay_with_the_host_are_a_mistake)
{
        _cleanup_(cleanup_config_free)
                        Config *bad = load(RELAY "SourceAddress=2001:db8:5::1\nSourcePorts=40000-40009\n");
        _cleanup_(cleanup_config_free)
                        Config *good = load(RELAY "SourceAddress=2001:db8:5::1\nSourcePorts=40000-40010\n");
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *problems = open_memstream(&text, &size);

        ck_assert_ptr_nonnull(problems);
        if (own_host(N_FILES)) {
                ck_assert_uint_eq(config_check(good, problems), 0);
                ck_assert_uint_eq(config_check(bad, problems), 1);
        }
        (void)fclose(problems);
        if (size > 0)
                ck_assert_msg(strstr(text, "[Relay]: SourcePorts=: all of them stay with the host"), "%s", text);
}
END_TEST

START_TEST(the_whole)
{
        static const char *const names[] = {"relay", "a", "b"};
        _cleanup_(cleanup_config_free) Config *config = load(wholes[_i].text);
        PlanWhole whole;

        if (!own_host(N_FILES))
                return;
        whole = plan_whole(config, names, wholes[_i].n_names, N_DESCRIPTORS);
        ck_assert_uint_eq(whole.wanted, wholes[_i].wanted);
        ck_assert_uint_eq(whole.sessions, wholes[_i].sessions);
        ck_assert_uint_eq(whole.host_ports, wholes[_i].host_ports);
        if (wholes[_i].lowered)
                ck_assert_msg(whole.lowered && strstr(whole.lowered, wholes[_i].lowered), "%s", whole.lowered);
        else
                ck_assert_msg(!whole.lowered, "%s", whole.lowered);
}
END_TEST

#define PAIRS RELAY "SourceAddress=2001:db8:5::/64\n"

static const struct {
        const char *text;
        rlim_t n_files;
        size_t n_descriptors;
        uint64_t sessions;
        const char *lowered;
} few_files[] = {
                {RELAY, 200, 10, 80, NULL},
                {RELAY, 200, 20, 80, NULL},
                {RELAY, 200, 21, 79, "LimitNOFILE"},
                {RELAY "MaxSessions=1000\n", 200, 36, 64, "LimitNOFILE"},
                {PAIRS, 800, 36, 447, "LimitNOFILE"},
                {PAIRS "MaxSessions=447\n", 800, 36, 447, NULL},
                {RELAY, 200, 1000, 50, "LimitNOFILE"}, /* the half, whatever listeners have */
                /* each session has a second socket, each upstream that is probed has one */
                {RELAY "ReplyFrom=[2001:db8::1]:1\n", 200, 10, 40, "LimitNOFILE"},
                {RELAY "ReplyFrom=[2001:db8::1]:1\nMaxSessions=40\n", 200, 10, 40, NULL},
                {RELAY "Upstream=[::1]:2\nProbePayload=00\n", 200, 18, 80, NULL},
                {RELAY "Upstream=[::1]:2\nProbePayload=00\n", 200, 20, 78, "LimitNOFILE"},
                {RELAY "Upstream=[::1]:2\n", 200, 20, 80, NULL},
};

/* Descriptors that listeners hold are not for sessions. */
START_TEST(few_files_mean_few_sessions)
{
        static const char *const names[] = {"relay"};
        _cleanup_(cleanup_config_free) Config *config = load(few_files[_i].text);
        PlanWhole whole;

        if (!own_host(few_files[_i].n_files))
                return;
        whole = plan_whole(config, names, 1, few_files[_i].n_descriptors);
        ck_assert_uint_eq(whole.sessions, few_files[_i].sessions);
        ck_assert_int_eq(!whole.lowered, !few_files[_i].lowered);
        ck_assert_msg(!whole.lowered || strstr(whole.lowered, few_files[_i].lowered), "%s", whole.lowered);
}
END_TEST

START_TEST(a_name_has_no_more_than_the_whole)
{
        _cleanup_(cleanup_config_free)
                        Config *config = load(RELAY "[Relay a]\nMaxSessions=7\n[Relay b]\nMaxSessions=9\n");
        const PlanWhole whole = {.sessions = 8};

        ck_assert_uint_eq(plan_policy(config, "relay", &whole).max_sessions, 8);
        ck_assert_uint_eq(plan_policy(config, "a", &whole).max_sessions, 7);
        ck_assert_uint_eq(plan_policy(config, "b", &whole).max_sessions, 8);
}
END_TEST

static const struct {
        const char *text;
        Manner expected;
        const char *device;
} manners[] = {{"", {0}, ""},
               {"TrafficClass=none\nFragmentDatagrams=yes\n", {0}, ""},
               {"TrafficClass=copy\n", {.marking = MARKING_COPY}, ""},
               {"TrafficClass=cs0\n", {.marking = MARKING_FIXED}, ""},
               {"TrafficClass=255\n", {.marking = MARKING_FIXED, .tclass = 255}, ""},
               {"FragmentDatagrams=no\n", {.whole = true}, ""},
               {"BindToDevice=fifteen-letters\n", {0}, "fifteen-letters"},
               {"BindToDevice=eth0\n[Relay relay]\nBindToDevice=\nTrafficClass=ef\n",
                {.marking = MARKING_FIXED, .tclass = 184},
                ""}};

START_TEST(the_manner_of_a_name)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_(cleanup_config_free) Config *config = NULL;
        const PlanWhole whole = {.sessions = 8};
        PolicySettings settings;

        ck_assert_int_gt(asprintf(&text, "%s%s", RELAY, manners[_i].text), 0);
        config = load(text);
        settings = plan_policy(config, "relay", &whole);
        ck_assert(manner_equal(&settings.manner, &manners[_i].expected));
        ck_assert_str_eq(settings.device, manners[_i].device);
}
END_TEST

START_TEST(sources_of_a_name)
{
        _cleanup_(cleanup_config_free)
                        Config *config = load(RELAY "SourceAddress=2001:db8:5::1 2001:db8:6::/64\n[Relay a]\n"
                                                    "SourceAddress=\nSourcePrefix=2001:db8:64::/96\n"
                                                    "SourcePorts=20000-20009\n[Relay b]\nSourceAddress=\n");
        SourcesSettings s;

        if (!own_host(N_FILES))
                return;
        s = plan_sources(config, "relay");
        ck_assert_uint_eq(s.listed.n, 2);
        ck_assert_uint_eq(s.clients.length, 0);
        ck_assert(s.ports.low == 40080 && s.ports.high == 40159);
        ck_assert(s.reserved.low == 40000 && s.reserved.high == 40009);
        s = plan_sources(config, "a");
        ck_assert_uint_eq(s.listed.n, 0);
        ck_assert_uint_eq(s.clients.length, 96);
        ck_assert(s.ports.low == 20000 && s.ports.high == 20009);
        s = plan_sources(config, "b");
        ck_assert(!sources_wanted(&s));
}
END_TEST

UNIT_SUITE("daemon/plan", UNIT_TEST(ports_that_all_stay_with_the_host_are_a_mistake),
           UNIT_LOOP(the_whole, ELEMENTSOF(wholes)), UNIT_LOOP(few_files_mean_few_sessions, ELEMENTSOF(few_files)),
           UNIT_TEST(a_name_has_no_more_than_the_whole), UNIT_LOOP(the_manner_of_a_name, ELEMENTSOF(manners)),
           UNIT_TEST(sources_of_a_name))
