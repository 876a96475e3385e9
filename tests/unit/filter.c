/* SPDX-License-Identifier: MIT */
/* Who may come: by hand at the edges, and by lists drawn at random against the plain reading of them. */
#include <arpa/inet.h>
#include <stdio.h>

#include "relay/filter.h"
#include "unit.h"

enum { N_LISTS = 300, N_MAX = 12, N_ASKED = 200 };

static Network network(const char *text)
{
        const char *why = NULL;
        Network n;

        ck_assert_msg(network_parse(text, &n, &why) == 0, "%s: %s", text, why);
        return n;
}

/* Words with blanks between them. */
static size_t networks(const char *text, Network to[static N_MAX])
{
        char words[200], *rest = words;
        size_t n = 0;

        ck_assert_uint_lt(strlen(text), sizeof(words));
        for (char *word = (strcpy(words, text), NULL); (word = strsep(&rest, " "));)
                if (*word)
                        to[n++] = network(word);
        return n;
}

static bool allows(const char *allowed, const char *denied, const char *client)
{
        Network yes[N_MAX], no[N_MAX];
        size_t n_yes = networks(allowed, yes), n_no = networks(denied, no);
        _cleanup_(cleanup_filter_free) Filter *filter = NULL;

        ck_assert_int_eq(filter_new(&filter, n_yes > 0 ? yes : NULL, n_yes, no, n_no), 0);
        return filter_allows(filter, network(client).address);
}

static const struct {
        const char *allowed, *denied, *client;
        bool may;
} cases[] = {
                {"", "", "192.0.2.1", true},
                {"192.0.2.1", "", "192.0.2.1", true},
                {"192.0.2.1", "", "192.0.2.0", false},
                {"192.0.2.1", "", "192.0.2.2", false},
                {"192.0.2.0/24", "", "192.0.1.255", false},
                {"192.0.2.0/24", "", "192.0.2.0", true},
                {"192.0.2.0/24", "", "192.0.2.255", true},
                {"192.0.2.0/24", "", "192.0.3.0", false},
                {"", "192.0.2.0/24", "192.0.1.255", true},
                {"", "192.0.2.0/24", "192.0.2.0", false},
                {"", "192.0.2.0/24", "192.0.2.255", false},
                {"", "192.0.2.0/24", "192.0.3.0", true},
                {"192.0.2.0/24", "192.0.2.128/25", "192.0.2.127", true},
                {"192.0.2.0/24", "192.0.2.128/25", "192.0.2.128", false},
                {"192.0.2.128/25", "192.0.2.0/24", "192.0.2.128", false}, /* who is denied is, however narrow */
                {"192.0.2.0/24", "192.0.2.0/24", "192.0.2.7", false},
                {"0.0.0.0/0", "", "255.255.255.255", true},
                {"", "0.0.0.0/0", "0.0.0.0", false},
                {"", "255.255.255.255", "255.255.255.255", false},
                {"", "255.255.255.255", "255.255.255.254", true},
                {"", "0.0.0.0", "0.0.0.1", true},
                {"10.0.0.0/9 10.128.0.0/9", "", "10.127.255.255", true},
                {"10.0.0.0/9 10.128.0.0/9", "", "10.128.0.0", true},
                {"10.0.0.0/9 10.128.0.0/9", "", "11.0.0.0", false},
};

START_TEST(at_the_edges)
{
        ck_assert(allows(cases[_i].allowed, cases[_i].denied, cases[_i].client) == cases[_i].may);
}
END_TEST

static uint32_t draw(uint64_t *seed)
{
        *seed = *seed * 6364136223846793005U + 1442695040888963407U;
        return (uint32_t)(*seed >> 32);
}

/* In a small world, so that they meet: 192.0.2.0/27. */
static Network draw_network(uint64_t *seed)
{
        uint8_t length = (uint8_t)(26 + draw(seed) % 7);

        return (Network){.address.s_addr = htonl((0xc0000200 | draw(seed) % 64) &
                                                 (uint32_t)(0xffffffff00000000 >> length)),
                         .length = length};
}

static bool is_in(const Network *list, size_t n, uint32_t client)
{
        for (size_t i = 0; i < n; i++)
                if ((client ^ ntohl(list[i].address.s_addr)) >> (32 - list[i].length) == 0)
                        return true;
        return false;
}

START_TEST(any_lists)
{
        uint64_t seed = 1;

        for (unsigned round = 0; round < N_LISTS; round++) {
                Network yes[N_MAX], no[N_MAX];
                size_t n_yes = draw(&seed) % N_MAX, n_no = draw(&seed) % N_MAX;
                _cleanup_(cleanup_filter_free) Filter *filter = NULL, *again = NULL;

                for (size_t i = 0; i < n_yes; i++)
                        yes[i] = draw_network(&seed);
                for (size_t i = 0; i < n_no; i++)
                        no[i] = draw_network(&seed);
                ck_assert_int_eq(filter_new(&filter, n_yes > 0 ? yes : NULL, n_yes, no, n_no), 0);
                ck_assert_int_eq(filter_new(&again, n_yes > 0 ? yes : NULL, n_yes, no, n_no), 0);
                ck_assert(filter_equal(filter, again));
                for (uint32_t client = 0xc00001f0; client < 0xc00001f0 + N_ASKED; client++) {
                        bool may = (n_yes == 0 || is_in(yes, n_yes, client)) && !is_in(no, n_no, client);

                        ck_assert_msg(filter_allows(filter, (struct in_addr){htonl(client)}) == may, "round %u, %x",
                                      round, client);
                }
        }
}
END_TEST

START_TEST(equal_ones)
{
        const Network one = network("192.0.2.0/24"), halves[] = {network("192.0.2.128/25"), network("192.0.2.0/25")};
        _cleanup_(cleanup_filter_free) Filter *whole = NULL, *parts = NULL, *none = NULL, *without = NULL,
                                              *nobody = NULL;

        ck_assert_int_eq(filter_new(&whole, &one, 1, NULL, 0), 0);
        ck_assert_int_eq(filter_new(&parts, halves, 2, NULL, 0), 0);
        ck_assert_int_eq(filter_new(&none, NULL, 0, NULL, 0), 0);
        ck_assert_int_eq(filter_new(&without, NULL, 0, &one, 1), 0);
        ck_assert_ptr_null(none);
        ck_assert(filter_equal(whole, parts));
        ck_assert(filter_equal(none, NULL));
        ck_assert(!filter_equal(whole, none));
        ck_assert(!filter_equal(whole, without));
        ck_assert_int_eq(filter_new(&nobody, &one, 0, NULL, 0), 0);
        ck_assert(!filter_equal(nobody, NULL));
        ck_assert(!filter_allows(nobody, one.address));
}
END_TEST

static const struct {
        const char *text, *problem;
} bad[] = {{"", "IPv4"},
           {"192.0.2", "IPv4"},
           {"2001:db8::1", "IPv4"},
           {"192.0.2.1.1.1.1.1.1.1", "IPv4"},
           {"home.example", "IPv4"},
           {"192.0.2.0/", "length"},
           {"192.0.2.0/33", "length"},
           {"192.0.2.0/024", "length"},
           {"192.0.2.0/-1", "length"},
           {"192.0.2.0/2x", "length"},
           {"192.0.2.1/24", "not zero"},
           {"1.0.0.0/0", "not zero"}};

START_TEST(what_is_no_network)
{
        const char *why = NULL;
        Network n;

        ck_assert_int_eq(network_parse(bad[_i].text, &n, &why), -EINVAL);
        ck_assert_msg(strstr(why, bad[_i].problem), "%s: %s", bad[_i].text, why);
}
END_TEST

static const char *const good[] = {"192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "255.255.255.255", "255.255.255.254/31"};

START_TEST(what_is_one)
{
        char text[NETWORK_TEXT_MAX];
        Network n = network(good[_i]);

        ck_assert_str_eq(network_format(text, &n), good[_i]);
}
END_TEST

UNIT_SUITE("relay/filter", UNIT_LOOP(at_the_edges, ELEMENTSOF(cases)), UNIT_TEST(any_lists), UNIT_TEST(equal_ones),
           UNIT_LOOP(what_is_no_network, ELEMENTSOF(bad)), UNIT_LOOP(what_is_one, ELEMENTSOF(good)))
