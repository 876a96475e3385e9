/* SPDX-License-Identifier: MIT */
/*
 * Believes: a relay that takes the last port or descriptor of its host has failed, however many sessions it carries; so
 * a limit that reaches for them is lowered and said, not refused.
 */
#include <string.h>
#include <sys/utsname.h>

#include "daemon/limits.h"
#include "daemon/plan.h"

/* Of all sessions: what is left for those who are assured, whatever strangers do. */
enum { UNREPLIED_QUARTERS = 3 };

static uint64_t max_unreplied(const Settings *s, uint64_t max_sessions)
{
        uint64_t part = (max_sessions * UNREPLIED_QUARTERS + 3) / 4;

        return s->max_unreplied_sessions > 0 && s->max_unreplied_sessions < max_sessions ? s->max_unreplied_sessions
                                                                                         : part;
}

static bool trains_wanted(const Settings *s)
{
        struct utsname host;

        if (s->segmentation_offload != OFFLOAD_AUTO)
                return s->segmentation_offload == OFFLOAD_YES;
        return uname(&host) < 0 || limits_trains_are_safe(host.release);
}

static Manner manner_of(const Settings *s)
{
        Manner manner = {.whole = !s->fragment_datagrams};

        if (s->traffic_class >= 0) {
                manner.marking = MARKING_FIXED;
                manner.tclass = (uint8_t)s->traffic_class;
        } else if (s->traffic_class == TRAFFIC_CLASS_COPY)
                manner.marking = MARKING_COPY;
        return manner;
}

PolicySettings plan_policy(const Config *config, const char *name, const PlanWhole *whole)
{
        PolicySettings settings;
        Settings s;

        (void)config_for(config, name, &s);
        settings = (PolicySettings){
                        .timeouts = {[SESSION_UNREPLIED] = s.unreplied_timeout, [SESSION_ASSURED] = s.session_timeout},
                        .reply_refresh = s.reply_refresh,
                        .write_timeout = s.write_timeout,
                        .max_sessions = s.max_sessions > 0 && s.max_sessions < whole->sessions ? s.max_sessions
                                                                                               : whole->sessions,
                        .new_sessions = s.new_session_limit,
                        .client_sessions = s.client_limit,
                        .amplification = (uint32_t)s.amplification_limit,
                        .trains = trains_wanted(&s),
                        .max_datagram = s.max_datagram_size < DATAGRAM_ROOM ? (uint32_t)s.max_datagram_size
                                                                            : DATAGRAM_ROOM,
                        .replies = s.reply_from,
                        .manner = manner_of(&s),
        };
        _Static_assert(sizeof(settings.device) == sizeof(s.bind_to_device), "the kernel's IFNAMSIZ");
        memcpy(settings.device, s.bind_to_device, sizeof(settings.device));
        settings.max_unreplied = max_unreplied(&s, settings.max_sessions);
        return settings;
}

static SourcesSettings sources_on(PortRange host, const Config *config, const char *name)
{
        Settings s;

        (void)config_for(config, name, &s);
        return (SourcesSettings){
                        .listed = s.source_addresses,
                        .clients = s.source_prefix.items[0], /* all zero: none */
                        .ports = s.source_ports.high > 0 ? s.source_ports : limits_source_ports(host),
                        .reserved = limits_reserved_ports(host),
        };
}

SourcesSettings plan_sources(const Config *config, const char *name)
{
        return sources_on(limits_host_ports(), config, name);
}

/* Which ports are not for the kernel to choose: the reserved ones, and those of listed addresses. */
typedef struct PortMap {
        bool taken[UINT16_MAX + 1];
} PortMap;

static void take_ports(PortMap *map, const PortRange *range)
{
        for (unsigned port = range->low; port <= range->high; port++)
                map->taken[port] = true;
}

static uint64_t count_free(const PortMap *map, const PortRange *range)
{
        uint64_t n = 0;

        for (unsigned port = range->low; port <= range->high; port++)
                n += !map->taken[port];
        return n;
}

/* Has one of these names the same sources? Then they are counted already. */
static bool counted(const SourcesSettings *sources, PortRange host, const Config *config, const char *const *names,
                    unsigned n_names)
{
        for (unsigned i = 0; i < n_names; i++) {
                const SourcesSettings other = sources_on(host, config, names[i]);

                if (sources_equal(sources, &other))
                        return true;
        }
        return false;
}

static void lower(PlanWhole *whole, uint64_t limit, const char *why)
{
        if (whole->sessions <= limit)
                return;
        whole->sessions = limit;
        whole->lowered = why;
}

PlanWhole plan_whole(const Config *config, const char *const *names, unsigned n_names, size_t n_descriptors)
{
        uint64_t by_files = limits_sessions_by_files(), n_pairs = 0;
        const PortRange host = limits_host_ports(), reserved = limits_reserved_ports(host);
        bool kernel_chooses = false, sources = false, beside = false;
        PlanWhole whole = {0};
        PortMap map = {0};
        Settings settings;

        take_ports(&map, &reserved);
        for (unsigned i = 0; i < n_names; i++) {
                const SourcesSettings s = sources_on(host, config, names[i]);

                if (s.listed.n > 0)
                        take_ports(&map, &s.ports);
                if (s.listed.n > 0 && !counted(&s, host, config, names, i))
                        n_pairs += sources_capacity(&s);
                kernel_chooses = kernel_chooses || s.listed.n == 0;
                sources = sources || sources_wanted(&s);
                (void)config_for(config, names[i], &settings);
                beside = beside || settings.reply_from.n > 0;
                n_descriptors += settings.probe_payload.n > 0 ? settings.upstream.n : 0;
        }
        config_whole(config, &settings);
        whole.host_ports = count_free(&map, &host);
        whole.wanted = settings.max_sessions > 0 ? settings.max_sessions
                                                 : n_pairs + (kernel_chooses ? limits_default_sessions() : 0);
        whole.sessions = whole.wanted;
        if (!sources)
                lower(&whole, whole.host_ports, "the host keeps a part of its ports, see SourceAddress=");
        if (beside) /* each has two sockets */
                by_files /= 2;
        by_files -= n_descriptors < by_files / 2 ? n_descriptors : by_files / 2;
        lower(&whole, by_files, "each session takes a file descriptor, see LimitNOFILE=");
        whole.unreplied = max_unreplied(&settings, whole.sessions);
        return whole;
}
