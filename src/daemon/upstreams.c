/* SPDX-License-Identifier: MIT */
/*
 * Believes: a name that does not resolve now may do so in a second (the network comes up) or in an hour (the zone is
 * being mended); pauses double from 1 s to 60 s. A good answer holds for the interval: the TTL that it had is the
 * business of the name service's cache, which we ask. Refuses: to forget a good address because of a bad answer, and to
 * leave one that is still among the answers for another.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/sentences.h"
#include "daemon/upstreams.h"

#define RETRY_FIRST USEC_PER_SEC
#define RETRY_MAX USEC_PER_MINUTE
#define SUSPECT_AFTER (5 * USEC_PER_SEC) /* the last question: whoever is suspicious is so every few seconds */

static const char leads_back[] = "it leads back to this relay itself";

typedef struct UpstreamEntry {
        Upstreams *upstreams;
        unsigned index;
        UpstreamState state;
        uint64_t serial; /* counts the endpoints it was directed to */
        bool asking;     /* a question is on its way, */
        usec_t asked;    /* since then */
        bool again;      /* and there shall be another one: it may have been too early for what we were told since */
        bool answered;
        usec_t interval; /* from a good answer to the next question; 0: none */
        usec_t pause;    /* from a bad one */
        sd_event_source *next;
} UpstreamEntry;

struct Upstreams {
        sd_event *event;
        LogWriter *log;
        Resolver *resolver;
        sd_event_source *answers;
        UpstreamsObserver observer;
        unsigned n;
        UpstreamEntry entries[];
};

/* before: the address that it had, if that is to be said. */
static void say(UpstreamEntry *entry, SentenceId sentence, const Address *before)
{
        char name[ENDPOINT_TEXT_MAX], address[ADDRESS_TEXT_MAX];
        LogRecord record;

        log_record_begin(&record, &sentences[sentence]);
        log_record_add(&record, "UDP46_UPSTREAM_NAME", "%s", endpoint_format(name, &entry->state.endpoint));
        log_record_add(&record, "UDP46_UPSTREAM", "%s", address_format(address, &entry->state.address));
        if (before)
                log_record_add(&record, "UDP46_UPSTREAM_BEFORE", "%s", address_format(address, before));
        if (*entry->state.why)
                log_record_add(&record, "UDP46_REASON", "%s", entry->state.why);
        (void)log_writer_send(entry->upstreams->log, &record);
}

static void entry_ask_after(UpstreamEntry *entry, usec_t pause)
{
        (void)sd_event_source_set_time_relative(entry->next, pause);
        (void)sd_event_source_set_enabled(entry->next, SD_EVENT_ONESHOT);
}

/* One question at a time: however slow the name service is, every answer is of use. */
static void entry_ask(UpstreamEntry *entry)
{
        ResolverQuestion question = {.id = entry->index, .serial = entry->serial, .endpoint = entry->state.endpoint};

        if (entry->asking)
                return;
        entry->again = false;
        entry->asking = resolver_ask(entry->upstreams->resolver, &question);
        entry->asked = clock_monotonic();
        if (!entry->asking)
                entry_ask_after(entry, entry->pause);
}

static int on_next(sd_event_source *source, uint64_t at, void *userdata)
{
        (void)source, (void)at;
        entry_ask(userdata);
        return 0;
}

static void entry_known(UpstreamEntry *entry, const Address *address)
{
        const Address before = entry->state.address;
        bool changed = !address_equal(&before, address);
        bool moved = changed && before.family != 0;
        bool was_failing = *entry->state.why;

        entry->answered = true;
        entry->pause = RETRY_FIRST;
        entry->state.address = *address;
        entry->state.confirmed = clock_monotonic();
        entry->state.why[0] = '\0';
        entry->state.loops = false;
        entry->state.n_moves += moved;
        if (entry->state.endpoint.literal.family == 0 && entry->interval > 0)
                entry_ask_after(entry, entry->interval);
        else
                (void)sd_event_source_set_enabled(entry->next, SD_EVENT_OFF);
        if (moved)
                say(entry, SENTENCE_UPSTREAM_MOVED, &before);
        else if (changed || was_failing)
                say(entry, SENTENCE_UPSTREAM_RESOLVED, NULL);
        if (changed)
                entry->upstreams->observer.changed(entry->upstreams->observer.userdata, entry->index);
}

static void entry_failed(UpstreamEntry *entry, const ResolverAnswer *answer)
{
        char why[sizeof(entry->state.why)], text[ADDRESS_TEXT_MAX];

        entry->answered = true;
        if (answer->refused.family != 0)
                (void)snprintf(why, sizeof(why), "%s: %s", address_format(text, &answer->refused), answer->why);
        else
                (void)snprintf(why, sizeof(why), "%s", answer->why);
        if (strcmp(why, entry->state.why) != 0) { /* said once for each reason, not for each try */
                (void)strcpy(entry->state.why, why);
                say(entry, answer->why == leads_back ? SENTENCE_UPSTREAM_LOOPS : SENTENCE_UPSTREAM_UNRESOLVED, NULL);
        }
        entry_ask_after(entry, entry->interval > 0 && entry->interval < entry->pause ? entry->interval : entry->pause);
        entry->pause = entry->pause * 2 > RETRY_MAX ? RETRY_MAX : entry->pause * 2;
}

/*
 * Whose addresses are whose may be another matter in a minute: it is looked at again like any that failed. Where it was
 * before it stays, but not where it would go round.
 */
static void entry_refused(UpstreamEntry *entry, const Address *address)
{
        const ResolverAnswer refused = {.why = leads_back, .refused = *address};
        const bool was = entry->state.loops;

        if (address_equal(&entry->state.address, address))
                entry->state.address = (Address){0};
        entry->state.loops = entry->state.address.family == 0;
        entry_failed(entry, &refused);
        if (entry->state.loops && !was)
                entry->upstreams->observer.changed(entry->upstreams->observer.userdata, entry->index);
}

static void entry_found(UpstreamEntry *entry, const Address *address)
{
        const UpstreamsObserver *observer = &entry->upstreams->observer;

        if (observer->loops(observer->userdata, entry->index, address))
                entry_refused(entry, address);
        else
                entry_known(entry, address);
}

static int on_answers(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Upstreams *upstreams = userdata;
        ResolverAnswer answer;

        (void)source, (void)fd, (void)events;
        resolver_quiet(upstreams->resolver);
        while (resolver_take(upstreams->resolver, &answer)) {
                UpstreamEntry *entry = &upstreams->entries[answer.id];

                entry->asking = false;
                entry->state.took = usec_sub(clock_monotonic(), entry->asked);
                entry->state.n_answers++;
                entry->state.n_errors += answer.why != NULL;
                if (answer.serial != entry->serial) { /* it was directed elsewhere meanwhile, or nowhere */
                        if (*entry->state.endpoint.host && entry->state.endpoint.literal.family == 0)
                                entry_ask(entry);
                } else if (answer.why)
                        entry_failed(entry, &answer);
                else
                        entry_found(entry, resolver_choose(&answer, &entry->state.address));
                if (entry->again)
                        entry_ask(entry);
        }
        return 0;
}

int upstreams_new(Upstreams **ret, sd_event *event, LogWriter *log, unsigned n, const UpstreamsObserver *observer)
{
        _cleanup_(cleanup_upstreams_free) Upstreams *upstreams = NULL;
        int r;

        upstreams = calloc(1, sizeof(Upstreams) + n * sizeof(UpstreamEntry));
        if (!upstreams)
                return -ENOMEM;
        upstreams->event = sd_event_ref(event);
        upstreams->log = log;
        upstreams->observer = *observer;
        r = resolver_new(&upstreams->resolver);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &upstreams->answers, resolver_get_fd(upstreams->resolver), EPOLLIN, on_answers,
                            upstreams);
        if (r < 0)
                return r;
        for (; upstreams->n < n; upstreams->n++) {
                UpstreamEntry *entry = &upstreams->entries[upstreams->n];

                entry->upstreams = upstreams;
                entry->index = upstreams->n;
                r = sd_event_add_time(event, &entry->next, CLOCK_MONOTONIC, USEC_NEVER, 0, on_next, entry);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(upstreams);
        return 0;
}

Upstreams *upstreams_free(Upstreams *upstreams)
{
        if (!upstreams)
                return NULL;
        for (unsigned i = 0; i < upstreams->n; i++)
                (void)sd_event_source_disable_unref(upstreams->entries[i].next);
        (void)sd_event_source_disable_unref(upstreams->answers);
        (void)resolver_free(upstreams->resolver);
        (void)sd_event_unref(upstreams->event);
        free(upstreams);
        return NULL;
}

void upstreams_set(Upstreams *upstreams, unsigned i, const Endpoint *endpoint)
{
        UpstreamEntry *entry = &upstreams->entries[i];

        if (!endpoint_equal(&entry->state.endpoint, endpoint)) {
                entry->state.directed = entry->serial > 0 ? clock_monotonic() : 0;
                entry->state.endpoint = *endpoint;
                entry->state.confirmed = 0; /* clients are carried to the old address until there is a new one */
                entry->state.why[0] = '\0';
                entry->state.loops = false;
                entry->serial++;
        }
        entry->pause = RETRY_FIRST;
        entry->again = entry->asking && endpoint->literal.family == 0;
        if (endpoint->literal.family != 0)
                entry_found(entry, &endpoint->literal);
        else
                entry_ask(entry);
}

void upstreams_clear(Upstreams *upstreams, unsigned i)
{
        UpstreamEntry *entry = &upstreams->entries[i];

        (void)sd_event_source_set_enabled(entry->next, SD_EVENT_OFF);
        entry->state = (UpstreamState){.n_answers = entry->state.n_answers,
                                       .n_errors = entry->state.n_errors,
                                       .n_moves = entry->state.n_moves}; /* what was counted stays */
        entry->again = false;
        entry->serial++; /* no answer that is still to come is of use */
        entry->answered = false;
}

void upstreams_set_interval(Upstreams *upstreams, unsigned i, usec_t interval)
{
        upstreams->entries[i].interval = interval;
}

void upstreams_suspect(Upstreams *upstreams, unsigned i)
{
        UpstreamEntry *entry = &upstreams->entries[i];

        if (entry->state.endpoint.literal.family == 0 && entry->interval > 0 &&
            usec_sub(clock_monotonic(), entry->asked) >= SUSPECT_AFTER)
                entry_ask(entry);
}

void upstreams_reconsider(Upstreams *upstreams, unsigned i)
{
        UpstreamEntry *entry = &upstreams->entries[i];
        const Address address = entry->state.address;

        if (address.family != 0)
                entry_found(entry, &address);
        else
                entry_ask(entry);
}

void upstreams_presume(Upstreams *upstreams, unsigned i, const Address *address)
{
        UpstreamEntry *entry = &upstreams->entries[i];

        if (entry->answered || address_upstream_refusal(address))
                return;
        entry->answered = true;
        entry->state.address = *address;
        entry->state.confirmed = clock_monotonic();
}

const UpstreamState *upstreams_get(const Upstreams *upstreams, unsigned i)
{
        return &upstreams->entries[i].state;
}

bool upstreams_answered(const Upstreams *upstreams, unsigned i)
{
        return upstreams->entries[i].answered;
}
