/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "resolve/resolver.h"
#include "unit.h"

static const char hosts[] = "127.0.0.1 localhost\n"
                            "::1 localhost\n"
                            "2001:db8::1 good.test\n"
                            "192.0.2.1 v4only.test\n"
                            "192.0.2.2 both.test\n"
                            "2001:db8::2 both.test\n"
                            "::ffff:192.0.2.1 mapped.test\n"
                            "ff02::1 multicast.test\n"
                            ":: unspecified.test\n"
                            "fe80::1 local.test\n"
                            "ff02::1 mixed.test\n"
                            ":: mixed.test\n"
                            "2001:db8::3 mixed.test\n"
                            "2001:db8::4 many.test\n"
                            "2001:db8::5 many.test\n"
                            "2001:db8::6 many.test\n";

static void replace(const char *path, const char *name, const char *text)
{
        unit_write(name, text, strlen(text));
        ck_assert_msg(mount(name, path, NULL, MS_BIND, NULL) == 0, "%s cannot be replaced", path);
}

/* Names of our own, and a name service that is not there. false: not allowed here. */
static bool own_names(void)
{
        if (!unit_own_mounts() || !unit_own_network())
                return false;
        replace("/etc/hosts", "hosts", hosts);
        replace("/etc/nsswitch.conf", "nsswitch.conf", "hosts: files dns\n");
        replace("/etc/resolv.conf", "resolv.conf", "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n");
        return true;
}

static Endpoint endpoint(const char *name, uint16_t port)
{
        Endpoint e = {.port = port};

        (void)snprintf(e.host, sizeof(e.host), "%s", name);
        return e;
}

static const struct {
        const char *name, *address, *why; /* part of why not; NULL: it is good */
} names[] = {
                {"good.test", "[2001:db8::1]:51820", NULL},
                {"both.test", "[2001:db8::2]:51820", NULL},
                {"mixed.test", "[2001:db8::3]:51820", NULL},
                {"localhost", "[::1]:51820", NULL},
                {"v4only.test", NULL, ""},
                {"missing.test", NULL, ""},
                {"invalid.", NULL, ""},
                {"1.2.3.4.", NULL, ""},
                {"0x7f.1", NULL, ""},
                {"mapped.test", "[::ffff:192.0.2.1]:51820", "IPv4-mapped"},
                {"multicast.test", "[ff02::1]:51820", "multicast"},
                {"unspecified.test", "[::]:51820", "unspecified"},
                {"local.test", "[fe80::1]:51820", "interface"},
};

START_TEST(names_and_their_addresses)
{
        Endpoint e = endpoint(names[_i].name, 51820);
        char text[ADDRESS_TEXT_MAX];
        ResolverAnswer answer = {.id = 1, .serial = 2};

        if (!own_names())
                return;
        resolver_query(&e, &answer);
        if (names[_i].why) {
                ck_assert_msg(answer.why && *answer.why, "%s resolves to %s", names[_i].name,
                              address_format(text, &answer.addresses[0]));
                ck_assert_msg(strstr(answer.why, names[_i].why), "%s: %s", names[_i].name, answer.why);
        } else
                ck_assert_msg(!answer.why, "%s: %s", names[_i].name, answer.why);
        ck_assert_uint_eq(answer.n, names[_i].why ? 0 : 1);
        ck_assert_str_eq(address_format(text, names[_i].why ? &answer.refused : &answer.addresses[0]),
                         names[_i].address ? names[_i].address : "-");
        ck_assert_uint_eq(answer.id, 1);
        ck_assert_uint_eq(answer.serial, 2);
}
END_TEST

START_TEST(all_of_many_are_told)
{
        Endpoint e = endpoint("many.test", 1);
        ResolverAnswer answer;

        if (!own_names())
                return;
        resolver_query(&e, &answer);
        ck_assert_ptr_null(answer.why);
        ck_assert_uint_eq(answer.n, 3);
        for (unsigned i = 0, seen = 0; i < 3; i++) {
                ck_assert_uint_eq(answer.addresses[i].port, 1);
                ck_assert_uint_eq(answer.addresses[i].v6.s6_addr[1], 0x01);
                ck_assert_uint_ge(answer.addresses[i].v6.s6_addr[15], 4);
                ck_assert_uint_le(answer.addresses[i].v6.s6_addr[15], 6);
                ck_assert(!(seen & 1u << answer.addresses[i].v6.s6_addr[15]));
                seen |= 1u << answer.addresses[i].v6.s6_addr[15];
        }
}
END_TEST

START_TEST(more_than_there_is_room_for)
{
        char text[sizeof(hosts) + 50 * 40] = "";
        Endpoint e = endpoint("crowd.test", 1);
        ResolverAnswer answer;
        size_t length = 0;

        if (!own_names())
                return;
        for (unsigned i = 1; i <= 50; i++)
                length += (size_t)snprintf(text + length, sizeof(text) - length, "2001:db8::%x crowd.test\n", i);
        replace("/etc/hosts", "crowd", text);
        resolver_query(&e, &answer);
        ck_assert_ptr_null(answer.why);
        ck_assert_uint_eq(answer.n, RESOLVER_ADDRESSES_MAX);
}
END_TEST

static Address numbered(uint8_t number)
{
        Address address = {.family = AF_INET6, .port = 1};

        ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::", &address.v6), 1);
        address.v6.s6_addr[15] = number;
        return address;
}

/* answers: numbers of addresses; 0 ends them. current 0: there is none. */
static const struct {
        uint8_t answers[RESOLVER_ADDRESSES_MAX], current, chosen;
} choices[] = {
                {{4}, 0, 4},       {{4}, 4, 4},       {{4}, 5, 4},
                {{4, 5}, 0, 4},    {{4, 5}, 5, 5},    {{5, 4}, 5, 5},
                {{5, 4, 6}, 6, 6}, {{6, 5, 4}, 7, 6}, {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 16, 16},
};

/* An address that is still in the answer stays, however the answer is ordered. */
START_TEST(the_current_address_is_kept)
{
        const Address current = choices[_i].current ? numbered(choices[_i].current) : (Address){0};
        ResolverAnswer answer = {.n = 0};
        Address expected = numbered(choices[_i].chosen);

        while (answer.n < RESOLVER_ADDRESSES_MAX && choices[_i].answers[answer.n]) {
                answer.addresses[answer.n] = numbered(choices[_i].answers[answer.n]);
                answer.n++;
        }
        ck_assert(address_equal(resolver_choose(&answer, &current), &expected));
}
END_TEST

/* At another port or interface it is another address. */
START_TEST(the_same_host_elsewhere_is_not_kept)
{
        ResolverAnswer answer = {.n = 2, .addresses = {numbered(4), numbered(5)}};
        Address current = numbered(5);

        current.port = 2;
        ck_assert_ptr_eq(resolver_choose(&answer, &current), &answer.addresses[0]);
        current = numbered(5);
        current.scope = 2;
        ck_assert_ptr_eq(resolver_choose(&answer, &current), &answer.addresses[0]);
}
END_TEST

static void wait_for_answers(const Resolver *resolver)
{
        struct pollfd p = {.fd = resolver_get_fd(resolver), .events = POLLIN};

        ck_assert_msg(poll(&p, 1, 10000) == 1, "no answer");
}

/* Answers come in the order of the questions, and say which they belong to. */
START_TEST(the_thread_answers)
{
        _cleanup_(cleanup_resolver_free) Resolver *resolver = NULL;
        ResolverAnswer answer;
        unsigned n = 0;

        if (!own_names())
                return;
        ck_assert_int_eq(resolver_new(&resolver), 0);
        ck_assert(!resolver_take(resolver, &answer));
        for (unsigned i = 0; i < 100; i++) {
                ResolverQuestion question = {.id = i, .serial = 1000 + i};

                question.endpoint = endpoint(i % 2 ? "good.test" : "mapped.test", (uint16_t)(1 + i));
                ck_assert(resolver_ask(resolver, &question));
        }
        while (n < 100) {
                wait_for_answers(resolver);
                resolver_quiet(resolver);
                while (resolver_take(resolver, &answer)) {
                        ck_assert_uint_eq(answer.id, n);
                        ck_assert_uint_eq(answer.serial, 1000 + n);
                        ck_assert_uint_eq((answer.n > 0 ? answer.addresses[0] : answer.refused).port, 1 + n);
                        ck_assert_uint_eq(!answer.why, n % 2);
                        n++;
                }
        }
}
END_TEST

/* While a name service is silent, questions are taken until there are too many, and the end does not wait. */
START_TEST(a_silent_name_service_holds_up_nobody)
{
        const struct sockaddr_in name = {
                        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        ResolverQuestion question = {.endpoint = endpoint("missing.test", 1)};
        int fd = -1, n = 0;
        Resolver *resolver;
        usec_t before;
        char c;

        if (!own_names())
                return;
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
        ck_assert_int_eq(resolver_new(&resolver), 0);
        before = clock_monotonic();
        while (n < 10000 && resolver_ask(resolver, &question))
                n++;
        ck_assert_int_ge(n, 256);
        ck_assert_int_lt(n, 10000);
        ck_assert_int_gt(recv(fd, &c, 1, 0), 0); /* it is being asked */
        ck_assert_ptr_null(resolver_free(resolver));
        ck_assert_uint_lt(clock_monotonic() - before, 2 * USEC_PER_SEC);
}
END_TEST

START_TEST(the_end_of_an_idle_thread)
{
        usec_t before = clock_monotonic();
        Resolver *resolver;

        for (unsigned i = 0; i < 100; i++) {
                ck_assert_int_eq(resolver_new(&resolver), 0);
                ck_assert_ptr_null(resolver_free(resolver));
        }
        ck_assert_ptr_null(resolver_free(NULL));
        ck_assert_uint_lt(clock_monotonic() - before, 4 * USEC_PER_SEC);
}
END_TEST

UNIT_SUITE("resolve/resolver", UNIT_LOOP(names_and_their_addresses, ELEMENTSOF(names)), UNIT_TEST(all_of_many_are_told),
           UNIT_TEST(more_than_there_is_room_for), UNIT_LOOP(the_current_address_is_kept, ELEMENTSOF(choices)),
           UNIT_TEST(the_same_host_elsewhere_is_not_kept), UNIT_TEST(the_thread_answers),
           UNIT_TEST(a_silent_name_service_holds_up_nobody), UNIT_TEST(the_end_of_an_idle_thread))
