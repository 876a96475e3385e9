/* SPDX-License-Identifier: MIT */
/* Believes: one line answers "does it work?", and a line that changes too often is noise. Rates are rounded. */
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "daemon/status.h"

static uint64_t count(const Relay *relay, Direction direction, bool forwarded)
{
        uint64_t sum = 0;

        for (uint16_t i = 0; i < relay->n_listeners; i++)
                for (Verdict v = 0; v < N_VERDICTS; v++)
                        if ((v == VERDICT_FORWARDED) == forwarded)
                                sum += counter_get(&relay->listeners[i]->stats.directions[direction].verdicts[v]);
        return sum;
}

static uint64_t count_unreplied(const Relay *relay)
{
        uint64_t sum = 0;

        for (uint16_t i = 0; i < relay->n_policies; i++)
                sum += counter_get(&relay->policies[i]->n_sessions[SESSION_UNREPLIED]);
        return sum;
}

/* What went this way since the start, and a second since the last look. */
static void describe_direction(Status *status, FILE *to, const Relay *relay, Direction direction, usec_t passed)
{
        uint64_t total = count(relay, direction, true), n = total - status->forwarded[direction];

        status->forwarded[direction] = total;
        (void)fprintf(to, "%s %" PRIu64 " (%" PRIu64 "/s), ", direction == FORWARD ? "forward" : "reply", total,
                      passed > 0 ? n * USEC_PER_SEC / passed : 0);
}

static void describe_sessions(Status *status, FILE *to, const Relay *relay, usec_t now)
{
        usec_t passed = status->counted > 0 ? usec_sub(now, status->counted) : 0;
        uint64_t n = counter_get(&relay->quota.current), n_unreplied = count_unreplied(relay);

        (void)fprintf(to, "%" PRIu64 " session%s (", n, n == 1 ? "" : "s");
        if (n_unreplied > 0)
                (void)fprintf(to, "%" PRIu64 " unreplied, ", n_unreplied);
        (void)fprintf(to, "peak %" PRIu64 ", limit %" PRIu64 "), ", counter_get(&relay->quota.peak),
                      counter_get(&relay->quota.limit));
        describe_direction(status, to, relay, FORWARD, passed);
        describe_direction(status, to, relay, REPLY, passed);
        (void)fprintf(to, "%" PRIu64 " dropped, ", count(relay, FORWARD, false) + count(relay, REPLY, false));
        status->counted = now;
}

static void describe_upstream(FILE *to, const UpstreamState *state)
{
        char text[ENDPOINT_TEXT_MAX], address[ADDRESS_TEXT_MAX];
        bool known = state->address.family != 0;

        if (!known || !strchr(state->endpoint.host, ':')) /* a literal is its own name */
                (void)fprintf(to, "%s ", known ? state->endpoint.host : endpoint_format(text, &state->endpoint));
        if (!known || *state->why)
                (void)fprintf(to, "not resolved%s%s%s%s", *state->why ? " (" : "", state->why, *state->why ? ")" : "",
                              known ? ", still " : "");
        if (known)
                (void)fprintf(to, "%s", address_format(address, &state->address));
}

/* All of them; what does not fit into the line is cut off. */
static void describe_upstreams(FILE *to, const Upstreams *upstreams, unsigned n)
{
        (void)fprintf(to, "upstream%s ", n == 1 ? "" : "s");
        for (unsigned i = 0; i < n; i++) {
                describe_upstream(to, upstreams_get(upstreams, i));
                (void)fputs(i + 1 < n ? ", " : "", to);
        }
}

static void describe(Status *status, FILE *to, const Relay *relay, const Upstreams *upstreams, unsigned n, usec_t now)
{
        if (*status->trouble)
                (void)fprintf(to, "reload failed, the old configuration stays (%s); ", status->trouble);
        describe_sessions(status, to, relay, now);
        describe_upstreams(to, upstreams, n);
}

void status_say(const char *text)
{
        char line[sizeof(((Status *)NULL)->said)];

        (void)snprintf(line, sizeof(line), "%s", text);
        for (char *p = line; *p; p++)
                if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
                        *p = '?';
        (void)sd_notifyf(0, "STATUS=%s", line);
}

void status_update(Status *status, const Relay *relay, const Upstreams *upstreams, unsigned n_upstreams, usec_t now)
{
        char line[sizeof(status->said)] = "";
        FILE *to = fmemopen(line, sizeof(line), "w");

        if (!to)
                return;
        describe(status, to, relay, upstreams, n_upstreams, now);
        (void)fclose(to);
        line[sizeof(line) - 1] = '\0';
        if (strcmp(line, status->said) == 0)
                return;
        (void)strcpy(status->said, line);
        status_say(line);
}
