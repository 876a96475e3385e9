/* SPDX-License-Identifier: MIT */
/*
 * Believes: a relay must not learn that it has siblings; so what they share is above them (quotas) or beside them (this
 * file). Refuses: to call the workers alive as long as one of them does not answer.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store.h"
#include "daemon/workers.h"
#include "wire/udp.h"

/* A worker that has not answered for this long has stopped working. */
#define ANSWER_WITHIN USEC_PER_SEC

/* How long we wait for what they obey in microseconds, and how often we look. */
#define AWAIT_MAX USEC_PER_SEC
#define AWAIT_STEP 100 /* µs */

/* One worker, as the control loop sees it. */
typedef struct Slot {
        Workers *workers;
        Worker *worker;
        Relay *relay; /* the worker's, until it starts */
        uint64_t pong;
        usec_t latency; /* of that answer */
        int kept; /* negative errno: its sessions would not outlive us; does the service manager hold its keeper? */
} Slot;

typedef struct Name {
        char text[LISTENER_NAME_MAX + 1];
        Quota quota;        /* of its sessions; the whole is counted by the relays */
        unsigned n_workers; /* have such listeners: the first so many of all */
        SourcesSettings sources;
        Quota unreplied;   /* likewise, of those among them that were never answered */
        Rate new_sessions; /* shared by all workers */
        Filter *filter;    /* owned; the workers have copies */
} Name;

struct WorkersWalk {
        Workers *workers;
        ListNode node;
        unsigned worker; /* whose sessions are walked now */
        Listing listing;
        WorkersSlice ready;
        void *userdata;
};

struct Workers {
        Quota whole, host_ports, unreplied;
        unsigned n_names;
        Name names[RELAY_POLICIES_MAX];
        size_t n_places;
        Place *places;
        uint64_t ping;
        usec_t pinged;
        List walks; /* that wait for a slice */
        unsigned n_stopped;
        WorkersStopped stopped;
        void *userdata;
        WorkersRestored restored;
        void *restored_userdata;
        Counter n_restored;
        unsigned n;
        Slot slots[];
};

unsigned workers_needed(const ListenerSockets *sockets)
{
        unsigned n = 1;

        for (size_t i = 0; i < sockets->n; i++)
                if (sockets->items[i].nth + 1U > n)
                        n = sockets->items[i].nth + 1U;
        return n;
}

/* --- building --- */

/* The index of a name, which is given one when it is met first. Negative errno if there are too many. */
static int name_index(Workers *workers, const char *text)
{
        Name *name;
        unsigned i = 0;

        while (i < workers->n_names && strcmp(workers->names[i].text, text) != 0)
                i++;
        if (i < workers->n_names)
                return (int)i;
        if (i == RELAY_POLICIES_MAX)
                return -ENOSPC;
        name = &workers->names[workers->n_names++];
        name->unreplied.parent = &workers->unreplied;
        (void)strcpy(name->text, text);
        return (int)i;
}

/* Every relay has every name's policy, in the same order, whether it has such a listener or not. */
static int build_policies(Workers *workers, Relay *relay)
{
        const PolicySettings later = {0};

        relay->quota.parent = &workers->whole;
        for (unsigned i = 0; i < workers->n_names; i++) {
                Policy *policy;
                int r = relay_add_policy(relay, &upstream_direct, &later, &policy);

                if (r < 0)
                        return r;
                policy->quota.parent = &workers->names[i].quota;
                policy->unreplied.parent = &workers->names[i].unreplied;
                policy->new_sessions = &workers->names[i].new_sessions;
                policy->upstream.host_ports = &workers->host_ports;
        }
        return 0;
}

static int build_worker(Workers *workers, LogWriter *log)
{
        Slot *slot = &workers->slots[workers->n];
        RelayObserver observer;
        int r;

        r = worker_new(&slot->worker, log);
        if (r < 0)
                return r;
        slot->workers = workers;
        workers->n++;
        observer = worker_observer(slot->worker);
        r = relay_new(&slot->relay, 1, &observer);
        if (r < 0)
                return r;
        worker_host(slot->worker, slot->relay);
        return build_policies(workers, slot->relay);
}

/*
 * The place that has the sockets before the nth of this name and address, or a new one for the first. There may be
 * several, on different devices.
 */
static Place *place_of(Workers *workers, unsigned name, const Address *bound, unsigned nth)
{
        for (size_t i = 0; i < workers->n_places; i++) {
                Place *place = &workers->places[i];

                if (place->n_listeners == nth && place->name == name && address_equal(&place->bound, bound))
                        return place;
        }
        workers->places[workers->n_places] = (Place){.name = name, .bound = *bound};
        return &workers->places[workers->n_places++];
}

static int build_listener(Workers *workers, ListenerSocket *socket)
{
        Relay *relay = workers->slots[socket->nth].relay;
        unsigned name = (unsigned)name_index(workers, socket->name);
        const Listener *listener;
        Place *place;
        int r;

        r = relay_add_listener(relay, &listener_udp, socket->fd, relay->policies[name], &listener);
        if (r < 0)
                return r;
        socket->fd = -EBADF;
        place = place_of(workers, name, &listener->bound, socket->nth);
        place->device = udp_device(listener->fd);
        place->listeners[place->n_listeners++] = listener;
        if (place->n_listeners > workers->names[name].n_workers)
                workers->names[name].n_workers = place->n_listeners;
        return 0;
}

int workers_new(Workers **ret, Log *log, size_t first_writer, ListenerSockets *sockets)
{
        _cleanup_(cleanup_workers_free) Workers *workers = NULL;
        unsigned n = workers_needed(sockets);
        int r;

        workers = calloc(1, sizeof(Workers) + n * sizeof(Slot));
        if (!workers)
                return -ENOMEM;
        workers->places = calloc(sockets->n, sizeof(Place));
        if (!workers->places)
                return -ENOMEM;
        for (size_t i = 0; i < sockets->n; i++)
                if ((r = name_index(workers, sockets->items[i].name)) < 0)
                        return r;
        for (unsigned i = 0; i < n; i++)
                if ((r = build_worker(workers, log_writer(log, first_writer + i))) < 0)
                        return r;
        for (size_t i = 0; i < sockets->n; i++)
                if ((r = build_listener(workers, &sockets->items[i])) < 0)
                        return r;
        *ret = TAKE_PTR(workers);
        return 0;
}

Workers *workers_free(Workers *workers)
{
        if (!workers)
                return NULL;
        for (unsigned i = 0; i < workers->n; i++)
                (void)worker_free(workers->slots[i].worker);
        while (workers->walks.first) {
                WorkersWalk *walk = container_of(workers->walks.first, WorkersWalk, node);

                list_remove(&workers->walks, &walk->node);
                walk->ready(walk->userdata, NULL, true);
        }
        for (unsigned i = 0; i < workers->n_names; i++)
                (void)filter_free(workers->names[i].filter);
        free(workers->places);
        free(workers);
        return NULL;
}

/* --- looking --- */

unsigned workers_n_names(const Workers *workers)
{
        return workers->n_names;
}

const char *workers_name(const Workers *workers, unsigned i)
{
        return workers->names[i].text;
}

size_t workers_n_descriptors(const Workers *workers)
{
        size_t n = (size_t)workers->n * WORKER_DESCRIPTORS;

        for (size_t i = 0; i < workers->n_places; i++)
                n += workers->places[i].n_listeners;
        return n;
}

size_t workers_n_places(const Workers *workers)
{
        return workers->n_places;
}

const Place *workers_places(const Workers *workers)
{
        return workers->places;
}

WorkersName workers_of_name(const Workers *workers, unsigned name)
{
        const Quota *quota = &workers->names[name].quota;
        WorkersName sum = {.sessions = counter_get(&quota->current),
                           .peak = counter_get(&quota->peak),
                           .limit = counter_get(&quota->limit),
                           .unreplied_limit = counter_get(&workers->names[name].unreplied.limit)};

        for (unsigned i = 0; i < workers->n; i++) {
                const Policy *policy = worker_relay(workers->slots[i].worker)->policies[name];

                for (SessionAge age = 0; age < N_SESSION_AGES; age++)
                        sum.by_age[age] += counter_get(&policy->n_sessions[age]);
        }
        return sum;
}

static const UpstreamTarget *target_of(const Slot *slot, unsigned name, uint8_t target)
{
        return &worker_relay(slot->worker)->policies[name]->upstream.targets[target];
}

TargetSeen workers_of_target(const Workers *workers, unsigned name, uint8_t target)
{
        TargetSeen sum = {0};

        for (unsigned i = 0; i < workers->n; i++) {
                const UpstreamTarget *one = target_of(&workers->slots[i], name, target);

                sum.asked += counter_get(&one->asked);
                sum.knocked += counter_get(&one->knocked);
                sum.answered += counter_get(&one->answered);
                sum.icmp_errors += counter_get(&one->icmp_errors);
        }
        return sum;
}

uint64_t workers_sessions_at(const Workers *workers, unsigned name, uint8_t target)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < workers->n; i++)
                n += counter_get(&target_of(&workers->slots[i], name, target)->n_sessions);
        return n;
}

usec_t workers_last_reply(const Workers *workers, unsigned name, uint8_t target)
{
        usec_t last = 0;

        for (unsigned i = 0; i < workers->n; i++) {
                usec_t one = counter_get(&target_of(&workers->slots[i], name, target)->last_reply);

                last = one > last ? one : last;
        }
        return last;
}

WorkersTotals workers_totals(const Workers *workers)
{
        WorkersTotals totals = {.sessions = counter_get(&workers->whole.current),
                                .peak = counter_get(&workers->whole.peak),
                                .limit = counter_get(&workers->whole.limit),
                                .unreplied_limit = counter_get(&workers->unreplied.limit)};

        for (size_t i = 0; i < workers->n_places; i++) {
                const Stats stats = place_stats(&workers->places[i]);

                stats_add(&totals.stats, &stats);
        }
        for (unsigned i = 0; i < workers->n_names; i++)
                totals.unreplied += workers_of_name(workers, i).by_age[SESSION_UNREPLIED];
        return totals;
}

/* --- orders and answers --- */

/*
 * Answers taken in one turn. Each slice of sessions leads to some 100 µs of rendering and to the next question, and a
 * worker answers sooner than that: without a bound signals and the watchdog would wait as long as anybody asks.
 */
enum { ANSWERS_MAX = 8 };

static void walk_take(WorkersWalk *walk);

static int on_answers(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Slot *slot = userdata;
        Workers *workers = slot->workers;
        WorkerAnswer answer;
        unsigned n = 0;

        (void)source, (void)fd, (void)events;
        worker_quiet(slot->worker);
        while (n++ < ANSWERS_MAX && worker_take(slot->worker, &answer)) {
                if (answer.listing)
                        walk_take(container_of(answer.listing, WorkersWalk, listing));
                else if (answer.revival)
                        workers->restored(workers->restored_userdata, answer.revival);
                else if (!answer.stopped) {
                        slot->pong = answer.ping;
                        slot->latency = usec_sub(answer.at, workers->pinged);
                } else if (answer.error < 0 || ++workers->n_stopped == workers->n)
                        workers->stopped(workers->userdata, answer.error);
        }
        if (n > ANSWERS_MAX)
                worker_again(slot->worker);
        return 0;
}

int workers_attach(Workers *workers, sd_event *event, WorkersStopped stopped, void *userdata)
{
        workers->stopped = stopped;
        workers->userdata = userdata;
        for (unsigned i = 0; i < workers->n; i++) {
                Slot *slot = &workers->slots[i];
                int r = sd_event_add_io(event, NULL, worker_get_fd(slot->worker), EPOLLIN, on_answers, slot);

                if (r < 0)
                        return r;
        }
        return 0;
}

int workers_start(Workers *workers)
{
        for (unsigned i = 0; i < workers->n; i++) {
                int r = worker_start(workers->slots[i].worker);

                if (r < 0)
                        return r;
        }
        return 0;
}

bool workers_order(Workers *workers, const WorkerOrder *order)
{
        bool taken = true;

        if (order->kind == WORKER_SET_LIMIT)
                counter_set(&workers->whole.limit, order->limit);
        else if (order->kind == WORKER_SET_POLICY) {
                counter_set(&workers->names[order->policy].quota.limit, order->settings.max_sessions);
                counter_set(&workers->names[order->policy].unreplied.limit, order->settings.max_unreplied);
        }
        for (unsigned i = 0; i < workers->n; i++)
                taken = worker_order(workers->slots[i].worker, order) && taken;
        return taken;
}

void workers_await(const Workers *workers)
{
        const usec_t until = usec_add(clock_monotonic(), AWAIT_MAX);

        for (unsigned i = 0; i < workers->n; i++)
                while (!worker_has_obeyed(workers->slots[i].worker) && clock_monotonic() < until)
                        (void)usleep(AWAIT_STEP);
}

void workers_set_host_ports(Workers *workers, uint64_t n)
{
        counter_set(&workers->host_ports.limit, n);
}

bool workers_set_sources(Workers *workers, unsigned name, const SourcesSettings *settings)
{
        Name *of = &workers->names[name];

        if (sources_equal(&of->sources, settings))
                return true; /* the same ones go on: they know which of them are taken */
        of->sources = *settings;
        for (unsigned i = 0; i < of->n_workers; i++) {
                WorkerOrder order = {.kind = WORKER_SET_SOURCES, .policy = (uint16_t)name};

                if (sources_wanted(settings) && sources_new(&order.sources, settings, i, of->n_workers) < 0)
                        return false;
                if (!worker_order(workers->slots[i].worker, &order)) {
                        (void)sources_free(order.sources);
                        return false;
                }
        }
        return true;
}

bool workers_set_filter(Workers *workers, unsigned name, const Filter *filter)
{
        Name *of = &workers->names[name];
        bool taken = true;

        if (filter_equal(of->filter, filter))
                return true; /* nobody is judged again */
        of->filter = filter_free(of->filter);
        if (filter_copy(&of->filter, filter) < 0)
                return false;
        for (unsigned i = 0; i < of->n_workers; i++) {
                WorkerOrder order = {.kind = WORKER_SET_FILTER, .policy = (uint16_t)name};

                if (filter_copy(&order.filter, filter) < 0 || !worker_order(workers->slots[i].worker, &order)) {
                        (void)filter_free(order.filter);
                        taken = false;
                }
        }
        return taken;
}

uint64_t workers_n_echoes(const Workers *workers)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < workers->n; i++)
                n += counter_get(&worker_relay(workers->slots[i].worker)->echo.n_heard);
        return n;
}

void workers_set_unreplied(Workers *workers, uint64_t n)
{
        counter_set(&workers->unreplied.limit, n);
}

void workers_ping(Workers *workers, usec_t now)
{
        WorkerOrder order = {.kind = WORKER_PING};

        for (unsigned i = 0; i < workers->n; i++)
                if (workers->slots[i].pong != workers->ping)
                        return;
        order.ping = ++workers->ping;
        workers->pinged = now;
        (void)workers_order(workers, &order);
}

bool workers_alive(const Workers *workers, usec_t now)
{
        if (usec_sub(now, workers->pinged) < ANSWER_WITHIN)
                return true;
        for (unsigned i = 0; i < workers->n; i++)
                if (workers->slots[i].pong != workers->ping)
                        return false;
        return true;
}

usec_t workers_latency(const Workers *workers, usec_t now)
{
        usec_t slowest = 0;

        for (unsigned i = 0; i < workers->n; i++) {
                const Slot *slot = &workers->slots[i];
                usec_t latency = slot->pong == workers->ping ? slot->latency : usec_sub(now, workers->pinged);

                if (latency > slowest)
                        slowest = latency;
        }
        return slowest;
}

/* --- beyond this process --- */

unsigned workers_n(const Workers *workers)
{
        return workers->n;
}

static int keep_one(Workers *workers, Slot *slot, uint32_t n_slots, const char *const *names, usec_t now)
{
        _cleanup_(cleanup_keeper_free) Keeper *keeper = NULL;
        int r = keeper_new(&keeper, n_slots, now);

        if (r < 0)
                return r;
        r = keeper_house(keeper, slot->relay, names);
        if (r < 0)
                return r;
        r = store_keep(keeper, (unsigned)(slot - workers->slots));
        worker_keep(slot->worker, TAKE_PTR(keeper));
        return r;
}

void workers_keep(Workers *workers, uint32_t n_slots)
{
        const char *names[RELAY_POLICIES_MAX];
        usec_t now = clock_monotonic();

        for (unsigned i = 0; i < workers->n_names; i++)
                names[i] = workers->names[i].text;
        for (unsigned i = 0; i < workers->n; i++)
                workers->slots[i].kept = keep_one(workers, &workers->slots[i], n_slots, names, now);
}

int workers_store(Workers *workers)
{
        int r = 0;

        for (unsigned i = 0; i < workers->n; i++) {
                Slot *slot = &workers->slots[i];
                const Keeper *keeper = worker_keeper(slot->worker);

                if (slot->kept < 0 && keeper)
                        slot->kept = store_keep(keeper, i);
                if (slot->kept < 0)
                        r = slot->kept;
        }
        return r;
}

void workers_note_upstream(Workers *workers, unsigned name, unsigned k, const char *upstream, const Address *address)
{
        for (unsigned i = 0; i < workers->n; i++) {
                const Keeper *keeper = worker_keeper(workers->slots[i].worker);

                if (keeper)
                        image_set_upstream(keeper->header, name, k, upstream, address);
        }
}

WorkersKept workers_kept(const Workers *workers)
{
        WorkersKept kept = {0};

        for (unsigned i = 0; i < workers->n; i++) {
                const Keeper *keeper = worker_keeper(workers->slots[i].worker);

                if (keeper && workers->slots[i].kept >= 0) {
                        kept.parked += counter_get(&keeper->n_parked);
                        kept.fresh += counter_get(&keeper->n_fresh);
                }
        }
        return kept;
}

bool workers_restore(Workers *workers, Revival *revivals, uint64_t last_id, WorkersRestored restored, void *userdata)
{
        bool taken = true;

        workers->restored = restored;
        workers->restored_userdata = userdata;
        counter_set(&workers->whole.numbered, last_id);
        for (unsigned i = 0; i < workers->n; i++)
                if (worker_keeper(workers->slots[i].worker))
                        worker_keeper(workers->slots[i].worker)->header->last_id = last_id;
        for (unsigned i = 0; i < workers->n; i++) {
                const WorkerOrder order = {.kind = WORKER_RESTORE,
                                           .revival = &revivals[i],
                                           .n_restored = &workers->n_restored,
                                           .n_workers = workers->n};

                taken = worker_order(workers->slots[i].worker, &order) && taken;
        }
        return taken;
}

/* --- walks --- */

WorkersWalk *workers_walk_new(Workers *workers)
{
        WorkersWalk *walk = calloc(1, sizeof(WorkersWalk));

        if (walk)
                walk->workers = workers;
        return walk;
}

WorkersWalk *workers_walk_free(WorkersWalk *walk)
{
        free(walk);
        return NULL;
}

bool workers_walk_next(WorkersWalk *walk, WorkersSlice ready, void *userdata)
{
        const WorkerOrder order = {.kind = WORKER_LIST, .listing = &walk->listing};

        walk->ready = ready;
        walk->userdata = userdata;
        if (!worker_order(walk->workers->slots[walk->worker].worker, &order))
                return false;
        list_append(&walk->workers->walks, &walk->node);
        return true;
}

/* The slice has come. What was asked for next begins with the next worker, if this one has no more. */
static void walk_take(WorkersWalk *walk)
{
        const Listing slice = walk->listing;
        bool last = slice.complete && walk->worker + 1 == walk->workers->n;

        list_remove(&walk->workers->walks, &walk->node);
        if (slice.complete) {
                walk->worker++;
                walk->listing = (Listing){0};
        }
        walk->ready(walk->userdata, &slice, last);
}
