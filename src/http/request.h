/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a stranger wrote in a request, judged: the name by which we are asked for, and what follows the question mark.
 * Pure functions of the text: they are fuzzed.
 */
#include <stdbool.h>
#include <stddef.h>

#include "wire/address.h"

/* What was asked for. All zero: everything. */
typedef struct RequestQuery {
        Address listener; /* only the sessions of this one; family 0: of all */
        Address client;   /* likewise; port 0: from any port */
        bool limited;
        uint64_t limit;   /* if so: so many at most */
        uint32_t refresh; /* seconds, after which the page shall be loaded again by itself; 0: never */
        bool unknown;     /* there was a parameter that is none of these */
} RequestQuery;

/*
 * Is this Host an address, `localhost`, or one of the names (with blanks between them, in any case)? With or without a
 * port. Whoever rebinds a name's address has a browser send that name, which is none of these.
 */
bool request_host_is_ours(const char *names, const char *host, size_t length);

/*
 * Takes one parameter, unescaped; its name and value may hold any bytes, value NULL: there was no `=`. NULL, or what is
 * wrong with it: a line of text.
 */
const char *request_take(RequestQuery *query, const char *name, size_t name_length, const char *value, size_t length);
