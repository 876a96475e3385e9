/* SPDX-License-Identifier: MIT */
/*
 * Believes: counters are of the whole life of the relay. So what happened once accuses nobody; what happened in the
 * last minute, which the relay remembers, or what never worked, does.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "ctl/check.h"

/* For so long nobody is blamed for not having sent anything yet. */
#define PATIENCE USEC_PER_MINUTE

enum { HOST_TO_PASTE_MAX = 254 };

static const char loop_remedy[] = "Upstream= must be the address of the service itself; see with `journalctl -x -u "
                                  "udp46.service` what leads the relay's datagrams back to it.";

#define LOOK_FOR_STRANGERS                                                                              \
        "If `udp46ctl sessions` shows many `unreplied` ones of different addresses, these are "         \
        "strangers or forged clients, against whom a larger limit does not help: see \"Under attack\" " \
        "in operations.md. "

/* What to do about datagrams that are dropped for a reason. */
static const struct {
        const char *reason, *remedy;
} remedies[] = {
                {"oversize", "Raise MaxDatagramSize= in udp46.conf, if datagrams of this size are meant."},
                {"upstream_unresolved", "Mend the upstream's name in DNS."},
                {"table_full", LOOK_FOR_STRANGERS "Else raise MaxSessions= in udp46.conf."},
                {"unreplied_full", "See whether the upstream answers. " LOOK_FOR_STRANGERS
                                   "Else raise MaxUnrepliedSessions= in udp46.conf."},
                {"new_session_limit", LOOK_FOR_STRANGERS "Else raise NewSessionLimitBurst= in udp46.conf."},
                {"client_limit", "If many clients share that address, raise ClientLimitBurst= in udp46.conf."},
                {"loop", loop_remedy},
                {"amplification", "If the service may answer strangers with so much, raise AmplificationLimit=."},
                {"no_descriptor", "Raise LimitNOFILE= of udp46.service."},
                {"no_port", "Give the relay addresses of its own with SourceAddress=, or lower MaxSessions=."},
                {"no_memory", "Give this host more memory."},
                {"no_route", "Give this host a route and an IPv6 address, see `ip -6 route`."},
                {"no_device", "Create the interface that BindToDevice= names, or mend the name, see `ip link show`."},
                {"unreachable", "Look whether the upstream and its network are up."},
                {"send_buffer_full",
                 "The link is slower than what comes in: make it faster, or let clients send less."},
                {"write_timeout", "The link is slower than what comes in: make it faster, or raise WriteTimeoutSec=."},
                {"too_big", "Use a smaller MTU at the sender."},
                {"denied", "Let this host's firewall send to the upstream, and see IPAddressDeny= of udp46.service."},
                {"send_failed", "See `journalctl -u udp46.service -p warning`."},
};

static const char *remedy_of(const char *reason)
{
        for (size_t i = 0; i < ELEMENTSOF(remedies); i++)
                if (strcmp(remedies[i].reason, reason) == 0)
                        return remedies[i].remedy;
        return "";
}

/* What the listeners of one name did together, or all of them. */
typedef struct Traffic {
        uint64_t received, forwarded, kernel_drops, icmp_errors, bad_source, not_allowed, no_room;
} Traffic;

/* A list of what happened: "no_route 7, denied 2". */
typedef struct Tally {
        char text[200];
        uint64_t sum, most;
        const char *worst; /* NULL: nothing happened */
} Tally;

static void tally_add(Tally *tally, const char *reason, uint64_t n)
{
        size_t used = strlen(tally->text);

        if (n == 0)
                return;
        (void)snprintf(tally->text + used, sizeof(tally->text) - used, "%s%s %" PRIu64, used > 0 ? ", " : "", reason,
                       n);
        tally->sum += n;
        if (n > tally->most) {
                tally->most = n;
                tally->worst = reason;
        }
}

static const json_t *listeners_of(const json_t *status)
{
        return answer_part(status, "listeners");
}

static const json_t *names_of(const json_t *status)
{
        return answer_part(status, "names");
}

static const json_t *recent_of(const json_t *status)
{
        return answer_part(status, "recent");
}

/* How long that is. */
static const char *recent_span(const json_t *status, char span[static SPAN_TEXT_MAX])
{
        usec_t t;

        (void)answer_span(recent_of(status), "seconds", &t);
        return span_format(span, t);
}

static void traffic_add(Traffic *traffic, const json_t *listener)
{
        const json_t *forward = answer_part(listener, "client_to_upstream"), *drops = answer_part(forward, "drops");

        traffic->received += answer_count(forward, "received");
        traffic->forwarded += answer_count(forward, "datagrams");
        traffic->kernel_drops += answer_count(listener, "kernel_drops");
        traffic->icmp_errors += answer_count(listener, "icmp_errors");
        traffic->bad_source += answer_count(drops, "bad_source");
        traffic->not_allowed += answer_count(drops, "not_allowed");
        traffic->no_room += answer_count(drops, "table_full") + answer_count(drops, "unreplied_full");
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
        const json_t *listeners = listeners_of(check->status);
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

/* The port of an address, where it has one. */
static const char *port_of(const char *address)
{
        const char *colon = strrchr(address, ':');

        return colon && colon[1] && strlen(colon) <= 6 && strspn(colon + 1, "0123456789") == strlen(colon + 1)
                               ? colon + 1
                               : "51820";
}

/* Sessions to this name were taken over, and nobody has sent anything since: its clients are quiet, not kept away. */
static bool is_quiet(const json_t *status, const char *name)
{
        for (size_t i = 0; i < json_array_size(names_of(status)); i++) {
                const json_t *of = json_array_get(names_of(status), i);

                if (strcmp(answer_text(of, "name"), name) == 0)
                        return answer_count(of, "sessions") > 0 && traffic_of(status, name).received == 0;
        }
        return false;
}

/* The listeners at which nothing has arrived though it should have, as a list; how many, and the first of them. */
static size_t list_idle(const json_t *status, char *to, size_t size, const json_t **ret_first)
{
        const json_t *listeners = listeners_of(status);
        size_t used = 0, n = 0;

        for (size_t i = 0; i < json_array_size(listeners) && used < size; i++) {
                const json_t *listener = json_array_get(listeners, i);

                if (answer_count(answer_part(listener, "client_to_upstream"), "received") > 0 ||
                    is_quiet(status, answer_text(listener, "name")))
                        continue;
                used += (size_t)snprintf(to + used, size - used, "%s%.90s (%.64s)", n > 0 ? ", " : "",
                                         answer_text(listener, "listener"), answer_text(listener, "name"));
                *ret_first = n++ > 0 ? *ret_first : listener;
        }
        return n;
}

void check_arriving(Check *check, Step *step)
{
        Traffic traffic = traffic_of(check->status, NULL);
        char span[SPAN_TEXT_MAX], text[CHECK_TEXT_MAX] = "";
        const json_t *listeners = listeners_of(check->status), *first = NULL;
        size_t n_idle = list_idle(check->status, text, sizeof(text) / 2, &first);
        usec_t uptime;

        if (json_array_size(listeners) == 0) {
                step_unknown(step, "there is no listener");
                return;
        }
        (void)answer_span(check->status, "uptime_seconds", &uptime);
        (void)span_format(span, uptime);
        if (n_idle == 0 && traffic.received == 0) {
                const uint64_t n = answer_count(check->status, "sessions");

                step_unknown(step, "%" PRIu64 " session%s taken over, and nothing has come since the restart, %s ago",
                             n, n == 1 ? " was" : "s were", span);
                return;
        }
        if (n_idle == 0) {
                step_good(step, "%" PRIu64 " datagram%s received%s", traffic.received, plural(traffic.received),
                          traffic.kernel_drops > 0 ? ", and others lost in a full receive buffer" : "");
                return;
        }
        if (traffic.received > 0)
                step_unknown(step, "none has arrived at %s since the relay started, %s ago; %" PRIu64 " elsewhere",
                             text, span, traffic.received);
        else if (uptime < PATIENCE)
                step_unknown(step, "no datagram has arrived yet, the relay started %s ago", span);
        else
                step_fail(step, "no datagram has arrived since the relay started, %s ago", span);
        host_blame_filter(check, port_of(answer_text(first, "listener")), text, sizeof(text));
        if (host_selects_clients(check))
                step_remedy(step, "Let the clients in with IPAddressAllow= of udp46.socket, which denies others "
                                  "(IPAddressDeny=), then try again.");
        else
                step_remedy(step, "%s", text);
}

void check_allowed(Check *check, Step *step)
{
        const Traffic traffic = traffic_of(check->status, NULL);
        /* Who has a session was let in, if only by the process before. */
        const bool nobody = answer_count(check->status, "sessions") == 0 &&
                            traffic.bad_source + traffic.not_allowed == traffic.received;

        if (traffic.received == 0)
                step_unknown(step, "no datagram has arrived");
        else if (nobody && traffic.not_allowed > 0) {
                step_fail(step,
                          "%" PRIu64 " of %" PRIu64 " datagram%s kept out by AllowFrom=/DenyFrom=, and nobody let in",
                          traffic.not_allowed, traffic.received, plural(traffic.received));
                step_remedy(step, "Let the clients in with AllowFrom=/DenyFrom= in udp46.conf, and reload; if these "
                                  "are strangers, all is well.");
        } else if (nobody) {
                step_fail(step,
                          "all that came, %" PRIu64 " datagram%s, had a source that no honest sender has (bad_source)",
                          traffic.bad_source, plural(traffic.bad_source));
                step_remedy(step,
                            "Look with tcpdump who sends them; a NAT in between that uses port 0 or an address of "
                            "this host does so.");
        } else
                step_good(step,
                          "%" PRIu64 " of %" PRIu64 " datagram%s refused for the source, %" PRIu64
                          " kept out by AllowFrom=/DenyFrom=%s",
                          traffic.bad_source, traffic.received, plural(traffic.received), traffic.not_allowed,
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

/* Takes a step for each name: the first one that fails is what the step says; it is good if it is good for all. */
static void each_name(Check *check, Step *step, void (*take)(Check *check, Step *step, const json_t *name))
{
        const json_t *names = names_of(check->status);
        bool all_good = json_array_size(names) > 0;

        if (!all_good)
                fact_add(step, "there is no upstream");
        for (size_t i = 0; i < json_array_size(names); i++) {
                step->result = STEP_UNKNOWN;
                take(check, step, json_array_get(names, i));
                if (step->result == STEP_FAILED)
                        return;
                all_good = all_good && step->result == STEP_GOOD;
        }
        step->result = all_good ? STEP_GOOD : STEP_UNKNOWN;
}

/*
 * The host of an upstream, for a command that somebody may paste into a root shell: if the relay says anything but a
 * name, it is not in it.
 */
static const char *host_to_paste(char host[static HOST_TO_PASTE_MAX], const char *upstream)
{
        size_t n = strspn(upstream, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

        if (n == 0 || n >= HOST_TO_PASTE_MAX || upstream[n] != ':' || *upstream == '-')
                return "NAME";
        memcpy(host, upstream, n);
        host[n] = '\0';
        return host;
}

/* An error of daemon/upstreams.c: there is an address. */
static bool leads_back(const char *error)
{
        return strstr(error, "leads back");
}

/* Not every reason is the name's: the other errors are those of resolve/resolver.c. */
static void resolved_remedy(Step *step, const char *upstream, const char *error)
{
        char host[HOST_TO_PASTE_MAX];

        if (leads_back(error))
                step_remedy(step, "%s", loop_remedy);
        else if (!*error || strstr(error, "name service"))
                step_remedy(step,
                            "See which name service the relay's host asks (/etc/resolv.conf), that it answers "
                            "(`getent ahostsv6 %s`), and that no firewall stops port 53 on the way out.",
                            host_to_paste(host, upstream));
        else if (strstr(error, "interface"))
                step_remedy(step, "Behind the %% name an interface that `ip link` shows.");
        else
                step_remedy(step,
                            "Give the name an IPv6 address (AAAA) that can be used, and see that the relay's host can "
                            "resolve it: `getent ahostsv6 %s`.",
                            host_to_paste(host, upstream));
}

static bool fail_unresolved(Step *step, const json_t *of, const char *address)
{
        const char *upstream = answer_text(of, "upstream"), *error = answer_text(of, "resolve_error");

        if (*address)
                return false;
        step_fail(step, "%.200s %s: %.200s", upstream, leads_back(error) ? "cannot be used" : "has no address",
                  *error ? error : "not resolved yet");
        resolved_remedy(step, upstream, error);
        return true;
}

/* One of several has no address: that is a fault even while another one is chosen. */
static bool fail_any_unresolved(Step *step, const json_t *name)
{
        const json_t *upstreams = answer_part(name, "upstreams");

        for (size_t i = 0; i < json_array_size(upstreams); i++) {
                const json_t *one = json_array_get(upstreams, i);

                if (fail_unresolved(step, one, answer_text(one, "address")))
                        return true;
        }
        return false;
}

static void name_resolved(Check *check, Step *step, const json_t *name)
{
        const char *address = answer_text(name, "upstream_address"), *upstream = answer_text(name, "upstream"),
                   *error = answer_text(name, "resolve_error");
        char span[SPAN_TEXT_MAX];
        usec_t age;

        (void)check;
        if (fail_unresolved(step, name, address) || fail_any_unresolved(step, name))
                return;
        step->result = STEP_GOOD;
        if (strcmp(address, upstream) == 0)
                fact_add(step, "%.90s needs no resolving", address);
        else if (*error && answer_span(name, "resolved_age_seconds", &age))
                fact_add(step, "%.200s was %.90s %s ago, which stays in use; the last question failed: %.120s",
                         upstream, address, span_format(span, age), error);
        else if (answer_span(name, "resolved_age_seconds", &age))
                fact_add(step, "%.200s is %.90s, confirmed %s ago", upstream, address, span_format(span, age));
        else
                fact_add(step, "%.200s is %.90s", upstream, address);
}

void check_resolved(Check *check, Step *step)
{
        each_name(check, step, name_resolved);
}

/* ICMP errors came back for this name, and lately some; or there never was anything better. */
static bool fail_icmp(Check *check, Step *step, const json_t *name, const Traffic *traffic)
{
        const uint64_t lately = answer_count(recent_of(check->status), "icmp_errors");
        char span[SPAN_TEXT_MAX];
        usec_t age;

        if (traffic->icmp_errors == 0 || (lately == 0 && answer_span(name, "reply_age_seconds", &age)))
                return false;
        step_fail(step,
                  "%.90s is answered for with ICMP errors: %" PRIu64 " since the start, %" PRIu64 "%s in the last %s",
                  answer_text(name, "upstream_address"), traffic->icmp_errors, lately,
                  json_array_size(names_of(check->status)) > 1 ? " at all listeners" : "",
                  recent_span(check->status, span));
        step_remedy(step, "See at the upstream that the service runs at this port, and that no router or firewall in "
                          "front of it refuses.");
        return true;
}

/* What keeps a datagram from leaving, or from arriving. */
static const char *const unreachable_reasons[] = {"no_route", "no_device", "unreachable", "denied"};

/* The kernel refused to send to this name, and lately, too; or it always did. */
static bool fail_unreachable(Check *check, Step *step, const json_t *name, const Traffic *traffic)
{
        const char *address = answer_text(name, "upstream_address");
        const json_t *listeners = listeners_of(check->status),
                     *drops = answer_part(answer_part(recent_of(check->status), "client_to_upstream"), "drops");
        uint64_t lately = 0;
        Tally tally = {0};
        char span[SPAN_TEXT_MAX];

        for (size_t r = 0; r < ELEMENTSOF(unreachable_reasons); r++) {
                uint64_t n = 0;

                for (size_t i = 0; i < json_array_size(listeners); i++) {
                        const json_t *listener = json_array_get(listeners, i);

                        if (strcmp(answer_text(listener, "name"), answer_text(name, "name")) == 0)
                                n += answer_count(answer_part(answer_part(listener, "client_to_upstream"), "drops"),
                                                  unreachable_reasons[r]);
                }
                tally_add(&tally, unreachable_reasons[r], n);
                lately += answer_count(drops, unreachable_reasons[r]);
        }
        if (tally.sum == 0 || (lately == 0 && traffic->forwarded > 0))
                return false;
        step_fail(step, "%" PRIu64 " datagram%s to %.90s could not be sent (%s), %" PRIu64 "%s in the last %s",
                  tally.sum, plural(tally.sum), address, tally.text, lately,
                  json_array_size(names_of(check->status)) > 1 ? " at all listeners" : "",
                  recent_span(check->status, span));
        if (strcmp(tally.worst, "no_device") == 0) {
                step_remedy(step, "%s", remedy_of(tally.worst));
                return true;
        }
        step_remedy(step,
                    "See `journalctl -u udp46.service -p warning`, the route `ip -6 route get %.*s`, and this host's "
                    "firewall for what it sends.",
                    (int)strcspn(address + (*address == '['), "]%"), address + (*address == '['));
        return true;
}

static void name_reachable(Check *check, Step *step, const json_t *name)
{
        const char *address = answer_text(name, "upstream_address");
        const Traffic traffic = traffic_of(check->status, answer_text(name, "name"));
        char said[1024], span[SPAN_TEXT_MAX];
        int route;

        if (!*address) {
                fact_add(step, "the address is not known");
                return;
        }
        route = host_route(check, address, said, sizeof(said));
        if (route == 0) {
                step_fail(step, "no route to %.90s: %.300s", address, said);
                step_remedy(step, "Give this host an IPv6 address and a route, see `ip -6 address` and `ip -6 route`.");
                return;
        }
        if (fail_icmp(check, step, name, &traffic) || fail_unreachable(check, step, name, &traffic))
                return;
        if (traffic.forwarded > 0)
                fact_add(step, "%" PRIu64 " datagram%s sent%s to %.90s, and no error came back in the last %s",
                         traffic.forwarded, plural(traffic.forwarded),
                         json_array_size(answer_part(name, "upstreams")) > 1 ? ", now" : "", address,
                         recent_span(check->status, span));
        else if (route > 0)
                fact_add(step, "there is a route to %.90s, and nothing was sent to it yet", address);
        else
                fact_add(step, "nothing was sent to %.90s yet", address);
        step->result = traffic.forwarded > 0 || route > 0 ? STEP_GOOD : STEP_UNKNOWN;
}

void check_reachable(Check *check, Step *step)
{
        each_name(check, step, name_reachable);
}

/* One of several is asked and does not answer, whoever does its work meanwhile; but one that is left on purpose may. */
static bool fail_down(Step *step, const json_t *name)
{
        const json_t *upstreams = answer_part(name, "upstreams");
        size_t n = json_array_size(upstreams);

        for (size_t i = 0; n > 1 && i < n; i++) {
                const json_t *one = json_array_get(upstreams, i);
                const uint64_t n_sessions = answer_count(one, "sessions");

                if (strcmp(answer_text(one, "state"), "down") != 0 || json_is_true(answer_part(one, "drained")))
                        continue;
                step_fail(step, "%.200s, number %zu of %zu, does not answer; %" PRIu64 " session%s there",
                          answer_text(one, "upstream"), i + 1, n, n_sessions, n_sessions == 1 ? " is" : "s are");
                step_remedy(step,
                            "Look at that upstream, its network, and its firewall; or leave it with `udp46ctl drain`.");
                return true;
        }
        return false;
}

/* Who answered last; the name's one upstream, if nobody has. */
static const char *who_answered(const json_t *name)
{
        const json_t *upstreams = answer_part(name, "upstreams");
        const char *who = answer_text(name, "upstream_address");
        usec_t least = USEC_NEVER, age;

        for (size_t i = 0; i < json_array_size(upstreams); i++) {
                const json_t *one = json_array_get(upstreams, i);

                if (!answer_span(one, "reply_age_seconds", &age) || age >= least)
                        continue;
                least = age;
                who = answer_text(one, "address");
        }
        return who;
}

/* How long an upstream may be silent, the relay decides: asked_age_seconds is there for one that is. */
static void name_replies(Check *check, Step *step, const json_t *name)
{
        const char *address = who_answered(name);
        const Traffic traffic = traffic_of(check->status, answer_text(name, "name"));
        char span[SPAN_TEXT_MAX], sent[SPAN_TEXT_MAX];
        usec_t age, asked;
        bool ever = answer_span(name, "reply_age_seconds", &age),
             silent = ever && answer_span(name, "asked_age_seconds", &asked) && asked < age;

        if (fail_down(step, name))
                return;
        if (!*address) {
                fact_add(step, "the address is not known");
                return;
        }
        if (traffic.forwarded == 0 && !ever) {
                fact_add(step, "nothing was sent to %.90s yet", address);
                return;
        }
        if (ever && !silent) {
                step->result = STEP_GOOD;
                fact_add(step, "the last reply from %.90s came %s ago", address, span_format(span, age));
                return;
        }
        if (ever)
                step_fail(step,
                          "the last reply from %.90s came %s ago, and clients have sent since, the last time %s ago",
                          address, span_format(span, age), span_format(sent, asked));
        else
                step_fail(step, "%" PRIu64 " datagram%s sent to %.90s, and none was ever answered", traffic.forwarded,
                          plural(traffic.forwarded), address);
        step_remedy(step,
                    "Look at the upstream: its firewall must let this port in, the service must listen there over "
                    "IPv6, and a WireGuard answers nothing to a wrong key (`wg show`). The firewall of the relay's "
                    "host must let in UDP from the upstream's port %s. One that answers from another address needs "
                    "ReplyFrom=.",
                    port_of(address));
}

void check_replies(Check *check, Step *step)
{
        each_name(check, step, name_replies);
}

/* --- limits --- */

/* What was dropped lately, both ways; whose source is forged is no loss. */
static Tally drops_lately(const json_t *status)
{
        const json_t *recent = recent_of(status), *forward = answer_part(recent, "client_to_upstream"),
                     *reply = answer_part(recent, "upstream_to_client");
        Tally tally = {0};

        for (size_t i = 0; i < ELEMENTSOF(remedies); i++)
                tally_add(&tally, remedies[i].reason,
                          answer_count(answer_part(forward, "drops"), remedies[i].reason) +
                                          answer_count(answer_part(reply, "drops"), remedies[i].reason));
        if (answer_count(answer_part(forward, "drops"), "loop") > 0) /* what goes round fills all that has a limit */
                tally.worst = "loop";
        return tally;
}

static bool is_full(const json_t *object)
{
        return answer_count(object, "limit") > 0 && answer_count(object, "sessions") >= answer_count(object, "limit");
}

/* name NULL: the whole relay is. */
static void fail_full(Check *check, Step *step, const json_t *full, const char *name)
{
        const uint64_t sessions = answer_count(full, "sessions"), limit = answer_count(full, "limit"),
                       refused = traffic_of(check->status, name).no_room;
        const char *lowered = answer_text(check->status, "limit_lowered");
        char whose[128] = "";

        if (name)
                (void)snprintf(whose, sizeof(whose), " of the listeners named %.64s", name);
        if (sessions > limit)
                step_fail(step, "%" PRIu64 " sessions%s open where %" PRIu64 " may be; %" PRIu64 " datagram%s refused",
                          sessions, whose, limit, refused, plural(refused));
        else
                step_fail(step, "%" PRIu64 " of %" PRIu64 " session%s%s taken; %" PRIu64 " datagram%s refused",
                          sessions, limit, plural(limit), whose, refused, plural(refused));
        if (!name && *lowered) {
                step_remedy(step, LOOK_FOR_STRANGERS "There may be fewer sessions than configured: %.200s.", lowered);
                return;
        }
        step_remedy(step, LOOK_FOR_STRANGERS "Else raise MaxSessions= in the section [Relay%s%.64s] of udp46.conf.",
                    name ? " " : "", name ? name : "");
}

void check_limits(Check *check, Step *step)
{
        const json_t *status = check->status, *names = names_of(status);
        const Tally tally = drops_lately(status);
        const uint64_t lost = answer_count(recent_of(status), "kernel_drops");
        char span[SPAN_TEXT_MAX];

        (void)recent_span(status, span);
        if (is_full(status)) {
                fail_full(check, step, status, NULL);
                return;
        }
        for (size_t i = 0; i < json_array_size(names); i++)
                if (is_full(json_array_get(names, i))) {
                        fail_full(check, step, json_array_get(names, i), answer_text(json_array_get(names, i), "name"));
                        return;
                }
        if (tally.worst) {
                step_fail(step, "%" PRIu64 " datagram%s dropped in the last %s: %s", tally.sum, plural(tally.sum), span,
                          tally.text);
                step_remedy(step, "%s", remedy_of(tally.worst));
        } else if (lost > 0) {
                step_fail(step, "%" PRIu64 " datagram%s found the receive buffer full in the last %s", lost,
                          plural(lost), span);
                step_remedy(step,
                            "Use several workers, or a larger ReceiveBuffer= in udp46.socket, see operations.md.");
        } else
                step_good(step, "%" PRIu64 " of %" PRIu64 " session%s taken, and nothing dropped in the last %s",
                          answer_count(status, "sessions"), answer_count(status, "limit"),
                          plural(answer_count(status, "limit")), span);
}
