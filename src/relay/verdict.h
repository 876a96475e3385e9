/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What became of a datagram: forwarded, or dropped for exactly one named reason. A Verdict is what the world did, never
 * an error of ours: it is counted and goes no further. The names are those of the metrics, the journal and the manual.
 */
#include <stdbool.h>

/* verdict, its name, what a person should know about it, what to do about it */
#define VERDICTS(X)                                                                                                    \
        X(FORWARDED, "forwarded", "sent on", "Nothing.")                                                               \
        X(OVERSIZE, "oversize",                                                                                        \
          "larger than MaxDatagramSize=", "Raise MaxDatagramSize= if such datagrams shall pass.")                      \
        X(BAD_SOURCE, "bad_source", "no honest sender has this source address or port",                                \
          "Nothing: whoever sent it forged its address.")                                                              \
        X(NOT_ALLOWED, "not_allowed", "AllowFrom= or DenyFrom= keeps its sender out", "Nothing; or change the lists.") \
        X(LOOP, "loop", "it would come back to this relay, and go round for ever",                                     \
          "See what leads the relay's own datagrams back to it; the journal names the address.")                       \
        X(CLIENT_LIMIT, "client_limit", "its address has opened more sessions than ClientLimitBurst= allows",          \
          "Nothing if it is a scanner; raise ClientLimitBurst= if many clients share that address.")                   \
        X(NEW_SESSION_LIMIT, "new_session_limit", "more sessions are opened than NewSessionLimitBurst= allows",        \
          "Look for forged clients first, then raise NewSessionLimitBurst=.")                                          \
        X(UNREPLIED_FULL, "unreplied_full", "MaxUnrepliedSessions= sessions wait for an answer already",               \
          "See whether the upstream answers; look for forged clients.")                                                \
        X(UPSTREAM_UNRESOLVED, "upstream_unresolved", "the upstream's name has no usable IPv6 address yet",            \
          "Mend the name's AAAA record, or this host's DNS; udp46 goes on asking by itself.")                          \
        X(TABLE_FULL, "table_full", "MaxSessions= sessions are open already",                                          \
          "Look for forged clients first, then raise MaxSessions=.")                                                   \
        X(NO_DESCRIPTOR, "no_descriptor",                                                                              \
          "no file descriptor left for a new session, see LimitNOFILE=", "Raise LimitNOFILE= in udp46.service.")       \
        X(NO_PORT, "no_port", "no local port left for a new session, see SourceAddress=",                              \
          "Give it addresses of its own with SourceAddress=, or lower MaxSessions=.")                                  \
        X(NO_MEMORY, "no_memory", "the kernel or the process had no memory for it",                                    \
          "See what takes this host's memory; fewer sessions need less.")                                              \
        X(NO_ROUTE, "no_route", "this host has no route or no usable address of its own to the destination",           \
          "Ask the kernel for its way there: ip route get ADDRESS.")                                                   \
        X(NO_DEVICE, "no_device", "the interface that BindToDevice= or a link-local address names is not there",       \
          "Create it, or mend the name; udp46 finds it by itself: ip link show.")                                      \
        X(UNREACHABLE, "unreachable", "the network answered twice that the destination cannot be reached",             \
          "See whether the service runs there, then its firewall, then the way to it.")                                \
        X(SEND_BUFFER_FULL, "send_buffer_full", "the socket's send buffer was full",                                   \
          "The link is slower than the traffic; larger buffers only delay.")                                           \
        X(WRITE_TIMEOUT, "write_timeout", "waited WriteTimeoutSec= for room in the send buffer, in vain",              \
          "The link is slower than the traffic, for longer than a burst lasts.")                                       \
        X(TOO_BIG, "too_big", "larger than the destination's protocol or path can carry",                              \
          "Set a smaller MTU at the sender, for WireGuard with MTU=.")                                                 \
        X(DENIED, "denied", "this host's own firewall refused to send it",                                             \
          "Look at the firewall's output rules: nft list ruleset.")                                                    \
        X(AMPLIFICATION, "amplification", "more than AmplificationLimit= times what an unproven client sent",          \
          "Raise AmplificationLimit= if the service answers strangers with much more than they ask.")                  \
        X(SEND_FAILED, "send_failed", "refused by the kernel for another reason",                                      \
          "Look into the journal, and report it.")

typedef enum Verdict {
#define X(symbol, name, meaning, remedy) VERDICT_##symbol,
        VERDICTS(X)
#undef X
                        N_VERDICTS
} Verdict;

typedef enum Direction { FORWARD, REPLY, N_DIRECTIONS } Direction;

const char *verdict_name(Verdict verdict);
const char *verdict_meaning(Verdict verdict);
const char *verdict_remedy(Verdict verdict); /* a sentence */

/* Does it say that there is no way to the destination now? */
bool verdict_is_of_the_way(Verdict verdict);

/* What a send, or the opening of a socket, that ended with this (positive) errno was to its datagram. 0: forwarded. */
Verdict verdict_of_error(int error);
