/* SPDX-License-Identifier: MIT */
/* Where legs come from: addresses and ports of the relay's own, each client's own, or where the kernel likes. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "suite.h"

enum { LOW = 40000, RESERVED = 40001, FIRST = 40005, HIGH = 40009, N_PORTS = HIGH - FIRST + 1, MANY = 100 };

/* A host with ten local ports, one of them reserved; two prefixes are its own. */
typedef struct Site {
        World w;
        const Listener *l;
        Upstream *up;
        Address listener, upstream;
        int home, clients[MANY];
} Site;

/* Clients and the upstream are made as long as there are ports for them, others than those that are tested. */
static void site_init(Site *s)
{
        Policy *policy;

        world_init(&s->w, 1000);
        world_run("echo 50000 59999 > /proc/sys/net/ipv4/ip_local_port_range && ip -6 route add local 2001:db8:5::/64 "
                  "dev lo && ip -6 route add local 2001:db8:64::/96 dev lo && "
                  "ip addr add 192.0.2.10/32 dev lo && ip addr add 192.0.2.11/32 dev lo && sleep 0.1");
        s->home = upstream_new(NULL, 0, &s->upstream);
        policy = world_policy(&s->w, NULL, &s->upstream);
        s->up = &policy->upstream;
        s->l = world_listener(&s->w, "0.0.0.0", policy, &s->listener);
        s->listener.v4.s_addr = htonl(INADDR_LOOPBACK);
        for (int i = 0; i < MANY; i++)
                s->clients[i] = client_new("127.0.0.1", &s->listener);
        world_run("echo 40000 40009 > /proc/sys/net/ipv4/ip_local_port_range");
}

static void use_sources(Upstream *up, const char *addresses, bool of_clients)
{
        SourcesSettings settings = {.ports = {FIRST, HIGH}, .reserved = {LOW, RESERVED}};
        const char *why = NULL;
        Sources *sources;

        ck_assert_msg(prefix_list_parse(addresses, &settings.listed, &why) == 0, "%s", why);
        if (of_clients) {
                settings.clients = settings.listed.items[0];
                settings.listed.n = 0;
        }
        ck_assert_int_eq(sources_new(&sources, &settings, 0, 1), 0);
        upstream_set_sources(up, sources);
}

static void site_listed(Site *s, const char *addresses)
{
        site_init(s);
        use_sources(s->up, addresses, false);
}

static void site_clients(Site *s)
{
        site_init(s);
        use_sources(s->up, "2001:db8:64::/96", true);
}

static uint64_t refused(const Site *s)
{
        return world_verdicts(s->l, FORWARD, VERDICT_NO_PORT);
}

static void check_refused(Site *s, int client)
{
        uint64_t before = refused(s);

        peer_send(client, "out", 3);
        ck_assert(peer_silent(&s->w, s->home));
        ck_assert_uint_eq(refused(s), before + 1);
}

/* From this address, and one of the ports that there are for it. */
static void check_source(const Address *seen, const char *address)
{
        char text[INET6_ADDRSTRLEN];

        ck_assert_str_eq(inet_ntop(AF_INET6, &seen->v6, text, sizeof(text)), address);
        ck_assert(seen->port >= FIRST && seen->port <= HIGH);
}

/* Another program's socket, which leaves IPv4 alone. */
static int hold(const char *address, uint16_t port)
{
        struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(inet_pton(AF_INET6, address, &name.sin6_addr), 1);
        ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
        ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)), 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
        return fd;
}

/* A client of its own address and port. */
static int client_at(const Site *s, const char *from, uint16_t port)
{
        struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
        const struct sockaddr_in peer = {
                        .sin_family = AF_INET, .sin_addr = s->listener.v4, .sin_port = htons(s->listener.port)};
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(inet_pton(AF_INET, from, &name.sin_addr), 1);
        ck_assert_int_eq(bind(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
        ck_assert_int_eq(connect(fd, (const struct sockaddr *)&peer, sizeof(peer)), 0);
        return fd;
}

static void check_seen(const Address *seen, const char *expected)
{
        char text[ADDRESS_TEXT_MAX];

        ck_assert_str_eq(address_format(text, seen), expected);
}

/* The kernel alone would end at ten sessions. Here each has a pair of its own; and there are no more than pairs. */
START_TEST(more_sessions_than_a_range_has_ports)
{
        enum { N = 16 * N_PORTS };
        bool seen[16][N_PORTS] = {0};
        Address from;
        Site s;

        site_listed(&s, "2001:db8:5::/64");
        for (int i = 0; i < N; i++) {
                char address[INET6_ADDRSTRLEN];
                unsigned number;
                bool *taken;

                from = world_round(&s.w, s.clients[i], s.home, "in");
                number = from.v6.s6_addr[15];
                (void)snprintf(address, sizeof(address), "2001:db8:5::%x", number);
                check_source(&from, address);
                ck_assert(number >= 1 && number <= 16);
                taken = &seen[number - 1][from.port - FIRST];
                ck_assert_msg(!*taken, "a second session from %s, port %u", address, from.port);
                *taken = true;
        }
        for (int i = N; i < MANY; i++)
                check_refused(&s, s.clients[i]);
        for (int i = 0; i < N; i++)
                (void)world_round(&s.w, s.clients[i], s.home, "those who are in go on");
        world_pass(&s.w, USEC_PER_HOUR);
        for (int i = MANY - 1; i >= MANY - N; i--)
                (void)world_round(&s.w, s.clients[i], s.home, "in at last");
        check_refused(&s, s.clients[0]);
        world_done(&s.w);
}
END_TEST

/* It comes back into use when the other program is gone. */
START_TEST(a_port_of_another_program_is_skipped)
{
        Address from;
        int holders[N_PORTS];
        Site s;

        site_listed(&s, "2001:db8:5::1");
        holders[0] = hold("::", FIRST);            /* on all addresses, */
        for (uint16_t i = 1; i < N_PORTS - 1; i++) /* or just on this one */
                holders[i] = hold("2001:db8:5::1", (uint16_t)(FIRST + i));
        for (unsigned i = 0; i < 3; i++) {
                from = world_round(&s.w, s.clients[0], s.home, "in");
                ck_assert_uint_eq(from.port, HIGH);
                check_refused(&s, s.clients[1]);
                world_pass(&s.w, USEC_PER_HOUR);
        }
        for (unsigned i = 0; i < N_PORTS - 1; i++)
                (void)close(holders[i]);
        for (int i = 0; i < N_PORTS; i++)
                (void)world_round(&s.w, s.clients[i], s.home, "in");
        check_refused(&s, s.clients[N_PORTS]);
        world_done(&s.w);
}
END_TEST

/* A way that is missing must not cost pairs. */
START_TEST(a_refusal_for_another_reason_loses_no_pair)
{
        const Address nowhere = {.family = AF_INET6, .port = 9, .v6.s6_addr = {0x20, 0x01, 0x0d, 0xb8, 1}};
        Site s;

        site_listed(&s, "2001:db8:5::1");
        upstream_set_address(s.up, &nowhere);
        for (unsigned i = 0; i < 20; i++) {
                peer_send(s.clients[0], "out", 3);
                world_settle(&s.w);
        }
        ck_assert_uint_eq(world_verdicts(s.l, FORWARD, VERDICT_NO_ROUTE), 20);
        upstream_set_address(s.up, &s.upstream);
        for (int i = 0; i < N_PORTS; i++)
                (void)world_round(&s.w, s.clients[i], s.home, "in");
        check_refused(&s, s.clients[N_PORTS]);
        world_done(&s.w);
}
END_TEST

/* A route that refuses says EACCES, as a port does that takes a privilege; only one of them is cured by other ports. */
START_TEST(a_forbidden_way_is_no_want_of_ports)
{
        const Address forbidden = {.family = AF_INET6, .port = 9, .v6.s6_addr = {0x20, 0x01, 0x0d, 0xb8, 1}};
        Site s;

        site_listed(&s, "2001:db8:5::1");
        world_run("ip -6 route add prohibit 2001:db8:100::/64 && sleep 0.1");
        upstream_set_address(s.up, &forbidden);
        peer_send(s.clients[0], "out", 3);
        world_settle(&s.w);
        ck_assert_uint_eq(refused(&s), 0);
        ck_assert_uint_eq(world_verdicts(s.l, FORWARD, VERDICT_UNREACHABLE), 1);
        world_done(&s.w);
}
END_TEST

/* The host could not ask its name service any more, if legs took the last port that the kernel has. */
START_TEST(the_host_keeps_ports_for_itself)
{
        enum { N = 8 };
        Quota quota = {0};
        int own[HIGH - LOW + 1 - N];
        Site s;

        site_init(&s);
        counter_set(&quota.limit, N);
        s.up->host_ports = &quota;
        for (unsigned round = 0; round < 3; round++) {
                for (int i = 0; i < N; i++)
                        (void)world_round(&s.w, s.clients[i], s.home, "in");
                check_refused(&s, s.clients[N]);
                for (size_t i = 0; i < ELEMENTSOF(own); i++)
                        own[i] = hold("::", 0);
                for (size_t i = 0; i < ELEMENTSOF(own); i++)
                        (void)close(own[i]);
                world_pass(&s.w, USEC_PER_HOUR);
                ck_assert_uint_eq(counter_get(&quota.current), 0);
        }
        world_done(&s.w);
}
END_TEST

/* A leg that could not be opened takes no part of what the host has. */
START_TEST(what_fails_takes_no_port_of_the_host)
{
        const Address nowhere = {.family = AF_INET6, .port = 9, .v6.s6_addr = {0x20, 0x01, 0x0d, 0xb8, 1}};
        Quota quota = {0};
        Site s;

        site_init(&s);
        counter_set(&quota.limit, 1);
        s.up->host_ports = &quota;
        upstream_set_address(s.up, &nowhere);
        for (unsigned i = 0; i < 3; i++) {
                peer_send(s.clients[0], "out", 3);
                world_settle(&s.w);
        }
        ck_assert_uint_eq(world_verdicts(s.l, FORWARD, VERDICT_NO_ROUTE), 3);
        ck_assert_uint_eq(counter_get(&quota.current), 0);
        world_done(&s.w);
}
END_TEST

START_TEST(the_upstream_sees_the_client)
{
        int one, other;
        char got[10];
        Address first, second;
        Site s;

        site_clients(&s);
        one = client_at(&s, "192.0.2.10", 62000);
        other = client_at(&s, "192.0.2.11", 62000);
        first = world_round(&s.w, one, s.home, "one");
        check_seen(&first, "[2001:db8:64::c000:20a]:62000");
        second = world_round(&s.w, other, s.home, "other");
        check_seen(&second, "[2001:db8:64::c000:20b]:62000");
        /* answers are not mixed up, though the ports are the same */
        upstream_reply(s.home, &first, "a", 1);
        upstream_reply(s.home, &second, "bb", 2);
        ck_assert_uint_eq(peer_receive(&s.w, one, got, sizeof(got), NULL), 1);
        ck_assert_uint_eq(peer_receive(&s.w, other, got, sizeof(got), NULL), 2);
        ck_assert(peer_silent(&s.w, one));
        ck_assert(peer_silent(&s.w, other));
        world_done(&s.w);
}
END_TEST

/* The client is the same, so is its address; but two conversations need two ports. */
START_TEST(a_second_session_of_a_client_has_another_port)
{
        struct sockaddr_in peer = {.sin_family = AF_INET};
        Address first, second;
        int client;
        Site s;

        site_clients(&s);
        client = client_at(&s, "192.0.2.10", 62000);
        first = world_round(&s.w, client, s.home, "to one address");
        check_seen(&first, "[2001:db8:64::c000:20a]:62000");
        peer.sin_port = htons(s.listener.port);
        ck_assert_int_eq(inet_pton(AF_INET, "127.0.0.2", &peer.sin_addr), 1);
        ck_assert_int_eq(connect(client, (struct sockaddr *)&peer, sizeof(peer)), 0);
        second = world_round(&s.w, client, s.home, "to another");
        check_source(&second, "2001:db8:64::c000:20a");
        ck_assert_uint_eq(s.w.n_opened, 2);
        world_done(&s.w);
}
END_TEST

START_TEST(a_client_port_that_is_taken_or_reserved_is_replaced)
{
        Address from;
        Site s;

        site_clients(&s);
        (void)hold("2001:db8:64::c000:20a", 62000);
        from = world_round(&s.w, client_at(&s, "192.0.2.10", 62000), s.home, "held on its address");
        check_source(&from, "2001:db8:64::c000:20a");
        (void)hold("::", 62001);
        from = world_round(&s.w, client_at(&s, "192.0.2.10", 62001), s.home, "held on all");
        check_source(&from, "2001:db8:64::c000:20a");
        from = world_round(&s.w, client_at(&s, "192.0.2.10", RESERVED), s.home, "reserved");
        check_source(&from, "2001:db8:64::c000:20a");
        from = world_round(&s.w, client_at(&s, "192.0.2.10", RESERVED + 1), s.home, "not reserved");
        check_seen(&from, "[2001:db8:64::c000:20a]:40002");
        world_done(&s.w);
}
END_TEST

/* The relay runs without the privilege that such a port takes; who has it gets the client's own. */
START_TEST(a_client_port_below_1024)
{
        Address from;
        int client;
        Site s;

        site_clients(&s);
        client = client_at(&s, "192.0.2.10", 500);
        ck_assert_int_eq(seteuid(65534), 0);
        from = world_round(&s.w, client, s.home, "without the privilege");
        check_source(&from, "2001:db8:64::c000:20a");
        ck_assert_int_eq(seteuid(0), 0);
        (void)prctl(PR_SET_DUMPABLE, 1); /* a leak checker cannot look into who changed its user otherwise */
        world_pass(&s.w, USEC_PER_HOUR);
        from = world_round(&s.w, client, s.home, "with it");
        check_seen(&from, "[2001:db8:64::c000:20a]:500");
        world_done(&s.w);
}
END_TEST

/* What is chosen with care is not lost when the upstream moves, or when a silent leg is doubted. */
static void check_moving(Site *s)
{
        int home, client = client_at(s, "192.0.2.10", 62000);
        Address second, before, after;

        home = upstream_new(NULL, 7777, &second);
        before = world_round(&s->w, client, s->home, "first");
        upstream_set_address(s->up, &second);
        after = world_round(&s->w, client, home, "second");
        ck_assert(address_equal(&before, &after));
        upstream_reply(s->home, &before, "late", 4); /* the old one is a stranger now */
        ck_assert(peer_silent(&s->w, client));
        s->w.now += 11 * USEC_PER_SEC;
        peer_send(client, "doubted", 7);
        world_settle(&s->w);
        ck_assert_int_eq(recv(home, (char[10]){0}, 10, 0), 7);
        after = world_round(&s->w, client, home, "the same again");
        ck_assert(address_equal(&before, &after));
        ck_assert_uint_eq(s->w.n_opened, 1);
        world_done(&s->w);
}

START_TEST(a_moving_upstream_sees_the_same_address)
{
        Site s;

        site_listed(&s, "2001:db8:5::1");
        check_moving(&s);
}
END_TEST

START_TEST(a_moving_upstream_sees_the_same_client)
{
        Site s;

        site_clients(&s);
        check_moving(&s);
}
END_TEST

/* Open sessions stay where they are; what they give back at their end is not of the new queue. */
START_TEST(sources_change_while_sessions_are_open)
{
        Address old[3], from;
        Site s;

        site_listed(&s, "2001:db8:5::1");
        for (int i = 0; i < 3; i++)
                old[i] = world_round(&s.w, s.clients[i], s.home, "old");
        world_pass(&s.w, 100 * USEC_PER_SEC);
        use_sources(s.up, "2001:db8:5::2", false);
        for (int i = 0; i < 3; i++) {
                from = world_round(&s.w, s.clients[i], s.home, "still");
                ck_assert(address_equal(&from, &old[i]));
        }
        world_pass(&s.w, 100 * USEC_PER_SEC);
        for (int i = 10; i < 10 + N_PORTS; i++) {
                from = world_round(&s.w, s.clients[i], s.home, "new");
                check_source(&from, "2001:db8:5::2");
        }
        world_pass(&s.w, 100 * USEC_PER_SEC); /* the end of the old ones */
        ck_assert_uint_eq(s.w.n_closed, 3);
        check_refused(&s, s.clients[20]);
        world_pass(&s.w, 100 * USEC_PER_SEC);
        for (int i = 20; i < 20 + N_PORTS; i++)
                (void)world_round(&s.w, s.clients[i], s.home, "newer");
        check_refused(&s, s.clients[30]);
        world_done(&s.w);
}
END_TEST

/* The pairs of two addresses mean nothing in the queue of one. */
START_TEST(what_old_sessions_give_back_is_not_of_the_new_queue)
{
        Address from;
        Site s;

        site_listed(&s, "2001:db8:5::1 2001:db8:5::3");
        for (int i = 0; i < 2 * N_PORTS; i++)
                (void)world_round(&s.w, s.clients[i], s.home, "old");
        use_sources(s.up, "2001:db8:5::2", false);
        world_pass(&s.w, USEC_PER_HOUR);
        for (int i = 0; i < N_PORTS; i++) {
                from = world_round(&s.w, s.clients[i], s.home, "new");
                check_source(&from, "2001:db8:5::2");
        }
        check_refused(&s, s.clients[N_PORTS]);
        world_done(&s.w);
}
END_TEST

/* The same pairs once more, as after a change of SourcePorts=: those that old sessions hold are passed over. */
START_TEST(new_sources_that_old_sessions_hold_a_part_of)
{
        Site s;

        site_listed(&s, "2001:db8:5::1");
        for (int i = 0; i < 3; i++)
                (void)world_round(&s.w, s.clients[i], s.home, "old");
        use_sources(s.up, "2001:db8:5::1", false);
        world_pass(&s.w, 100 * USEC_PER_SEC);
        for (int i = 10; i < 10 + N_PORTS - 3; i++)
                (void)world_round(&s.w, s.clients[i], s.home, "new");
        check_refused(&s, s.clients[20]);
        world_pass(&s.w, 100 * USEC_PER_SEC);
        for (int i = 20; i < 23; i++)
                (void)world_round(&s.w, s.clients[i], s.home, "in their place");
        check_refused(&s, s.clients[23]);
        world_done(&s.w);
}
END_TEST

/* From the kernel's choice to addresses, to clients, and back: each leg is given back to where it came from. */
START_TEST(every_change_of_the_kind_of_source)
{
        static const char *const sources[] = {NULL, "2001:db8:5::1", "2001:db8:64::/96", NULL, "2001:db8:5::2", NULL};
        Quota quota = {0};
        uint64_t n = 0;
        Site s;

        site_init(&s);
        counter_set(&quota.limit, 4);
        s.up->host_ports = &quota;
        for (int i = 0; i < (int)ELEMENTSOF(sources); i++) {
                if (sources[i])
                        use_sources(s.up, sources[i], strchr(sources[i], '/'));
                else
                        upstream_set_sources(s.up, NULL);
                (void)world_round(&s.w, s.clients[i], s.home, "in");
                n += !sources[i];
                ck_assert_uint_eq(counter_get(&quota.current), n);
                for (int k = 0; k <= i; k++)
                        (void)world_round(&s.w, s.clients[k], s.home, "all go on");
        }
        world_pass(&s.w, USEC_PER_HOUR);
        ck_assert_uint_eq(s.w.n_closed, ELEMENTSOF(sources));
        ck_assert_uint_eq(counter_get(&quota.current), 0);
        world_done(&s.w);
}
END_TEST

/* At boot a relay may be earlier than its addresses: nothing is lost but the answers of that time. */
START_TEST(an_address_that_comes_later)
{
        char got[100];
        Address from;
        Site s;

        site_listed(&s, "2001:db8:7::1");
        peer_send(s.clients[0], "early", 5);
        ck_assert_uint_eq(peer_receive(&s.w, s.home, got, sizeof(got), &from), 5);
        check_source(&from, "2001:db8:7::1");
        world_run("ip -6 route add local 2001:db8:7::/64 dev lo && sleep 0.1");
        (void)world_round(&s.w, s.clients[0], s.home, "now");
        ck_assert_uint_eq(s.w.n_opened, 1);
        world_done(&s.w);
}
END_TEST

WORLD_SUITE("legs", more_sessions_than_a_range_has_ports, a_port_of_another_program_is_skipped,
            a_refusal_for_another_reason_loses_no_pair, a_forbidden_way_is_no_want_of_ports,
            the_host_keeps_ports_for_itself, what_fails_takes_no_port_of_the_host, the_upstream_sees_the_client,
            a_second_session_of_a_client_has_another_port, a_client_port_that_is_taken_or_reserved_is_replaced,
            a_client_port_below_1024, a_moving_upstream_sees_the_same_address, a_moving_upstream_sees_the_same_client,
            sources_change_while_sessions_are_open, what_old_sessions_give_back_is_not_of_the_new_queue,
            new_sources_that_old_sessions_hold_a_part_of, every_change_of_the_kind_of_source,
            an_address_that_comes_later)
