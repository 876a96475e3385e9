/* SPDX-License-Identifier: MIT */
/*
 * Believes: counters are of the whole life of the relay. So what happened once accuses nobody; what grows while we
 * look, or what never worked, does.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "ctl/check.h"

/* Who was not answered for so long is not: WireGuard speaks every two minutes at least while it is in use. */
#define SILENCE_MAX (180 * USEC_PER_SEC)

/* What to do about datagrams that are dropped for a reason. */
static const struct {
        const char *reason, *remedy;
} remedies[] = {
                {"oversize", "Raise MaxDatagramSize= in udp46.conf, if datagrams of this size are meant."},
                {"upstream_unresolved", "Mend the upstream's name in DNS."},
                {"table_full", "Raise MaxSessions= in udp46.conf, but look with `udp46ctl sessions` for forged clients "
                               "first."},
                {"no_descriptor", "Raise LimitNOFILE= of udp46.service."},
                {"no_port", "Give the relay addresses of its own with SourceAddress=, or lower MaxSessions=."},
                {"no_memory", "Give this host more memory."},
                {"no_route", "Give this host a route and an IPv6 address, see `ip -6 route`."},
                {"unreachable", "Look whether the upstream and its network are up."},
                {"send_buffer_full",
                 "The link is slower than what comes in: make it faster, or let clients send less."},
                {"write_timeout", "The link is slower than what comes in: make it faster, or raise WriteTimeoutSec=."},
                {"too_big", "Use a smaller MTU at the sender."},
                {"denied", "Let this host's firewall send to the upstream, and see IPAddressDeny= of udp46.service."},
                {"send_failed", "See `journalctl -u udp46.service -p warning`."},
};

/* What the listeners of one name did together, or all of them. */
typedef struct Traffic {
        uint64_t received, forwarded, kernel_drops, icmp_errors, bad_source, unreachable;
} Traffic;

static const json_t *listeners_of(const json_t *status)
{
        return answer_part(status, "listeners");
}

static const json_t *names_of(const json_t *status)
{
        return answer_part(status, "names");
}

static void traffic_add(Traffic *traffic, const json_t *listener)
{
        const json_t *forward = answer_part(listener, "client_to_upstream"), *drops = answer_part(forward, "drops");

        traffic->received += answer_count(forward, "received");
        traffic->forwarded += answer_count(forward, "datagrams");
        traffic->kernel_drops += answer_count(listener, "kernel_drops");
        traffic->icmp_errors += answer_count(listener, "icmp_errors");
        traffic->bad_source += answer_count(drops, "bad_source");
        traffic->unreachable += answer_count(drops, "no_route") + answer_count(drops, "unreachable") +
                                answer_count(drops, "denied");
}

/* name NULL: of all listeners. */
static Traffic traffic_of(const json_t *status, const char *name)
{
        Traffic traffic = {0};

        for (size_t i = 0; i < json_array_size(listeners_of(status)); i++) {
                const json_t *listener = json_array_get(listeners_of(status), i);

                if (!name || strcmp(answer_text(listener, "name"), name) == 0)
                        traffic_add(&traffic, listener);
        }
        return traffic;
}

/* --- listening, arriving, allowed --- */

void check_listening(Check *check, Step *step)
{
        const json_t *listeners = listeners_of(check->after);
        char text[CHECK_TEXT_MAX] = "";
        size_t used = 0;

        if (json_array_size(listeners) == 0) {
                step_fail(step, "the relay has no listener");
                step_remedy(step, "Name an address in udp46.socket, see udp46.conf(5), and `systemctl restart "
                                  "udp46.socket`.");
                return;
        }
        for (size_t i = 0; i < json_array_size(listeners) && used < sizeof(text); i++) {
                const json_t *listener = json_array_get(listeners, i);

                used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.90s (%.64s)", i > 0 ? ", " : "",
                                         answer_text(listener, "listener"), answer_text(listener, "name"));
        }
        step_good(step, "%s", text);
}

/* The port of the first listener, where most have only one. */
static const char *port_of(const json_t *status)
{
        const char *address = answer_text(json_array_get(listeners_of(status), 0), "listener"),
                   *colon = strrchr(address, ':');

        return colon && colon[1] && strlen(colon) <= 6 && strspn(colon + 1, "0123456789") == strlen(colon + 1)
                               ? colon + 1
                               : "51820";
}

void check_arriving(Check *check, Step *step)
{
        Traffic traffic = traffic_of(check->after, NULL);
        char span[SPAN_TEXT_MAX], blame[CHECK_TEXT_MAX];
        usec_t uptime;

        if (traffic.received > 0) {
                step_good(step, "%" PRIu64 " datagrams received%s", traffic.received,
                          traffic.kernel_drops > 0 ? ", and others lost in a full receive buffer" : "");
                return;
        }
        (void)answer_span(check->after, "uptime_seconds", &uptime);
        step_fail(step, "no datagram has arrived since the relay started, %s ago", span_format(span, uptime));
        host_blame_filter(check, port_of(check->after), blame, sizeof(blame));
        if (host_selects_clients(check))
                step_remedy(step, "Let the clients in with IPAddressAllow= of udp46.socket, which denies others "
                                  "(IPAddressDeny=), then try again.");
        else
                step_remedy(step, "%s", blame);
}

void check_allowed(Check *check, Step *step)
{
        Traffic traffic = traffic_of(check->after, NULL);

        if (traffic.received == 0)
                step_unknown(step, "no datagram has arrived");
        else if (traffic.bad_source == traffic.received) {
                step_fail(step, "all %" PRIu64 " datagrams had a source that no honest sender has (bad_source)",
                          traffic.bad_source);
                step_remedy(step,
                            "Look with tcpdump who sends them; a NAT in between that uses port 0 or an address of "
                            "this host does so.");
        } else
                step_good(step, "%" PRIu64 " of %" PRIu64 " were refused for their source%s", traffic.bad_source,
                          traffic.received,
                          host_selects_clients(check) ? "; IPAddressAllow= of udp46.socket selects clients, too" : "");
}

/* --- the upstream --- */

static void fact_add(Step *step, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fact_add(Step *step, const char *format, ...)
{
        size_t used = strlen(step->fact);
        va_list arguments;

        if (used > 0 && used + 3 < sizeof(step->fact)) {
                memcpy(step->fact + used, "; ", 3);
                used += 2;
        }
        va_start(arguments, format);
        (void)vsnprintf(step->fact + used, sizeof(step->fact) - used, format, arguments);
        va_end(arguments);
}

/* Takes a step for each name; the first one that fails is what the step says. */
static void each_name(Check *check, Step *step, void (*take)(Check *check, Step *step, const json_t *name))
{
        const json_t *names = names_of(check->after);
        StepResult result = STEP_UNKNOWN;

        if (json_array_size(names) == 0)
                fact_add(step, "there is no upstream");
        for (size_t i = 0; i < json_array_size(names); i++) {
                step->result = STEP_UNKNOWN;
                take(check, step, json_array_get(names, i));
                if (step->result == STEP_FAILED)
                        return;
                result = step->result == STEP_GOOD ? STEP_GOOD : result;
        }
        step->result = result;
}

static void name_resolved(Check *check, Step *step, const json_t *name)
{
        const char *address = answer_text(name, "upstream_address"), *upstream = answer_text(name, "upstream"),
                   *error = answer_text(name, "resolve_error");
        char span[SPAN_TEXT_MAX];
        usec_t age;

        (void)check;
        if (!*address) {
                step_fail(step, "%.200s has no address: %.200s", upstream, *error ? error : "not resolved yet");
                step_remedy(step,
                            "Give the name an IPv6 address (AAAA) and see that this host can resolve it: "
                            "`getent ahostsv6 %.*s`.",
                            (int)(strrchr(upstream, ':') ? strrchr(upstream, ':') - upstream : 0), upstream);
                return;
        }
        step->result = STEP_GOOD;
        if (strcmp(address, upstream) == 0)
                fact_add(step, "%.90s needs no resolving", address);
        else if (*error)
                fact_add(step, "%.200s was %.90s, which stays in use; the last question failed: %.120s", upstream,
                         address, error);
        else if (answer_span(name, "resolved_age_seconds", &age))
                fact_add(step, "%.200s is %.90s, confirmed %s ago", upstream, address, span_format(span, age));
        else
                fact_add(step, "%.200s is %.90s", upstream, address);
}

void check_resolved(Check *check, Step *step)
{
        each_name(check, step, name_resolved);
}

static void name_reachable(Check *check, Step *step, const json_t *name)
{
        const char *address = answer_text(name, "upstream_address"), *text = answer_text(name, "name");
        Traffic after = traffic_of(check->after, text), before = traffic_of(check->before, text);
        char said[1024];
        usec_t age;
        int route;

        if (!*address) {
                fact_add(step, "the address is not known");
                return;
        }
        route = host_route(check, address, said, sizeof(said));
        if (route == 0) {
                step_fail(step, "no route to %.90s: %.300s", address, said);
                step_remedy(step, "Give this host an IPv6 address and a route, see `ip -6 address` and `ip -6 route`.");
        } else if (after.icmp_errors > 0 &&
                   (!answer_span(name, "reply_age_seconds", &age) || after.icmp_errors > before.icmp_errors)) {
                step_fail(step, "%.90s is answered for with ICMP errors (%" PRIu64 ")", address, after.icmp_errors);
                step_remedy(step,
                            "See at the upstream that the service runs at this port, and that no router or firewall "
                            "in front of it refuses.");
        } else if (after.unreachable > 0 && (after.forwarded == 0 || after.unreachable > before.unreachable)) {
                step_fail(step, "%" PRIu64 " datagrams to %.90s could not be sent (no_route, unreachable, denied)",
                          after.unreachable, address);
                step_remedy(step, "See `journalctl -u udp46.service -p warning`, the route `ip -6 route get`, and this "
                                  "host's firewall for what it sends.");
        } else if (route > 0) {
                step->result = STEP_GOOD;
                fact_add(step, "there is a route to %.90s, and no error came back", address);
        } else if (after.forwarded > 0) {
                step->result = STEP_GOOD;
                fact_add(step, "%" PRIu64 " datagrams sent to %.90s, and no error came back", after.forwarded, address);
        } else
                fact_add(step, "nothing was sent to %.90s yet", address);
}

void check_reachable(Check *check, Step *step)
{
        each_name(check, step, name_reachable);
}

static void name_replies(Check *check, Step *step, const json_t *name)
{
        const char *address = answer_text(name, "upstream_address"), *text = answer_text(name, "name");
        Traffic after = traffic_of(check->after, text), before = traffic_of(check->before, text);
        char span[SPAN_TEXT_MAX];
        usec_t age;
        bool ever = answer_span(name, "reply_age_seconds", &age);

        if (after.forwarded == 0)
                fact_add(step, "nothing was sent to %.90s yet", *address ? address : "the upstream");
        else if (!ever || (age > SILENCE_MAX && after.forwarded > before.forwarded)) {
                if (ever)
                        step_fail(step, "the last reply from %.90s came %s ago, and datagrams are sent to it now",
                                  address, span_format(span, age));
                else
                        step_fail(step, "%" PRIu64 " datagrams sent to %.90s, and none was ever answered",
                                  after.forwarded, address);
                step_remedy(step,
                            "Look at the upstream: its firewall must let this port in, the service must listen there "
                            "over IPv6, and a WireGuard answers nothing to a wrong key (`wg show`).");
        } else {
                step->result = STEP_GOOD;
                fact_add(step, "the last reply from %.90s came %s ago", address, span_format(span, age));
        }
}

void check_replies(Check *check, Step *step)
{
        each_name(check, step, name_replies);
}

/* --- limits --- */

/* How much a reason of both directions grew; the key of the reason that grew most, NULL if none did. */
static const char *drops_grown(const Check *check, uint64_t *ret)
{
        static const char *const directions[] = {"client_to_upstream", "upstream_to_client"};
        const char *worst = NULL;

        *ret = 0;
        for (size_t r = 0; r < ELEMENTSOF(remedies); r++) {
                uint64_t sums[2] = {0, 0};

                for (size_t d = 0; d < ELEMENTSOF(directions); d++)
                        for (size_t s = 0; s < 2; s++) {
                                const json_t *listeners = listeners_of(s ? check->after : check->before);

                                for (size_t i = 0; i < json_array_size(listeners); i++)
                                        sums[s] += answer_count(answer_part(answer_part(json_array_get(listeners, i),
                                                                                        directions[d]),
                                                                            "drops"),
                                                                remedies[r].reason);
                        }
                if (sums[1] > sums[0] && sums[1] - sums[0] > *ret) {
                        *ret = sums[1] - sums[0];
                        worst = remedies[r].reason;
                }
        }
        return worst;
}

static const char *remedy_of(const char *reason)
{
        for (size_t i = 0; i < ELEMENTSOF(remedies); i++)
                if (strcmp(remedies[i].reason, reason) == 0)
                        return remedies[i].remedy;
        return "";
}

/* Who has as many sessions as there may be: a name, "the relay", or NULL. */
static const char *full_of(const json_t *status)
{
        const json_t *names = names_of(status);

        for (size_t i = 0; i < json_array_size(names); i++) {
                const json_t *name = json_array_get(names, i);

                if (answer_count(name, "limit") > 0 && answer_count(name, "sessions") >= answer_count(name, "limit"))
                        return answer_text(name, "name");
        }
        return answer_count(status, "limit") > 0 && answer_count(status, "sessions") >= answer_count(status, "limit")
                               ? "the relay"
                               : NULL;
}

void check_limits(Check *check, Step *step)
{
        Traffic before = traffic_of(check->before, NULL), after = traffic_of(check->after, NULL);
        const char *full = full_of(check->after), *reason;
        uint64_t n;

        reason = drops_grown(check, &n);
        if (full) {
                step_fail(step, "%.64s has as many sessions as it may have", full);
                step_remedy(step, "%s", remedy_of("table_full"));
        } else if (reason) {
                step_fail(step, "%" PRIu64 " datagrams were dropped in one second: %s", n, reason);
                step_remedy(step, "%s", remedy_of(reason));
        } else if (after.kernel_drops > before.kernel_drops) {
                step_fail(step, "%" PRIu64 " datagrams found the receive buffer full in one second",
                          after.kernel_drops - before.kernel_drops);
                step_remedy(step,
                            "Use several workers, or a larger ReceiveBuffer= in udp46.socket, see operations.md.");
        } else
                step_good(step, "%" PRIu64 " of %" PRIu64 " sessions, and nothing is being dropped",
                          answer_count(check->after, "sessions"), answer_count(check->after, "limit"));
}
