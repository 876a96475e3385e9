/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>

#include "relay/sources.h"
#include "unit.h"

static const PortRange nothing = {2, 1};

static SourcesSettings listed(const char *addresses, PortRange ports, PortRange reserved)
{
        SourcesSettings s = {.ports = ports, .reserved = reserved};
        const char *why = NULL;

        ck_assert_msg(prefix_list_parse(addresses, &s.listed, &why) == 0, "%s: %s", addresses, why);
        return s;
}

static SourcesSettings for_clients(PortRange ports, PortRange reserved)
{
        SourcesSettings s = listed("2001:db8:64::/96", ports, reserved);

        s.clients = s.listed.items[0];
        s.listed = (PrefixList){0};
        return s;
}

static Sources *share_of(const SourcesSettings *s, unsigned share, unsigned n_shares)
{
        Sources *sources;

        ck_assert_int_eq(sources_new(&sources, s, share, n_shares), 0);
        return sources;
}

static bool take(Sources *sources, Source *ret)
{
        return sources_take(sources, &(Flow){0}, 0, ret);
}

static int compare(const void *a, const void *b)
{
        return memcmp(&((const Source *)a)->address, &((const Source *)b)->address, sizeof(Address));
}

/* What several shares hand out until nothing is left, sorted; to be freed. */
static Source *take_all(const SourcesSettings *s, unsigned n_shares, size_t *ret_n)
{
        size_t room = sources_capacity(s) + 1, n = 0;
        Source *all = calloc(room, sizeof(Source));

        ck_assert_ptr_nonnull(all);
        for (unsigned i = 0; i < n_shares; i++) {
                Sources *sources = share_of(s, i, n_shares);

                while (take(sources, &all[n]))
                        ck_assert_uint_lt(++n, room);
                (void)sources_free(sources);
        }
        qsort(all, n, sizeof(*all), compare);
        *ret_n = n;
        return all;
}

/* Takes all: as many as promised, none twice, none of a reserved port, none of a port or address that was not asked. */
static size_t check_all(const SourcesSettings *s, unsigned n_shares)
{
        size_t n;
        Source *all = take_all(s, n_shares, &n);

        ck_assert_uint_eq(n, sources_capacity(s));
        for (size_t i = 0; i < n; i++) {
                const Address *a = &all[i].address;
                const PortRange own = {a->port, a->port};

                ck_assert_uint_eq(a->family, AF_INET6);
                ck_assert_uint_eq(a->scope, 0);
                ck_assert_msg(port_range_overlap(&own, &s->ports) == 1, "port %u is not one of the range", a->port);
                ck_assert_msg(port_range_overlap(&own, &s->reserved) == 0, "port %u is reserved", a->port);
                ck_assert_msg(i == 0 || compare(&all[i - 1], &all[i]) != 0, "port %u is handed out twice", a->port);
        }
        free(all);
        return n;
}

START_TEST(every_pair_is_handed_out_once)
{
        SourcesSettings s = listed("2001:db8:5::1 2001:db8:5::7 2001:db8:6::/126", (PortRange){20000, 20049}, nothing);

        ck_assert_uint_eq(check_all(&s, 1), 5 * 50);
}
END_TEST

/* An address that is listed twice, or alone and in its prefix, makes no more pairs. */
START_TEST(addresses_that_are_listed_twice_count_once)
{
        SourcesSettings s = listed("2001:db8:5::2 2001:db8:5::/126 2001:db8:5::2 2001:db8:5::/64 2001:db8:5::42",
                                   (PortRange){20000, 20009}, nothing);

        ck_assert_uint_eq(check_all(&s, 3), 17 * 10);
}
END_TEST

/* Ports that can be guessed help who forges answers (RFC 6056): by chance alone this happens once in 100! times. */
START_TEST(the_order_cannot_be_guessed)
{
        SourcesSettings s = listed("2001:db8:5::1", (PortRange){20000, 20099}, nothing);
        Sources *a = share_of(&s, 0, 1), *b = share_of(&s, 0, 1);
        bool ascending = true, alike = true;
        uint16_t last = 0;
        Source x, y;

        while (take(a, &x) && take(b, &y)) {
                ascending = ascending && x.address.port > last;
                alike = alike && x.address.port == y.address.port;
                last = x.address.port;
        }
        ck_assert(!ascending);
        ck_assert(!alike);
        (void)sources_free(a);
        (void)sources_free(b);
}
END_TEST

/* Nobody shall get a pair whose last user's answers may still be on their way, as long as there is another one. */
START_TEST(a_pair_that_is_given_back_comes_last)
{
        SourcesSettings s = listed("2001:db8:5::1", (PortRange){20000, 20009}, nothing);
        Sources *sources = share_of(&s, 0, 1);
        Source used[2], next;

        for (unsigned round = 0; round < 25; round++) {
                ck_assert(take(sources, &used[0]));
                ck_assert(take(sources, &used[1]));
                sources_give(sources, used[1].pair);
                sources_give(sources, used[0].pair);
                for (unsigned i = 0; i < 8; i++) {
                        ck_assert(take(sources, &next));
                        ck_assert_uint_ne(next.pair, used[0].pair);
                        ck_assert_uint_ne(next.pair, used[1].pair);
                        sources_give(sources, next.pair);
                }
                ck_assert(take(sources, &next));
                ck_assert_uint_eq(next.pair, used[1].pair);
                ck_assert_uint_eq(next.address.port, used[1].address.port);
                sources_give(sources, next.pair);
        }
        (void)sources_free(sources);
}
END_TEST

START_TEST(when_all_are_taken_one_given_back_is_the_next)
{
        SourcesSettings s = listed("2001:db8:5::1", (PortRange){20000, 20002}, nothing);
        Sources *sources = share_of(&s, 0, 1);
        Source held[3], next;

        for (unsigned i = 0; i < 3; i++)
                ck_assert(take(sources, &held[i]));
        for (unsigned i = 0; i < 10; i++) {
                ck_assert(!take(sources, &next));
                sources_give(sources, held[i % 3].pair);
                ck_assert(take(sources, &next));
                ck_assert_uint_eq(next.pair, held[i % 3].pair);
        }
        (void)sources_free(sources);
}
END_TEST

static const unsigned shares[] = {1, 2, 3, 7, 63, 90, 1000};

/* Of relays side by side each has its part: together everything, and no two of them the same. */
START_TEST(shares_are_disjoint_and_complete)
{
        SourcesSettings s = listed("2001:db8:5::1 2001:db8:5::2 2001:db8:5::3", (PortRange){20000, 20029}, nothing);
        size_t least = SIZE_MAX, most = 0;

        ck_assert_uint_eq(check_all(&s, shares[_i]), 90);
        for (unsigned i = 0; i < shares[_i]; i++) {
                Sources *sources = share_of(&s, i, shares[_i]);
                size_t n = 0;

                for (Source source; take(sources, &source);)
                        n++;
                least = n < least ? n : least;
                most = n > most ? n : most;
                (void)sources_free(sources);
        }
        ck_assert_uint_le(most - least, 1);
}
END_TEST

static const struct {
        PortRange ports, reserved;
        unsigned n;
} reserved[] = {
                {{20000, 20099}, {2, 1}, 100},         {{20000, 20099}, {19000, 19999}, 100},
                {{20000, 20099}, {20100, 20200}, 100}, {{20000, 20099}, {20000, 20009}, 90},
                {{20000, 20099}, {19990, 20009}, 90},  {{20000, 20099}, {20040, 20049}, 90},
                {{20000, 20099}, {20090, 20099}, 90},  {{20000, 20099}, {20090, 20200}, 90},
                {{20000, 20099}, {20000, 20000}, 99},  {{20000, 20099}, {20099, 20099}, 99},
                {{20000, 20099}, {20001, 20099}, 1},   {{20000, 20099}, {20000, 20098}, 1},
                {{20000, 20099}, {20000, 20099}, 0},   {{20000, 20099}, {1024, 65535}, 0},
                {{20050, 20050}, {20000, 20099}, 0},   {{65535, 65535}, {2, 1}, 1},
                {{65530, 65535}, {65535, 65535}, 5},   {{1024, 65535}, {32768, 34531}, 62748},
};

START_TEST(reserved_ports_are_never_handed_out)
{
        SourcesSettings s = listed("2001:db8:5::1 2001:db8:5::2", reserved[_i].ports, reserved[_i].reserved);

        ck_assert_uint_eq(check_all(&s, 1), 2 * reserved[_i].n);
}
END_TEST

static const struct {
        const char *prefix;
        unsigned n;
} prefixes[] = {
                {"2001:db8:5::/64", 16},  {"2001:db8:5::/32", 0},   {"2001:db8:5::40/120", 0},
                {"2001:db8:5::/120", 16}, {"2001:db8:5::/123", 16}, {"2001:db8:5::/124", 15},
                {"2001:db8:5::/125", 7},  {"2001:db8:5::/126", 3},  {"2001:db8:5::/127", 1},
                {"2001:db8:5::/128", 1},  {"2001:db8:5::", 1},      {"2001:db8:5::f0/124", 15},
                {"2000::/3", 16},
};

/* The first ones of a prefix, but never the one whose own bits are all zero: that is the routers' anycast address. */
START_TEST(a_prefix_stands_for_its_first_addresses)
{
        PrefixList list;
        const char *why;
        size_t n;
        Source *all;
        SourcesSettings s;

        if (prefixes[_i].n == 0) {
                ck_assert_int_lt(prefix_list_parse(prefixes[_i].prefix, &list, &why), 0);
                return;
        }
        s = listed(prefixes[_i].prefix, (PortRange){20000, 20000}, nothing);
        all = take_all(&s, 1, &n);
        ck_assert_uint_eq(n, prefixes[_i].n);
        for (size_t i = 0; i < n; i++) {
                unsigned number = s.listed.items[0].length < 128 ? (unsigned)i + 1 : 0;
                const struct in6_addr expected = prefix_address(&s.listed.items[0], number);

                ck_assert_mem_eq(&all[i].address.v6, &expected, sizeof(expected));
        }
        free(all);
}
END_TEST

/* However many there could be, memory is bounded; and no address is left out for it. */
START_TEST(there_is_a_limit_of_pairs)
{
        enum { N_ADDRESSES = 16 * SOURCES_OF_PREFIX };
        SourcesSettings s = listed("2001:db8:1::/64 2001:db8:2::/64 2001:db8:3::/64 2001:db8:4::/64 2001:db8:5::/64 "
                                   "2001:db8:6::/64 2001:db8:7::/64 2001:db8:8::/64 2001:db8:9::/64 2001:db8:a::/64 "
                                   "2001:db8:b::/64 2001:db8:c::/64 2001:db8:d::/64 2001:db8:e::/64 2001:db8:f::/64 "
                                   "2001:db8:10::/64",
                                   (PortRange){1024, 65535}, nothing);
        unsigned n_of[N_ADDRESSES] = {0};
        Sources *sources = share_of(&s, 0, 1);

        ck_assert_uint_eq(sources_capacity(&s), SOURCES_PAIRS_MAX);
        for (Source source; take(sources, &source);) {
                const uint8_t *a = source.address.v6.s6_addr;

                ck_assert_uint_ge(a[15], 1);
                n_of[(a[5] - 1U) * SOURCES_OF_PREFIX + a[15] - 1U]++;
        }
        for (unsigned i = 0; i < N_ADDRESSES; i++)
                ck_assert_uint_eq(n_of[i], SOURCES_PAIRS_MAX / N_ADDRESSES);
        (void)sources_free(sources);
}
END_TEST

static Flow flow_from(const char *client, uint16_t port)
{
        Flow flow = {.client_port = port};

        ck_assert_int_eq(inet_pton(AF_INET, client, &flow.client), 1);
        return flow;
}

START_TEST(a_client_keeps_its_address_and_port)
{
        SourcesSettings s = for_clients((PortRange){40000, 40009}, (PortRange){32768, 34531});
        const Flow flow = flow_from("192.0.2.10", 62000), low = flow_from("255.254.253.252", 1);
        Sources *sources = share_of(&s, 3, 4);
        char text[ADDRESS_TEXT_MAX];
        Source source;

        ck_assert_uint_eq(sources_capacity(&s), 0);
        ck_assert(sources_take(sources, &flow, 0, &source));
        ck_assert_str_eq(address_format(text, &source.address), "[2001:db8:64::c000:20a]:62000");
        sources_give(sources, source.pair); /* there is nothing to give back */
        ck_assert(sources_take(sources, &low, 0, &source));
        ck_assert_str_eq(address_format(text, &source.address), "[2001:db8:64::fffe:fdfc]:1");
        (void)sources_free(sources);
}
END_TEST

/* The host's reserved ports are not for clients to choose either. */
START_TEST(a_reserved_client_port_is_replaced)
{
        SourcesSettings s = for_clients((PortRange){40000, 40009}, (PortRange){32768, 34531});
        Sources *sources = share_of(&s, 0, 1);
        const uint16_t ports[] = {32767, 32768, 33000, 34531, 34532};
        Source source;

        for (size_t i = 0; i < ELEMENTSOF(ports); i++) {
                const Flow flow = flow_from("192.0.2.10", ports[i]);
                const PortRange own = {ports[i], ports[i]};

                ck_assert(sources_take(sources, &flow, 0, &source));
                if (port_range_overlap(&own, &s.reserved) == 0)
                        ck_assert_uint_eq(source.address.port, ports[i]);
                else
                        ck_assert(source.address.port >= 40000 && source.address.port <= 40009);
        }
        (void)sources_free(sources);
}
END_TEST

START_TEST(later_attempts_try_other_ports)
{
        SourcesSettings s = for_clients((PortRange){40000, 40009}, (PortRange){40000, 40004});
        const Flow flow = flow_from("192.0.2.10", 62000);
        Sources *sources = share_of(&s, 0, 1);
        const struct in6_addr address = prefix_address(&s.clients, ntohl(flow.client.s_addr));
        unsigned seen = 0;
        Source source;

        for (unsigned attempt = 1; attempt < 500; attempt++) {
                ck_assert(sources_take(sources, &flow, attempt, &source));
                ck_assert_mem_eq(&source.address.v6, &address, sizeof(address));
                ck_assert(source.address.port >= 40005 && source.address.port <= 40009);
                seen |= 1U << (source.address.port - 40005);
        }
        ck_assert_uint_eq(seen, 0x1f);
        (void)sources_free(sources);
}
END_TEST

/* Without any port to give instead, a client has its own one or none. */
START_TEST(a_client_without_another_port)
{
        SourcesSettings s = for_clients((PortRange){32780, 32789}, (PortRange){32768, 34531});
        const Flow own = flow_from("192.0.2.10", 62000), taken = flow_from("192.0.2.10", 33000);
        Sources *sources = share_of(&s, 0, 1);
        Source source;

        ck_assert(sources_take(sources, &own, 0, &source));
        ck_assert_uint_eq(source.address.port, 62000);
        ck_assert(!sources_take(sources, &own, 1, &source));
        ck_assert(!sources_take(sources, &taken, 0, &source));
        (void)sources_free(sources);
}
END_TEST

START_TEST(settings_that_differ_anywhere_differ)
{
        const SourcesSettings a = listed("2001:db8:5::1 2001:db8:6::/64", (PortRange){1, 2}, (PortRange){3, 4});
        SourcesSettings others[] = {a, a, a, a, a, a, a, a, a};

        others[0].listed.n--;
        others[1].listed.items[1].length--;
        others[2].listed.items[0].address.s6_addr[15]++;
        others[3].clients = a.listed.items[1];
        others[4].ports.low++;
        others[5].ports.high++;
        others[6].reserved.low++;
        others[7].reserved.high++;
        others[8].listed.n++;
        ck_assert(sources_equal(&a, &a));
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                ck_assert_msg(!sources_equal(&a, &others[i]), "%zu", i);
                ck_assert_msg(!sources_equal(&others[i], &a), "%zu", i);
        }
        others[2] = a; /* what lies behind the last one means nothing */
        others[2].listed.items[2] = a.listed.items[0];
        ck_assert(sources_equal(&a, &others[2]));
}
END_TEST

START_TEST(the_kernel_chooses_unless_told_otherwise)
{
        const SourcesSettings none = {.ports = {1024, 65535}, .reserved = {1, 2}};
        const SourcesSettings addresses = listed("2001:db8:5::1", none.ports, none.reserved);
        const SourcesSettings clients = for_clients(none.ports, none.reserved);

        ck_assert(!sources_wanted(&none));
        ck_assert_uint_eq(sources_capacity(&none), 0);
        ck_assert(sources_wanted(&addresses));
        ck_assert(sources_wanted(&clients));
}
END_TEST

static Address address_of(const char *text, uint16_t port)
{
        Address a = {.family = AF_INET6, .port = port};

        ck_assert_int_eq(inet_pton(AF_INET6, text, &a.v6), 1);
        return a;
}

/* A leg of an earlier process has it: nobody else gets it, until that leg is closed; and then it is there once. */
START_TEST(what_is_claimed_is_not_handed_out)
{
        SourcesSettings s = listed("2001:db8:5::1 2001:db8:5::2", (PortRange){20000, 20009}, (PortRange){20003, 20004});
        const Address a = address_of("2001:db8:5::2", 20002), b = address_of("2001:db8:5::1", 20009);
        Sources *sources = share_of(&s, 0, 1);
        uint32_t pairs[2];
        Source next;

        ck_assert(sources_claim(sources, &a, &pairs[0]));
        ck_assert(sources_claim(sources, &b, &pairs[1]));
        for (unsigned i = 0; i < 2 * 8 - 2; i++) {
                ck_assert(take(sources, &next));
                ck_assert(!address_equal(&next.address, &a) && !address_equal(&next.address, &b));
                ck_assert(next.pair != pairs[0] && next.pair != pairs[1]);
        }
        ck_assert(!take(sources, &next));
        sources_give(sources, pairs[0]);
        ck_assert(take(sources, &next));
        ck_assert(address_equal(&next.address, &a));
        ck_assert_uint_eq(next.pair, pairs[0]);
        ck_assert(!take(sources, &next));
        sources_give(sources, pairs[1]);
        ck_assert(take(sources, &next));
        ck_assert(address_equal(&next.address, &b));
        ck_assert(!take(sources, &next));
        (void)sources_free(sources);
}
END_TEST

/* The number of each pair is found from its address and port: what comes back is what was claimed, none twice. */
START_TEST(each_pair_can_be_claimed)
{
        SourcesSettings s = listed("2001:db8:5::1 2001:db8:5::7 2001:db8:6::/126", reserved[_i].ports,
                                   reserved[_i].reserved);
        size_t n, n_again;
        Source *all = take_all(&s, 1, &n), *again = calloc(n + 1, sizeof(Source));
        Sources *sources = share_of(&s, 0, 1);
        bool good = true; /* a check of each of so many takes its time */
        uint32_t pair;

        ck_assert_ptr_nonnull(again);
        for (size_t i = 0; i < n; i++)
                good = good && sources_claim(sources, &all[i].address, &pair) && pair == all[i].pair;
        ck_assert(good);
        ck_assert(!take(sources, &again[0]));
        for (size_t i = 0; i < n; i++)
                sources_give(sources, all[i].pair);
        for (n_again = 0; n_again <= n && take(sources, &again[n_again]); n_again++)
                ;
        ck_assert_uint_eq(n_again, n);
        qsort(again, n, sizeof(*again), compare);
        for (size_t i = 0; i < n; i++)
                good = good && address_equal(&again[i].address, &all[i].address);
        ck_assert(good);
        (void)sources_free(sources);
        free(again);
        free(all);
}
END_TEST

/* Given back before it left the queue, it is where it was, once; and however often that happens. */
START_TEST(what_is_given_back_early_is_there_once)
{
        SourcesSettings s = listed("2001:db8:5::1", (PortRange){20000, 20002}, nothing);
        const Address a = address_of("2001:db8:5::1", 20001);
        Sources *sources = share_of(&s, 0, 1);
        Source all[4];
        uint32_t pair;

        for (unsigned i = 0; i < 5; i++) {
                ck_assert(sources_claim(sources, &a, &pair));
                sources_give(sources, pair);
        }
        for (unsigned i = 0; i < 3; i++)
                ck_assert(take(sources, &all[i]));
        ck_assert(!take(sources, &all[3]));
        for (unsigned i = 0; i < 3; i++)
                ck_assert_uint_ne(all[i].pair, all[(i + 1) % 3].pair);
        (void)sources_free(sources);
}
END_TEST

/* Whose second leg it is gets nothing, or the pair would be given back twice: the queue has room for each once. */
START_TEST(nothing_is_claimed_twice)
{
        SourcesSettings s = listed("2001:db8:5::1", (PortRange){20000, 20001}, nothing);
        const Address a = address_of("2001:db8:5::1", 20001);
        Sources *sources = share_of(&s, 0, 1);
        uint32_t pair, again;

        ck_assert(sources_claim(sources, &a, &pair));
        ck_assert(!sources_claim(sources, &a, &again));
        sources_give(sources, again); /* is nothing */
        ck_assert(!sources_claim(sources, &a, &again));
        sources_give(sources, pair);
        ck_assert(sources_claim(sources, &a, &again));
        ck_assert_uint_eq(again, pair);
        (void)sources_free(sources);
}
END_TEST

typedef struct Foreign {
        const char *address;
        uint16_t port;
} Foreign;

static const Foreign foreign[] = {
                {"2001:db8:5::3", 20000}, {"::", 20000},
                {"2001:db8:5::1", 0},     {"2001:db8:5::1", 19999},
                {"2001:db8:5::1", 20010}, {"2001:db8:5::1", 20003},
                {"2001:db8:5::1", 20004}, {"2001:db8:5::1", 65535},
};

START_TEST(what_is_not_of_these_cannot_be_claimed)
{
        SourcesSettings s = listed("2001:db8:5::1 2001:db8:5::2", (PortRange){20000, 20009}, (PortRange){20003, 20004});
        const Address a = address_of(foreign[_i].address, foreign[_i].port);
        Sources *sources = share_of(&s, 0, 1);
        unsigned n = 0;
        uint32_t pair;
        Source next;

        ck_assert(!sources_claim(sources, &a, &pair));
        sources_give(sources, pair); /* is nothing */
        while (take(sources, &next))
                n++;
        ck_assert_uint_eq(n, 2 * 8);
        (void)sources_free(sources);
}
END_TEST

/* A pair is of one share: the others hand it out to nobody anyway. */
START_TEST(another_shares_pair_cannot_be_claimed)
{
        SourcesSettings s = listed("2001:db8:5::1 2001:db8:5::2", (PortRange){20000, 20006}, nothing);
        size_t n;
        Source *all = take_all(&s, 1, &n);

        for (size_t i = 0; i < n; i++) {
                unsigned n_claimed = 0, n_left = 0;

                for (unsigned share = 0; share < 3; share++) {
                        Sources *sources = share_of(&s, share, 3);
                        uint32_t pair;
                        Source next;

                        n_claimed += sources_claim(sources, &all[i].address, &pair);
                        for (; take(sources, &next); n_left++)
                                ck_assert(!address_equal(&next.address, &all[i].address));
                        (void)sources_free(sources);
                }
                ck_assert_uint_eq(n_claimed, 1);
                ck_assert_uint_eq(n_left, n - 1);
        }
        free(all);
}
END_TEST

/* More pairs than are handed out: those beyond the limit are nobody's. */
START_TEST(a_pair_beyond_the_limit_cannot_be_claimed)
{
        SourcesSettings s = listed("2001:db8:5::/64 2001:db8:6::/64", (PortRange){1024, 65535}, nothing);
        const Address low = address_of("2001:db8:5::1", 1024), high = address_of("2001:db8:6::10", 65535);
        Sources *sources = share_of(&s, 0, 1);
        uint32_t pair;

        ck_assert_uint_eq(sources_capacity(&s), SOURCES_PAIRS_MAX);
        ck_assert(sources_claim(sources, &low, &pair));
        ck_assert(!sources_claim(sources, &high, &pair));
        (void)sources_free(sources);
}
END_TEST

/* There is no list that could know them: the kernel says who has them. */
START_TEST(a_clients_own_address_can_always_be_claimed)
{
        SourcesSettings s = for_clients((PortRange){20000, 20009}, nothing);
        const Address a = address_of("2001:db8:64::c000:20a", 500);
        Sources *sources = share_of(&s, 0, 1);
        uint32_t pair;

        for (unsigned i = 0; i < 3; i++) {
                ck_assert(sources_claim(sources, &a, &pair));
                sources_give(sources, pair);
        }
        (void)sources_free(sources);
}
END_TEST

UNIT_SUITE("relay/sources", UNIT_TEST(every_pair_is_handed_out_once),
           UNIT_TEST(addresses_that_are_listed_twice_count_once), UNIT_TEST(the_order_cannot_be_guessed),
           UNIT_TEST(a_pair_that_is_given_back_comes_last), UNIT_TEST(when_all_are_taken_one_given_back_is_the_next),
           UNIT_LOOP(shares_are_disjoint_and_complete, ELEMENTSOF(shares)),
           UNIT_LOOP(reserved_ports_are_never_handed_out, ELEMENTSOF(reserved)),
           UNIT_LOOP(a_prefix_stands_for_its_first_addresses, ELEMENTSOF(prefixes)),
           UNIT_TEST(there_is_a_limit_of_pairs), UNIT_TEST(a_client_keeps_its_address_and_port),
           UNIT_TEST(a_reserved_client_port_is_replaced), UNIT_TEST(later_attempts_try_other_ports),
           UNIT_TEST(a_client_without_another_port), UNIT_TEST(settings_that_differ_anywhere_differ),
           UNIT_TEST(the_kernel_chooses_unless_told_otherwise), UNIT_TEST(what_is_claimed_is_not_handed_out),
           UNIT_LOOP(each_pair_can_be_claimed, ELEMENTSOF(reserved)), UNIT_TEST(what_is_given_back_early_is_there_once),
           UNIT_TEST(nothing_is_claimed_twice), UNIT_LOOP(what_is_not_of_these_cannot_be_claimed, ELEMENTSOF(foreign)),
           UNIT_TEST(another_shares_pair_cannot_be_claimed), UNIT_TEST(a_pair_beyond_the_limit_cannot_be_claimed),
           UNIT_TEST(a_clients_own_address_can_always_be_claimed))
