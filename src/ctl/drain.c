/* SPDX-License-Identifier: MIT */
/*
 * The commands drain and undrain. Over HTTP nothing can be changed: they write a list, have systemd reload the relay,
 * and look over HTTP whether it has taken it over. Refuses: to drain what nobody has, and, unless forced, the last one
 * that may answer.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "ctl/answer.h"
#include "ctl/ctl.h"
#include "ctl/drained.h"
#include "ctl/program.h"
#include "ctl/table.h"

#define TAKEN_WITHIN (5 * USEC_PER_SEC)
#define LOOK_EVERY (100 * USEC_PER_MSEC)
#define LIST_PATH DRAINED_DIRECTORY "/" DRAINED_FILE

/* One upstream of one name. Its texts belong to the status. */
typedef struct Row {
        const json_t *json;
        const char *name, *upstream, *state;
        bool known, chosen, drained;
        bool asked; /* on the command line */
        bool named; /* it, or another one of its name */
        uint64_t sessions;
} Row;

typedef struct Drain {
        Ctl *ctl;
        bool on; /* drain; else undrain */
        json_t *status;
        Row *rows;
        size_t n_rows;
        Endpoint asked[OPTIONS_UPSTREAMS_MAX];
} Drain;

/* --- what there is --- */

static size_t count_upstreams(const json_t *names)
{
        size_t n = 0;

        for (size_t i = 0; i < json_array_size(names); i++)
                n += json_array_size(answer_part(json_array_get(names, i), "upstreams"));
        return n;
}

static bool is_asked(const Drain *drain, const char *upstream)
{
        const Options *options = drain->ctl->options;
        const char *why;
        Endpoint endpoint;

        if (options->all)
                return true;
        if (endpoint_parse(upstream, &endpoint, &why) < 0)
                return false;
        for (unsigned i = 0; i < options->n_upstreams; i++)
                if (endpoint_same(&endpoint, &drain->asked[i]))
                        return true;
        return false;
}

static void take_name(Drain *drain, const json_t *name)
{
        const json_t *upstreams = answer_part(name, "upstreams");
        Row *first = drain->rows + drain->n_rows;
        bool named = false;

        for (size_t i = 0; i < json_array_size(upstreams); i++) {
                const json_t *one = json_array_get(upstreams, i);
                Row *row = &drain->rows[drain->n_rows++];

                *row = (Row){.json = one,
                             .name = answer_text(name, "name"),
                             .upstream = answer_text(one, "upstream"),
                             .state = answer_text(one, "state"),
                             .known = *answer_text(one, "address"),
                             .chosen = json_is_true(answer_part(one, "chosen")),
                             .drained = json_is_true(answer_part(one, "drained")),
                             .sessions = answer_count(one, "sessions")};
                row->asked = is_asked(drain, row->upstream);
                named = named || row->asked;
        }
        for (Row *row = first; row < drain->rows + drain->n_rows; row++)
                row->named = named;
}

/* Asks the relay (anew). CTL_OK, or it has been told why not. */
static int look(Drain *drain)
{
        const json_t *names;

        json_decref(drain->status);
        free(drain->rows);
        drain->status = NULL;
        drain->rows = NULL;
        drain->n_rows = 0;
        if (answer_status(drain->ctl->client, &drain->status) < 0)
                return ctl_fail(drain->ctl);
        names = answer_part(drain->status, "names");
        drain->rows = calloc(count_upstreams(names) + 1, sizeof(Row));
        if (!drain->rows) {
                ctl_complain("%s", strerror(ENOMEM));
                return CTL_FAILURE;
        }
        for (size_t i = 0; i < json_array_size(names); i++)
                take_name(drain, json_array_get(names, i));
        return CTL_OK;
}

static bool is_done(const Drain *drain)
{
        for (size_t i = 0; i < drain->n_rows; i++)
                if (drain->rows[i].asked && drain->rows[i].drained != drain->on)
                        return false;
        return true;
}

/* --- what is refused --- */

/* Those there are, each once. */
static char *others(const Drain *drain)
{
        char *text = NULL;
        size_t size;
        FILE *to = open_memstream(&text, &size);

        if (!to)
                return NULL;
        for (size_t i = 0; i < drain->n_rows; i++) {
                size_t k = 0;

                while (k < i && strcmp(drain->rows[k].upstream, drain->rows[i].upstream) != 0)
                        k++;
                if (k == i)
                        (void)fprintf(to, "%s%s", ftell(to) > 0 ? ", " : "", drain->rows[i].upstream);
        }
        (void)fclose(to);
        return text;
}

/* What no listener has cannot be drained; it can be taken out of the list. */
static int check_known(Drain *drain, const DrainedList *list)
{
        for (unsigned i = 0; i < drain->ctl->options->n_upstreams; i++) {
                _cleanup_free_ char *there = NULL;
                const char *why;
                Endpoint endpoint;
                size_t k = 0;

                while (k < drain->n_rows && !(endpoint_parse(drain->rows[k].upstream, &endpoint, &why) >= 0 &&
                                              endpoint_same(&endpoint, &drain->asked[i])))
                        k++;
                if (k < drain->n_rows) {
                        drain->asked[i] = endpoint; /* as udp46.conf has it */
                        continue;
                }
                if (!drain->on && drained_has(list, &drain->asked[i]))
                        continue;
                there = others(drain);
                ctl_complain("%s: no listener has this upstream, but %s", drain->ctl->options->upstreams[i],
                             there && *there ? there : "none");
                return CTL_FAILURE;
        }
        return CTL_OK;
}

/* By somebody whom the relay has not heard yet. */
static bool is_listed(const DrainedList *list, const Row *row)
{
        const char *why;
        Endpoint endpoint;

        return endpoint_parse(row->upstream, &endpoint, &why) >= 0 && drained_has(list, &endpoint);
}

/* Is there another one of its name to go to? */
static bool is_last(const Drain *drain, const DrainedList *list, const Row *row)
{
        for (size_t i = 0; i < drain->n_rows; i++) {
                const Row *other = &drain->rows[i];

                if (strcmp(other->name, row->name) == 0 && !other->asked && !other->drained && other->known &&
                    strcmp(other->state, "down") != 0 && !is_listed(list, other))
                        return false;
        }
        return true;
}

static int check_last(const Drain *drain, const DrainedList *list)
{
        for (size_t i = 0; drain->on && !drain->ctl->options->force && i < drain->n_rows; i++) {
                const Row *row = &drain->rows[i];

                if (!row->asked || row->drained || !is_last(drain, list, row))
                        continue;
                ctl_complain("%s: the listeners named %s have no other upstream that is neither drained nor down. "
                             "--force drains it all the same",
                             row->upstream, row->name);
                return CTL_FAILURE;
        }
        return CTL_OK;
}

/* --- what is done --- */

static int fail(int error)
{
        ctl_complain(LIST_PATH ": %s%s",
                     error == -EINVAL  ? "not a regular file"
                     : error == -EFBIG ? "too large for such a list"
                     : error == -EBUSY ? "another udp46ctl is changing it"
                                       : strerror(-error),
                     error == -EACCES || error == -EPERM ? ". Only root may change it" : "");
        return CTL_FAILURE;
}

static int edit(Drain *drain, DrainedList *list)
{
        const Options *options = drain->ctl->options;
        int r = 0;

        for (unsigned i = 0; i < options->n_upstreams && r >= 0; i++)
                if (drain->on)
                        r = drained_add(list, &drain->asked[i]);
                else
                        drained_remove(list, &drain->asked[i]);
        if (r >= 0 && list->changed)
                r = drained_store(list);
        return r < 0 ? fail(r) : CTL_OK;
}

static int change(Drain *drain)
{
        DrainedList list;
        int r;

        if (drain->ctl->options->all) /* whatever it is */
                return (r = drained_drop()) < 0 ? fail(r) : CTL_OK;
        r = drained_open(&list);
        if (r < 0)
                return fail(r);
        r = check_known(drain, &list);
        if (r == CTL_OK)
                r = check_last(drain, &list);
        if (r == CTL_OK)
                r = edit(drain, &list);
        drained_close(&list);
        return r;
}

static int reload(void)
{
        static const char *const argv[] = {"systemctl", "reload", "udp46.service", NULL};
        char said[1024];
        int r = program_run(argv, said, sizeof(said));

        if (r == 0)
                return CTL_OK;
        said[strcspn(said, "\n")] = '\0';
        ctl_complain("%s is written, but systemd does not reload udp46.service (%s): send the relay SIGHUP", LIST_PATH,
                     r < 0   ? strerror(-r)
                     : *said ? said
                             : "it does not say why");
        return CTL_FAILURE;
}

static int await(Drain *drain)
{
        const usec_t end = usec_add(clock_monotonic(), TAKEN_WITHIN);
        const struct timespec pause = {.tv_nsec = LOOK_EVERY * 1000};
        int r;

        while ((r = look(drain)) == CTL_OK && !is_done(drain)) {
                if (clock_monotonic() > end) {
                        ctl_complain("the relay was told, but has not taken over %s: see `journalctl -u udp46.service`",
                                     LIST_PATH);
                        return CTL_FAILURE;
                }
                (void)nanosleep(&pause, NULL);
        }
        return r;
}

/* --- what is shown --- */

static void write_upstream(char cell[static TABLE_CELL_MAX], const void *row, const void *context)
{
        (void)context;
        (void)text_safe(cell, TABLE_CELL_MAX, ((const Row *)row)->upstream);
}

static void write_name(char cell[static TABLE_CELL_MAX], const void *row, const void *context)
{
        (void)context;
        (void)text_safe(cell, TABLE_CELL_MAX, ((const Row *)row)->name);
}

static void write_state(char cell[static TABLE_CELL_MAX], const void *row, const void *context)
{
        (void)context;
        (void)text_safe(cell, TABLE_CELL_MAX, ((const Row *)row)->state);
}

static void write_chosen(char cell[static TABLE_CELL_MAX], const void *row, const void *context)
{
        (void)context;
        (void)strcpy(cell, ((const Row *)row)->chosen ? "yes" : "no");
}

static void write_drained(char cell[static TABLE_CELL_MAX], const void *row, const void *context)
{
        (void)context;
        (void)strcpy(cell, ((const Row *)row)->drained ? "yes" : "no");
}

static void write_sessions(char cell[static TABLE_CELL_MAX], const void *row, const void *context)
{
        (void)context;
        (void)snprintf(cell, TABLE_CELL_MAX, "%" PRIu64, ((const Row *)row)->sessions);
}

static Shade drained_shade(const void *row)
{
        return ((const Row *)row)->drained ? SHADE_WARN : SHADE_PLAIN;
}

static void json_show(const Drain *drain)
{
        json_t *array = json_array();

        for (size_t i = 0; i < drain->n_rows; i++) {
                json_t *object = json_copy((json_t *)(uintptr_t)drain->rows[i].json);

                (void)json_object_set_new(object, "name", json_string(drain->rows[i].name));
                (void)json_array_append_new(array, object);
        }
        answer_print(array, drain->ctl->options->json, stdout);
        (void)putchar('\n');
        json_decref(array);
}

static void sum_show(const Drain *drain)
{
        uint64_t n = 0, n_drained = 0;

        for (size_t i = 0; i < drain->n_rows; i++)
                if (drain->rows[i].drained) {
                        n += drain->rows[i].sessions;
                        n_drained++;
                }
        if (drain->n_rows > 0)
                (void)putchar('\n');
        if (n_drained == 0)
                (void)puts("No upstream is drained.");
        else
                (void)printf("%" PRIu64 " session%s on what is drained.\n", n, plural(n));
}

static void table_show(const Drain *drain)
{
        static const TableColumn columns[] = {
                        {"UPSTREAM", false, write_upstream, NULL}, {"LISTENERS", false, write_name, NULL},
                        {"STATE", false, write_state, NULL},       {"DRAINED", false, write_drained, drained_shade},
                        {"CHOSEN", false, write_chosen, NULL},     {"SESSIONS", true, write_sessions, NULL},
        };
        const Table table = {.columns = columns,
                             .n_columns = ELEMENTSOF(columns),
                             .rows = drain->rows,
                             .n_rows = drain->n_rows,
                             .stride = sizeof(Row),
                             .no_titles = drain->ctl->options->no_legend};

        if (drain->n_rows > 0)
                table_print(&table, &drain->ctl->terminal, stdout);
        if (!drain->ctl->options->no_legend)
                sum_show(drain);
}

/* Those of the names in question; of none in question, what is drained. */
static void show(Drain *drain, bool listing)
{
        size_t n = 0;

        for (size_t i = 0; i < drain->n_rows; i++)
                if (listing ? drain->rows[i].drained : drain->rows[i].named)
                        drain->rows[n++] = drain->rows[i];
        drain->n_rows = n;
        terminal_page(&drain->ctl->terminal);
        if (drain->ctl->options->json != JSON_FORM_NONE)
                json_show(drain);
        else
                table_show(drain);
}

static int run(Drain *drain)
{
        const Options *options = drain->ctl->options;
        const bool listing = options->n_upstreams == 0 && !options->all;
        const char *why;
        int r;

        for (unsigned i = 0; i < options->n_upstreams; i++)
                (void)endpoint_parse(options->upstreams[i], &drain->asked[i],
                                     &why); /* options.c has seen that it can */
        r = look(drain);
        if (r == CTL_OK && !listing)
                r = change(drain);
        if (r == CTL_OK && !listing && !is_done(drain))
                r = reload();
        if (r == CTL_OK && !listing)
                r = await(drain);
        if (r == CTL_OK)
                show(drain, listing);
        return r;
}

int drain_run(Ctl *ctl)
{
        Drain drain = {.ctl = ctl, .on = ctl->options->command == COMMAND_DRAIN};
        int r = run(&drain);

        json_decref(drain.status);
        free(drain.rows);
        return r;
}
