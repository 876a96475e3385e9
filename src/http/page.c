/* SPDX-License-Identifier: MIT */
/*
 * Believes: who looks at the page has a question: does it work, and if not, why? Colour helps to find the answer and
 * never is the answer. Roles are given to tables though they have them: on a narrow page their parts are laid out
 * otherwise, and some browsers then forget what they were.
 */
#include <arpa/inet.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

#include "http/body.h"
#include "http/chart.h"
#include "http/health.h"
#include "http/html.h"
#include "http/page-style.h"
#include "http/page.h"

/* All that the parts of one page need. */
typedef struct Page {
        const Body *body;
        const View *view;
        History history;
        Finding notes[HEALTH_NOTES_MAX];
        Health health;
        unsigned n_notes;
} Page;

typedef struct Column {
        const char *label, *class; /* n: a number; wide: text that wants room; whole: not to be broken */
} Column;

void page_policy_format(char buffer[static PAGE_POLICY_MAX])
{
        unsigned char hash[crypto_hash_sha256_BYTES];
        char base64[sodium_base64_ENCODED_LEN(sizeof(hash), sodium_base64_VARIANT_ORIGINAL)];

        (void)crypto_hash_sha256(hash, (const unsigned char *)page_style, sizeof(page_style) - 1);
        (void)sodium_bin2base64(base64, sizeof(base64), hash, sizeof(hash), sodium_base64_VARIANT_ORIGINAL);
        (void)snprintf(buffer, PAGE_POLICY_MAX,
                       "default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'; "
                       "frame-ancestors 'none'",
                       base64);
}

/* --- the top ten --- */

static uint64_t bytes_of(const ListingRow *row)
{
        return row->traffic[FORWARD].bytes + row->traffic[REPLY].bytes;
}

static unsigned page_walks(Body *body)
{
        (void)body;
        return 1;
}

static void page_row(Body *body, FILE *to, const ListingRow *row)
{
        unsigned i;

        (void)to;
        if (body->n_top < BODY_TOP_MAX)
                body->n_top++;
        else if (bytes_of(row) <= bytes_of(&body->top[BODY_TOP_MAX - 1]))
                return;
        for (i = body->n_top - 1; i > 0 && bytes_of(row) > bytes_of(&body->top[i - 1]); i--)
                body->top[i] = body->top[i - 1];
        body->top[i] = *row;
}

/* --- tables --- */

static void table_begin(FILE *to, const char *caption, const Column *columns, size_t n)
{
        (void)fprintf(to, "<table role=\"table\"><caption>%s</caption><thead role=\"rowgroup\"><tr role=\"row\">",
                      caption);
        for (size_t i = 0; i < n; i++)
                (void)fprintf(to, "<th scope=\"col\" role=\"columnheader\" class=\"%s\">%s</th>", columns[i].class,
                              columns[i].label);
        (void)fputs("</tr></thead><tbody role=\"rowgroup\">\n", to);
}

static void table_end(FILE *to)
{
        (void)fputs("</tbody></table>\n", to);
}

static void head_begin(FILE *to)
{
        (void)fputs("<th scope=\"row\" role=\"rowheader\">", to);
}

static void row_begin(FILE *to)
{
        (void)fputs("<tr role=\"row\">", to);
        head_begin(to);
}

/* Ends the cell before, which is the row's head or another cell. */
static void next_cell(FILE *to, const Column *column, bool after_head)
{
        (void)fprintf(to, "%s<td role=\"cell\" class=\"%s\" data-label=\"%s\">", after_head ? "</th>" : "</td>",
                      column->class, column->label);
}

static void row_end(FILE *to)
{
        (void)fputs("</td></tr>\n", to);
}

static void count_cell(FILE *to, const Column *column, uint64_t n)
{
        next_cell(to, column, false);
        html_count(to, n);
}

/* Datagrams, and below them their bytes. */
static void traffic_cell(FILE *to, const Column *column, uint64_t datagrams, uint64_t bytes)
{
        count_cell(to, column, datagrams);
        (void)fputs("<small>", to);
        html_bytes(to, bytes);
        (void)fputs("</small>", to);
}

static void ago(const Page *page, FILE *to, usec_t when)
{
        html_ago(to, page->view->now, when, page->view->clock_offset);
}

static void ago_cell(const Page *page, FILE *to, const Column *column, usec_t when)
{
        next_cell(to, column, false);
        ago(page, to, when);
}

/* --- the head --- */

/* A tick, a clock's hands, an exclamation mark, a cross: each in a shape of its own. */
static const char *const signs[N_HEALTH_LEVELS] = {
                [HEALTH_GOOD] = "<circle cx=\"12\" cy=\"12\" r=\"10\"/><path d=\"M7.5 12.5l3 3 6-6.5\"/>",
                [HEALTH_WAITING] = "<circle cx=\"12\" cy=\"12\" r=\"10\"/><path d=\"M12 6.5V12l3.5 2.5\"/>",
                [HEALTH_DOUBTFUL] = "<path d=\"M12 2.5L22.5 21h-21zM12 9.5v5M12 17.8v.1\"/>",
                [HEALTH_BAD] = "<path d=\"M8 2h8l6 6v8l-6 6H8l-6-6V8zM8.8 8.8l6.4 6.4M15.2 8.8l-6.4 6.4\"/>",
};

static void write_head(const Page *page, FILE *to)
{
        (void)fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                    "<meta name=\"color-scheme\" content=\"light dark\">",
                    to);
        if (page->body->query.asked.refresh)
                (void)fprintf(to, "<meta http-equiv=\"refresh\" content=\"%" PRIu32 "\">",
                              page->body->query.asked.refresh);
        (void)fputs("<title>udp46: ", to);
        html_text(to, page->health.finding.word);
        (void)fprintf(to, "</title>\n<style>%s</style></head>\n<body>\n", page_style);
}

static void write_banner(const Page *page, FILE *to)
{
        const View *view = page->view;
        time_t second = (time_t)(((int64_t)view->now + view->clock_offset) / (int64_t)USEC_PER_SEC);
        char date[32], clock[32], span[HTML_NUMBER_MAX];
        struct tm tm;

        (void)gmtime_r(&second, &tm);
        (void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
        (void)strftime(clock, sizeof(clock), "%Y-%m-%d %H:%M:%S", &tm);
        (void)fputs("<header><p><b>udp46</b> ", to);
        html_text(to, view->version);
        (void)fprintf(to,
                      "</p><p>up %s</p><p>as of <time datetime=\"%s\">%s UTC</time></p><nav aria-label=\"This page\">",
                      html_format_span(span, usec_sub(view->now, view->started)), date, clock);
        if (page->body->query.asked.refresh)
                (void)fprintf(to, "Loads again every %" PRIu32 " s. <a href=\"/\">Stop that</a>",
                              page->body->query.asked.refresh);
        else
                (void)fprintf(to, "<a href=\"/\">Look again</a> or <a href=\"/?refresh=%d\">every %d s</a>",
                              PAGE_REFRESH_SECONDS, PAGE_REFRESH_SECONDS);
        (void)fputs("</nav></header>\n", to);
}

static void write_detail(FILE *to, const char *what, const Finding *finding, bool with_word)
{
        (void)fputs("<li><b>", to);
        html_text(to, what);
        (void)fprintf(to, "</b>: %s%s", with_word ? finding->word : "", with_word ? ": " : "");
        html_text(to, finding->text);
        (void)fputs(".</li>", to);
}

/* What the first sentence has not told: the other names, and the other notes. */
static void write_details(const Page *page, FILE *to)
{
        const View *view = page->view;

        if (view->n_names <= 1 && page->n_notes <= page->health.note_is_in)
                return;
        (void)fputs("<ul>", to);
        for (size_t i = 0; i < view->n_names; i++) {
                const Finding finding = health_of_name(view, i, page->body->asked[i]);

                if (i != page->health.name)
                        write_detail(to, view->names[i].name, &finding, true);
        }
        for (unsigned i = page->health.note_is_in; i < page->n_notes; i++)
                write_detail(to, page->notes[i].word, &page->notes[i], false);
        (void)fputs("</ul>", to);
}

static void write_verdict(const Page *page, FILE *to)
{
        const Finding *finding = &page->health.finding;
        const char *level = health_level_name(finding->level);

        (void)fprintf(to,
                      "<div class=\"verdict %s\"><svg class=\"sign\" viewBox=\"0 0 24 24\" role=\"img\" "
                      "aria-label=\"%s\">%s</svg><div><p>Does it work?</p><h1><b>%s</b>: ",
                      level, level, signs[finding->level], finding->word);
        html_text(to, finding->text);
        (void)fputs(".</h1>", to);
        write_details(page, to);
        (void)fputs("</div></div>\n", to);
}

/* --- figures at a glance --- */

static uint64_t sum_dropped(const View *view, Direction direction)
{
        uint64_t n = 0;

        for (size_t i = 0; i < view->n_places; i++)
                n += direction_dropped(&view->places[i].stats.directions[direction]);
        return n;
}

static uint64_t sum_verdict(const View *view, Direction direction, Verdict verdict)
{
        uint64_t n = 0;

        for (size_t i = 0; i < view->n_places; i++)
                n += counter_get(&view->places[i].stats.directions[direction].verdicts[verdict]);
        return n;
}

static uint64_t sum_kernel_drops(const View *view)
{
        uint64_t n = 0;

        for (size_t i = 0; i < view->n_places; i++)
                n += view->places[i].kernel_drops;
        return n;
}

/* So many of so many, as a bar with words. */
static void write_level(FILE *to, uint64_t n, uint64_t limit)
{
        char used[HTML_NUMBER_MAX], most[HTML_NUMBER_MAX];
        double part = limit == 0 || n >= limit ? 100 : (double)n * 100 / (double)limit;

        (void)fprintf(to,
                      "<svg class=\"level%s\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" role=\"img\" "
                      "aria-label=\"%s of %s sessions\"><path d=\"M0 2H100\"/>",
                      limit > 0 && n >= limit ? " full" : "", html_format_count(used, n),
                      html_format_count(most, limit));
        if (n > 0)
                (void)fprintf(to, "<path d=\"M0 2H%.2f\"/>", part < 1 ? 1 : part);
        (void)fputs("</svg>", to);
}

static void write_direction_fact(const Page *page, FILE *to, Direction direction)
{
        char rate[HTML_NUMBER_MAX];

        (void)fprintf(to, "<div><dt>%s now</dt><dd>%s<small>", direction == FORWARD ? "Forward" : "Reply",
                      html_format_rate(rate, history_rate_now(&page->history, direction)));
        html_count(to, sum_verdict(page->view, direction, VERDICT_FORWARDED));
        (void)fputs(" datagrams</small></dd></div>", to);
}

static void write_facts(const Page *page, FILE *to)
{
        const View *view = page->view;
        uint64_t dropped = 0;
        usec_t last_reply = 0;

        for (Direction d = 0; d < N_DIRECTIONS; d++)
                dropped += sum_dropped(view, d);
        for (size_t i = 0; i < view->n_names; i++)
                if (view_last_reply(&view->names[i]) > last_reply)
                        last_reply = view_last_reply(&view->names[i]);
        (void)fputs("<dl class=\"facts\"><div><dt>Sessions</dt><dd id=\"sessions\">", to);
        html_count(to, view->sessions);
        (void)fputs(" <small>peak ", to);
        html_count(to, view->peak);
        (void)fputs(", limit ", to);
        html_count(to, view->limit);
        (void)fputs("</small>", to);
        write_level(to, view->sessions, view->limit);
        (void)fputs("</dd></div>", to);
        write_direction_fact(page, to, FORWARD);
        write_direction_fact(page, to, REPLY);
        (void)fputs("<div><dt>Last reply</dt><dd id=\"last-reply\">", to);
        ago(page, to, last_reply);
        (void)fputs("</dd></div><div><dt>Dropped</dt><dd id=\"dropped\">", to);
        html_count(to, dropped);
        (void)fputs("<small>by the kernel: ", to);
        html_count(to, sum_kernel_drops(view));
        (void)fputs("</small></dd></div></dl>\n", to);
}

static void write_traffic(const Page *page, FILE *to)
{
        const double scale = chart_scale(&page->history);

        (void)fputs("<section aria-labelledby=\"traffic\"><h2 id=\"traffic\">Traffic</h2>"
                    "<p>Payload of the last minutes, both directions on one scale.</p><div class=\"charts\">",
                    to);
        for (Direction d = 0; d < N_DIRECTIONS; d++)
                chart_write(to, &page->history, d, scale);
        (void)fputs("</div></section>\n", to);
}

/* --- upstreams --- */

/* An address may have a zone, which is the name of an interface, and may be nearly anything. */
static void small_text(FILE *to, const char *text)
{
        (void)fputs("<small>", to);
        html_text(to, text);
        (void)fputs("</small>", to);
}

static void write_address(FILE *to, const ViewName *name)
{
        char text[ADDRESS_TEXT_MAX];

        if (name->address.family == 0)
                (void)fputs("<small class=\"some\">no address yet</small>", to);
        else if (strcmp(address_format(text, &name->address), name->upstream) != 0)
                small_text(to, text);
}

static void write_resolving(const Page *page, FILE *to, const ViewName *name, const Column *column)
{
        char span[HTML_NUMBER_MAX];

        next_cell(to, column, false);
        if (name->n_resolves == 0 && name->address.family != 0) {
                (void)fputs("an address, no name", to);
                return;
        }
        ago(page, to, name->resolved);
        if (name->n_resolves > 0)
                (void)fprintf(to, "<small>the last answer took %s</small>", html_format_span(span, name->resolve_time));
}

static usec_t reply_of_chosen(const ViewName *name)
{
        for (unsigned i = 0; i < name->n_targets; i++)
                if (name->targets[i].chosen)
                        return name->targets[i].last_reply;
        return 0;
}

static void write_upstream(const Page *page, FILE *to, const ViewName *name, const Column columns[static 6])
{
        row_begin(to);
        html_text(to, name->upstream);
        write_address(to, name);
        next_cell(to, &columns[1], true);
        html_text(to, name->name);
        ago_cell(page, to, &columns[2], reply_of_chosen(name));
        write_resolving(page, to, name, &columns[3]);
        count_cell(to, &columns[4], name->n_resolves);
        (void)fputs("<small>failed: ", to);
        html_count(to, name->n_resolve_errors);
        (void)fputs("</small>", to);
        next_cell(to, &columns[5], false);
        html_text(to, *name->why ? name->why : "none");
        row_end(to);
}

static void write_upstreams(const Page *page, FILE *to)
{
        static const Column columns[] = {{"Upstream", ""},  {"Listeners", ""},  {"Last reply", ""},
                                         {"Confirmed", ""}, {"Questions", "n"}, {"Last error", "wide"}};

        (void)fputs("<section aria-labelledby=\"upstreams\"><h2 id=\"upstreams\">Upstream</h2>", to);
        table_begin(to, "Where clients are carried to, and what the name service says of it.", columns,
                    ELEMENTSOF(columns));
        for (size_t i = 0; i < page->view->n_names; i++)
                write_upstream(page, to, &page->view->names[i], columns);
        table_end(to);
        (void)fputs("</section>\n", to);
}

/* --- where they could be carried to --- */

static void write_target(const Page *page, FILE *to, const ViewName *name, const ViewTarget *target,
                         const Column columns[static 6])
{
        char address[ADDRESS_TEXT_MAX];

        row_begin(to);
        html_text(to, target->upstream);
        if (target->address.family == 0)
                (void)fputs("<small class=\"some\">no address yet</small>", to);
        else if (strcmp(address_format(address, &target->address), target->upstream) != 0)
                small_text(to, address);
        next_cell(to, &columns[1], true);
        html_text(to, name->name);
        next_cell(to, &columns[2], false);
        (void)fprintf(to, target->down ? "<span class=\"some\">%s</span>" : "%s", target->health);
        (void)fputs(target->drained ? ", drained" : "", to);
        (void)fputs(target->chosen ? ", chosen" : "", to);
        ago_cell(page, to, &columns[3], target->last_reply);
        count_cell(to, &columns[4], target->sessions);
        count_cell(to, &columns[5], target->icmp_errors);
        row_end(to);
}

/* Only of names that have several: of one alone everything is said above. */
static void write_targets(const Page *page, FILE *to)
{
        static const Column columns[] = {{"Upstream", ""},   {"Listeners", ""}, {"State", ""},
                                         {"Last reply", ""}, {"Sessions", "n"}, {"ICMP errors", "n"}};
        unsigned most = 0;

        for (size_t i = 0; i < page->view->n_names; i++)
                most = page->view->names[i].n_targets > most ? page->view->names[i].n_targets : most;
        if (most < 2)
                return;
        (void)fputs("<section aria-labelledby=\"failover\"><h2 id=\"failover\">Several upstreams</h2>", to);
        table_begin(to, "In order of preference. New sessions go to the chosen one.", columns, ELEMENTSOF(columns));
        for (size_t i = 0; i < page->view->n_names; i++)
                for (unsigned k = 0; page->view->names[i].n_targets > 1 && k < page->view->names[i].n_targets; k++)
                        write_target(page, to, &page->view->names[i], &page->view->names[i].targets[k], columns);
        table_end(to);
        (void)fputs("</section>\n", to);
}

/* --- listeners --- */

static const ViewName *find_name(const View *view, const char *name)
{
        for (size_t i = 0; i < view->n_names; i++)
                if (strcmp(view->names[i].name, name) == 0)
                        return &view->names[i];
        return NULL;
}

/* Listeners of one name share their sessions: they stand at the first. */
static bool is_first_of_name(const View *view, size_t i)
{
        for (size_t k = 0; k < i; k++)
                if (strcmp(view->places[k].name, view->places[i].name) == 0)
                        return false;
        return true;
}

static void write_sessions_of_name(FILE *to, const ViewName *name, const Column columns[static 3])
{
        next_cell(to, &columns[0], true);
        html_count(to, name->sessions);
        write_level(to, name->sessions, name->limit);
        (void)fputs("<small>", to);
        html_count(to, name->by_age[SESSION_UNREPLIED]);
        (void)fputs(" unreplied</small>", to);
        count_cell(to, &columns[1], name->peak);
        count_cell(to, &columns[2], name->limit);
}

static void write_listener(const View *view, FILE *to, size_t i, const Column columns[static 8])
{
        const ViewPlace *place = &view->places[i];
        const DirectionStats *stats = place->stats.directions;
        const ViewName *name = is_first_of_name(view, i) ? find_name(view, place->name) : NULL;
        char address[ADDRESS_TEXT_MAX];
        uint64_t dropped = 0;

        row_begin(to);
        html_text(to, place->name);
        (void)fprintf(to, "<small>%s", address_format(address, &place->bound));
        if (place->n_workers > 1)
                (void)fprintf(to, ", %u workers", place->n_workers);
        (void)fputs("</small>", to);
        if (name)
                write_sessions_of_name(to, name, &columns[1]);
        else
                for (unsigned k = 1; k <= 3; k++) {
                        next_cell(to, &columns[k], k == 1);
                        (void)fputs("shared", to);
                }
        for (Direction d = 0; d < N_DIRECTIONS; d++) {
                uint64_t forwarded = counter_get(&stats[d].verdicts[VERDICT_FORWARDED]);

                traffic_cell(to, &columns[4 + d], forwarded, counter_get(&stats[d].bytes));
                dropped += direction_dropped(&stats[d]);
        }
        count_cell(to, &columns[6], dropped);
        count_cell(to, &columns[7], place->kernel_drops);
        row_end(to);
}

static void write_listeners(const Page *page, FILE *to)
{
        static const Column columns[] = {{"Listener", ""}, {"Sessions", "n"}, {"Peak", "n"},    {"Limit", "n"},
                                         {"Forward", "n"}, {"Reply", "n"},    {"Dropped", "n"}, {"Kernel drops", "n"}};

        (void)fputs("<section aria-labelledby=\"listeners\"><h2 id=\"listeners\">Listeners</h2>", to);
        table_begin(to, "Datagrams and payload since the start. Sessions are those of all listeners of one name.",
                    columns, ELEMENTSOF(columns));
        for (size_t i = 0; i < page->view->n_places; i++)
                write_listener(page->view, to, i, columns);
        table_end(to);
        (void)fputs("</section>\n", to);
}

/* --- drops --- */

static const Column drop_columns[] = {{"Reason", ""},           {"Direction", ""},   {"Datagrams", "n"},
                                      {"Lately", "wide whole"}, {"Meaning", "wide"}, {"What to do", "wide"}};

static void write_growth(const Page *page, FILE *to, const Growth *growth)
{
        char span[HTML_NUMBER_MAX];

        (void)html_format_span(span, history_span(&page->history));
        if (growth->n == 0) {
                (void)fprintf(to, "none in the last %s", span);
                return;
        }
        html_count(to, growth->n);
        (void)fprintf(to, " in the last %s<small>", span);
        ago(page, to, growth->first);
        (void)fputs(" \u2013 ", to);
        ago(page, to, growth->last);
        (void)fputs("</small>", to);
}

static void write_drop(const Page *page, FILE *to, const char *reason, const char *direction, uint64_t n,
                       const Growth *growth, const char *meaning, const char *remedy)
{
        row_begin(to);
        (void)fputs(reason, to);
        next_cell(to, &drop_columns[1], true);
        (void)fputs(direction, to);
        count_cell(to, &drop_columns[2], n);
        next_cell(to, &drop_columns[3], false);
        write_growth(page, to, growth);
        next_cell(to, &drop_columns[4], false);
        html_text(to, meaning);
        next_cell(to, &drop_columns[5], false);
        html_text(to, remedy);
        row_end(to);
}

static bool something_dropped(const View *view)
{
        for (Direction d = 0; d < N_DIRECTIONS; d++)
                if (sum_dropped(view, d) > 0)
                        return true;
        return sum_kernel_drops(view) > 0;
}

static void write_drop_rows(const Page *page, FILE *to)
{
        const Growth growth = history_kernel_drops(&page->history);

        for (Direction d = 0; d < N_DIRECTIONS; d++)
                for (Verdict v = VERDICT_FORWARDED + 1; v < N_VERDICTS; v++) {
                        const Growth grown = history_drops(&page->history, d, v);
                        uint64_t n = sum_verdict(page->view, d, v);

                        if (n > 0)
                                write_drop(page, to, verdict_name(v), d == FORWARD ? "forward" : "reply", n, &grown,
                                           verdict_meaning(v), verdict_remedy(v));
                }
        if (sum_kernel_drops(page->view) > 0)
                write_drop(page, to, "kernel", "forward", sum_kernel_drops(page->view), &growth,
                           "the receive buffer of the listener was full, since its socket was opened",
                           "Raise ReceiveBuffer= in udp46.socket, or give the address more workers.");
}

static void write_drops(const Page *page, FILE *to)
{
        (void)fputs("<section aria-labelledby=\"drops\"><h2 id=\"drops\">Drops</h2>", to);
        if (!something_dropped(page->view)) {
                (void)fputs("<p>Nothing was dropped since the start.</p></section>\n", to);
                return;
        }
        table_begin(to, "Datagrams that were not sent on since the start, by reason.", drop_columns,
                    ELEMENTSOF(drop_columns));
        write_drop_rows(page, to);
        table_end(to);
        (void)fputs("</section>\n", to);
}

/* --- sessions --- */

static void write_client(const Body *body, FILE *to, const Address *client)
{
        char text[ADDRESS_TEXT_MAX];
        uint32_t v4 = ntohl(client->v4.s_addr);

        if (!body->query.mask_clients)
                (void)fputs(address_format(text, client), to);
        else
                (void)fprintf(to, "%u.%u.x.x:x", v4 >> 24, v4 >> 16 & 0xff);
}

/* The leg's address may carry the client's (SourcePrefix=): it is masked with it. */
static void write_way(const Body *body, FILE *to, const ListingRow *row)
{
        char text[ADDRESS_TEXT_MAX];

        (void)fprintf(to, "<small>to %s", address_format(text, &row->listener));
        if (!body->query.mask_clients) {
                (void)fputs(", leg ", to);
                html_text(to, address_format(text, &row->source));
        }
        (void)fputs("</small>", to);
}

static void write_session(const Page *page, FILE *to, const ListingRow *row, const Column columns[static 7])
{
        (void)fprintf(to, "<tr role=\"row\" id=\"%016" PRIx64 "\">", row->id);
        head_begin(to);
        write_client(page->body, to, &row->client);
        write_way(page->body, to, row);
        next_cell(to, &columns[1], true);
        (void)fputs(session_age_name((SessionAge)row->age), to);
        for (Direction d = 0; d < N_DIRECTIONS; d++)
                traffic_cell(to, &columns[2 + d], row->traffic[d].datagrams, row->traffic[d].bytes);
        ago_cell(page, to, &columns[4], row->opened);
        ago_cell(page, to, &columns[5], row->traffic[FORWARD].last);
        ago_cell(page, to, &columns[6], row->traffic[REPLY].last);
        row_end(to);
}

static void write_sessions(const Page *page, FILE *to)
{
        static const Column columns[] = {{"Client", ""}, {"State", ""},        {"Forward", "n"},  {"Reply", "n"},
                                         {"Opened", ""}, {"Last forward", ""}, {"Last reply", ""}};

        (void)fputs("<section aria-labelledby=\"top\"><h2 id=\"top\">Busiest sessions</h2>", to);
        if (page->body->n_top == 0) {
                (void)fputs("<p>No session is open.</p></section>\n", to);
                return;
        }
        table_begin(to,
                    page->body->query.mask_clients ? "At most ten, by bytes of both directions. Clients are masked on "
                                                     "this page, unless "
                                                     "HttpShowClients=yes; /debug/sessions shows them."
                                                   : "At most ten, by bytes of both directions.",
                    columns, ELEMENTSOF(columns));
        for (unsigned i = 0; i < page->body->n_top; i++)
                write_session(page, to, &page->body->top[i], columns);
        table_end(to);
        (void)fputs("</section>\n", to);
}

/* --- the process --- */

static void fact_count(FILE *to, const char *what, uint64_t n)
{
        (void)fprintf(to, "<div><dt>%s</dt><dd>", what);
        html_count(to, n);
        (void)fputs("</dd></div>", to);
}

static void fact_span(FILE *to, const char *what, usec_t t)
{
        char text[HTML_NUMBER_MAX];

        (void)fprintf(to, "<div><dt>%s</dt><dd>%s</dd></div>", what, html_format_span(text, t));
}

static void fact_restored(FILE *to, const ViewRestored *restored)
{
        char text[HTML_NUMBER_MAX];
        uint64_t lost = 0;

        for (unsigned i = 0; i < VIEW_LOSSES; i++)
                lost += restored->n_lost[i];
        (void)fputs("<div><dt>Sessions taken over</dt><dd>", to);
        html_count(to, restored->n);
        (void)fputs(", ", to);
        html_count(to, lost);
        (void)fprintf(to, " lost, gap %s</dd></div>", html_format_span(text, restored->gap));
}

static void write_process(const Page *page, FILE *to)
{
        const View *view = page->view;
        uint64_t created = 0, icmp = 0;

        for (size_t i = 0; i < view->n_places; i++) {
                created += counter_get(&view->places[i].stats.sessions_created);
                icmp += counter_get(&view->places[i].stats.icmp_errors);
        }
        (void)fputs("<section aria-labelledby=\"process\"><h2 id=\"process\">Process</h2><dl class=\"process\">"
                    "<div><dt>Build</dt><dd>",
                    to);
        html_text(to, view->commit);
        (void)fputs(", ", to);
        html_text(to, view->date);
        (void)fputs("</dd></div><div><dt>Memory</dt><dd>", to);
        html_bytes(to, view->process.resident_bytes);
        (void)fputs("</dd></div>", to);
        fact_span(to, "Processor time", (usec_t)(view->process.cpu_seconds * (double)USEC_PER_SEC));
        (void)fputs("<div><dt>File descriptors</dt><dd>", to);
        html_count(to, view->process.open_fds);
        (void)fputs(" of ", to);
        html_count(to, view->process.max_fds);
        (void)fputs("</dd></div>", to);
        fact_count(to, "Sessions opened", created);
        if (view->restored.taken)
                fact_restored(to, &view->restored);
        fact_count(to, "ICMP errors heard", icmp);
        fact_span(to, "Slowest worker answered in", view->worker_latency);
        fact_count(to, "Journal entries lost", view->log_records_lost);
        (void)fputs("</dl></section>\n", to);
}

/* --- the whole --- */

static void write_page(const Page *page, FILE *to)
{
        write_head(page, to);
        write_banner(page, to);
        (void)fputs("<main>\n", to);
        write_verdict(page, to);
        write_facts(page, to);
        write_traffic(page, to);
        write_upstreams(page, to);
        write_targets(page, to);
        write_listeners(page, to);
        write_drops(page, to);
        write_sessions(page, to);
        write_process(page, to);
        (void)fputs("</main>\n<footer>For machines: <a href=\"/metrics\">/metrics</a>, "
                    "<a href=\"/debug/status\">/debug/status</a>, <a href=\"/debug/sessions\">/debug/sessions</a>. "
                    "Explained in udp46(8).</footer>\n</body></html>\n",
                    to);
}

static void page_end(Body *body, FILE *to)
{
        Page page = {.body = body, .view = body_look(body)};

        history_init(&page.history, page.view);
        page.n_notes = health_notes(page.view, &page.history, page.notes);
        page.health = health_of_all(page.view, body->asked, page.notes, page.n_notes);
        write_page(&page, to);
}

const BodyKind body_page = {
                .content_type = "text/html; charset=utf-8", .n_walks = page_walks, .row = page_row, .end = page_end};
