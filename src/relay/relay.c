/* SPDX-License-Identifier: MIT */
/*
 * Believes: the first of each idle list is the only session a timer needs to know. Refuses: long turns; what is left
 * over makes the descriptor readable again, or the deadline due at once.
 */
#include <string.h>
#include <sys/mman.h>

#include "relay/path.h"
#include "relay/waiting.h"
#include "wire/udp.h"

/* Sessions closed in one call of relay_expire(): closing one costs about as much as relaying two datagrams. */
enum { EXPIRE_MAX = 16 };

static const size_t OWN_SIZE = (size_t)RELAY_SLOTS_MAX * RELAY_SLOT;

/* Address space; pages come as slots are used. */
static int house_ourselves(Relay *relay)
{
        void *memory = mmap(NULL, OWN_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (memory == MAP_FAILED)
                return -ENOMEM;
        relay->own_memory = memory;
        return slots_init(&relay->slots, memory, RELAY_SLOT, RELAY_SLOTS_MAX, &relay->n_slots_used);
}

static void leave_house(Relay *relay)
{
        slots_done(&relay->slots);
        if (relay->own_memory)
                (void)munmap(relay->own_memory, OWN_SIZE);
        relay->own_memory = NULL;
}

int relay_house(Relay *relay, void *memory, uint32_t n, uint32_t *n_used)
{
        Slots slots;
        int r = slots_init(&slots, memory, RELAY_SLOT, n, n_used);

        if (r < 0)
                return r;
        leave_house(relay);
        relay->slots = slots;
        return 0;
}

int relay_new(Relay **ret, uint64_t max_sessions, const RelayObserver *observer)
{
        _cleanup_(cleanup_relay_free) Relay *relay = calloc(1, sizeof(Relay));
        int r;

        if (!relay)
                return -ENOMEM;
        relay->watches.fd = -EBADF;
        relay->leg_ready = path_reply;
        relay->beside_ready = path_reply_beside;
        if (observer)
                relay->observer = *observer;
        counter_set(&relay->quota.limit, max_sessions);
        r = house_ourselves(relay);
        if (r < 0)
                return r;
        r = table_init(&relay->table, &relay->slots, max_sessions);
        if (r < 0)
                return r;
        r = batch_new(&relay->batch);
        if (r < 0)
                return r;
        r = newcomers_new(&relay->newcomers);
        if (r < 0)
                return r;
        r = waiting_room_new(&relay->waiting);
        if (r < 0)
                return r;
        r = watch_set_init(&relay->watches);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(relay);
        return 0;
}

static void relay_sweep(Relay *relay)
{
        ListNode *node;

        while ((node = relay->dead.first)) {
                list_remove(&relay->dead, node);
                session_free(relay, container_of(node, Session, idle));
        }
}

Relay *relay_free(Relay *relay)
{
        if (!relay)
                return NULL;
        relay->observer = (RelayObserver){0};
        relay_close_sessions(relay, SESSION_SHUTDOWN, 0);
        for (uint16_t i = 0; i < relay->n_listeners; i++) {
                (void)safe_close(relay->listeners[i]->fd);
                free(relay->listeners[i]);
        }
        for (uint16_t i = 0; i < relay->n_policies; i++) {
                upstream_set_sources(&relay->policies[i]->upstream, NULL);
                (void)filter_free(relay->policies[i]->filter);
                free(relay->policies[i]);
        }
        watch_set_done(&relay->watches);
        (void)newcomers_free(relay->newcomers);
        (void)waiting_room_free(relay->waiting);
        (void)batch_free(relay->batch);
        table_done(&relay->table);
        leave_house(relay);
        free(relay);
        return NULL;
}

/*
 * A kernel that cannot hands datagrams over one by one. Never switched off again: a train that waits in the socket
 * would then be read as one large datagram, because the kernel couples when it queues and says so only when it is read.
 */
static void listener_take_trains(int fd)
{
        (void)udp_set_trains(fd);
}

int relay_add_policy(Relay *relay, const UpstreamKind *kind, const PolicySettings *settings, Policy **ret)
{
        Policy *policy;

        if (relay->n_policies == RELAY_POLICIES_MAX)
                return -ENOSPC;
        policy = calloc(1, sizeof(Policy));
        if (!policy)
                return -ENOMEM;
        policy->upstream.kind = kind;
        policy->new_sessions = &policy->own_rate;
        policy_set(policy, settings);
        relay->policies[relay->n_policies++] = policy;
        *ret = policy;
        return 0;
}

uint16_t relay_policy_index(const Relay *relay, const Policy *policy)
{
        uint16_t i = 0;

        while (relay->policies[i] != policy)
                i++;
        return i;
}

int relay_add_listener(Relay *relay, const ListenerKind *kind, int fd, Policy *policy, const Listener **ret)
{
        _cleanup_free_ Listener *listener = NULL;
        int r;

        if (relay->n_listeners == RELAY_LISTENERS_MAX)
                return -ENOSPC;
        listener = calloc(1, sizeof(Listener));
        if (!listener)
                return -ENOMEM;
        listener->kind = kind;
        listener->fd = fd;
        listener->index = relay->n_listeners;
        listener->policy = policy;
        listener->next_read = 1;
        listener->manner.marking = MARKING_UNKNOWN;
        r = udp_adopt_listener(fd, &listener->bound);
        if (r < 0)
                return r;
        listener_take_trains(fd);
        r = watch_set_add(&relay->watches, &listener->watch, fd, path_forward);
        if (r < 0)
                return r;
        if (ret)
                *ret = listener;
        relay->listeners[relay->n_listeners++] = TAKE_PTR(listener);
        return 0;
}

void relay_set_limit(Relay *relay, uint64_t max_sessions)
{
        counter_set(&relay->quota.limit, max_sessions);
        table_grow(&relay->table, max_sessions);
}

void policy_set(Policy *policy, const PolicySettings *settings)
{
        policy->settings = *settings;
        policy->upstream.trains = settings->trains;
        policy->upstream.manner = settings->manner;
        upstream_set_device(&policy->upstream, settings->device);
        upstream_set_replies(&policy->upstream, &settings->replies);
        counter_set(&policy->quota.limit, settings->max_sessions);
        counter_set(&policy->unreplied.limit, settings->max_unreplied);
}

void policy_set_filter(Policy *policy, Filter *filter)
{
        (void)filter_free(policy->filter);
        policy->filter = filter;
        policy->n_filters++;
}

int relay_get_fd(const Relay *relay)
{
        return relay->watches.fd;
}

int relay_wait(Relay *relay)
{
        int n = watch_set_wait(&relay->watches, -1);

        return n < 0 ? n : 0;
}

int relay_watch(Relay *relay, Watch *watch, int fd, WatchReady ready)
{
        return watch_set_add(&relay->watches, watch, fd, ready);
}

/* A busy listener is asked in every turn: otherwise it would wait until each of thousands of ready legs was served. */
static int serve_busy_listeners(Relay *relay, usec_t now)
{
        int n = 0, r;

        for (uint16_t i = 0; i < relay->n_listeners; i++)
                if (relay->listeners[i]->busy) {
                        r = path_forward(&relay->listeners[i]->watch, relay, now);
                        if (r < 0)
                                return r;
                        n++;
                }
        return n;
}

int relay_dispatch(Relay *relay, usec_t now)
{
        int n_busy, n;

        n_busy = serve_busy_listeners(relay, now);
        if (n_busy < 0)
                return n_busy;
        n = watch_set_dispatch(&relay->watches, relay, now);
        relay_sweep(relay);
        return n < 0 ? n : n + n_busy;
}

/* The session that would expire first under this policy, or NULL. */
static Session *policy_first(const Policy *policy)
{
        Session *first = NULL;

        for (SessionStanding standing = 0; standing < N_STANDINGS; standing++) {
                ListNode *node = policy->idle[standing].first;
                Session *session = node ? container_of(node, Session, idle) : NULL;

                if (session && (!first || session_deadline(session) < session_deadline(first)))
                        first = session;
        }
        return first;
}

usec_t relay_deadline(const Relay *relay)
{
        usec_t deadline = waiting_deadline(relay->waiting);

        for (uint16_t i = 0; i < relay->n_policies; i++) {
                const Session *first = policy_first(relay->policies[i]);

                if (first && session_deadline(first) < deadline)
                        deadline = session_deadline(first);
        }
        return deadline;
}

void relay_expire(Relay *relay, usec_t now)
{
        unsigned n = 0;

        waiting_expire(relay, now);
        for (uint16_t i = 0; i < relay->n_policies; i++) {
                const Policy *policy = relay->policies[i];
                Session *first;

                while (n < EXPIRE_MAX && (first = policy_first(policy)) && session_deadline(first) <= now) {
                        session_close(relay, first, SESSION_IDLE_TIMEOUT, now);
                        n++;
                }
        }
        relay_sweep(relay);
}

void relay_close_sessions(Relay *relay, SessionEnd end, usec_t now)
{
        for (uint16_t i = 0; i < relay->n_policies; i++) {
                const Policy *policy = relay->policies[i];
                Session *first;

                while ((first = policy_first(policy)))
                        session_close(relay, first, end, now);
        }
        relay_sweep(relay);
}
