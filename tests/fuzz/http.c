/* SPDX-License-Identifier: MIT */
/*
 * What a stranger may write: the Host and the parameters. The input is lines: the names that are ours, the Host, and
 * then one parameter each, `name=value` or `name`, with any bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "http/request.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void expect(bool true_always)
{
        if (!true_always)
                abort();
}

/* One that is ours is made of nothing but what names and addresses are made of, and says so of its own port, too. */
static void check_host(const char *names, const char *host, size_t length)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:[]";
        char longer[512];

        if (!request_host_is_ours(names, host, length))
                return;
        expect(length > 0);
        if (*names)
                return; /* they may be any */
        for (size_t i = 0; i < length; i++)
                expect(host[i] && strchr(allowed, host[i]));
        if (length + sizeof(".evil.example") > sizeof(longer))
                return;
        memcpy(longer, host, length);
        memcpy(longer + length, ".evil.example", sizeof(".evil.example"));
        expect(!request_host_is_ours(names, longer, strlen(longer)));
}

static void check_parameter(RequestQuery *query, const char *line, size_t length)
{
        const char *equals = memchr(line, '=', length);
        size_t n = equals ? (size_t)(equals - line) : length;
        const RequestQuery before = *query;
        const char *problem = request_take(query, line, n, equals ? equals + 1 : NULL, equals ? length - n - 1 : 0);

        if (problem) {
                expect(problem[strlen(problem) - 1] == '\n' && strchr(problem, '\n') == problem + strlen(problem) - 1);
                expect(query->limited == before.limited && query->limit == before.limit);
                expect(address_equal(&query->client, &before.client));
                expect(address_equal(&query->listener, &before.listener));
        }
        expect(query->client.family == 0 || query->client.family == AF_INET);
        expect(query->listener.family == 0 || query->listener.port > 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
        const char *at = (const char *)data, *end = at + size;
        char names[256] = "";
        RequestQuery query = {0};

        for (unsigned line = 0; at < end; line++) {
                const char *stop = memchr(at, '\n', (size_t)(end - at));
                size_t length = (size_t)((stop ? stop : end) - at);
                char *copy = malloc(length > 0 ? length : 1); /* nothing behind it may be read */

                expect(copy);
                memcpy(copy, at, length);
                if (line == 0 && length < sizeof(names) && !memchr(copy, '\0', length))
                        memcpy(names, copy, length);
                else if (line == 1)
                        check_host(names, copy, length);
                else if (line > 1)
                        check_parameter(&query, copy, length);
                free(copy);
                at = stop ? stop + 1 : end;
        }
        return 0;
}
