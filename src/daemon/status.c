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

/* Datagrams a second since the last look. */
static uint64_t rate(Status *status, Direction direction, uint64_t total, usec_t passed)
{
        uint64_t n = total - status->forwarded[direction];

        status->forwarded[direction] = total;
        return passed > 0 ? n * USEC_PER_SEC / passed : 0;
}

static void describe_upstreams(FILE *to, const Upstreams *upstreams, unsigned n)
{
        unsigned n_known = 0, unknown = 0;
        char text[ENDPOINT_TEXT_MAX], address[ADDRESS_TEXT_MAX];

        for (unsigned i = 0; i < n; i++) {
                if (upstreams_get(upstreams, i)->address.family != 0)
                        n_known++;
                else
                        unknown = i;
        }
        if (n_known < n) {
                const UpstreamState *state = upstreams_get(upstreams, unknown);

                (void)fprintf(to, "upstream %s not resolved", endpoint_format(text, &state->endpoint));
                if (*state->why)
                        (void)fprintf(to, " (%s)", state->why);
        } else if (n == 1) {
                const UpstreamState *state = upstreams_get(upstreams, 0);

                (void)fprintf(to, "upstream ");
                if (state->endpoint.literal.family == 0)
                        (void)fprintf(to, "%s ", state->endpoint.host);
                if (*state->why)
                        (void)fprintf(to, "not resolved (%s), still ", state->why);
                (void)fprintf(to, "%s", address_format(address, &state->address));
        } else
                (void)fprintf(to, "%u upstreams", n);
}

static void describe(Status *status, FILE *to, const Relay *relay, const Upstreams *upstreams, unsigned n, usec_t now)
{
        if (*status->trouble)
                (void)fprintf(to, "reload failed, the old configuration stays (%s); ", status->trouble);
        if (relay) {
                usec_t passed = status->counted > 0 ? usec_sub(now, status->counted) : 0;
                uint64_t n_sessions = counter_get(&relay->quota.current);

                (void)fprintf(to, "%" PRIu64 " session%s (peak %" PRIu64 ", limit %" PRIu64 "), ", n_sessions,
                              n_sessions == 1 ? "" : "s", counter_get(&relay->quota.peak),
                              counter_get(&relay->quota.limit));
                (void)fprintf(to, "forward %" PRIu64 "/s, ",
                              rate(status, FORWARD, count(relay, FORWARD, true), passed));
                (void)fprintf(to, "reply %" PRIu64 "/s, ", rate(status, REPLY, count(relay, REPLY, true), passed));
                (void)fprintf(to, "%" PRIu64 " dropped, ", count(relay, FORWARD, false) + count(relay, REPLY, false));
                status->counted = now;
        }
        describe_upstreams(to, upstreams, n);
}

void status_update(Status *status, const Relay *relay, const Upstreams *upstreams, unsigned n_upstreams, usec_t now)
{
        char line[sizeof(status->said)] = "STATUS=";
        size_t prefix = strlen(line);
        FILE *to = fmemopen(line + prefix, sizeof(line) - prefix, "w");

        if (!to)
                return;
        describe(status, to, relay, upstreams, n_upstreams, now);
        (void)fclose(to);
        line[sizeof(line) - 1] = '\0';
        for (char *p = line; *p;
             p++) /* systemd takes no status that is not UTF-8, and what was typed may be anything */
                if ((unsigned char)*p >= 0x80)
                        *p = '?';
        if (strcmp(line, status->said) == 0)
                return;
        (void)strcpy(status->said, line);
        (void)sd_notify(0, line);
}
