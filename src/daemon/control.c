/* SPDX-License-Identifier: MIT */
/*
 * Believes: sd_notify() may block for as long as PID 1 does, which is why only this thread calls it; and a watchdog
 * that one loop feeds proves nothing about another, so it is fed only when every worker has answered the last ping.
 * Refuses: to serve before it knows where to, within reason. Datagrams that arrive meanwhile wait in the kernel.
 */
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "daemon/control.h"
#include "daemon/drained.h"
#include "daemon/drops.h"
#include "daemon/limits.h"
#include "daemon/plan.h"
#include "daemon/problems.h"
#include "daemon/restore.h"
#include "daemon/sentences.h"
#include "daemon/status.h"
#include "daemon/targets.h"
#include "daemon/viewer.h"
#include "daemon/workers.h"
#include "http/server.h"
#include "wire/udp.h"

#define TICK_EVERY (3 * USEC_PER_SEC)
#define SETTLE_MAX (2 * USEC_PER_SEC) /* how long the first answers of the resolver are awaited before serving */
#define STORE_AGAIN (50 * USEC_PER_MSEC)
#define SERVICE_ACCURACY (100 * USEC_PER_MSEC)

enum { STORE_AGAIN_MAX = 40 };

struct Control {
        sd_event *event;
        Log *log;
        LogWriter *writer;
        Config *config;
        int config_must_exist;

        Workers *workers;
        Targets *targets; /* of each of their names */
        Drained drained;  /* what the file said when it was last read */
        bool ready_owed;  /* it was said, and not heard */
        bool serving, stopping;

        Restore restore;        /* from the process before */
        Store *store;           /* what that left with the service manager; the caller's */
        bool unkept;            /* it was said that the sessions would not outlive us */
        sd_event_source *again; /* soon tries again to have them kept */
        unsigned n_again;

        Status status;
        Drops *drops;
        Viewer *viewer;
        HttpServer *http;
        bool session_labels; /* the command line asks for them */
        usec_t watchdog;     /* 0: the service manager wants none */
};

static unsigned n_names(const Control *control)
{
        return workers_n_names(control->workers);
}

/* --- orders to the workers --- */

/* A worker that takes no orders has stopped working: the process ends, and the service manager starts a new one. */
static void control_order(Control *control, const WorkerOrder *order)
{
        if (!workers_order(control->workers, order))
                (void)sd_event_exit(control->event, -EBUSY);
}

static void say_lowered(Control *control, const PlanWhole *whole)
{
        LogRecord record;

        log_record_begin(&record, &sentences[SENTENCE_LIMIT_LOWERED]);
        log_record_add(&record, "UDP46_REASON", "%s", whole->lowered);
        log_record_add(&record, "UDP46_WANTED", "%" PRIu64, whole->wanted);
        log_record_add(&record, "UDP46_LIMIT", "%" PRIu64, whole->sessions);
        (void)log_writer_send(control->writer, &record);
}

/* An address that is not the host's, now at least: its legs can send, and will hear nothing. */
static void warn_of_foreign_source(Control *control, const Prefix *prefix)
{
        const PrefixList list = {.n = 1, .items = {*prefix}};
        const Address first = {.family = AF_INET6, .v6 = prefix_address(prefix, prefix->length < 128)};
        char text[PREFIX_LIST_TEXT_MAX];
        LogRecord record;

        if (udp_is_local(&first, true)) /* who cannot know does not warn */
                return;
        log_record_begin(&record, &sentences[SENTENCE_SOURCE_FOREIGN]);
        log_record_add(&record, "UDP46_SOURCE", "%s", prefix_list_format(text, &list));
        (void)log_writer_send(control->writer, &record);
}

/* Not yet, perhaps: sessions find it when it comes. */
static void warn_of_missing_device(Control *control, unsigned i, const char *device)
{
        LogRecord record;

        if (!*device || if_nametoindex(device) > 0)
                return;
        log_record_begin(&record, &sentences[SENTENCE_DEVICE_MISSING]);
        log_record_add(&record, "UDP46_DEVICE", "%s", device);
        log_record_add(&record, "UDP46_LISTENER_NAME", "%s", workers_name(control->workers, i));
        (void)log_writer_send(control->writer, &record);
}

static void order_sources(Control *control, unsigned i)
{
        const SourcesSettings sources = plan_sources(control->config, workers_name(control->workers, i));

        for (unsigned k = 0; k < sources.listed.n; k++)
                warn_of_foreign_source(control, &sources.listed.items[k]);
        if (sources.clients.length > 0)
                warn_of_foreign_source(control, &sources.clients);
        if (!workers_set_sources(control->workers, i, &sources))
                (void)sd_event_exit(control->event, -EBUSY);
}

/* All that the workers have to know. Before they serve nothing is ordered, so that this finds their mailboxes empty. */
static void control_instruct(Control *control)
{
        const char *names[RELAY_POLICIES_MAX];
        WorkerOrder order = {.kind = WORKER_SET_LIMIT};
        PlanWhole whole;

        for (unsigned i = 0; i < n_names(control); i++)
                names[i] = workers_name(control->workers, i);
        whole = plan_whole(control->config, names, n_names(control),
                           workers_n_descriptors(control->workers) + http_server_n_descriptors(control->http));
        if (whole.lowered)
                say_lowered(control, &whole);
        viewer_set_lowered(control->viewer, whole.lowered);
        order.limit = whole.sessions;
        control_order(control, &order);
        workers_set_host_ports(control->workers, whole.host_ports);
        workers_set_unreplied(control->workers, whole.unreplied);
        for (unsigned i = 0; i < n_names(control); i++) {
                order = (WorkerOrder){.kind = WORKER_SET_POLICY, .policy = (uint16_t)i};
                order.settings = plan_policy(control->config, names[i], &whole);
                warn_of_missing_device(control, i, order.settings.device);
                control_order(control, &order);
                order_sources(control, i);
        }
        targets_serve(control->targets);
}

/* Before anything else: who may not come to a new upstream never does. */
static void set_filters(Control *control)
{
        for (unsigned i = 0; i < n_names(control); i++)
                if (!workers_set_filter(control->workers, i,
                                        config_filter(control->config, workers_name(control->workers, i))))
                        (void)sd_event_exit(control->event, -EBUSY);
}

/* --- serving and stopping --- */

static void say_about_places(Control *control, SentenceId sentence)
{
        const Place *places = workers_places(control->workers);

        for (size_t i = 0; i < workers_n_places(control->workers); i++) {
                char text[ADDRESS_TEXT_MAX];
                LogRecord record;

                log_record_begin(&record, &sentences[sentence]);
                log_record_add(&record, "UDP46_LISTENER", "%s", address_format(text, &places[i].bound));
                log_record_add(&record, "UDP46_LISTENER_NAME", "%s", workers_name(control->workers, places[i].name));
                if (places[i].n_listeners > 1)
                        log_record_add(&record, "UDP46_WORKERS", "%u", places[i].n_listeners);
                (void)log_writer_send(control->writer, &record);
        }
}

static void say(Control *control, SentenceId sentence, const char *reason)
{
        LogRecord record;

        log_record_begin(&record, &sentences[sentence]);
        if (reason)
                log_record_add(&record, "UDP46_REASON", "%s", reason);
        (void)log_writer_send(control->writer, &record);
}

static void control_show_status(Control *control)
{
        const WorkersTotals totals = workers_totals(control->workers);

        if (control->restore.n_awaited > 0) /* what is counted now is not what there is */
                return;
        status_update(&control->status, &totals, control->targets, clock_monotonic());
}

/* A section that no listener uses is most probably misspelt. */
static void warn_of_unused_sections(Control *control)
{
        for (size_t i = 1; i < control->config->n_sections; i++) {
                const ConfigSection *section = &control->config->sections[i];
                LogRecord record;
                unsigned k = 0;

                while (k < n_names(control) && strcmp(workers_name(control->workers, k), section->name) != 0)
                        k++;
                if (k < n_names(control))
                        continue;
                log_record_begin(&record, &sentences[SENTENCE_SECTION_UNUSED]);
                log_record_add(&record, "UDP46_SECTION", "[Relay %s]", section->name);
                (void)log_writer_send(control->writer, &record);
        }
}

/* --- what is drained --- */

/* No line: it is the file that is of no use. */
static void say_not_drained(void *userdata, const char *line, const char *why)
{
        Control *control = userdata;
        LogRecord record;

        log_record_begin(&record, &sentences[SENTENCE_NOT_DRAINED]);
        if (line)
                log_record_add(&record, "UDP46_UPSTREAM_NAME", "%.300s", line);
        log_record_add(&record, "UDP46_REASON", "%s", why);
        (void)log_writer_send(control->writer, &record);
}

/* Whatever is wrong with it, what can be understood is in force. */
static void read_drained(Control *control)
{
        int r = drained_load(&control->drained, DRAINED_PATH, say_not_drained, control);
        char why[256];

        if (r >= 0)
                return;
        (void)snprintf(why, sizeof(why), DRAINED_PATH ": %s", r == -EINVAL ? "not a regular file" : strerror(-r));
        say_not_drained(control, NULL, why);
}

static void warn_of_strange_drained(Control *control)
{
        char text[ENDPOINT_TEXT_MAX];

        for (size_t i = 0; i < control->drained.n; i++)
                if (!targets_have(control->targets, &control->drained.items[i]))
                        say_not_drained(control, endpoint_format(text, &control->drained.items[i]),
                                        "no listener has this upstream");
}

static void say_what_starts(Control *control)
{
        LogRecord record;

        log_record_begin(&record, &sentences[SENTENCE_STARTING]);
        log_record_add(&record, "UDP46_VERSION", "%s", UDP46_VERSION);
        log_record_add(&record, "UDP46_CONFIG", "%s", control->config->path);
        log_record_add(&record, "UDP46_LIMIT", "%" PRIu64, workers_totals(control->workers).limit);
        (void)log_writer_send(control->writer, &record);
        warn_of_unused_sections(control);
        warn_of_strange_drained(control);
        say_about_places(control, SENTENCE_LISTENER_STARTED);
}

/* --- what outlives us --- */

/*
 * Right after the old sockets were given back there may be room for what the service manager could not be given: it
 * closes them in its own time, which is short. Later the tick tries.
 */
static int on_again(sd_event_source *source, uint64_t at, void *userdata)
{
        Control *control = userdata;

        (void)at;
        if (control->stopping || workers_store(control->workers) >= 0 || ++control->n_again == STORE_AGAIN_MAX)
                return 0;
        (void)sd_event_source_set_time_relative(source, STORE_AGAIN);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static void control_store_again(Control *control)
{
        if (workers_store(control->workers) < 0)
                (void)sd_event_add_time_relative(control->event, &control->again, CLOCK_MONOTONIC, STORE_AGAIN, 0,
                                                 on_again, control);
}

/* Said when it has lasted for a tick at least: what a restart mends by itself is nothing to worry about. */
static void control_store(Control *control)
{
        int r = workers_store(control->workers);

        if ((r < 0) == control->unkept)
                return;
        control->unkept = r < 0;
        say(control, control->unkept ? SENTENCE_NOT_KEPT : SENTENCE_KEPT, control->unkept ? strerror(-r) : NULL);
}

/* --- what the process before left --- */

/* How many, and for which reasons: `limit 5, no_port 1`. */
static void say_lost(Control *control, const Restore *restore, uint64_t lost)
{
        char reasons[256] = "";
        LogRecord record;
        size_t used = 0;

        for (RevivalLoss loss = 0; loss < N_LOSSES && used < sizeof(reasons); loss++)
                if (restore->n_lost[loss] > 0)
                        used += (size_t)snprintf(reasons + used, sizeof(reasons) - used, "%s%s %" PRIu64,
                                                 used > 0 ? ", " : "", revival_loss_names[loss], restore->n_lost[loss]);
        log_record_begin(&record, &sentences[SENTENCE_LOST]);
        log_record_add(&record, "UDP46_LOST", "%" PRIu64, lost);
        log_record_add(&record, "UDP46_REASON", "%s", reasons);
        (void)log_writer_send(control->writer, &record);
}

static void say_restored(Control *control, const Restore *restore)
{
        const uint64_t lost = restore_lost(restore);
        LogRecord record;

        log_record_begin(&record, &sentences[SENTENCE_RESTORED]);
        log_record_add(&record, "UDP46_SESSIONS", "%" PRIu64, restore->n_restored);
        log_record_add(&record, "UDP46_LOST", "%" PRIu64, lost);
        log_record_add(&record, "UDP46_GAP_USEC", "%" PRIu64, restore->gap);
        (void)log_writer_send(control->writer, &record);
        if (lost > 0)
                say_lost(control, restore, lost);
}

static void control_restored(void *userdata, Revival *revival)
{
        Control *control = userdata;
        Restore *restore = &control->restore;

        if (!restore_answered(restore, revival))
                return;
        say_restored(control, restore);
        store_forget(control->store);
        restore_done(restore);
        control_show_status(control);
        control_store_again(control);
}

/* Gathers it, and knows the upstreams' addresses before the resolver does. */
static int control_gather(Control *control, Store *store)
{
        int r;

        if (store_available())
                workers_keep(control->workers, (uint32_t)limits_sessions_by_files());
        control->store = store;
        if (store->n == 0)
                return 0;
        r = restore_gather(&control->restore, store, control->workers);
        if (r < 0)
                return r;
        control->restore.begun = true;
        targets_presume(control->targets, &control->restore);
        return 0;
}

/* The workers' first work: a datagram must not open a session that is about to come back. */
static void control_restore(Control *control)
{
        Restore *restore = &control->restore;

        if (!restore->begun)
                return;
        restore->n_awaited = restore->n_workers;
        if (!workers_restore(control->workers, restore->revivals, restore->last_id, control_restored, control))
                (void)sd_event_exit(control->event, -EBUSY);
}

/*
 * It takes a descriptor, of which a worker that takes sessions over may leave none for a moment: then it is said again
 * with the next tick, or the service manager would wait until it gives us up.
 */
static void say_ready(Control *control)
{
        control->ready_owed = sd_notify(0, "READY=1") < 0;
}

static int control_serve(Control *control)
{
        int r;

        if (control->serving || control->stopping)
                return 0;
        set_filters(control);
        control_instruct(control);
        control_restore(control);
        say_what_starts(control);
        r = workers_start(control->workers);
        if (r < 0)
                return r;
        control->serving = true;
        if (control->restore.n_awaited > 0)
                status_say("taking over the sessions of the process before");
        control_show_status(control);
        say_ready(control);
        return 0;
}

static void control_stop(Control *control, const char *reason)
{
        const WorkerOrder order = {.kind = WORKER_STOP};

        if (control->stopping)
                return;
        control->stopping = true;
        say(control, SENTENCE_SHUTDOWN_REQUESTED, reason);
        (void)sd_notify(0, "STOPPING=1");
        if (!control->serving)
                (void)sd_event_exit(control->event, 0);
        else
                control_order(control, &order);
}

/* --- callbacks --- */

static int on_stop_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        (void)source;
        control_stop(userdata, info->ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
        return 0;
}

static int on_tick(sd_event_source *source, uint64_t at, void *userdata)
{
        Control *control = userdata;

        (void)at;
        if (control->ready_owed)
                say_ready(control);
        if (control->serving && !control->stopping) {
                control_show_status(control);
                drops_look(control->drops, clock_monotonic());
                viewer_sample(control->viewer, clock_monotonic());
                workers_ping(control->workers, clock_monotonic());
                control_store(control);
        }
        (void)sd_event_source_set_time_relative(source, TICK_EVERY);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

/* Once, when the resolver has answered, or when that takes too long. */
static int on_settled(sd_event_source *source, uint64_t at, void *userdata)
{
        Control *control = userdata;
        int r;

        (void)source, (void)at;
        r = control_serve(control);
        return r < 0 ? sd_event_exit(control->event, r) : 0;
}

static int on_watchdog(sd_event_source *source, uint64_t at, void *userdata)
{
        Control *control = userdata;

        (void)at;
        if (!control->serving || workers_alive(control->workers, clock_monotonic())) {
                (void)sd_notify(0, "WATCHDOG=1");
                viewer_set_watchdog(control->viewer, clock_monotonic());
        }
        (void)sd_event_source_set_time_relative(source, control->watchdog / 3);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static void workers_stopped(void *userdata, int error)
{
        (void)sd_event_exit(((Control *)userdata)->event, error);
}

/* --- reload --- */

/* The new configuration, checked for every listener there is. NULL: there are problems, told on the stream. */
static Config *reload_config(Control *control, FILE *problems)
{
        _cleanup_(cleanup_config_free) Config *config = NULL;
        unsigned n_problems;
        Settings settings;
        int r;

        r = config_load(&config, control->config->path, control->config_must_exist, &control->config->flags, problems,
                        &n_problems);
        if (r < 0) {
                problem_tell(problems, "%s", strerror(-r));
                return NULL;
        }
        if (n_problems == 0)
                n_problems = config_check(config, problems);
        for (unsigned i = 0; i < n_names(control) && n_problems == 0; i++)
                if ((r = config_for(config, workers_name(control->workers, i), &settings)) < 0) {
                        problem_tell(problems,
                                     r == -ENOENT ? "%s: no section [Relay %s], yet there are listeners of that name"
                                                  : "%s: no upstream for the listeners named %s: write Upstream= under "
                                                    "[Relay]",
                                     config->path, workers_name(control->workers, i));
                        n_problems++;
                }
        return n_problems > 0 ? NULL : TAKE_PTR(config);
}

static void set_http(Control *control)
{
        HttpSettings http = {0};
        Settings settings;

        config_whole(control->config, &settings);
        http.session_labels = settings.http_session_labels || control->session_labels;
        http.show_clients = settings.http_show_clients;
        (void)strcpy(http.hosts, settings.http_hosts);
        http_server_set(control->http, &http);
}

static void set_targets(Control *control)
{
        for (unsigned i = 0; i < n_names(control); i++) {
                Settings settings;

                (void)config_for(control->config, workers_name(control->workers, i), &settings);
                targets_set(control->targets, i, &settings, &control->drained);
        }
}

static void drain_targets(Control *control)
{
        for (unsigned i = 0; i < n_names(control); i++)
                targets_drain(control->targets, i, &control->drained);
}

/* What is said next is true of all of them. */
static void control_await(const Control *control)
{
        if (control->serving)
                workers_await(control->workers);
}

static void control_apply(Control *control)
{
        Settings settings;

        config_whole(control->config, &settings);
        log_set_level(control->log, settings.log_level);
        set_filters(control);
        set_targets(control);
        set_http(control);
        if (control->serving)
                control_instruct(control);
        control_await(control);
}

static int on_reload_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Control *control = userdata;
        char no_memory[] = "out of memory\n";
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *problems;
        Config *config;

        (void)source, (void)info;
        if (control->stopping || !(problems = open_memstream(&text, &size)))
                return 0;
        (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_monotonic());
        config = reload_config(control, problems);
        (void)fclose(problems);
        read_drained(control);
        if (config) {
                (void)config_free(control->config);
                control->config = config;
                status_note_trouble(&control->status, "");
                control_apply(control);
                say(control, SENTENCE_RELOADED, NULL);
                warn_of_unused_sections(control);
        } else {
                char *rest = text ? text : no_memory; /* not even for the text */

                drain_targets(control); /* a mistake elsewhere does not keep anybody there */
                control_await(control);
                status_note_trouble(&control->status, rest);
                for (const char *line; (line = strsep(&rest, "\n")) && *line;)
                        say(control, SENTENCE_RELOAD_FAILED, line);
        }
        warn_of_strange_drained(control);
        control_show_status(control);
        if (control->serving)
                say_ready(control);
        return 0;
}

/* --- birth and death --- */

static int control_add_sources(Control *control)
{
        sd_event *event = control->event;
        uint64_t watchdog;
        int r;

        if ((r = sd_event_add_signal(event, NULL, SIGTERM, on_stop_signal, control)) < 0 ||
            (r = sd_event_add_signal(event, NULL, SIGINT, on_stop_signal, control)) < 0 ||
            (r = sd_event_add_signal(event, NULL, SIGHUP, on_reload_signal, control)) < 0 ||
            (r = workers_attach(control->workers, event, workers_stopped, control)) < 0 ||
            (r = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, TICK_EVERY, SERVICE_ACCURACY, on_tick,
                                            control)) < 0)
                return r;
        if (sd_watchdog_enabled(true, &watchdog) > 0) {
                control->watchdog = watchdog;
                r = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 0, SERVICE_ACCURACY, on_watchdog, control);
        }
        return r;
}

/* A worker that takes no orders has stopped working: the process ends, and the service manager starts a new one. */
static void worker_is_stuck(void *userdata)
{
        (void)sd_event_exit(((Control *)userdata)->event, -EBUSY);
}

/* Directs the upstreams; the relays start when all are known, or when that takes too long. */
static int control_start_targets(Control *control)
{
        int r = targets_new(&control->targets, control->event, control->writer, control->workers, worker_is_stuck,
                            control);

        if (r >= 0) {
                read_drained(control);
                set_targets(control);
        }
        return r;
}

static void say_http(Control *control, int fd)
{
        char text[SOCKET_TEXT_MAX];
        LogRecord record;

        log_record_begin(&record, &sentences[SENTENCE_HTTP_STARTED]);
        log_record_add(&record, "UDP46_LISTENER", "%s", socket_format(text, fd));
        (void)log_writer_send(control->writer, &record);
}

/* Serves the HTTP sockets, with what there is to see. */
static int control_start_http(Control *control, ListenerSockets *sockets)
{
        int r;

        r = viewer_new(&control->viewer, control->workers, control->targets, control->log, &control->restore,
                       &control->status);
        if (r < 0)
                return r;
        r = http_server_new(&control->http, control->event, viewer_source(control->viewer));
        if (r < 0)
                return r;
        set_http(control);
        for (size_t i = 0; i < sockets->n_http; i++) {
                r = http_server_listen(control->http, sockets->http[i]);
                if (r < 0)
                        return r;
                say_http(control, sockets->http[i]);
                sockets->http[i] = -EBADF;
        }
        return 0;
}

int control_new(Control **ret, Log *log, Config *config, const Options *options, ListenerSockets *sockets)
{
        _cleanup_(cleanup_control_free) Control *control = calloc(1, sizeof(Control));
        int r;

        if (!control)
                return -ENOMEM;
        control->log = log;
        control->writer = log_writer(log, CONTROL_LOG_CONTROL);
        control->config = config;
        control->config_must_exist = options->config_path != NULL;
        control->session_labels = options->metrics_session_labels;
        if ((r = sd_event_default(&control->event)) < 0 ||
            (r = workers_new(&control->workers, log, CONTROL_LOG_WORKERS, sockets)) < 0 ||
            (r = drops_new(&control->drops, workers_places(control->workers), workers_n_places(control->workers),
                           control->writer)) < 0 ||
            (r = control_start_targets(control)) < 0 || (r = control_gather(control, &sockets->store)) < 0 ||
            (r = control_start_http(control, sockets)) < 0 || (r = control_add_sources(control)) < 0) {
                control->config = NULL; /* stays the caller's */
                return r;
        }
        *ret = TAKE_PTR(control);
        return 0;
}

int control_run(Control *control)
{
        int r;

        r = sd_event_add_time_relative(control->event, NULL, CLOCK_MONOTONIC, SETTLE_MAX, SERVICE_ACCURACY, on_settled,
                                       control);
        if (r < 0)
                return r;
        /* Until it serves, every turn may have brought the last answer. */
        while (!control->serving && sd_event_get_state(control->event) != SD_EVENT_FINISHED) {
                if (targets_settled(control->targets) && (r = control_serve(control)) < 0)
                        return r;
                if (!control->serving && (r = sd_event_run(control->event, UINT64_MAX)) < 0)
                        return r;
        }
        if (sd_event_get_state(control->event) != SD_EVENT_FINISHED)
                r = sd_event_loop(control->event);
        else
                (void)sd_event_get_exit_code(control->event, &r);
        return r;
}

/* A restart finds them again; after a stop the service manager throws them away. */
static void say_complete(Control *control, uint64_t n_kept)
{
        LogRecord record;

        log_record_begin(&record, &sentences[SENTENCE_SHUTDOWN_COMPLETE]);
        log_record_add(&record, "UDP46_SESSIONS", "%" PRIu64, n_kept);
        (void)log_writer_send(control->writer, &record);
}

Control *control_free(Control *control)
{
        WorkersKept kept = {0};

        if (!control)
                return NULL;
        if (control->workers)
                kept = workers_kept(control->workers);
        if (control->serving)
                say_about_places(control, SENTENCE_LISTENER_STOPPED);
        (void)drops_free(control->drops);
        http_server_close(control->http); /* it looks at the workers */
        (void)workers_free(
                        control->workers); /* parks their sessions; tells the HTTP server that no more sessions come */
        (void)http_server_free(control->http);
        (void)viewer_free(control->viewer);
        restore_done(&control->restore);
        (void)targets_free(control->targets);
        drained_done(&control->drained);
        (void)sd_event_source_unref(control->again);
        (void)sd_event_unref(control->event);
        if (control->serving && control->stopping)
                say_complete(control, kept.parked + kept.fresh);
        (void)config_free(control->config);
        free(control);
        return NULL;
}
