/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>

#include "http/request.h"
#include "unit.h"

#define NAMES "relay.example \t Other-Name.example"

static const struct {
        const char *host;
        bool ours;
} hosts[] = {
                {"localhost", true},
                {"LOCALHOST:1", true},
                {"127.0.0.1", true},
                {"192.0.2.1:65535", true},
                {"[::1]", true},
                {"[2001:db8::1]:9108", true},
                {"relay.example", true},
                {"RELAY.EXAMPLE:80", true},
                {"other-name.example", true},
                {"", false},
                {" ", false},
                {":", false},
                {":80", false},
                {"[", false},
                {"[]", false},
                {"[::1", false},
                {"[::1]x", false},
                {"[::1]:", false},
                {"[::1]:x", false},
                {"[::1].evil.example", false},
                {"[127.0.0.1]", false},
                {"::1", false},
                {"localhost.", false},
                {"localhost:", false},
                {"localhost:123456", false},
                {"localhost:80:80", false},
                {"localhost.evil.example", false},
                {"127.0.0.1.evil.example", false},
                {"127.0.0.1:80@evil.example", false},
                {"user@127.0.0.1", false},
                {"127.1", false},
                {"127.0.0.01", false},
                {"relay", false},
                {"relay.example.", false},
                {"relay.example other-name.example", false},
                {"example", false},
};

START_TEST(a_host_is_ours_or_not)
{
        const char *host = hosts[_i].host;

        ck_assert_msg(request_host_is_ours(NAMES, host, strlen(host)) == hosts[_i].ours, "%s", host);
        if (hosts[_i].ours) /* not with something behind it, not even a NUL byte */
                ck_assert(!request_host_is_ours(NAMES, host, strlen(host) + 1));
}
END_TEST

/* Blanks around the names list no empty one. */
START_TEST(names_may_have_blanks_around_them)
{
        ck_assert(request_host_is_ours("  a  b  ", "b", 1));
        ck_assert(!request_host_is_ours("  a  b  ", "", 0));
        ck_assert(!request_host_is_ours("", "", 0));
        ck_assert(!request_host_is_ours("aa", "a", 1));
        ck_assert(!request_host_is_ours("a", "aa", 2));
}
END_TEST

static const char *take(RequestQuery *query, const char *name, const char *value)
{
        return request_take(query, name, strlen(name), value, value ? strlen(value) : 0);
}

static const struct {
        const char *name, *value;
        bool good;
} parameters[] = {
                {"limit", "0", true},
                {"limit", "007", true},
                {"limit", "9999999999999999999", true},
                {"limit", "99999999999999999999", false},
                {"limit", "", false},
                {"limit", NULL, false},
                {"limit", "-1", false},
                {"limit", "1 ", false},
                {"client", "192.0.2.10", true},
                {"client", "192.0.2.10:62000", true},
                {"client", "192.0.2.10:0", false},
                {"client", "192.0.2.10:", false},
                {"client", "192.0.2", false},
                {"client", "[2001:db8::1]:1", false},
                {"client", "", false},
                {"client", NULL, false},
                {"listener", "0.0.0.0:51820", true},
                {"listener", "192.0.2.1", false},
                {"listener", "", false},
                {"listener", NULL, false},
                {"refresh", "5", true},
                {"refresh", "3600", true},
                {"refresh", "4", false},
                {"refresh", "3601", false},
                {"refresh", "x", false},
                {"refresh", NULL, false},
                {"LIMIT", "x", true},
                {"", "x", true},
                {"", NULL, true},
                {"limits", "x", true},
};

START_TEST(a_parameter_is_taken_or_refused)
{
        RequestQuery query = {0};
        const char *problem = take(&query, parameters[_i].name, parameters[_i].value);

        ck_assert_msg(!problem == parameters[_i].good, "%s=%s", parameters[_i].name, parameters[_i].value);
        if (!problem)
                return;
        ck_assert_uint_eq(unit_count_lines(problem), 1);
        ck_assert_int_eq(strncmp(problem, parameters[_i].name, strlen(parameters[_i].name)), 0);
        ck_assert(query.listener.family == 0 && query.client.family == 0 && !query.limited);
}
END_TEST

START_TEST(all_of_them_together)
{
        RequestQuery query = {0};

        ck_assert_ptr_null(take(&query, "limit", "7"));
        ck_assert_ptr_null(take(&query, "client", "192.0.2.10"));
        ck_assert_ptr_null(take(&query, "listener", "192.0.2.1:51820"));
        ck_assert(query.limited && query.limit == 7);
        ck_assert(query.client.port == 0 && query.client.v4.s_addr == inet_addr("192.0.2.10"));
        ck_assert(query.listener.port == 51820 && query.listener.v4.s_addr == inet_addr("192.0.2.1"));
        ck_assert(!query.unknown);
        ck_assert_ptr_null(take(&query, "clinet", "192.0.2.10"));
        ck_assert(query.unknown);
        ck_assert_ptr_nonnull(take(&query, "limit", "7"));
        ck_assert_ptr_nonnull(take(&query, "client", "192.0.2.10"));
        ck_assert_ptr_nonnull(take(&query, "listener", "192.0.2.1:51820"));
}
END_TEST

START_TEST(no_byte_is_lost)
{
        RequestQuery query = {0};

        ck_assert_ptr_nonnull(request_take(&query, "limit", 5, "1\0002", 3));
        ck_assert_ptr_nonnull(request_take(&query, "client", 6, "192.0.2.10\0x", 12));
        ck_assert_ptr_null(request_take(&query, "limit\0", 6, "x", 1)); /* another name */
        ck_assert(!query.limited && query.client.family == 0);
}
END_TEST

UNIT_SUITE("http/request", UNIT_LOOP(a_host_is_ours_or_not, ELEMENTSOF(hosts)),
           UNIT_TEST(names_may_have_blanks_around_them),
           UNIT_LOOP(a_parameter_is_taken_or_refused, ELEMENTSOF(parameters)), UNIT_TEST(all_of_them_together),
           UNIT_TEST(no_byte_is_lost))
