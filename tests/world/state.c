/* SPDX-License-Identifier: MIT */
/*
 * Sessions that outlive their process. The relay works in a child that is killed at any moment; we are the service
 * manager, who holds its listener, its image and both ends of its queue, and starts the next child with them.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "state/keeper.h"
#include "state/revive.h"
#include "suite.h"
#include "wire/udp.h"

enum { N_SLOTS = 2048, CLIENTS_MAX = 400, LOW = 40000, HIGH = 40999, PAIRS_LOW = 45000, N_PAIRS = 10 };

typedef enum Order { ORDER_NONE, ORDER_FINISH, ORDER_CLOSE, ORDER_MOVE, ORDER_POLICY } Order;

/* What the child says of itself, and is told. */
typedef struct Shared {
        atomic_uint ready, order, turns;
        atomic_bool idle;        /* it shall not park anything */
        _Atomic usec_t ahead;    /* of the clock */
        PolicySettings settings; /* for ORDER_POLICY */
        _Atomic uint64_t n_sessions, n_parked, n_fresh, n_entries, n_restored, n_lost[N_LOSSES];
} Shared;

typedef struct Site {
        World w; /* its network; the relay in it has nothing to do */
        Address upstream, other, listener;
        int home, listener_fd;
        PolicySettings settings;
        const char *sources; /* or NULL: the kernel chooses */
        Keeper *keeper;      /* what we hold of the child; its numbers are those of before */
        uint64_t n_born;
        pid_t child;
        Shared *shared;
} Site;

/* --- the child --- */

/* A check cannot fail in a process that is not Check's: the test sees that it is gone. */
static void must(bool true_always)
{
        if (!true_always)
                abort();
}

static void child_opened(void *userdata, Session *session, usec_t now)
{
        keeper_opened(userdata, session, now);
}

static void child_closed(void *userdata, Session *session, SessionEnd end, usec_t now)
{
        (void)end;
        keeper_closed(userdata, session, now);
}

static void child_changed(void *userdata, Session *session, usec_t now)
{
        keeper_changed(userdata, session, now);
}

static void child_use_sources(Policy *policy, const char *addresses)
{
        SourcesSettings settings = {.ports = {PAIRS_LOW, PAIRS_LOW + N_PAIRS - 1}, .reserved = {2, 1}};
        const char *why = NULL;
        Sources *sources;

        must(prefix_list_parse(addresses, &settings.listed, &why) == 0);
        must(sources_new(&sources, &settings, 0, 1) == 0);
        upstream_set_sources(&policy->upstream, sources);
}

static Relay *child_relay(const Site *s, Keeper *keeper)
{
        const RelayObserver observer = {.session_opened = child_opened,
                                        .session_closed = child_closed,
                                        .leg_changed = child_changed,
                                        .userdata = keeper};
        static const char *const names[] = {"relay"};
        Policy *policy;
        Relay *relay;

        must(relay_new(&relay, N_SLOTS, &observer) == 0);
        must(relay_add_policy(relay, &upstream_direct, &s->settings, &policy) == 0);
        upstream_set_address(&policy->upstream, &s->upstream);
        if (s->sources)
                child_use_sources(policy, s->sources);
        must(relay_add_listener(relay, &listener_udp, dup(s->listener_fd), policy, NULL) == 0);
        must(keeper_house(keeper, relay, names) == 0);
        return relay;
}

/* As the daemon does, but that there is one listener and one relay. */
static void child_revive(const Site *s, Relay *relay, Keeper *keeper, const Keeper *before)
{
        ParcelQueue queue = before->queue;
        Revival revival = {0};
        LegPool pool = {0};
        Image image;
        void *bytes = malloc(before->size);

        must(bytes && pread(before->fd, bytes, before->size, 0) == (ssize_t)before->size);
        must(image_open(&image, bytes, before->size) == 0);
        must(leg_pool_add(&pool, &queue, 0) == 0);
        for (uint32_t i = 0; i < image.n; i++) {
                const SessionRecord *record = image_record(&image, i);

                if (record && record_is_whole(record))
                        must(revival_add(&revival, record) == 0);
                else if (record)
                        revival.n_lost[LOSS_DAMAGED]++;
        }
        revivals_match(&revival, 1, &pool);
        leg_pool_done(&pool);
        counter_set(&relay->quota.numbered, image.header->last_id);
        revival_adopt(&revival, relay, keeper, clock_monotonic() + s->shared->ahead);
        s->shared->n_restored = revival.n_restored;
        for (RevivalLoss loss = 0; loss < N_LOSSES; loss++)
                s->shared->n_lost[loss] = revival.n_lost[loss];
        revival_done(&revival);
        free(bytes);
}

static void child_say(Shared *shared, const Relay *relay, const Keeper *keeper)
{
        shared->n_sessions = counter_get(&relay->quota.current);
        shared->n_parked = counter_get(&keeper->n_parked);
        shared->n_fresh = counter_get(&keeper->n_fresh);
        shared->n_entries = keeper->n_entries;
        shared->turns++;
}

static void child_obey(const Site *s, Relay *relay, Keeper *keeper, usec_t now)
{
        switch ((Order)s->shared->order) {
        case ORDER_FINISH:
                keeper_finish(keeper, now);
                break;
        case ORDER_CLOSE:
                relay_close_sessions(relay, SESSION_SHUTDOWN, now);
                break;
        case ORDER_MOVE:
                upstream_set_address(&relay->policies[0]->upstream, &s->other);
                break;
        case ORDER_POLICY:
                policy_set(relay->policies[0], &s->shared->settings);
                break;
        case ORDER_NONE:
                break;
        }
        s->shared->order = ORDER_NONE;
}

static void child_main(const Site *s, Keeper *keeper, Keeper *before)
{
        Relay *relay = child_relay(s, keeper);

        must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
        if (before)
                child_revive(s, relay, keeper, before);
        (void)keeper_free(before); /* or the old queue would hold what is closed */
        for (;;) {
                struct pollfd p = {.fd = relay_get_fd(relay), .events = POLLIN};
                usec_t now;

                child_say(s->shared, relay, keeper);
                s->shared->ready = 1;
                (void)poll(&p, 1, 1);
                now = clock_monotonic() + s->shared->ahead;
                child_obey(s, relay, keeper, now);
                must(relay_dispatch(relay, now) >= 0);
                relay_expire(relay, now);
                if (keeper->due <= now && !s->shared->idle)
                        keeper_turn(keeper, now);
                keeper_live(keeper, now);
        }
}

/* --- the manager --- */

static bool wait_until(const atomic_uint *value, unsigned at_least)
{
        for (unsigned i = 0; i < 10000 && *value < at_least; i++)
                (void)usleep(1000);
        return *value >= at_least;
}

/* Starts a child with what the one before left, and forgets that. */
static void site_start(Site *s)
{
        Keeper *before = s->keeper;

        ck_assert_int_eq(keeper_new(&s->keeper, N_SLOTS, ++s->n_born), 0);
        s->shared->ready = 0;
        s->child = fork();
        ck_assert_int_ge(s->child, 0);
        if (s->child == 0)
                child_main(s, s->keeper, before);
        ck_assert_msg(wait_until(&s->shared->ready, 1), "the relay does not start");
        (void)keeper_free(before);
}

static void site_kill(Site *s)
{
        int status;

        ck_assert_int_eq(kill(s->child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(s->child, &status, 0), s->child);
        ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the relay broke down: %x", (unsigned)status);
}

/* Until the child has gone through its loop once more, at least. */
static void site_turn(Site *s)
{
        ck_assert(wait_until(&s->shared->turns, s->shared->turns + 3));
}

static void site_order(Site *s, Order order)
{
        s->shared->order = order;
        for (unsigned i = 0; i < 5000 && s->shared->order != ORDER_NONE; i++)
                (void)usleep(1000);
        ck_assert_uint_eq(s->shared->order, ORDER_NONE);
        site_turn(s);
}

static void site_await(Site *s, const _Atomic uint64_t *value, uint64_t wanted)
{
        for (unsigned i = 0; i < 5000 && *value != wanted; i++)
                (void)usleep(1000);
        ck_assert_uint_eq(*value, wanted);
        site_turn(s);
}

static void site_init(Site *s)
{
        const Address any = {.family = AF_INET};

        *s = (Site){.settings = world_settings};
        world_init(&s->w, 10);
        world_run("ip -6 route add local 2001:db8:5::/64 dev lo && sleep 0.1");
        world_run("echo 40000 40999 >/proc/sys/net/ipv4/ip_local_port_range");
        s->settings.max_sessions = N_SLOTS;
        s->home = upstream_new(NULL, 7777, &s->upstream);
        s->listener_fd = udp_listen(&any);
        ck_assert_int_ge(s->listener_fd, 0);
        ck_assert_int_eq(udp_adopt_listener(s->listener_fd, &s->listener), 0);
        s->listener.v4.s_addr = htonl(INADDR_LOOPBACK);
        s->shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(s->shared, MAP_FAILED);
}

static void site_done(Site *s)
{
        site_kill(s);
        s->keeper = keeper_free(s->keeper);
        (void)close(s->listener_fd);
        (void)munmap(s->shared, sizeof(Shared));
        world_done(&s->w);
}

static void check_losses(const Site *s, RevivalLoss which, uint64_t n)
{
        for (RevivalLoss loss = 0; loss < N_LOSSES; loss++)
                ck_assert_msg(s->shared->n_lost[loss] == (loss == which ? n : 0), "%s: %" PRIu64,
                              revival_loss_names[loss], s->shared->n_lost[loss]);
}

static void check_restored(const Site *s, uint64_t n)
{
        check_losses(s, N_LOSSES, 0);
        ck_assert_uint_eq(s->shared->n_restored, n);
        ck_assert_uint_eq(s->shared->n_sessions, n);
}

/* One datagram there, one back; the leg that the upstream saw. */
static Address site_round(Site *s, int client, const char *text)
{
        return world_round(&s->w, client, s->home, text);
}

static void check_round(Site *s, int client, const Address *leg)
{
        Address seen = site_round(s, client, "again");

        ck_assert_uint_eq(seen.port, leg->port);
        ck_assert(IN6_ARE_ADDR_EQUAL(&seen.v6, &leg->v6));
}

/* Is a port free, on all IPv6 addresses? */
static bool is_free(uint16_t port)
{
        struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        _cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        /* clients have ports of the same range */
        ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)), 0);
        return bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0;
}

/* What is in the image of a child that is dead: the whole records, in the order of the slots. */
static size_t site_records(const Site *s, SessionRecord *ret, size_t room)
{
        Image image;
        size_t n = 0;

        ck_assert_int_eq(image_open(&image, s->keeper->header, s->keeper->size), 0);
        for (uint32_t i = 0; i < image.n; i++) {
                const SessionRecord *record = image_record(&image, i);

                if (!record)
                        continue;
                ck_assert_msg(record_is_whole(record), "slot %u", i);
                ck_assert_uint_lt(n, room);
                ret[n++] = *record;
        }
        return n;
}

/* --- sudden deaths --- */

/* What goes back and forth: whose it is, which, and (on the way back) the port it came from. */
typedef struct Token {
        uint32_t client, number;
        uint16_t port;
} Token;

typedef struct Stream {
        Site s;
        pid_t echo;
        unsigned n, number;
        int clients[CLIENTS_MAX];
        uint16_t ports[CLIENTS_MAX]; /* as the upstream saw it, 0: not yet */
        SessionRecord records[2][CLIENTS_MAX];
        size_t n_records[2];
} Stream;

static void echo_main(int fd)
{
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
                struct pollfd p = {.fd = fd, .events = POLLIN};
                struct sockaddr_in6 from;
                socklen_t length = sizeof(from);
                Token token;

                (void)poll(&p, 1, -1);
                if (recvfrom(fd, &token, sizeof(token), 0, (struct sockaddr *)&from, &length) != sizeof(token))
                        continue;
                token.port = ntohs(from.sin6_port);
                (void)sendto(fd, &token, sizeof(token), 0, (struct sockaddr *)&from, length);
        }
}

static void stream_add(Stream *st)
{
        st->clients[st->n++] = client_new("127.0.0.1", &st->s.listener);
}

static void stream_send(Stream *st, unsigned client)
{
        const Token token = {.client = client, .number = ++st->number};

        peer_send(st->clients[client], &token, sizeof(token));
}

/* Takes what came for a client: none of it is another's, all of it came by its port. Was this one among it? */
static bool stream_take(Stream *st, unsigned client, uint32_t number)
{
        bool found = false;
        Token token;

        while (recv(st->clients[client], &token, sizeof(token), 0) == sizeof(token)) {
                ck_assert_uint_eq(token.client, client);
                if (st->ports[client] == 0)
                        st->ports[client] = token.port;
                ck_assert_msg(st->ports[client] == token.port, "client %u moved from %u to %u", client,
                              st->ports[client], token.port);
                found = found || token.number == number;
        }
        return found;
}

static void stream_check(Stream *st, unsigned client)
{
        struct pollfd p = {.fd = st->clients[client], .events = POLLIN};
        bool found = false;
        uint32_t number;

        stream_send(st, client);
        number = st->number;
        for (unsigned i = 0; i < 100 && !found; i++) {
                (void)poll(&p, 1, 100);
                found = stream_take(st, client, number);
        }
        ck_assert_msg(found, "nothing comes back to client %u", client);
}

static int by_id(const void *a, const void *b)
{
        uint64_t one = ((const SessionRecord *)a)->id, two = ((const SessionRecord *)b)->id;

        return (one > two) - (one < two);
}

static void stream_records(Stream *st, unsigned which)
{
        st->n_records[which] = site_records(&st->s, st->records[which], CLIENTS_MAX);
        qsort(st->records[which], st->n_records[which], sizeof(SessionRecord), by_id);
}

/* Each of the sessions that were there is there, the same, and has carried no less. */
static void stream_compare(const Stream *st)
{
        for (size_t i = 0; i < st->n_records[0]; i++) {
                const SessionRecord *one = &st->records[0][i];
                const SessionRecord *two = bsearch(one, st->records[1], st->n_records[1], sizeof(*one), by_id);

                ck_assert_msg(two, "session %" PRIu64 " is gone", one->id);
                ck_assert_mem_eq(&one->flow, &two->flow, sizeof(Flow));
                ck_assert_uint_eq(one->source.port, two->source.port);
                ck_assert_uint_eq(one->opened, two->opened);
                ck_assert_uint_ge(two->age, one->age);
                ck_assert_uint_ge(two->last_use, one->last_use);
                for (Direction d = 0; d < N_DIRECTIONS; d++) {
                        ck_assert_uint_ge(two->traffic[d].datagrams, one->traffic[d].datagrams);
                        ck_assert_uint_ge(two->traffic[d].bytes, one->traffic[d].bytes);
                        ck_assert_uint_ge(two->traffic[d].last, one->traffic[d].last);
                }
        }
}

/* Traffic for a moment, in which some new clients come, and the end at any instruction. */
static void stream_run(Stream *st, unsigned n_new)
{
        usec_t until = clock_monotonic() + 2000 + (usec_t)random() % 90000;

        while (clock_monotonic() < until) {
                if (n_new > 0 && random() % 8 == 0) {
                        stream_add(st);
                        stream_send(st, st->n - 1);
                        n_new--;
                }
                for (unsigned i = 0; i < 4; i++)
                        stream_send(st, (unsigned)random() % st->n);
                if (random() % 4 == 0)
                        (void)usleep((useconds_t)random() % 1000);
        }
        site_kill(&st->s);
}

static void stream_init(Stream *st)
{
        *st = (Stream){0};
        site_init(&st->s);
        st->echo = fork();
        ck_assert_int_ge(st->echo, 0);
        if (st->echo == 0)
                echo_main(st->s.home);
        site_start(&st->s);
        for (unsigned i = 0; i < 100; i++) {
                stream_add(st);
                stream_check(st, i);
        }
}

/* What came in the meantime may have filled the listener's buffer, and the kernel drops what comes then. */
static void stream_drain(const Stream *st)
{
        int waiting = 1;

        for (unsigned i = 0; i < 1000 && waiting > 0; i++) {
                ck_assert_int_eq(ioctl(st->s.listener_fd, FIONREAD, &waiting), 0);
                (void)usleep(10000);
        }
        ck_assert_int_eq(waiting, 0);
}

static void stream_done(Stream *st)
{
        (void)kill(st->echo, SIGKILL);
        (void)waitpid(st->echo, NULL, 0);
        for (unsigned i = 0; i < st->n; i++)
                (void)close(st->clients[i]);
        site_done(&st->s);
}

START_TEST(sessions_outlive_sudden_deaths)
{
        static Stream st;

        srandom((unsigned)clock_monotonic());
        stream_init(&st);
        for (unsigned round = 0; round < 30; round++) {
                stream_run(&st, 8);
                stream_records(&st, 0);
                site_start(&st.s);
                check_losses(&st.s, N_LOSSES, 0);
                ck_assert_uint_eq(st.s.shared->n_restored, st.n_records[0]);
                stream_drain(&st);
                for (unsigned i = 0; i < st.n; i++)
                        stream_check(&st, i);
                site_kill(&st.s);
                stream_records(&st, 1);
                stream_compare(&st);
                site_start(&st.s);
                check_restored(&st.s, st.n);
        }
        stream_done(&st);
}
END_TEST

/* --- what is kept, and what is not --- */

/* In the socket, which lives in the queue. */
START_TEST(replies_of_the_meantime_are_delivered)
{
        int client;
        Address leg;
        char got[10];
        Site s;

        site_init(&s);
        site_start(&s);
        client = client_new(NULL, &s.listener);
        leg = site_round(&s, client, "before");
        site_await(&s, &s.shared->n_parked, 1);
        site_kill(&s);
        upstream_reply(s.home, &leg, "one", 3);
        upstream_reply(s.home, &leg, "other", 5);
        peer_send(client, "there", 5);
        site_start(&s);
        check_restored(&s, 1);
        ck_assert_uint_eq(peer_receive(&s.w, client, got, sizeof(got), NULL), 3);
        ck_assert_uint_eq(peer_receive(&s.w, client, got, sizeof(got), NULL), 5);
        ck_assert_uint_eq(peer_receive(&s.w, s.home, got, sizeof(got), NULL), 5);
        check_round(&s, client, &leg);
        site_done(&s);
}
END_TEST

/* How many of the upstream's datagrams of 100 bytes reach a client. */
static unsigned how_many_come(Site *s, int client, const Address *leg, unsigned n)
{
        static const char much[100];
        char got[sizeof(much)];
        struct pollfd p = {.fd = client, .events = POLLIN};
        unsigned come = 0;

        for (unsigned i = 0; i < n; i++)
                upstream_reply(s->home, leg, much, sizeof(much));
        while (poll(&p, 1, 300) > 0 && recv(client, got, sizeof(got), 0) == sizeof(got))
                come++;
        return come;
}

/* Who was proven is, and who was not has what he had left: 3 times 128 bytes, with both headers. */
START_TEST(a_death_proves_nothing)
{
        static const char ask[100];
        char got[sizeof(ask)];
        Address friend_leg, stranger_leg;
        int friend, stranger;
        Site s;

        site_init(&s);
        s.settings.amplification = 3;
        site_start(&s);
        friend = client_new(NULL, &s.listener);
        stranger = client_new(NULL, &s.listener);
        (void)site_round(&s, friend, "I ask");
        friend_leg = site_round(&s, friend, "and heard");
        peer_send(stranger, ask, sizeof(ask));
        ck_assert_uint_eq(peer_receive(&s.w, s.home, got, sizeof(got), &stranger_leg), sizeof(ask));
        ck_assert_uint_eq(how_many_come(&s, stranger, &stranger_leg, 1), 1);
        site_await(&s, &s.shared->n_parked, 2);
        for (unsigned deaths = 0; deaths < 2; deaths++) {
                site_kill(&s);
                site_start(&s);
                check_restored(&s, 2);
        }
        ck_assert_uint_eq(how_many_come(&s, friend, &friend_leg, 50), 50);
        ck_assert_uint_eq(how_many_come(&s, stranger, &stranger_leg, 5), 2);
        site_done(&s);
}
END_TEST

/* Their sockets died with the process: others take their ports, and the peers notice nothing. */
START_TEST(young_sessions_come_back_on_their_ports)
{
        int clients[10];
        Address legs[10];
        Site s;

        site_init(&s);
        s.shared->idle = true;
        site_start(&s);
        for (int i = 0; i < 10; i++) {
                clients[i] = client_new(NULL, &s.listener);
                legs[i] = site_round(&s, clients[i], "young");
        }
        ck_assert_uint_eq(s.shared->n_parked, 0);
        site_kill(&s);
        ck_assert(is_free(legs[0].port));
        s.shared->idle = false;
        for (unsigned round = 0; round < 2; round++) {
                site_start(&s);
                check_restored(&s, 10);
                ck_assert_uint_eq(s.shared->n_parked, 10); /* at once */
                for (int i = 0; i < 10; i++)
                        check_round(&s, clients[i], &legs[i]);
                site_kill(&s);
        }
        site_start(&s);
        site_done(&s);
}
END_TEST

/* That of another program: this session is lost, and it is said why; its client begins a new one. */
START_TEST(a_port_that_is_taken_meanwhile_is_a_loss)
{
        struct sockaddr_in6 name = {.sin6_family = AF_INET6};
        int one, other, thief;
        Address legs[2], leg;
        Site s;

        site_init(&s);
        thief = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* in the network of the site */
        s.shared->idle = true;
        site_start(&s);
        one = client_new(NULL, &s.listener);
        other = client_new(NULL, &s.listener);
        legs[0] = site_round(&s, one, "one");
        legs[1] = site_round(&s, other, "other");
        site_kill(&s);
        ck_assert_int_eq(setsockopt(thief, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)), 0);
        name.sin6_port = htons(legs[0].port);
        ck_assert_int_eq(bind(thief, (struct sockaddr *)&name, sizeof(name)), 0);
        site_start(&s);
        check_losses(&s, LOSS_NO_PORT, 1);
        ck_assert_uint_eq(s.shared->n_restored, 1);
        check_round(&s, other, &legs[1]);
        leg = site_round(&s, one, "anew");
        ck_assert_uint_ne(leg.port, legs[0].port);
        (void)close(thief);
        site_done(&s);
}
END_TEST

/* Closes all that there is, which is said to be so many, by letting time pass. */
static void expire_all(Site *s, uint64_t n)
{
        site_await(s, &s->shared->n_sessions, n);
        s->shared->ahead += USEC_PER_HOUR;
        site_await(s, &s->shared->n_sessions, 0);
}

static void await_free(uint16_t port)
{
        for (unsigned i = 0; i < 3000 && !is_free(port); i++)
                (void)usleep(1000);
        ck_assert_msg(is_free(port), "port %u is still held", port);
}

/* One of many that stay, so that what is dead stays in the queue for a while; but it holds no port there. */
static void check_closed(Site *s, int stays, const Address *stays_at, const Address *legs, unsigned n)
{
        site_await(s, &s->shared->n_sessions, n + 1);
        site_await(s, &s->shared->n_fresh, 0);
        for (unsigned i = 0; i < 2; i++) { /* unreplied and assured end at different times */
                s->shared->ahead += 100 * USEC_PER_SEC;
                site_turn(s);
                check_round(s, stays, stays_at);
        }
        site_await(s, &s->shared->n_sessions, 1);
        for (unsigned i = 0; i < n; i++)
                await_free(legs[i].port);
        site_kill(s);
        site_start(s);
        check_restored(s, 1);
        check_round(s, stays, stays_at);
}

START_TEST(what_is_closed_does_not_come_back)
{
        Address stays_at, legs[20];
        int stays;
        Site s;

        site_init(&s);
        site_start(&s);
        stays = client_new(NULL, &s.listener);
        stays_at = site_round(&s, stays, "stays");
        for (unsigned i = 0; i < 20; i++)
                legs[i] = site_round(&s, client_new(NULL, &s.listener), "goes");
        site_await(&s, &s.shared->n_parked, 21);
        check_closed(&s, stays, &stays_at, legs, 20);
        site_done(&s);
}
END_TEST

/* A socket that was bound to its port keeps it when it is dissolved: a leg that followed its upstream. */
START_TEST(a_leg_that_moved_frees_its_port)
{
        Address stays_at, legs[5];
        int clients[5], stays;
        Site s;

        site_init(&s);
        (void)close(upstream_new(NULL, 7778, &s.other));
        s.home = upstream_new(NULL, 7778, &s.other);
        site_start(&s);
        stays = client_new(NULL, &s.listener);
        for (unsigned i = 0; i < 5; i++) {
                clients[i] = client_new(NULL, &s.listener);
                peer_send(clients[i], "before", 6);
        }
        peer_send(stays, "before", 6);
        site_await(&s, &s.shared->n_parked, 6);
        site_order(&s, ORDER_MOVE);
        s.upstream = s.other;
        stays_at = site_round(&s, stays, "stays");
        for (unsigned i = 0; i < 5; i++)
                legs[i] = site_round(&s, clients[i], "goes");
        check_closed(&s, stays, &stays_at, legs, 5);
        site_done(&s);
}
END_TEST

/* The same for those that came back on their port. */
START_TEST(a_leg_that_was_opened_again_frees_its_port)
{
        Address stays_at, legs[5];
        int stays;
        Site s;

        site_init(&s);
        s.shared->idle = true;
        site_start(&s);
        stays = client_new(NULL, &s.listener);
        stays_at = site_round(&s, stays, "stays");
        for (unsigned i = 0; i < 5; i++)
                legs[i] = site_round(&s, client_new(NULL, &s.listener), "goes");
        site_kill(&s);
        s.shared->idle = false;
        site_start(&s);
        check_restored(&s, 6);
        check_closed(&s, stays, &stays_at, legs, 5);
        site_done(&s);
}
END_TEST

/* Those that we chose, with SourceAddress=: the port is bound, and is free when the parcels up to it are gone. */
START_TEST(bound_sessions_keep_address_and_port)
{
        Address legs[N_PAIRS], again[N_PAIRS - 2];
        int clients[N_PAIRS];
        Site s;

        site_init(&s);
        s.sources = "2001:db8:5::7";
        site_start(&s);
        for (unsigned i = 0; i < N_PAIRS; i++) {
                clients[i] = client_new(NULL, &s.listener);
                if (i < 5)
                        legs[i] = site_round(&s, clients[i], "parked");
        }
        site_await(&s, &s.shared->n_parked, 5);
        s.shared->idle = true;
        for (unsigned i = 5; i < N_PAIRS; i++)
                legs[i] = site_round(&s, clients[i], "young");
        site_kill(&s);
        s.shared->idle = false;
        for (unsigned round = 0; round < 2; round++) {
                site_start(&s);
                check_restored(&s, N_PAIRS);
                for (unsigned i = 0; i < N_PAIRS; i++)
                        check_round(&s, clients[i], &legs[i]);
                peer_send(client_new(NULL, &s.listener), "full", 4); /* none of the pairs is handed out twice */
                ck_assert(peer_silent(&s.w, s.home));
                ck_assert_uint_eq(s.shared->n_sessions, N_PAIRS);
                site_kill(&s);
        }
        site_start(&s);
        /* all but two end; their ports are free again, and all pairs are handed out once more */
        for (unsigned i = 0; i < 2; i++) {
                s.shared->ahead += 100 * USEC_PER_SEC;
                site_turn(&s);
                check_round(&s, clients[0], &legs[0]);
                check_round(&s, clients[9], &legs[9]);
        }
        site_await(&s, &s.shared->n_sessions, 2);
        for (unsigned i = 1; i < N_PAIRS - 1; i++)
                await_free(legs[i].port);
        for (unsigned i = 0; i < N_PAIRS - 2; i++)
                again[i] = site_round(&s, clients[i + 1], "again");
        for (unsigned i = 0; i < N_PAIRS - 2; i++)
                ck_assert(IN6_ARE_ADDR_EQUAL(&again[i].v6, &legs[0].v6));
        ck_assert_uint_eq(s.shared->n_sessions, N_PAIRS);
        site_done(&s);
}
END_TEST

/* Sources that are not configured any more: who has one keeps it, and the others have none. */
START_TEST(bound_sessions_outlive_their_sources)
{
        int client, other;
        Address leg, from;
        Site s;

        site_init(&s);
        s.sources = "2001:db8:5::7";
        site_start(&s);
        client = client_new(NULL, &s.listener);
        leg = site_round(&s, client, "bound");
        site_await(&s, &s.shared->n_parked, 1);
        site_kill(&s);
        for (unsigned round = 0; round < 2; round++) {
                s.sources = round == 0 ? NULL : "2001:db8:5::8";
                site_start(&s);
                check_restored(&s, 1 + round);
                check_round(&s, client, &leg);
                other = client_new(NULL, &s.listener);
                from = site_round(&s, other, "new");
                ck_assert(!IN6_ARE_ADDR_EQUAL(&from.v6, &leg.v6));
                site_await(&s, &s.shared->n_fresh, 0);
                site_kill(&s);
        }
        site_start(&s);
        check_restored(&s, 3);
        expire_all(&s, 3);
        site_done(&s);
}
END_TEST

/* The most there may be now; what is too much is counted. */
START_TEST(lowered_limits_cost_what_is_too_much)
{
        int clients[10];
        Site s;

        site_init(&s);
        site_start(&s);
        for (int i = 0; i < 10; i++) {
                clients[i] = client_new(NULL, &s.listener);
                (void)site_round(&s, clients[i], "in");
        }
        site_await(&s, &s.shared->n_parked, 10);
        site_kill(&s);
        s.settings.max_sessions = 6;
        site_start(&s);
        check_losses(&s, LOSS_LIMIT, 4);
        ck_assert_uint_eq(s.shared->n_restored, 6);
        ck_assert_uint_eq(s.shared->n_sessions, 6);
        ck_assert_uint_eq(s.shared->n_parked, 6);
        site_done(&s);
}
END_TEST

/* Whoever was answered goes before strangers, however lately these have asked. */
START_TEST(lowered_limits_cost_strangers_first)
{
        char got[100];
        Address leg;
        int friend;
        Site s;

        site_init(&s);
        site_start(&s);
        friend = client_new(NULL, &s.listener);
        leg = site_round(&s, friend, "friend");
        for (int i = 0; i < 10; i++) {
                peer_send(client_new(NULL, &s.listener), "stranger", 8);
                ck_assert_uint_eq(peer_receive(&s.w, s.home, got, sizeof(got), NULL), 8);
        }
        site_await(&s, &s.shared->n_parked, 11);
        site_kill(&s);
        s.settings.max_sessions = 6;
        site_start(&s);
        check_losses(&s, LOSS_LIMIT, 5);
        check_round(&s, friend, &leg);
        site_done(&s);
}
END_TEST

/* The image is complete, and what the old process does on its way out touches neither it nor the sockets. */
START_TEST(nothing_gets_into_an_image_that_is_finished)
{
        static uint8_t bytes[2][sizeof(ImageHeader) + 64 * RELAY_SLOT];
        int clients[20];
        Address legs[20];
        Site s;

        site_init(&s);
        site_start(&s);
        for (int i = 0; i < 20; i++) {
                clients[i] = client_new(NULL, &s.listener);
                legs[i] = site_round(&s, clients[i], "before");
        }
        site_order(&s, ORDER_FINISH);
        ck_assert_uint_eq(s.shared->n_parked, 20);
        ck_assert_uint_eq(s.keeper->header->clean, 1);
        ck_assert_uint_gt(s.keeper->header->alive, 0);
        ck_assert_int_eq(pread(s.keeper->fd, bytes[0], sizeof(bytes[0]), 0), sizeof(bytes[0]));
        (void)site_round(&s, clients[0], "after");
        site_order(&s, ORDER_CLOSE);
        (void)usleep(2 * KEEPER_PARK_WITHIN); /* whatever was due */
        ck_assert_uint_eq(s.shared->n_sessions, 0);
        ck_assert_int_eq(pread(s.keeper->fd, bytes[1], sizeof(bytes[1]), 0), sizeof(bytes[1]));
        ck_assert(memcmp(bytes[0], bytes[1], sizeof(bytes[0])) == 0);
        for (int i = 0; i < 20; i++)
                upstream_reply(s.home, &legs[i], "meanwhile", 9);
        site_kill(&s);
        site_start(&s);
        check_restored(&s, 20);
        for (int i = 0; i < 20; i++) {
                char got[20];

                ck_assert_uint_eq(peer_receive(&s.w, clients[i], got, sizeof(got), NULL), 9);
                check_round(&s, clients[i], &legs[i]);
        }
        site_done(&s);
}
END_TEST

/* --- the queue --- */

/* A relay of our own, with a keeper: time and turns are the test's. */
typedef struct Den {
        World w;
        Policy *policy;
        Keeper *keeper;
        Address upstream, listener;
        int home, crowd, stays;
        unsigned number;
} Den;

static void den_init(Den *d)
{
        static const char *const names[] = {"relay"};
        PolicySettings settings = world_settings;

        *d = (Den){0};
        world_init(&d->w, N_SLOTS);
        (void)world_raise_limits();
        d->home = upstream_new(NULL, 0, &d->upstream);
        world_deepen(d->home, 1 << 20);
        settings.max_sessions = N_SLOTS;
        d->policy = world_policy(&d->w, &settings, &d->upstream);
        (void)world_listener(&d->w, NULL, d->policy, &d->listener);
        ck_assert_int_eq(keeper_new(&d->keeper, N_SLOTS, 1), 0);
        ck_assert_int_eq(keeper_house(d->keeper, d->w.relay, names), 0);
        d->w.relay->observer = (RelayObserver){
                        .session_opened = child_opened, .session_closed = child_closed, .userdata = d->keeper};
        d->crowd = crowd_new();
        d->stays = client_new(NULL, &d->listener);
        (void)world_round(&d->w, d->stays, d->home, "stays");
}

static void den_done(Den *d)
{
        relay_close_sessions(d->w.relay, SESSION_SHUTDOWN, d->w.now);
        world_done(&d->w);
        d->keeper = keeper_free(d->keeper);
}

/* All turns that are due until then. */
static void den_pass(Den *d, usec_t t)
{
        usec_t until = d->w.now + t;
        unsigned n = 0;

        for (;;) {
                usec_t next = d->keeper->due < relay_deadline(d->w.relay) ? d->keeper->due : relay_deadline(d->w.relay);

                if (next > until)
                        break;
                if (next > d->w.now)
                        d->w.now = next;
                relay_expire(d->w.relay, d->w.now);
                if (d->keeper->due <= d->w.now)
                        keeper_turn(d->keeper, d->w.now);
                ck_assert_msg(++n < 100000, "there is always something due");
        }
        d->w.now = until;
}

/* A new client comes, and nobody answers. */
static void den_open(Den *d)
{
        uint64_t before = counter_get(&d->w.relay->quota.current);

        crowd_send(d->crowd, &d->listener, d->number++, "in");
        for (unsigned i = 0; i < 1000 && counter_get(&d->w.relay->quota.current) == before; i++)
                ck_assert_int_ge(relay_dispatch(d->w.relay, d->w.now), 0);
        ck_assert_uint_eq(counter_get(&d->w.relay->quota.current), before + 1);
}

static void den_drain(Den *d)
{
        (void)peer_count(&d->w, d->home);
}

static size_t den_in_queue(Den *d, size_t *ret_parcels)
{
        int fds[PARCEL_MAX], n;
        size_t sum = 0;

        *ret_parcels = 0;
        ck_assert_int_eq(parcel_peek_begin(&d->keeper->queue), 0);
        while ((n = parcel_peek(&d->keeper->queue, fds)) > 0) {
                for (int i = 0; i < n; i++)
                        (void)close(fds[i]);
                sum += (size_t)n;
                ++*ret_parcels;
        }
        ck_assert_int_eq(n, 0);
        return sum;
}

/* What it says of its queue is so, and it is no longer than it may be. */
static void check_queue(Den *d)
{
        uint64_t n = counter_get(&d->keeper->n_parked);
        size_t n_parcels, n_entries = den_in_queue(d, &n_parcels);

        ck_assert_uint_eq(d->keeper->n_entries, n_entries);
        ck_assert_uint_eq(d->keeper->next - d->keeper->first, n_parcels);
        ck_assert_uint_eq(counter_get(&d->keeper->n_fresh) + n, counter_get(&d->w.relay->quota.current));
        ck_assert_uint_le(n_entries, 2 * n + PARCEL_MAX);
        ck_assert_uint_le(n_parcels, 2 * (n / PARCEL_MAX) + 64);
}

/* A session on a pair that we chose. */
static Address den_open_bound(Den *d, int client)
{
        Address leg;

        child_use_sources(d->policy, "2001:db8:5::7");
        leg = world_round(&d->w, client, d->home, "bound");
        upstream_set_sources(&d->policy->upstream, NULL);
        return leg;
}

/* The one in the older parcel ends last, and each has neighbours that stay: both parcels have to go, all the same. */
START_TEST(ports_in_several_parcels_are_freed)
{
        int one, other;
        Address legs[2];
        Den d;

        den_init(&d);
        d.policy->settings.timeouts[SESSION_UNREPLIED] = USEC_PER_HOUR;
        world_run("ip -6 route add local 2001:db8:5::/64 dev lo && sleep 0.1");
        one = client_new(NULL, &d.listener);
        other = client_new(NULL, &d.listener);
        legs[0] = den_open_bound(&d, one);
        for (unsigned i = 0; i < PARCEL_MAX - 2; i++)
                den_open(&d);
        den_pass(&d, USEC_PER_SEC / 4);
        ck_assert_uint_eq(d.keeper->next, 2);
        den_drain(&d);
        for (unsigned i = 0; i < 10; i++)
                den_open(&d);
        den_drain(&d);
        legs[1] = den_open_bound(&d, other);
        den_pass(&d, USEC_PER_SEC / 4);
        ck_assert_uint_eq(d.keeper->next, 3);
        (void)world_round(&d.w, one, d.home, "a bit longer");
        den_pass(&d, 100 * USEC_PER_SEC);
        (void)world_round(&d.w, d.stays, d.home, "stays");
        ck_assert(!is_free(legs[0].port));
        ck_assert(!is_free(legs[1].port));
        den_pass(&d, 85 * USEC_PER_SEC);
        ck_assert_uint_eq(counter_get(&d.w.relay->quota.current), 1 + PARCEL_MAX - 2 + 10);
        ck_assert(is_free(legs[0].port));
        ck_assert(is_free(legs[1].port));
        check_queue(&d);
        den_done(&d);
}
END_TEST

/* One that stays would keep all that came after it, dead as it is. */
START_TEST(what_is_dead_leaves_the_queue)
{
        Den d;

        den_init(&d);
        for (unsigned round = 0; round < 100; round++) {
                for (unsigned i = 0; i < 100; i++)
                        den_open(&d);
                den_pass(&d, 20 * USEC_PER_SEC);
                den_drain(&d);
                (void)world_round(&d.w, d.stays, d.home, "stays");
                den_pass(&d, 20 * USEC_PER_SEC);
                check_queue(&d);
                ck_assert_uint_eq(counter_get(&d.keeper->n_parked), 1);
                ck_assert_uint_eq(counter_get(&d.keeper->n_fresh), 0);
        }
        ck_assert_uint_ge(d.number, 10000);
        den_done(&d);
}
END_TEST

/* One at a time, each in a parcel of its own. */
START_TEST(small_parcels_are_joined)
{
        Den d;

        den_init(&d);
        d.policy->settings.timeouts[SESSION_UNREPLIED] = USEC_PER_HOUR;
        for (unsigned i = 0; i < 1000; i++) {
                den_open(&d);
                if (i % 100 == 0)
                        den_drain(&d);
                den_pass(&d, 2 * KEEPER_PARK_WITHIN);
                check_queue(&d);
        }
        ck_assert_uint_eq(counter_get(&d.keeper->n_parked), 1001);
        den_done(&d);
}
END_TEST

/* There is never a turn without somebody new: the queue is kept short all the same, and everybody gets into it. */
START_TEST(a_steady_stream_does_not_fill_the_queue)
{
        Den d;

        den_init(&d);
        d.policy->settings.timeouts[SESSION_UNREPLIED] = USEC_PER_SEC;
        for (unsigned i = 0; i < 4000; i++) {
                den_open(&d);
                if (i % 100 == 0)
                        den_drain(&d);
                d.w.now += 5 * USEC_PER_MSEC;
                relay_expire(d.w.relay, d.w.now);
                keeper_turn(d.keeper, d.w.now);
                ck_assert_uint_le(counter_get(&d.keeper->n_fresh), 20);
                ck_assert_uint_le(d.keeper->next - d.keeper->first, 80);
                ck_assert_uint_le(d.keeper->n_entries, 2 * counter_get(&d.keeper->n_parked) + 2 * PARCEL_MAX);
        }
        den_pass(&d, 500 * USEC_PER_MSEC);
        check_queue(&d);
        ck_assert_uint_eq(counter_get(&d.keeper->n_fresh), 0);
        den_done(&d);
}
END_TEST

/* The kernel takes few parcels: what is dead in the oldest makes room, and nothing stands still. */
START_TEST(a_full_queue_makes_room_of_what_is_dead)
{
        unsigned refused = 0;
        Den d;

        den_init(&d);
        ck_assert_int_eq(setsockopt(d.keeper->queue.in, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
        d.policy->settings.timeouts[SESSION_UNREPLIED] = 10 * USEC_PER_SEC;
        for (unsigned i = 0; i < 300; i++) {
                den_open(&d); /* each in a parcel of its own */
                den_pass(&d, 2 * KEEPER_PARK_WITHIN);
                refused += counter_get(&d.keeper->n_fresh) > 0;
                if (i >= 150) /* the first have ended, and there is room where they were */
                        ck_assert_uint_le(counter_get(&d.keeper->n_fresh), 2);
                ck_assert(counter_get(&d.keeper->n_fresh) == 0 || d.keeper->due != USEC_NEVER);
                check_queue(&d);
        }
        ck_assert_uint_gt(refused, 0);
        den_drain(&d);
        (void)world_round(&d.w, d.stays, d.home, "stays");
        den_pass(&d, 20 * USEC_PER_SEC); /* the others end */
        check_queue(&d);
        ck_assert_uint_eq(counter_get(&d.keeper->n_fresh), 0);
        ck_assert_uint_eq(counter_get(&d.keeper->n_parked), 1);
        den_done(&d);
}
END_TEST

/* --- whose socket is it --- */

static int leg_at(const char *address, uint16_t port, const Address *peer, SessionRecord *record, bool bound)
{
        Address from = {.family = AF_INET6, .port = port};
        int fd;

        ck_assert_int_eq(inet_pton(AF_INET6, address, &from.v6), 1);
        fd = udp_connect("", &from, peer, &record->source);
        ck_assert_int_ge(fd, 0);
        record->bound = bound;
        return fd;
}

static void check_taken(const RevivalItem *item, int like)
{
        Address local, wanted;

        ck_assert_int_ge(item->fd, 0);
        ck_assert_int_eq(udp_local(item->fd, &local), 0);
        ck_assert_int_eq(udp_local(like, &wanted), 0);
        ck_assert(address_equal(&local, &wanted));
}

/* One port, three addresses, two of ours and one of the kernel's, which has changed; in two queues, and doubled. */
START_TEST(a_socket_goes_to_whose_it_is)
{
        SessionRecord records[4] = {0};
        ParcelQueue queues[2];
        Revival revivals[2] = {0};
        LegPool pool = {0};
        Address peer;
        int fds[4];
        World w;

        world_init(&w, 1);
        world_run("ip -6 route add local 2001:db8:5::/64 dev lo && sleep 0.1");
        (void)upstream_new(NULL, 0, &peer);
        fds[0] = leg_at("2001:db8:5::3", 45000, &peer, &records[0], false);
        fds[1] = leg_at("2001:db8:5::1", 45000, &peer, &records[1], true);
        fds[2] = leg_at("2001:db8:5::2", 45000, &peer, &records[2], true);
        fds[3] = leg_at("2001:db8:5::1", 45001, &peer, &records[3], true);
        for (unsigned i = 0; i < 2; i++)
                ck_assert_int_eq(parcel_queue_new(&queues[i]), 0);
        ck_assert_int_eq(parcel_send(&queues[0], fds, 3), 0);
        ck_assert_int_eq(parcel_send(&queues[0], fds + 1, 1), 0); /* it was about to be moved */
        ck_assert_int_eq(parcel_send(&queues[1], fds, 4), 0);
        for (unsigned i = 0; i < 2; i++)
                ck_assert_int_eq(leg_pool_add(&pool, &queues[i], i), 0);
        ck_assert_uint_eq(leg_pool_left(&pool, 0), 3);
        ck_assert_uint_eq(leg_pool_left(&pool, 1), 1);
        records[0].source.v6.s6_addr[15] = 0xff;
        ck_assert_int_eq(revival_add(&revivals[0], &records[0]), 0);
        ck_assert_int_eq(revival_add(&revivals[0], &records[1]), 0);
        ck_assert_int_eq(revival_add(&revivals[1], &records[2]), 0);
        revivals_match(revivals, 2, &pool);
        check_taken(&revivals[0].items[0], fds[0]);
        check_taken(&revivals[0].items[1], fds[1]);
        check_taken(&revivals[1].items[0], fds[2]);
        ck_assert_uint_eq(leg_pool_left(&pool, 0), 0);
        ck_assert_uint_eq(leg_pool_left(&pool, 1), 1);
        /* nobody gets what is bound elsewhere, nor what is taken */
        records[3].source.v6.s6_addr[15] = 0xff;
        ck_assert_int_eq(leg_pool_take(&pool, &records[3]), -EBADF);
        ck_assert_int_eq(leg_pool_take_moved(&pool, &records[3]), -EBADF);
        ck_assert_int_eq(leg_pool_take_moved(&pool, &records[0]), -EBADF);
        leg_pool_done(&pool);
        for (unsigned i = 0; i < 2; i++) {
                revival_done(&revivals[i]);
                parcel_queue_done(&queues[i]);
        }
        for (unsigned i = 0; i < 4; i++)
                (void)close(fds[i]);
        world_done(&w);
}
END_TEST

/* --- sockets beside legs --- */

static void add_replies(PolicySettings *settings, const char *text)
{
        const char *why = NULL;

        ck_assert_msg(reply_sources_add(text, &settings->replies, &why) == 0, "%s", why);
}

/* The home is behind an uplink; this host's address there is a::1. Returns the way back. */
static int uplink_lay(void)
{
        int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there = world_second_host();

        world_run("ip link set here up && ip -6 addr add 2001:db8:a::1/64 dev here nodad && "
                  "ip -6 route add default via fe80::1 dev here");
        ck_assert_int_eq(setns(there, CLONE_NEWNET), 0);
        world_run("ip link set there up && ip link set lo up && ip -6 addr add fe80::1/64 dev there nodad && "
                  "ip -6 addr add 2001:db8:100::10/128 dev lo nodad && ip -6 route add 2001:db8:a::/64 dev there && "
                  "ip -6 route add 2001:db8:b::/64 dev there && sleep 0.3");
        return own;
}

/*
 * A socket beside a leg stays on the address that the leg has left, as long as others in its parcel live. It is no leg:
 * whoever took it for one would send from an address that is gone, and never find another one.
 */
START_TEST(one_beside_a_leg_is_none)
{
        Address before, after, again;
        int own, quiet, client;
        Site s;

        site_init(&s);
        add_replies(&s.settings, "[2001:db8:100::11]:5000");
        own = uplink_lay();
        s.home = upstream_new("2001:db8:100::10", 5000, &s.upstream);
        ck_assert_int_eq(setns(own, CLONE_NEWNET), 0);
        s.other = s.upstream;
        site_start(&s);
        quiet = client_new(NULL, &s.listener);
        (void)site_round(&s, quiet, "quiet");
        site_await(&s, &s.shared->n_parked, 1);
        client = client_new(NULL, &s.listener);
        before = site_round(&s, client, "before");
        site_await(&s, &s.shared->n_parked, 2);
        world_run("ip -6 addr add 2001:db8:b::1/64 dev here nodad; ip -6 addr del 2001:db8:a::1/64 dev here; "
                  "ip -6 route replace default via fe80::1 dev here; sleep 0.2");
        site_order(&s, ORDER_MOVE);
        after = site_round(&s, client, "moved");
        ck_assert(!IN6_ARE_ADDR_EQUAL(&before.v6, &after.v6));
        site_kill(&s);
        site_start(&s);
        check_restored(&s, 2);
        again = site_round(&s, client, "again");
        ck_assert(address_equal(&again, &after));
        site_done(&s);
}
END_TEST

/* Nobody else may answer any more: what a session had beside its leg is not kept, and holds no port after its end. */
START_TEST(what_is_not_wanted_any_more_holds_no_port)
{
        enum { N = 40 };
        int clients[N], stays;
        Address legs[N];
        Site s;

        site_init(&s);
        s.shared->settings = s.settings;
        add_replies(&s.settings, "[2001:db8:5::1]:5000");
        site_start(&s);
        stays = client_new(NULL, &s.listener);
        (void)site_round(&s, stays, "stays");
        site_await(&s, &s.shared->n_parked, 1);
        for (int i = 0; i < N; i++) {
                clients[i] = client_new(NULL, &s.listener);
                legs[i] = site_round(&s, clients[i], "ends");
        }
        site_await(&s, &s.shared->n_parked, N + 1);
        site_order(&s, ORDER_POLICY);
        for (int i = 0; i < N; i++)
                (void)site_round(&s, clients[i], "after the reload");
        for (int i = 0; i < 20; i++) {
                s.shared->ahead += 20 * USEC_PER_SEC;
                (void)site_round(&s, stays, "stays");
        }
        ck_assert_uint_eq(s.shared->n_sessions, 1);
        for (int i = 0; i < N; i++)
                ck_assert_msg(is_free(legs[i].port), "the port of client %d is held", i);
        site_done(&s);
}
END_TEST

/* What came to it while it was not wanted is heard by nobody, whoever may answer later. */
START_TEST(what_came_while_it_was_not_wanted_is_gone)
{
        Address leg, at;
        int client, one;
        char got[100];
        Site s;

        site_init(&s);
        s.shared->settings = s.settings;
        add_replies(&s.settings, "[2001:db8:5::1]:5000");
        world_run("ip -6 addr add 2001:db8:5::1/128 dev lo nodad; sleep 0.1");
        one = upstream_new("2001:db8:5::1", 5000, &at);
        site_start(&s);
        client = client_new(NULL, &s.listener);
        leg = site_round(&s, client, "hello");
        site_await(&s, &s.shared->n_parked, 1);
        site_order(&s, ORDER_POLICY);
        (void)site_round(&s, client, "after the reload");
        upstream_reply(one, &leg, "stranger", 8);
        site_kill(&s);
        s.settings.replies = (ReplySources){0};
        add_replies(&s.settings, "[2001:db8:5::2]:5000");
        site_start(&s);
        check_restored(&s, 1);
        (void)site_round(&s, client, "hello again");
        ck_assert_int_lt(recv(client, got, sizeof(got), MSG_DONTWAIT), 0);
        site_done(&s);
}
END_TEST

WORLD_SUITE("state", sessions_outlive_sudden_deaths, replies_of_the_meantime_are_delivered, a_death_proves_nothing,
            young_sessions_come_back_on_their_ports, a_port_that_is_taken_meanwhile_is_a_loss,
            what_is_closed_does_not_come_back, a_leg_that_moved_frees_its_port,
            a_leg_that_was_opened_again_frees_its_port, bound_sessions_keep_address_and_port,
            bound_sessions_outlive_their_sources, lowered_limits_cost_what_is_too_much,
            lowered_limits_cost_strangers_first, nothing_gets_into_an_image_that_is_finished,
            ports_in_several_parcels_are_freed, what_is_dead_leaves_the_queue, small_parcels_are_joined,
            a_steady_stream_does_not_fill_the_queue, a_full_queue_makes_room_of_what_is_dead,
            a_socket_goes_to_whose_it_is, one_beside_a_leg_is_none, what_is_not_wanted_any_more_holds_no_port,
            what_came_while_it_was_not_wanted_is_gone)
