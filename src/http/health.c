/* SPDX-License-Identifier: MIT */
/*
 * Believes: an answer is the only proof that an upstream is there, and it proves it for its moment only. How long may
 * it be silent? Many protocols answer every datagram; WireGuard answers a keepalive with nothing, but makes a new
 * handshake every 120 s while there is traffic.
 */
#include <stdarg.h>
#include <string.h>

#include "http/health.h"
#include "http/html.h"

#define SILENT_AFTER (3 * USEC_PER_MINUTE)

__attribute__((format(printf, 4, 5))) static void find(Finding *finding, HealthLevel level, const char *word,
                                                       const char *format, ...)
{
        va_list arguments;

        finding->level = level;
        finding->word = word;
        va_start(arguments, format);
        (void)vsnprintf(finding->text, sizeof(finding->text), format, arguments);
        va_end(arguments);
}

const char *health_level_name(HealthLevel level)
{
        static const char *const names[N_HEALTH_LEVELS] = {
                        [HEALTH_GOOD] = "good",
                        [HEALTH_WAITING] = "waiting",
                        [HEALTH_DOUBTFUL] = "doubtful",
                        [HEALTH_BAD] = "bad",
        };

        return names[level];
}

/* --- of one name --- */

const ViewTarget *view_answered(const ViewName *name)
{
        const ViewTarget *last = NULL;

        for (unsigned i = 0; i < name->n_targets; i++)
                if (name->targets[i].last_reply > (last ? last->last_reply : 0))
                        last = &name->targets[i];
        return last;
}

usec_t view_last_reply(const ViewName *name)
{
        const ViewTarget *last = view_answered(name);

        return last ? last->last_reply : 0;
}

bool health_is_silent(const View *view, const ViewName *name)
{
        return view_last_reply(name) > 0 && usec_sub(view->now, view_last_reply(name)) >= SILENT_AFTER;
}

/* What clients sent to listeners of the name, by what became of it. */
static void sum_forward(const View *view, const ViewName *name, uint64_t ret[static N_VERDICTS])
{
        memset(ret, 0, N_VERDICTS * sizeof(*ret));
        for (size_t i = 0; i < view->n_places; i++) {
                const DirectionStats *stats = &view->places[i].stats.directions[FORWARD];

                if (strcmp(view->places[i].name, name->name) != 0)
                        continue;
                for (Verdict v = 0; v < N_VERDICTS; v++)
                        ret[v] += counter_get(&stats->verdicts[v]);
        }
}

static Verdict most_frequent_drop(const uint64_t verdicts[static N_VERDICTS])
{
        Verdict most = VERDICT_FORWARDED + 1;

        for (Verdict v = most; v < N_VERDICTS; v++)
                if (verdicts[v] > verdicts[most])
                        most = v;
        return most;
}

static uint64_t sum_drops(const uint64_t verdicts[static N_VERDICTS])
{
        uint64_t n = 0;

        for (Verdict v = VERDICT_FORWARDED + 1; v < N_VERDICTS; v++)
                n += verdicts[v];
        return n;
}

/* ICMP errors that came back from where the name's clients are carried to. */
static uint64_t sum_icmp_errors(const View *view, const ViewName *name)
{
        uint64_t n = 0;

        for (size_t i = 0; i < view->n_places; i++)
                if (strcmp(view->places[i].name, name->name) == 0)
                        n += counter_get(&view->places[i].stats.icmp_errors);
        return n;
}

static void judge_unanswered(Finding *finding, const View *view, const ViewName *name,
                             const uint64_t verdicts[static N_VERDICTS])
{
        uint64_t dropped = sum_drops(verdicts), icmp_errors = sum_icmp_errors(view, name);
        char n[HTML_NUMBER_MAX], refused[HTML_NUMBER_MAX];
        Verdict most = most_frequent_drop(verdicts);

        if (verdicts[VERDICT_FORWARDED] > 0 && icmp_errors > 0)
                find(finding, HEALTH_DOUBTFUL, "No answer yet",
                     "%s datagram%s went to %s, and nothing has come back but %s ICMP error%s: nothing listens there, "
                     "or "
                     "a firewall refuses",
                     html_format_count(n, verdicts[VERDICT_FORWARDED]), verdicts[VERDICT_FORWARDED] == 1 ? "" : "s",
                     name->upstream, html_format_count(refused, icmp_errors), icmp_errors == 1 ? "" : "s");
        else if (verdicts[VERDICT_FORWARDED] > 0)
                find(finding, HEALTH_DOUBTFUL, "No answer yet", "%s datagram%s went to %s, and nothing has come back",
                     html_format_count(n, verdicts[VERDICT_FORWARDED]), verdicts[VERDICT_FORWARDED] == 1 ? "" : "s",
                     name->upstream);
        else if (dropped == 1 && verdicts[VERDICT_BAD_SOURCE] + verdicts[VERDICT_NOT_ALLOWED] == 0)
                find(finding, HEALTH_BAD, "No", "the only datagram from a client could not be sent on: %s",
                     verdict_meaning(most));
        else if (dropped > verdicts[VERDICT_BAD_SOURCE] + verdicts[VERDICT_NOT_ALLOWED])
                find(finding, HEALTH_BAD, "No", "none of the %s datagrams from clients could be sent on, most often %s",
                     html_format_count(n, dropped), verdict_meaning(most));
        else if (verdicts[VERDICT_NOT_ALLOWED] > 0)
                find(finding, HEALTH_WAITING, "Waiting",
                     "for the first client that may come to %s: of %s that came so far, AllowFrom=/DenyFrom= kept out "
                     "%s",
                     name->upstream, html_format_count(n, dropped),
                     html_format_count(refused, verdicts[VERDICT_NOT_ALLOWED]));
        else if (dropped > 0)
                find(finding, HEALTH_WAITING, "Waiting",
                     "for the first honest datagram to %s: so far %s came, from where nobody can have sent",
                     name->upstream, html_format_count(n, dropped));
        else if (name->sessions > 0) /* nothing came that could have opened them */
                find(finding, HEALTH_WAITING, "Waiting",
                     "%s session%s to %s %s taken over, and nothing has come since the restart",
                     html_format_count(n, name->sessions), name->sessions == 1 ? "" : "s", name->upstream,
                     name->sessions == 1 ? "is" : "are");
        else
                find(finding, HEALTH_WAITING, "Waiting", "for the first datagram from a client to %s", name->upstream);
}

static void judge_answered(Finding *finding, const View *view, const ViewName *name, usec_t asked)
{
        usec_t age = usec_sub(view->now, view_last_reply(name));
        char text[HTML_NUMBER_MAX];
        const char *when = html_format_age(text, age);
        const ViewTarget *who = view_answered(name);

        if (!health_is_silent(view, name))
                find(finding, HEALTH_GOOD, "Yes", "%s answered %s%s%s", who->upstream, when,
                     who->chosen ? "" : ", and new clients go to ", who->chosen ? "" : name->upstream);
        else if (asked > view_last_reply(name))
                find(finding, HEALTH_DOUBTFUL, "Silent", "%s last answered %s, and clients have sent since",
                     who->upstream, when);
        else
                find(finding, HEALTH_WAITING, "Idle", "%s last answered %s, and no open session has sent since",
                     who->upstream, when);
}

static bool all_down(const ViewName *name)
{
        for (unsigned i = 0; i < name->n_targets; i++)
                if (!name->targets[i].down)
                        return false;
        return name->n_targets > 1;
}

static void judge_down(Finding *finding, const View *view, const ViewName *name)
{
        const ViewTarget *who = view_answered(name);
        char text[HTML_NUMBER_MAX];

        if (who)
                find(finding, HEALTH_BAD, "No", "none of the %u upstreams answers; the last that did was %s, %s",
                     name->n_targets, who->upstream, html_format_age(text, usec_sub(view->now, who->last_reply)));
        else
                find(finding, HEALTH_BAD, "No", "none of the %u upstreams has ever answered", name->n_targets);
}

Finding health_of_name(const View *view, size_t i, usec_t asked)
{
        const ViewName *name = &view->names[i];
        uint64_t verdicts[N_VERDICTS];
        Finding finding;

        sum_forward(view, name, verdicts);
        if (name->address.family == 0)
                find(&finding, HEALTH_BAD, "No", "the address of %s is not known: %s", name->upstream,
                     *name->why ? name->why : "there is no answer from the name service yet");
        else if (all_down(name))
                judge_down(&finding, view, name);
        else if (view_last_reply(name) == 0)
                judge_unanswered(&finding, view, name, verdicts);
        else
                judge_answered(&finding, view, name, asked);
        return finding;
}

/* --- of all --- */

bool health_wants_asked(const View *view)
{
        for (size_t i = 0; i < view->n_names; i++)
                if (health_is_silent(view, &view->names[i]))
                        return true;
        return false;
}

static Finding *take_note(Finding notes[static HEALTH_NOTES_MAX], unsigned *n)
{
        return &notes[(*n)++];
}

static void note_limit(const View *view, Finding notes[static HEALTH_NOTES_MAX], unsigned *n)
{
        char limit[HTML_NUMBER_MAX];

        if (view->limit > 0 && view->sessions >= view->limit) {
                find(take_note(notes, n), HEALTH_DOUBTFUL, "Full",
                     "all %s sessions are taken, new clients only get one where another makes way",
                     html_format_count(limit, view->limit));
                return;
        }
        for (size_t i = 0; i < view->n_names; i++) {
                const ViewName *name = &view->names[i];

                if (name->limit == 0 || name->sessions < name->limit)
                        continue;
                find(take_note(notes, n), HEALTH_DOUBTFUL, "Full",
                     "all %s sessions of the listeners named %s are taken, new clients only get one where another "
                     "makes way",
                     html_format_count(limit, name->limit), name->name);
                return; /* the table below shows the others */
        }
}

static void note_drops(const History *history, Finding notes[static HEALTH_NOTES_MAX], unsigned *n)
{
        char count[HTML_NUMBER_MAX], span[HTML_NUMBER_MAX];
        uint64_t verdicts[N_VERDICTS] = {0}, dropped;
        Verdict most;

        for (Verdict v = VERDICT_FORWARDED + 1; v < N_VERDICTS; v++)
                for (Direction d = 0; d < N_DIRECTIONS; d++)
                        verdicts[v] += history_drops(history, d, v).n;
        verdicts[VERDICT_BAD_SOURCE] = verdicts[VERDICT_NOT_ALLOWED] = 0; /* those are no loss */
        dropped = sum_drops(verdicts);
        most = most_frequent_drop(verdicts);
        if (dropped > 0)
                find(take_note(notes, n), HEALTH_DOUBTFUL, "Drops", "%s datagram%s dropped in the last %s, %s%s (%s)",
                     html_format_count(count, dropped), dropped == 1 ? " was" : "s were",
                     html_format_span(span, history_span(history)),
                     verdicts[most] == dropped ? "as " : "most of them as ", verdict_name(most), verdict_meaning(most));
}

static void note_kernel_drops(const History *history, Finding notes[static HEALTH_NOTES_MAX], unsigned *n)
{
        const Growth lost = history_kernel_drops(history);
        char count[HTML_NUMBER_MAX], span[HTML_NUMBER_MAX];

        if (lost.n > 0)
                find(take_note(notes, n), HEALTH_DOUBTFUL, "Drops",
                     "the kernel dropped %s datagram%s in the last %s, because a listener's receive buffer was full",
                     html_format_count(count, lost.n), lost.n == 1 ? "" : "s",
                     html_format_span(span, history_span(history)));
}

static void note_resolving(const View *view, Finding notes[static HEALTH_NOTES_MAX], unsigned *n)
{
        for (size_t i = 0; i < view->n_names; i++) {
                const ViewName *name = &view->names[i];
                char span[HTML_NUMBER_MAX];

                if (name->address.family == 0 || !*name->why)
                        continue;
                find(take_note(notes, n), HEALTH_WAITING, "DNS",
                     "the address of %s stays in use as it was confirmed %s, since the last question failed: %s",
                     name->upstream, html_format_age(span, usec_sub(view->now, name->resolved)), name->why);
                return;
        }
}

/* One of several upstreams does not answer, or is nowhere; the others do its work. */
static void note_target(const ViewTarget *target, unsigned number, unsigned n_targets,
                        Finding notes[static HEALTH_NOTES_MAX], unsigned *n)
{
        char sessions[HTML_NUMBER_MAX];

        if (target->down && target->sessions > 0)
                find(take_note(notes, n), HEALTH_DOUBTFUL, "Upstream",
                     "%s (number %u of %u) does not answer, and %s session%s to it", target->upstream, number,
                     n_targets, html_format_count(sessions, target->sessions),
                     target->sessions == 1 ? " goes" : "s go");
        else if (target->down)
                find(take_note(notes, n), HEALTH_WAITING, "Upstream", "%s (number %u of %u) does not answer",
                     target->upstream, number, n_targets);
        else
                find(take_note(notes, n), HEALTH_WAITING, "DNS", "the address of %s (number %u of %u) is not known: %s",
                     target->upstream, number, n_targets, *target->why ? target->why : "no answer yet");
}

static void note_targets(const View *view, Finding notes[static HEALTH_NOTES_MAX], unsigned *n)
{
        for (size_t i = 0; i < view->n_names; i++) {
                const ViewName *name = &view->names[i];

                for (unsigned k = 0; k < name->n_targets; k++) {
                        const ViewTarget *target = &name->targets[k];

                        if (name->n_targets == 1 || all_down(name) || (!target->down && target->address.family != 0))
                                continue;
                        note_target(target, k + 1, name->n_targets, notes, n);
                        return; /* the table below shows the others */
                }
        }
}

static void note_reload(const View *view, Finding notes[static HEALTH_NOTES_MAX], unsigned *n)
{
        if (*view->reload_trouble)
                find(take_note(notes, n), HEALTH_WAITING, "Reload",
                     "the last one failed, and the configuration before stays in force: %s", view->reload_trouble);
}

unsigned health_notes(const View *view, const History *history, Finding notes[static HEALTH_NOTES_MAX])
{
        unsigned n = 0;

        note_limit(view, notes, &n);
        note_drops(history, notes, &n);
        note_kernel_drops(history, notes, &n);
        note_targets(view, notes, &n);
        note_resolving(view, notes, &n);
        note_reload(view, notes, &n);
        return n;
}

Health health_of_all(const View *view, const usec_t asked[], const Finding *notes, unsigned n_notes)
{
        Health health = {.finding = {.word = "No", .level = HEALTH_BAD, .text = "there is no listener"}};
        Finding *worst = &health.finding;
        char text[sizeof(worst->text)];

        for (size_t i = 0; i < view->n_names; i++) {
                const Finding finding = health_of_name(view, i, asked[i]);

                if (i > 0 && finding.level <= worst->level)
                        continue;
                *worst = finding;
                health.name = i;
        }
        if (view->n_names > 1) {
                (void)strcpy(text, worst->text);
                (void)snprintf(worst->text, sizeof(worst->text), "on %.80s, %.600s", view->names[health.name].name,
                               text);
        }
        health.note_is_in = worst->level == HEALTH_GOOD && n_notes > 0 && notes[0].level == HEALTH_DOUBTFUL;
        if (health.note_is_in) {
                (void)strcpy(text, worst->text);
                find(worst, HEALTH_DOUBTFUL, "Partly", "%.320s, but %.440s", text, notes[0].text);
        }
        return health;
}
