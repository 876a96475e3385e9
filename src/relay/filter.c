/* SPDX-License-Identifier: MIT */
/* Believes: a list of ranges that neither touch nor overlap is the simplest thing that can be asked quickly. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "relay/filter.h"

typedef struct Range {
        uint32_t first, last; /* host byte order */
} Range;

struct Filter {
        size_t n;
        Range ranges[]; /* what is allowed, in order */
};

static Range range_of(const Network *network)
{
        const uint32_t first = ntohl(network->address.s_addr),
                       size = network->length < 32 ? UINT32_MAX >> network->length : 0;

        return (Range){first, first + size};
}

static int compare(const void *a, const void *b)
{
        const Range *one = a, *other = b;

        return one->first < other->first ? -1 : one->first > other->first;
}

/* In order, without overlaps; *ret_n of them, to be freed. NULL: no memory. */
static Range *ranges_of(const Network *networks, size_t n, size_t *ret_n)
{
        Range *ranges = calloc(n + 1, sizeof(Range));
        size_t done = 0;

        for (size_t i = 0; ranges && i < n; i++)
                ranges[i] = range_of(&networks[i]);
        if (!ranges)
                return NULL;
        qsort(ranges, n, sizeof(Range), compare);
        for (size_t i = 0; i < n; i++)
                if (done > 0 && (ranges[done - 1].last == UINT32_MAX || ranges[i].first <= ranges[done - 1].last + 1)) {
                        if (ranges[i].last > ranges[done - 1].last)
                                ranges[done - 1].last = ranges[i].last;
                } else
                        ranges[done++] = ranges[i];
        *ret_n = done;
        return ranges;
}

/* What of the range is not on the list, whose first *i end before it. */
static void add_without(Filter *filter, Range range, const Range *denied, size_t n_denied, size_t *i)
{
        while (*i < n_denied && denied[*i].last < range.first)
                (*i)++;
        for (size_t k = *i; k < n_denied && denied[k].first <= range.last; k++) {
                if (denied[k].first > range.first)
                        filter->ranges[filter->n++] = (Range){range.first, denied[k].first - 1};
                if (denied[k].last >= range.last)
                        return;
                range.first = denied[k].last + 1;
        }
        filter->ranges[filter->n++] = range;
}

int filter_new(Filter **ret, const Network *allowed, size_t n_allowed, const Network *denied, size_t n_denied)
{
        static const Network everybody;
        _cleanup_(cleanup_filter_free) Filter *filter = NULL;
        _cleanup_free_ Range *yes = NULL, *no = NULL;
        size_t n_yes = 0, n_no = 0, at = 0;

        *ret = NULL;
        if (!allowed && n_denied == 0)
                return 0;
        yes = allowed ? ranges_of(allowed, n_allowed, &n_yes) : ranges_of(&everybody, 1, &n_yes);
        no = ranges_of(denied, n_denied, &n_no);
        if (!yes || !no)
                return -ENOMEM;
        filter = calloc(1, sizeof(Filter) + (n_yes + n_no) * sizeof(Range)); /* each denied one may cut one in two */
        if (!filter)
                return -ENOMEM;
        for (size_t i = 0; i < n_yes; i++)
                add_without(filter, yes[i], no, n_no, &at);
        *ret = TAKE_PTR(filter);
        return 0;
}

Filter *filter_free(Filter *filter)
{
        free(filter);
        return NULL;
}

int filter_copy(Filter **ret, const Filter *filter)
{
        const size_t size = filter ? sizeof(Filter) + filter->n * sizeof(Range) : 0;

        *ret = filter ? malloc(size) : NULL;
        if (filter && !*ret)
                return -ENOMEM;
        if (filter)
                memcpy(*ret, filter, size);
        return 0;
}

bool filter_allows(const Filter *filter, struct in_addr client)
{
        const uint32_t address = ntohl(client.s_addr);
        size_t low = 0, high = filter ? filter->n : 0;

        while (low < high) { /* the first range that does not end before it */
                size_t middle = low + (high - low) / 2;

                if (filter->ranges[middle].last < address)
                        low = middle + 1;
                else
                        high = middle;
        }
        return !filter || (low < filter->n && filter->ranges[low].first <= address);
}

bool filter_equal(const Filter *a, const Filter *b)
{
        if (!a || !b)
                return a == b;
        return a->n == b->n && memcmp(a->ranges, b->ranges, a->n * sizeof(Range)) == 0;
}
