/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * How many sessions this host can carry. Each takes a local port, which the whole host shares, and a file descriptor.
 */
#include <stdbool.h>
#include <stdint.h>

#include "wire/address.h"
#include "wire/parcel.h"

/* Descriptors for everything that is no session: ours, and one parcel of those that come from the process before. */
enum { LIMITS_FILES_RESERVED = 64 + PARCEL_MAX };

/* net.ipv4.ip_local_port_range: the ports that the kernel hands out to sockets which ask for none, IPv6 included. */
PortRange limits_host_ports(void);

/* The first sixteenth of them: never for sessions, or the host could not even ask its DNS server any more. */
PortRange limits_reserved_ports(PortRange host);

/* The upper half: for sessions with a source address of their own, unless configured otherwise. */
PortRange limits_source_ports(PortRange host);

/*
 * Half of net.ipv4.ip_local_port_range, which rules IPv6 too: the other half stays with the host, whose DNS queries
 * need ports as well. 14116 with the kernel's default of 32768–60999.
 */
uint64_t limits_default_sessions(void);

/*
 * Does a kernel of this release (`uname -r`) keep trains whole? Linux 7.0.0 to 7.1.4 damages equal-sized ones on the
 * way out. What does not look like a release is trusted.
 */
bool limits_trains_are_safe(const char *release);

/*
 * Has the kernel make room for the descriptors of so many sessions, as far as that is sensible. It doubles its table
 * when one does not fit in, and where there are several threads who opens that one waits some 10 ms each time (an RCU
 * grace period, measured on Linux 6.18): with all flows of its worker. To be called while there is one thread.
 */
void limits_expect_sessions(uint64_t n);

/* Raises the soft limit of open files to the hard one, and says how many sessions that leaves room for. */
uint64_t limits_sessions_by_files(void);
