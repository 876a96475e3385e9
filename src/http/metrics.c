/* SPDX-License-Identifier: MIT */
/*
 * Believes: a counter that appears only after its first event breaks rate(); every series is there from the start, as
 * 0. Seconds and bytes, no other units (Prometheus' naming practice).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "http/metrics.h"

/* symbol, kind, name, help. The first block is the Go program's. */
#define METRICS(X)                                                                                                    \
        X(BUILD_INFO, "gauge", "udp46_build_info", "The version that runs, always 1.")                                \
        X(LISTENERS, "gauge", "udp46_listeners", "Addresses that are listened on.")                                   \
        X(SESSIONS_ACTIVE, "gauge", "udp46_sessions_active", "Sessions open now.")                                    \
        X(SESSIONS_CREATED, "counter", "udp46_sessions_created_total", "Sessions opened.")                            \
        X(SESSIONS_EXPIRED, "counter", "udp46_sessions_expired_total", "Sessions closed because idle.")               \
        X(SESSIONS_CLOSED, "counter", "udp46_sessions_closed_total", "Sessions closed, by reason.")                   \
        X(DATAGRAMS, "counter", "udp46_datagrams_total", "Datagrams sent on.")                                        \
        X(BYTES, "counter", "udp46_bytes_total", "Payload bytes sent on.")                                            \
        X(DROPS, "counter", "udp46_drops_total", "Datagrams dropped, in the four classes of the Go program.")         \
        X(ERRORS, "counter", "udp46_errors_total", "Errors of reading: what the network reported by ICMP.")           \
        X(OPEN_ERRORS, "counter", "udp46_upstream_socket_open_errors_total", "Sessions that got no socket.")          \
        X(UPSTREAM_WRITE_ERRORS, "counter", "udp46_upstream_write_errors_total",                                      \
          "Datagrams that could not be sent to the upstream.")                                                        \
        X(CLIENT_WRITE_ERRORS, "counter", "udp46_client_write_errors_total",                                          \
          "Datagrams that could not be sent to a client.")                                                            \
        X(RESOLVE_ERRORS, "counter", "udp46_dns_resolve_errors_total",                                                \
          "Questions for an upstream's name that failed.")                                                            \
        X(SESSION_DURATION, "histogram", "udp46_session_duration_seconds", "How long closed sessions had lasted.")    \
        X(SESSION_IDLE, "histogram", "udp46_session_idle_seconds", "How long closed sessions had been idle.")         \
        X(VERDICTS, "counter", "udp46_verdicts_total", "Datagrams received, by what became of them.")                 \
        X(RECEIVED, "counter", "udp46_received_total", "Datagrams received: the sum of the verdicts.")                \
        X(KERNEL_DROPS, "counter", "udp46_listener_kernel_drops_total",                                               \
          "Datagrams that the kernel dropped because the listener's receive buffer was full.")                        \
        X(TRAINS, "counter", "udp46_trains_total", "Trains of datagrams received in one piece.")                      \
        X(TRAINS_IN_PIECES, "counter", "udp46_trains_in_pieces_total",                                                \
          "Trains that had to be sent datagram by datagram.")                                                         \
        X(ICMP_ERRORS, "counter", "udp46_icmp_errors_total", "ICMP errors that upstreams or routers reported.")       \
        X(ICMP_TOO_BIG, "counter", "udp46_icmp_packet_too_big_total",                                                 \
          "Times that a router said that its next line carries less.")                                                \
        X(LISTENER_INFO, "gauge", "udp46_listener_info", "A listener's address and its name, always 1.")              \
        X(WORKERS, "gauge", "udp46_workers", "Sockets that share the listener's address, each with a worker.")        \
        X(SESSIONS_PEAK, "gauge", "udp46_sessions_peak", "Most sessions at one time since the start.")                \
        X(SESSIONS_LIMIT, "gauge", "udp46_sessions_limit", "Sessions at most.")                                       \
        X(UNREPLIED_LIMIT, "gauge", "udp46_unreplied_sessions_limit", "Unreplied sessions at most.")                  \
        X(SESSIONS, "gauge", "udp46_sessions", "Sessions open now, by listener name and state.")                      \
        X(NAME_LIMIT, "gauge", "udp46_name_sessions_limit", "Sessions at most, by listener name.")                    \
        X(NAME_UNREPLIED_LIMIT, "gauge", "udp46_name_unreplied_sessions_limit",                                       \
          "Unreplied sessions at most, by listener name.")                                                            \
        X(NAME_PEAK, "gauge", "udp46_name_sessions_peak", "Most sessions at one time, by listener name.")             \
        X(UPSTREAM_INFO, "gauge", "udp46_upstream_info", "The upstream as configured and its address now, always 1.") \
        X(UPSTREAM_RESOLVED, "gauge", "udp46_upstream_resolved", "1 while the upstream's address is known.")          \
        X(RESOLVE_FAILING, "gauge", "udp46_upstream_resolve_failing", "1 while the last question for it failed.")     \
        X(RESOLVES, "counter", "udp46_upstream_resolves_total",                                                       \
          "Questions for the upstream's name that came to an end, well or not.")                                      \
        X(NAME_RESOLVE_ERRORS, "counter", "udp46_upstream_resolve_errors_total",                                      \
          "Questions for the upstream's name that failed.")                                                           \
        X(RESOLVE_TIME, "gauge", "udp46_upstream_resolve_duration_seconds", "How long the last answer took.")         \
        X(RESOLVE_AGE, "gauge", "udp46_upstream_resolve_age_seconds", "Since the address was last confirmed.")        \
        X(ADDRESS_CHANGES, "counter", "udp46_upstream_address_changes_total",                                         \
          "Times that the upstream's address became another one.")                                                    \
        X(UPSTREAM_SESSIONS, "gauge", "udp46_upstream_sessions", "Sessions that are carried to an upstream.")         \
        X(UPSTREAM_DOWN, "gauge", "udp46_upstream_down", "1 if it is asked and does not answer.")                     \
        X(UPSTREAM_CHOSEN, "gauge", "udp46_upstream_chosen", "1 for the upstream that new sessions go to.")           \
        X(UPSTREAM_DRAINED, "gauge", "udp46_upstream_drained", "1 if it is left on purpose.")                         \
        X(UPSTREAM_ICMP, "counter", "udp46_upstream_icmp_errors_total", "ICMP errors that came back from it.")        \
        X(FAILOVERS, "counter", "udp46_upstream_failovers_total", "Times that another upstream was chosen.")          \
        X(REPLY_AGE, "gauge", "udp46_upstream_reply_age_seconds",                                                     \
          "Since the upstream last answered anybody, NaN if never.")                                                  \
        X(RESTORED, "counter", "udp46_sessions_restored_total", "Sessions taken over from the process before.")       \
        X(NOT_RESTORED, "counter", "udp46_sessions_not_restored_total",                                               \
          "Sessions of the process before that could not be taken over, by reason.")                                  \
        X(GAP, "gauge", "udp46_restart_gap_seconds",                                                                  \
          "From the last work of the process before to the first of this one, NaN if there was none.")                \
        X(PARKED, "gauge", "udp46_sessions_parked", "Sessions whose sockets would outlive a crash now.")              \
        X(RELOADED, "gauge", "udp46_config_last_reload_successful",                                                   \
          "1 unless the last reload failed and the configuration before stays in force.")                             \
        X(LOG_LOST, "counter", "udp46_log_records_lost_total",                                                        \
          "Journal entries lost because the journal was too slow.")                                                   \
        X(WORKER_LATENCY, "gauge", "udp46_worker_latency_seconds",                                                    \
          "How long the slowest worker took to answer lately.")                                                       \
        X(WATCHDOG_AGE, "gauge", "udp46_watchdog_age_seconds",                                                        \
          "Since the service manager was last told that all is well.")                                                \
        X(PROCESS_CPU, "counter", "process_cpu_seconds_total", "Processor time used.")                                \
        X(PROCESS_FDS, "gauge", "process_open_fds", "File descriptors open.")                                         \
        X(PROCESS_MAX_FDS, "gauge", "process_max_fds", "File descriptors at most.")                                   \
        X(PROCESS_VIRTUAL, "gauge", "process_virtual_memory_bytes", "Virtual memory.")                                \
        X(PROCESS_RESIDENT, "gauge", "process_resident_memory_bytes", "Resident memory.")                             \
        X(PROCESS_START, "gauge", "process_start_time_seconds", "When the process started, in seconds since 1970.")

typedef enum MetricId {
#define X(symbol, kind, name, help) METRIC_##symbol,
        METRICS(X)
#undef X
} MetricId;

typedef struct Metric {
        const char *kind, *name, *help;
} Metric;

static const Metric metrics[] = {
#define X(symbol, kind, name, help) [METRIC_##symbol] = {kind, name, help},
                METRICS(X)
#undef X
};

static const Metric session_metrics[N_SESSION_METRICS] = {
                [SESSION_METRIC_INFO] = {"gauge", "udp46_session_info", "One session, always 1."},
                [SESSION_METRIC_PACKETS] = {"counter", "udp46_session_packets_total", "Datagrams of one session."},
                [SESSION_METRIC_BYTES] = {"counter", "udp46_session_bytes_total", "Payload bytes of one session."},
                [SESSION_METRIC_LAST] = {"gauge", "udp46_session_last_activity_timestamp_seconds",
                                         "When something last came this way, in seconds since 1970, 0 if never."},
};

static const char *const direction_names[N_DIRECTIONS] = {
                [FORWARD] = "client_to_upstream", [REPLY] = "upstream_to_client"};

/* --- writing --- */

static void head(FILE *to, const Metric *m)
{
        (void)fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->kind);
}

static double seconds(usec_t t)
{
        return (double)t / (double)USEC_PER_SEC;
}

/* A label's value: backslash, quote and line feed are escaped. */
static void label(FILE *to, const char *separator, const char *name, const char *value)
{
        (void)fprintf(to, "%s%s=\"", separator, name);
        for (const char *p = value; *p; p++)
                switch (*p) {
                case '\\':
                case '"':
                        (void)fputc('\\', to);
                        (void)fputc(*p, to);
                        break;
                case '\n':
                        (void)fputs("\\n", to);
                        break;
                default:
                        (void)fputc(*p, to);
                }
        (void)fputc('"', to);
}

/* As the format spells it: 17 digits keep every counter up to 2^53 exact. */
static void number(FILE *to, double value)
{
        if (value != value)
                (void)fputs(" NaN\n", to);
        else
                (void)fprintf(to, " %.17g\n", value);
}

static void plain(FILE *to, MetricId id, double value)
{
        head(to, &metrics[id]);
        (void)fputs(metrics[id].name, to);
        number(to, value);
}

/* --- of places --- */

static void place_series(FILE *to, MetricId id, const ViewPlace *place)
{
        char text[ADDRESS_TEXT_MAX];

        (void)fputs(metrics[id].name, to);
        label(to, "{", "listener", address_format(text, &place->bound));
}

static void each_place(FILE *to, const View *view, MetricId id, uint64_t (*value)(const ViewPlace *))
{
        head(to, &metrics[id]);
        for (size_t i = 0; i < view->n_places; i++) {
                place_series(to, id, &view->places[i]);
                (void)fprintf(to, "} %" PRIu64 "\n", value(&view->places[i]));
        }
}

static void each_direction(FILE *to, const View *view, MetricId id, uint64_t (*value)(const DirectionStats *))
{
        head(to, &metrics[id]);
        for (size_t i = 0; i < view->n_places; i++)
                for (Direction d = 0; d < N_DIRECTIONS; d++) {
                        place_series(to, id, &view->places[i]);
                        label(to, ",", "direction", direction_names[d]);
                        (void)fprintf(to, "} %" PRIu64 "\n", value(&view->places[i].stats.directions[d]));
                }
}

static uint64_t forwarded(const DirectionStats *s)
{
        return counter_get(&s->verdicts[VERDICT_FORWARDED]);
}

static uint64_t bytes(const DirectionStats *s)
{
        return counter_get(&s->bytes);
}

static uint64_t received(const DirectionStats *s)
{
        return counter_get(&s->received);
}

static uint64_t trains(const DirectionStats *s)
{
        return counter_get(&s->trains);
}

static uint64_t trains_in_pieces(const DirectionStats *s)
{
        return counter_get(&s->trains_in_pieces);
}

static uint64_t kernel_drops(const ViewPlace *place)
{
        return place->kernel_drops;
}

static uint64_t n_workers(const ViewPlace *place)
{
        return place->n_workers;
}

static uint64_t icmp_errors(const ViewPlace *place)
{
        return counter_get(&place->stats.icmp_errors);
}

static uint64_t icmp_too_big(const ViewPlace *place)
{
        return counter_get(&place->stats.icmp_too_big);
}

static uint64_t open_errors(const ViewPlace *place)
{
        return counter_get(&place->stats.open_errors);
}

/* Did the datagram find no session, as the Go program would have said? Else it had one and could not be sent. */
static bool is_without_session(Verdict verdict)
{
        switch (verdict) {
        case VERDICT_BAD_SOURCE:
        case VERDICT_NOT_ALLOWED:
        case VERDICT_LOOP:
        case VERDICT_CLIENT_LIMIT:
        case VERDICT_NEW_SESSION_LIMIT:
        case VERDICT_UNREPLIED_FULL:
        case VERDICT_UPSTREAM_UNRESOLVED:
        case VERDICT_TABLE_FULL:
        case VERDICT_NO_DESCRIPTOR:
        case VERDICT_NO_PORT:
        case VERDICT_NO_MEMORY:
                return true;
        default:
                return false;
        }
}

static uint64_t dropped(const DirectionStats *s, bool without_session)
{
        uint64_t n = 0;

        for (Verdict v = VERDICT_FORWARDED + 1; v < N_VERDICTS; v++)
                if (is_without_session(v) == without_session)
                        n += counter_get(&s->verdicts[v]);
        return n;
}

static uint64_t session_unavailable(const ViewPlace *place)
{
        return dropped(&place->stats.directions[FORWARD], true);
}

static uint64_t upstream_write_errors(const ViewPlace *place)
{
        return dropped(&place->stats.directions[FORWARD], false);
}

static uint64_t client_write_errors(const ViewPlace *place)
{
        return dropped(&place->stats.directions[REPLY], false) + dropped(&place->stats.directions[REPLY], true);
}

static uint64_t none(const ViewPlace *place)
{
        (void)place;
        return 0;
}

static void write_drops(FILE *to, const View *view)
{
        static const struct {
                Direction direction;
                const char *reason;
                uint64_t (*value)(const ViewPlace *);
        } classes[] = {
                        {FORWARD, "non_ipv4_client", none}, /* systemd hands over no other listener */
                        {FORWARD, "session_unavailable", session_unavailable},
                        {FORWARD, "upstream_write_error", upstream_write_errors},
                        {REPLY, "client_write_error", client_write_errors},
        };

        head(to, &metrics[METRIC_DROPS]);
        for (size_t i = 0; i < view->n_places; i++)
                for (size_t k = 0; k < ELEMENTSOF(classes); k++) {
                        place_series(to, METRIC_DROPS, &view->places[i]);
                        label(to, ",", "direction", direction_names[classes[k].direction]);
                        label(to, ",", "reason", classes[k].reason);
                        (void)fprintf(to, "} %" PRIu64 "\n", classes[k].value(&view->places[i]));
                }
}

static void write_errors(FILE *to, const View *view)
{
        head(to, &metrics[METRIC_ERRORS]);
        for (size_t i = 0; i < view->n_places; i++) {
                place_series(to, METRIC_ERRORS, &view->places[i]);
                (void)fputs(",operation=\"client_read\"} 0\n", to);
                place_series(to, METRIC_ERRORS, &view->places[i]);
                (void)fprintf(to, ",operation=\"upstream_read\"} %" PRIu64 "\n", icmp_errors(&view->places[i]));
        }
}

static void write_verdicts(FILE *to, const View *view)
{
        head(to, &metrics[METRIC_VERDICTS]);
        for (size_t i = 0; i < view->n_places; i++)
                for (Direction d = 0; d < N_DIRECTIONS; d++)
                        for (Verdict v = 0; v < N_VERDICTS; v++) {
                                place_series(to, METRIC_VERDICTS, &view->places[i]);
                                label(to, ",", "direction", direction_names[d]);
                                label(to, ",", "verdict", verdict_name(v));
                                (void)fprintf(to, "} %" PRIu64 "\n",
                                              counter_get(&view->places[i].stats.directions[d].verdicts[v]));
                        }
}

/* --- of all together --- */

static Stats sum_of(const View *view)
{
        Stats sum = {0};

        for (size_t i = 0; i < view->n_places; i++)
                stats_add(&sum, &view->places[i].stats);
        return sum;
}

static void write_closed(FILE *to, const Stats *sum)
{
        const char *name = metrics[METRIC_SESSIONS_CLOSED].name;

        head(to, &metrics[METRIC_SESSIONS_CLOSED]);
        for (SessionEnd end = 0; end < N_SESSION_ENDS; end++)
                (void)fprintf(to, "%s{reason=\"%s\"} %" PRIu64 "\n", name, session_end_name(end),
                              counter_get(&sum->sessions_closed[end]));
        (void)fprintf(to, "%s{reason=\"upstream_read_error\"} 0\n", name); /* no ICMP error ends a session here */
}

static void write_histogram(FILE *to, MetricId id, const Histogram *h)
{
        const char *name = metrics[id].name;
        uint64_t n = 0;

        head(to, &metrics[id]);
        for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
                n += counter_get(&h->buckets[i]);
                if (i < HISTOGRAM_BUCKETS - 1)
                        (void)fprintf(to, "%s_bucket{le=\"%u\"} %" PRIu64 "\n", name, histogram_bounds[i], n);
                else
                        (void)fprintf(to, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, n);
        }
        (void)fprintf(to, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name, seconds(counter_get(&h->sum)), name, n);
}

static void write_build(FILE *to, const View *view)
{
        head(to, &metrics[METRIC_BUILD_INFO]);
        (void)fputs(metrics[METRIC_BUILD_INFO].name, to);
        label(to, "{", "version", view->version);
        label(to, ",", "commit", view->commit);
        label(to, ",", "date", view->date);
        (void)fputs("} 1\n", to);
}

static uint64_t count_resolve_errors(const View *view)
{
        uint64_t n = 0;

        for (size_t i = 0; i < view->n_names; i++)
                n += view->names[i].n_resolve_errors;
        return n;
}

/* --- of names --- */

static void each_name(FILE *to, const View *view, MetricId id, double (*value)(const View *, const ViewName *))
{
        head(to, &metrics[id]);
        for (size_t i = 0; i < view->n_names; i++) {
                (void)fputs(metrics[id].name, to);
                label(to, "{", "name", view->names[i].name);
                (void)fputc('}', to);
                number(to, value(view, &view->names[i]));
        }
}

static double name_limit(const View *view, const ViewName *name)
{
        (void)view;
        return (double)name->limit;
}

static double name_unreplied_limit(const View *view, const ViewName *name)
{
        (void)view;
        return (double)name->unreplied_limit;
}

static double name_peak(const View *view, const ViewName *name)
{
        (void)view;
        return (double)name->peak;
}

static double resolves(const View *view, const ViewName *name)
{
        (void)view;
        return (double)name->n_resolves;
}

static double resolve_errors(const View *view, const ViewName *name)
{
        (void)view;
        return (double)name->n_resolve_errors;
}

static double address_changes(const View *view, const ViewName *name)
{
        (void)view;
        return (double)name->n_moves;
}

static void write_sessions_by_state(FILE *to, const View *view)
{
        head(to, &metrics[METRIC_SESSIONS]);
        for (size_t i = 0; i < view->n_names; i++)
                for (SessionAge state = 0; state < N_SESSION_AGES; state++) {
                        (void)fputs(metrics[METRIC_SESSIONS].name, to);
                        label(to, "{", "name", view->names[i].name);
                        label(to, ",", "state", session_age_name(state));
                        (void)fprintf(to, "} %" PRIu64 "\n", view->names[i].by_age[state]);
                }
}

static void write_upstream_info(FILE *to, const View *view)
{
        char text[ADDRESS_TEXT_MAX];

        head(to, &metrics[METRIC_UPSTREAM_INFO]);
        for (size_t i = 0; i < view->n_names; i++)
                for (unsigned k = 0; k < view->names[i].n_targets; k++) {
                        (void)fputs(metrics[METRIC_UPSTREAM_INFO].name, to);
                        label(to, "{", "name", view->names[i].name);
                        label(to, ",", "upstream", view->names[i].targets[k].upstream);
                        label(to, ",", "address", address_format(text, &view->names[i].targets[k].address));
                        (void)fputs("} 1\n", to);
                }
}

static double age(const View *view, usec_t when)
{
        return when > 0 ? seconds(usec_sub(view->now, when)) : __builtin_nan("");
}

static double target_resolved(const View *view, const ViewTarget *target)
{
        (void)view;
        return target->address.family != 0;
}

static double target_failing(const View *view, const ViewTarget *target)
{
        (void)view;
        return *target->why != '\0';
}

static double target_resolve_time(const View *view, const ViewTarget *target)
{
        (void)view;
        return seconds(target->resolve_time);
}

static double target_resolve_age(const View *view, const ViewTarget *target)
{
        return age(view, target->resolved);
}

static double target_reply_age(const View *view, const ViewTarget *target)
{
        return age(view, target->last_reply);
}

static double target_sessions(const View *view, const ViewTarget *target)
{
        (void)view;
        return (double)target->sessions;
}

static double target_down(const View *view, const ViewTarget *target)
{
        (void)view;
        return target->down;
}

static double target_chosen(const View *view, const ViewTarget *target)
{
        (void)view;
        return target->chosen;
}

static double target_drained(const View *view, const ViewTarget *target)
{
        (void)view;
        return target->drained;
}

static double target_icmp(const View *view, const ViewTarget *target)
{
        (void)view;
        return (double)target->icmp_errors;
}

static double failovers(const View *view, const ViewName *name)
{
        (void)view;
        return (double)name->n_failovers;
}

static void each_target(FILE *to, const View *view, MetricId id, double (*value)(const View *, const ViewTarget *))
{
        head(to, &metrics[id]);
        for (size_t i = 0; i < view->n_names; i++)
                for (unsigned k = 0; k < view->names[i].n_targets; k++) {
                        const ViewTarget *target = &view->names[i].targets[k];

                        (void)fputs(metrics[id].name, to);
                        label(to, "{", "name", view->names[i].name);
                        label(to, ",", "upstream", target->upstream);
                        (void)fputc('}', to);
                        number(to, value(view, target));
                }
}

static void write_targets(FILE *to, const View *view)
{
        each_target(to, view, METRIC_UPSTREAM_SESSIONS, target_sessions);
        each_target(to, view, METRIC_UPSTREAM_DOWN, target_down);
        each_target(to, view, METRIC_UPSTREAM_CHOSEN, target_chosen);
        each_target(to, view, METRIC_UPSTREAM_DRAINED, target_drained);
        each_target(to, view, METRIC_UPSTREAM_ICMP, target_icmp);
        each_name(to, view, METRIC_FAILOVERS, failovers);
}

static void write_names(FILE *to, const View *view)
{
        write_sessions_by_state(to, view);
        each_name(to, view, METRIC_NAME_LIMIT, name_limit);
        each_name(to, view, METRIC_NAME_UNREPLIED_LIMIT, name_unreplied_limit);
        each_name(to, view, METRIC_NAME_PEAK, name_peak);
        write_upstream_info(to, view);
        each_target(to, view, METRIC_UPSTREAM_RESOLVED, target_resolved);
        each_target(to, view, METRIC_RESOLVE_FAILING, target_failing);
        each_name(to, view, METRIC_RESOLVES, resolves);
        each_name(to, view, METRIC_NAME_RESOLVE_ERRORS, resolve_errors);
        each_target(to, view, METRIC_RESOLVE_TIME, target_resolve_time);
        each_target(to, view, METRIC_RESOLVE_AGE, target_resolve_age);
        each_name(to, view, METRIC_ADDRESS_CHANGES, address_changes);
        each_target(to, view, METRIC_REPLY_AGE, target_reply_age);
        write_targets(to, view);
}

static void write_restored(FILE *to, const ViewRestored *restored)
{
        plain(to, METRIC_RESTORED, (double)restored->n);
        head(to, &metrics[METRIC_NOT_RESTORED]);
        for (unsigned i = 0; i < VIEW_LOSSES; i++)
                (void)fprintf(to, "%s{reason=\"%s\"} %" PRIu64 "\n", metrics[METRIC_NOT_RESTORED].name,
                              restored->losses[i], restored->n_lost[i]);
        plain(to, METRIC_GAP, restored->gap > 0 ? seconds(restored->gap) : __builtin_nan(""));
        plain(to, METRIC_PARKED, (double)restored->parked);
}

static void write_process(FILE *to, const ViewProcess *process)
{
        plain(to, METRIC_PROCESS_CPU, process->cpu_seconds);
        plain(to, METRIC_PROCESS_FDS, (double)process->open_fds);
        plain(to, METRIC_PROCESS_MAX_FDS, (double)process->max_fds);
        plain(to, METRIC_PROCESS_VIRTUAL, (double)process->virtual_bytes);
        plain(to, METRIC_PROCESS_RESIDENT, (double)process->resident_bytes);
        plain(to, METRIC_PROCESS_START, process->start_time);
}

static bool is_first(const View *view, size_t i)
{
        return view->places[i].first == i;
}

/* The label is the address alone: what differs only in its device (BindToDevice=) is one series, and adds up. */
static void merge_places(View *merged, ViewPlace *places, const View *view)
{
        *merged = *view;
        merged->places = places;
        merged->n_places = 0;
        for (size_t i = 0; i < view->n_places; i++) {
                const ViewPlace *from = &view->places[i];
                ViewPlace *to;

                if (is_first(view, i)) {
                        places[merged->n_places] = *from;
                        places[merged->n_places++].first = i;
                        continue;
                }
                to = places;
                while (to->first != from->first)
                        to++;
                to->n_workers += from->n_workers;
                to->kernel_drops += from->kernel_drops;
                stats_add(&to->stats, &from->stats);
        }
}

static void write_all(FILE *to, const View *view)
{
        const Stats sum = sum_of(view);

        write_build(to, view);
        plain(to, METRIC_LISTENERS, (double)view->n_places);
        plain(to, METRIC_SESSIONS_ACTIVE, (double)view->sessions);
        plain(to, METRIC_SESSIONS_CREATED, (double)counter_get(&sum.sessions_created));
        plain(to, METRIC_SESSIONS_EXPIRED, (double)counter_get(&sum.sessions_closed[SESSION_IDLE_TIMEOUT]));
        write_closed(to, &sum);
        each_direction(to, view, METRIC_DATAGRAMS, forwarded);
        each_direction(to, view, METRIC_BYTES, bytes);
        write_drops(to, view);
        write_errors(to, view);
        each_place(to, view, METRIC_OPEN_ERRORS, open_errors);
        each_place(to, view, METRIC_UPSTREAM_WRITE_ERRORS, upstream_write_errors);
        each_place(to, view, METRIC_CLIENT_WRITE_ERRORS, client_write_errors);
        plain(to, METRIC_RESOLVE_ERRORS, (double)count_resolve_errors(view));
        write_histogram(to, METRIC_SESSION_DURATION, &sum.session_duration);
        write_histogram(to, METRIC_SESSION_IDLE, &sum.session_idle);
        write_verdicts(to, view);
        each_direction(to, view, METRIC_RECEIVED, received);
        each_place(to, view, METRIC_KERNEL_DROPS, kernel_drops);
        each_direction(to, view, METRIC_TRAINS, trains);
        each_direction(to, view, METRIC_TRAINS_IN_PIECES, trains_in_pieces);
        each_place(to, view, METRIC_ICMP_ERRORS, icmp_errors);
        each_place(to, view, METRIC_ICMP_TOO_BIG, icmp_too_big);
        each_place(to, view, METRIC_WORKERS, n_workers);
        plain(to, METRIC_SESSIONS_PEAK, (double)view->peak);
        plain(to, METRIC_SESSIONS_LIMIT, (double)view->limit);
        plain(to, METRIC_UNREPLIED_LIMIT, (double)view->unreplied_limit);
        write_names(to, view);
        write_restored(to, &view->restored);
        plain(to, METRIC_RELOADED, !*view->reload_trouble);
        plain(to, METRIC_LOG_LOST, (double)view->log_records_lost);
        plain(to, METRIC_WORKER_LATENCY, seconds(view->worker_latency));
        plain(to, METRIC_WATCHDOG_AGE, seconds(view->watchdog_age));
        write_process(to, &view->process);
}

static bool is_told(const View *view, size_t i)
{
        for (size_t k = view->places[i].first; k < i; k++)
                if (view->places[k].first == view->places[i].first &&
                    strcmp(view->places[k].name, view->places[i].name) == 0)
                        return true;
        return false;
}

/* On several devices one address may have several names. */
static void write_listener_info(FILE *to, const View *view)
{
        head(to, &metrics[METRIC_LISTENER_INFO]);
        for (size_t i = 0; i < view->n_places; i++) {
                if (is_told(view, i))
                        continue;
                place_series(to, METRIC_LISTENER_INFO, &view->places[i]);
                label(to, ",", "name", view->places[i].name);
                (void)fputs("} 1\n", to);
        }
}

void metrics_write(FILE *to, const View *view)
{
        _cleanup_free_ ViewPlace *places = NULL;
        View merged;
        size_t i = 0;

        write_listener_info(to, view);
        while (i < view->n_places && is_first(view, i))
                i++;
        if (i < view->n_places)
                places = calloc(view->n_places, sizeof(ViewPlace));
        if (places) {
                merge_places(&merged, places, view);
                view = &merged;
        }
        write_all(to, view);
}

/* --- of sessions --- */

void metrics_write_session_head(FILE *to, SessionMetric metric)
{
        head(to, &session_metrics[metric]);
}

/* An address without its port, and the port: as two labels. */
static void address_labels(FILE *to, const char *address_name, const char *port_name, const Address *address)
{
        char text[ADDRESS_HOST_MAX];

        label(to, ",", address_name, address_format_host(text, address));
        (void)fprintf(to, ",%s=\"%u\"", port_name, address->port);
}

static void session_labels(FILE *to, SessionMetric metric, const ListingRow *row)
{
        char listener[ADDRESS_TEXT_MAX];

        (void)fprintf(to, "%s{session_id=\"%016" PRIx64 "\"", session_metrics[metric].name, row->id);
        label(to, ",", "listener", address_format(listener, &row->listener));
}

static double session_value(int64_t clock_offset, SessionMetric metric, const SessionTraffic *traffic)
{
        switch (metric) {
        case SESSION_METRIC_PACKETS:
                return (double)traffic->datagrams;
        case SESSION_METRIC_BYTES:
                return (double)traffic->bytes;
        default:
                return traffic->last > 0 ? (double)((int64_t)traffic->last + clock_offset) / 1e6 : 0;
        }
}

void metrics_write_session(FILE *to, int64_t clock_offset, SessionMetric metric, const ListingRow *row)
{
        if (metric == SESSION_METRIC_INFO) {
                session_labels(to, metric, row);
                address_labels(to, "client_address", "client_port", &row->client);
                address_labels(to, "upstream_local_address", "upstream_local_port", &row->source);
                address_labels(to, "upstream_remote_address", "upstream_remote_port", &row->upstream);
                (void)fputs("} 1\n", to);
                return;
        }
        for (Direction d = 0; d < N_DIRECTIONS; d++) {
                session_labels(to, metric, row);
                label(to, ",", "direction", direction_names[d]);
                (void)fputc('}', to);
                number(to, session_value(clock_offset, metric, &row->traffic[d]));
        }
}
