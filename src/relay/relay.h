/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Everything one loop owns: listeners, policies with their upstreams, the session table, one epoll, one batch. A Relay
 * knows no thread, no sibling and no service manager; time is passed in. Its descriptor is readable while there is
 * work; relay_dispatch() does one bounded turn of it.
 *
 * Errors are negative errnos and mean that we are broken; what the network does ends in verdicts (relay/stats.h).
 */
#include "base/watch.h"
#include "relay/echo.h"
#include "relay/listener.h"
#include "relay/newcomers.h"
#include "relay/policy.h"
#include "relay/session.h"
#include "relay/table.h"

/* Told of sessions on the relay's own thread, inside a dispatch. Must not wait. Each may be NULL. */
typedef struct RelayObserver {
        void (*session_opened)(void *userdata, Session *session, usec_t now);
        void (*session_closed)(void *userdata, Session *session, SessionEnd end, usec_t now);
        void (*leg_changed)(void *userdata, Session *session, usec_t now); /* it has another socket */
        void *userdata;
} RelayObserver;

enum { RELAY_LISTENERS_MAX = 1024, RELAY_POLICIES_MAX = 256 };

struct Relay {
        WatchSet watches;
        WatchReady leg_ready, beside_ready; /* what their watches call: sessions need not know the path */
        Batch *batch;
        struct WaitingRoom *waiting;
        Newcomers *newcomers; /* who opened sessions of late */
        Echo echo;            /* what is asked by ourselves, and must not come in */
        Slots slots;          /* where the sessions live */
        uint32_t n_slots_used;
        void *own_memory; /* behind them, if it is not somebody else's */
        Table table;
        Quota quota; /* all sessions together */
        Policy *policies[RELAY_POLICIES_MAX];
        uint16_t n_policies;
        Listener *listeners[RELAY_LISTENERS_MAX];
        uint16_t n_listeners;
        List dead;
        RelayObserver observer;
};

/* max_sessions: the limit of all sessions together, see relay_set_limit(). */
int relay_new(Relay **ret, uint64_t max_sessions, const RelayObserver *observer);

/*
 * Where sessions shall live: n slots of RELAY_SLOT bytes, each with a SessionRecord at its beginning, and how many of
 * them were ever used. Before the first is opened; the memory outlives the relay. 0 or -ENOMEM.
 */
enum { RELAY_SLOT = sizeof(Session), RELAY_SLOTS_MAX = 1 << 20 };
int relay_house(Relay *relay, void *memory, uint32_t n, uint32_t *n_used);

/* Closes what is open without telling the observer. Takes NULL. */
Relay *relay_free(Relay *relay);
DEFINE_CLEANUP(Relay, relay_free)

/* The policy lives as long as the relay. */
int relay_add_policy(Relay *relay, const UpstreamKind *kind, const PolicySettings *settings, Policy **ret);

/* Which of the relay's policies it is. */
uint16_t relay_policy_index(const Relay *relay, const Policy *policy);

/* Takes fd on success. ret may be NULL. */
int relay_add_listener(Relay *relay, const ListenerKind *kind, int fd, Policy *policy, const Listener **ret);

/* New limits hold from now on; open sessions keep what they have until they end. */
void relay_set_limit(Relay *relay, uint64_t max_sessions);
void policy_set(Policy *policy, const PolicySettings *settings);

/* Takes the filter, by which also the clients of open sessions are judged again. NULL: everybody may come. */
void policy_set_filter(Policy *policy, Filter *filter);

int relay_get_fd(const Relay *relay);

/* Waits until there is work for relay_dispatch(), which is to be called next. 0 or negative errno. */
int relay_wait(Relay *relay);

/* Has a foreign descriptor watched with the relay's own; its watch is called in the turns. 0 or negative errno. */
int relay_watch(Relay *relay, Watch *watch, int fd, WatchReady ready);

/* One bounded turn. The number of sockets served, or a negative errno. */
int relay_dispatch(Relay *relay, usec_t now);

/* When relay_expire() next has something to do, or USEC_NEVER. */
usec_t relay_deadline(const Relay *relay);

/* Closes idle sessions, a bounded number in one call; relay_deadline() says whether there are more. */
void relay_expire(Relay *relay, usec_t now);

/* Closes all sessions. */
void relay_close_sessions(Relay *relay, SessionEnd end, usec_t now);
