/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>

#include "unit.h"
#include "wire/address.h"

#define NAME_50 "a23456789.b23456789.c23456789.d23456789.e23456789."
#define NAME_250 NAME_50 NAME_50 NAME_50 NAME_50 NAME_50

static const struct {
        const char *text, *formatted; /* NULL: as the text */
} good_listeners[] = {
                {"127.0.0.1:51820", NULL},
                {"0.0.0.0:1", NULL},
                {"192.0.2.10:65535", NULL},
                {"255.255.255.255:53", NULL},
                {"192.0.2.10:00053", "192.0.2.10:53"},
};

static const char *const bad_listeners[] = {
                "",
                ":",
                ":53",
                "192.0.2.10",
                "192.0.2.10:",
                "192.0.2.10:0",
                "192.0.2.10:00000",
                "192.0.2.10:65536",
                "192.0.2.10:70000",
                "192.0.2.10:655360",
                "192.0.2.10:99999999999999999999",
                "192.0.2.10:-53",
                "192.0.2.10:+53",
                "192.0.2.10: 53",
                "192.0.2.10:53 ",
                "192.0.2.10:53\n",
                "192.0.2.10:0x35",
                "192.0.2.10:5.3",
                "192.0.2.10:domain",
                " 192.0.2.10:53",
                "192.0.2.10 :53",
                "192.0.2:53",
                "192.0.2.256:53",
                "192.0.2.10.1:53",
                "192.0.2.010:53",
                "0xc0.0.2.10:53",
                "3221225994:53",
                "192.0.2.-1:53",
                "192.0.2.10.:53",
                "192.0.2.10:53:53",
                "[192.0.2.10]:53",
                "[::1]:53",
                "::1:53",
                "2001:db8::1:53",
                "::ffff:192.0.2.10:53",
                "localhost:53",
                "eth0:53",
                "*:53",
                NAME_250 ":53",
};

START_TEST(good_listener)
{
        const char *text = good_listeners[_i].text, *formatted = good_listeners[_i].formatted, *why = NULL;
        char buffer[ADDRESS_TEXT_MAX];
        Address address;

        ck_assert_msg(address_parse_listener(text, &address, &why) == 0, "%s: %s", text, why);
        ck_assert_uint_eq(address.family, AF_INET);
        ck_assert_uint_eq(address.scope, 0);
        ck_assert_str_eq(address_format(buffer, &address), formatted ? formatted : text);
}
END_TEST

START_TEST(bad_listener)
{
        const Address untouched = {.family = AF_INET, .port = 4711};
        Address address = untouched;
        const char *why = NULL;

        ck_assert_msg(address_parse_listener(bad_listeners[_i], &address, &why) == -EINVAL, "accepted: %s",
                      bad_listeners[_i]);
        ck_assert_msg(why && *why, "no reason for %s", bad_listeners[_i]);
        ck_assert_msg(address_equal(&address, &untouched), "%s is refused, yet changes the address", bad_listeners[_i]);
}
END_TEST

static const struct {
        const char *text, *host;
        uint16_t port;
        const char *address; /* NULL: a name */
} good_endpoints[] = {
                {"[2001:db8::1]:51820", "2001:db8::1", 51820, "[2001:db8::1]:51820"},
                {"[2001:DB8:0:0:0:0:0:1]:1", "2001:DB8:0:0:0:0:0:1", 1, "[2001:db8::1]:1"},
                {"[::1]:65535", "::1", 65535, "[::1]:65535"},
                {"[64:ff9b::192.0.2.1]:53", "64:ff9b::192.0.2.1", 53, "[64:ff9b::c000:201]:53"},
                {"[2001:db8::1]", "2001:db8::1", 0, "[2001:db8::1]"},
                {"[fe80::1%lo]:53", "fe80::1%lo", 53, NULL},
                {"[fe80::1%1]:53", "fe80::1%1", 53, NULL},
                {"[fe80::1%late0]:53", "fe80::1%late0", 53, NULL},
                {"home.example:51820", "home.example", 51820, NULL},
                {"home.example", "home.example", 0, NULL},
                {"home.example.:51820", "home.example.", 51820, NULL},
                {"localhost:53", "localhost", 53, NULL},
                {"a_b-c.1x.example:53", "a_b-c.1x.example", 53, NULL},
                {"9p:564", "9p", 564, NULL},
                {"xn--bcher-kva.example:53", "xn--bcher-kva.example", 53, NULL},
                {NAME_250 "abcde:65535", NAME_250 "abcde", 65535, NULL},
};

START_TEST(good_endpoint)
{
        const char *text = good_endpoints[_i].text, *why = NULL;
        char buffer[ENDPOINT_TEXT_MAX];
        Endpoint endpoint, again;

        ck_assert_msg(endpoint_parse(text, &endpoint, &why) == 0, "%s: %s", text, why);
        ck_assert_str_eq(endpoint.host, good_endpoints[_i].host);
        ck_assert_uint_eq(endpoint.port, good_endpoints[_i].port);
        if (good_endpoints[_i].address) {
                ck_assert_uint_eq(endpoint.literal.port, endpoint.port);
                ck_assert_str_eq(address_format(buffer, &endpoint.literal), good_endpoints[_i].address);
        } else
                ck_assert_uint_eq(endpoint.literal.family, 0);
        ck_assert_str_eq(endpoint_format(buffer, &endpoint), text);
        ck_assert_int_eq(endpoint_parse(buffer, &again, &why), 0);
        ck_assert_str_eq(again.host, endpoint.host);
}
END_TEST

static const struct {
        const char *text, *why; /* part of the reason */
} bad_endpoints[] = {
                {"", "expected"},
                {":", "expected"},
                {":53", "expected"},
                {"[]:53", "expected"},
                {"[", "expected"},
                {"[::1", "expected"},
                {"[::1]53", "expected"},
                {"[::1] :53", "expected"},
                {"[::1]:", "port"},
                {"[::1]:0", "port"},
                {"[::1]:70000", "port"},
                {"[::1]:65536", "port"},
                {"[::1]:-1", "port"},
                {"[::1]:+1", "port"},
                {"[::1]:wg", "port"},
                {"[::1]:53 ", "port"},
                {"home.example:", "port"},
                {"home.example:0", "port"},
                {"home.example:123456", "port"},
                {"[2001:db8::1", "expected"},
                {"[2001:db8:::1]:53", "not an IPv6 address"},
                {"[2001:db8::g]:53", "not an IPv6 address"},
                {"[1:2:3:4:5:6:7:8:9]:53", "not an IPv6 address"},
                {"[ ::1]:53", "not an IPv6 address"},
                {"[home.example]:53", "not an IPv6 address"},
                {"[192.0.2.1]:53", "not an IPv6 address"},
                {"[[::1]]:53", "expected"},
                {"[2001:db8:2001:db8:2001:db8:2001:db8:2001:db8:2001:db8::1]:53", "not an IPv6 address"},
                {"2001:db8::1:53", "brackets"},
                {"::1:53", "brackets"},
                {"fe80::1%lo:53", "brackets"},
                {"a:b:53", "brackets"},
                {"192.0.2.1:51820", "IPv4"},
                {"127.1:53", "IPv4"},
                {"3221225985:53", "IPv4"},
                {"home.example.42:53", "IPv4"},
                {"[::ffff:192.0.2.1]:53", "IPv4-mapped"},
                {"[::ffff:c000:201]:53", "IPv4-mapped"},
                {"[::]:53", "unspecified"},
                {"[0:0:0:0:0:0:0:0]:53", "unspecified"},
                {"[ff02::1]:53", "multicast"},
                {"[ff02::1%lo]:53", "multicast"},
                {"[ff0e::1]:53", "multicast"},
                {"[fe80::1]:53", "interface"},
                {"[febf::1]:53", "interface"},
                {"[fe80::1%]:53", "interface"},
                {"[fe80::1%%lo]:53", "interface"},
                {"[fe80::1%lo/1]:53", "interface"},
                {"[fe80::1%\xff]:53", "interface"},
                {"[fe80::1%l o]:53", "interface"},
                {"[fe80::1%nosuchinterface0]:53", "interface"},
                {"home example:53", "not a host name"},
                {" home.example:53", "not a host name"},
                {"-home.example:53", "not a host name"},
                {".home.example:53", "not a host name"},
                {"home..example:53", "not a host name"},
                {"home.example/:53", "not a host name"},
                {"home\n.example:53", "not a host name"},
                {"h\303\266me.example:53", "not a host name"},
                {"*:53", "not a host name"},
                {"%lo:53", "not a host name"},
                {NAME_250 "abcdef:53", "expected"},
                {"[" NAME_250 "abcdef]:53", "expected"},
};

START_TEST(bad_endpoint)
{
        const char *text = bad_endpoints[_i].text, *expected = bad_endpoints[_i].why, *why = NULL;
        Endpoint endpoint = {.host = "untouched", .port = 4711};

        ck_assert_msg(endpoint_parse(text, &endpoint, &why) == -EINVAL, "accepted: %s", text);
        ck_assert_msg(why && strstr(why, expected), "%s: `%s` instead of something with `%s`", text, why, expected);
        ck_assert_str_eq(endpoint.host, "untouched");
        ck_assert_uint_eq(endpoint.port, 4711);
}
END_TEST

/* No byte anywhere in a text leads astray. */
START_TEST(every_byte_in_every_place)
{
        static const char *const texts[] = {"[2001:db8::1%lo]:53", "home.example:53", "192.0.2.10:53"};
        char buffer[ENDPOINT_TEXT_MAX], text[32];
        const char *why;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                for (size_t at = 0; at < strlen(texts[i]); at++)
                        for (int byte = 1; byte < 256; byte++) {
                                Endpoint endpoint, again;
                                Address address;

                                (void)strcpy(text, texts[i]);
                                text[at] = (char)byte;
                                why = NULL;
                                if (endpoint_parse(text, &endpoint, &why) == 0) {
                                        (void)endpoint_format(buffer, &endpoint);
                                        ck_assert_int_eq(endpoint_parse(buffer, &again, &why), 0);
                                        ck_assert_str_eq(again.host, endpoint.host);
                                        ck_assert(address_equal(&again.literal, &endpoint.literal));
                                } else
                                        ck_assert_ptr_nonnull(why);
                                why = NULL;
                                if (address_parse_listener(text, &address, &why) < 0)
                                        ck_assert_ptr_nonnull(why);
                        }
}
END_TEST

static const struct {
        const char *address;
        uint16_t port;
        bool honest;
} sources[] = {
                {"192.0.2.10", 62000, true}, {"10.0.0.1", 1, true},          {"127.0.0.1", 65535, true},
                {"1.0.0.0", 53, true},       {"223.255.255.255", 53, true},  {"192.0.2.10", 0, false},
                {"0.0.0.0", 53, false},      {"0.0.0.1", 53, false},         {"0.255.255.255", 53, false},
                {"224.0.0.0", 53, false},    {"224.0.0.1", 53, false},       {"239.255.255.255", 53, false},
                {"240.0.0.0", 53, false},    {"255.255.255.255", 53, false},
};

START_TEST(honest_sources)
{
        struct in_addr address;
        const char *why;

        ck_assert_int_eq(inet_pton(AF_INET, sources[_i].address, &address), 1);
        why = address_source_refusal(address, sources[_i].port);
        ck_assert_msg(!why == sources[_i].honest, "%s:%u: %s", sources[_i].address, sources[_i].port,
                      why ? why : "fine");
}
END_TEST

START_TEST(other_families_are_no_upstream)
{
        const Address v4 = {.family = AF_INET, .port = 53}, none = {0}, other = {.family = AF_UNIX};

        ck_assert_ptr_nonnull(address_upstream_refusal(&v4));
        ck_assert_ptr_nonnull(address_upstream_refusal(&none));
        ck_assert_ptr_nonnull(address_upstream_refusal(&other));
}
END_TEST

START_TEST(equal_addresses)
{
        const Address none = {0}, none_too = {.v6 = IN6ADDR_LOOPBACK_INIT};
        const Address a = {.family = AF_INET6, .port = 53, .scope = 1, .v6 = IN6ADDR_LOOPBACK_INIT};
        Address b = a;
        Address v4 = {.family = AF_INET, .port = 53}, other = v4;

        ck_assert(address_equal(&a, &b));
        b.port++;
        ck_assert(!address_equal(&a, &b));
        b = a;
        b.scope++;
        ck_assert(!address_equal(&a, &b));
        b = a;
        b.v6.s6_addr[0] = 1;
        ck_assert(!address_equal(&a, &b));
        b = a;
        b.family = AF_INET;
        ck_assert(!address_equal(&a, &b));

        other.v6.s6_addr[15] = 1; /* behind an IPv4 address, means nothing */
        ck_assert(address_equal(&v4, &other));
        other.v4.s_addr = 1;
        ck_assert(!address_equal(&v4, &other));
        ck_assert(address_equal(&none, &none_too));
        ck_assert(!address_equal(&none, &v4));
}
END_TEST

START_TEST(formats)
{
        Address v4 = {.family = AF_INET, .port = 62000}, none = {0};
        Address v6 = {.family = AF_INET6, .port = 65535, .scope = UINT32_MAX};
        char buffer[ADDRESS_TEXT_MAX];

        ck_assert_int_eq(inet_pton(AF_INET, "192.0.2.10", &v4.v4), 1);
        ck_assert_str_eq(address_format(buffer, &v4), "192.0.2.10:62000");
        ck_assert_str_eq(address_format(buffer, &none), "-");
        ck_assert_int_eq(inet_pton(AF_INET6, "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", &v6.v6), 1);
        ck_assert_str_eq(address_format(buffer, &v6), "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}
END_TEST

static const struct {
        const char *text, *formatted; /* NULL: as the text */
        unsigned n;
} good_prefixes[] = {
                {"", NULL, 0},
                {" \t ", "", 0},
                {"2001:db8:5::1", NULL, 1},
                {"2001:db8:5::/64", NULL, 1},
                {"2001:db8:5::1/128", "2001:db8:5::1", 1},
                {"2001:db8:5::/064", "2001:db8:5::/64", 1},
                {"8000::/1", NULL, 1},
                {"2001:db8:5::fe/127", NULL, 1},
                {"::1", NULL, 1},
                {"fec0::1 fd00::1 fe00::1", NULL, 3},
                {"\t2001:DB8::1  2001:db8:0:0::2 ", "2001:db8::1 2001:db8::2", 2},
                {"::2 ::3 ::4 ::5 ::6 ::7 ::8 ::9 ::a ::b ::c ::d ::e ::f ::10 ::11", "", 16},
};

START_TEST(good_prefix_list)
{
        const char *text = good_prefixes[_i].text, *formatted = good_prefixes[_i].formatted, *why = NULL;
        char buffer[PREFIX_LIST_TEXT_MAX];
        PrefixList list, again;

        ck_assert_msg(prefix_list_parse(text, &list, &why) == 0, "%s: %s", text, why);
        ck_assert_uint_eq(list.n, good_prefixes[_i].n);
        (void)prefix_list_format(buffer, &list);
        if (list.n < PREFIX_LIST_MAX)
                ck_assert_str_eq(buffer, formatted ? formatted : text);
        ck_assert_int_eq(prefix_list_parse(buffer, &again, &why), 0);
        ck_assert_mem_eq(&again, &list, sizeof(list));
}
END_TEST

/* The longest addresses with the longest lengths. */
START_TEST(the_longest_prefix_list)
{
        char text[2 * PREFIX_LIST_TEXT_MAX] = "", buffer[PREFIX_LIST_TEXT_MAX];
        const char *why = NULL;
        PrefixList list;

        for (unsigned i = 0; i < PREFIX_LIST_MAX; i++)
                (void)sprintf(text + strlen(text), "%s2001:db8:ffff:ffff:ffff:ffff:ffff:ff%02x/127", i > 0 ? " " : "",
                              0xd0 + 2 * i);
        ck_assert_msg(prefix_list_parse(text, &list, &why) == 0, "%s", why);
        ck_assert_str_eq(prefix_list_format(buffer, &list), text);
        memset(text, ' ', sizeof(text) - 1);
        text[sizeof(buffer) - 1] = '\0';
        ck_assert_int_eq(prefix_list_parse(text, &list, &why), 0);
        text[sizeof(buffer) - 1] = ' ';
        text[sizeof(buffer)] = '\0';
        ck_assert_int_eq(prefix_list_parse(text, &list, &why), -EINVAL);
        ck_assert_str_eq(why, "too long");
}
END_TEST

static const struct {
        const char *text, *why; /* part of the reason */
} bad_prefixes[] = {
                {"192.0.2.1", "not an IPv6 address"},
                {"2001:db8::1,2001:db8::2", "not an IPv6 address"},
                {"[2001:db8::1]", "not an IPv6 address"},
                {"2001:db8::g", "not an IPv6 address"},
                {"2001:db8:", "not an IPv6 address"},
                {"/64", "not an IPv6 address"},
                {"home.example", "not an IPv6 address"},
                {"2001:db8::1\n", "not an IPv6 address"},
                {"2001:db8::1 x", "not an IPv6 address"},
                {"2001:db8:1111:1111:1111:1111:1111:1111:1111:1111:1111", "not an IPv6 address"},
                {"2001:db8::/", "expected"},
                {"2001:db8::/ 64", "expected"},
                {"2001:db8::/64/64", "expected"},
                {"2001:db8::/+64", "expected"},
                {"2001:db8::/-1", "expected"},
                {"2001:db8::/0x40", "expected"},
                {"2001:db8::/0064", "expected"},
                {"2001:db8::/64k", "expected"},
                {"2001:db8::/0", "1 to 128"},
                {"2001:db8::/129", "1 to 128"},
                {"2001:db8::/999", "1 to 128"},
                {"2001:db8::1/64", "not zero"},
                {"2001:db8::1/127", "not zero"},
                {"2001:db8:8000::/32", "not zero"},
                {"c000::/1", "not zero"},
                {"fe80::1", "link-local"},
                {"febf::1", "link-local"},
                {"fe80::/10", "link-local"},
                {"fe80::1%lo", "zone"},
                {"2001:db8::1%lo", "zone"},
                {"2001:db8::1%", "network interface"},
                {"::", "of this kind"},
                {"::/96", "of this kind"},
                {"ff02::1", "of this kind"},
                {"ff00::/8", "of this kind"},
                {"::ffff:192.0.2.1", "of this kind"},
                {"::ffff:0:0/96", "of this kind"},
                {"::2 ::3 ::4 ::5 ::6 ::7 ::8 ::9 ::a ::b ::c ::d ::e ::f ::10 ::11 ::12", "more than 16"},
};

START_TEST(bad_prefix_list)
{
        const char *text = bad_prefixes[_i].text, *expected = bad_prefixes[_i].why, *why = NULL;
        PrefixList list = {.n = 4711};

        ck_assert_msg(prefix_list_parse(text, &list, &why) == -EINVAL, "accepted: %s", text);
        ck_assert_msg(why && strstr(why, expected), "%s: `%s` instead of something with `%s`", text, why, expected);
        ck_assert_uint_eq(list.n, 4711);
}
END_TEST

/* The client's address is the end of a prefix of 96 bits; the n-th address of a shorter one is counted from its end. */
START_TEST(addresses_in_a_prefix)
{
        static const struct {
                const char *prefix;
                uint32_t number;
                const char *address;
        } cases[] = {
                        {"2001:db8:64::/96", 0xc000020a, "2001:db8:64::192.0.2.10"},
                        {"2001:db8:64::/96", 0, "2001:db8:64::"},
                        {"2001:db8:64::/96", UINT32_MAX, "2001:db8:64::ffff:ffff"},
                        {"2001:db8:64:1:2:3::/96", 0x01020304, "2001:db8:64:1:2:3:102:304"},
                        {"2001:db8:5::/64", 16, "2001:db8:5::10"},
                        {"2001:db8:5::f0/124", 15, "2001:db8:5::ff"},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                struct in6_addr expected, address;
                const char *why;
                PrefixList list;

                ck_assert_int_eq(prefix_list_parse(cases[i].prefix, &list, &why), 0);
                ck_assert_int_eq(inet_pton(AF_INET6, cases[i].address, &expected), 1);
                address = prefix_address(&list.items[0], cases[i].number);
                ck_assert_mem_eq(&address, &expected, sizeof(expected));
        }
}
END_TEST

static const struct {
        const char *text;
        PortRange range; /* 0: refused */
} port_ranges[] = {
                {"1024-65535", {1024, 65535}},
                {"20000-29999", {20000, 29999}},
                {"65535-65535", {65535, 65535}},
                {"02000-2000", {2000, 2000}},
                {"2001-2000", {0, 0}},
                {"1023-2000", {0, 0}},
                {"0-2000", {0, 0}},
                {"2000-65536", {0, 0}},
                {"65536-65537", {0, 0}},
                {"2000-99999", {0, 0}},
                {"002000-2001", {0, 0}},
                {"2000-002001", {0, 0}},
                {"2000", {0, 0}},
                {"2000-", {0, 0}},
                {"-2000", {0, 0}},
                {"-", {0, 0}},
                {"", {0, 0}},
                {"2000--3000", {0, 0}},
                {"2000-3000-", {0, 0}},
                {"2000 -3000", {0, 0}},
                {"2000- 3000", {0, 0}},
                {"+2000-3000", {0, 0}},
                {"2000-+3000", {0, 0}},
                {"2000:3000", {0, 0}},
                {"a-b", {0, 0}},
                {"2000-3000\n", {0, 0}},
};

START_TEST(port_range)
{
        const PortRange expected = port_ranges[_i].range, untouched = {47, 11};
        const bool good = expected.low > 0;
        PortRange range = untouched;
        const char *why = NULL;

        ck_assert_msg(port_range_parse(port_ranges[_i].text, &range, &why) == (good ? 0 : -EINVAL), "%s: %s",
                      port_ranges[_i].text, why);
        ck_assert_uint_eq(range.low, good ? expected.low : untouched.low);
        ck_assert_uint_eq(range.high, good ? expected.high : untouched.high);
        ck_assert(good || (why && *why));
}
END_TEST

static const struct {
        PortRange a, b;
        unsigned a_size, overlap;
} overlaps[] = {
                {{10, 19}, {10, 19}, 10, 10},
                {{10, 19}, {1, 9}, 10, 0},
                {{10, 19}, {1, 10}, 10, 1},
                {{10, 19}, {19, 30}, 10, 1},
                {{10, 19}, {20, 30}, 10, 0},
                {{10, 19}, {12, 15}, 10, 4},
                {{10, 19}, {0, UINT16_MAX}, 10, 10},
                {{10, 19}, {2, 1}, 10, 0},
                {{10, 19}, {15, 14}, 10, 0},
                {{2, 1}, {2, 1}, 0, 0},
                {{0, UINT16_MAX}, {0, 0}, 65536, 1},
                {{0, UINT16_MAX}, {0, UINT16_MAX}, 65536, 65536},
                {{UINT16_MAX, UINT16_MAX}, {0, UINT16_MAX}, 1, 1},
};

START_TEST(port_ranges_overlap)
{
        const PortRange *a = &overlaps[_i].a, *b = &overlaps[_i].b;

        ck_assert_uint_eq(port_range_size(a), overlaps[_i].a_size);
        ck_assert_uint_eq(port_range_overlap(a, b), overlaps[_i].overlap);
        ck_assert_uint_eq(port_range_overlap(b, a), overlaps[_i].overlap);
}
END_TEST

static const struct {
        const char *text, *shown, *why; /* shown NULL: it is refused, for this reason */
} reply_sources[] = {
                {"", "", NULL},
                {"[2001:db8::1]:53", "[2001:db8::1]:53", NULL},
                {"[2001:DB8:0::1]", "[2001:db8::1]", NULL},
                {"[2001:db8::/32]:53", "[2001:db8::/32]:53", NULL},
                {" [2001:db8::1]:1\t[2001:db8::2]:2 ", "[2001:db8::1]:1 [2001:db8::2]:2", NULL},
                {"2001:db8::1", NULL, "expected [IPv6"},
                {"home.example:53", NULL, "expected [IPv6"},
                {"[2001:db8::1", NULL, "expected [IPv6"},
                {"[2001:db8::1]53", NULL, "expected [IPv6"},
                {"[2001:db8::1]:", NULL, "port"},
                {"[2001:db8::1]:0", NULL, "port"},
                {"[2001:db8::1]:65536", NULL, "port"},
                {"[192.0.2.1]:53", NULL, "IPv6"},
                {"[::ffff:192.0.2.1]:53", NULL, "kind"},
                {"[ff02::1]:53", NULL, "kind"},
                {"[2001:db8::1/32]:53", NULL, "bits"},
                {"[2001:db8::/0]:53", NULL, "1 to 128"},
                {"[2001:db8::/129]:53", NULL, "1 to 128"},
};

START_TEST(reply_sources_are_read)
{
        char buffer[REPLY_SOURCES_TEXT_MAX];
        ReplySources list = {0}, before;
        const char *why = NULL;
        int r;

        ck_assert_int_eq(reply_sources_add(reply_sources[_i].text, &list, &why) < 0, !reply_sources[_i].shown);
        if (reply_sources[_i].shown)
                ck_assert_str_eq(reply_sources_format(buffer, &list), reply_sources[_i].shown);
        else
                ck_assert_msg(strstr(why, reply_sources[_i].why), "%s: %s", reply_sources[_i].text, why);
        /* another line adds, and what is wrong adds nothing; an empty one begins anew */
        list = (ReplySources){0};
        ck_assert_int_eq(reply_sources_add("[2001:db8::7]", &list, &why), 0);
        before = list;
        r = reply_sources_add(reply_sources[_i].text, &list, &why);
        if (r < 0)
                ck_assert_int_eq(memcmp(&list, &before, sizeof(list)), 0);
        else
                ck_assert_uint_eq(list.n, *reply_sources[_i].text == '\0' ? 0 : list.n);
}
END_TEST

START_TEST(sixteen_reply_sources_at_most)
{
        ReplySources list = {0};
        const char *why = NULL;

        for (unsigned i = 0; i < REPLY_SOURCES_MAX; i++)
                ck_assert_int_eq(reply_sources_add("[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128]:65535", &list, &why),
                                 0);
        ck_assert_int_lt(reply_sources_add("[2001:db8::1]", &list, &why), 0);
        ck_assert_str_eq(why, "more than 16 of them");
        ck_assert_uint_lt(strlen(reply_sources_format((char[REPLY_SOURCES_TEXT_MAX]){0}, &list)),
                          REPLY_SOURCES_TEXT_MAX);
}
END_TEST

static const struct {
        const char *address, *embedded; /* NULL: none */
} translated[] = {{"::ffff:192.0.2.1", "192.0.2.1"},     {"::192.0.2.1", "192.0.2.1"},
                  {"64:ff9b::192.0.2.1", "192.0.2.1"},   {"64:ff9b::1:192.0.2.1", NULL},
                  {"64:ff9b:1::192.0.2.1", "192.0.2.1"}, {"64:ff9b:1:ffff:8000:1:c000:201", "192.0.2.1"},
                  {"64:ff9b:2::192.0.2.1", NULL},        {"2002:c000:201::1", "192.0.2.1"},
                  {"2001:db8::192.0.2.1", NULL},         {"fe80::192.0.2.1", NULL}};

START_TEST(addresses_that_are_translated)
{
        Address address = {.family = AF_INET6};
        struct in_addr found = {0}, expected = {0};

        ck_assert_int_eq(inet_pton(AF_INET6, translated[_i].address, &address.v6), 1);
        ck_assert_int_eq(address_embedded(&address, &found), translated[_i].embedded != NULL);
        if (translated[_i].embedded)
                ck_assert_int_eq(inet_pton(AF_INET, translated[_i].embedded, &expected), 1);
        ck_assert_uint_eq(found.s_addr, expected.s_addr);
}
END_TEST

UNIT_SUITE("wire/address", UNIT_LOOP(addresses_that_are_translated, ELEMENTSOF(translated)),
           UNIT_LOOP(reply_sources_are_read, ELEMENTSOF(reply_sources)), UNIT_TEST(sixteen_reply_sources_at_most),
           UNIT_LOOP(good_listener, ELEMENTSOF(good_listeners)), UNIT_LOOP(bad_listener, ELEMENTSOF(bad_listeners)),
           UNIT_LOOP(good_endpoint, ELEMENTSOF(good_endpoints)), UNIT_LOOP(bad_endpoint, ELEMENTSOF(bad_endpoints)),
           UNIT_TEST(every_byte_in_every_place), UNIT_LOOP(honest_sources, ELEMENTSOF(sources)),
           UNIT_TEST(other_families_are_no_upstream), UNIT_TEST(equal_addresses), UNIT_TEST(formats),
           UNIT_LOOP(good_prefix_list, ELEMENTSOF(good_prefixes)), UNIT_TEST(the_longest_prefix_list),
           UNIT_LOOP(bad_prefix_list, ELEMENTSOF(bad_prefixes)), UNIT_TEST(addresses_in_a_prefix),
           UNIT_LOOP(port_range, ELEMENTSOF(port_ranges)), UNIT_LOOP(port_ranges_overlap, ELEMENTSOF(overlaps)))
