/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What became of a datagram: forwarded, or dropped for exactly one named reason. A Verdict is what the world did, never
 * an error of ours: it is counted and goes no further. The names are those of the metrics, the journal and the manual.
 */

/* verdict, its name, what a person should know about it */
#define VERDICTS(X)                                                                                          \
        X(FORWARDED, "forwarded", "sent on")                                                                 \
        X(OVERSIZE, "oversize", "larger than MaxDatagramSize=")                                              \
        X(BAD_SOURCE, "bad_source", "no honest sender has this source address or port")                      \
        X(UPSTREAM_UNRESOLVED, "upstream_unresolved", "the upstream's name has no usable IPv6 address yet")  \
        X(TABLE_FULL, "table_full", "MaxSessions= sessions are open already")                                \
        X(NO_DESCRIPTOR, "no_descriptor", "no file descriptor left for a new session, see LimitNOFILE=")     \
        X(NO_PORT, "no_port", "no local port left for a new session, see SourceAddress=")                    \
        X(NO_MEMORY, "no_memory", "the kernel or the process had no memory for it")                          \
        X(NO_ROUTE, "no_route", "this host has no route or no usable address of its own to the destination") \
        X(UNREACHABLE, "unreachable", "the network answered twice that the destination cannot be reached")   \
        X(SEND_BUFFER_FULL, "send_buffer_full", "the socket's send buffer was full")                         \
        X(WRITE_TIMEOUT, "write_timeout", "waited WriteTimeoutSec= for room in the send buffer, in vain")    \
        X(TOO_BIG, "too_big", "larger than the destination's protocol or path can carry")                    \
        X(DENIED, "denied", "this host's own firewall refused to send it")                                   \
        X(SEND_FAILED, "send_failed", "refused by the kernel for another reason")

typedef enum Verdict {
#define X(symbol, name, meaning) VERDICT_##symbol,
        VERDICTS(X)
#undef X
                        N_VERDICTS
} Verdict;

typedef enum Direction { FORWARD, REPLY, N_DIRECTIONS } Direction;

const char *verdict_name(Verdict verdict);
const char *verdict_meaning(Verdict verdict);

/* What a send, or the opening of a socket, that ended with this (positive) errno was to its datagram. 0: forwarded. */
Verdict verdict_of_error(int error);
