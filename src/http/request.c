/* SPDX-License-Identifier: MIT */
/*
 * Believes: a filter that is not understood must not become no filter. Refuses: to guess; no name resolved, no
 * abbreviation, nothing behind the end of what it reads.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "http/request.h"

/* The bytes as a string; false: they do not fit or are none. */
static bool to_text(char *text, size_t size, const char *bytes, size_t length)
{
        if (length >= size || (length > 0 && memchr(bytes, '\0', length)))
                return false;
        if (length > 0) /* nothing may be nowhere */
                memcpy(text, bytes, length);
        text[length] = '\0';
        return true;
}

static bool are_digits(const char *bytes, size_t length)
{
        for (size_t i = 0; i < length; i++)
                if (bytes[i] < '0' || bytes[i] > '9')
                        return false;
        return length > 0;
}

/* --- Host --- */

static bool is_listed(const char *names, const char *word, size_t length)
{
        for (const char *p = names + strspn(names, " \t"); *p; p += strspn(p, " \t")) {
                size_t n = strcspn(p, " \t");

                if (n == length && strncasecmp(p, word, n) == 0)
                        return true;
                p += n;
        }
        return false;
}

static bool is_address(int family, const char *bytes, size_t length)
{
        char text[INET6_ADDRSTRLEN];
        struct in6_addr address;

        return to_text(text, sizeof(text), bytes, length) && inet_pton(family, text, &address) == 1;
}

bool request_host_is_ours(const char *names, const char *host, size_t length)
{
        enum { PORT_DIGITS = 5 };
        bool bracketed = length > 0 && *host == '[';
        const char *end = length > 0 ? memchr(host, bracketed ? ']' : ':', length) : NULL;
        size_t n = end ? (size_t)(end - host) : length, rest;

        if (bracketed && !end)
                return false;
        rest = length - n - bracketed;
        if (rest > 0 &&
            (host[length - rest] != ':' || rest > 1 + PORT_DIGITS || !are_digits(host + length - rest + 1, rest - 1)))
                return false;
        if (bracketed)
                return is_address(AF_INET6, host + 1, n - 1);
        return is_listed("localhost", host, n) || is_listed(names, host, n) || is_address(AF_INET, host, n);
}

/* --- parameters --- */

static const char *take_listener(RequestQuery *query, const char *value, size_t length)
{
        char text[ADDRESS_TEXT_MAX];
        const char *why;

        if (query->listener.family != 0)
                return "listener: given twice\n";
        if (!value || !to_text(text, sizeof(text), value, length) ||
            address_parse_listener(text, &query->listener, &why) < 0)
                return "listener: expected an address and a port like 192.0.2.1:51820\n";
        return NULL;
}

static const char *take_client(RequestQuery *query, const char *value, size_t length)
{
        static const char expected[] = "client: expected an address like 192.0.2.10 or 192.0.2.10:62000\n";
        char text[ADDRESS_TEXT_MAX];
        Address client = {.family = AF_INET};
        const char *why;

        if (query->client.family != 0)
                return "client: given twice\n";
        if (!value || !to_text(text, sizeof(text), value, length))
                return expected;
        if (inet_pton(AF_INET, text, &client.v4) != 1 && address_parse_listener(text, &client, &why) < 0)
                return expected;
        query->client = client;
        return NULL;
}

/* false: it is none, or none that fits. */
static bool to_number(uint64_t *ret, const char *value, size_t length)
{
        char text[20]; /* 19 digits fit into 64 bits */

        if (!value || !are_digits(value, length) || !to_text(text, sizeof(text), value, length))
                return false;
        *ret = strtoull(text, NULL, 10);
        return true;
}

static const char *take_limit(RequestQuery *query, const char *value, size_t length)
{
        if (query->limited)
                return "limit: given twice\n";
        if (!to_number(&query->limit, value, length))
                return "limit: expected a number of at most 19 digits\n";
        query->limited = true;
        return NULL;
}

static const char *take_refresh(RequestQuery *query, const char *value, size_t length)
{
        enum { SOONEST = 5, LATEST = 3600 };
        uint64_t seconds;

        if (query->refresh > 0)
                return "refresh: given twice\n";
        if (!to_number(&seconds, value, length) || seconds < SOONEST || seconds > LATEST)
                return "refresh: expected a number of seconds from 5 to 3600\n";
        query->refresh = (uint32_t)seconds;
        return NULL;
}

const char *request_take(RequestQuery *query, const char *name, size_t name_length, const char *value, size_t length)
{
        static const struct {
                const char *name;
                const char *(*take)(RequestQuery *query, const char *value, size_t length);
        } parameters[] = {{"listener", take_listener},
                          {"client", take_client},
                          {"limit", take_limit},
                          {"refresh", take_refresh}};

        for (size_t i = 0; i < ELEMENTSOF(parameters); i++)
                if (strlen(parameters[i].name) == name_length && memcmp(parameters[i].name, name, name_length) == 0)
                        return parameters[i].take(query, value, length);
        query->unknown = true;
        return NULL;
}
