/* SPDX-License-Identifier: MIT */
/*
 * Believes: a number that is out of any sensible range is a typing mistake. Refuses: time-outs above 30 days, because
 * sessions that never end are sessions that leak.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "base/cleanup.h"
#include "daemon/settings.h"

#define UNREPLIED_TIMEOUT (30 * USEC_PER_SEC) /* conntrack's nf_conntrack_udp_timeout */
#define REPLY_REFRESH_TIMEOUTS 4
#define SPAN_MAX (30 * USEC_PER_DAY)
/* A full default buffer is some 200 KB: longer than this, and what is waited for is a congested link, not a burst. */
#define WRITE_TIMEOUT (10 * USEC_PER_MSEC)

enum { MAX_SESSIONS_LIMIT = 1000000, AMPLIFICATION_MAX = 1000 };

static int parse_upstream(const char *text, void *ret, const char **ret_why)
{
        return endpoint_list_add(text, ret, ret_why);
}

static void format_upstream(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        (void)endpoint_list_format(buffer, value);
}

static int parse_span(const char *text, void *ret, const char **ret_why)
{
        usec_t span;

        *ret_why = "expected a time span like 180s, 3min or 500ms";
        if (usec_parse(text, &span) < 0)
                return -EINVAL;
        *ret_why = "must be from 1ms to 30d";
        if (span < USEC_PER_MSEC || span > SPAN_MAX)
                return -EINVAL;
        memcpy(ret, &span, sizeof(span));
        return 0;
}

static void format_span(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        usec_t span;

        memcpy(&span, value, sizeof(span));
        (void)usec_format(buffer, span);
}

static int parse_span_from(usec_t least, const char *text, void *ret)
{
        const char *why;
        usec_t span;

        if (parse_span(text, &span, &why) < 0 || span < least)
                return -EINVAL;
        memcpy(ret, &span, sizeof(span));
        return 0;
}

/* Three looks, a second apart, are the least that tells silence from a lost datagram (daemon/failover.c). */
static int parse_failover_timeout(const char *text, void *ret, const char **ret_why)
{
        *ret_why = "must be a time span from 3s to 30d";
        return parse_span_from(3 * USEC_PER_SEC, text, ret);
}

static int parse_probe_interval(const char *text, void *ret, const char **ret_why)
{
        *ret_why = "must be a time span from 1s to 30d";
        return parse_span_from(USEC_PER_SEC, text, ret);
}

static int parse_wait(const char *text, void *ret, const char **ret_why)
{
        usec_t wait;
        int r = parse_span(text, ret, ret_why);

        if (r >= 0 || usec_parse(text, &wait) < 0)
                return r;
        *ret_why = "must be 0, or from 1ms to 30d";
        if (wait > 0)
                return -EINVAL;
        memcpy(ret, &wait, sizeof(wait));
        return 0;
}

static int parse_interval(const char *text, void *ret, const char **ret_why)
{
        usec_t interval;

        *ret_why = "expected a time span like 60s or 5min, or 0";
        if (usec_parse(text, &interval) < 0)
                return -EINVAL;
        *ret_why = "must be 0, or from 1s to 30d";
        if ((interval > 0 && interval < USEC_PER_SEC) || interval > SPAN_MAX)
                return -EINVAL;
        memcpy(ret, &interval, sizeof(interval));
        return 0;
}

static int parse_number(const char *text, uint64_t max, uint64_t *ret)
{
        size_t length = strlen(text);

        if (length == 0 || length > 18 || strspn(text, "0123456789") != length)
                return -EINVAL;
        *ret = strtoull(text, NULL, 10);
        return *ret > max ? -EINVAL : 0;
}

static int parse_sessions(const char *text, void *ret, const char **ret_why)
{
        *ret_why = "must be a number from 0 (the default) to 1000000";
        return parse_number(text, MAX_SESSIONS_LIMIT, ret);
}

static int parse_burst(const char *text, void *ret, const char **ret_why)
{
        *ret_why = "must be a number from 0 (no limit) to 1000000";
        return parse_number(text, RATE_BURST_MAX, ret);
}

static int parse_rate_interval(const char *text, void *ret, const char **ret_why)
{
        usec_t interval;

        *ret_why = "expected a time span like 10s or 1min";
        if (usec_parse(text, &interval) < 0)
                return -EINVAL;
        *ret_why = "must be from 1s to 1h";
        if (interval < USEC_PER_SEC || interval > RATE_INTERVAL_MAX)
                return -EINVAL;
        memcpy(ret, &interval, sizeof(interval));
        return 0;
}

static int parse_amplification(const char *text, void *ret, const char **ret_why)
{
        *ret_why = "must be a number from 0 (no limit) to 1000";
        return parse_number(text, AMPLIFICATION_MAX, ret);
}

static int parse_clients(const char *text, void *ret, const char **ret_why)
{
        return client_list_add(text, ret, ret_why);
}

static void format_clients(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        (void)client_list_format(buffer, value);
}

static int parse_size(const char *text, void *ret, const char **ret_why)
{
        *ret_why = "must be a number of bytes from 1 to 2147483647";
        if (parse_number(text, INT32_MAX, ret) < 0 || *(uint64_t *)ret == 0)
                return -EINVAL;
        return 0;
}

static void format_number(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        (void)snprintf(buffer, SETTING_TEXT_MAX, "%" PRIu64, *(const uint64_t *)value);
}

static int parse_replies(const char *text, void *ret, const char **ret_why)
{
        return reply_sources_add(text, ret, ret_why);
}

static void format_replies(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        (void)reply_sources_format(buffer, value);
}

/* The number of a word in a table; *ret_why is the caller's. */
static int parse_word(const char *text, const char *const *words, size_t n, void *ret)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(words[i], text) == 0) {
                        *(int *)ret = (int)i;
                        return 0;
                }
        return -EINVAL;
}

static const char *const failover_names[] = {[FAILOVER_MOVE] = "move", [FAILOVER_STAY] = "stay"};

static int parse_failover(const char *text, void *ret, const char **ret_why)
{
        *ret_why = "must be move or stay";
        return parse_word(text, failover_names, ELEMENTSOF(failover_names), ret);
}

static void format_failover(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        (void)strcpy(buffer, failover_names[*(const int *)value]);
}

static int parse_payload(const char *text, void *ret, const char **ret_why)
{
        return probe_payload_parse(text, ret, ret_why);
}

static void format_payload(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        (void)probe_payload_format(buffer, value);
}

static const char *const offload_names[] = {[OFFLOAD_AUTO] = "auto", [OFFLOAD_YES] = "yes", [OFFLOAD_NO] = "no"};

static int parse_offload(const char *text, void *ret, const char **ret_why)
{
        *ret_why = "must be auto, yes or no";
        return parse_word(text, offload_names, ELEMENTSOF(offload_names), ret);
}

static void format_offload(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        (void)strcpy(buffer, offload_names[*(const int *)value]);
}

static int parse_addresses(const char *text, void *ret, const char **ret_why)
{
        return prefix_list_parse(text, ret, ret_why);
}

static int parse_source_prefix(const char *text, void *ret, const char **ret_why)
{
        PrefixList list;

        if (prefix_list_parse(text, &list, ret_why) < 0)
                return -EINVAL;
        *ret_why = "expected one prefix of 96 bits, like 2001:db8:64::/96: the client's address is the rest";
        if (list.n > 1 || (list.n == 1 && list.items[0].length != 96))
                return -EINVAL;
        memcpy(ret, &list, sizeof(list));
        return 0;
}

static void format_addresses(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        (void)prefix_list_format(buffer, value);
}

static int parse_ports(const char *text, void *ret, const char **ret_why)
{
        if (*text)
                return port_range_parse(text, ret, ret_why);
        *(PortRange *)ret = (PortRange){0};
        return 0;
}

static void format_ports(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        const PortRange *range = value;

        *buffer = '\0';
        if (range->high > 0)
                (void)snprintf(buffer, SETTING_TEXT_MAX, "%u-%u", range->low, range->high);
}

/* What the kernel takes for a name (dev_valid_name() in net/core/dev.c), as far as it can be typed and read. */
static int parse_device(const char *text, void *ret, const char **ret_why)
{
        size_t length = strlen(text);

        *ret_why = "expected the name of one network interface, at most 15 characters, or nothing";
        if (length >= DEVICE_NAME_MAX || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
                return -EINVAL;
        for (size_t i = 0; i < length; i++)
                if (text[i] <= ' ' || text[i] > '~' || strchr("/:\"'", text[i]))
                        return -EINVAL;
        memset(ret, 0, DEVICE_NAME_MAX);
        memcpy(ret, text, length);
        return 0;
}

static void format_device(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        (void)strcpy(buffer, value);
}

/* RFC 2474 (cs), 2597 (af), 3246 (ef), 5865 (voice-admit), 8622 (le). */
static const struct {
        const char *name;
        int dscp;
} dscps[] = {{"cs0", 0},   {"cs1", 8},   {"cs2", 16},  {"cs3", 24},  {"cs4", 32},        {"cs5", 40},
             {"cs6", 48},  {"cs7", 56},  {"af11", 10}, {"af12", 12}, {"af13", 14},       {"af21", 18},
             {"af22", 20}, {"af23", 22}, {"af31", 26}, {"af32", 28}, {"af33", 30},       {"af41", 34},
             {"af42", 36}, {"af43", 38}, {"ef", 46},   {"le", 1},    {"voice-admit", 44}};

/* The DSCP is the upper six bits of a class, ECN the lower two. */
enum { DSCP_SHIFT = 2, CLASS_MAX = 255 };

static int parse_class(const char *text, void *ret, const char **ret_why)
{
        uint64_t number;

        *ret_why = "must be none, copy, a name like ef, cs5 or af41, or a number from 0 to 255 (DSCP times 4, and ECN)";
        if (strcasecmp(text, "none") == 0 || strcasecmp(text, "copy") == 0) {
                *(int *)ret = strcasecmp(text, "none") == 0 ? TRAFFIC_CLASS_NONE : TRAFFIC_CLASS_COPY;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(dscps); i++)
                if (strcasecmp(dscps[i].name, text) == 0) {
                        *(int *)ret = dscps[i].dscp << DSCP_SHIFT;
                        return 0;
                }
        if (parse_number(text, CLASS_MAX, &number) < 0)
                return -EINVAL;
        *(int *)ret = (int)number;
        return 0;
}

static void format_class(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        int class = *(const int *)value;

        if (class < 0)
                (void)strcpy(buffer, class == TRAFFIC_CLASS_COPY ? "copy" : "none");
        else
                (void)snprintf(buffer, SETTING_TEXT_MAX, "%d", class);
        for (size_t i = 0; i < ELEMENTSOF(dscps); i++)
                if (dscps[i].dscp << DSCP_SHIFT == class)
                        (void)strcpy(buffer, dscps[i].name);
}

static int parse_hosts(const char *text, void *ret, const char **ret_why)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_ \t";

        *ret_why = "expected host names with blanks between them, without ports";
        if (strspn(text, allowed) != strlen(text) || strlen(text) >= HTTP_HOSTS_MAX)
                return -EINVAL;
        (void)strcpy(ret, text);
        return 0;
}

static void format_hosts(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        (void)strcpy(buffer, value);
}

static int parse_bool(const char *text, void *ret, const char **ret_why)
{
        static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

        *ret_why = "must be yes or no";
        for (int i = 0; i < (int)ELEMENTSOF(words); i++)
                if (strcasecmp(words[i], text) == 0) {
                        *(int *)ret = i % 2;
                        return 0;
                }
        return -EINVAL;
}

static void format_bool(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        (void)strcpy(buffer, *(const int *)value ? "yes" : "no");
}

static const struct {
        const char *name;
        int level;
} log_levels[] = {{"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warn", LOG_WARNING}, {"error", LOG_ERR}};

static int parse_level(const char *text, void *ret, const char **ret_why)
{
        *ret_why = "must be debug, info, warn or error";
        for (size_t i = 0; i < ELEMENTSOF(log_levels); i++)
                if (strcasecmp(log_levels[i].name, text) == 0) {
                        *(int *)ret = log_levels[i].level;
                        return 0;
                }
        return -EINVAL;
}

static void format_level(char buffer[static SETTING_TEXT_MAX], const void *value)
{
        for (size_t i = 0; i < ELEMENTSOF(log_levels); i++)
                if (log_levels[i].level == *(const int *)value)
                        (void)strcpy(buffer, log_levels[i].name);
}

#define VALUE(member) offsetof(Settings, member), sizeof(((Settings *)NULL)->member)

const SettingSpec setting_specs[N_SETTINGS] = {
                [SETTING_UPSTREAM] = {"Upstream", "upstream", "host:port", "none, must be given",
                                      "the IPv6 service: [address]:port or name:port; repeatable, the preferred first",
                                      parse_upstream, format_upstream, VALUE(upstream), 0, 1},
                [SETTING_REPLY_FROM] = {"ReplyFrom", "reply-from", "addresses", "the upstream alone",
                                        "who else may answer: [address]:port or [prefix/bits]:port; repeatable",
                                        parse_replies, format_replies, VALUE(reply_from), 0, 1},
                [SETTING_RESOLVE_INTERVAL] = {"ResolveIntervalSec", "resolve-interval", "span", "60s",
                                              "an upstream's name is looked up again after this long; 0: at reloads",
                                              parse_interval, format_span, VALUE(resolve_interval), 0, 0},
                [SETTING_FAILOVER_SESSIONS] = {"FailoverSessions", "failover-sessions", "move|stay", "move",
                                               "what sessions do whose upstream is down", parse_failover,
                                               format_failover, VALUE(failover_sessions), 0, 0},
                [SETTING_FAILOVER_TIMEOUT] = {"FailoverTimeoutSec", "failover-timeout", "span", "15s",
                                              "an upstream that is asked for this long and does not answer is down",
                                              parse_failover_timeout, format_span, VALUE(failover_timeout), 0, 0},
                [SETTING_FAILBACK_DELAY] = {"FailbackDelaySec", "failback-delay", "span", "1min",
                                            "a preferred upstream that answers for this long gets its sessions back",
                                            parse_span, format_span, VALUE(failback_delay), 0, 0},
                [SETTING_PROBE_PAYLOAD] = {"ProbePayload", "probe-payload", "hex", "none",
                                           "a datagram that upstreams answer, to ask each of them by ourselves",
                                           parse_payload, format_payload, VALUE(probe_payload), 0, 0},
                [SETTING_PROBE_INTERVAL] = {"ProbeIntervalSec", "probe-interval", "span", "5s",
                                            "how often; a third of the failover timeout at most", parse_probe_interval,
                                            format_span, VALUE(probe_interval), 0, 0},
                [SETTING_ALLOW_FROM] = {"AllowFrom", "allow-from", "networks", "everybody",
                                        "who may come: addresses, networks, or files of these; repeatable",
                                        parse_clients, format_clients, VALUE(allow_from), 0, 1},
                [SETTING_DENY_FROM] = {"DenyFrom", "deny-from", "networks", "nobody",
                                       "who may not, whatever allows it; likewise", parse_clients, format_clients,
                                       VALUE(deny_from), 0, 1},
                [SETTING_SESSION_TIMEOUT] = {"SessionTimeoutSec", "session-timeout", "span", "180s",
                                             "an answered session ends after this long without a datagram", parse_span,
                                             format_span, VALUE(session_timeout), 0, 0},
                [SETTING_UNREPLIED_TIMEOUT] =
                                {"UnrepliedTimeoutSec", "unreplied-timeout", "span", "30s",
                                 "the same for one the upstream never answered; at most the session timeout",
                                 parse_span, format_span, VALUE(unreplied_timeout), 0, 0},
                [SETTING_REPLY_REFRESH] = {"ReplyRefreshSec", "reply-refresh", "span", "4 x the session timeout",
                                           "replies keep a session only this long after its client's last datagram",
                                           parse_span, format_span, VALUE(reply_refresh), 0, 0},
                [SETTING_MAX_SESSIONS] = {"MaxSessions", "max-sessions", "number", "0: half of the host's local ports",
                                          "sessions at most", parse_sessions, format_number, VALUE(max_sessions), 0, 0},
                [SETTING_MAX_UNREPLIED_SESSIONS] = {"MaxUnrepliedSessions", "max-unreplied-sessions", "number",
                                                    "0: three quarters of MaxSessions=",
                                                    "of these, sessions at most that the upstream never answered",
                                                    parse_sessions, format_number, VALUE(max_unreplied_sessions), 0, 0},
                [SETTING_NEW_SESSION_LIMIT_BURST] = {"NewSessionLimitBurst", "new-session-limit-burst", "number",
                                                     "20000", "sessions that may be opened in an interval; 0: no limit",
                                                     parse_burst, format_number, VALUE(new_session_limit.burst), 0, 0},
                [SETTING_NEW_SESSION_LIMIT_INTERVAL] = {"NewSessionLimitIntervalSec", "new-session-limit-interval",
                                                        "span", "20s", "that interval", parse_rate_interval,
                                                        format_span, VALUE(new_session_limit.interval), 0, 0},
                [SETTING_CLIENT_LIMIT_BURST] = {"ClientLimitBurst", "client-limit-burst", "number", "256",
                                                "of these, sessions of one client address; 0: no limit", parse_burst,
                                                format_number, VALUE(client_limit.burst), 0, 0},
                [SETTING_CLIENT_LIMIT_INTERVAL] = {"ClientLimitIntervalSec", "client-limit-interval", "span", "10s",
                                                   "in this interval", parse_rate_interval, format_span,
                                                   VALUE(client_limit.interval), 0, 0},
                [SETTING_AMPLIFICATION_LIMIT] = {"AmplificationLimit", "amplification-limit", "factor", "3",
                                                 "a client that asked but once gets so many times its bytes; 0: any",
                                                 parse_amplification, format_number, VALUE(amplification_limit), 0, 0},
                [SETTING_MAX_DATAGRAM_SIZE] = {"MaxDatagramSize", "read-buffer-size", "bytes", "65536",
                                               "the largest datagram relayed; a larger one is dropped, never cut",
                                               parse_size, format_number, VALUE(max_datagram_size), 0, 0},
                [SETTING_WRITE_TIMEOUT] = {"WriteTimeoutSec", "write-timeout", "span", "10ms",
                                           "a datagram waits this long at most for room in a full send buffer",
                                           parse_wait, format_span, VALUE(write_timeout), 0, 0},
                [SETTING_SEGMENTATION_OFFLOAD] = {"SegmentationOffload", "segmentation-offload", "auto|yes|no", "auto",
                                                  "carry equal-sized datagrams in trains through the kernel",
                                                  parse_offload, format_offload, VALUE(segmentation_offload), 0, 0},
                [SETTING_SOURCE_ADDRESS] = {"SourceAddress", "source-address", "addresses", "the kernel chooses",
                                            "IPv6 addresses or prefixes of this host that sessions come from",
                                            parse_addresses, format_addresses, VALUE(source_addresses), 0, 0},
                [SETTING_SOURCE_PORTS] = {"SourcePorts", "source-ports", "low-high",
                                          "the upper half of the host's local ports",
                                          "the ports of those addresses that sessions may take", parse_ports,
                                          format_ports, VALUE(source_ports), 0, 0},
                [SETTING_SOURCE_PREFIX] = {"SourcePrefix", "source-prefix", "prefix/96", "none",
                                           "show the upstream each client's own address, embedded in this prefix",
                                           parse_source_prefix, format_addresses, VALUE(source_prefix), 0, 0},
                [SETTING_BIND_TO_DEVICE] = {"BindToDevice", "bind-to-device", "interface", "as the routes say",
                                            "sessions reach the upstream through this interface, or VRF, alone",
                                            parse_device, format_device, VALUE(bind_to_device), 0, 0},
                [SETTING_TRAFFIC_CLASS] = {"TrafficClass", "traffic-class", "copy|none|class", "none",
                                           "DSCP and ECN of what leaves: as they came, the kernel's, or this class",
                                           parse_class, format_class, VALUE(traffic_class), 0, 0},
                [SETTING_FRAGMENT_DATAGRAMS] = {"FragmentDatagrams", "fragment-datagrams", "yes|no", "yes",
                                                "send in fragments what the path cannot carry whole; no: drop it",
                                                parse_bool, format_bool, VALUE(fragment_datagrams), 0, 0},
                [SETTING_HTTP_HOSTS] = {"HttpHosts", "http-hosts", "names", "none",
                                        "names, besides addresses and localhost, by which HTTP over TCP may be asked",
                                        parse_hosts, format_hosts, VALUE(http_hosts), 1, 0},
                [SETTING_HTTP_SHOW_CLIENTS] = {"HttpShowClients", "http-show-clients", "yes|no", "no",
                                               "show clients' addresses on the status page over TCP, too", parse_bool,
                                               format_bool, VALUE(http_show_clients), 1, 0},
                [SETTING_HTTP_SESSION_LABELS] = {"HttpSessionLabels", "http-session-labels", "yes|no", "no",
                                                 "in /metrics, series for each single session", parse_bool, format_bool,
                                                 VALUE(http_session_labels), 1, 0},
                [SETTING_LOG_LEVEL] = {"LogLevel", "log-level", "level", "info", "debug, info, warn or error",
                                       parse_level, format_level, VALUE(log_level), 1, 0},
};

static void *setting_value(Settings *s, SettingKey key)
{
        return (char *)s + setting_specs[key].offset;
}

/* What is often written around a value and belongs elsewhere. */
static const char *habit(const char *text)
{
        if (strchr("\"'", *text) && *text)
                return "a value stands without quotes";
        if (strstr(text, " #") || strstr(text, " ;"))
                return "a comment stands in a line of its own";
        return NULL;
}

int settings_parse(Settings *s, SettingKey key, const char *text, const char **ret_why)
{
        int r = setting_specs[key].parse(text, setting_value(s, key), ret_why);

        if (r < 0 && habit(text))
                *ret_why = habit(text);

        if (r >= 0)
                s->given |= UINT64_C(1) << key;
        return r;
}

void settings_overlay(Settings *under, const Settings *over)
{
        for (SettingKey key = 0; key < N_SETTINGS; key++)
                if (settings_given(over, key))
                        memcpy(setting_value(under, key), (const char *)over + setting_specs[key].offset,
                               setting_specs[key].size);
        under->given |= over->given;
}

void settings_complete(Settings *s)
{
        Settings defaults = {
                        .resolve_interval = USEC_PER_MINUTE,
                        .session_timeout = 180 * USEC_PER_SEC,
                        .unreplied_timeout = UNREPLIED_TIMEOUT,
                        .write_timeout = WRITE_TIMEOUT,
                        .failover_timeout = 15 * USEC_PER_SEC,
                        .failback_delay = USEC_PER_MINUTE,
                        .probe_interval = 5 * USEC_PER_SEC,
                        .max_datagram_size = 65536,
                        .segmentation_offload = OFFLOAD_AUTO,
                        .traffic_class = TRAFFIC_CLASS_NONE,
                        .fragment_datagrams = true,
                        .log_level = LOG_INFO,
                        .new_session_limit = {.burst = 20000, .interval = 20 * USEC_PER_SEC},
                        .client_limit = {.burst = 256, .interval = 10 * USEC_PER_SEC},
                        .amplification_limit = 3,
                        .given = UINT64_MAX,
        };
        uint64_t given = s->given;

        settings_overlay(&defaults, s);
        if (!settings_given(s, SETTING_REPLY_REFRESH))
                defaults.reply_refresh = REPLY_REFRESH_TIMEOUTS * defaults.session_timeout;
        if (!settings_given(s, SETTING_PROBE_INTERVAL) && defaults.probe_interval > defaults.failover_timeout / 3)
                defaults.probe_interval = defaults.failover_timeout / 3;
        if (defaults.reply_refresh > SPAN_MAX)
                defaults.reply_refresh = SPAN_MAX;
        if (defaults.unreplied_timeout > defaults.session_timeout)
                defaults.unreplied_timeout = defaults.session_timeout;
        *s = defaults;
        s->given = given;
}

void settings_print(const Settings *s, FILE *to, int whole_relay)
{
        for (SettingKey key = 0; key < N_SETTINGS; key++) {
                char value[SETTING_TEXT_MAX];

                if (setting_specs[key].whole_relay_only && !whole_relay)
                        continue;
                if (key == SETTING_UPSTREAM && s->upstream.n == 0)
                        continue;
                setting_specs[key].format(value, (const char *)s + setting_specs[key].offset);
                (void)fprintf(to, "%s=%s\n", setting_specs[key].key, value);
        }
}
