/* SPDX-License-Identifier: MIT */
/* Believes: the workers need to know addresses and one decision; how it came about is nothing that a datagram asks. */
#include <errno.h>
#include <string.h>

#include "daemon/loops.h"
#include "daemon/sentences.h"
#include "daemon/suspicion.h"
#include "daemon/targets.h"
#include "wire/udp.h"

#define LOOK_ACCURACY (100 * USEC_PER_MSEC)

struct Targets {
        LogWriter *log;
        Workers *workers;
        Upstreams *upstreams; /* UPSTREAM_TARGETS_MAX of them for each name */
        Loops *loops;
        sd_event_source *look;
        bool serving, setting;
        void (*stuck)(void *userdata);
        void *userdata;
        Probe *probes;         /* likewise */
        Suspicion *suspicions; /* likewise */
        unsigned n;
        Failover names[];
};

static unsigned upstream_index(unsigned name, uint8_t target)
{
        return name * UPSTREAM_TARGETS_MAX + target;
}

const UpstreamState *targets_state(const Targets *targets, unsigned name, uint8_t target)
{
        return upstreams_get(targets->upstreams, upstream_index(name, target));
}

const UpstreamState *targets_chosen(const Targets *targets, unsigned name)
{
        return targets_state(targets, name, targets->names[name].chosen);
}

const Failover *targets_failover(const Targets *targets, unsigned name)
{
        return &targets->names[name];
}

usec_t targets_last_reply(const Targets *targets, unsigned name, uint8_t target)
{
        usec_t reply = workers_last_reply(targets->workers, name, target),
               probed = targets->probes[upstream_index(name, target)].answered;

        reply = probed > reply ? probed : reply;
        return reply > targets_state(targets, name, target)->directed ? reply : 0;
}

unsigned targets_n_names(const Targets *targets)
{
        return targets->n;
}

/* --- telling --- */

/* For whoever comes after us: a session of his belongs to the target that its leg leads to. */
static void note(Targets *targets, unsigned name)
{
        const Failover *failover = &targets->names[name];

        _Static_assert((int)IMAGE_UPSTREAMS_MAX >= (int)ENDPOINT_LIST_MAX, "an image has room for all");
        for (unsigned i = 0; i < IMAGE_UPSTREAMS_MAX; i++) {
                char text[ENDPOINT_TEXT_MAX] = "";
                Address address = {0};

                if (i < failover->n) {
                        const UpstreamState *state = targets_state(targets, name, failover->order[i]);

                        (void)endpoint_format(text, &state->endpoint);
                        address = state->confirmed > 0 ? state->address : address;
                }
                workers_note_upstream(targets->workers, name, i, text, &address);
        }
}

static void order(Targets *targets, unsigned name)
{
        const Failover *failover = &targets->names[name];
        const UpstreamState *chosen = targets_chosen(targets, name);
        WorkerOrder order = {.kind = WORKER_SET_UPSTREAM,
                             .policy = (uint16_t)name,
                             .targets = {.chosen = failover->chosen, .left = failover->left}};

        if (!targets->serving)
                return;
        for (uint8_t i = 0; i < failover->n; i++) {
                uint8_t target = failover->order[i];

                order.targets.used |= (uint16_t)(1U << target);
                order.targets.addresses[target] = targets_state(targets, name, target)->address;
                if (targets_state(targets, name, target)->loops)
                        order.targets.refused |= (uint16_t)(1U << target);
        }
        if ((chosen->address.family != 0 || chosen->loops) && !workers_order(targets->workers, &order))
                targets->stuck(targets->userdata);
        note(targets, name);
}

static void say(Targets *targets, unsigned name, uint8_t target, SentenceId sentence)
{
        const UpstreamState *state = targets_state(targets, name, target);
        char text[ENDPOINT_TEXT_MAX], address[ADDRESS_TEXT_MAX];
        LogRecord record;

        log_record_begin(&record, &sentences[sentence]);
        log_record_add(&record, "UDP46_LISTENER_NAME", "%s", workers_name(targets->workers, name));
        log_record_add(&record, "UDP46_UPSTREAM_NAME", "%s", endpoint_format(text, &state->endpoint));
        log_record_add(&record, "UDP46_UPSTREAM", "%s", address_format(address, &state->address));
        (void)log_writer_send(targets->log, &record);
}

/* Of one target alone the page and the alerts speak: nobody can be carried elsewhere. */
static void say_changes(Targets *targets, unsigned name, const Failover *before)
{
        const Failover *failover = &targets->names[name];

        for (uint8_t i = 0; i < failover->n && failover->n > 1; i++) {
                uint8_t target = failover->order[i];
                TargetHealth was = before->targets[target].health, is = failover->targets[target].health;

                if (was != is && is == TARGET_DOWN)
                        say(targets, name, target, SENTENCE_UPSTREAM_DOWN);
                else if (was != is && is == TARGET_UP && (before->targets[target].tried || was == TARGET_DOWN))
                        say(targets, name, target, SENTENCE_UPSTREAM_UP);
        }
        if (failover->chosen != before->chosen && failover->n > 1)
                say(targets, name, failover->chosen, SENTENCE_UPSTREAM_CHOSEN);
}

/* --- looking --- */

/* The address of an upstream that is replaced stays in use, where there is no other one. */
static TargetSeen see(Targets *targets, unsigned name, uint8_t target)
{
        const UpstreamState *state = targets_state(targets, name, target);
        Probe *probe = &targets->probes[upstream_index(name, target)];
        TargetSeen seen = workers_of_target(targets->workers, name, target);

        probe_direct(probe, &state->address);
        seen.asked += probe->n_asked;
        seen.answered += probe->n_answered;
        seen.probed = probe->payload.n > 0;
        seen.known = state->address.family != 0 && (state->confirmed > 0 || targets->names[name].n == 1);
        return seen;
}

static void look(Targets *targets, unsigned name, bool tell)
{
        TargetSeen seen[UPSTREAM_TARGETS_MAX] = {0};
        Failover *failover = &targets->names[name], before = *failover;

        for (uint8_t i = 0; i < failover->n; i++)
                seen[failover->order[i]] = see(targets, name, failover->order[i]);
        if (failover_look(failover, seen, clock_monotonic()))
                say_changes(targets, name, &before);
        if (tell || failover->chosen != before.chosen || failover->left != before.left)
                order(targets, name);
}

/* A target that is silent or refuses may have moved. */
static void suspect(Targets *targets, unsigned name, usec_t now)
{
        for (uint8_t i = 0; i < targets->names[name].n; i++) {
                uint8_t target = targets->names[name].order[i];
                const TargetSeen *seen = &targets->names[name].targets[target].seen;
                const SuspicionCounts counts = {
                                .asked = seen->asked, .answered = seen->answered, .icmp_errors = seen->icmp_errors};
                unsigned index = upstream_index(name, target);

                if (suspicion_look(&targets->suspicions[index], &counts, now))
                        upstreams_suspect(targets->upstreams, index);
        }
}

static int on_look(sd_event_source *source, uint64_t at, void *userdata)
{
        Targets *targets = userdata;

        (void)at;
        for (unsigned i = 0; i < targets->n && targets->serving; i++) {
                look(targets, i, false);
                suspect(targets, i, clock_monotonic());
        }
        if (targets->serving)
                loops_look(targets->loops, clock_monotonic());
        (void)sd_event_source_set_time_relative(source, FAILOVER_LOOK_EVERY);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static void upstream_changed(void *userdata, unsigned i)
{
        Targets *targets = userdata;

        if (!targets->setting) /* else it is looked at when all is set */
                look(targets, i / UPSTREAM_TARGETS_MAX, true);
}

/*
 * What was seen to come back; or an IPv6 address that a translator carries to an IPv4 address of ours, and to the port
 * of a listener: each datagram would come in again, by another source, and open another session.
 */
static bool upstream_loops(void *userdata, unsigned i, const Address *address)
{
        const Targets *targets = userdata;
        const Place *places = workers_places(targets->workers);
        Address to = {.family = AF_INET};

        if (loops_know(targets->loops, i, address))
                return true;
        if (!address_embedded(address, &to.v4))
                return false;
        for (size_t k = 0; k < workers_n_places(targets->workers); k++) {
                const Address *bound = &places[k].bound;
                const uint16_t port = address->port > 0 || places[k].name != i / UPSTREAM_TARGETS_MAX ? address->port
                                                                                                      : bound->port;

                if (port == bound->port &&
                    (bound->v4.s_addr == to.v4.s_addr || (bound->v4.s_addr == INADDR_ANY && udp_is_local(&to, false))))
                        return true;
        }
        return false;
}

/* --- birth, death, configuration --- */

int targets_new(Targets **ret, sd_event *event, LogWriter *log, Workers *workers, void (*stuck)(void *userdata),
                void *userdata)
{
        _cleanup_(cleanup_targets_free) Targets *targets = NULL;
        unsigned n = workers_n_names(workers);
        UpstreamsObserver observer = {.changed = upstream_changed, .loops = upstream_loops};
        int r;

        targets = calloc(1, sizeof(Targets) + n * sizeof(Failover));
        if (!targets)
                return -ENOMEM;
        observer.userdata = targets;
        targets->log = log;
        targets->workers = workers;
        targets->stuck = stuck;
        targets->userdata = userdata;
        targets->n = n;
        targets->probes = calloc((size_t)n * UPSTREAM_TARGETS_MAX, sizeof(Probe));
        targets->suspicions = calloc((size_t)n * UPSTREAM_TARGETS_MAX, sizeof(Suspicion));
        if (!targets->probes || !targets->suspicions)
                return -ENOMEM;
        for (unsigned i = 0; i < n * UPSTREAM_TARGETS_MAX; i++)
                if ((r = probe_init(&targets->probes[i], event)) < 0)
                        return r;
        r = upstreams_new(&targets->upstreams, event, log, n * UPSTREAM_TARGETS_MAX, &observer);
        if (r < 0)
                return r;
        r = loops_new(&targets->loops, workers, targets->upstreams);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event, &targets->look, CLOCK_MONOTONIC, FAILOVER_LOOK_EVERY, LOOK_ACCURACY,
                                       on_look, targets);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(targets);
        return 0;
}

Targets *targets_free(Targets *targets)
{
        if (!targets)
                return NULL;
        (void)sd_event_source_disable_unref(targets->look);
        for (unsigned i = 0; targets->probes && i < targets->n * UPSTREAM_TARGETS_MAX; i++)
                probe_done(&targets->probes[i]);
        free(targets->probes);
        free(targets->suspicions);
        (void)loops_free(targets->loops);
        (void)upstreams_free(targets->upstreams);
        free(targets);
        return NULL;
}

/* The number of the endpoint that a name has already; UPSTREAM_TARGETS_MAX: it is new. */
static uint8_t find_target(const Targets *targets, unsigned name, const Failover *before, const Endpoint *endpoint)
{
        for (uint8_t i = 0; i < before->n; i++)
                if (endpoint_equal(&targets_state(targets, name, before->order[i])->endpoint, endpoint))
                        return before->order[i];
        return UPSTREAM_TARGETS_MAX;
}

/*
 * A number that none has, neither before nor now, and, if there is one, no session any more: they follow with their
 * next datagram, and some have none for a long time.
 */
static uint8_t free_target(const Targets *targets, unsigned name, const Failover *before, uint8_t n_now)
{
        const Failover *now = &targets->names[name];
        unsigned taken = 0, used = 0;

        _Static_assert(UPSTREAM_TARGETS_MAX >= 2 * ENDPOINT_LIST_MAX, "there is always one");
        for (uint8_t i = 0; i < before->n; i++)
                taken |= 1U << before->order[i];
        for (uint8_t i = 0; i < n_now; i++)
                taken |= 1U << now->order[i];
        for (uint8_t i = 0; i < (uint8_t)UPSTREAM_TARGETS_MAX; i++)
                if (workers_sessions_at(targets->workers, name, i) > 0)
                        used |= 1U << i;
        used |= taken;
        return (uint8_t)__builtin_ctz(~(used < (1U << UPSTREAM_TARGETS_MAX) - 1 ? used : taken));
}

/*
 * A target keeps its number wherever in the list it stands. One upstream in the place of one has its number: its
 * clients are carried to the old address until there is a new one.
 */
static void number_targets(Targets *targets, unsigned name, const EndpointList *list)
{
        Failover *failover = &targets->names[name], before = *failover;

        for (uint8_t i = 0; i < list->n; i++) {
                uint8_t target = find_target(targets, name, &before, &list->items[i]);

                if (target == UPSTREAM_TARGETS_MAX) {
                        target = before.n == 1 && list->n == 1 ? before.order[0]
                                                               : free_target(targets, name, &before, i);
                        failover_forget(failover, target);
                }
                failover->order[i] = target;
        }
        failover->n = (uint8_t)list->n;
}

static bool is_target(const Failover *failover, uint8_t target)
{
        return memchr(failover->order, target, failover->n);
}

void targets_drain(Targets *targets, unsigned name, const Drained *drained)
{
        Failover *failover = &targets->names[name];

        for (uint8_t i = 0; i < failover->n; i++) {
                uint8_t target = failover->order[i];
                bool was = failover->targets[target].drained,
                     is = drained_has(drained, &targets_state(targets, name, target)->endpoint);

                failover->targets[target].drained = is;
                if (was != is)
                        say(targets, name, target, is ? SENTENCE_UPSTREAM_DRAINED : SENTENCE_UPSTREAM_UNDRAINED);
        }
        look(targets, name, true);
}

bool targets_have(const Targets *targets, const Endpoint *endpoint)
{
        for (unsigned name = 0; name < targets->n; name++)
                for (uint8_t i = 0; i < targets->names[name].n; i++)
                        if (endpoint_same(&targets_state(targets, name, targets->names[name].order[i])->endpoint,
                                          endpoint))
                                return true;
        return false;
}

void targets_set(Targets *targets, unsigned name, const Settings *settings, const Drained *drained)
{
        Failover *failover = &targets->names[name];
        const ProbePayload none = {0};

        targets->setting = true;
        failover->settings = (FailoverSettings){.timeout = settings->failover_timeout,
                                                .back = settings->failback_delay,
                                                .move = settings->failover_sessions == FAILOVER_MOVE};
        loops_set_device(targets->loops, name, settings->bind_to_device);
        number_targets(targets, name, &settings->upstream);
        for (uint8_t i = 0; i < (uint8_t)UPSTREAM_TARGETS_MAX; i++)
                if (!is_target(failover, i)) {
                        probe_set(&targets->probes[upstream_index(name, i)], &none, 0, "");
                        upstreams_clear(targets->upstreams, upstream_index(name, i));
                }
        for (uint8_t i = 0; i < failover->n; i++) {
                unsigned index = upstream_index(name, failover->order[i]);

                probe_set(&targets->probes[index], &settings->probe_payload, settings->probe_interval,
                          settings->bind_to_device);
                upstreams_set_interval(targets->upstreams, index, settings->resolve_interval);
                upstreams_set(targets->upstreams, index, &settings->upstream.items[i]);
        }
        targets->setting = false;
        targets_drain(targets, name, drained);
}

void targets_presume(Targets *targets, const Restore *restore)
{
        for (unsigned name = 0; name < targets->n; name++)
                for (uint8_t i = 0; i < targets->names[name].n; i++) {
                        uint8_t target = targets->names[name].order[i];
                        char text[ENDPOINT_TEXT_MAX];
                        const Address address = restore_address(
                                        restore, workers_name(targets->workers, name),
                                        endpoint_format(text, &targets_state(targets, name, target)->endpoint));

                        if (address.family != 0)
                                upstreams_presume(targets->upstreams, upstream_index(name, target), &address);
                }
}

/* The preferred ones are waited for, until there is one that is known. */
static bool is_settled(const Targets *targets, unsigned name)
{
        const Failover *failover = &targets->names[name];

        for (uint8_t i = 0; i < failover->n; i++) {
                if (!upstreams_answered(targets->upstreams, upstream_index(name, failover->order[i])))
                        return false;
                if (targets_state(targets, name, failover->order[i])->address.family != 0)
                        return true;
        }
        return true;
}

bool targets_settled(const Targets *targets)
{
        for (unsigned i = 0; i < targets->n; i++)
                if (!is_settled(targets, i))
                        return false;
        return true;
}

void targets_serve(Targets *targets)
{
        targets->serving = true;
        for (unsigned i = 0; i < targets->n; i++)
                look(targets, i, true);
}
