/* SPDX-License-Identifier: MIT */
/* Believes: a relay that takes the last port or descriptor of its host has failed, however many sessions it carries. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "daemon/limits.h"

enum { FALLBACK_LOW = 32768, FALLBACK_HIGH = 60999, RESERVED_PART = 16 };

PortRange limits_host_ports(void)
{
        FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
        PortRange range;
        int n = 0;

        if (file) {
                n = fscanf(file, "%" SCNu16 " %" SCNu16, &range.low, &range.high);
                (void)fclose(file);
        }
        return n == 2 && range.high > range.low ? range : (PortRange){FALLBACK_LOW, FALLBACK_HIGH};
}

PortRange limits_reserved_ports(PortRange host)
{
        unsigned n = port_range_size(&host) / RESERVED_PART;

        return (PortRange){host.low, (uint16_t)(host.low + (n > 0 ? n - 1 : 0))};
}

PortRange limits_source_ports(PortRange host)
{
        return (PortRange){(uint16_t)(host.low + port_range_size(&host) / 2), host.high};
}

uint64_t limits_default_sessions(void)
{
        const PortRange host = limits_host_ports();

        return port_range_size(&host) / 2;
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
                return limits_default_sessions();
        if (files.rlim_cur < files.rlim_max) {
                files.rlim_cur = files.rlim_max;
                if (setrlimit(RLIMIT_NOFILE, &files) < 0 && getrlimit(RLIMIT_NOFILE, &files) < 0)
                        return limits_default_sessions();
        }
        return files.rlim_cur > 2 * LIMITS_FILES_RESERVED ? files.rlim_cur - LIMITS_FILES_RESERVED : files.rlim_cur / 2;
}

void limits_expect_sessions(uint64_t n)
{
        enum { EXPECTED_MAX = 65536 }; /* 0.5 MB of the kernel's memory */
        const uint64_t by_files = limits_sessions_by_files();
        int fd = eventfd(0, EFD_CLOEXEC);

        n = n < by_files ? n : by_files;
        n = n < EXPECTED_MAX ? n : EXPECTED_MAX;
        if (fd >= 0)
                (void)safe_close(fcntl(fd, F_DUPFD_CLOEXEC, (int)n));
        (void)safe_close(fd);
}
