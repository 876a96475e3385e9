/* SPDX-License-Identifier: MIT */
/* The commands sessions and dump: what sessions.h has, printed. */
#include <inttypes.h>

#include "ctl/answer.h"
#include "ctl/ctl.h"
#include "ctl/sessions.h"

/* The columns of dump never change their order; new ones come behind the last. udp46ctl(1) explains them. */
static const char *const dump_columns[] = {
                "session_id",    "listener",        "client",      "source",        "upstream",
                "state",         "created",         "last_client", "last_upstream", "forward_datagrams",
                "forward_bytes", "reply_datagrams", "reply_bytes",
};

static void dump_print(const Sessions *sessions, bool no_legend)
{
        for (size_t i = 0; i < ELEMENTSOF(dump_columns) && !no_legend; i++)
                (void)printf("%c%s", i > 0 ? '\t' : '#', dump_columns[i]);
        if (!no_legend)
                (void)putchar('\n');
        for (size_t i = 0; i < sessions->n; i++) {
                const Session *s = &sessions->items[i];

                (void)printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n",
                             s->id, s->listener, s->client, s->source, s->upstream, s->state, s->created,
                             s->last_client, s->last_upstream, s->forward_datagrams, s->forward_bytes,
                             s->reply_datagrams, s->reply_bytes);
        }
}

/* Each session as it came, with keys that this program does not know. */
static void json_print(const Sessions *sessions, JsonForm form)
{
        const bool pretty = form == JSON_FORM_PRETTY;

        (void)putchar('[');
        for (size_t i = 0; i < sessions->n; i++) {
                _cleanup_json_ json_t *object = json_loads(sessions->items[i].json, 0, NULL);

                (void)fputs(i > 0 ? "," : "", stdout);
                (void)fputs(pretty ? "\n" : "", stdout);
                answer_print(object, form, stdout);
        }
        (void)fputs(pretty && sessions->n > 0 ? "\n]\n" : "]\n", stdout);
}

static void sum_show(const Sessions *sessions)
{
        (void)putchar('\n');
        if (sessions->n < sessions->n_found)
                (void)printf("%zu of ", sessions->n);
        (void)printf("%zu session%s.\n", sessions->n_found, plural(sessions->n_found));
}

static void table_show(const Ctl *ctl, const Sessions *sessions)
{
        const Table table = {
                        .columns = session_columns,
                        .n_columns = N_SESSION_COLUMNS,
                        .rows = sessions->items,
                        .n_rows = sessions->n,
                        .stride = sizeof(Session),
                        .context = sessions,
                        .no_titles = ctl->options->no_legend,
        };

        table_print(&table, &ctl->terminal, stdout);
        if (!ctl->options->no_legend)
                sum_show(sessions);
}

int sessions_run(Ctl *ctl)
{
        const Options *options = ctl->options;
        _cleanup_(sessions_done) Sessions sessions;

        if (sessions_fetch(&sessions, ctl->client, options) < 0)
                return ctl_fail(ctl);
        terminal_page(&ctl->terminal);
        if (options->command == COMMAND_DUMP)
                dump_print(&sessions, options->no_legend);
        else if (options->json != JSON_FORM_NONE)
                json_print(&sessions, options->json);
        else
                table_show(ctl, &sessions);
        return CTL_OK;
}
