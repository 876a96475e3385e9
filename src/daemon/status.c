/* SPDX-License-Identifier: MIT */
/* Believes: one line answers "does it work?", and a line that changes too often is noise. Rates are rounded. */
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "daemon/status.h"

/* What went this way since the start, and a second since the last look. */
static void describe_direction(Status *status, FILE *to, const Stats *stats, Direction direction, usec_t passed)
{
        uint64_t total = counter_get(&stats->directions[direction].verdicts[VERDICT_FORWARDED]);
        uint64_t n = total - status->forwarded[direction];

        status->forwarded[direction] = total;
        (void)fprintf(to, "%s %" PRIu64 " (%" PRIu64 "/s), ", direction == FORWARD ? "forward" : "reply", total,
                      passed > 0 ? n * USEC_PER_SEC / passed : 0);
}

static void describe_sessions(Status *status, FILE *to, const WorkersTotals *totals, usec_t now)
{
        usec_t passed = status->counted > 0 ? usec_sub(now, status->counted) : 0;
        const Stats *stats = &totals->stats;

        (void)fprintf(to, "%" PRIu64 " session%s (", totals->sessions, totals->sessions == 1 ? "" : "s");
        if (totals->unreplied > 0)
                (void)fprintf(to, "%" PRIu64 " unreplied, ", totals->unreplied);
        (void)fprintf(to, "peak %" PRIu64 ", limit %" PRIu64 "), ", totals->peak, totals->limit);
        describe_direction(status, to, stats, FORWARD, passed);
        describe_direction(status, to, stats, REPLY, passed);
        (void)fprintf(to, "%" PRIu64 " dropped, ",
                      direction_dropped(&stats->directions[FORWARD]) + direction_dropped(&stats->directions[REPLY]));
        status->counted = now;
}

/* In one unit, so that it does not change with every look. */
static void describe_age(FILE *to, usec_t age)
{
        static const struct {
                usec_t span;
                const char *name;
        } units[] = {{USEC_PER_DAY, "d"}, {USEC_PER_HOUR, "h"}, {USEC_PER_MINUTE, "min"}};

        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (age >= units[i].span) {
                        (void)fprintf(to, ", confirmed %" PRIu64 "%s ago", age / units[i].span, units[i].name);
                        return;
                }
        (void)fputs(", confirmed less than 1min ago", to);
}

static void describe_upstream(FILE *to, const UpstreamState *state, usec_t now)
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
        if (*state->why && known && state->confirmed > 0)
                describe_age(to, usec_sub(now, state->confirmed));
}

/* Which of them it is, from 0 on. */
static unsigned number_of(const Failover *failover)
{
        unsigned i = 0;

        while (i < failover->n && failover->order[i] != failover->chosen)
                i++;
        return i;
}

/* Where its clients would rather be carried to, or could be. */
static void describe_others(FILE *to, const Failover *failover)
{
        unsigned n_down = 0, n_drained = 0;

        for (uint8_t i = 0; i < failover->n; i++) {
                const TargetState *target = &failover->targets[failover->order[i]];

                n_down += target->health == TARGET_DOWN;
                n_drained += target->drained;
        }
        if (failover->n <= 1)
                return;
        (void)fprintf(to, " (number %u of %u", number_of(failover) + 1U, failover->n);
        if (n_down > 0)
                (void)fprintf(to, ", %u down", n_down);
        if (n_drained > 0)
                (void)fprintf(to, ", %u drained", n_drained);
        (void)fputc(')', to);
}

/* All of them; what does not fit into the line is cut off. */
static void describe_upstreams(FILE *to, const Targets *targets, usec_t now)
{
        unsigned n = targets_n_names(targets);

        (void)fprintf(to, "upstream%s ", n == 1 ? "" : "s");
        for (unsigned i = 0; i < n; i++) {
                describe_upstream(to, targets_chosen(targets, i), now);
                describe_others(to, targets_failover(targets, i));
                (void)fputs(i + 1 < n ? ", " : "", to);
        }
}

static void describe(Status *status, FILE *to, const WorkersTotals *totals, const Targets *targets, usec_t now)
{
        if (*status->trouble)
                (void)fprintf(to, "reload failed, the old configuration stays (%s); ", status->trouble);
        describe_sessions(status, to, totals, now);
        describe_upstreams(to, targets, now);
}

void status_note_trouble(Status *status, const char *problems)
{
        const size_t size = sizeof(status->trouble);
        size_t n = 0;

        for (const char *p = problems; *p && n + 2 < size; p++)
                if (*p != '\n')
                        status->trouble[n++] = (unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f ? '?' : *p;
                else if (p[1]) {
                        status->trouble[n++] = ';';
                        status->trouble[n++] = ' ';
                }
        status->trouble[n] = '\0';
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

void status_update(Status *status, const WorkersTotals *totals, const Targets *targets, usec_t now)
{
        char line[sizeof(status->said)] = "";
        FILE *to = fmemopen(line, sizeof(line), "w");

        if (!to)
                return;
        describe(status, to, totals, targets, now);
        (void)fclose(to);
        line[sizeof(line) - 1] = '\0';
        if (strcmp(line, status->said) == 0)
                return;
        (void)strcpy(status->said, line);
        status_say(line);
}
