/* SPDX-License-Identifier: MIT */
/*
 * The command status: what a person wants to see first. The verdict, as on the status page, is the relay's own; the
 * exit status is about what it needs to relay at all, a listener and each upstream's address.
 */
#include <inttypes.h>
#include <string.h>

#include "ctl/answer.h"
#include "ctl/ctl.h"

enum { LABEL_WIDTH = 12 };

static void label(const char *name)
{
        (void)printf("%*s: ", LABEL_WIDTH, name);
}

static bool name_works(const json_t *name)
{
        return *answer_text(name, "upstream_address") != '\0';
}

static bool relay_works(const json_t *status)
{
        const json_t *names = answer_part(status, "names");
        bool works = json_array_size(answer_part(status, "listeners")) > 0 && json_array_size(names) > 0;

        for (size_t i = 0; i < json_array_size(names); i++)
                works = works && name_works(json_array_get(names, i));
        return works;
}

/* The dot in the colour of a verdict, and a blank. */
static void dot_show(const Ctl *ctl, const json_t *health)
{
        static const struct {
                const char *level;
                Shade shade;
        } shades[] = {{"good", SHADE_GOOD}, {"doubtful", SHADE_WARN}, {"bad", SHADE_BAD}};
        const Terminal *terminal = &ctl->terminal;
        Shade shade = SHADE_PLAIN;

        for (size_t i = 0; i < ELEMENTSOF(shades); i++)
                if (strcmp(answer_text(health, "level"), shades[i].level) == 0)
                        shade = shades[i].shade;
        (void)printf("%s%s%s ", terminal_shade(terminal, shade), terminal_dot(terminal), terminal_plain(terminal));
}

static void health_show(const json_t *health)
{
        if (health) {
                (void)fputs(" - ", stdout);
                text_put(stdout, answer_text(health, "word"));
                (void)fputs(": ", stdout);
                text_put(stdout, answer_text(health, "text"));
        }
        (void)putchar('\n');
}

static void sessions_show(const json_t *object)
{
        label("Sessions");
        (void)printf("%" PRIu64 " (%" PRIu64 " of %" PRIu64 " unreplied, peak %" PRIu64 ", limit %" PRIu64 ")\n",
                     answer_count(object, "sessions"), answer_count(object, "unreplied"),
                     answer_count(object, "unreplied_limit"), answer_count(object, "peak"),
                     answer_count(object, "limit"));
}

static void age_show(const char *what, const json_t *object, const char *key, const char *never)
{
        char text[SPAN_TEXT_MAX];
        usec_t age;

        label(what);
        if (answer_span(object, key, &age))
                (void)printf("%s ago\n", span_format(text, age));
        else
                (void)printf("%s\n", never);
}

static void direction_show(const char *what, const json_t *direction)
{
        char text[AMOUNT_TEXT_MAX];
        const uint64_t n_sent = answer_count(direction, "datagrams");
        const char *reason, *separator = " (";
        json_t *n;

        label(what);
        (void)printf("%" PRIu64 " datagram%s, %s, %" PRIu64 " dropped", n_sent, plural(n_sent),
                     amount_format(text, answer_count(direction, "bytes")), answer_dropped(direction));
        json_object_foreach((json_t *)(uintptr_t)answer_part(direction, "drops"), reason, n)
        {
                if (json_integer_value(n) <= 0)
                        continue;
                (void)fputs(separator, stdout);
                text_put(stdout, reason);
                (void)printf(" %" PRIu64, (uint64_t)json_integer_value(n));
                separator = ", ";
        }
        (void)puts(*separator == ',' ? ")" : "");
}

static void listener_show(const json_t *listener)
{
        uint64_t workers = answer_count(listener, "workers"), lost = answer_count(listener, "kernel_drops"),
                 icmp = answer_count(listener, "icmp_errors");

        label("Listener");
        text_put(stdout, answer_text(listener, "listener"));
        if (workers > 1)
                (void)printf(", %" PRIu64 " workers", workers);
        if (lost > 0)
                (void)printf(", %" PRIu64 " datagram%s lost in its full receive buffer", lost, plural(lost));
        if (icmp > 0)
                (void)printf(", %" PRIu64 " ICMP error%s from its upstream's side", icmp, plural(icmp));
        (void)putchar('\n');
        direction_show("Forward", answer_part(listener, "client_to_upstream"));
        direction_show("Reply", answer_part(listener, "upstream_to_client"));
}

static void upstream_show(const Ctl *ctl, const json_t *name, bool restored)
{
        const char *error = answer_text(name, "resolve_error"), *address = answer_text(name, "upstream_address"),
                   *upstream = answer_text(name, "upstream");
        const Terminal *terminal = &ctl->terminal;

        label("Upstream");
        text_put(stdout, upstream);
        if (!name_works(name))
                (void)printf(", %snot resolved%s", terminal_shade(terminal, SHADE_BAD), terminal_plain(terminal));
        else if (strcmp(address, upstream) != 0) {
                (void)fputs(", at ", stdout);
                text_put(stdout, address);
        }
        if (*error) {
                (void)fputs(" (", stdout);
                text_put(stdout, error);
                (void)putchar(')');
        }
        (void)putchar('\n');
        if (strcmp(address, upstream) != 0)
                age_show("Resolved", name, "resolved_age_seconds", "never");
        if (json_array_size(answer_part(name, "upstreams")) < 2) /* else each has its own */
                age_show("Last reply", name, "reply_age_seconds", restored ? "none since the restart" : "none yet");
}

/* One of several. */
static void target_show(const Ctl *ctl, const json_t *target, size_t number)
{
        const char *address = answer_text(target, "address"), *upstream = answer_text(target, "upstream"),
                   *state = answer_text(target, "state"), *error = answer_text(target, "resolve_error");
        const uint64_t n = answer_count(target, "sessions"), icmp = answer_count(target, "icmp_errors");
        const Terminal *terminal = &ctl->terminal;
        char what[32], span[SPAN_TEXT_MAX];
        usec_t age;

        (void)snprintf(what, sizeof(what), "Number %zu", number);
        label(what);
        text_put(stdout, upstream);
        if (*address && strcmp(address, upstream) != 0) {
                (void)fputs(", at ", stdout);
                text_put(stdout, address);
        }
        (void)printf(", %s", terminal_shade(terminal, strcmp(state, "down") == 0 ? SHADE_BAD : SHADE_PLAIN));
        text_put(stdout, *address ? state : "not resolved");
        (void)fputs(terminal_plain(terminal), stdout);
        if (*error) {
                (void)fputs(" (", stdout);
                text_put(stdout, error);
                (void)putchar(')');
        }
        if (json_is_true(answer_part(target, "drained")))
                (void)printf(", %sdrained%s", terminal_shade(terminal, SHADE_WARN), terminal_plain(terminal));
        (void)printf("%s, %" PRIu64 " session%s", json_is_true(answer_part(target, "chosen")) ? ", chosen" : "", n,
                     plural(n));
        if (answer_span(target, "reply_age_seconds", &age))
                (void)printf(", last reply %s ago", span_format(span, age));
        if (icmp > 0)
                (void)printf(", %" PRIu64 " ICMP error%s", icmp, plural(icmp));
        (void)putchar('\n');
}

static void targets_show(const Ctl *ctl, const json_t *targets)
{
        for (size_t i = 0; json_array_size(targets) > 1 && i < json_array_size(targets); i++)
                target_show(ctl, json_array_get(targets, i), i + 1);
}

static void name_show(const Ctl *ctl, const json_t *name, const json_t *listeners, bool restored)
{
        const json_t *health = answer_part(name, "health");
        const char *text = answer_text(name, "name");

        (void)putchar('\n');
        dot_show(ctl, health);
        text_put(stdout, text);
        health_show(health);
        upstream_show(ctl, name, restored);
        targets_show(ctl, answer_part(name, "upstreams"));
        sessions_show(name);
        for (size_t i = 0; i < json_array_size(listeners); i++)
                if (strcmp(answer_text(json_array_get(listeners, i), "name"), text) == 0)
                        listener_show(json_array_get(listeners, i));
}

/* What became of the sessions of the process before. */
static void restored_show(const json_t *restored)
{
        uint64_t n = answer_count(restored, "sessions");
        char text[SPAN_TEXT_MAX];
        usec_t gap;

        label("Taken over");
        (void)printf("%" PRIu64 " session%s, %" PRIu64 " lost", n, plural(n), answer_count(restored, "lost"));
        if (answer_span(restored, "gap_seconds", &gap))
                (void)printf(", gap %s", span_format(text, gap));
        (void)putchar('\n');
}

static void reload_show(const Ctl *ctl, const char *error)
{
        label("Reload");
        (void)printf("%sfailed%s, the configuration before stays: ", terminal_shade(&ctl->terminal, SHADE_WARN),
                     terminal_plain(&ctl->terminal));
        text_put(stdout, error);
        (void)putchar('\n');
}

static void status_show(const Ctl *ctl, const json_t *status)
{
        const json_t *names = answer_part(status, "names"), *listeners = answer_part(status, "listeners");
        const json_t *health = answer_part(status, "health"), *restored = answer_part(status, "restored");
        char text[SPAN_TEXT_MAX];
        usec_t uptime;

        dot_show(ctl, health);
        (void)fputs("udp46 ", stdout);
        text_put(stdout, answer_text(status, "version"));
        health_show(health);
        if (answer_span(status, "uptime_seconds", &uptime)) {
                label("Running");
                (void)printf("for %s\n", span_format(text, uptime));
        }
        if (*answer_text(status, "reload_error"))
                reload_show(ctl, answer_text(status, "reload_error"));
        if (json_is_object(restored))
                restored_show(restored);
        sessions_show(status);
        for (size_t i = 0; i < json_array_size(names); i++)
                name_show(ctl, json_array_get(names, i), listeners, json_is_object(restored));
}

int status_run(Ctl *ctl)
{
        _cleanup_json_ json_t *status = NULL;

        if (answer_status(ctl->client, &status) < 0)
                return ctl_fail(ctl);
        terminal_page(&ctl->terminal);
        if (ctl->options->json == JSON_FORM_NONE)
                status_show(ctl, status);
        else {
                answer_print(status, ctl->options->json, stdout);
                (void)putchar('\n');
        }
        return relay_works(status) ? CTL_OK : CTL_NOT_WORKING;
}
