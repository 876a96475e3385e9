/* SPDX-License-Identifier: MIT */
/*
 * Believes: CLOCK_MONOTONIC cannot fail, and costs a few nanoseconds (vDSO). Refuses: spans with a sign, an unknown
 * unit or nothing in them; they are somebody's typing mistake, and a guess would be applied to live traffic.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"

usec_t clock_monotonic(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

/* The first spelling of each size is the one that usec_format() writes; sizes fall from row to row. */
static const struct {
        const char *name;
        usec_t size;
} units[] = {
                {"d", USEC_PER_DAY},
                {"day", USEC_PER_DAY},
                {"days", USEC_PER_DAY},
                {"h", USEC_PER_HOUR},
                {"hr", USEC_PER_HOUR},
                {"hour", USEC_PER_HOUR},
                {"hours", USEC_PER_HOUR},
                {"min", USEC_PER_MINUTE},
                {"m", USEC_PER_MINUTE},
                {"minute", USEC_PER_MINUTE},
                {"minutes", USEC_PER_MINUTE},
                {"s", USEC_PER_SEC},
                {"sec", USEC_PER_SEC},
                {"second", USEC_PER_SEC},
                {"seconds", USEC_PER_SEC},
                {"ms", USEC_PER_MSEC},
                {"msec", USEC_PER_MSEC},
                {"us", 1},
                {"usec", 1},
};

static int unit_size(const char *name, size_t length, usec_t *ret)
{
        if (length == 0) { /* a bare number is seconds */
                *ret = USEC_PER_SEC;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (strlen(units[i].name) == length && memcmp(units[i].name, name, length) == 0) {
                        *ret = units[i].size;
                        return 0;
                }
        return -EINVAL;
}

/* One `12.5` in front of a unit, as whole and millionths. */
static int number_parse(const char **p, usec_t *ret_whole, usec_t *ret_millionths)
{
        usec_t whole = 0, millionths = 0;
        const char *start = *p;

        for (; isdigit((unsigned char)**p); (*p)++)
                if (__builtin_mul_overflow(whole, (usec_t)10, &whole) ||
                    __builtin_add_overflow(whole, (usec_t)(**p - '0'), &whole))
                        return -ERANGE;
        if (*p == start)
                return -EINVAL;
        if (**p == '.') {
                const char *point = ++*p;

                for (usec_t scale = USEC_PER_SEC / 10; isdigit((unsigned char)**p); (*p)++, scale /= 10)
                        millionths += scale * (usec_t)(**p - '0');
                if (*p == point)
                        return -EINVAL;
        }
        *ret_whole = whole;
        *ret_millionths = millionths;
        return 0;
}

int usec_parse(const char *text, usec_t *ret)
{
        const char *p = text + strspn(text, " \t");
        usec_t sum = 0;

        if (!*p)
                return -EINVAL;
        while (*p) {
                usec_t whole, millionths, size, part;
                size_t length;
                int r;

                r = number_parse(&p, &whole, &millionths);
                if (r < 0)
                        return r;
                p += strspn(p, " \t");
                for (length = 0; isalpha((unsigned char)p[length]); length++)
                        ;
                r = unit_size(p, length, &size);
                if (r < 0)
                        return r;
                p += length;
                p += strspn(p, " \t");
                if (__builtin_mul_overflow(whole, size, &part) ||
                    __builtin_add_overflow(part, millionths * size / USEC_PER_SEC, &part) ||
                    __builtin_add_overflow(sum, part, &sum))
                        return -ERANGE;
        }
        *ret = sum;
        return 0;
}

const char *usec_format(char buffer[static USEC_FORMAT_MAX], usec_t t)
{
        size_t used = 0;
        usec_t last = USEC_NEVER;

        if (t == 0)
                return strcpy(buffer, "0s");
        for (size_t i = 0; i < ELEMENTSOF(units) && t > 0; i++) {
                usec_t n = t / units[i].size;

                if (units[i].size == last || n == 0)
                        continue;
                last = units[i].size;
                used += (size_t)snprintf(buffer + used, USEC_FORMAT_MAX - used, "%s%" PRIu64 "%s", used ? " " : "", n,
                                         units[i].name);
                t -= n * units[i].size;
        }
        return buffer;
}
