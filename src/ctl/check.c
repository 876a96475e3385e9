/* SPDX-License-Identifier: MIT */
/*
 * Believes: a person stops reading at the first thing that is wrong, so it is said again at the end, with what to do.
 * All steps are taken nevertheless: what lies behind a fault often explains it, or is one more.
 */
#include <stdarg.h>
#include <string.h>

#include "ctl/check.h"

static void check_http(Check *check, Step *step);

/* udp46ctl(1) lists them in this order. */
static const struct {
        const char *name;
        void (*take)(Check *check, Step *step);
        bool asks_relay;
} steps[] = {
                {"socket", check_socket, false},      {"configuration", check_configuration, false},
                {"service", check_service, false},    {"http", check_http, false},
                {"listening", check_listening, true}, {"arriving", check_arriving, true},
                {"allowed", check_allowed, true},     {"resolved", check_resolved, true},
                {"reachable", check_reachable, true}, {"replies", check_replies, true},
                {"limits", check_limits, true},       {"kept", check_kept, true},
};

enum { N_STEPS = sizeof(steps) / sizeof(steps[0]) };

static const struct {
        const char *name;
        Shade shade;
} results[N_STEP_RESULTS] = {
                [STEP_UNKNOWN] = {"unknown", SHADE_WARN},
                [STEP_GOOD] = {"ok", SHADE_GOOD},
                [STEP_FAILED] = {"fail", SHADE_BAD},
};

#define SET(step, member, text_format)                                                            \
        do {                                                                                      \
                va_list arguments_;                                                               \
                va_start(arguments_, text_format);                                                \
                (void)vsnprintf((step)->member, sizeof((step)->member), text_format, arguments_); \
                va_end(arguments_);                                                               \
        } while (0)

void step_good(Step *step, const char *format, ...)
{
        step->result = STEP_GOOD;
        SET(step, fact, format);
}

void step_unknown(Step *step, const char *format, ...)
{
        step->result = STEP_UNKNOWN;
        SET(step, fact, format);
}

void step_fail(Step *step, const char *format, ...)
{
        step->result = STEP_FAILED;
        SET(step, fact, format);
}

void step_remedy(Step *step, const char *format, ...)
{
        SET(step, remedy, format);
}

static void check_http(Check *check, Step *step)
{
        Client *client = check->ctl->client;

        if (answer_status(client, &check->status) < 0) {
                step_fail(step, "%s: %s", client_place(client), client_why(client));
                step_remedy(step, "%s", client_remedy(client));
                return;
        }
        step_good(step, "udp46 %s answers at %s", answer_text(check->status, "version"), client_place(client));
}

static void step_take(Check *check, size_t i, Step *step)
{
        *step = (Step){.name = steps[i].name};
        if (steps[i].asks_relay && !check->status)
                step_unknown(step, "the relay did not answer");
        else
                steps[i].take(check, step);
}

static void step_show(const Ctl *ctl, const Step *step)
{
        const Terminal *terminal = &ctl->terminal;

        (void)printf("%s%-7s%s  %-13s  ", terminal_shade(terminal, results[step->result].shade),
                     results[step->result].name, terminal_plain(terminal), step->name);
        text_put(stdout, step->fact);
        (void)putchar('\n');
        (void)fflush(stdout); /* the next step may take a while */
}

/* What to do, behind words of ours. */
static void remedy_show(const Ctl *ctl, const char *words, const Step *step)
{
        const Terminal *terminal = &ctl->terminal;

        (void)printf("%s%s%s.%s ", terminal_shade(terminal, SHADE_BOLD), words, step->name, terminal_plain(terminal));
        text_put(stdout, step->remedy);
        (void)putchar('\n');
}

static void end_show(const Ctl *ctl, const Step taken[static N_STEPS], const Step *first, unsigned n_unknown)
{
        if (ctl->options->no_legend)
                return;
        (void)putchar('\n');
        if (first)
                remedy_show(ctl, "The first step that fails: ", first);
        else if (n_unknown > 0)
                (void)printf("No step fails; %u %s unknown.\n", n_unknown, n_unknown == 1 ? "is" : "are");
        else
                (void)puts("All steps pass.");
        for (size_t i = 0; i < N_STEPS; i++)
                if (&taken[i] != first && *taken[i].remedy)
                        remedy_show(ctl, taken[i].result == STEP_FAILED ? "Then fails: " : "Not known: ", &taken[i]);
}

/* What is no UTF-8 becomes visible; JSON has no room for it. */
static json_t *json_safe(const char *text)
{
        char safe[4 * CHECK_TEXT_MAX];

        return *text ? json_string(text_safe(safe, sizeof(safe), text)) : json_null();
}

static void json_show(const Ctl *ctl, const Step taken[static N_STEPS], const Step *first)
{
        _cleanup_json_ json_t *whole = NULL;
        json_t *array = json_array();

        for (size_t i = 0; i < N_STEPS; i++)
                (void)json_array_append_new(array,
                                            json_pack("{s:s, s:s, s:o, s:o}", "step", taken[i].name, "result",
                                                      results[taken[i].result].name, "fact", json_safe(taken[i].fact),
                                                      "remedy", json_safe(taken[i].remedy)));
        whole = json_pack("{s:o, s:o, s:o}", "steps", array, "first_failure",
                          first ? json_string(first->name) : json_null(), "remedy",
                          json_safe(first ? first->remedy : ""));
        answer_print(whole, ctl->options->json, stdout);
        (void)putchar('\n');
}

int check_run(Ctl *ctl)
{
        const bool json = ctl->options->json != JSON_FORM_NONE;
        Check check = {.ctl = ctl, .here = !ctl->options->url};
        const Step *first = NULL;
        unsigned n_unknown = 0;
        Step taken[N_STEPS];

        for (size_t i = 0; i < N_STEPS; i++) {
                step_take(&check, i, &taken[i]);
                if (!first && taken[i].result == STEP_FAILED)
                        first = &taken[i];
                n_unknown += taken[i].result == STEP_UNKNOWN;
                if (!json)
                        step_show(ctl, &taken[i]);
        }
        if (json)
                json_show(ctl, taken, first);
        else
                end_show(ctl, taken, first, n_unknown);
        json_decref(check.status);
        return first ? CTL_STEP_FAILED : CTL_OK;
}
