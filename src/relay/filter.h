/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Who may come: IPv4 addresses, as the ranges that are allowed. Made once of what a person wrote, then only read.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "wire/address.h"

typedef struct Filter Filter;

/*
 * Those on `allowed` (NULL: everybody) who are not on `denied`. *ret NULL: everybody may come. 0 or -ENOMEM.
 */
int filter_new(Filter **ret, const Network *allowed, size_t n_allowed, const Network *denied, size_t n_denied);
Filter *filter_free(Filter *filter);
DEFINE_CLEANUP(Filter, filter_free)

/* Another one that decides alike; of NULL: NULL. 0 or -ENOMEM. */
int filter_copy(Filter **ret, const Filter *filter);

/* O(log n). Takes NULL. */
bool filter_allows(const Filter *filter, struct in_addr client);

/* Would both decide alike? Take NULL. */
bool filter_equal(const Filter *a, const Filter *b);
