/* SPDX-License-Identifier: MIT */
/*
 * The thread boundary: real workers with their relays, loops and mailboxes. Two of them live side by side in one
 * process, because a Relay is nobody's global. This is also what ThreadSanitizer looks at.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "daemon/sentences.h"
#include "daemon/worker.h"
#include "suite.h"
#include "wire/udp.h"

typedef struct Site {
        Worker *worker;
        Address listener, upstream;
        int home;
} Site;

static void site_init(Site *s, LogWriter *log)
{
        static const Address any = {.family = AF_INET, .v4.s_addr = 0x0100007f};
        RelayObserver observer;
        Relay *relay;
        Policy *policy;
        const Listener *listener;

        s->home = upstream_new(NULL, 0, &s->upstream);
        ck_assert_int_eq(worker_new(&s->worker, log), 0);
        observer = worker_observer(s->worker);
        ck_assert_int_eq(relay_new(&relay, 1000, &observer), 0);
        ck_assert_int_eq(relay_add_policy(relay, &upstream_direct, &world_settings, &policy), 0);
        ck_assert_int_eq(relay_add_listener(relay, &listener_udp, udp_listen(&any), policy, &listener), 0);
        s->listener = listener->bound;
        worker_host(s->worker, relay);
}

static void site_order(Site *s, WorkerOrder order)
{
        ck_assert(worker_order(s->worker, &order));
}

static WorkerAnswer site_answer(Site *s)
{
        struct pollfd p = {.fd = worker_get_fd(s->worker), .events = POLLIN};
        WorkerAnswer answer;

        while (!worker_take(s->worker, &answer)) {
                ck_assert_int_eq(poll(&p, 1, 5000), 1);
                worker_quiet(s->worker);
        }
        return answer;
}

static void wait_readable(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};

        ck_assert_int_eq(poll(&p, 1, 5000), 1);
}

/* There and back through a worker's own loop. */
static void site_round(Site *s, int client)
{
        struct sockaddr_in6 from;
        socklen_t length = sizeof(from);
        char got[10];

        peer_send(client, "there", 5);
        wait_readable(s->home);
        ck_assert_int_eq(recvfrom(s->home, got, sizeof(got), 0, (struct sockaddr *)&from, &length), 5);
        ck_assert_int_eq(sendto(s->home, "back", 4, 0, (struct sockaddr *)&from, length), 4);
        wait_readable(client);
        ck_assert_int_eq(recv(client, got, sizeof(got), 0), 4);
}

static void site_stop(Site *s)
{
        WorkerAnswer answer;

        site_order(s, (WorkerOrder){.kind = WORKER_STOP});
        do
                answer = site_answer(s);
        while (!answer.stopped);
        ck_assert_int_eq(answer.error, 0);
        ck_assert_uint_eq(counter_get(&worker_relay(s->worker)->quota.current), 0);
        s->worker = worker_free(s->worker);
}

START_TEST(two_workers_relay_side_by_side)
{
        _cleanup_(cleanup_log_free) Log *log = NULL;
        Site sites[2];
        int clients[2];
        World w;

        world_init(&w, 1); /* for the private network only */
        ck_assert_int_eq(log_new(&log, LOG_TARGET_STDERR, LOG_INFO, 2, &sentences[SENTENCE_RECORDS_LOST]), 0);
        for (size_t i = 0; i < 2; i++) {
                site_init(&sites[i], log_writer(log, i));
                /* told before it starts: the first datagram must find its way */
                site_order(&sites[i], (WorkerOrder){.kind = WORKER_SET_UPSTREAM,
                                                    .targets = {.used = 1, .addresses = {sites[i].upstream}}});
                clients[i] = client_new(NULL, &sites[i].listener);
                peer_send(clients[i], "early", 5);
        }
        for (size_t i = 0; i < 2; i++) {
                char got[10];

                ck_assert_int_eq(worker_start(sites[i].worker), 0);
                wait_readable(sites[i].home);
                ck_assert_int_eq(recv(sites[i].home, got, sizeof(got), 0), 5);
        }
        for (unsigned k = 0; k < 200; k++)
                for (size_t i = 0; i < 2; i++) {
                        PolicySettings settings = world_settings;

                        settings.timeouts[SESSION_ASSURED] += k;
                        site_order(&sites[i], (WorkerOrder){.kind = WORKER_SET_POLICY, .settings = settings});
                        site_order(&sites[i], (WorkerOrder){.kind = WORKER_SET_LIMIT, .limit = 100 + k});
                        site_order(&sites[i], (WorkerOrder){.kind = WORKER_PING, .ping = k});
                        site_round(&sites[i], clients[i]);
                        ck_assert_uint_eq(site_answer(&sites[i]).ping, k);
                        ck_assert_uint_eq(counter_get(&worker_relay(sites[i].worker)->quota.limit), 100 + k);
                        ck_assert_uint_eq(counter_get(&worker_relay(sites[i].worker)->quota.current), 1);
                }
        for (size_t i = 0; i < 2; i++)
                site_stop(&sites[i]);
        world_done(&w);
}
END_TEST

static Sources *some_sources(void)
{
        SourcesSettings settings = {.ports = {40000, 40009}, .reserved = {2, 1}, .listed = {.n = 1}};
        Sources *sources;

        settings.listed.items[0] = (Prefix){.address = in6addr_loopback, .length = 128};
        ck_assert_int_eq(sources_new(&sources, &settings, 0, 1), 0);
        return sources;
}

static WorkerOrder sources_order(void)
{
        return (WorkerOrder){.kind = WORKER_SET_SOURCES, .sources = some_sources()};
}

/* They belong to the worker from the order on, whether it lives to obey it or not: a leak checker looks on. */
START_TEST(sources_change_hands)
{
        _cleanup_(cleanup_log_free) Log *log = NULL;
        Site sites[2];
        int client;
        World w;

        world_init(&w, 1); /* for the private network only */
        ck_assert_int_eq(log_new(&log, LOG_TARGET_STDERR, LOG_INFO, 2, &sentences[SENTENCE_RECORDS_LOST]), 0);
        for (size_t i = 0; i < 2; i++)
                site_init(&sites[i], log_writer(log, i));
        client = client_new(NULL, &sites[0].listener);
        site_order(&sites[0], (WorkerOrder){.kind = WORKER_SET_UPSTREAM,
                                            .targets = {.used = 1, .addresses = {sites[0].upstream}}});
        ck_assert_int_eq(worker_start(sites[0].worker), 0);
        for (unsigned k = 0; k < 200; k++) {
                site_order(&sites[0], sources_order());
                site_round(&sites[0], client);
        }
        site_stop(&sites[0]);
        for (unsigned k = 0; k < 3; k++)
                site_order(&sites[1], sources_order());
        sites[1].worker = worker_free(sites[1].worker);
        world_done(&w);
}
END_TEST

START_TEST(a_worker_expires_sessions_by_its_own_timer)
{
        _cleanup_(cleanup_log_free) Log *log = NULL;
        PolicySettings settings = world_settings;
        usec_t began;
        Site site;
        World w;

        world_init(&w, 1);
        ck_assert_int_eq(log_new(&log, LOG_TARGET_STDERR, LOG_INFO, 1, &sentences[SENTENCE_RECORDS_LOST]), 0);
        site_init(&site, log_writer(log, 0));
        settings.timeouts[SESSION_UNREPLIED] = settings.timeouts[SESSION_ASSURED] = 200 * USEC_PER_MSEC;
        site_order(&site,
                   (WorkerOrder){.kind = WORKER_SET_UPSTREAM, .targets = {.used = 1, .addresses = {site.upstream}}});
        ck_assert_int_eq(worker_start(site.worker), 0);
        /* opened under the long time-out, shortened afterwards */
        site_round(&site, client_new(NULL, &site.listener));
        site_order(&site, (WorkerOrder){.kind = WORKER_SET_POLICY, .settings = settings});
        began = clock_monotonic();
        while (counter_get(&worker_relay(site.worker)->quota.current) > 0) {
                ck_assert_uint_lt(clock_monotonic() - began, 3 * USEC_PER_SEC);
                (void)usleep(1000);
        }
        ck_assert_uint_ge(clock_monotonic() - began, 100 * USEC_PER_MSEC);
        site_stop(&site);
        world_done(&w);
}
END_TEST

/* Thousands end at once: who is still there gets a word through before they are gone. */
START_TEST(a_round_does_not_wait_for_all_that_end)
{
        enum { MANY = 8000, AT_ONCE = 100 };
        _cleanup_(cleanup_log_free) Log *log = NULL;
        PolicySettings settings = world_settings;
        const Counter *n_sessions;
        int crowd, client;
        Site site;
        World w;

        world_init(&w, 1);
        (void)world_raise_limits();
        ck_assert_int_eq(log_new(&log, LOG_TARGET_STDERR, LOG_ERR, 1, &sentences[SENTENCE_RECORDS_LOST]), 0);
        site_init(&site, log_writer(log, 0));
        world_deepen(site.home, 64 << 20);
        n_sessions = &worker_relay(site.worker)->quota.current;
        settings.max_sessions = MANY + 1;
        site_order(&site, (WorkerOrder){.kind = WORKER_SET_LIMIT, .limit = MANY + 1});
        site_order(&site, (WorkerOrder){.kind = WORKER_SET_POLICY, .settings = settings});
        site_order(&site,
                   (WorkerOrder){.kind = WORKER_SET_UPSTREAM, .targets = {.used = 1, .addresses = {site.upstream}}});
        ck_assert_int_eq(worker_start(site.worker), 0);
        client = client_new(NULL, &site.listener);
        site_round(&site, client);
        crowd = crowd_new();
        for (unsigned i = 0; i < MANY; i++) {
                crowd_send(crowd, &site.listener, i, "x");
                while (i % AT_ONCE == 0 && counter_get(n_sessions) < i)
                        (void)usleep(100);
        }
        while (counter_get(n_sessions) < MANY + 1)
                (void)usleep(100);
        while (recv(site.home, &(char){0}, 1, MSG_DONTWAIT) >= 0)
                ;
        settings.timeouts[SESSION_UNREPLIED] = USEC_PER_MSEC; /* the client's session is assured and stays */
        site_order(&site, (WorkerOrder){.kind = WORKER_SET_POLICY, .settings = settings});
        while (counter_get(n_sessions) == MANY + 1)
                ;
        site_round(&site, client);
        ck_assert_uint_gt(counter_get(n_sessions), 1);
        site_stop(&site);
        world_done(&w);
}
END_TEST

WORLD_SUITE("worker", two_workers_relay_side_by_side, sources_change_hands, a_worker_expires_sessions_by_its_own_timer,
            a_round_does_not_wait_for_all_that_end)
