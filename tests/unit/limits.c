/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/limits.h"
#include "unit.h"

static const struct {
        PortRange host, reserved, sources;
        uint64_t sessions;
} ranges[] = {
                {{32768, 60999}, {32768, 34531}, {46884, 60999}, 14116},
                {{1024, 65535}, {1024, 5055}, {33280, 65535}, 32256},
                {{40000, 40001}, {40000, 40000}, {40001, 40001}, 1},
                {{40000, 40002}, {40000, 40000}, {40001, 40002}, 1},
                {{40000, 40009}, {40000, 40000}, {40005, 40009}, 5},
                {{40000, 40031}, {40000, 40001}, {40016, 40031}, 16},
                {{65520, 65535}, {65520, 65520}, {65528, 65535}, 8},
};

static void check_range(const PortRange *got, const PortRange *expected)
{
        ck_assert_uint_eq(got->low, expected->low);
        ck_assert_uint_eq(got->high, expected->high);
}

/* The first sixteenth is the host's alone; half of all are enough by default; the upper half is for own addresses. */
START_TEST(the_hosts_ports_are_divided)
{
        const PortRange host = ranges[_i].host, reserved = limits_reserved_ports(host),
                        sources = limits_source_ports(host);
        PortRange read;

        check_range(&reserved, &ranges[_i].reserved);
        check_range(&sources, &ranges[_i].sources);
        ck_assert_uint_eq(port_range_overlap(&reserved, &sources), 0);
        if (!unit_own_network() || !unit_own_ports(host.low, host.high))
                return;
        read = limits_host_ports();
        check_range(&read, &host);
        ck_assert_uint_eq(limits_default_sessions(), ranges[_i].sessions);
}
END_TEST

static void limit_files(rlim_t soft, rlim_t hard)
{
        const struct rlimit limit = {soft, hard};

        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* A lowered limit cannot be raised again, and the end of a test may want to open files: a process for it alone. */
static void in_a_process(void (*test)(int), int i)
{
        pid_t pid = fork();
        int status;

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                test(i);
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
}

/* Slots of this process's table of descriptors, as proc(5) says. */
static unsigned table_size(void)
{
        FILE *file = fopen("/proc/self/status", "re");
        unsigned n = 0;
        char line[200];

        ck_assert_ptr_nonnull(file);
        while (n == 0 && fgets(line, sizeof(line), file))
                (void)sscanf(line, "FDSize: %u", &n);
        (void)fclose(file);
        return n;
}

static const struct {
        rlim_t files;
        uint64_t sessions;
        unsigned at_least, at_most;
} expectations[] = {{5000, 3000, 3001, 4096}, {5000, 1000000, 4684, 8192}, {100, 1000000, 51, 256}};

static void check_table(int i)
{
        int next = dup(STDERR_FILENO);

        (void)close(next);
        limit_files(expectations[i].files, expectations[i].files);
        limits_expect_sessions(expectations[i].sessions);
        ck_assert_uint_ge(table_size(), expectations[i].at_least);
        ck_assert_uint_le(table_size(), expectations[i].at_most);
        ck_assert_int_eq(dup(STDERR_FILENO), next); /* nothing was left open */
}

START_TEST(the_table_of_descriptors_is_made_once)
{
        in_a_process(check_table, _i);
}
END_TEST

static const struct {
        rlim_t soft, hard;
        uint64_t sessions;
} files[] = {
                {1024, 1024, 707}, {256, 1024, 707}, {635, 635, 318}, {634, 634, 317}, {128, 128, 64},
                {40, 40, 20},      {10, 40, 20},     {4, 4, 2},       {0, 0, 0},
};

static void check_limit(int i)
{
        struct rlimit limit;

        limit_files(files[i].soft, files[i].hard);
        ck_assert_uint_eq(limits_sessions_by_files(), files[i].sessions);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        ck_assert_uint_eq(limit.rlim_cur, files[i].hard);
        ck_assert_uint_eq(limit.rlim_max, files[i].hard);
        ck_assert_uint_eq(limits_sessions_by_files(), files[i].sessions);
}

START_TEST(the_soft_limit_is_raised_and_some_is_left)
{
        in_a_process(check_limit, _i);
}
END_TEST

static void check_growth(int i)
{
        uint64_t last = UINT64_MAX;

        (void)i;
        for (rlim_t n = 2000; n > 0; n--) {
                uint64_t sessions;

                limit_files(n, n);
                sessions = limits_sessions_by_files();
                ck_assert_uint_le(sessions, last);
                ck_assert_uint_lt(sessions, n);
                last = sessions;
        }
}

/* More descriptors never mean fewer sessions, and there is always something left for the rest. */
START_TEST(sessions_grow_with_the_limit)
{
        in_a_process(check_growth, 0);
}
END_TEST

static void check_default(int i)
{
        (void)i;
        limit_files(0, 0);
        ck_assert_uint_eq(limits_default_sessions(), 14116);
}

START_TEST(without_descriptors_the_kernels_default_counts)
{
        in_a_process(check_default, 0);
}
END_TEST

static const struct {
        const char *release;
        bool safe;
} kernels[] = {
                {"5.10.0-30-amd64", true}, {"6.18.44", true}, {"6.1.0", true}, {"7.0.0", false}, {"7.0.12-rc1", false},
                {"7.1.4-1", false},        {"7.1.5", true},   {"7.2.0", true}, {"7.1", false},   {"8.0.0", true},
                {"70.1.0", true},          {"", true},        {"linux", true},
};

START_TEST(kernels_that_damage_trains_are_known)
{
        ck_assert_int_eq(limits_trains_are_safe(kernels[_i].release), kernels[_i].safe);
}
END_TEST

UNIT_SUITE("daemon/limits", UNIT_LOOP(the_hosts_ports_are_divided, ELEMENTSOF(ranges)),
           UNIT_LOOP(the_soft_limit_is_raised_and_some_is_left, ELEMENTSOF(files)),
           UNIT_TEST(sessions_grow_with_the_limit), UNIT_TEST(without_descriptors_the_kernels_default_counts),
           UNIT_LOOP(the_table_of_descriptors_is_made_once, ELEMENTSOF(expectations)),
           UNIT_LOOP(kernels_that_damage_trains_are_known, ELEMENTSOF(kernels)))
