/* SPDX-License-Identifier: MIT */
/* Believes: a relay that takes the last port or descriptor of its host has failed, however many sessions it carries. */
#include <stdio.h>
#include <sys/resource.h>

#include "daemon/limits.h"

enum { FALLBACK_SESSIONS = (60999 - 32768 + 1) / 2 };

uint64_t limits_default_sessions(void)
{
        FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
        unsigned low, high;
        int n = 0;

        if (file) {
                n = fscanf(file, "%u %u", &low, &high);
                (void)fclose(file);
        }
        return n == 2 && high > low ? (high - low + 1) / 2 : FALLBACK_SESSIONS;
}

bool limits_trains_are_safe(const char *release)
{
        unsigned major, minor, patch = 0;

        if (sscanf(release, "%u.%u.%u", &major, &minor, &patch) < 2 || major != 7)
                return true;
        return minor > 1 || (minor == 1 && patch > 4);
}

uint64_t limits_sessions_by_files(void)
{
        struct rlimit files;

        if (getrlimit(RLIMIT_NOFILE, &files) < 0)
                return FALLBACK_SESSIONS;
        if (files.rlim_cur < files.rlim_max) {
                files.rlim_cur = files.rlim_max;
                if (setrlimit(RLIMIT_NOFILE, &files) < 0 && getrlimit(RLIMIT_NOFILE, &files) < 0)
                        return FALLBACK_SESSIONS;
        }
        return files.rlim_cur > 2 * LIMITS_FILES_RESERVED ? files.rlim_cur - LIMITS_FILES_RESERVED : files.rlim_cur / 2;
}
