/* SPDX-License-Identifier: MIT */
#include <sys/resource.h>

#include "daemon/limits.h"
#include "unit.h"

static const struct {
        const char *range;
        uint64_t sessions;
} ranges[] = {{"32768 60999", 14116}, {"1024 65535", 32256}, {"40000 40001", 1}, {"40000 40009", 5}};

START_TEST(half_of_the_ports)
{
        char command[128];

        if (!unit_own_network())
                return;
        (void)snprintf(command, sizeof(command), "echo %s > /proc/sys/net/ipv4/ip_local_port_range", ranges[_i].range);
        if (!unit_run(command))
                return; /* a network of one's own without the right to set it up */
        ck_assert_uint_eq(limits_default_sessions(), ranges[_i].sessions);
}
END_TEST

static struct rlimit before;

static void limit_files(rlim_t soft, rlim_t hard)
{
        const struct rlimit limit = {soft, hard};

        if (before.rlim_max == 0)
                ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Where that is allowed: whatever looks at the process when it ends wants to open files, too. */
static void restore_files(void)
{
        (void)setrlimit(RLIMIT_NOFILE, &before);
}

static const struct {
        rlim_t soft, hard;
        uint64_t sessions;
} files[] = {
                {1024, 1024, 960}, {256, 1024, 960}, {129, 129, 65}, {128, 128, 64},
                {40, 40, 20},      {10, 40, 20},     {4, 4, 2},      {0, 0, 0},
};

START_TEST(the_soft_limit_is_raised_and_some_is_left)
{
        struct rlimit limit;

        limit_files(files[_i].soft, files[_i].hard);
        ck_assert_uint_eq(limits_sessions_by_files(), files[_i].sessions);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        ck_assert_uint_eq(limit.rlim_cur, files[_i].hard);
        ck_assert_uint_eq(limit.rlim_max, files[_i].hard);
        ck_assert_uint_eq(limits_sessions_by_files(), files[_i].sessions);
        restore_files();
}
END_TEST

/* More descriptors never mean fewer sessions, and there is always something left for the rest. */
START_TEST(sessions_grow_with_the_limit)
{
        uint64_t last = UINT64_MAX;

        for (rlim_t n = 2000; n > 0; n--) {
                uint64_t sessions;

                limit_files(n, n);
                sessions = limits_sessions_by_files();
                ck_assert_uint_le(sessions, last);
                ck_assert_uint_lt(sessions, n);
                last = sessions;
        }
        restore_files();
}
END_TEST

START_TEST(without_descriptors_the_kernels_default_counts)
{
        limit_files(0, 0);
        ck_assert_uint_eq(limits_default_sessions(), 14116);
        restore_files();
}
END_TEST

UNIT_SUITE("daemon/limits", UNIT_LOOP(half_of_the_ports, ELEMENTSOF(ranges)),
           UNIT_LOOP(the_soft_limit_is_raised_and_some_is_left, ELEMENTSOF(files)),
           UNIT_TEST(sessions_grow_with_the_limit), UNIT_TEST(without_descriptors_the_kernels_default_counts))
