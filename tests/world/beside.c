/* SPDX-License-Identifier: MIT */
/*
 * Upstreams that answer from another address than the one that was asked; and strangers, who are never heard. The home
 * has a virtual address and two members behind it.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "relay/beside.h"
#include "suite.h"

#define VIRTUAL "2001:db8:100::10"
#define ONE "2001:db8:100::11"
#define TWO "2001:db8:100::12"
#define STRANGER "2001:db8:200::1"

typedef struct Home {
        World w;
        Policy *policy;
        Address at, one_at, two_at, stranger_at, listener;
        int virtual, one, two, stranger;
} Home;

static PolicySettings settings_from(const char *replies)
{
        PolicySettings settings = world_settings;
        const char *why = NULL;

        ck_assert_msg(reply_sources_add(replies, &settings.replies, &why) == 0, "%s", why);
        return settings;
}

static void home_init(Home *h, const char *replies)
{
        static const char *const addresses[] = {
                        "ip -6 address add " VIRTUAL "/128 dev lo", "ip -6 address add " ONE "/128 dev lo",
                        "ip -6 address add " TWO "/128 dev lo", "ip -6 address add " STRANGER "/128 dev lo"};
        PolicySettings settings = settings_from(replies);

        *h = (Home){0};
        world_init(&h->w, 1000);
        for (size_t i = 0; i < ELEMENTSOF(addresses); i++)
                world_run(addresses[i]);
        (void)usleep(100000); /* until they may be bound to */
        h->virtual = upstream_new(VIRTUAL, 5000, &h->at);
        h->one = upstream_new(ONE, 5000, &h->one_at);
        h->two = upstream_new(TWO, 5000, &h->two_at);
        h->stranger = upstream_new(STRANGER, 5000, &h->stranger_at);
        h->policy = world_policy(&h->w, &settings, &h->at);
        (void)world_listener(&h->w, NULL, h->policy, &h->listener);
}

static Address home_ask(Home *h, int client)
{
        char got[100];
        Address leg;

        peer_send(client, "ask", 3);
        ck_assert_uint_eq(peer_receive(&h->w, h->virtual, got, sizeof(got), &leg), 3);
        return leg;
}

static void check_heard(Home *h, int client, int from, const Address *leg, const char *text)
{
        char got[100] = "";

        upstream_reply(from, leg, text, strlen(text));
        ck_assert_uint_eq(peer_receive(&h->w, client, got, sizeof(got), NULL), strlen(text));
        ck_assert_mem_eq(got, text, strlen(text));
}

static void check_unheard(Home *h, int client, int from, const Address *leg)
{
        upstream_reply(from, leg, "stranger", 8);
        ck_assert(peer_silent(&h->w, client));
}

START_TEST(those_who_may_answer_are_heard)
{
        int client;
        Address leg;
        Home h;

        home_init(&h, "[" ONE "]:5000 [" TWO "]");
        client = client_new(NULL, &h.listener);
        leg = home_ask(&h, client);
        check_heard(&h, client, h.virtual, &leg, "virtual");
        check_heard(&h, client, h.one, &leg, "one");
        check_heard(&h, client, h.two, &leg, "two");
        check_unheard(&h, client, h.stranger, &leg);
        check_heard(&h, client, h.one, &leg, "again");
        world_done(&h.w);
}
END_TEST

START_TEST(nobody_else_is_heard_without_it)
{
        int client;
        Address leg;
        Home h;

        home_init(&h, "");
        client = client_new(NULL, &h.listener);
        leg = home_ask(&h, client);
        check_unheard(&h, client, h.one, &leg);
        check_heard(&h, client, h.virtual, &leg, "virtual");
        world_done(&h.w);
}
END_TEST

static const struct {
        const char *replies, *address;
        uint16_t port;
        bool heard;
} answers[] = {
                {"[2001:db8:100::/64]:5001", ONE, 5001, true},
                {"[2001:db8:100::/64]:5001", ONE, 5002, false},
                {"[2001:db8:100::/64]:5001", STRANGER, 5001, false},
                {"[2001:db8:100::/113]:5001", ONE, 5001, true},
                {"[2001:db8:100::10/127]:5001", ONE, 5001, true},
                {"[2001:db8:100::12/127]:5001", ONE, 5001, false},
                {"[2001:db8:100::11/128]:5001", ONE, 5001, true},
                {"[2001:db8:100::10/128]:5001", ONE, 5001, false},
                {"[2000::/3]:5001", STRANGER, 5001, true},
                {"[4000::/2]:5001", STRANGER, 5001, false},
                {"[2001:db8:300::1]:1 [2001:db8:300::2]:1 [2001:db8:200::/40]:5001", STRANGER, 5001, true},
                {"[2001:db8:100::/64]", ONE, 5001, false}, /* the upstream's port */
};

START_TEST(prefixes_and_ports)
{
        int client;
        Home h;

        home_init(&h, "");
        client = client_new(NULL, &h.listener);
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                const PolicySettings settings = settings_from(answers[i].replies);
                Address leg, at;
                int from;

                policy_set(h.policy, &settings);
                leg = home_ask(&h, client);
                from = upstream_new(answers[i].address, answers[i].port, &at);
                if (answers[i].heard)
                        check_heard(&h, client, from, &leg, answers[i].replies);
                else
                        check_unheard(&h, client, from, &leg);
                (void)close(from);
        }
        world_done(&h.w);
}
END_TEST

/* A server with a floating address: either member answers, and takes the address over in the middle of a flow. */
START_TEST(members_take_over_in_the_middle_of_a_flow)
{
        int clients[20], active;
        Address legs[20];
        Home h;

        home_init(&h, "[" ONE "]:5000 [" TWO "]:5000");
        for (unsigned i = 0; i < 20; i++) {
                clients[i] = client_new(NULL, &h.listener);
                legs[i] = home_ask(&h, clients[i]);
        }
        for (unsigned round = 0; round < 10; round++) {
                active = round % 2 ? h.two : h.one;
                for (unsigned i = 0; i < 20; i++) {
                        char text[30];
                        Address leg = home_ask(&h, clients[i]);

                        ck_assert_uint_eq(leg.port, legs[i].port);
                        (void)snprintf(text, sizeof(text), "%u of %u", round, i);
                        check_heard(&h, clients[i], active, &leg, text);
                        check_unheard(&h, clients[i], h.stranger, &leg);
                }
        }
        ck_assert_uint_eq(counter_get(&h.policy->n_sessions[SESSION_ASSURED]), 20);
        world_done(&h.w);
}
END_TEST

/* --- strangers at every moment --- */

typedef struct Siege {
        int fd;
        uint16_t low, high;
        atomic_bool ended;
        atomic_uint n;
} Siege;

/* Writes to every port that a leg may get, on the address that legs have, as fast as it can. */
static void *besiege(void *userdata)
{
        Siege *siege = userdata;
        struct sockaddr_in6 to = {.sin6_family = AF_INET6};

        (void)inet_pton(AF_INET6, "2001:db8:5::1", &to.sin6_addr);
        while (!siege->ended)
                for (uint16_t port = siege->low; port <= siege->high; port++) {
                        to.sin6_port = htons(port);
                        (void)sendto(siege->fd, "stranger", 8, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
                        siege->n++;
                }
        return NULL;
}

/* Sessions open, move to another upstream, get other reply sources and end while the stranger writes. */
START_TEST(strangers_are_heard_at_no_moment)
{
        enum { ROUNDS = 150, LOW = 41000, HIGH = 41015 };
        SourcesSettings sources = {.ports = {LOW, HIGH}, .reserved = {2, 1}};
        PolicySettings with, other;
        const char *why = NULL;
        unsigned n_heard = 0;
        pthread_t thread;
        Siege siege;
        Sources *own;
        Home h;

        home_init(&h, "[" ONE "]:5000");
        world_run("ip -6 route add local 2001:db8:5::/64 dev lo && sleep 0.1");
        with = settings_from("[" ONE "]:5000");
        other = settings_from("[" TWO "]:5000 [2001:db8:300::/48]:5000");
        with.timeouts[SESSION_UNREPLIED] = with.timeouts[SESSION_ASSURED] = other.timeouts[SESSION_UNREPLIED] =
                        other.timeouts[SESSION_ASSURED] = USEC_PER_SEC;
        ck_assert_int_eq(prefix_list_parse("2001:db8:5::1", &sources.listed, &why), 0);
        ck_assert_int_eq(sources_new(&own, &sources, 0, 1), 0);
        upstream_set_sources(&h.policy->upstream, own);
        siege = (Siege){.fd = h.stranger, .low = LOW, .high = HIGH};
        ck_assert_int_eq(pthread_create(&thread, NULL, besiege, &siege), 0);
        for (unsigned i = 0; i < ROUNDS; i++) {
                int client = client_new(NULL, &h.listener);
                char got[100];
                Address leg;

                policy_set(h.policy, &with);
                upstream_set_address(&h.policy->upstream, &h.at);
                leg = home_ask(&h, client);
                upstream_reply(h.one, &leg, "one", 3);
                ck_assert_uint_eq(peer_receive(&h.w, client, got, sizeof(got), NULL), 3);
                policy_set(h.policy, &other); /* other sources, and another upstream, at the next datagram */
                upstream_set_address(&h.policy->upstream, &h.one_at);
                peer_send(client, "moved", 5);
                ck_assert_uint_eq(peer_receive(&h.w, h.one, got, sizeof(got), &leg), 5);
                upstream_reply(h.two, &leg, "two", 3);
                ck_assert_uint_eq(peer_receive(&h.w, client, got, sizeof(got), NULL), 3);
                world_settle(&h.w);
                n_heard += recv(client, got, sizeof(got), MSG_DONTWAIT) >= 0;
                h.w.now += 2 * USEC_PER_SEC;
                relay_expire(h.w.relay, h.w.now);
                world_settle(&h.w);
                (void)close(client);
        }
        siege.ended = true;
        (void)pthread_join(thread, NULL);
        ck_assert_uint_gt(siege.n, 1000);
        ck_assert_uint_eq(n_heard, 0);
        world_done(&h.w);
}
END_TEST

/* --- its life --- */

static unsigned n_sockets(void)
{
        FILE *file = fopen("/proc/net/sockstat6", "re");
        unsigned n = 0;
        char line[200];

        ck_assert_ptr_nonnull(file);
        while (fgets(line, sizeof(line), file))
                (void)sscanf(line, "UDP6: inuse %u", &n);
        (void)fclose(file);
        return n;
}

/* It comes with the setting, follows the leg, goes with the setting, and with the session. */
START_TEST(it_comes_and_goes)
{
        const PolicySettings with = settings_from("[" ONE "]:5000"), other = settings_from("[" TWO "]:5000"),
                             none = settings_from("");
        unsigned before;
        int client;
        Address leg;
        Home h;

        home_init(&h, "");
        client = client_new(NULL, &h.listener);
        before = n_sockets();
        leg = home_ask(&h, client);
        ck_assert_uint_eq(n_sockets(), before + 1);
        policy_set(h.policy, &with);
        leg = home_ask(&h, client);
        ck_assert_uint_eq(n_sockets(), before + 2);
        check_heard(&h, client, h.one, &leg, "one");
        check_unheard(&h, client, h.two, &leg);
        policy_set(h.policy, &other);
        leg = home_ask(&h, client);
        ck_assert_uint_eq(n_sockets(), before + 2);
        check_heard(&h, client, h.two, &leg, "two");
        check_unheard(&h, client, h.one, &leg);
        policy_set(h.policy, &none);
        leg = home_ask(&h, client);
        ck_assert_uint_eq(n_sockets(), before + 1);
        check_unheard(&h, client, h.two, &leg);
        policy_set(h.policy, &with);
        leg = home_ask(&h, client);
        check_heard(&h, client, h.one, &leg, "back");
        h.w.now += USEC_PER_HOUR;
        relay_expire(h.w.relay, h.w.now);
        world_settle(&h.w);
        ck_assert_uint_eq(n_sockets(), before);
        world_done(&h.w);
}
END_TEST

/* The leg keeps its port when its upstream moves, though there is another socket on it; and that comes along. */
START_TEST(it_follows_to_another_upstream)
{
        Address leg, after, far;
        int client, home;
        Home h;

        home_init(&h, "[" ONE "]:5000");
        client = client_new(NULL, &h.listener);
        leg = home_ask(&h, client);
        check_heard(&h, client, h.one, &leg, "one");
        home = upstream_new("::1", 5000, &far); /* another source address suits it */
        upstream_set_address(&h.policy->upstream, &far);
        after = world_round(&h.w, client, home, "moved");
        ck_assert_uint_eq(after.port, leg.port);
        check_heard(&h, client, home, &after, "peer");
        check_heard(&h, client, h.one, &after, "one");
        upstream_set_address(&h.policy->upstream, &h.at);
        after = home_ask(&h, client);
        ck_assert_uint_eq(after.port, leg.port);
        check_heard(&h, client, h.one, &after, "one");
        check_unheard(&h, client, home, &after);
        world_done(&h.w);
}
END_TEST

/* What answers in trains is heard in trains. */
START_TEST(trains_come_through_it)
{
        char train[20 * 1000], got[2000];
        int client;
        Address leg;
        Home h;

        home_init(&h, "[" ONE "]:5000");
        client = client_new(NULL, &h.listener);
        leg = home_ask(&h, client);
        memset(train, 'x', sizeof(train));
        peer_send_train(h.one, train, sizeof(train), 1000, &leg);
        for (unsigned i = 0; i < 20; i++)
                ck_assert_uint_eq(peer_receive(&h.w, client, got, sizeof(got), NULL), 1000);
        ck_assert_uint_ge(counter_get(&h.w.relay->listeners[0]->stats.directions[REPLY].trains), 1);
        ck_assert_uint_eq(world_verdicts(h.w.relay->listeners[0], REPLY, VERDICT_FORWARDED), 20);
        world_done(&h.w);
}
END_TEST

/* Who may not answer any more is not heard from then on, also while the client only listens. */
START_TEST(it_goes_while_the_client_only_listens)
{
        const PolicySettings none = world_settings, two = settings_from("[" TWO "]:5000");
        int client;
        Address leg;
        Home h;

        home_init(&h, "[" ONE "]:5000");
        client = client_new(NULL, &h.listener);
        leg = home_ask(&h, client);
        check_heard(&h, client, h.one, &leg, "one");
        policy_set(h.policy, &two);
        check_unheard(&h, client, h.one, &leg);
        check_heard(&h, client, h.two, &leg, "two");
        policy_set(h.policy, &none);
        check_unheard(&h, client, h.two, &leg);
        ck_assert_uint_eq(n_sockets(), 5); /* four homes, one leg */
        world_done(&h.w);
}
END_TEST

/* The kernel has no memory for another filter: rather nobody than those of before. */
START_TEST(a_filter_that_cannot_be_set)
{
        const PolicySettings two = settings_from("[" TWO "]:5000");
        int client;
        Address leg;
        Home h;

        home_init(&h, "[" ONE "]:5000");
        client = client_new(NULL, &h.listener);
        leg = home_ask(&h, client);
        world_run("echo 400 >/proc/sys/net/core/optmem_max");
        policy_set(h.policy, &two);
        (void)home_ask(&h, client);
        check_unheard(&h, client, h.one, &leg);
        check_heard(&h, client, h.virtual, &leg, "virtual");
        world_run("echo 131072 >/proc/sys/net/core/optmem_max");
        upstream_set_address(&h.policy->upstream, &h.at);
        (void)home_ask(&h, client);
        check_heard(&h, client, h.two, &leg, "two");
        check_unheard(&h, client, h.one, &leg);
        world_done(&h.w);
}
END_TEST

/* Limits were lowered, for there are two sockets now: whoever is there stays, and the rest of the descriptors is not
 * theirs. */
START_TEST(none_while_there_are_too_many_sessions)
{
        const PolicySettings none = world_settings, one = settings_from("[" ONE "]:5000");
        int clients[4];
        Address leg;
        Home h;

        home_init(&h, "[" TWO "]:5000");
        policy_set(h.policy, &none);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                clients[i] = client_new(NULL, &h.listener);
                leg = home_ask(&h, clients[i]);
        }
        relay_set_limit(h.w.relay, 3);
        policy_set(h.policy, &one);
        leg = home_ask(&h, clients[0]);
        ck_assert_uint_eq(n_sockets(), 8); /* four homes, four legs */
        check_unheard(&h, clients[0], h.one, &leg);
        check_heard(&h, clients[0], h.virtual, &leg, "virtual");
        relay_set_limit(h.w.relay, 4);
        upstream_set_address(&h.policy->upstream, &h.at);
        leg = home_ask(&h, clients[0]);
        check_heard(&h, clients[0], h.one, &leg, "one");
        world_done(&h.w);
}
END_TEST

/* Interfaces come and go: a tunnel, a modem. It is where the leg is, not where that was. */
START_TEST(its_device_comes_back_as_another_one)
{
        static const char lay[] = "ip link add one type veth peer name one-there netns there && "
                                  "ip link set one up && ip -6 addr add 2001:db8:a::1/64 dev one nodad && "
                                  "ip -6 route add 2001:db8:300::/64 via 2001:db8:a::2 dev one && "
                                  "ip -n there link set lo up && ip -n there link set one-there up && "
                                  "ip -n there -6 addr add 2001:db8:a::2/64 dev one-there nodad && sleep 0.2";
        PolicySettings settings = settings_from("[2001:db8:300::11]:5000");
        Address at, member_at, listener, leg;
        int own, there, home, member, client;
        Policy *policy;
        Home h = {0};

        world_init(&h.w, 100);
        ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
        world_run("mount --make-rprivate / && mount -t tmpfs run /run && ip netns add there");
        own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        there = open("/run/netns/there", O_RDONLY | O_CLOEXEC);
        world_run(lay);
        world_run("ip -n there -6 addr add 2001:db8:300::10/128 dev lo nodad && "
                  "ip -n there -6 addr add 2001:db8:300::11/128 dev lo nodad");
        ck_assert_int_eq(setns(there, CLONE_NEWNET), 0);
        home = upstream_new("2001:db8:300::10", 5000, &at);
        member = upstream_new("2001:db8:300::11", 5000, &member_at);
        ck_assert_int_eq(setns(own, CLONE_NEWNET), 0);
        (void)strcpy(settings.device, "one");
        policy = world_policy(&h.w, &settings, &at);
        (void)world_listener(&h.w, NULL, policy, &listener);
        client = client_new(NULL, &listener);
        h.virtual = home;
        leg = home_ask(&h, client);
        check_heard(&h, client, member, &leg, "member");
        world_run("ip link del one && sleep 0.2");
        world_run(lay);
        upstream_set_address(&policy->upstream, &at);
        leg = home_ask(&h, client);
        check_heard(&h, client, member, &leg, "member");
        world_done(&h.w);
}
END_TEST

/* --- other users of this host --- */

enum { PORTS_LOW = 41000, N_PORTS = 4 };

typedef struct Thief {
        atomic_bool ended;
        atomic_uint n_tries, n_got;
} Thief;

/* Not our user, and so with no right to our ports, however willing his own sockets are to share. */
static void *steal(void *userdata)
{
        struct sockaddr_in6 at = {.sin6_family = AF_INET6};
        Thief *thief = userdata;

        ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8:5::1", &at.sin6_addr), 1);
        ck_assert_int_eq(syscall(SYS_setresuid, 65534, 65534, 65534), 0); /* of this thread alone */
        while (!thief->ended)
                for (uint16_t i = 0; i < 2 * N_PORTS; i++) {
                        int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;

                        (void)setsockopt(fd, SOL_SOCKET, i % 2 ? SO_REUSEADDR : SO_REUSEPORT, &on, sizeof(on));
                        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
                        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
                        at.sin6_port = htons((uint16_t)(PORTS_LOW + i / 2));
                        thief->n_got += bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
                        thief->n_tries++;
                        (void)close(fd);
                }
        return NULL;
}

/* All its ports are taken from the start; they are pointed anew again and again, by themselves and with one beside. */
START_TEST(nobody_else_gets_its_port)
{
        SourcesSettings settings = {.ports = {PORTS_LOW, PORTS_LOW + N_PORTS - 1}, .reserved = {2, 1}};
        const PolicySettings none = world_settings, one = settings_from("[" ONE "]:5000");
        int clients[N_PORTS];
        const char *why = NULL;
        Sources *sources;
        pthread_t thread;
        Thief thief = {0};
        Home h;

        home_init(&h, "[" TWO "]:5000");
        world_run("ip -6 address add 2001:db8:5::1/128 dev lo nodad");
        ck_assert_int_eq(prefix_list_parse("2001:db8:5::1", &settings.listed, &why), 0);
        ck_assert_int_eq(sources_new(&sources, &settings, 0, 1), 0);
        upstream_set_sources(&h.policy->upstream, sources);
        for (size_t i = 0; i < N_PORTS; i++) {
                clients[i] = client_new(NULL, &h.listener);
                (void)home_ask(&h, clients[i]);
        }
        ck_assert_int_eq(pthread_create(&thread, NULL, steal, &thief), 0);
        for (unsigned round = 0; round < 500; round++) {
                policy_set(h.policy, round % 2 ? &none : &one);
                upstream_set_address(&h.policy->upstream, &h.at);
                for (size_t i = 0; i < N_PORTS; i++)
                        (void)home_ask(&h, clients[i]);
        }
        thief.ended = true;
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_uint_gt(thief.n_tries, 1000);
        ck_assert_uint_eq(thief.n_got, 0);
        world_done(&h.w);
}
END_TEST

WORLD_SUITE("beside", those_who_may_answer_are_heard, nobody_else_is_heard_without_it, prefixes_and_ports,
            members_take_over_in_the_middle_of_a_flow, strangers_are_heard_at_no_moment, it_comes_and_goes,
            it_follows_to_another_upstream, trains_come_through_it, it_goes_while_the_client_only_listens,
            a_filter_that_cannot_be_set, none_while_there_are_too_many_sessions, its_device_comes_back_as_another_one,
            nobody_else_gets_its_port)
