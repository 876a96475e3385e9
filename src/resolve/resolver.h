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

/* Of a name with more addresses than these the first ones are taken. */
enum { RESOLVER_ADDRESSES_MAX = 16 };

typedef struct ResolverAnswer {
        unsigned id;
        uint64_t serial;
        const char *why; /* NULL: there are addresses. Else a static phrase, */
        Address refused; /* and the address that it refuses, if there is one */
        unsigned n;
        Address addresses[RESOLVER_ADDRESSES_MAX]; /* the usable ones, in the order of getaddrinfo() */
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

/* Of a good answer: `current` as long as it is in it, whatever the order; else the first. */
const Address *resolver_choose(const ResolverAnswer *answer, const Address *current);
