/* SPDX-License-Identifier: MIT */
/* Believes: the workers need to know addresses and one decision; how it came about is nothing that a datagram asks. */
#include <errno.h>
#include <string.h>

#include "daemon/sentences.h"
#include "daemon/suspicion.h"
#include "daemon/targets.h"

#define LOOK_ACCURACY (100 * USEC_PER_MSEC)

struct Targets {
        LogWriter *log;
        Workers *workers;
        Upstreams *upstreams; /* UPSTREAM_TARGETS_MAX of them for each name */
        sd_event_source *look;
        bool serving;
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

unsigned targets_n_names(const Targets *targets)
{
        return targets->n;
}

/* --- telling --- */

/* For whoever comes after us. */
static void note(Targets *targets, unsigned name)
{
        const UpstreamState *state = targets_chosen(targets, name);
        char text[ENDPOINT_TEXT_MAX];

        workers_note_upstream(targets->workers, name, endpoint_format(text, &state->endpoint),
                              state->confirmed > 0 ? &state->address : &(Address){0});
}

static void order(Targets *targets, unsigned name)
{
        const Failover *failover = &targets->names[name];
        WorkerOrder order = {.kind = WORKER_SET_UPSTREAM,
                             .policy = (uint16_t)name,
                             .targets = {.n = failover->n, .chosen = failover->chosen, .left = failover->left}};

        if (!targets->serving)
                return;
        for (uint8_t i = 0; i < failover->n; i++)
                order.targets.addresses[i] = targets_state(targets, name, i)->address;
        if (targets_chosen(targets, name)->address.family != 0 && !workers_order(targets->workers, &order))
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
                TargetHealth was = before->targets[i].health, is = failover->targets[i].health;

                if (was != is && is == TARGET_DOWN)
                        say(targets, name, i, SENTENCE_UPSTREAM_DOWN);
                else if (was != is && is == TARGET_UP && (before->targets[i].tried || was == TARGET_DOWN))
                        say(targets, name, i, SENTENCE_UPSTREAM_UP);
        }
        if (failover->chosen != before->chosen)
                say(targets, name, failover->chosen, SENTENCE_UPSTREAM_CHOSEN);
}

/* --- looking --- */

static void look(Targets *targets, unsigned name, bool tell)
{
        TargetSeen seen[UPSTREAM_TARGETS_MAX] = {0};
        Failover *failover = &targets->names[name], before = *failover;

        for (uint8_t i = 0; i < failover->n; i++) {
                Probe *probe = &targets->probes[upstream_index(name, i)];
                const Address *address = &targets_state(targets, name, i)->address;

                probe_direct(probe, address);
                seen[i] = workers_of_target(targets->workers, name, i);
                seen[i].asked += probe->n_asked;
                seen[i].answered += probe->n_answered;
                seen[i].known = address->family != 0;
        }
        if (failover_look(failover, seen, clock_monotonic()))
                say_changes(targets, name, &before);
        if (tell || failover->chosen != before.chosen || failover->left != before.left)
                order(targets, name);
}

/* A target that is silent or refuses may have moved. */
static void suspect(Targets *targets, unsigned name, usec_t now)
{
        for (uint8_t i = 0; i < targets->names[name].n; i++) {
                const TargetSeen *seen = &targets->names[name].targets[i].seen;
                const SuspicionCounts counts = {
                                .asked = seen->asked, .answered = seen->answered, .icmp_errors = seen->icmp_errors};
                unsigned index = upstream_index(name, i);

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
        (void)sd_event_source_set_time_relative(source, FAILOVER_LOOK_EVERY);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static void upstream_changed(void *userdata, unsigned i, const Address *address)
{
        (void)address;
        look(userdata, i / UPSTREAM_TARGETS_MAX, true);
}

/* --- birth, death, configuration --- */

int targets_new(Targets **ret, sd_event *event, LogWriter *log, Workers *workers, void (*stuck)(void *userdata),
                void *userdata)
{
        _cleanup_(cleanup_targets_free) Targets *targets = NULL;
        unsigned n = workers_n_names(workers);
        int r;

        targets = calloc(1, sizeof(Targets) + n * sizeof(Failover));
        if (!targets)
                return -ENOMEM;
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
        r = upstreams_new(&targets->upstreams, event, log, n * UPSTREAM_TARGETS_MAX, upstream_changed, targets);
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
        (void)upstreams_free(targets->upstreams);
        free(targets);
        return NULL;
}

void targets_set(Targets *targets, unsigned name, const Settings *settings)
{
        Failover *failover = &targets->names[name];

        failover->settings = (FailoverSettings){.timeout = settings->failover_timeout,
                                                .back = settings->failback_delay,
                                                .move = settings->failover_sessions == FAILOVER_MOVE};
        failover->n = (uint8_t)settings->upstream.n;
        for (uint8_t i = 0; i < UPSTREAM_TARGETS_MAX; i++) {
                const Endpoint none = {0}, *endpoint = i < failover->n ? &settings->upstream.items[i] : &none;

                if (!endpoint_equal(&targets_state(targets, name, i)->endpoint, endpoint))
                        failover_forget(failover, i);
                probe_set(&targets->probes[upstream_index(name, i)],
                          i < failover->n ? &settings->probe_payload : &(ProbePayload){0}, settings->probe_interval);
                upstreams_set_interval(targets->upstreams, upstream_index(name, i), settings->resolve_interval);
                if (i < failover->n)
                        upstreams_set(targets->upstreams, upstream_index(name, i), endpoint);
                else
                        upstreams_clear(targets->upstreams, upstream_index(name, i));
        }
        look(targets, name, true);
}

void targets_presume(Targets *targets, const Restore *restore)
{
        for (unsigned name = 0; name < targets->n; name++)
                for (uint8_t i = 0; i < targets->names[name].n; i++) {
                        char text[ENDPOINT_TEXT_MAX];
                        const Address address = restore_address(
                                        restore, workers_name(targets->workers, name),
                                        endpoint_format(text, &targets_state(targets, name, i)->endpoint));

                        if (address.family == 0)
                                continue;
                        upstreams_presume(targets->upstreams, upstream_index(name, i), &address);
                        failover_resume(&targets->names[name], i, clock_monotonic());
                }
}

bool targets_settled(const Targets *targets)
{
        return upstreams_settled(targets->upstreams);
}

void targets_serve(Targets *targets)
{
        targets->serving = true;
        for (unsigned i = 0; i < targets->n; i++)
                look(targets, i, true);
}
