/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The resolver thread: getaddrinfo() may block there as long as it likes. Questions go in and answers come out by
 * mailbox; an answer bears its question's `id` and `serial`, so that whoever asked can tell an outdated one.
 */
#include <stdbool.h>

#include "base/cleanup.h"
#include "wire/address.h"

typedef struct Resolver Resolver;

typedef struct ResolverQuestion {
        unsigned id;
        uint64_t serial;
        Endpoint endpoint;
} ResolverQuestion;

typedef struct ResolverAnswer {
        unsigned id;
        uint64_t serial;
        const char *why; /* NULL: `address` is good. Else a static phrase; `address` is what it refuses, if there is one
                          */
        Address address;
} ResolverAnswer;

/* Starts the thread. 0 or negative errno. */
int resolver_new(Resolver **ret);
/* Ends the thread; one that is stuck in a query is left to the end of the process. */
Resolver *resolver_free(Resolver *resolver);
DEFINE_CLEANUP(Resolver, resolver_free)

/* false: too many questions are open. */
bool resolver_ask(Resolver *resolver, const ResolverQuestion *question);

/* Readable when there are answers: resolver_quiet(), then take until false. */
int resolver_get_fd(const Resolver *resolver);
void resolver_quiet(Resolver *resolver);
bool resolver_take(Resolver *resolver, ResolverAnswer *ret);

/* The query itself, in the caller's thread; blocks. */
void resolver_query(const Endpoint *endpoint, ResolverAnswer *ret);
