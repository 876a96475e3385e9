/* SPDX-License-Identifier: MIT */
/* Believes: a reason nobody can act on is no reason; errnos with one remedy share one name. */
#include <errno.h>

#include "relay/verdict.h"

static const struct {
        const char *name, *meaning, *remedy;
} verdicts[N_VERDICTS] = {
#define X(symbol, name, meaning, remedy) [VERDICT_##symbol] = {name, meaning, remedy},
                VERDICTS(X)
#undef X
};

const char *verdict_name(Verdict verdict)
{
        return verdicts[verdict].name;
}

const char *verdict_meaning(Verdict verdict)
{
        return verdicts[verdict].meaning;
}

const char *verdict_remedy(Verdict verdict)
{
        return verdicts[verdict].remedy;
}

Verdict verdict_of_error(int error)
{
        switch (error) {
        case 0:
                return VERDICT_FORWARDED;
        case EAGAIN:
                return VERDICT_SEND_BUFFER_FULL;
        case EMFILE:
        case ENFILE:
                return VERDICT_NO_DESCRIPTOR;
        case EADDRINUSE:
                return VERDICT_NO_PORT;
        case ENOMEM:
        case ENOBUFS:
        case ENOSPC: /* epoll: fs.epoll.max_user_watches */
                return VERDICT_NO_MEMORY;
        case ENETUNREACH:
        case EADDRNOTAVAIL:
        case ENETDOWN:
                return VERDICT_NO_ROUTE;
        case ENODEV:
                return VERDICT_NO_DEVICE;
        case ECONNREFUSED:
        case EHOSTUNREACH:
        case EHOSTDOWN:
        case ENOPROTOOPT:
        case EPROTO:
        case EACCES:
                return VERDICT_UNREACHABLE;
        case EMSGSIZE:
                return VERDICT_TOO_BIG;
        case EPERM:
                return VERDICT_DENIED;
        case ELOOP: /* ours, see upstream-direct.c */
                return VERDICT_LOOP;
        default:
                return VERDICT_SEND_FAILED;
        }
}

bool verdict_is_of_the_way(Verdict verdict)
{
        return verdict == VERDICT_NO_ROUTE || verdict == VERDICT_NO_DEVICE || verdict == VERDICT_UNREACHABLE;
}
